"""Evaluations of one run or several: how they adapt to held-out tasks, compared."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from metarl.agent.protocol import TrainingState
from metarl.api.tables import text_of
from metarl.config.base import ExperimentConfig, tested, tested_like
from metarl.config.comparability import unit_of
from metarl.config.fields import converted
from metarl.config.plugins import AgentSpec, load_agent
from metarl.config.supervised import SupervisedConfig
from metarl.experiments.build import build_experiment, untrained_state
from metarl.experiments.curves import AdaptationCurve, join_seeds, over_seeds
from metarl.experiments.interface import EvaluatedAgent, EvaluationSheet, Experiment
from metarl.foundation.errors import ConfigError
from metarl.foundation.files import make_folder
from metarl.foundation.messages import say
from metarl.foundation.versions import versions
from metarl.foundation.wording import counted
from metarl.reports.example_figures import example_figure
from metarl.reports.example_numbers import keep_numbers
from metarl.reports.figures import Panel, adaptation_figure, save_figure
from metarl.reports.progress import TaskProgress, task_progress_for
from metarl.runs.contenders import Contender, group_runs, with_baselines
from metarl.runs.run_folder import write_evaluation
from metarl.runs.session import load_newest_state
from metarl.runs.supervision import failures_kept, supervise
from metarl.runs.trained_policies import run_folders
from metarl.workers.cores import checked_workers, usable_cores
from metarl.workers.process_pool import Supervision

Folder = str | os.PathLike[str]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """How one agent or several adapt to the same held-out tasks.

    Printed, or as the last value of a notebook's cell, it is the table that `metarl evaluate`
    prints.
    """

    title: str
    """What is measured, on which tasks."""
    measure: str
    """What is measured, in words."""
    found: tuple[EvaluatedAgent, ...]
    """Each agent, or each agent and number of examples."""
    record: dict[str, Any]
    """All of it, in the form of JSON."""
    sheet: EvaluationSheet
    examples: Figure | None = None
    """A picture of single tasks, of problems that can be drawn."""
    files: tuple[Path, ...] = ()
    """What of it is written."""

    @property
    def curve(self) -> AdaptationCurve:
        """The first agent's curve: the mean over its seeds, if there are several."""
        return self.found[0].joint

    @property
    def unit(self) -> str:
        """Of adaptation: a gradient step, or an episode."""
        return self.curve.unit

    @property
    def mean_return(self) -> Float[np.ndarray, " step"]:
        """Mean over tasks after 0, 1, … K units of adaptation."""
        return self.curve.mean

    @property
    def ci95(self) -> Float[np.ndarray, "step 2"]:
        """95 % confidence interval of the mean over tasks, low and high."""
        return self.curve.ci95

    @property
    def per_task_return(self) -> Float[np.ndarray, "task step"]:
        """Of each task after 0, 1, … K units."""
        return self.curve.per_task

    def __repr__(self) -> str:
        """Give the means and their intervals as a table."""
        return text_of(self)

    def plot(self) -> Figure:
        """Draw the curves, with what is published where that is known; a notebook shows it."""
        panels = [
            Panel(
                case.label if len(self.sheet.cases) > 1 else "",
                {one.agent: one.joint for one in self.found if one.case == case.label},
                self.sheet.published.get(case.label, {}),
            )
            for case in self.sheet.cases
        ]
        return adaptation_figure(panels, self.title, self.measure, self.unit)

    def to_json(self) -> dict[str, Any]:
        """Give what `evaluation.json` holds: the record, and the versions that it depends on."""
        return {**self.record, "versions": versions()}

    def save(self, folder: Folder) -> list[Path]:
        """Write `evaluation.json` and the figures into a folder; give the files.

        Raises:
            RunFolderError: they cannot be written.

        """
        file = write_evaluation(Path(folder), self.to_json(), self.sheet.name)
        written = [file, *save_figure(self.plot(), file.with_suffix(""))]
        if self.examples is not None:
            written += save_figure(self.examples, file.with_name("examples"))
            written += keep_numbers(self.examples, file.parent)
        return written


