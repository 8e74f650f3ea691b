"""`metarl evaluate` for supervised problems.

Adapt a trained model to held-out tasks and print the measure on their query sets before adaptation
and after each step: mean squared error of a regression, accuracy of a classification, each with the
95 % bootstrap interval of its mean over tasks. The held-out tasks have a seed of their own, so that
all runs meet the same ones.

--baselines adds the paper's: random (not trained), pretrained (on all tasks together) and, where
the problem has one, oracle (told the task). The last two are runs of `metarl train PRESET --agent
NAME`, looked for beside the run as PRESET-NAME. The step sizes of random and pretrained are tuned
on tasks of training.

The run folder, or --output, gets evaluation.json, evaluation.png and .svg and, of problems that can
be drawn, examples.png and .svg.

Examples:
  metarl evaluate runs/sinusoid
  metarl evaluate runs/sinusoid --baselines --shots 5 10 20
  metarl evaluate runs/characters-5-way-1-shot --adaptation-steps 5 --tasks 200
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from metarl.cli.parsing import parse
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import ConfigError, RunFolderError
from metarl.runs.run_folder import read_any_config

if TYPE_CHECKING:
    from metarl.experiments.supervised_learner import Learner
    from metarl.training import TrainingState


@dataclass(frozen=True)
class SupervisedEvaluateArguments:
    """The arguments of `metarl evaluate` for a supervised problem."""

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")]
    """The run folder."""
    adaptation_steps: int | None = None
    """Inner steps; may be more than in training. None: the preset's number."""
    tasks: int | None = None
    """Held-out tasks. None: the preset's number."""
    shots: tuple[int, ...] | None = None
    """Examples to adapt to, each number in turn; of each class, for a classification. None: the
    preset's numbers."""
    queries: int | None = None
    """Examples to judge by; likewise. None: the preset's number."""
    baselines: bool = False
    """Compare with the baselines."""
    output: Path | None = None
    """The folder for what is written. None: the run folder."""
    seed: int = 1
    """Seeds the held-out tasks; the same seed gives the same tasks."""
    workers: int | str = 1
    """Does not matter: one process adapts."""


def means_a_problem(argv: list[str]) -> bool:
    """Say whether one of the arguments is the folder of a run on a supervised problem."""
    for argument in argv:
        if not argument.startswith("-") and (Path(argument) / "config.json").is_file():
            return isinstance(read_any_config(Path(argument)), SupervisedConfig)
    return False


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(
        SupervisedEvaluateArguments, argv, prog="metarl evaluate", description=__doc__ or ""
    )
    recorded = read_any_config(arguments.run_dir)
    if not isinstance(recorded, SupervisedConfig):
        raise ConfigError(f"{arguments.run_dir} is not a run on a supervised problem")
    config = _for_test(recorded, arguments)
    output = arguments.output or arguments.run_dir
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make {output}: {error.strerror}") from error
    # From here on torch is needed, which takes its time to import.
    from rich.console import Console

    from metarl.cli.listing import WIDTH_WITHOUT_TERMINAL
    from metarl.cli.supervised_output import show_and_write
    from metarl.cli.supervised_runs import build_learner, load_state
    from metarl.experiments.supervised_evaluation import evaluate
    from metarl.experiments.supervised_learner import initial_state
    from metarl.foundation.threads import one_thread

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_WITHOUT_TERMINAL)
    learner = build_learner(config)
    contenders: dict[str, tuple[Learner, TrainingState]] = {
        config.agent: (learner, load_state(arguments.run_dir, learner, "metarl evaluate"))
    }
    if arguments.baselines:
        random = build_learner(dataclasses.replace(config, agent="maml", learn_step_sizes=False))
        contenders["random"] = (random, initial_state(random))
        for agent, run_dir in _trained_baselines(config, arguments.run_dir).items():
            theirs = read_any_config(run_dir)
            if not isinstance(theirs, SupervisedConfig) or theirs.agent != agent:
                raise ConfigError(f"{run_dir} is not a run of agent {agent!r}")
            baseline = build_learner(_for_test(theirs, arguments))
            contenders[agent] = (baseline, load_state(run_dir, baseline, "metarl evaluate"))
    curves = []
    for agent, (contender, state) in contenders.items():
        for shots in config.shots_at_test:
            with (
                one_thread(),
                console.status(f"{agent}: adapting to {config.test_tasks} held-out tasks"),
            ):
                curves.append(
                    evaluate(contender, state.agent, state.iteration, agent, shots, arguments.seed)
                )
    show_and_write(console, output, config, arguments.seed, curves, contenders)
    return 0


def _for_test(config: SupervisedConfig, arguments: SupervisedEvaluateArguments) -> SupervisedConfig:
    given: dict[str, Any] = {
        "test_adaptation_steps": arguments.adaptation_steps,
        "test_tasks": arguments.tasks,
        "test_shots": arguments.shots,
        "test_queries": arguments.queries,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(config, **changes)


def _trained_baselines(config: SupervisedConfig, run_dir: Path) -> dict[str, Path]:
    """Find the runs of the baselines beside a run.

    Raises:
        ConfigError: one is missing.

    """
    from metarl.cli.supervised_runs import build_problem

    found = {}
    names = ["pretrained", *(["oracle"] if build_problem(config).numbers_told else [])]
    for agent in names:
        if agent == config.agent:
            continue
        folder = run_dir.parent / f"{config.preset}-{agent}"
        if not folder.is_dir():
            raise ConfigError(
                f"there is no run {folder} of baseline {agent!r}; `metarl train {config.start} "
                f"--agent {agent} --run-dir {folder}` makes it"
            )
        found[agent] = folder
    return found
