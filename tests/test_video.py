"""Clips: what they show is what happened, and the files play."""

import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest
from building import tiny_config
from PIL import Image

from metarl.cli import main
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import RunFolderError
from metarl.reports import video
from metarl.reports.clip_returns import read_clip_returns, write_clip_returns
from metarl.reports.run_contents import VIDEO_TYPES
from metarl.runs.run_folder import read_config
from metarl.runs.session import load_newest_state
from metarl.workers.shards import Shard

pytestmark = pytest.mark.whole_runs

RUN = Path(__file__).parent.parent / "results" / "navigation-2d"


@pytest.fixture(scope="module")
def recorded():
    """A trained policy before adaptation and after one and two steps, on a goal to the right."""
    config = dataclasses.replace(read_config(RUN), test_tasks=1, test_adaptation_steps=2)
    experiment = build_experiment(config)
    state = load_newest_state(RUN, experiment, "test")
    task = np.array([0.3, 0.2])
    (phases,) = experiment.states_after(Shard(experiment.test_shards()), state.agent, [task])
    environment = video.make_visible(config)
    return video.record_task(experiment, environment, phases, task, 0), task


def test_the_policy_moves_and_adaptation_changes_where(recorded):
    before, after, _ = recorded[0]
    assert np.array_equal(before.frames[0], after.frames[0])  # both begin alike
    time = min(len(before.frames), len(after.frames)) - 1
    assert not np.array_equal(after.frames[0], after.frames[time])
    assert not np.array_equal(before.frames[time], after.frames[time])
    assert sum(after.rewards) > sum(before.rewards) + 10


def test_captions_tell_the_sum_of_the_rewards_so_far(recorded):
    recordings, task = recorded
    for phase, each in enumerate(recordings):
        assert len(each.frames) == len(each.rewards) + 1
        for time in (0, 2, len(each.rewards)):
            heading, so_far = video.captions(each, task, phase, time)[1:]
            assert so_far == f"t {time}   return {sum(each.rewards[:time]):.2f}"
            assert heading == ["before adaptation", "after 1 step", "after 2 steps"][phase]
        assert video.captions(each, task, phase, 999)[2].endswith("ended")
        episode = dataclasses.replace(each, unit="episode")
        assert video.captions(episode, task, phase, 0)[1] == f"episode {phase + 1}"


def test_what_the_episodes_paid_is_kept_beside_the_clip(recorded, tmp_path):
    recordings, task = recorded
    clip = tmp_path / "clip.mp4"
    assert read_clip_returns(clip) is None  # as of clips of older versions
    write_clip_returns(clip, video.returns_of(recordings, task))
    shown = read_clip_returns(clip)
    assert shown.returns == [sum(each.rewards) for each in recordings]
    assert shown.env_steps == [len(each.frames) - 1 for each in recordings]
    for phase, each in enumerate(recordings):
        assert video.captions(each, task, phase, 0)[:2] == (shown.task, shown.phases[phase])
    file = tmp_path / "clip.mp4.json"
    file.write_text(file.read_text().replace('"after 1 step",', ""))
    with pytest.raises(RunFolderError, match="equally many; draw the clip again"):
        read_clip_returns(clip)


def test_columns_are_the_environments_pictures_side_by_side(recorded):
    recordings, task = recorded
    width = recordings[0].frames[0].shape[1]
    height = recordings[0].frames[0].shape[0]
    for time in (0, 3):
        composed = video.compose(recordings, task)[time]
        for phase, each in enumerate(recordings):
            column = composed[-height:, phase * width : (phase + 1) * width]
            if time < len(each.frames):
                assert np.array_equal(column, each.frames[time])


