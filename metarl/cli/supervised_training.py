"""A training run on a supervised problem: the outer loop, its run folder, its interruptions."""

import contextlib
import shlex
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from metarl.cli.interruptions import Interrupted, Interruptions
from metarl.cli.saying import say
from metarl.cli.supervised_runs import build_learner, load_state
from metarl.config.supervised import SupervisedConfig
from metarl.experiments.supervised_learner import Learner, initial_state, train
from metarl.foundation.errors import MetarlError, RunFolderError
from metarl.foundation.threads import one_thread
from metarl.foundation.versions import versions
from metarl.runs.checkpoints import Checkpoints
from metarl.runs.metrics import MetricsFile
from metarl.runs.recorder import RunRecorder
from metarl.runs.run_folder import make_run_folder, require_no_run, sweep, write_config
from metarl.runs.run_lock import locked
from metarl.runs.sessions import record_session
from metarl.runs.trackers import Trackers, require_wandb, start_trackers
from metarl.tasks.problems import training_episodes
from metarl.training import Record, TrainingState


def run_supervised_training(
    config: SupervisedConfig,
    run_dir: Path,
    resume: bool = False,
    tensorboard: bool = True,
    wandb_project: str = "",
    command: str = "",
) -> int:
    """Train, from the beginning or from the newest checkpoint; give the exit code.

    Args:
        config: the experiment.
        run_dir: the run folder; new, or on resume one that this function wrote.
        resume: go on from the newest checkpoint.
        tensorboard: write its events into the run folder.
        wandb_project: of Weights & Biases, to log to as well; empty: none.
        command: the command line, for the run's record.

    Raises:
        MetarlError: with what went wrong; the state reached before is saved.

    """
    if wandb_project:
        require_wandb()
    console = Console()
    try:
        with one_thread(), Interruptions() as interruptions:
            with interruptions.allowed():
                learner = build_learner(config)
                # Data that are not there are told before the folder is made.
                training_episodes(learner.problem, config.seed, 0, 1, config.shots, config.queries)
            if not resume:
                make_run_folder(run_dir)
            with locked(run_dir, _warn):
                sweep(run_dir)
                keeper, state = _begin(learner, run_dir, resume)
                if resume and keeper.saved is not None and state.iteration >= config.iterations:
                    console.print(
                        f"{run_dir} has its {state.iteration} iterations; "
                        f"go on with --iterations {2 * state.iteration} --resume"
                    )
                    return 0
                write_config(run_dir, config)
                keeper.save(state)
                record_session(run_dir, command, config.seed, state.iteration, 1, versions(), _warn)
                with (
                    contextlib.closing(
                        start_trackers(config, run_dir, state.iteration, tensorboard, wandb_project)
                    ) as trackers,
                    _Display(console, config.iterations, state.iteration) as display,
                ):
                    code = _loop(learner, state, keeper, trackers, display, interruptions, run_dir)
    except Interrupted as interruption:
        _warn(f"{interruption.name} before training began")
        return interruption.exit_code
    if code == 0:
        console.print(f"trained; now: metarl evaluate {run_dir}", soft_wrap=True)
    return code


def _begin(learner: Learner, run_dir: Path, resume: bool) -> tuple[RunRecorder, TrainingState]:
    """Give the books of a run, and the state to train from."""
    config = learner.config
    checkpoints, metrics = Checkpoints(run_dir), MetricsFile(run_dir, config.record_interval)
    state, saved = initial_state(learner), None
    if not resume:
        require_no_run(run_dir)  # somebody may have been quicker
    elif checkpoints.exist():
        checkpoints.sweep()
        try:
            state = load_state(run_dir, learner, "metarl train", metrics.count())
        except RunFolderError:
            state = load_state(run_dir, learner, "metarl train")
        saved = state.iteration
        checkpoints.set_aside_after(saved)
        if missing := metrics.cut_back(saved):
            _warn(f"{run_dir} lacks {missing} records before iteration {saved}; training goes on")
        _warn(f"resuming {run_dir} after iteration {saved}")
    elif metrics.count():
        raise RunFolderError(
            f"{run_dir} has metrics, but no checkpoint to go on from; start a new run in another "
            "--run-dir"
        )
    else:
        metrics.cut_back(0)
    interval = config.checkpoint_interval
    keeper = RunRecorder(checkpoints, metrics, learner.initial, versions(), interval, saved, _warn)
    return keeper, state


def _loop(
    learner: Learner,
    state: TrainingState,
    keeper: RunRecorder,
    trackers: Trackers,
    display: "_Display",
    interruptions: Interruptions,
    run_dir: Path,
) -> int:
    """Train and keep the books; what was reached is saved however it ends."""
    again = shlex.join(
        ["metarl", "train", learner.config.start, "--run-dir", str(run_dir), "--resume"]
    )
    try:
        with contextlib.closing(train(learner, state)) as outer_loop:
            while True:
                with interruptions.allowed():
                    step = next(outer_loop, None)
                if step is None:
                    break
                state, record = step
                keeper.record(state, record)
                display.show(record)
                trackers.log(record)
        keeper.save(state)
    except Interrupted as interruption:
        keeper.save(state)
        _warn(
            f"{interruption.name} after iteration {state.iteration}, which is saved; go on with: "
            f"{again}"
        )
        return interruption.exit_code
    except MetarlError:
        with contextlib.suppress(RunFolderError):  # the first error is the one to tell
            keeper.save(state)
        raise
    return 0


def _warn(text: str) -> None:
    say(f"metarl train: {text}")


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
