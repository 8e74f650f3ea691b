"""Clips of a policy on one task, before adaptation and after each inner step, side by side.

Every phase starts from the same reset seed and acts by the most likely action, so that what differs
between two columns is the adaptation and not chance.
"""

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from metarl.experiments.evaluation import play
from metarl.foundation.errors import RenderingError
from metarl.foundation.seeding import Purpose, Split, integer_seed
from metarl.learning.adaptation import Parameters
from metarl.tasks.distribution import Task, describe_task
from metarl.tasks.policy_environment import observed_environment
from metarl.tasks.rendering import Frame, render
from metarl.workers.shards import Shard

FORMATS = (".mp4", ".webp", ".gif")
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


def make_visible(shard: Shard) -> gym.Env[Any, Any]:
    """Make the environment of a shard's configuration so that it gives pictures.

    Raises:
        RenderingError: it cannot be made with pictures.

    """
    config = shard.config
    kwargs = {**config.env_kwargs, "render_mode": "rgb_array"}
    try:
        return observed_environment(dataclasses.replace(config, env_kwargs=kwargs))
    except (TypeError, ValueError) as error:
        raise RenderingError(f"environment {config.env_id} gives no pictures: {error}") from error


def record_episode(
    shard: Shard, environment: gym.Env[Any, Any], parameters: Parameters, task: Task, seed: int
) -> Recording:
    """Play and draw one episode by the most likely actions.

    Args:
        shard: gives the policy and the map of its actions.
        environment: from `make_visible`.
        parameters: to act with.
        task: the task.
        seed: of the reset.

    """
    frames, rewards = [], []
    for _, reward in play(shard, environment, parameters, task, seed):
        frames.append(render(environment))
        rewards.append(reward)
    return Recording(frames, rewards[1:])


def record_task(
    shard: Shard, environment: gym.Env[Any, Any], phases: Sequence[Parameters], task: Task, key: int
) -> Iterator[Recording]:
    """Record one episode of each phase, all from the same start; `key` numbers the start."""
    seed = integer_seed(shard.config.seed, Purpose.RESET, Split.TEST, key)
    for parameters in phases:
        yield record_episode(shard, environment, parameters, task, seed)


def compose(recordings: Sequence[Recording], task: Task) -> list[Frame]:
    """Put phases side by side under captions: task, adaptation steps, time step, return so far.

    An episode that ended earlier keeps its last picture, greyed.
    """
    return [
        np.hstack([_column(each, task, phase, time) for phase, each in enumerate(recordings)])
        for time in range(max(len(each.frames) for each in recordings))
    ]


def captions(recording: Recording, task: Task, phase: int, time: int) -> tuple[str, str, str]:
    """Give the three lines above one phase's picture at a time."""
    reached = min(time, len(recording.rewards))
    heading = ("before adaptation", "after 1 step")[phase] if phase < 2 else f"after {phase} steps"
    ended = "  ended" if time > reached else ""
    so_far = sum(recording.rewards[:reached])
    # A task may be a table of numbers; a caption is one line.
    named = textwrap.shorten(f"task {describe_task(task)}", _CAPTION_CHARACTERS, placeholder=" …")
    return named, heading, f"t {reached}   return {so_far:.2f}{ended}"


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
    encode = _mp4 if file.suffix == ".mp4" else _animation
    partial = file.with_name(f"partial-{file.name}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        encode(partial, frames, frames_per_second)
        partial.replace(file)
    except OSError as error:
        raise RenderingError(f"cannot write {file}: {error.strerror}") from error


def _mp4(file: Path, frames: Sequence[Frame], frames_per_second: int) -> None:
    import av

    # `faststart` puts the index first, so that a browser plays before it has the whole file.
    with av.open(str(file), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=frames_per_second)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "23"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _animation(file: Path, frames: Sequence[Frame], frames_per_second: int) -> None:
    first, *others = map(Image.fromarray, frames)
    first.save(
        file,
        save_all=True,
        append_images=others,
        duration=round(1000 / frames_per_second),
        loop=0,
    )
