"""A training run: the outer loop, its run folder, its display and its interruptions."""

import contextlib
import shlex
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from metarl.agents.rejections import Rejections
from metarl.agents.stable_baselines import read_policy
from metarl.cli.cores import checked_workers
from metarl.cli.interruptions import Interrupted, Interruptions
from metarl.cli.progress import TrainingDisplay
from metarl.cli.runs import Experiment, build_experiment, load_newest_state, records_of
from metarl.cli.saying import Forgiving, say
from metarl.config.reinforcement import Config
from metarl.foundation.errors import RunFolderError
from metarl.foundation.versions import versions
from metarl.runs.checkpoints import Checkpoints
from metarl.runs.metrics import MetricsFile
from metarl.runs.recorder import RunRecorder
from metarl.runs.run_folder import make_run_folder, require_no_run, sweep, write_config
from metarl.runs.run_lock import locked
from metarl.runs.sessions import record_session
from metarl.runs.trackers import require_wandb, start_trackers
from metarl.training import OwnLoop, Record, TrainingState, train
from metarl.workers.process_pool import Supervision
from metarl.workers.shards import to_vector


@dataclass(frozen=True)
class Wish:
    """What the user asked for, beside the configuration."""

    run_dir: Path
    workers: int | str
    supervision: Supervision
    resume: bool
    tensorboard: bool
    wandb_project: str
    notes: Sequence[str]
    command: str


def run_training(
    config: Config,
    run_dir: Path,
    workers: int | str,
    supervision: Supervision,
    *,
    resume: bool = False,
    tensorboard: bool = True,
    wandb_project: str = "",
    notes: Sequence[str] = (),
    command: str = "",
) -> int:
    """Train, from the beginning or from the newest checkpoint; give the exit code.

    Args:
        config: the experiment.
        run_dir: the run folder; new, or on resume one that `run_training` wrote.
        workers: how many workers to use, or the address of a Ray cluster.
        supervision: what to do about workers that are lost.
        resume: go on from the newest checkpoint.
        tensorboard: write its events into the run folder.
        wandb_project: of Weights & Biases, to log to as well; empty: none.
        notes: lines for standard error, said once it is known that the run can start.
        command: the command line, for the run's record.

    Raises:
        MetarlError: with what went wrong; the state reached before is saved.

    """
    if wandb_project:
        require_wandb()
    wish = Wish(run_dir, workers, supervision, resume, tensorboard, wandb_project, notes, command)
    stream = Forgiving(sys.stdout)
    console = Console(file=cast(Any, stream))
    try:
        with Interruptions() as interruptions:
            return _run(config, wish, console, interruptions)
    except Interrupted as interruption:
        _warn(f"{interruption.name} before training began")
        return interruption.exit_code
    finally:
        stream.release()


def _run(config: Config, wish: Wish, console: Console, interruptions: Interruptions) -> int:
    with interruptions.allowed():
        experiment = build_experiment(config)
        workers, note = checked_workers(wish.workers, config.tasks_per_batch)
        first = experiment.initial
        if config.initial_policy:
            first = read_policy(
                Path(config.initial_policy), config, experiment.policy.action_space, first
            )
    if isinstance(experiment.agent, OwnLoop):
        note = f"agent {config.agent} trains in this process, whatever --workers says"
    if note:
        _warn(note)
    beginning = TrainingState(experiment.agent.initial_state(to_vector(first)), 0, 0)
    if not wish.resume:
        make_run_folder(wish.run_dir)
    with locked(wish.run_dir, _warn):
        sweep(wish.run_dir)
        checkpoints = Checkpoints(wish.run_dir, records_of(config))
        metrics = MetricsFile(wish.run_dir)
        state, saved = beginning, None
        if wish.resume:
            checkpoints.sweep()
            if checkpoints.exist():
                state = _resumed(wish.run_dir, experiment, checkpoints, metrics)
                saved = state.iteration
            else:
                _require_no_records(wish.run_dir, metrics)
            if state.iteration >= config.iterations and saved is not None:
                console.print(
                    f"{wish.run_dir} has its {state.iteration} iterations; "
                    f"go on with --iterations {2 * state.iteration} --resume"
                )
                return 0
        else:
            require_no_run(wish.run_dir)  # somebody may have been quicker
        write_config(wish.run_dir, config)
        if saved is not None:
            console.print(f"resuming {wish.run_dir} after iteration {saved}", soft_wrap=True)
        for line in wish.notes:
            _warn(line)
        computed_by = versions(*experiment.packages)
        keeper = RunRecorder(
            checkpoints,
            metrics,
            experiment.initial,
            computed_by,
            config.checkpoint_interval,
            saved,
            _warn,
        )
        keeper.save(state)
        record_session(
            wish.run_dir, wish.command, config.seed, state.iteration, workers, computed_by, _warn
        )
        return _train(experiment, state, workers, wish, keeper, console, interruptions)


