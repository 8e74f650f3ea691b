"""Run folders that a disk damaged or somebody made: refused in words, or passed over."""

import contextlib
import hashlib
import json
import os
import pickle
import random
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import damaged
from safetensors.numpy import load_file, save_file
from sessions import SMALL

from metarl.cli import main
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import MetarlError, RunFolderError
from metarl.foundation.versions import physics_warning
from metarl.reports.evaluations import read_evaluation
from metarl.reports.report import render_page
from metarl.reports.run_contents import read_run
from metarl.runs.metrics import MetricsFile, read_metrics
from metarl.runs.provenance import read_sessions, summary_of
from metarl.runs.run_folder import read_config
from metarl.runs.session import load_newest_state

pytestmark = pytest.mark.whole_runs

NEWEST = "checkpoints/iteration-000004"
TIMES = 150


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A run folder, trained and evaluated."""
    run_dir = tmp_path_factory.mktemp("good") / "r"
    where = ["--run-dir", str(run_dir), "--iterations", "4", "--checkpoint-interval", "2"]
    tests = ["--test-tasks", "2", "--test-episodes-per-task", "1", "--test-adaptation-steps", "1"]
    assert main(["train", "navigation-2d", *SMALL, *where, *tests]) == 0
    assert main(["evaluate", str(run_dir), "--workers", "0"]) == 0
    return run_dir


@pytest.fixture
def run_dir(good, tmp_path):
    return Path(shutil.copytree(good, tmp_path / "r"))


@pytest.fixture(scope="module")
def experiment(good):
    return build_experiment(read_config(good))


def load(run_dir, experiment):
    return load_newest_state(run_dir, experiment, "metarl evaluate")


def read_metrics_as_all_do(run_dir, experiment):
    load_newest_state(run_dir, experiment, "metarl train", MetricsFile(run_dir).count())
    return read_metrics(run_dir)


READERS = {
    "config.json": lambda run_dir, _: build_experiment(read_config(run_dir)),
    "metrics.jsonl": read_metrics_as_all_do,
    "sessions.jsonl": lambda run_dir, _: [summary_of(it) for it in read_sessions(run_dir)],
    "evaluation.json": lambda run_dir, _: read_evaluation(run_dir / "evaluation.json"),
    f"{NEWEST}/manifest.json": load,
    f"{NEWEST}/state.json": load,
    f"{NEWEST}/parameters.safetensors": load,
}


@pytest.mark.fault(
    22,
    "a file of a run folder is cut off, has flipped bits, or other bytes in it (150 "
    "seeded cases for each file)",
    "it is read as it should be, or one error names it; a damaged checkpoint is passed over",
    group="files",
)
@pytest.mark.parametrize("file", READERS)
def test_damage_is_an_error_of_ours_or_none(run_dir, experiment, file):
    path, outcomes = run_dir / file, set()
    content = path.read_bytes()
    for seed in range(TIMES):
        path.write_bytes(damaged(content, random.Random(seed)))
        try:
            READERS[file](run_dir, experiment)
            outcomes.add("read")
        except MetarlError:
            outcomes.add("refused")
    if "checkpoints" in file or "sessions" in file:
        assert outcomes == {"read"}, "there are older checkpoints, and other lines"
    else:
        assert "refused" in outcomes


def test_what_is_read_in_spite_of_damage_can_be_shown(run_dir):
    """A page of files whose names and numbers have changed, but still are files of a run."""
    evaluation, metrics = run_dir / "evaluation.json", run_dir / "metrics.jsonl"
    evaluation.write_text(evaluation.read_text().replace("task_range", "task_rang"))
    metrics.write_text(metrics.read_text().replace("iteration_seconds", "iteration_secs"))
    metrics.write_text(metrics.read_text().replace("env_steps", "nev_steps"))
    metrics.write_text(metrics.read_text().replace("pre_adaptation_return", "per_return"))
    assert "r was trained in 1 session" in render_page([read_run(run_dir)])


def test_the_same_damage_ends_the_commands_with_one_line(run_dir, capsys):
    (run_dir / "evaluation.json").write_text('{"tasks": 3}')
    assert main(["report", str(run_dir)]) == 2
    (run_dir / "config.json").write_bytes(b"\xff\xfe")
    for verb in (
        ["evaluate"],
        ["render"],
        ["report"],
        ["export"],
        ["train", "--resume", "--run-dir"],
    ):
        assert main([*verb, str(run_dir)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 6
    assert "evaluation.json is no evaluation" in error
    assert "config.json cannot be read" in error


def rewrite(folder, name, content):
    """Change a checkpoint's file and its sum, as one who means harm would."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def with_state(run_dir, **changes):
    state = json.loads((run_dir / NEWEST / "state.json").read_text())
    rewrite(run_dir / NEWEST, "state.json", json.dumps({**state, **changes}).encode())


