"""A benchmark's page, figures and numbers, written into its folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from metarl.config.comparability import family_of
from metarl.config.suite import ALL, Comparison
from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import write_whole
from metarl.foundation.versions import versions
from metarl.reports.benchmark_figures import (
    UNTRAINED,
    Returns,
    Styles,
    improvement_figure,
    learning_figure,
    profile_figure,
    returns_figure,
    styles_of,
)
from metarl.reports.benchmark_results import (
    AgentResult,
    ComparisonResult,
    Scores,
    profiles,
    record_of,
    scores_of,
)
from metarl.reports.benchmark_speed_table import speed_section
from metarl.reports.figures import Panel, adaptation_figure, save_figure
from metarl.runs.benchmark_cells import CellState

RESULTS_FILE = "results.json"
PAGE_FILE = "README.md"
FIGURES_FOLDER = "figures"
_RETURNS = f"{ALL}-returns"


def write_results(folder: Path, name: str, results: Sequence[ComparisonResult]) -> dict[str, Any]:
    """Write `results.json`, the figures and the page; give what `results.json` holds.

    Args:
        folder: of the benchmark.
        name: of the suite.
        results: of each comparison.

    Raises:
        RunFolderError: a file cannot be written.

    """
    record = {"suite": name, "versions": versions(), **record_of(results)}
    write_whole(folder / RESULTS_FILE, (json.dumps(record, indent=1) + "\n").encode())
    drawn = _save(folder / FIGURES_FOLDER, _figures(results, record))
    write_whole(folder / PAGE_FILE, _page(name, results, record, drawn).encode())
    return record


def _save(folder: Path, figures: Mapping[str, Figure]) -> list[str]:
    """Write figures, and remove those of before that are no more; give the names."""
    try:
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            if old.stem not in figures and old.suffix in (".png", ".svg"):
                old.unlink()
    except OSError as error:
        raise RunFolderError(f"cannot write {folder}: {error.strerror}") from error
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    return list(figures)


def _figures(results: Sequence[ComparisonResult], record: Mapping[str, Any]) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    agents = {result.comparison.name: _returns(result) for result in results}
    if any(agents.values()):
        title = "Mean return on held-out tasks after adaptation: a dot a seed, a bar at their mean"
        figures[_RETURNS] = returns_figure(agents, title)
    for result in results:
        name = result.comparison.name
        styles = styles_of(result.agents)
        learning = {agent: it.learning for agent, it in result.agents.items() if it.learning}
        if learning:
            title = f"{name}: return after adaptation in training"
            figures[f"{name}-learning"] = learning_figure(learning, styles, title)
        if result.agents:
            joint = {agent: found.joint for agent, found in result.agents.items()}
            unit = next(iter(joint.values())).unit
            title = f"{name}: mean return on held-out tasks"
            figures[f"{name}-adaptation"] = adaptation_figure(
                [Panel("", joint, {})], title, unit=unit
            )
        if result.scores:
            pairs = record["comparisons"][name]["probability_of_improvement"]
            figures |= _of_scores(name, scores_of([result]), styles, pairs)
    if ALL in record:
        together = scores_of(results)
        pairs = record[ALL]["probability_of_improvement"]
        figures |= _of_scores(ALL, together, styles_of(together), pairs)
    return figures


def _returns(result: ComparisonResult) -> list[Returns]:
    def kind(found: AgentResult) -> str:
        cell = found.states[0].cell
        return family_of(cell.config) if cell.trains else UNTRAINED

    return [
        Returns(name, kind(found), found.returns.mean(1).tolist())
        for name, found in result.agents.items()
    ]


def _of_scores(
    name: str,
    scores: Scores,
    styles: Styles,
    pairs: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> dict[str, Figure]:
    shown = "all comparisons" if name == ALL else name
    title = f"{shown}: performance profiles"
    figures = {f"{name}-profile": profile_figure(profiles(scores), styles, title)}
    if len(scores) > 1:
        title = f"{shown}: probability of improvement"
        figures[f"{name}-improvement"] = improvement_figure(pairs, title)
    return figures


def _page(
    name: str,
    results: Sequence[ComparisonResult],
    record: Mapping[str, Any],
    drawn: Sequence[str],
) -> str:
    missing = sum(len(result.missing) for result in results)
    there = sum(len(found.states) for result in results for found in result.agents.values())
    said = f"{there} of {there + missing} cells are there."
    if missing:
        said += " What is missing is named below each table."
    lines = [f"# {name}", "", f"Written by `metarl benchmark`. {said}"]
    lines += [
        "How to read it: docs/benchmark.md of metarl. All numbers: [results.json](results.json)."
    ]
    if _RETURNS in drawn:
        lines += ["", f"![Returns on held-out tasks]({FIGURES_FOLDER}/{_RETURNS}.png)"]
    for result in results:
        lines += _section(result, record["comparisons"][result.comparison.name], drawn)
    if ALL in record:
        lines += ["", "## All comparisons", ""]
        lines += [
            "Means of the comparisons' own profiles and probabilities, of the agents that all"
        ]
        lines += ["of them have."]
        lines += _pictures(ALL, drawn)
    return "\n".join(lines) + "\n"


def _section(result: ComparisonResult, found: Mapping[str, Any], drawn: Sequence[str]) -> list[str]:
    comparison = result.comparison
    lines = ["", f"## {comparison.name}", ""]
    lines += [f"Preset `{comparison.preset}`, {_budgets(comparison)}."]
    if result.agents:
        lines += ["", *_table(found)]
    if isinstance(result.ends, str):
        lines += ["", f"There are no scores: {result.ends}."]
    else:
        zero, one = result.ends
        lines += ["", f"A mean return of {zero:.2f} scores 0, one of {one:.2f} scores 1."]
    if result.missing:
        lines += ["", "Missing:", ""]
        lines += _missing(result.missing)
    lines += _pictures(comparison.name, drawn)
    return lines + speed_section(found["speed"])


def _budgets(comparison: Comparison) -> str:
    own = [
        f"{agent.env_steps:,} of {agent.name}"
        for agent in comparison.agents
        if agent.env_steps is not None
    ]
    usual = f"{comparison.env_steps:,} env steps of training a run"
    return f"{usual}, and {', '.join(own)}" if own else usual


def _missing(states: Sequence[CellState]) -> list[str]:
    """Name the cells that are not done, in one line those of an agent for the same reason."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for state in states:
        reason = _first_line(state.reason)
        seeds.setdefault((state.cell.agent, reason), []).append(state.cell.seed)
    return [
        f"- {agent}, seed{'s' * (len(them) > 1)} {', '.join(map(str, them))}: {reason}"
        for (agent, reason), them in seeds.items()
    ]


