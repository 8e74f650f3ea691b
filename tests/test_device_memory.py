"""A GPU without memory for what is asked: the estimate, and the refusal before any work."""

import dataclasses

import pytest
import torch
from building import first_state, pool, tiny_config
from torch.profiler import ProfilerActivity, profile

from metarl.cli import main
from metarl.experiments import device_memory, environment_experiment
from metarl.experiments.build import build_experiment
from metarl.foundation import memory
from metarl.foundation.errors import ConfigError
from metarl.training import train
from metarl.workers import shards

pytestmark = pytest.mark.whole_runs

MEBIBYTE = 2**20


def allocated_at_most(experiment):
    """What torch held at once in an iteration on the CPU, in bytes."""
    with (
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled,
        pool(experiment) as workers,
    ):
        next(train(experiment, workers, first_state(experiment)))
    events = [
        event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


CASES = {
    "all steps, one layer": {"hidden_sizes": (32,)},
    "all steps, two layers": {"hidden_sizes": (64, 64), "episodes_per_task": 8},
    "few steps, wide": {"hidden_sizes": (128, 128), "curvature_fraction": 0.05},
    "two inner steps": {"hidden_sizes": (64, 64), "adaptation_steps": 2, "tasks_per_batch": 10},
    "double precision": {"hidden_sizes": (64, 64), "dtype": "float64"},
}


@pytest.mark.parametrize("preset", ["half-cheetah-dir", "navigation-2d"])
@pytest.mark.parametrize("case", list(CASES))
def test_the_estimate_is_near_what_the_cpu_allocates(preset, case, monkeypatch):
    require_near(preset, case)
    if case in (
        "few steps, wide",
        "all steps, two layers",
    ):  # and as a GPU computes: all tasks at once
        for module in (shards, environment_experiment):
            monkeypatch.setattr(module, "tasks_in_one_call", lambda device: True)
        require_near(preset, case)


def require_near(preset, case):
    changes = {"tasks_per_batch": 5, "horizon": 40, **CASES[case]}
    fraction = changes.pop("curvature_fraction", 1.0)
    config = tiny_config(preset, **changes, agent_settings={"curvature_fraction": fraction})
    experiment = build_experiment(config)
    estimate = experiment.bytes_on_card(0, fraction)
    assert estimate / 1.5 < allocated_at_most(experiment) < 1.5 * estimate


def test_each_worker_takes_a_process_of_the_card():
    experiment = build_experiment(tiny_config())
    alone, two = (experiment.bytes_on_card(workers, 1.0) for workers in (0, 2))
    assert 2 * device_memory.PROCESS_BYTES < two - alone < 2.1 * device_memory.PROCESS_BYTES


def test_what_a_card_cannot_hold_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(memory, "free_on_card", lambda device: asked.append(device) or 10**9)
    assert main(["train", "half-cheetah-dir", "--workers", "2", "--device", "cpu:0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "metarl train: error: an iteration of tasks_per_batch = 40 × episodes_per_task = 20 × "
        "horizon = 100 × 2 phases in 2 workers would take about 1."
    )
    assert "GB of the memory of device cpu:0, and 1 GB are free there; take fewer tasks" in line
    assert asked == ["cpu:0"]
    assert list(tmp_path.iterdir()) == []


def test_a_card_with_room_is_let_through(monkeypatch):
    monkeypatch.setattr(memory, "free_on_card", lambda device: 80 * 2**30)
    build_experiment(tiny_config()).require_memory(2)


def test_what_is_free_is_asked_of_the_card_that_is_named(monkeypatch):
    cards = {"cuda:1": (3 * MEBIBYTE, 80 * MEBIBYTE)}
    monkeypatch.setattr(torch.cuda, "mem_get_info", cards.__getitem__)
    assert memory.free_on_card("cuda:1") == 3 * MEBIBYTE
    assert memory.free_on_card("cpu") is None


def test_agents_that_the_estimate_is_not_of_are_let_through(monkeypatch):
    monkeypatch.setattr(memory, "free_on_card", lambda device: 1)
    config = tiny_config()
    with pytest.raises(ConfigError, match="of the memory of device cpu, and 1 B are free"):
        build_experiment(config).require_memory(0)
    other = dataclasses.replace(config, agent="promp", agent_settings={})
    build_experiment(other).require_memory(0)
