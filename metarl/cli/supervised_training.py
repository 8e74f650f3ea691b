"""A training run on a supervised problem: the outer loop, its run folder, its interruptions."""

import contextlib
import signal
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from metarl.checkpoints import Checkpoints
from metarl.cli.supervised_runs import build_learner, load_state
from metarl.cli.training_run import Interrupted, signals_raise
from metarl.errors import MetarlError, RunFolderError
from metarl.metrics import MetricsFile
from metarl.problems import training_episodes
from metarl.run_folder import create_run_folder, versions, write_config
from metarl.supervised import initial_state, train
from metarl.supervised_config import SupervisedConfig
from metarl.trackers import require_wandb, start_trackers
from metarl.training import Record


def run_supervised_training(
    config: SupervisedConfig,
    run_dir: Path,
    resume: bool = False,
    tensorboard: bool = True,
    wandb_project: str = "",
) -> int:
    """Train, from the beginning or from the newest checkpoint; give the exit code.

    Args:
        config: the experiment.
        run_dir: the run folder; new, or on resume one that this function wrote.
        resume: go on from the newest checkpoint.
        tensorboard: write its events into the run folder.
        wandb_project: of Weights & Biases, to log to as well; empty: none.

    Raises:
        MetarlError: with what went wrong; the state reached before is saved.

    """
    if wandb_project:
        require_wandb()
    learner = build_learner(config)
    console = Console()
    checkpoints, metrics = Checkpoints(run_dir), MetricsFile(run_dir)
    if resume:
        state = load_state(run_dir, learner, "metarl train")
        metrics.cut_back(state.iteration, config.record_interval)
        if state.iteration >= config.iterations:
            console.print(
                f"{run_dir} has its {state.iteration} iterations; "
                f"go on with --iterations {2 * state.iteration} --resume"
            )
            return 0
        write_config(run_dir, config)
        console.print(f"resuming {run_dir} after iteration {state.iteration}", soft_wrap=True)
    else:
        # Data that are not there are told before the folder is made.
        training_episodes(learner.problem, config.seed, 0, 1, config.shots, config.queries)
        create_run_folder(run_dir, config)
        state = initial_state(learner)

    saved = -1
    recorded_versions = versions()

    def save() -> None:
        nonlocal saved
        if state.iteration != saved:
            checkpoints.save(state, learner.initial, recorded_versions)
            saved = state.iteration

    try:
        with (
            signals_raise(),
            contextlib.closing(
                start_trackers(config, run_dir, state.iteration, tensorboard, wandb_project)
            ) as trackers,
            _Display(console, config.iterations, state.iteration) as display,
        ):
            save()
            with contextlib.closing(train(learner, state)) as outer_loop:
                for state, record in outer_loop:
                    metrics.append(record)
                    display.show(record)
                    trackers.log(record)
                    if state.iteration % config.checkpoint_interval == 0:
                        save()
            save()
    except Interrupted as interruption:
        save()
        print(
            f"metarl train: {signal.Signals(interruption.number).name} after iteration "
            f"{state.iteration}, which is saved; go on with: metarl train {config.start} "
            f"--run-dir {run_dir} --resume",
            file=sys.stderr,
        )
        return 128 + interruption.number
    except MetarlError:
        with contextlib.suppress(RunFolderError):  # the first error is the one to tell
            save()
        raise
    console.print(f"trained; now: metarl evaluate {run_dir}", soft_wrap=True)
    return 0


class _Display(contextlib.AbstractContextManager["_Display"]):
    """Iteration, losses and time left: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, iterations: int, completed: int) -> None:
        self._console, self._iterations = console, iterations
        self._bar = Progress(
            TextColumn("iteration"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TextColumn("time left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=iterations, completed=completed, numbers="")

    def __enter__(self) -> "_Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, record: Record) -> None:
        """Show a record's numbers."""
        numbers = (
            f"loss {record['pre_adaptation_loss']:.4f} → {record['post_adaptation_loss']:.4f}   "
            f"{1e3 * record['iteration_seconds']:.1f} ms an iteration"
        )
        self._bar.update(self._task, completed=record["iteration"], numbers=numbers)
        if not self._console.is_terminal:
            left = record["iteration_seconds"] * (self._iterations - record["iteration"])
            self._console.print(
                f"iteration {record['iteration']}/{self._iterations}   {numbers}   "
                f"{left:.0f} s left",
                soft_wrap=True,
            )
