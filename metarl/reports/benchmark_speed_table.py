"""The speed of a comparison's agents, as a part of a benchmark's page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metarl.reports.benchmark_speed import NOT_REACHED

_UNKNOWN = "–"


def speed_section(found: Mapping[str, Any]) -> list[str]:
    """Give the lines of the part; none where no agent is trained.

    Args:
        found: as `metarl.reports.benchmark_speed.record_of_speed` gives it.

    """
    agents = found["agents"]
    if not agents:
        return []
    headings = ["agent", "batch", "frame skip", "environment alone", "… in training"]
    headings += ["rollout", "÷ alone", "training", "÷ alone"]
    if found["reach"] is not None:
        headings.append(f"seconds to {found['reach']:g}")
    rows = [_row(name, one, found["reach"]) for name, one in agents.items()]
    reasons = [
        f"- {name}: {why.strip().splitlines()[0]}"
        for name, one in agents.items()
        for why in one["unknown"]
    ]
    return [
        "",
        "### Speed",
        "",
        "Env steps/s of one process with one thread, and seconds of training. The ratios to the",
        "environment alone are the numbers to read: other work on the machine makes all slower.",
        "",
        f"| {' | '.join(headings)} |",
        "|---|---|" + "--:|" * (len(headings) - 2),
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        *_circumstances(list(agents.values())),
        *(["", f"Not known ({_UNKNOWN}):", "", *reasons] if reasons else []),
    ]


def _row(name: str, one: Mapping[str, Any], reach: float | None) -> list[str]:
    cells = [
        name,
        _batch(one),
        _number(one["frame_skip"], "d"),
        _number(one["environment_alone"], ",.0f"),
        _number(one["environment_in_training"], ",.0f"),
        _number(one["rollout"], ",.0f"),
        _number(one["rollout_to_environment"], ".2g"),
        _number(one["training"], ",.0f"),
        _number(one["training_to_environment"], ".2g"),
    ]
    return cells if reach is None else [*cells, _seconds(one["seconds_to_reach"], one["reached"])]


def _batch(one: Mapping[str, Any]) -> str:
    tasks, slots, at_once = one["tasks"], one["slots_per_task"], one["tasks_at_once"]
    words = f"{tasks} × {slots}"
    return words if at_once in (tasks, None) else f"{words}, tasks at once: {at_once}"


def _number(value: int | float | None, form: str) -> str:
    return _UNKNOWN if value is None else f"{value:{form}}"


def _seconds(of_seeds: Sequence[float | None], reached: Sequence[bool | None]) -> str:
    return ", ".join(
        NOT_REACHED if was is False else _number(seconds, ",.0f")
        for seconds, was in zip(of_seeds, reached, strict=True)
    )


def _circumstances(agents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say on what machines, and how many processes were at work."""
    trained = dict.fromkeys(name for one in agents for name in one["trained_on"])
    measured = dict.fromkeys(one["measured_on"] for one in agents if one["measured_on"])
    return [
        f"Trained on: {_listed(trained)}; processes of the benchmark at a time, at most: "
        f"{_listed(sorted({it for one in agents for it in one['processes']}))}.",
        f"Environments alone measured on: {_listed(measured)}; processes at a time, at most: "
        f"{_listed(sorted({it for one in agents for it in one['processes_measured']}))}.",
    ]


def _listed(found: Iterable[object]) -> str:
    return "; ".join(map(str, found)) or "not recorded"
