"""Outer steps on batches with nothing to learn from, and on numbers that are none."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from building import ToldWorkers, first_state, pool, tiny_config
from rich.console import Console

from metarl.agent.outer_steps import adam_step, trust_region_outer_step
from metarl.agent.protocol import AgentState, require_usable
from metarl.agent.rejections import NO_STEP, NOT_FINITE, NOTHING_TO_LEARN, Rejections
from metarl.api.training_session import run_training
from metarl.config.base import with_settings
from metarl.config.plugins import load_agent
from metarl.config.settings import TrustRegionSettings
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import (
    MetarlError,
    RunFolderError,
    TaskError,
    TrainingError,
    WorkerError,
)
from metarl.reports.progress import ConsoleDisplay
from metarl.runs.metrics import read_metrics
from metarl.training import train
from metarl_agents.maml_trpo import MamlTrpo

pytestmark = pytest.mark.whole_runs

META = ["maml-trpo", "fomaml-trpo", "e-maml-trpo", "meta-sgd-trpo", "promp", "reptile"]
AGENTS = [*META, "pretrained", "oracle"]


def experiment_of(agent, **changes):
    small = {"tasks_per_batch": 2, "episodes_per_task": 2, "horizon": 3, "hidden_sizes": (3,)}
    config = tiny_config(
        agent=agent, **{**small, "env_id": "degenerate_environments:Degenerate-v0", **changes}
    )
    return build_experiment(config)


def play(experiment, iterations=2):
    """Train; give states and records."""
    config = dataclasses.replace(experiment.config, iterations=iterations)
    if config.agent in ("pretrained", "oracle"):
        config = with_settings(config, {"minibatches": 2, "epochs": 1})
    experiment = build_experiment(config)
    with pool(experiment) as workers:
        return list(train(experiment, workers, first_state(experiment)))


DEGENERATE = {
    "all rewards are equal": {},
    "one task with one episode of one step": {
        "tasks_per_batch": 1,
        "episodes_per_task": 1,
        "horizon": 1,
        "env_kwargs": {"last_step": 1},
    },
    "all rewards are 0": {"env_kwargs": {"reward": 0.0}},
    "all episodes have one step": {"env_kwargs": {"last_step": 1, "of_action": True}},
    "one episode for each task": {"episodes_per_task": 1, "env_kwargs": {"of_action": True}},
}
EVERY_AGENT = [(agent, batch) for agent in AGENTS for batch in list(DEGENERATE)[:2]]
EVERY_AGENT.remove(("e-maml-trpo", "one task with one episode of one step"))  # is refused
EVERY_BATCH = [("maml-trpo", batch) for batch in list(DEGENERATE)[2:]]


@pytest.mark.fault(
    29,
    "equal rewards, episodes of one step, one episode for each task, or all of that",
    "every agent passes through without a number that is none; what was not learned from is said",
    group="optimiser",
)
@pytest.mark.parametrize(("agent", "batch"), EVERY_AGENT + EVERY_BATCH)
def test_a_degenerate_batch_gives_numbers(agent, batch):
    if agent in ("pretrained", "oracle"):
        pytest.importorskip("sb3_contrib")
    experiment = experiment_of(agent, **DEGENERATE[batch])
    for state, record in play(experiment):
        for array in (state.agent.theta, *state.agent.optimiser.values()):
            assert np.isfinite(array).all()
        numbers = [value for value in record.values() if isinstance(value, float)]
        assert np.isfinite(numbers).all()
        if reason := record["rejection"]:
            assert reason in (NO_STEP, NOTHING_TO_LEARN) or "curvature" in reason


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.fault(
    27,
    "a gradient, loss, KL divergence or curvature that is NaN or infinite, or curvature that is "
    "not positive",
    "the step is rejected: the same bits of θ, and the reason in the metrics",
    group="optimiser",
)
@pytest.mark.parametrize(
    ("gradient", "loss", "kl", "curvature", "outcome", "reason"),
    [
        (NAN, 1.0, 0.0, 1.0, (0.0, 0.0), NOT_FINITE),
        (INFINITE, 1.0, 0.0, 1.0, (0.0, 0.0), NOT_FINITE),
        (1.0, NAN, 0.0, 1.0, (0.0, 0.0), NOT_FINITE),
        (1.0, -INFINITE, 0.0, 1.0, (0.0, 0.0), NOT_FINITE),
        (1.0, 1.0, NAN, 1.0, (0.0, 0.0), NOT_FINITE),
        (1.0, 1.0, INFINITE, 1.0, (0.0, 0.0), NOT_FINITE),
        (1.0, 1.0, 0.0, NAN, (0.0, 0.0), "curvature nan"),
        (1.0, 1.0, 0.0, INFINITE, (0.0, 0.0), "curvature inf"),
        (1.0, 1.0, 0.0, -1.0, (0.0, 0.0), "curvature -"),
        (1.0, 1.0, 0.0, 0.0, (0.0, 0.0), "curvature 0"),
        (1.0, 1.0, 0.0, 1.0, (NAN, 0.0), NO_STEP),
        (1.0, 1.0, 0.0, 1.0, (-INFINITE, 0.0), NO_STEP),
        (1.0, 1.0, 0.0, 1.0, (0.0, NAN), NO_STEP),
        (1.0, 1.0, 0.0, 1.0, (0.0, INFINITE), NO_STEP),
        (1.0, 1.0, 0.0, 1.0, (2.0, 0.0), NO_STEP),
        (0.0, 1.0, 0.0, 1.0, (0.0, 0.0), NOTHING_TO_LEARN),
    ],
)
def test_a_step_that_breaks_down_is_rejected(gradient, loss, kl, curvature, outcome, reason):
    start = np.array([0.1, 0.2], np.float32)
    settings = TrustRegionSettings(cg_damping=0.0)
    theta, metrics = trust_region_outer_step(
        start,
        settings,
        [(np.full(2, gradient), loss, kl)] * 2,
        product=lambda vector: [curvature * vector] * 2,
        evaluate=lambda candidate: [outcome] * 2,
    )
    assert theta.tobytes() == start.tobytes()
    assert metrics["step_accepted"] is False
    assert metrics["rejection"].startswith(reason)


@pytest.mark.fault(
    27,
    "a gradient or loss of an agent with Adam that is NaN, infinite or too large for its type",
    "the step is rejected, θ and Adam's memory are kept",
    group="optimiser",
)
@pytest.mark.parametrize(
    ("agent", "where"), [("promp", "gradient"), ("promp", "loss"), ("reptile", "gradient")]
)
@pytest.mark.parametrize("broken", [NAN, INFINITE, 1e300, 1e25])
def test_adam_keeps_its_memory_of_good_steps(agent, where, broken):
    spec, config = load_agent(agent), tiny_config(agent=agent)
    by_adam = {"optimiser": "adam", "outer_learning_rate": 0.5}
    settings = by_adam if agent == "reptile" else {"outer_steps": 3}
    built = spec.build(spec.settings(**settings), config)
    answers = []

    def answer(function):
        gradient, loss = answers.pop(0) if len(answers) > 1 else answers[0]
        return {
            "displacements": [gradient] * 2,
            "promp_gradient": [(gradient, loss, 0.0, 0.0)] * 2,
            "promp_losses": [(loss, 0.0, 0.0)] * 2,
        }[function.__name__]

    good = (np.array([0.5, -0.5], np.float32), 1.0)
    answers.append(good)
    state, metrics = built.improve(ToldWorkers(answer), AgentState(np.zeros(2, np.float32)))
    assert metrics["step_accepted"] is True
    bad = (np.full(2, broken), 1.0) if where == "gradient" else (good[0], broken)
    answers[:] = [good, bad] if agent == "promp" else [bad]
    with np.errstate(all="ignore"):
        after, metrics = built.improve(ToldWorkers(answer), state)
    if where == "loss" and math.isfinite(broken):
        assert metrics["step_accepted"] is True
        return
    assert (metrics["step_accepted"], metrics["rejection"]) == (False, NOT_FINITE)
    assert after.theta.tobytes() == state.theta.tobytes()
    assert {name: it.tobytes() for name, it in after.optimiser.items()} == {
        name: it.tobytes() for name, it in state.optimiser.items()
    }


@pytest.mark.fault(
    27,
    "an update of stable-baselines3 that makes parameters NaN (agents pretrained and oracle)",
    "it is undone and said in the metrics; training goes on from the state before",
    group="optimiser",
)
@pytest.mark.parametrize(
    ("algorithm", "learning_rate", "minibatches", "epochs"),
    # The actor breaks, in an update of its own or by the critic's step; torch refuses to act on it.
    [("ppo", 1e30, 2, 3), ("trpo", 3e38, 1, 2)],
)
def test_a_baselines_update_that_breaks_down_is_undone(
    algorithm, learning_rate, minibatches, epochs
):
    pytest.importorskip("sb3_contrib")
    huge = {"reward": 1e38, "of_action": True}
    settings = {
        "algorithm": algorithm,
        "minibatches": minibatches,
        "epochs": epochs,
        "learning_rate": learning_rate,
    }
    experiment = experiment_of("pretrained", env_kwargs=huge, agent_settings=settings, iterations=2)
    with pool(experiment) as workers, np.errstate(all="ignore"):
        steps = list(train(experiment, workers, first_state(experiment)))
    assert [state.iteration for state, _ in steps] == [1, 2]
    for state, _ in steps:
        for array in (state.agent.theta, *state.agent.optimiser.values()):
            assert np.isfinite(array).all()
    assert NOT_FINITE in [record.get("rejection") for _, record in steps]


@pytest.mark.fault(
    27,
    "outer steps that are rejected again and again",
    "after --max-rejections in a row (20; 0: never) the run ends with a checkpoint, the reasons, "
    "what to try, and a non-zero exit",
    group="optimiser",
)
def test_a_run_that_does_not_get_on_ends_with_a_diagnosis(tmp_path, capsys):
    config = dataclasses.replace(
        experiment_of("reptile", env_kwargs={"of_action": True}).config,
        agent_settings={"outer_learning_rate": 3e38},
        inner_learning_rate=10.0,
        iterations=9,
        max_rejections=3,
    )
    with pytest.raises(TrainingError) as caught:
        run_training(
            config, tmp_path / "r", display=ConsoleDisplay(Console()), workers=0, tensorboard=False
        )
    assert caught.value.exit_code == 1
    text = str(caught.value)
    assert "no outer step was accepted in iterations 1 to 3" in text
    assert f"3 × {NOT_FINITE}" in text
    assert "lower --inner-learning-rate" in text
    assert "step rejected: the loss or its gradient is not finite" in capsys.readouterr().out
    assert (tmp_path / "r/checkpoints/iteration-000003").is_dir()
    assert len(read_metrics(tmp_path / "r")) == 3


def test_rejections_are_counted_in_a_row_and_rare_rewards_count_neither_way():
    rejections = Rejections(2)
    steps = [NOT_FINITE, None, "curvature -1 along direction 3", NOTHING_TO_LEARN]
    for iteration, reason in enumerate(steps, 1):
        rejections.count(
            {"iteration": iteration, "step_accepted": reason is None, "rejection": reason}
        )
    with pytest.raises(TrainingError, match=r"3 to 5 \(1 × the curvature is not positive"):
        rejections.count({"iteration": 5, "step_accepted": False, "rejection": NO_STEP})
    never = Rejections(0)
    for iteration in range(100):
        never.count({"iteration": iteration, "step_accepted": False, "rejection": NO_STEP})
    Rejections(1).count({"iteration": 1, "kl": 0.0})  # an agent that says nothing of its steps


@pytest.mark.fault(
    29,
    "rewards so large that the linear baseline has no solution",
    "one error names the task and the reason",
    group="optimiser",
)
def test_a_baseline_without_a_solution_names_the_task():
    experiment = experiment_of("maml-trpo", env_kwargs={"reward": 1e308})
    with pytest.raises(WorkerError, match=r"task 0 \(.*the linear baseline has no finite solution"):
        play(experiment)


@pytest.mark.fault(
    24,
    "the optimiser's memory in a checkpoint is of another optimiser",
    "one error says so",
    group="optimiser",
)
def test_a_memory_of_another_optimiser_is_refused():
    start, gradient = np.zeros(2, np.float32), torch.ones(2)
    for memory in (
        {"momentum": start},
        {"step": start, "exp_avg": start, "exp_avg_sq": np.ones(3)},
    ):
        with pytest.raises(RunFolderError, match="no memory of Adam's"):
            adam_step(start, gradient, memory, 0.1)
    pytest.importorskip("sb3_contrib")
    experiment = experiment_of("pretrained")
    state = dataclasses.replace(
        first_state(experiment),
        agent=AgentState(first_state(experiment).agent.theta, {"critic/x": start}),
    )
    with (
        pool(experiment) as workers,
        pytest.raises(MetarlError, match="the checkpoint is not of this model"),
    ):
        next(train(experiment, workers, state))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda theta: theta * np.nan, "numbers in θ that are not finite"),
        (lambda theta: theta[:-1], r"θ of shape \(3,\) and type float32 from one of shape \(4,\)"),
        (lambda theta: theta.astype(np.float64), "type float64 from one of shape"),
    ],
)
def test_a_state_that_no_checkpoint_could_give_back_is_refused(made, words):
    old = AgentState(np.ones(4, dtype=np.float32))
    require_usable(AgentState(old.theta * 2), old)
    with pytest.raises(TaskError, match=words):
        require_usable(AgentState(made(old.theta)), old)


def test_a_run_whose_agent_breaks_down_keeps_the_state_before(tmp_path, monkeypatch):
    improve, improved = MamlTrpo.improve, []

    def broken(agent, workers, state):
        found, metrics = improve(agent, workers, state)
        improved.append(found.theta * (np.nan if improved else 1))
        return dataclasses.replace(found, theta=improved[-1]), metrics

    monkeypatch.setattr(MamlTrpo, "improve", broken)
    config = dataclasses.replace(tiny_config(), iterations=3)
    display = ConsoleDisplay(Console())
    with pytest.raises(MetarlError, match="numbers in θ that are not finite"):
        run_training(config, tmp_path / "r", display=display, workers=0, tensorboard=False)
    assert [record["iteration"] for record in read_metrics(tmp_path / "r")] == [1]
    assert (tmp_path / "r/checkpoints/iteration-000001").is_dir()