def _table(found: Mapping[str, Any]) -> list[str]:
    """Make the table of agents, the best first."""
    lines = [
        "| agent | seeds | env steps trained | env steps used to adapt | return | 95 % over tasks "
        "| 95 % over seeds | IQM | 95 % over seeds | score |",
        "|---|---|--:|--:|--:|---|---|--:|---|--:|",
    ]
    order = sorted(found["agents"].items(), key=lambda item: -item[1]["mean_return"])
    for name, one in order:
        cells = [
            name,
            ", ".join(map(str, one["seeds"])),
            _range(one["env_steps"]),
            f"{one['experience']:,.0f}",
            f"{one['mean_return']:z.2f}",
            _interval(one["ci95_over_tasks"]),
            _interval(one.get("ci95_over_seeds")),
            f"{one['iqm_return']:z.2f}",
            _interval(one.get("iqm_ci95_over_seeds")),
            f"{one['mean_score']:z.3f}" if "mean_score" in one else "–",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _pictures(name: str, drawn: Sequence[str]) -> list[str]:
    titles = {
        "learning": "Learning curves",
        "adaptation": "Adaptation on held-out tasks",
        "profile": "Performance profiles",
        "improvement": "Probability of improvement",
    }
    return [
        line
        for kind, title in titles.items()
        if f"{name}-{kind}" in drawn
        for line in ("", f"![{title}]({FIGURES_FOLDER}/{name}-{kind}.png)")
    ]


def _range(counts: Sequence[int]) -> str:
    fewest, most = min(counts), max(counts)
    return f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"


def _interval(ends: Sequence[float | None] | None) -> str:
    return "–" if ends is None or None in ends else f"[{ends[0]:z.2f}, {ends[1]:z.2f}]"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