@pytest.mark.parametrize(
    ("phases", "rows", "columns"), [(5, 1, 5), (6, 2, 3), (7, 2, 4), (10, 2, 5)]
)
def test_many_phases_stand_in_rows_that_a_page_can_show(recorded, phases, rows, columns):
    (each, *_), task = recorded
    one, many = video.compose([each], task)[0], video.compose([each] * phases, task)[0]
    height, width = one.shape[:2]
    assert many.shape[:2] == (rows * height, columns * width)
    pictures = [
        many[row * height : (row + 1) * height, column * width : (column + 1) * width]
        for row in range(rows)
        for column in range(columns)
    ]
    top = height - each.frames[0].shape[0]  # the captions differ
    assert all(np.array_equal(found[top:], one[top:]) for found in pictures[:phases])
    assert all((found == 255).all() for found in pictures[phases:])


def test_an_mp4_decodes_to_the_frames_and_the_size_that_were_written(recorded, tmp_path):
    frames = video.compose(*recorded)
    video.write_clip(tmp_path / "clip.mp4", frames, 20)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(decoded) == len(frames)
    assert {frame.shape for frame in decoded} == {frames[0].shape}
    assert abs(decoded[-1].astype(int) - frames[-1]).mean() < 4


@pytest.mark.parametrize("ending", [".webp", ".gif"])
def test_an_animation_holds_as_many_pictures(recorded, tmp_path, ending):
    frames = video.compose(*recorded)[:5]
    video.write_clip(tmp_path / f"clip{ending}", frames, 20)
    with Image.open(tmp_path / f"clip{ending}") as picture:
        assert picture.n_frames == 5
        assert picture.size == frames[0].shape[1::-1]


@pytest.mark.parametrize("ending", video.FORMATS)
def test_a_clip_that_is_not_written_whole_is_none_and_leaves_nothing(tmp_path, monkeypatch, ending):
    clip = tmp_path / f"task-0{ending}"

    def stopped(partial: Path, *_) -> None:
        partial.write_bytes(b"half")
        assert partial.suffix not in VIDEO_TYPES
        raise KeyboardInterrupt

    monkeypatch.setattr(video, "_video", stopped)
    monkeypatch.setattr(video, "_animation", stopped)
    clip.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        video.write_clip(clip, [np.zeros((2, 2, 3), np.uint8)], 20)
    assert list(tmp_path.iterdir()) == [clip]
    assert clip.read_bytes() == b"old"


@pytest.mark.parametrize(
    "preset", ["half-cheetah-dir", "bernoulli-bandit", "tabular-mdp", "pendulum-rand-params"]
)
def test_any_environment_gives_clips(preset):
    at_test = {"test_tasks": 1, "test_episodes_per_task": 2, "test_adaptation_steps": 1}
    config = tiny_config(preset, horizon=4, **at_test)
    experiment = build_experiment(config)
    task, state = experiment.environment.unwrapped.task, experiment.first_state().agent
    (phases,) = experiment.states_after(Shard(experiment.test_shards()), state, [task])
    environment = video.make_visible(config)
    recordings = video.record_task(experiment, environment, phases, task, 0)
    environment.close()
    frames = video.compose(recordings, task)
    assert len(frames) == max(len(each.frames) for each in recordings)
    assert not np.array_equal(frames[0], frames[-1])


def test_the_command_writes_a_clip_for_each_task(tmp_path, capsys):
    output = tmp_path / "clip.webp"
    arguments = ["render", str(RUN), "--tasks", "2", "--adaptation-steps", "1"]
    assert main([*arguments, "--output", str(output)]) == 0
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"clip-1.webp", "clip-1.webp.json", "clip-2.webp", "clip-2.webp.json"}
    assert "clip-2.webp" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--output", "clip.avi"], "must end in one of .mp4, .webp, .gif"),
        (["--task", "[0.1"], "is not a task"),
        (["--task", "[9, 9]"], "is not in the task space"),
        (["--fps", "0"], "fps = 0 must lie between 1 and 100"),
        (["--output", "/dev/null/clip.mp4"], "cannot write"),
    ],
)
def test_bad_input_gets_one_line(arguments, complaint, capsys):
    given = ["render", str(RUN), "--adaptation-steps", "0", *arguments]
    assert main(given) != 0
    lines = capsys.readouterr().err.splitlines()
    # With another MuJoCo than the run's, a line before says that the physics may differ.
    (error,) = [line for line in lines if "physics may differ" not in line]
    assert complaint in error
