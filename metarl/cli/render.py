"""Show a trained policy on held-out tasks, before adaptation and after each step, side by side.

There is a clip for each task, in RUN_DIR/videos unless --output says where. The file's ending
chooses the format: .mp4, .webp or .gif. No display is needed. Actions are the policy's most likely
ones, and every phase starts alike; adaptation itself samples its episodes as evaluation does.

Examples:
  metarl render runs/navigation-2d
  metarl render runs/navigation-2d --task "[0.3, 0.2]" --adaptation-steps 2 --output clip.mp4
  metarl render runs/half-cheetah-dir --tasks 4 --output cheetah.webp
"""

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from metarl.cli.parsing import parse
from metarl.cli.trained import run_folder
from metarl.foundation.errors import ConfigError
from metarl.runs.run_folder import read_config


@dataclass(frozen=True)
class RenderArguments:
    """The arguments of `metarl render`."""

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")]
    """The folder of a run; or the name of a policy that comes trained (`metarl list`)."""
    output: Path | None = None
    """The file; with more than one task, -1, -2, … come before its ending.
    None: RUN_DIR/videos/task.mp4."""
    adaptation_steps: int | None = None
    """Inner steps. None: the preset's number for evaluation."""
    tasks: int = 1
    """Held-out tasks to draw."""
    task: str = ""
    """One task, as JSON, in place of drawn ones."""
    seed: int = 1
    """Seeds the held-out tasks and their episodes."""
    fps: int = 20
    """Frames a second."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(RenderArguments, argv, prog="metarl render", description=__doc__ or "")
    arguments = dataclasses.replace(arguments, run_dir=run_folder(arguments.run_dir))
    config = read_config(arguments.run_dir)
    if not 1 <= arguments.fps <= 100:
        raise ConfigError(f"fps = {arguments.fps} must lie between 1 and 100")
    steps = 0 if config.observe_task else arguments.adaptation_steps
    config = dataclasses.replace(
        config,
        seed=arguments.seed,
        test_tasks=arguments.tasks,
        test_adaptation_steps=config.test_adaptation_steps if steps is None else steps,
    )
    output = arguments.output or arguments.run_dir / "videos" / "task.mp4"
    # From here on torch is needed, which takes its time to import.
    from rich.console import Console
    from rich.progress import Progress

    from metarl.cli.runs import build_experiment, load_newest_state, read_task
    from metarl.experiments.evaluation import adapted_parameters, rates_at_test
    from metarl.foundation.seeding import Split
    from metarl.reports import video
    from metarl.tasks.distribution import sample_tasks
    from metarl.workers.shards import Shard, ShardSpec

    if output.suffix not in video.FORMATS:
        raise ConfigError(f"output = {output} must end in one of {', '.join(video.FORMATS)}")
    experiment = build_experiment(config)
    if arguments.task:
        tasks = [read_task(arguments.task, experiment.environment)]
    else:
        key = (Split.TEST, 0)
        tasks = sample_tasks(
            experiment.environment, config.seed, key, config.test_tasks, config.train_range
        )
    state = load_newest_state(arguments.run_dir, experiment, "metarl render")
    learning_rates = rates_at_test(state.agent, config)
    spec = ShardSpec(config, experiment.policy, config.test_episodes_per_task, range(len(tasks)))
    console = Console()
    with (
        contextlib.closing(Shard(spec)) as shard,
        contextlib.closing(video.make_visible(shard)) as environment,
        Progress(console=console, disable=not console.is_terminal) as progress,
    ):
        bar = progress.add_task("adapting", total=len(tasks) * (len(learning_rates) + 2))
        phases = adapted_parameters(shard, state.agent.theta, tasks, learning_rates)
        for index, (task, parameters) in enumerate(zip(tasks, phases, strict=True)):
            name = f"{output.stem}-{index + 1}" if len(tasks) > 1 else output.stem
            file = output.with_stem(name)
            progress.update(bar, description=f"drawing task {index + 1}")
            recordings = []
            for each in video.record_task(shard, environment, parameters, task, index):
                recordings.append(each)
                progress.advance(bar)
            video.write_clip(file, video.compose(recordings, task), arguments.fps)
            progress.advance(bar)
            console.print(f"written to {file}", soft_wrap=True)
    return 0
