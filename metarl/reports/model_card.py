"""The card of a run's model repository: what a report says, for those who find it on the hub.

Nothing is claimed that was not measured of the checkpoint that is shared: without an evaluation the
card says so, and numbers of another iteration or of several seeds are named as such, and stay out
of the results that the hub lists.
"""

import json
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np

from metarl.config.reinforcement import Config, environment_name
from metarl.config.supervised import SupervisedConfig
from metarl.experiments.curves import AdaptationCurve, shown_units
from metarl.foundation.wording import counted
from metarl.reports.evaluations import Evaluation
from metarl.reports.run_contents import TRAINING, Run
from metarl.reports.sections import EvaluatedTasks, evaluated_tasks
from metarl.reports.summary import how_long, in_training, presets_of
from metarl.runs.hub_address import HubAddress

_MOST_NUMBERS_OF_A_TASK = 6
_METRICS = {"mean return": "mean_reward", "accuracy": "accuracy", "mean squared error": "mse"}
"""The hub's names of what evaluations measure."""


@dataclass(frozen=True)
class Shared:
    """What is uploaded, as far as the card says it."""

    run: Run
    """As others see it."""
    address: HubAddress
    iteration: int
    """Of the checkpoint."""
    files: tuple[str, ...]
    license: str
    resumable: bool
    """Whether training can go on from it."""
    started_from: bool
    """Whether training started from a saved policy."""
    foreign: str
    """What of no installed plug-in it names, as a sentence; empty: nothing."""


@dataclass(frozen=True)
class _Measured:
    """What was measured on some held-out tasks, and what has to be said of it."""

    tasks: EvaluatedTasks
    doubt: str


def model_card(shared: Shared) -> str:
    """Give the card: metadata in YAML, as the hub's library writes them, and text in Markdown."""
    from huggingface_hub import ModelCard

    return str(ModelCard(f"---\n{_metadata(shared).to_yaml()}\n---\n\n{_text(shared)}"))


def _metadata(shared: Shared) -> Any:
    from huggingface_hub import ModelCardData

    config = shared.run.config
    if isinstance(config, SupervisedConfig):
        tags, pipeline = ["meta-learning", config.agent, config.problem], None
    else:
        tags = ["reinforcement-learning", "meta-reinforcement-learning", "meta-learning"]
        tags += [config.agent, environment_name(config.env_id)]
        pipeline = "reinforcement-learning"
    return ModelCardData(
        license=shared.license,
        library_name="metarl",
        tags=list(dict.fromkeys([*tags, *filter(None, [config.preset])])),
        pipeline_tag=pipeline,
        model_name=shared.address.repository.rpartition("/")[2],
        eval_results=_results(shared) or None,
    )


def _results(shared: Shared) -> list[Any]:
    """Give the results that the hub lists: of this agent, this checkpoint, and nothing else."""
    return [
        result
        for range_name, evaluation in shared.run.evaluations.items()
        for shots, curves in evaluation.curves.items()
        for agent, curve in curves.items()
        if _is_own(agent, shared.run) and not _doubt(evaluation, shared)
        for result in _results_of_curve(shared.run.config, range_name, evaluation, shots, curve)
    ]


def _results_of_curve(
    config: Config | SupervisedConfig,
    range_name: str,
    evaluation: Evaluation,
    shots: int,
    curve: AdaptationCurve,
) -> list[Any]:
    from huggingface_hub import EvalResult

    of_problem = isinstance(config, SupervisedConfig)
    where = config.problem if isinstance(config, SupervisedConfig) else config.env_id
    configuration = f"{shots}-shot" if of_problem else range_name
    found = []
    for step in shown_units(len(curve.mean) - 1):
        after = f"after {counted(step, curve.unit)} of adaptation"
        measures = [(evaluation.measure, curve.mean[step], curve.ci95[step])]
        if curve.success is not None:
            success = curve.success
            measures.append(("success rate", success.mean[step], success.ci95[step]))
        for measure, mean, ends in measures:
            known = np.isfinite(ends).all()
            found.append(
                EvalResult(
                    task_type="meta-learning" if of_problem else "reinforcement-learning",
                    task_name="few-shot learning" if of_problem else "meta-reinforcement learning",
                    dataset_type=environment_name(where),
                    dataset_name=f"{config.title}: {evaluation.which}",
                    dataset_config=configuration,
                    dataset_split="test",
                    metric_type=_METRICS.get(measure, measure.replace(" ", "_")),
                    metric_name=f"{measure} {after}",
                    metric_value=round(float(mean), 4),
                    metric_args={"ci95": [round(float(it), 4) for it in ends]} if known else None,
                )
            )
    return found


