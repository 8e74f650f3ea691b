"""A training session: from start or resume to the end, with all that it keeps on disk."""

import contextlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from metarl.agent.protocol import Record, TrainingState, require_usable
from metarl.agent.rejections import Rejections
from metarl.config.base import ExperimentConfig
from metarl.experiments.build import build_experiment
from metarl.experiments.interface import Experiment
from metarl.foundation.device_errors import advice_on, device_failure
from metarl.foundation.errors import DeviceError, RunFolderError
from metarl.foundation.messages import say
from metarl.foundation.versions import physics_warning, versions
from metarl.foundation.wording import counted
from metarl.runs.checkpoints import Checkpoints
from metarl.runs.interruptions import Interrupted, Interruptions
from metarl.runs.metrics import MetricsFile
from metarl.runs.provenance import record_session
from metarl.runs.recorder import RunRecorder
from metarl.runs.run_folder import make_run_folder, require_no_run, sweep, write_config
from metarl.runs.run_lock import locked
from metarl.runs.trackers import require_wandb, start_trackers
from metarl.training import train
from metarl.workers.cores import checked_workers
from metarl.workers.process_pool import Supervision, refuse_imported_script


@runtime_checkable
class Display(Protocol):
    """Shows how training goes."""

    def tell(self, text: str) -> None:
        """Say a line."""

    def begin(self, experiment: Experiment, state: TrainingState) -> None:
        """Be told what is trained, and from where on."""

    def update(self, record: Record) -> None:
        """Be told the metrics of each record."""

    def end(self) -> None:
        """Be told that nothing follows, whatever has happened."""


@dataclass(frozen=True)
class SessionOptions:
    """How a session is to go, beside what the configuration says."""

    run_dir: Path
    """New, or on resume one that a session wrote."""
    workers: int | str
    """How many worker processes, or the address of a Ray cluster."""
    supervision: Supervision
    """What to do about workers that are lost."""
    resume: bool = False
    """Go on from the newest checkpoint."""
    tensorboard: bool = True
    """Write its events into the run folder."""
    wandb_project: str = ""
    """A project of Weights & Biases, to log to as well; empty: none."""
    notes: Sequence[str] = ()
    """Lines to say once it is known that the run can start."""
    command: str = ""
    """What started the session, for the run's record."""
    again: str = ""
    """What goes on with the run, for messages; empty: `metarl train` with --resume."""


def run_session(
    config: ExperimentConfig,
    options: SessionOptions,
    display: Display,
    interruptions: Interruptions,
) -> None:
    """Train, from the beginning or from the newest checkpoint.

    Raises:
        MetarlError: with what went wrong; the state reached before is saved.
        Interrupted, KeyboardInterrupt: likewise.

    """
    refuse_imported_script()
    if options.wandb_project:
        require_wandb()
    with interruptions.allowed():
        experiment = build_experiment(config)
        workers, note = checked_workers(
            options.workers, config.tasks_per_batch, options.supervision.memory
        )
        experiment.require_memory(workers)
        beginning = experiment.first_state()
    if not experiment.agent.family.collects_in_shards:
        workers, note = 0, None
    if note:
        _warn(note)
    if not options.resume:
        make_run_folder(options.run_dir)
    with locked(options.run_dir, _warn):
        sweep(options.run_dir)
        carried = experiment.agent.family.carried_bytes
        checkpoints = Checkpoints(options.run_dir, experiment.about, carried)
        metrics = MetricsFile(options.run_dir, config.iterations_per_record)
        state, saved = beginning, None
        if options.resume:
            checkpoints.sweep()
            if checkpoints.exist():
                state = _resumed(options.run_dir, experiment, checkpoints, metrics)
                saved = state.iteration
            else:
                _require_no_records(options.run_dir, metrics)
            trained = config.is_trained(state.iteration, state.env_steps)
            if trained and saved is not None:
                display.tell(f"{options.run_dir} {_trained_for(config, state)}")
                return
        else:
            require_no_run(options.run_dir)  # somebody may have been quicker
        write_config(options.run_dir, config)
        if saved is not None:
            display.tell(f"resuming {options.run_dir} after iteration {saved}")
        for line in options.notes:
            _warn(line)
        computed_by = versions(*experiment.packages)
        interval = config.checkpoint_interval
        recorder = RunRecorder(
            checkpoints, metrics, experiment.initial, computed_by, interval, saved, _warn
        )
        recorder.save(state)
        record_session(
            options.run_dir,
            options.command,
            config.seed,
            state.iteration,
            workers,
            computed_by,
            config.device,
            _warn,
        )
        _train(experiment, state, workers, options, recorder, display, interruptions)


def resume_command(config: ExperimentConfig, run_dir: Path) -> str:
    """Give the command that goes on with a run."""
    parts = ("metarl", "train", config.preset, "--run-dir", str(run_dir), "--resume")
    return shlex.join(filter(None, parts))


