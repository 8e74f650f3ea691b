"""Search for good values of a preset's fields, by Optuna (pip install "metarl-suite[tune]").

What is varied is given by --vary, once for each field, with the names of the flags of `metarl train
PRESET --help`:

  --vary inner-learning-rate=0.01..1:log    numbers on a logarithmic scale
  --vary cg-iterations=5..20                whole numbers, where the field takes such
  --vary activation=tanh,relu               choices, each written as the flag takes it
  --vary "hidden-sizes=32 32,100 100"
  --vary first-order=true,false

Every other flag sets a field for all trials. A trial is a run, or one for each of --seeds. Its
score is the mean return after adaptation (the loss, of a supervised problem) at the end of its
training, on training tasks: the held-out tasks of `metarl evaluate` are not touched. A trial that
does worse than the median of the others at the same point is ended early.

The same command goes on where it was stopped, also in the middle of a trial; with larger --trials
it goes further. The same --seed tries the same values.

The folder gets README.md with the best values as a command line, best.toml with the same as a
preset, results.json, figures, and the run folders of all trials.

Examples:
  metarl tune navigation-2d --vary inner-learning-rate=0.01..1:log --iterations 40
  metarl tune navigation-2d --vary max-kl=0.001..0.1:log --vary discount=0.9,0.99 --seeds 1 2
  metarl tune sinusoid --vary outer-learning-rate=1e-4..1e-2:log --iterations 2000 --trials 50
"""

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro
from rich.console import Console
from rich.table import Table

from metarl.cli.output import new_console, passing_bar, print_line
from metarl.cli.parsing import parse
from metarl.cli.run_flags import find_start, given_fields, require_first
from metarl.config.base import with_settings
from metarl.config.search_space import FORMS
from metarl.foundation.errors import ConfigError
from metarl.foundation.messages import say
from metarl.foundation.wording import counted
from metarl.runs.interruptions import Interrupted, Interruptions
from metarl.workers.cores import usable_cores

C = TypeVar("C")
S = TypeVar("S")

_SHOWN = 10
"""Trials in the table that is printed."""


@dataclass(frozen=True)
class TuneArguments(Generic[C, S]):
    """The arguments of `metarl tune`."""

    preset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")]
    """A preset of `metarl list`, or the path of a TOML file of your own. Empty: none; defaults are
    chosen from the spaces of --env-id."""
    config: tyro.conf.OmitArgPrefixes[C]
    """What the preset fixes; the same for all trials. The seed is also the search's own."""
    settings: tyro.conf.OmitArgPrefixes[S]
    """What the agent or the problem decides; the same for all trials."""
    workers: int | str
    """Worker processes of each run, as for `metarl train`. Trials follow each other."""
    vary: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(metavar="FIELD=LOW..HIGH[:log]|FIELD=A,B,C"),
    ] = ()
    """A field and what it is varied over; once for each field."""
    trials: int = 30
    """How many trials there are to be in all, those of earlier calls among them."""
    seeds: tuple[int, ...] = ()
    """A trial has a run for each, and is judged by their mean. Empty: the seed alone."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The folder to write into. None: runs/tune-PRESET."""
    prune: bool = True
    """End a trial early that does worse than the median of the others at the same point."""
    score_window: int = 10
    """Percent of the training, at its end, that the score is the mean of; 0: the last record."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    start = find_start(argv, "tune")
    defaults = TuneArguments(start.preset, start.config, start.settings, usable_cores())
    kind: Any = TuneArguments[type(start.config), type(start.settings)]  # type: ignore[misc]
    arguments: TuneArguments[Any, Any] = parse(
        kind, argv, prog="metarl tune", description=__doc__ or "", default=defaults
    )
    require_first(arguments.preset, start, "tune")
    vary = _read(arguments.vary)
    config = with_settings(arguments.config, dataclasses.asdict(arguments.settings))
    start = dataclasses.replace(start, config=config, settings=arguments.settings)
    # From here on torch is needed, which takes its time to import.
    from metarl.api.tuning import run_tuning

    console = new_console()
    given = given_fields(argv)
    given |= {name.removeprefix("no_") for name in given}  # of switches
    try:
        with Interruptions() as interruptions, passing_bar(console) as show:
            found = run_tuning(
                start,
                vary,
                given=given,
                trials=arguments.trials,
                seeds=arguments.seeds,
                output=arguments.output,
                workers=arguments.workers,
                prune=arguments.prune,
                score_window=arguments.score_window,
                progress=show,
                again=shlex.join(["metarl", "tune", *argv]),
                interruptions=interruptions,
            )
    except Interrupted as interruption:
        if not interruption.told:
            raise
        return interruption.exit_code
    _print(console, found)
    return 0 if found.best else 1


def _print(console: Console, found: Any) -> None:
    """Print the best trials, and how their values are used."""
    from metarl.reports.tuning_page import in_order, shown_score, shown_value

    ranked = in_order(found.plan, found.trials)
    table = Table(
        title=f"{min(_SHOWN, len(ranked))} of {counted(len(ranked), 'trial')}, the best first"
    )
    for heading in ("trial", "standing", "score", *found.plan.space):
        table.add_column(heading, justify="left" if heading == "standing" else "right")
    for trial in ranked[:_SHOWN]:
        values = map(shown_value, trial.fields.values())
        table.add_row(str(trial.number), trial.standing, shown_score(trial), *values)
    console.print(table)
    if found.best is None:
        say("metarl tune: no trial is complete; why stands in the folder's README.md")
    else:
        console.print("the best values:")
        print_line(console, found.command)
    print_line(console, f"written to {found.folder / 'README.md'}")


def _read(vary: tuple[str, ...]) -> dict[str, str]:
    """Read what is varied into names and texts."""
    found: dict[str, str] = {}
    for text in vary:
        name, equals, wanted = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not (equals and name):
            raise ConfigError(f"--vary {text!r} is none of {FORMS}")
        if name in found:
            raise ConfigError(f"--vary names {name} twice")
        found[name] = wanted
    return found
