"""The results of a search for hyperparameters, written into its folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarl.config.search_space import as_text
from metarl.foundation.errors import RunFolderError
from metarl.foundation.files import write_whole
from metarl.foundation.versions import versions
from metarl.foundation.wording import counted
from metarl.reports.figures import save_figure
from metarl.reports.tuning_figures import fields_figure, trials_figure
from metarl.runs.tuning_plan import Standing, Trial, TuningPlan, run_folder_of

RESULTS_FILE = "results.json"
PAGE_FILE = "README.md"
FIGURES_FOLDER = "figures"
PRESET_FILE = "best.toml"
_MEASURES = {
    "maximise": "return after adaptation in training",
    "minimise": "loss after adaptation in training",
}
_STANDINGS: tuple[Standing, ...] = ("complete", "pruned", "failed", "begun")


@dataclass(frozen=True)
class Best:
    """The best trial, and how its values are used."""

    trial: Trial
    command: str
    """That trains with its values."""
    preset: str
    """A preset with its values, as the text of a file."""


def best_of(plan: TuningPlan, trials: Sequence[Trial]) -> Trial | None:
    """Give the complete trial with the best score, the first of equals; None: none is complete."""
    complete = [it for it in in_order(plan, trials) if it.standing == "complete"]
    return complete[0] if complete else None


def in_order(plan: TuningPlan, trials: Sequence[Trial]) -> list[Trial]:
    """Give the trials: the complete ones first and the best of them at the top."""
    sign = -1 if plan.direction == "maximise" else 1
    return sorted(
        trials, key=lambda it: (_STANDINGS.index(it.standing), sign * (it.score or 0), it.number)
    )


def write_tuning(
    folder: Path,
    name: str,
    plan: TuningPlan,
    trials: Sequence[Trial],
    importances: Mapping[str, float],
    best: Best | None,
) -> dict[str, Any]:
    """Write `results.json`, the page, figures and the best values as a preset.

    Args:
        folder: of the search.
        name: of what is trained, for titles.
        plan: of the search.
        trials: all of them, in order.
        importances: of the fields; empty: nothing is known of it.
        best: None: no trial is complete.

    Returns:
        What `results.json` holds.

    Raises:
        RunFolderError: a file cannot be written.

    """
    record = _record(folder, name, plan, trials, importances, best)
    write_whole(folder / RESULTS_FILE, (json.dumps(record, indent=1) + "\n").encode())
    if best is not None:
        write_whole(folder / PRESET_FILE, best.preset.encode())
        _write_figures(folder / FIGURES_FOLDER, name, plan, trials, best.trial)
    write_whole(folder / PAGE_FILE, _page(name, plan, trials, importances, best).encode())
    return record


def _write_figures(
    folder: Path, name: str, plan: TuningPlan, trials: Sequence[Trial], best: Trial
) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot write {folder}: {error.strerror}") from error
    measure = _MEASURES[plan.direction]
    drawn = {
        "trials": trials_figure(plan, trials, f"{name}: score of each trial", measure),
        "fields": fields_figure(plan, trials, best, f"{name}: score against each field", measure),
    }
    for stem, figure in drawn.items():
        save_figure(figure, folder / stem)


def _record(
    folder: Path,
    name: str,
    plan: TuningPlan,
    trials: Sequence[Trial],
    importances: Mapping[str, float],
    best: Best | None,
) -> dict[str, Any]:
    return {
        "name": name,
        "versions": versions("optuna"),
        "direction": plan.direction,
        "measure": plan.measure,
        "score_window": plan.score_window,
        "seeds": list(plan.seeds),
        "best": None
        if best is None
        else {
            "trial": best.trial.number,
            "score": best.trial.score,
            "fields": best.trial.fields,
            "command": best.command,
        },
        "importances": dict(importances),
        "trials": [
            {
                "trial": trial.number,
                "standing": trial.standing,
                "score": trial.score,
                "reason": trial.reason,
                "fields": trial.fields,
                "run_dirs": [str(run_folder_of(folder, trial.number, it)) for it in plan.seeds],
            }
            for trial in trials
        ],
    }


def _page(
    name: str,
    plan: TuningPlan,
    trials: Sequence[Trial],
    importances: Mapping[str, float],
    best: Best | None,
) -> str:
    lines = [f"# Tuning {name}", "", f"Written by `metarl tune`. {_counted(trials)}", _judged(plan)]
    lines += [
        "How to read it: docs/tuning.md of metarl. All numbers: [results.json](results.json)."
    ]
    if best is None:
        lines += ["", "No trial is complete, so there is no best one."]
    else:
        lines += _best(plan, best)
    if importances:
        lines += ["", "## Importance", "", "Which share each field has in what separates the good"]
        lines += ["trials from the others (PED-ANOVA, Watanabe, Bansal, Hutter 2023).", ""]
        lines += ["| field | share |", "|---|--:|"]
        lines += [f"| `{field}` | {share:.0%} |" for field, share in importances.items()]
    if best is not None:
        for stem, text in (("trials", "Scores of the trials"), ("fields", "Score by field")):
            lines += ["", f"![{text}]({FIGURES_FOLDER}/{stem}.png)"]
    return "\n".join([*lines, *_table(plan, trials)]) + "\n"


def _counted(trials: Sequence[Trial]) -> str:
    standings = [trial.standing for trial in trials]
    counts = [f"{standings.count(it)} {it}" for it in _STANDINGS if it in standings]
    return f"{counted(len(trials), 'trial')}: {', '.join(counts)}."


def _judged(plan: TuningPlan) -> str:
    """Say what a score is."""
    window = f"last {plan.score_window} %" if plan.score_window else "last record"
    of_seeds = f"seed {plan.seeds[0]}"
    if len(plan.seeds) > 1:
        of_seeds = f"the mean over seeds {', '.join(map(str, plan.seeds))}"
    budget = ", ".join(f"{name} = {value:,}" for name, value in plan.budget.items())
    good = "high is good" if plan.direction == "maximise" else "low is good"
    return (
        f"A score is the mean `{plan.measure}` of the {window} of training ({budget}), {of_seeds}; "
        f"{good}."
    )


def _best(plan: TuningPlan, best: Best) -> list[str]:
    usual = plan.config.flat()
    rows = [
        f"| `{name}` | {_shown(value)} | {_shown(usual[name])} | {plan.space[name]} |"
        for name, value in best.trial.fields.items()
    ]
    return [
        *["", "## Best", "", f"Trial {best.trial.number}, with a score of {best.trial.score:.6g}:"],
        *["", "| field | best | without tuning | varied over |", "|---|---|---|---|", *rows],
        *["", f"    {best.command}", ""],
        f"[{PRESET_FILE}]({PRESET_FILE}) is a preset with these values.",
    ]


def _table(plan: TuningPlan, trials: Sequence[Trial]) -> list[str]:
    columns = ["trial", "standing", "score", *(f"`{name}`" for name in plan.space)]
    lines = ["", "## Trials", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for trial in in_order(plan, trials):
        cells = [str(trial.number), trial.standing, shown_score(trial)]
        cells += [_shown(value) for value in trial.fields.values()]
        lines.append(f"| {' | '.join(cells)} |")
    failed = [trial for trial in trials if trial.standing == "failed"]
    if failed:
        lines += ["", "Failed:", ""]
        lines += [
            f"- trial {it.number}: {it.reason.strip().partition(chr(10))[0]}" for it in failed
        ]
    return lines


def shown_score(trial: Trial) -> str:
    """Write a score for a table; that of a pruned trial, which is of another time, in brackets."""
    if trial.score is None:
        return "–"
    return f"{trial.score:.6g}" if trial.standing == "complete" else f"({trial.score:.6g})"


def _shown(value: Any) -> str:
    return shown_value(value).replace("|", "\\|")


def shown_value(value: Any) -> str:
    """Write a value for a table, in as many digits as one reads."""
    return f"{value:.4g}" if isinstance(value, float) else as_text(value) or "none"
