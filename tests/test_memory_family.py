"""The protocol fits an agent with a memory: all verbs take one that stands in a file of its own."""

import contextlib
import json
from pathlib import Path

import memory_toy
import numpy as np
import pytest
from building import tiny_config

import metarl
from metarl.cli import main
from metarl.experiments.build import build_experiment
from metarl.experiments.interface import EvaluationCase
from metarl.foundation.seeding import Split
from metarl.training import train

AGENT = "memory_toy:SPEC"
BANDIT = [
    "bernoulli-bandit",
    "--agent",
    AGENT,
    "--tasks-per-batch",
    "3",
    "--episodes-per-task",
    "4",
]
BANDIT += ["--horizon", "3", "--adaptation-steps", "2", "--no-tensorboard"]
AT_TEST = ["--tasks", "3", "--episodes-per-task", "4", "--adaptation-steps", "3", "--workers", "0"]
SURE = [np.array([1.0, 0.0]), np.array([0.0, 1.0])]
"""Bandits of which one pull tells everything."""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train_by_command(run_dir, *arguments, iterations=2, workers=0):
    options = ["--run-dir", run_dir, "--iterations", str(iterations), "--workers", str(workers)]
    assert main(["train", *BANDIT, *options, *arguments]) == 0


def parameters(run_dir, iteration):
    folder = Path(run_dir) / f"checkpoints/iteration-{iteration:06d}"
    return (folder / "parameters.safetensors").read_bytes()


@pytest.fixture(scope="module")
def trained():
    """An experiment on bandits of two arms, trials of five pulls, and what training made of it."""
    config = tiny_config(
        "bernoulli-bandit",
        agent=AGENT,
        agent_settings={},
        env_kwargs={"arms": 2},
        horizon=1,
        adaptation_steps=4,
        tasks_per_batch=10,
        episodes_per_task=20,
        iterations=50,
        test_tasks=2,
        test_episodes_per_task=50,
        test_adaptation_steps=4,
    )
    experiment = build_experiment(config)
    with contextlib.closing(experiment.start_workers(0)) as workers:
        *_, (state, _) = train(experiment, workers, experiment.first_state())
    return experiment, state.agent


def test_what_is_remembered_of_earlier_episodes_makes_later_ones_better(trained):
    experiment, state = trained
    with contextlib.closing(experiment.start_test_workers(0)) as workers:
        curve = experiment.evaluate(workers, state, EvaluationCase("", SURE))
    assert curve.mean_return[0] == pytest.approx(0.5, abs=0.15)
    assert curve.mean_return[-1] > curve.mean_return[0] + 0.2
    assert curve.phase_env_steps == (50,) * 5  # an episode of each of 50 trials
    assert curve.experience == (0, 1, 2, 3, 4)  # each trial has its own


def test_without_its_memory_the_same_network_does_not_get_better(trained, monkeypatch):
    experiment, state = trained
    kept = memory_toy.MemoryActor.observe

    def forget(self, memory, rewards, ended):
        memory = kept(self, memory, rewards, ended)
        return self.begin(len(rewards)) if np.all(ended) else memory

    monkeypatch.setattr(memory_toy.MemoryActor, "observe", forget)
    with contextlib.closing(experiment.start_test_workers(0)) as workers:
        curve = experiment.evaluate(workers, state, EvaluationCase("", SURE))
    assert abs(curve.mean_return[-1] - curve.mean_return[0]) < 0.15


def test_a_state_after_some_episodes_goes_on_where_they_ended(trained):
    experiment, state = trained
    spec = experiment.test_shards()
    shard = spec.build()
    shard.begin(SURE, (Split.TEST, 0))
    states = experiment.states_after(shard, state, SURE)
    for (first, *_, last), task in zip(states, SURE, strict=True):
        assert first.others["hidden"].tolist() == [0.0] * memory_toy.HIDDEN
        actor = experiment.actor(last)
        action, _ = actor.act(np.zeros((1, 1)), actor.begin(1))
        # The first trial's pulls have told which arm pays, whatever they were.
        assert task[int(action[0])] == 1.0


def test_resumed_runs_and_other_numbers_of_workers_give_the_same_bits():
    train_by_command("whole", iterations=3)
    train_by_command("two", iterations=3, workers=2)
    train_by_command("parts", iterations=1)
    assert main(["train", "--run-dir", "parts", "--resume", "--iterations", "3"]) == 0
    assert parameters("whole", 3) == parameters("two", 3) == parameters("parts", 3)


def test_evaluate_render_report_and_export_take_it(capsys):
    train_by_command("run")
    assert main(["evaluate", "run", *AT_TEST]) == 0
    evaluation = json.loads(Path("run/evaluation.json").read_text())
    assert evaluation["unit"] == "episode"
    assert np.array(evaluation["per_task_return"]).shape == (3, 4)
    assert evaluation["phase_env_steps"] == [4 * 3] * 4
    assert main(["render", "run", "--output", "clip.webp", "--adaptation-steps", "2"]) == 0
    assert Path("clip.webp").stat().st_size > 0
    assert main(["report", "run"]) == 0
    assert ">3 episodes</th>" in Path("run/report.html").read_text()
    capsys.readouterr()

    task = ["--task", "[0.9, 0.1, 0.1, 0.1, 0.1]"]
    assert main(["export", "run", *task]) == 2
    assert "carries a memory" in capsys.readouterr().err
    assert main(["export", "run", *task, "--output", "run/policy-metarl.safetensors"]) == 0
    policy = metarl.load_policy("run/policy-metarl.safetensors")
    adapted = metarl.load("run").adapt(task=[0.9, 0.1, 0.1, 0.1, 0.1])
    assert np.array_equal(policy.state.others["hidden"], adapted.state.others["hidden"])


def test_predict_carries_the_memory_and_starts_again_where_an_episode_starts():
    train_by_command("run")
    policy = metarl.load("run").adapt(task=[0.5] * 5, steps=1)
    rows = np.zeros((2, 1))
    _, first = policy.predict(rows, deterministic=True)
    _, second = policy.predict(rows, first, np.array([False, False]), deterministic=True)
    assert not np.allclose(first[0], second[0])
    _, mixed = policy.predict(rows, second, np.array([True, False]), deterministic=True)
    assert np.allclose(mixed[0][0], first[0][0])
    assert not np.allclose(mixed[0][1], first[0][1])
    told = policy.observe(first, [1.0, 0.0], [False, True])
    assert told[1][:, -2:].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_it_keeps_the_promises_of_the_conformance_kit():
    verdicts = metarl.check(agent=AGENT)
    assert all(verdict.passed for verdict in verdicts), verdicts
