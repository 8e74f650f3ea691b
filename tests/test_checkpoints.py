"""Checkpoints and the metrics file: whole, checked, and nothing lost."""

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from metarl.agent.protocol import AgentState, TrainingState
from metarl.foundation import files
from metarl.foundation.errors import RunFolderError
from metarl.runs.checkpoints import KEPT, Checkpoints
from metarl.runs.metrics import MetricsFile, read_metrics
from metarl.runs.run_folder import CONFIG_FILE, require_no_run, sweep

TEMPLATE = {"mean.weight": torch.zeros(2, 3), "log_std": torch.zeros(2)}


def state(iteration, seed=0):
    theta = np.random.default_rng(seed + iteration).standard_normal(8).astype(np.float32)
    optimiser = {"momentum": np.arange(4.0), "count": np.array([iteration])}
    return TrainingState(AgentState(theta, optimiser), iteration, 100 * iteration)


def saved(tmp_path, *iterations):
    checkpoints = Checkpoints(tmp_path)
    for iteration in iterations:
        checkpoints.save(state(iteration), TEMPLATE, {"mujoco": "9"})
    return checkpoints


def test_a_checkpoint_gives_back_every_bit(tmp_path):
    loaded, versions, skipped = saved(tmp_path, 3, 7).load_newest(TEMPLATE)
    expected = state(7)
    assert loaded.agent.theta.tobytes() == expected.agent.theta.tobytes()
    assert loaded.agent.theta.dtype == np.float32
    assert (loaded.iteration, loaded.env_steps) == (7, 700)
    for name, array in expected.agent.optimiser.items():
        assert loaded.agent.optimiser[name].tobytes() == array.tobytes()
    assert versions == {"mujoco": "9"}
    assert skipped == []


def test_whatever_else_an_agent_carries_comes_back(tmp_path):
    theta = state(1).agent.theta
    others = {"hidden": np.arange(6.0).reshape(2, 3), "seen": np.array(7), "step_sizes": 2 * theta}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(TrainingState(AgentState(theta, {}, others), 1, 0), TEMPLATE, {})
    tensors = load_file(tmp_path / "checkpoints/iteration-000001/parameters.safetensors")
    assert tensors["step_sizes/mean.weight"].shape == (2, 3)  # as the parameters, by layer
    loaded, _, _ = checkpoints.load_newest(TEMPLATE)
    assert loaded.agent.others.keys() == others.keys()
    for name, array in others.items():
        assert np.array_equal(loaded.agent.others[name], array)
        assert loaded.agent.others[name].dtype == array.dtype


def test_the_parameters_lie_there_by_name(tmp_path):
    saved(tmp_path, 1)
    tensors = load_file(tmp_path / "checkpoints/iteration-000001/parameters.safetensors")
    assert tensors["policy/mean.weight"].shape == (2, 3)
    joined = np.append(tensors["policy/mean.weight"], tensors["policy/log_std"])
    assert np.array_equal(joined, state(1).agent.theta)


def test_only_the_newest_few_are_kept(tmp_path):
    saved(tmp_path, *range(1, 8))
    folders = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert folders == [f"iteration-{n:06d}" for n in range(8 - KEPT, 8)]


