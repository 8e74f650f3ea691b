"""A training run: the outer loop, its run folder, its display and its interruptions."""

import contextlib
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from metarl.checkpoints import Checkpoints
from metarl.cli.cores import checked_workers
from metarl.cli.progress import TrainingDisplay
from metarl.cli.runs import Experiment, build_experiment, load_newest_state
from metarl.config import Config
from metarl.errors import MetarlError, RunFolderError
from metarl.metrics import MetricsFile
from metarl.process_pool import Supervision
from metarl.run_folder import create_run_folder, versions, write_config
from metarl.shards import to_vector
from metarl.stable_baselines import read_policy
from metarl.trackers import require_wandb, start_trackers
from metarl.training import OwnLoop, Record, TrainingState, train


class Interrupted(BaseException):
    """SIGINT or SIGTERM came."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run_training(
    config: Config,
    run_dir: Path,
    workers: int | str,
    supervision: Supervision,
    resume: bool = False,
    tensorboard: bool = True,
    wandb_project: str = "",
    notes: Sequence[str] = (),
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

    Raises:
        MetarlError: with what went wrong; the state reached before is saved.

    """
    if wandb_project:
        require_wandb()
    experiment = build_experiment(config)
    workers, note = checked_workers(workers, config.tasks_per_batch)
    if isinstance(experiment.agent, OwnLoop):
        note = f"agent {config.agent} trains in this process, whatever --workers says"
    if note:
        print(f"metarl train: {note}", file=sys.stderr)
    console = Console()
    checkpoints, metrics = Checkpoints(run_dir), MetricsFile(run_dir)
    if resume:
        state = load_newest_state(run_dir, experiment, "metarl train")
        metrics.cut_back(state.iteration)
        if state.iteration >= config.iterations:
            console.print(
                f"{run_dir} has its {state.iteration} iterations; "
                f"go on with --iterations {2 * state.iteration} --resume"
            )
            return 0
        write_config(run_dir, config)
        console.print(f"resuming {run_dir} after iteration {state.iteration}", soft_wrap=True)
    else:
        first = experiment.initial
        if config.initial_policy:
            first = read_policy(
                Path(config.initial_policy), config, experiment.policy.action_space, first
            )
        create_run_folder(run_dir, config)
        agent_state = experiment.agent.initial_state(to_vector(first))
        state = TrainingState(agent_state, iteration=0, env_steps=0)
        for line in notes:
            print(f"metarl train: {line}", file=sys.stderr)

    saved = -1
    recorded_versions = versions()

    def save() -> None:
        nonlocal saved
        if state.iteration != saved:
            checkpoints.save(state, experiment.initial, recorded_versions)
            saved = state.iteration

    again = " ".join(filter(None, ("metarl train", config.preset, f"--run-dir {run_dir} --resume")))
    try:
        with (
            signals_raise(),
            contextlib.closing(
                start_trackers(config, run_dir, state.iteration, tensorboard, wandb_project)
            ) as trackers,
            TrainingDisplay(console, config, state) as display,
        ):
            save()
            with contextlib.closing(
                _outer_loop(experiment, state, workers, supervision)
            ) as outer_loop:
                for state, record in outer_loop:
                    metrics.append(record)
                    display.update(record)
                    trackers.log(record)
                    if state.iteration % config.checkpoint_interval == 0:
                        save()
            save()
    except Interrupted as interruption:
        save()
        print(
            f"metarl train: {signal.Signals(interruption.number).name} after iteration "
            f"{state.iteration}, which is saved; go on with: {again}",
            file=sys.stderr,
        )
        return 128 + interruption.number
    except MetarlError:
        with contextlib.suppress(RunFolderError):  # the first error is the one to tell
            save()
        raise
    console.print(f"trained; now: metarl evaluate {run_dir}", soft_wrap=True)
    return 0


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


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into Interrupted; a second one ends the process at once."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_DFL)
        raise Interrupted(number)

    before = {name: signal.signal(name, interrupt) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