def evaluate(
    runs: Folder | Sequence[Folder],
    *,
    tasks: int | Sequence[Any] | None = None,
    adaptation_steps: int | None = None,
    episodes_per_task: int | None = None,
    query_episodes: int | None = None,
    learning_rates: Sequence[float] | None = None,
    shots: Sequence[int] | None = None,
    queries: int | None = None,
    task_range: str = "",
    baselines: bool = False,
    save: bool = False,
    output: Folder | None = None,
    seed: int = 1,
    workers: int | str | None = None,
    worker_timeout: float = 0.0,
    worker_memory: int = 0,
    progress: TaskProgress | bool | None = None,
) -> list[Evaluation]:
    """Adapt trained policies to held-out tasks, and measure before adaptation and after each unit.

    Runs of one agent are seeds of one experiment; runs of different agents, trained on the same
    tasks, are compared: agents that adapt in different units at equal experience, each by its own
    protocol. The same seed gives the same held-out tasks.

    Args:
        runs: a run folder or several, names of policies that come trained, or hf://USER/NAME.
        tasks: held-out tasks, or a list of tasks; None: the preset's number.
        adaptation_steps: units of adaptation; may be more than in training. None: the preset's.
        episodes_per_task: episodes per task and unit. None: the preset's.
        query_episodes: episodes per task after the last unit; 0: as many. None: the preset's.
        learning_rates: step sizes α of gradient steps, one a step, the last repeated. None: the
            preset's.
        shots: of a supervised problem: examples to adapt to, each number in turn.
        queries: of a supervised problem: examples to judge by.
        task_range: draw the held-out tasks from this range of the preset alone; "training" is the
            one trained on. Empty: from each that there is, one evaluation for each.
        baselines: compare with the baselines that fit the run as well.
        save: write `evaluation.json` and the figures.
        output: the folder to write into; None: the run folder, if there is only one.
        seed: of the held-out tasks and their episodes.
        workers: worker processes; 0: none but this one. None: one for each core.
        worker_timeout: seconds without a sign of life, or on Ray a reply, after which a worker is
            replaced.
        worker_memory: MiB above which a worker is replaced; not on Ray, which has its own.
        progress: a function that is told what is done, and how many of how many tasks are; False:
            nothing is shown. None: a line in a notebook.

    Raises:
        MetarlError: with what went wrong, in a line.

    """
    if not runs:
        raise ConfigError("name a run folder: metarl evaluate RUN_DIR…")
    folders = run_folders(runs)
    contenders = group_runs(folders)
    given = None if tasks is None or isinstance(tasks, int | Real) else list(tasks)
    options = {
        "tasks": tasks if given is None else len(given),
        "adaptation_steps": adaptation_steps,
        "episodes_per_task": episodes_per_task,
        "query_episodes": query_episodes,
        "shots": shots,
        "queries": queries,
    }
    config = tested(contenders[0].config, seed, options)
    if baselines:
        contenders = with_baselines(contenders, folders[0], config)
    contenders = [
        dataclasses.replace(each, config=tested_beside(each.config, config, options))
        for each in contenders
    ]
    if learning_rates is not None:
        contenders = _with_learning_rates(contenders, learning_rates)
    folder = output_folder(folders, output) if save else None
    supervision = supervise("metarl evaluate", folders[0], worker_timeout, worker_memory)
    wanted = usable_cores() if workers is None else workers
    count, note = checked_workers(wanted, config.test_tasks, supervision.memory)
    if note:
        say(f"metarl evaluate: {note}")
    with failures_kept(folders[0]):
        evaluations = evaluate_contenders(
            contenders,
            count,
            supervision,
            task_range=task_range,
            given=given,
            progress=task_progress_for(progress),
        )
    if folder is None:
        return evaluations
    return [dataclasses.replace(each, files=tuple(each.save(folder))) for each in evaluations]


def evaluate_contenders(
    contenders: Sequence[Contender],
    workers: int | str,
    supervision: Supervision,
    *,
    task_range: str = "",
    given: Sequence[Any] | None = None,
    progress: TaskProgress | None = None,
) -> list[Evaluation]:
    """Evaluate agents on the same held-out tasks; give one evaluation for each range of tasks.

    Args:
        contenders: each with the configuration that it is evaluated with.
        workers: worker processes; 0: none but this one.
        supervision: what to do about workers that are lost.
        task_range: as for `evaluate`.
        given: tasks in place of drawn ones.
        progress: told how far it has come.

    """
    sheets: dict[str, EvaluationSheet] = {}
    found: dict[str, list[EvaluatedAgent]] = {}
    trained: list[tuple[Experiment, TrainingState]] = []
    for contender in contenders:
        experiment = build_experiment(contender.config)
        states = _states(contender, experiment)
        trained.append((experiment, states[0]))
        own_sheets = experiment.evaluation_sheets(task_range, given)
        with contextlib.closing(experiment.start_test_workers(workers, supervision)) as pool:
            for sheet in own_sheets:
                sheets.setdefault(sheet.name, sheet)
                found.setdefault(sheet.name, []).extend(
                    _evaluated(experiment, contender, states, pool, sheet, progress)
                )
    first = trained[0][0]
    return [
        Evaluation(
            sheet.title,
            first.measure,
            tuple(found[name]),
            first.evaluation_record(sheet, found[name]),
            sheet,
            example_figure(trained),
        )
        for name, sheet in sheets.items()
    ]


