"""A run in a terminal: curves as text, and where it is. No torch."""

import math
from collections.abc import Sequence

from metarl.config.comparability import unit_of
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.stopwatch import duration
from metarl.reports.text_curves import text_curve
from metarl.runs.metrics import Record
from metarl.runs.watched_run import Look

_RECENT = 20
"""Records that speed and time left are means over."""
_GAP = 3
"""Characters between two curves."""


def picture(look: Look, width: int, height: int) -> list[str]:
    """Draw what was seen of a run.

    Args:
        look: what was seen.
        width: the most characters of a line of the curves; a path or a command may be longer.
        height: of a curve, in lines.

    """
    if look.config is None:
        return [f"{look.run_dir}: waiting for the run to begin"]
    config = look.config
    lines = [f"{look.run_dir}: {config.title}, {config.agent}, seed {config.seed}"]
    lines += [_state(look), ""]
    if look.records:
        lines += [*_curves(look, width, height), ""]
    return [*lines, *_numbers(look)]


def _state(look: Look) -> str:
    whole = look.expected_iterations
    done = f"iteration {look.iteration:,}" + (f" of {whole:,}" if whole is not None else "")
    pid, host = (look.holder.pid, look.holder.host) if look.holder else (0, "")
    said = {
        "training": f"training in process {pid}",
        "elsewhere": f"begun by process {pid} on {host}, which is not seen from here",
        "stopped": "no process trains here",
        "complete": "complete",
    }
    return f"{done}: {said[look.stage]}"


def _curves(look: Look, width: int, height: int) -> list[str]:
    """Draw what is measured before adaptation and after it, side by side on one scale."""
    curves = {title: found for title, name in _measures(look) if (found := _of(look, name))}
    if not curves:
        return ["no record has a return yet"]
    values = [value for points in curves.values() for _, value in points]
    low, high = min(values), max(values)
    scale = [f"{high:,.4g}", *[""] * (height - 2), f"{low:,.4g}"]
    margin = max(map(len, scale)) + 1
    room = (width - margin - _GAP * (len(curves) - 1)) // len(curves) - 1
    room = max(1, room)
    drawn = [
        [
            title[: room + 1].ljust(room + 1),
            *(
                "│" + line
                for line in text_curve([value for _, value in points], low, high, room, height)
            ),
            _axis(points, room + 1),
        ]
        for title, points in curves.items()
    ]
    left = ["", *scale, ""]
    return [
        f"{number:>{margin - 1}} {(' ' * _GAP).join(parts)}"
        for number, *parts in zip(left, *drawn, strict=True)
    ]


def _measures(look: Look) -> list[tuple[str, str]]:
    """Give the titles and names of what is drawn."""
    if isinstance(look.config, SupervisedConfig):
        return [(f"loss {each} adaptation", name) for each, name in _phases("loss")]
    before, after = (name for _, name in _phases("return"))
    if not any(after in record for record in look.records):  # who adapts only at test
        return [("return", before)]
    if unit_of(look.config.agent) == "episode":
        return [("return of the first episode", before), ("return of the last episode", after)]
    return [(f"return {each} adaptation", name) for each, name in _phases("return")]


def _phases(what: str) -> list[tuple[str, str]]:
    return [("before", f"pre_adaptation_{what}"), ("after", f"post_adaptation_{what}")]


def _of(look: Look, name: str) -> list[tuple[int, float]]:
    """Give the iterations and values of a metric, where it is a finite number."""
    found = [(int(record["iteration"]), record.get(name)) for record in look.records]
    return [(at, float(value)) for at, value in found if value is not None and math.isfinite(value)]


def _axis(points: Sequence[tuple[int, float]], width: int) -> str:
    """Write the first and the last iteration below a curve."""
    first, last = f"{points[0][0]:,}", f"{points[-1][0]:,}"
    return f"└{first}{last.rjust(max(0, width - 1 - len(first)))}"[:width]


def _numbers(look: Look) -> list[str]:
    """Say the newest numbers, speed, time left and what to do next."""
    lines = []
    if look.records:
        newest = look.records[-1]
        lines += [*_newest_values(look), _speed(look.records)]
        if not newest.get("step_accepted", True):
            lines.append(f"step rejected: {newest.get('rejection') or 'no reason given'}")
        if newest.get("skipped_tasks"):
            lines.append(f"tasks skipped in this iteration: {newest['skipped_tasks']}")
    saved = "none yet" if look.checkpoint is None else f"iteration {look.checkpoint:,}"
    lines.append(f"newest checkpoint: {saved}")
    if look.stage in ("training", "elsewhere"):
        if look.silence is not None:
            lines.append(f"newest record: {duration(look.silence)} ago")
        if look.records:
            lines.append(f"time left: {duration(_seconds_left(look))}")
    if look.stage == "stopped":
        lines.append(f"go on with: metarl train --run-dir {look.run_dir} --resume")
    if look.stage == "complete":
        lines.append(f"next: metarl evaluate {look.run_dir}")
    return lines


def _newest_values(look: Look) -> list[str]:
    lines = []
    for measures, form in ((_measures(look), ",.4g"), (_success(look), ".0%")):
        said = [
            f"{title} {points[-1][1]:{form}}"
            for title, name in measures
            if (points := _of(look, name))
        ]
        lines += [", ".join(said)] if said else []
    return lines


def _success(look: Look) -> list[tuple[str, str]]:
    return [(f"success {each} adaptation", name) for each, name in _phases("success")]


def _speed(records: Sequence[Record]) -> str:
    """Say environment steps in all and per second, and seconds of an iteration."""
    text = f"{duration(_seconds(records))} an iteration"
    steps = [record["env_steps"] for record in records if "env_steps" in record]
    if not steps:
        return text
    recent = min(_RECENT, len(steps))
    taken = steps[-1] - (steps[-recent - 1] if len(steps) > recent else 0)
    speed = taken / (recent * _seconds(records) or math.inf)
    return f"{steps[-1]:,} env steps, {speed:,.0f} env steps/s, {text}"


def _seconds(records: Sequence[Record]) -> float:
    """Give the mean seconds of the latest iterations."""
    recent = [record.get("iteration_seconds") or 0.0 for record in records[-_RECENT:]]
    return sum(recent) / len(recent)


def _seconds_left(look: Look) -> float:
    return _seconds(look.records) * max(0, (look.expected_iterations or 0) - look.iteration)
