"""Clips of a policy on one task, before adaptation and after each inner step, side by side.

Every phase starts from the same reset seed and acts by the most likely action, so that what differs
between two columns is the adaptation and not chance.
"""

import contextlib
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from metarl.agent.protocol import AgentState
from metarl.config.reinforcement import Config
from metarl.experiments.environment_experiment import EnvironmentExperiment
from metarl.experiments.playing import play
from metarl.foundation.errors import ConfigError, RenderingError
from metarl.foundation.files import put_in_place
from metarl.foundation.seeding import Purpose, Split, integer_seed
from metarl.reports.clip_returns import ClipReturns, write_clip_returns
from metarl.tasks.action_map import ActionMap
from metarl.tasks.distribution import Task, describe_task
from metarl.tasks.policy_environment import observed_environment
from metarl.tasks.rendering import Frame, render
from metarl.workers.shards import Shard

FORMATS = (".mp4", ".webp", ".gif")
_TASKS_AT_ONCE = 16
_MOST_COLUMNS = 5
_CAPTION_PIXELS = 15
_CAPTION_CHARACTERS = 60
_LINE_HEIGHT = 22
_PAPER = (255, 255, 255)
_INK = (40, 44, 52)


@dataclass(frozen=True)
class Recording:
    """One rendered episode."""

    frames: list[Frame]
    """The picture after the reset and after each step: one more than rewards."""
    rewards: list[float]
    unit: str = "step"
    """Of adaptation, in one word."""


def draw_tasks(
    experiment: EnvironmentExperiment,
    state: AgentState,
    file: Path,
    frames_per_second: int,
    given: Sequence[Task] | None = None,
    progress: Callable[[str, int, int], Any] | None = None,
) -> list[Path]:
    """Draw a clip of each held-out task; give the files.

    Args:
        experiment: the run's; its `test_tasks` says how many tasks.
        state: what was trained.
        file: of the clip; of several tasks, -1, -2, … come before the ending.
        frames_per_second: of the clips.
        given: tasks to draw, in place of held-out ones.
        progress: told what is done, and how many of how many tasks are.

    Raises:
        ConfigError: the file or the number of frames is no good.
        RenderingError: the environment gives no pictures, or a file cannot be written.

    """
    if not 1 <= frames_per_second <= 100:
        raise ConfigError(f"fps = {frames_per_second} must lie between 1 and 100")
    if file.suffix not in FORMATS:
        raise ConfigError(f"output = {file} must end in one of {', '.join(FORMATS)}")
    config = experiment.config
    count = config.test_tasks if given is None else len(given)
    spec = experiment.test_shards()
    tell = progress or (lambda what, done, total: None)
    written = []
    with contextlib.closing(make_visible(config)) as environment:
        for start in range(0, count, _TASKS_AT_ONCE):
            indices = range(start, min(start + _TASKS_AT_ONCE, count))
            tell(f"adapting to tasks {start + 1} to {indices.stop}", start, count)
            source = config.train_range if given is None else list(given)
            drawn = experiment.held_out_tasks(source, count, indices)
            tasks = dict(zip(indices, drawn, strict=True))
            with contextlib.closing(Shard(replace(spec, task_indices=indices))) as shard:
                phases = experiment.states_after(shard, state, tasks)
            for index, states in zip(indices, phases, strict=True):
                tell(f"drawing task {index + 1}", index, count)
                name = f"{file.stem}-{index + 1}" if count > 1 else file.stem
                clip = record_task(experiment, environment, states, tasks[index], index)
                named = file.with_stem(name)
                write_clip(named, compose(clip, tasks[index]), frames_per_second)
                write_clip_returns(named, returns_of(clip, tasks[index]))
                written.append(named)
    tell("drawn", count, count)
    return written


def make_visible(config: Config) -> gym.Env[Any, Any]:
    """Make a configuration's environment so that it gives pictures.

    Raises:
        RenderingError: it cannot be made with pictures.

    """
    kwargs = {**config.env_kwargs, "render_mode": "rgb_array"}
    try:
        return observed_environment(replace(config, env_kwargs=kwargs))
    except (TypeError, ValueError) as error:
        raise RenderingError(f"environment {config.env_id} gives no pictures: {error}") from error


def record_task(
    experiment: EnvironmentExperiment,
    environment: gym.Env[Any, Any],
    states: Sequence[AgentState],
    task: Task,
    number: int,
) -> list[Recording]:
    """Record an episode by the most likely actions for each state, all from the same start.

    Args:
        experiment: the run's.
        environment: from `make_visible`.
        states: what the agent is after 0, 1, … K units of adaptation to the task.
        task: the task.
        number: of the task, which decides the start.

    """
    config = experiment.config
    seed = integer_seed(config.seed, Purpose.RESET, Split.TEST, number)
    action_map = ActionMap(experiment.environment.action_space, config.action_scale)
    unit = experiment.agent.family.unit.rpartition(" ")[2]
    recordings = []
    for state in states:
        frames, rewards = [], []
        for _, reward in play(experiment.actor(state), action_map, environment, task, seed):
            frames.append(render(environment))
            rewards.append(reward)
        recordings.append(Recording(frames, rewards[1:], unit))
    return recordings