def tested_beside(
    own: ExperimentConfig, first: ExperimentConfig, options: Mapping[str, Any]
) -> ExperimentConfig:
    """Give the configuration that an agent is evaluated with, beside the first.

    Whoever adapts in the same unit does so as the first. Others adapt by their own protocol, but
    for what was asked for, to the same tasks; they are compared at equal experience.
    """
    supervised = isinstance(first, SupervisedConfig)  # whose agents all take gradient steps
    if supervised or load_agent(own.agent).unit == load_agent(first.agent).unit:
        return tested_like(own, first)
    found = tested(own, first.seed, {**options, "tasks": first.test_tasks})
    return dataclasses.replace(found, test_adaptation_steps=0) if found.never_adapts else found


def _with_learning_rates(
    contenders: Sequence[Contender], rates: Sequence[float]
) -> list[Contender]:
    """Give the step sizes of the evaluation to those who take gradient steps."""
    takes_steps = [
        isinstance(each.config, SupervisedConfig) or unit_of(each.config.agent) == AgentSpec.unit
        for each in contenders
    ]
    if not any(takes_steps):
        agents = ", ".join(each.config.agent for each in contenders)
        raise ConfigError(f"learning_rates means nothing where {agents} takes no gradient steps")
    field = "test_learning_rates"
    given = rates.tolist() if isinstance(rates, np.ndarray) else rates
    change = {field: converted(type(contenders[0].config), field, given, "learning_rates")}
    return [
        dataclasses.replace(each, config=dataclasses.replace(each.config, **change))
        if takes
        else each
        for each, takes in zip(contenders, takes_steps, strict=True)
    ]


def _states(contender: Contender, experiment: Experiment) -> list[TrainingState]:
    return [
        load_newest_state(run_dir, experiment, "metarl evaluate")
        if run_dir
        else untrained_state(contender.config, seed)
        for run_dir, seed in zip(contender.run_dirs, contender.seeds, strict=True)
    ]


def _evaluated(
    experiment: Experiment,
    contender: Contender,
    states: Sequence[TrainingState],
    pool: Any,
    sheet: EvaluationSheet,
    progress: TaskProgress | None,
) -> list[EvaluatedAgent]:
    """Evaluate one agent's runs on every case of a sheet."""
    config, found = contender.config, []
    for case in sheet.cases:
        curves = []
        for run_dir, state in zip(contender.run_dirs, states, strict=True):
            tasks = counted(config.test_tasks, "held-out task")
            what = f"{run_dir or config.agent}: adapting to {tasks}"
            tell = None
            if progress is not None:
                progress(what, 0, config.test_tasks)
                tell = _telling(progress, what)
            curves.append(experiment.evaluate(pool, state.agent, case, tell))
        several = len(curves) > 1
        found.append(
            EvaluatedAgent(
                agent=config.agent,
                case=case.label,
                run_dirs=tuple(str(it) if it else None for it in contender.run_dirs),
                training_seeds=contender.seeds,
                iterations=tuple(state.iteration for state in states),
                learning_rates=experiment.learning_rates_at_test(states[0].agent, case),
                curves=tuple(curves),
                joint=join_seeds(curves, config.seed) if several else curves[0],
                seeds=over_seeds(curves, config.seed) if several else None,
            )
        )
    return found


def _telling(progress: TaskProgress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total)


def output_folder(folders: Sequence[Path], output: Folder | None) -> Path:
    """Give the folder that an evaluation is written into; it exists afterwards.

    Raises:
        ConfigError: there are several runs and no folder is named.
        RunFolderError: it cannot be made.

    """
    if output is None:
        if len(folders) > 1:
            raise ConfigError("several runs are evaluated into a folder: name it by --output DIR")
        return folders[0]
    folder = Path(output)
    make_folder(folder)
    return folder