def _train(
    experiment: Experiment,
    state: TrainingState,
    workers: int | str,
    options: SessionOptions,
    recorder: RunRecorder,
    display: Display,
    interruptions: Interruptions,
) -> None:
    config: ExperimentConfig = experiment.config
    rejections = Rejections(config.most_rejections)
    again = options.again or resume_command(config, options.run_dir)
    with interruptions.allowed():  # a network may be waited for
        trackers = start_trackers(
            config, options.run_dir, state.iteration, options.tensorboard, options.wandb_project
        )
    with contextlib.closing(trackers), contextlib.ExitStack() as at_the_end:
        at_the_end.callback(display.end)
        display.begin(experiment, state)
        try:
            with contextlib.ExitStack() as running:
                with interruptions.allowed():
                    pool = experiment.start_workers(workers, options.supervision)
                    running.callback(pool.close)
                outer_loop = train(experiment, pool, state)
                while True:
                    with interruptions.allowed():
                        step = next(outer_loop, None)
                    if step is None:
                        break
                    require_usable(step[0].agent, state.agent)
                    state, record = step
                    recorder.record(state, record)
                    display.update(record)
                    trackers.log(record)
                    rejections.count(record)
            recorder.save(state)
        except (Interrupted, KeyboardInterrupt) as interruption:
            unsaved = _save_at_last(recorder, state)
            _warn(
                f"{_name(interruption)} after iteration {state.iteration}, which "
                f"{unsaved or 'is saved'}; go on with: {again}"
            )
            if isinstance(interruption, Interrupted):
                interruption.told = True
            raise
        except RunFolderError as error:
            _save_at_last(recorder, state)
            raise RunFolderError(
                f"{error}; the newest checkpoint is of iteration {recorder.saved} of "
                f"{state.iteration}; when there is room, go on with: {again}"
            ) from error
        except BaseException as error:
            unsaved = _save_at_last(recorder, state)
            if told := device_failure(error):
                raise DeviceError(
                    f"device {config.device} failed in iteration {state.iteration + 1} ({told}); "
                    f"iteration {state.iteration} {unsaved or 'is saved'}; {advice_on(told)}; then "
                    f"go on with: {again}"
                ) from error
            if unsaved:
                _warn(f"iteration {state.iteration} {unsaved}")
            raise
    display.tell(f"trained; now: metarl evaluate {options.run_dir}")


def load_newest_state(
    run_dir: Path,
    experiment: Experiment,
    speaker: str = "metarl",
    up_to: int | None = None,
    *,
    experience: bool = False,
) -> TrainingState:
    """Load a run's newest good checkpoint; say on standard error what is doubtful about it.

    Args:
        run_dir: the run folder.
        experiment: what was run.
        speaker: who says it.
        up_to: the newest iteration wanted; None: any.
        experience: whether the agent's experience is wanted as well, to train on.

    Raises:
        RunFolderError: there is no good checkpoint.

    """
    carried = experiment.agent.family.carried_bytes
    checkpoints = Checkpoints(run_dir, experiment.about, carried)
    state, recorded, skipped = checkpoints.load_newest(
        experiment.initial, up_to, experience=experience
    )
    for damaged in skipped:
        say(f"{speaker}: passed over checkpoint {damaged}")
    if warning := physics_warning(recorded):
        say(f"{speaker}: {warning}")
    return state


def _trained_for(config: ExperimentConfig, state: TrainingState) -> str:
    """Say of a run that is trained for how long, and how it is trained for longer."""
    if config.is_trained(state.iteration, 0):
        done, name, more = counted(state.iteration, "iteration"), "iterations", 2 * state.iteration
    else:
        done, name, more = counted(state.env_steps, "env step"), "env-steps", 2 * state.env_steps
    return f"has its {done}; go on with --{name} {more} --resume"


def _name(interruption: BaseException) -> str:
    return interruption.name if isinstance(interruption, Interrupted) else "interrupted"


def _save_at_last(recorder: RunRecorder, state: TrainingState) -> str:
    """Save what is not saved yet; give the reason, as the end of a sentence, if that fails."""
    try:
        recorder.save(state)
    except RunFolderError as error:
        return f"is not saved ({error}), the newest checkpoint is of iteration {recorder.saved}"
    return ""


def _resumed(
    run_dir: Path, experiment: Experiment, checkpoints: Checkpoints, metrics: MetricsFile
) -> TrainingState:
    """Go back to the newest checkpoint whose metrics are there or, without one, to the newest."""
    try:
        state = load_newest_state(
            run_dir, experiment, "metarl train", metrics.count(), experience=True
        )
    except RunFolderError:
        state = load_newest_state(run_dir, experiment, "metarl train", experience=True)
    checkpoints.set_aside_after(state.iteration)
    if missing := metrics.cut_back(state.iteration):
        _warn(
            f"{run_dir} lacks the metrics of {missing} of "
            f"{counted(state.iteration, 'iteration')}; the policy does not need them, and training "
            "goes on"
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


def _warn(text: str) -> None:
    say(f"metarl train: {text}")