def compose(recordings: Sequence[Recording], task: Task) -> list[Frame]:
    """Put phases side by side under captions: task, adaptation steps, time step, return so far.

    More than `_MOST_COLUMNS` stand in several rows. An episode that ended earlier keeps its last
    picture, greyed.
    """
    rows = ceil(len(recordings) / _MOST_COLUMNS)
    columns = ceil(len(recordings) / rows)
    composed = []
    for time in range(max(len(each.frames) for each in recordings)):
        pictures = [_column(each, task, phase, time) for phase, each in enumerate(recordings)]
        empty = np.full_like(pictures[0], _PAPER)
        pictures += [empty] * (rows * columns - len(pictures))
        of_rows = [pictures[first : first + columns] for first in range(0, len(pictures), columns)]
        composed.append(np.vstack([np.hstack(row) for row in of_rows]))
    return composed


def captions(recording: Recording, task: Task, phase: int, time: int) -> tuple[str, str, str]:
    """Give the three lines above one phase's picture at a time."""
    reached = min(time, len(recording.rewards))
    ended = "  ended" if time > reached else ""
    so_far = sum(recording.rewards[:reached])
    return (
        _task_in_a_line(task),
        _heading(recording, phase),
        f"t {reached}   return {so_far:.2f}{ended}",
    )


def returns_of(recordings: Sequence[Recording], task: Task) -> ClipReturns:
    """Say what the episodes of a clip paid; they come by the units of adaptation before them."""
    return ClipReturns(
        task=_task_in_a_line(task),
        phases=[_heading(recording, phase) for phase, recording in enumerate(recordings)],
        returns=[float(sum(recording.rewards)) for recording in recordings],
        env_steps=[len(recording.rewards) for recording in recordings],
    )


def _heading(recording: Recording, phase: int) -> str:
    if recording.unit == "episode":  # who adapts by episodes adapts in the first one too
        return f"episode {phase + 1}"
    return f"after {phase} {recording.unit}{'s' * (phase > 1)}" if phase else "before adaptation"


def _task_in_a_line(task: Task) -> str:
    """Describe a task, which may be a table of numbers."""
    return textwrap.shorten(f"task {describe_task(task)}", _CAPTION_CHARACTERS, placeholder=" …")


def _column(recording: Recording, task: Task, phase: int, time: int) -> Frame:
    last = len(recording.frames) - 1
    picture = recording.frames[min(time, last)]
    if time > last:
        grey = picture.mean(2, keepdims=True)
        picture = np.broadcast_to((grey + 255) / 2, picture.shape).astype(np.uint8)
    lines = captions(recording, task, phase, time)
    height, width = picture.shape[:2]
    top = _LINE_HEIGHT * len(lines) + 6
    # H.264 in the pixel format that browsers play takes even sizes only.
    image = Image.new("RGB", (width + width % 2, top + height + height % 2), _PAPER)
    image.paste(Image.fromarray(picture), (0, top))
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        size = _CAPTION_PIXELS
        while size > 8 and draw.textlength(line, ImageFont.load_default(size)) > width - 12:
            size -= 1
        place = (6, 4 + number * _LINE_HEIGHT)
        draw.text(place, line, fill=_INK, font=ImageFont.load_default(size))
    return np.array(image)


def write_clip(file: Path, frames: Sequence[Frame], frames_per_second: int) -> None:
    """Write a clip in the format that the file's name ends in; it appears whole or not at all.

    Raises:
        RenderingError: the format is not one of FORMATS, or the file cannot be written.

    """
    if file.suffix not in FORMATS:
        raise RenderingError(f"{file} must end in one of {', '.join(FORMATS)}")
    encode = _video if file.suffix == ".mp4" else _animation
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with put_in_place(file) as partial:
            encode(partial, file.suffix[1:], frames, frames_per_second)
    except OSError as error:
        raise RenderingError(f"cannot write {file}: {error.strerror}") from error


def _video(file: Path, form: str, frames: Sequence[Frame], frames_per_second: int) -> None:
    import av

    # `faststart` puts the index first, so that a browser plays before it has the whole file.
    with av.open(str(file), "w", format=form, options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=frames_per_second)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "23"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _animation(file: Path, form: str, frames: Sequence[Frame], frames_per_second: int) -> None:
    first, *others = map(Image.fromarray, frames)
    first.save(
        file,
        format=form,
        save_all=True,
        append_images=others,
        duration=round(1000 / frames_per_second),
        loop=0,
    )