@pytest.mark.parametrize("file", ["parameters.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path, file, damage):
    checkpoints = saved(tmp_path, 1, 2)
    path = tmp_path / "checkpoints" / "iteration-000002" / file
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    loaded, _, skipped = checkpoints.load_newest(TEMPLATE)
    assert loaded.iteration == 1
    assert len(skipped) == 1
    assert "iteration-000002" in skipped[0]


def test_what_was_cut_off_while_writing_is_no_checkpoint_and_is_swept_away(tmp_path):
    checkpoints = saved(tmp_path, 1)
    leftover = tmp_path / "checkpoints" / "iteration-000002.partial"
    leftover.mkdir()
    (leftover / "state.json").write_text("{")
    assert checkpoints.load_newest(TEMPLATE)[0].iteration == 1
    checkpoints.save(state(3), TEMPLATE, {})
    assert not leftover.exists()


def test_a_checkpoint_of_another_policy_is_refused(tmp_path):
    other = {**TEMPLATE, "mean.weight": torch.zeros(2, 4)}
    with pytest.raises(
        RunFolderError, match=r"mean.weight has shape \(2, 3\), the policy \(2, 4\)"
    ):
        saved(tmp_path, 1).load_newest(other)


def test_a_checkpoint_of_a_later_format_is_refused(tmp_path):
    checkpoints = saved(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "iteration-000001"
    later = json.dumps({**json.loads((folder / "state.json").read_text()), "format": 99})
    (folder / "state.json").write_text(later)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["state.json"] = hashlib.sha256(later.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunFolderError, match="checkpoint format 99"):
        checkpoints.load_newest(TEMPLATE)


def test_no_checkpoint_at_all_is_said(tmp_path):
    with pytest.raises(RunFolderError, match=r"no usable checkpoint .*none was written"):
        Checkpoints(tmp_path).load_newest(TEMPLATE)


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(RunFolderError, match="cannot write a checkpoint"):
        Checkpoints(tmp_path).save(state(1), TEMPLATE, {})


def records(*iterations):
    return [{"iteration": iteration, "kl": 0.1 * iteration} for iteration in iterations]


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path):
    metrics = MetricsFile(tmp_path)
    for record in records(1, 2, 3, 4):
        metrics.append(record)
    metrics.cut_back(2)
    assert read_metrics(tmp_path) == records(1, 2)
    metrics.append(records(3)[0])
    assert read_metrics(tmp_path) == records(1, 2, 3)


def test_a_last_record_that_was_cut_short_is_passed_over(tmp_path):
    metrics = MetricsFile(tmp_path)
    for record in records(1, 2, 3):
        metrics.append(record)
    file = tmp_path / "metrics.jsonl"
    file.write_text(file.read_text()[:-8])
    assert read_metrics(tmp_path) == records(1, 2)
    metrics.cut_back(2)
    assert file.read_text().count("\n") == 2


def test_metrics_that_lack_what_the_checkpoint_stands_on_are_counted_and_kept(tmp_path):
    metrics = MetricsFile(tmp_path)
    for record in records(1, 3, 4):
        metrics.append(record)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    assert metrics.count() == 1
    assert metrics.cut_back(3) == 1
    assert read_metrics(tmp_path) == records(1, 3)
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == before
    metrics.append(records(4)[0])
    assert read_metrics(tmp_path) == records(1, 3, 4)


def test_a_damaged_record_in_the_middle_is_named(tmp_path):
    lines = [json.dumps(record) for record in records(1, 2, 3)]
    lines[1] = "{broken"
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(RunFolderError, match="line 2 is damaged"):
        read_metrics(tmp_path)


def test_two_writers_of_one_file_do_not_meet(tmp_path, monkeypatch):
    file, write_new = tmp_path / "evaluation.json", files.write_new

    def write_beside_another(partial, data):
        write_new(partial, data)
        if data == b"mine":
            files.write_whole(file, b"theirs")
            assert file.read_bytes() == b"theirs"

    monkeypatch.setattr(files, "write_new", write_beside_another)
    files.write_whole(file, b"mine")
    assert file.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_is_not_written_whole_leaves_nothing(tmp_path, monkeypatch):
    def be_interrupted(partial, data):
        partial.write_bytes(data[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_new", be_interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_whole(tmp_path / CONFIG_FILE, b"whole")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_start_left_is_no_run_and_is_swept(tmp_path):
    writers = [files.put_in_place(tmp_path / CONFIG_FILE) for _ in range(2)]
    for writer in writers:  # that are never left, as a process is killed
        writer.__enter__().write_bytes(b"wh")
    assert len(list(tmp_path.iterdir())) == 2
    require_no_run(tmp_path)
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
