"""A GPU without memory for what is asked: the estimate, and the refusal before any work."""

import dataclasses

import pytest
import torch
from allocations import allocated_to_evaluate, allocated_to_train
from building import tiny_config

from metarl.agent import gradient_memory
from metarl.cli import main
from metarl.experiments.build import build_experiment
from metarl.experiments.room import PROCESS_BYTES, bytes_to_meet, iteration_need
from metarl.foundation import memory
from metarl.foundation.errors import ConfigError
from metarl.workers import shards

pytestmark = pytest.mark.whole_runs

MEBIBYTE = 2**20


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
        for module in (shards, gradient_memory):
            monkeypatch.setattr(module, "tasks_in_one_call", lambda device: True)
        require_near(preset, case)


def require_near(preset, case):
    changes = {"iterations": 1, "tasks_per_batch": 5, "horizon": 40, **CASES[case]}
    fraction = changes.pop("curvature_fraction", 1.0)
    config = tiny_config(preset, **changes, agent_settings={"curvature_fraction": fraction})
    experiment = build_experiment(config)
    estimate = iteration_need(experiment.agent, experiment.sizes(0)).count
    assert estimate / 1.5 < allocated_to_train(experiment) < 1.5 * estimate


def test_each_worker_takes_a_process_of_the_card():
    experiment = build_experiment(tiny_config())
    alone, two = (
        iteration_need(experiment.agent, experiment.sizes(workers)).count for workers in (0, 2)
    )
    assert 2 * PROCESS_BYTES < two - alone < 2.1 * PROCESS_BYTES


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


class Unsized:
    """MAML-TRPO as a plug-in has it that says nothing of memory."""

    def __init__(self, agent):
        self.family = dataclasses.replace(agent.family, bytes_to_meet=None)
        self.initial_state, self.improve = agent.initial_state, agent.improve


def test_agents_that_do_not_say_what_they_take_are_let_through(monkeypatch):
    monkeypatch.setattr(memory, "free_on_card", lambda device: 1)
    experiment = build_experiment(tiny_config())
    with pytest.raises(ConfigError, match="of the memory of device cpu, and 1 B are free"):
        experiment.require_memory(0)
    with pytest.raises(ConfigError, match="of the memory of device cpu, and 1 B are free"):
        experiment.start_test_workers(0)
    unsized = dataclasses.replace(experiment, agent=Unsized(experiment.agent))
    unsized.require_memory(0)
    unsized.start_test_workers(0).close()


@pytest.mark.parametrize("preset", ["half-cheetah-dir", "navigation-2d"])
@pytest.mark.parametrize(
    "sizes",
    [{"hidden_sizes": (64, 64)}, {"hidden_sizes": (128,), "test_adaptation_steps": 3}],
    ids=["one step", "three steps"],
)
def test_the_estimate_of_an_evaluation_is_near_what_the_cpu_allocates(preset, sizes, monkeypatch):
    for module in (shards, gradient_memory):
        monkeypatch.setattr(module, "tasks_in_one_call", lambda device: True)
    tested = {"test_tasks": 6, "test_episodes_per_task": 8, "test_adaptation_steps": 1, **sizes}
    experiment = build_experiment(tiny_config(preset, horizon=40, **tested))
    estimate = bytes_to_meet(experiment.agent, experiment.test_sizes(0))
    assert estimate / 1.5 < allocated_to_evaluate(experiment) < 1.5 * estimate


def test_an_evaluation_that_a_card_cannot_hold_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "free_on_card", lambda device: 10**6)
    assert main(["evaluate", "navigation-2d", "--tasks", "50", "--workers", "2"]) == 2
    _, line = capsys.readouterr().err.splitlines()  # which trained policy it is, and the error
    assert line.startswith(
        "metarl evaluate: error: an evaluation of tasks = 50 × episodes_per_task = 40 × "
        "horizon = 100 × 4 phases in 2 workers would take about 1."
    )
    assert "GB of the memory of device cpu, and 1 MB are free there; take fewer tasks" in line


@pytest.mark.parametrize(
    ("limit", "used", "statistics", "cache"),
    [
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ],
)
def test_what_a_container_keeps_of_files_is_free(
    limit, used, statistics, cache, tmp_path, monkeypatch
):
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CONTROL_GROUPS", tmp_path)
    (tmp_path / "memory").mkdir()
    assert memory.available_bytes() is None
    (tmp_path / limit).write_text("10000\n")
    (tmp_path / used).write_text("9000\n")
    assert memory.available_bytes() == 1000
    (tmp_path / statistics).write_text(f"anon 2500\nactive_file 500\n{cache} 6000\n")
    assert memory.available_bytes() == 7000
    (tmp_path / limit).write_text("max\n")
    assert memory.available_bytes() is None