def _text(shared: Shared) -> str:
    run, config = shared.run, shared.run.config
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("metarl.reports"),
        autoescape=False,  # Markdown, of the user's own run
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    (about,) = presets_of([run])
    long = how_long(run)
    return environment.get_template("model_card.md").render(
        address=str(shared.address),
        clips=[it for it in shared.files if it.endswith(".mp4")],
        description=about.description,
        env_steps=long.env_steps,
        evaluated=[
            _Measured(tasks, _doubt(evaluation, shared))
            for tasks, evaluation in zip(
                evaluated_tasks([run]), run.evaluations.values(), strict=True
            )
        ],
        foreign=shared.foreign,
        iterations=counted(shared.iteration, "iteration", ","),
        iteration=shared.iteration,
        more=run.twice_as_long(shared.iteration),
        name=shared.address.repository.rpartition("/")[2],
        numbers=in_training(run).numbers,
        pictures=_pictures(shared.files),
        resumable=shared.resumable,
        run=run,
        source=about.source,
        started_from=shared.started_from,
        task=_example_task(run),
        time=long.time if run.records else "",
        title=f"{config.title}, {run.agent}",
        trained_on=f"problem `{config.problem}`"
        if isinstance(config, SupervisedConfig)
        else f"environment `{config.env_id}`",
    )


def _doubt(evaluation: Evaluation, shared: Shared) -> str:
    """Say what keeps an evaluation's numbers from being this checkpoint's; empty: nothing."""
    own = [found for agent, found in evaluation.iterations.items() if _is_own(agent, shared.run)]
    measured = own[0] if own else ()
    if measured == (shared.iteration,):
        return ""
    again = f"`metarl evaluate {shared.address}` measures it anew."
    if not measured:
        return f"The evaluation does not record of which checkpoint it is. {again}"
    if len(measured) > 1:
        several = f"{len(measured)} seeds"
        return f"These are means over {several}, of which this repository holds one. {again}"
    return (
        f"Measured after {counted(measured[0], 'iteration', ',')}, while the checkpoint here is of "
        f"{shared.iteration:,}. {again}"
    )


def _is_own(agent: str, run: Run) -> bool:
    return agent in ("", run.config.agent)


def _pictures(files: tuple[str, ...]) -> list[tuple[str, str]]:
    """Give the pictures and short clips that a card can show, and what they are."""
    shown = []
    for file in files:
        if file.startswith("evaluation") and file.endswith(".png"):
            shown.append((file, "Means against units of adaptation"))
        elif file == "examples.png":
            shown.append((file, "Single held-out tasks"))
        elif file.endswith((".webp", ".gif")):
            shown.append((file, "A held-out task before adaptation and after each unit of it"))
    return shown


def _example_task(run: Run) -> str:
    """Give a task to adapt to as code, where an evaluation met some that can be written so."""
    met = run.evaluations[TRAINING].tasks if TRAINING in run.evaluations else ()
    first = met[0] if isinstance(met, list) and met else None
    if isinstance(first, list) and len(first) <= _MOST_NUMBERS_OF_A_TASK:
        numbers = [round(it, 2) if isinstance(it, float) else it for it in first]
        if all(isinstance(it, int | float) for it in numbers):
            return json.dumps(numbers)
    return "task"