def _train(
    experiment: Experiment,
    state: TrainingState,
    workers: int | str,
    wish: Wish,
    keeper: RunRecorder,
    console: Console,
    interruptions: Interruptions,
) -> int:
    config, rejections = experiment.config, Rejections(experiment.config.max_rejections)
    again = shlex.join(
        filter(None, ("metarl", "train", config.preset, "--run-dir", str(wish.run_dir), "--resume"))
    )
    with interruptions.allowed():  # a network may be waited for
        trackers = start_trackers(
            config, wish.run_dir, state.iteration, wish.tensorboard, wish.wandb_project
        )
    with (
        contextlib.closing(trackers),
        TrainingDisplay(console, config, state) as display,
    ):
        try:
            with contextlib.closing(
                _outer_loop(experiment, state, workers, wish.supervision)
            ) as outer_loop:
                while True:
                    with interruptions.allowed():
                        step = next(outer_loop, None)
                    if step is None:
                        break
                    state, record = step
                    keeper.record(state, record)
                    display.update(record)
                    trackers.log(record)
                    rejections.count(record)
            keeper.save(state)
        except Interrupted as interruption:
            unsaved = _save_at_last(keeper, state)
            _warn(
                f"{interruption.name} after iteration {state.iteration}, which "
                f"{unsaved or 'is saved'}; go on with: {again}"
            )
            return interruption.exit_code
        except RunFolderError as error:
            _save_at_last(keeper, state)
            raise RunFolderError(
                f"{error}; the newest checkpoint is of iteration {keeper.saved} of "
                f"{state.iteration}; when there is room, go on with: {again}"
            ) from error
        except BaseException:
            if unsaved := _save_at_last(keeper, state):
                _warn(f"iteration {state.iteration} {unsaved}")
            raise
    console.print(f"trained; now: metarl evaluate {wish.run_dir}", soft_wrap=True)
    return 0


def _save_at_last(keeper: RunRecorder, state: TrainingState) -> str:
    """Save what is not saved yet; give the reason, as the end of a sentence, if that fails."""
    try:
        keeper.save(state)
    except RunFolderError as error:
        return f"is not saved ({error}), the newest checkpoint is of iteration {keeper.saved}"
    return ""


def _resumed(
    run_dir: Path, experiment: Experiment, checkpoints: Checkpoints, metrics: MetricsFile
) -> TrainingState:
    """Go back to the newest checkpoint whose metrics are there or, without one, to the newest."""
    load = load_newest_state
    try:
        state = load(run_dir, experiment, "metarl train", metrics.count())
    except RunFolderError:
        state = load(run_dir, experiment, "metarl train")
    checkpoints.set_aside_after(state.iteration)
    if missing := metrics.cut_back(state.iteration):
        _warn(
            f"{run_dir} lacks the metrics of {missing} of {state.iteration} iterations; the "
            "policy does not need them, and training goes on"
        )
    return state


def _require_no_records(run_dir: Path, metrics: MetricsFile) -> None:
    """Let a run that was killed before its first checkpoint start from the beginning."""
    if metrics.count():
        raise RunFolderError(
            f"{run_dir} has metrics, but no checkpoint to go on from; start a new run in another "
            "--run-dir"
        )
    metrics.cut_back(0)
    _warn(f"{run_dir} has no checkpoint yet; starting from the beginning")


def _outer_loop(
    experiment: Experiment, state: TrainingState, workers: int | str, supervision: Supervision
) -> Generator[tuple[TrainingState, Record], None, None]:
    """Train as the agent does: over shards, or in a loop of its own."""
    agent, config = experiment.agent, experiment.config
    if isinstance(agent, OwnLoop):
        yield from agent.train(experiment.initial, state)
        return
    pool = experiment.start_workers(
        workers, config.tasks_per_batch, config.episodes_per_task, supervision=supervision
    )
    with contextlib.closing(pool):
        yield from train(agent, experiment.environment, pool, state, config)


def _warn(text: str) -> None:
    say(f"metarl train: {text}")
