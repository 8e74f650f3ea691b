"""Trackers: what they show, and that none of them stops training."""

import json
import sys
import time
import types
from pathlib import Path

import pytest

from metarl.cli import main

pytestmark = pytest.mark.whole_runs

SMALL = ["--tasks-per-batch", "2", "--episodes-per-task", "2", "--horizon", "4"]
SMALL += ["--hidden-sizes", "4", "--workers", "0", "--run-dir", "r"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(*arguments):
    return main(["train", "navigation-2d", *SMALL, *arguments])


def resume(*arguments):
    return main(["train", "navigation-2d", "--run-dir", "r", "--resume", *arguments])


def metrics():
    return [json.loads(line) for line in Path("r/metrics.jsonl").read_text().splitlines()]


def events(name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator("r/tensorboard")
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(name)]


def test_tensorboard_shows_the_metrics_and_a_resumed_run_repeats_no_point():
    assert train("--iterations", "3", "--checkpoint-interval", "2") == 0
    newest = Path("r/checkpoints/iteration-000003")
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()  # as if killed after the third iteration, before its checkpoint
    time.sleep(1.1)  # TensorBoard puts files in order by the second in which they began
    assert resume("--iterations", "4", "--workers", "0") == 0
    records = metrics()
    assert [record["iteration"] for record in records] == [1, 2, 3, 4]
    for name in ("return/post_adaptation_return", "update/kl", "seconds/iteration_seconds"):
        expected = [(r["iteration"], pytest.approx(r[name.partition("/")[2]])) for r in records]
        assert events(name) == expected


def test_without_tensorboard_there_are_no_events():
    assert train("--iterations", "1", "--no-tensorboard") == 0
    assert not Path("r/tensorboard").exists()


def test_a_tracker_that_fails_is_named_once_and_training_goes_on(monkeypatch, capsys):
    from torch.utils.tensorboard import SummaryWriter

    def fail(*arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr(SummaryWriter, "add_scalar", fail)
    assert train("--iterations", "3") == 0
    assert len(metrics()) == 3
    assert capsys.readouterr().err == "metarl train: goes on without TensorBoard: disk full\n"


class Wandb(types.ModuleType):
    """Stands for the library of Weights & Biases, and remembers what it was given."""

    def __init__(self):
        super().__init__("wandb")
        self.__spec__ = types.SimpleNamespace()
        self.started, self.logged, self.finished = [], [], 0

    def init(self, **options):
        self.started.append(options)
        return self

    def log(self, points, step):
        self.logged.append((step, points))

    def finish(self):
        self.finished += 1


def test_weights_and_biases_gets_every_iteration_and_goes_on_with_the_same_run(monkeypatch):
    wandb = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    assert train("--iterations", "2", "--wandb", "papers") == 0
    assert resume("--iterations", "3", "--wandb", "papers", "--workers", "0") == 0
    first, second = (options["id"] for options in wandb.started)
    assert first == second
    assert wandb.started[0]["project"] == "papers"
    assert wandb.started[0]["config"]["preset"] == "navigation-2d"
    assert [step for step, _ in wandb.logged] == [1, 2, 3]
    returns = [points["return/post_adaptation_return"] for _, points in wandb.logged]
    assert returns == [record["post_adaptation_return"] for record in metrics()]
    assert wandb.finished == 2


def test_missing_weights_and_biases_is_told_before_training(monkeypatch, capsys):
    monkeypatch.setattr("metarl.runs.trackers.find_spec", lambda name: None)
    assert train("--iterations", "1", "--wandb", "papers") == 2
    assert 'pip install "metarl-suite[wandb]"' in capsys.readouterr().err
    assert not Path("r").exists()