def with_tensors(run_dir, change):
    file = run_dir / NEWEST / "parameters.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    rewrite(run_dir / NEWEST, file.name, file.read_bytes())


def poison(tensors):
    tensors["policy/log_std"][0] = np.nan


def transpose(tensors):
    name = next(name for name, value in tensors.items() if value.ndim == 2)
    tensors[name] = np.ascontiguousarray(tensors[name].T[:1])


def widen(tensors):
    tensors["policy/log_std"] = tensors["policy/log_std"].astype(np.float64)


def add_layer(tensors):
    tensors["policy/mean.9.weight"] = np.zeros((2, 2), np.float32)


class Harm:
    """What unpickling it would do."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


TAMPERED = {
    "another format": (lambda run: with_state(run, format=99), "checkpoint format 99"),
    "another agent": (lambda run: with_state(run, agent="promp"), "it is of agent 'promp'"),
    "another environment": (
        lambda run: with_state(run, environment="CartPole-v1"),
        "it is of environment 'CartPole-v1'",
    ),
    "another iteration": (lambda run: with_state(run, iteration=10**18), "iteration = 1000"),
    "a negative count": (lambda run: with_state(run, env_steps=-1), "env_steps = -1"),
    "no versions": (lambda run: with_state(run, versions=[1]), "names no versions"),
    "a deep state": (
        lambda run: rewrite(run / NEWEST, "state.json", b"[" * 100_000),
        "maximum recursion depth",
    ),
    "not a number in θ": (lambda run: with_tensors(run, poison), "policy/log_std is not finite"),
    "another architecture": (lambda run: with_tensors(run, transpose), "has shape"),
    "another layer": (lambda run: with_tensors(run, add_layer), "it has a policy/mean.9.weight"),
    "another type": (lambda run: with_tensors(run, widen), "is torch.float64"),
}


@pytest.mark.fault(
    24,
    "a checkpoint of another format, agent, environment, architecture or type, or with NaN in θ",
    "it is refused with the reason, and the next older one is taken",
    group="files",
)
@pytest.mark.parametrize("how", TAMPERED)
def test_a_checkpoint_that_is_not_this_runs_is_passed_over(run_dir, experiment, how, capsys):
    tamper, reason = TAMPERED[how]
    tamper(run_dir)
    assert load(run_dir, experiment).iteration == 2
    said = capsys.readouterr().err
    assert "passed over checkpoint iteration-000004: " in said
    assert reason in said


@pytest.mark.fault(
    25,
    "a checkpoint that is a pickle, or a torch file",
    "nothing in it is executed",
    group="files",
)
@pytest.mark.parametrize("dump", [pickle.dump, torch.save])
def test_a_pickle_is_never_executed(run_dir, experiment, dump, tmp_path, capsys):
    harm = tmp_path / "harmed"
    for name in ("parameters.safetensors", "state.json", "manifest.json"):
        with (run_dir / NEWEST / name).open("wb") as file:
            dump(Harm(harm), file)
        if name != "manifest.json":
            rewrite(run_dir / NEWEST, name, (run_dir / NEWEST / name).read_bytes())
        assert load(run_dir, experiment).iteration == 2
        assert not harm.exists()


@pytest.mark.fault(
    25,
    "symbolic links, named pipes and names of files elsewhere in a run folder",
    "nothing outside the folder is read or written, and nothing is waited for",
    group="files",
)
def test_nothing_outside_the_folder_is_touched(run_dir, experiment, tmp_path, capsys):
    secret = tmp_path / "secret"
    secret.write_bytes((run_dir / "config.json").read_bytes())
    before = secret.read_bytes()
    for name in ("config.json", "metrics.jsonl", "sessions.jsonl", ".lock", "evaluation.json"):
        (run_dir / name).rename(tmp_path / "kept")
        (run_dir / name).symlink_to(secret)
        code = main(["report", str(run_dir)]) if name != ".lock" else 2
        assert code == 2, name
        resume = ["train", "--run-dir", str(run_dir), "--resume", "--iterations", "5"]
        if name in ("config.json", "metrics.jsonl", ".lock"):
            assert main([*resume, "--workers", "0"]) == 2
        (run_dir / name).unlink()
        os.mkfifo(run_dir / name)
        if name != ".lock":
            assert main(["report", str(run_dir)]) == 2, name
        (run_dir / name).unlink()
        (tmp_path / "kept").rename(run_dir / name)
    error = capsys.readouterr().err
    assert "it is a symbolic link" in error
    assert "is not a regular file" in error
    (run_dir / "config.json.partial").symlink_to(secret)
    (run_dir / "checkpoints" / "x.partial").symlink_to(tmp_path, target_is_directory=True)
    assert main([*resume, "--workers", "0", "--no-tensorboard"]) == 0
    assert secret.read_bytes() == before
    shutil.move(run_dir / NEWEST, tmp_path / "elsewhere")
    (run_dir / NEWEST).symlink_to(tmp_path / "elsewhere")
    manifest = run_dir / "checkpoints/iteration-000005/manifest.json"
    manifest.write_text(json.dumps({"sha256": {"../../secret": ""}}))
    shutil.rmtree(run_dir / "checkpoints/iteration-000002")
    with pytest.raises(RunFolderError, match=r"000004: it is a symbolic link"):
        load(run_dir, experiment)
    (run_dir / "checkpoints").rename(tmp_path / "checkpoints")
    (run_dir / "checkpoints").symlink_to(tmp_path / "checkpoints")
    with pytest.raises(RunFolderError, match="no usable checkpoint"):
        load(run_dir, experiment)


@pytest.mark.fault(
    22,
    "a sparse file of 50 GB in place of any file",
    "it is refused by its size, before anything is read",
    group="files",
)
@pytest.mark.parametrize("file", READERS)
def test_a_giant_file_is_refused_before_it_is_read(run_dir, experiment, file):
    with contextlib.suppress(OSError), (run_dir / file).open("r+b") as opened:
        opened.truncate(50 * 10**9)
    if (run_dir / file).stat().st_size < 50 * 10**9:
        pytest.skip("this file system has no sparse files of 50 GB")
    tracemalloc.start()
    try:
        with contextlib.suppress(RunFolderError):
            READERS[file](run_dir, experiment)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.fault(
    22,
    "a configuration of huge or impossible numbers, or nested deeply",
    "one error names file, field and reason; nothing of that size is made",
    group="files",
)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '"hidden_sizes": [1000000000, 1000000000]',
            "1000000000) makes more than",
        ),
        ('"tasks_per_batch": 99999999999999', "tasks_per_batch = 99999999999999 must be at most"),
        ('"seed": 1' + "0" * 30, "must be at most"),
        ('"discount": 1' + "0" * 400, "discount is too large"),
        ('"discount": 1' + "0" * 5000, "cannot be read"),
        ('"discount": NaN', "discount = nan must lie between"),
        ('"env_kwargs": ' + "[" * 50_000 + "]" * 50_000, "recursion"),
    ],
)
def test_a_configuration_of_impossible_numbers_is_refused(run_dir, text, reason):
    fields = json.loads((run_dir / "config.json").read_text())
    del fields[json.loads(text.partition(":")[0])]
    (run_dir / "config.json").write_text(f"{{{text}, {json.dumps(fields)[1:]}")
    with pytest.raises(RunFolderError) as caught:
        read_config(run_dir)
    assert "config.json" in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.fault(
    24,
    "a checkpoint that was computed by other versions, of the environment's package too",
    'a warning: "physics may differ", with the package and both versions',
    group="files",
)
def test_the_environments_package_is_among_the_versions(run_dir, experiment, capsys):
    assert "metarl-suite" in experiment.packages
    pytest.importorskip("minigrid")
    from building import tiny_config

    assert "minigrid" in build_experiment(tiny_config("minigrid-four-rooms")).packages
    with_state(
        run_dir, versions={"minigrid": "0.1", "mujoco": "1.0", "torch": "1", "a plug-in": "2"}
    )
    load(run_dir, experiment)
    warning = capsys.readouterr().err
    assert "physics may differ from the checkpoint's: minigrid 0.1 → " in warning
    assert "mujoco 1.0 → " in warning
    assert "a plug-in 2 → not installed" in warning
    assert "torch" not in warning
    assert physics_warning({"": "1"}) is not None


def test_folders_of_older_versions_are_read(run_dir):
    sessions = run_dir / "sessions.jsonl"
    found = read_sessions(run_dir)
    sessions.rename(run_dir / "sittings.jsonl")  # its name in version 0.1
    assert read_sessions(run_dir) == found
    sessions.write_text('{"seed": 7}\n')
    assert read_sessions(run_dir) == [*found, {"seed": 7}]
    for file in (sessions, run_dir / "sittings.jsonl"):
        file.unlink()
    assert read_sessions(run_dir) == []


def test_environments_that_version_0_1_named_otherwise_are_found():
    folder = Path(__file__).parents[2] / "results" / "pendulum-wrapped"
    assert '"metarl.wrapped:metarl/Wrapped-v0"' in (folder / "config.json").read_text()
    experiment = build_experiment(read_config(folder))
    assert load_newest_state(folder, experiment, "test").iteration == 25
