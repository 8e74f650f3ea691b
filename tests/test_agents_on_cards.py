"""What each agent says that it takes on a card, beside what torch allocates on the CPU for the same
calls; and the refusal, with what to make smaller."""

import pytest
import torch
from allocations import allocated_to_evaluate, allocated_to_train
from building import tiny_config

from metarl.agent import gradient_memory
from metarl.experiments.build import build_experiment
from metarl.experiments.room import bytes_to_meet, iteration_need
from metarl.foundation import memory
from metarl.foundation.errors import ConfigError
from metarl.learning import memory_policy
from metarl.workers import shards

pytestmark = pytest.mark.whole_runs

GRADIENT_AGENTS = {
    "fomaml-trpo": {"first_order": True},
    "e-maml-trpo": {},
    "meta-sgd-trpo": {},
    "cavia": {},
    "multitask": {"adaptation_steps": 0},
    "promp": {},
    "reptile": {},
}
GRADIENT_SIZES = {
    "few tasks": {"tasks_per_batch": 2, "episodes_per_task": 12, "hidden_sizes": (64, 64)},
    "many tasks": {"tasks_per_batch": 8, "episodes_per_task": 4, "hidden_sizes": (100,)},
    "wide": {"tasks_per_batch": 3, "episodes_per_task": 2, "hidden_sizes": (200, 200)},
}


@pytest.mark.parametrize("sizes", list(GRADIENT_SIZES))
@pytest.mark.parametrize("agent", list(GRADIENT_AGENTS))
def test_an_agent_that_takes_gradient_steps_is_estimated(agent, sizes, monkeypatch):
    for module in (shards, gradient_memory):  # as a GPU computes
        monkeypatch.setattr(module, "tasks_in_one_call", lambda device: True)
    changes = {**GRADIENT_SIZES[sizes], **GRADIENT_AGENTS[agent]}
    settings = {} if agent in ("promp", "reptile") else {"curvature_fraction": 1.0}
    require_near(1, agent=agent, horizon=40, **changes, agent_settings=settings)


def test_a_baseline_within_a_trust_region_is_estimated(monkeypatch):
    for module in (shards, gradient_memory):
        monkeypatch.setattr(module, "tasks_in_one_call", lambda device: True)
    changes = {**GRADIENT_SIZES["few tasks"], "adaptation_steps": 0}
    settings = {"optimiser": "trust-region", "curvature_fraction": 1.0}
    require_near(1, agent="multitask", horizon=40, **changes, agent_settings=settings)


def require_near(iterations, preset="navigation-2d", **changes):
    """Require that what the last iteration allocates is within 1.5 times of the estimate."""
    experiment = build_experiment(tiny_config(preset, iterations=iterations, **changes))
    estimate = iteration_need(experiment.agent, experiment.sizes(0)).count
    assert estimate / 1.5 < allocated_to_train(experiment) < 1.5 * estimate


PPO = {"epochs": 1, "minibatches": 2, "gradient_parts": 2}
TRIALS = {"tasks_per_batch": 8, "episodes_per_task": 4, "horizon": 50, "discount": 0.999}
RL2 = {
    "small": ({"hidden_sizes": (16,)}, {"memory_size": 32}),
    "long": ({"hidden_sizes": (64, 64), "horizon": 100}, {"memory_size": 64}),
    "many parts": (
        {"hidden_sizes": (16,), "horizon": 80, "tasks_per_batch": 16},
        {"memory_size": 16, "gradient_parts": 4, "minibatches": 4},
    ),
    "policy and value": ({"hidden_sizes": (128, 128)}, {"memory_size": 8, "minibatches": 1}),
    "what is read": (
        {"hidden_sizes": (16,), "horizon": 100},
        {
            "memory_size": 16,
            "observation_embedding": 64,
            "action_embedding": 32,
            "reward_embedding": 32,
            "input_embedding": 64,
            "observe_before": True,
        },
    ),
    "transformer": (
        {"hidden_sizes": (32,), "adaptation_steps": 3},
        {"memory": "transformer", "memory_size": 64, "window": 32},
    ),
    "transformer of a wide window": (
        {"hidden_sizes": (32,), "horizon": 4, "episodes_per_task": 8},
        {"memory": "transformer", "memory_size": 64, "window": 128},
    ),
}


@pytest.mark.parametrize("case", list(RL2))
def test_rl2_is_estimated(case):
    changes, settings = RL2[case]
    require_near(1, agent="rl2", **{**TRIALS, **changes}, agent_settings={**PPO, **settings})


def test_rl2_is_estimated_for_torchs_own_recurrent_unit(monkeypatch):
    def unrolled(inputs, w, u, b, c, truncation):
        start = inputs.new_zeros(1, inputs.shape[1], u.shape[1])
        return torch.gru(inputs, start, [w, u, b, c], True, 1, 0.0, False, False, False)[0]

    monkeypatch.setattr(memory_policy, "unrolled_gru", unrolled)
    test_rl2_is_estimated("long")


VARIBAD = {
    "decoder": ({}, {"memory_size": 32}),
    "observations": (
        {"horizon": 20},
        {"memory_size": 32, "decode_observations": True, "elbo_prefixes": 0, "decoded_steps": 0},
    ),
    "encoder": (
        {"tasks_per_batch": 24},
        {"memory_size": 128, "elbo_prefixes": 5, "decoded_steps": 5},
    ),
    "policy": (
        {"hidden_sizes": (128, 128)},
        {"gradient_parts": 1, "minibatches": 1, "memory_size": 16, "model_trials": 2},
    ),
    "cells": (
        {"preset": "grid-navi-rl2", "horizon": 15, "adaptation_steps": 3},
        {
            "memory_size": 4,
            "observation_embedding": 0,
            "action_embedding": 0,
            "reward_embedding": 0,
            "reward_decoder": "cells",
            "elbo_prefixes": 0,
            "decoded_steps": 0,
        },
    ),
}


@pytest.mark.parametrize("case", list(VARIBAD))
def test_varibad_is_estimated(case):
    changes, settings = VARIBAD[case]
    settings = {**PPO, "model_steps": 1, **settings}
    require_near(1, agent="varibad", **{**TRIALS, **changes}, agent_settings=settings)


PEARL = {
    "small": ({"hidden_sizes": (32,)}, {"encoder_sizes": (32,), "meta_batch": 4}),
    "policy": ({"hidden_sizes": (128, 128, 128)}, {"encoder_sizes": (16,)}),
    "encoder": (
        {"hidden_sizes": (32, 32)},
        {"encoder_sizes": (200, 200), "context_size": 400, "batch_size": 64},
    ),
    "other targets": ({"hidden_sizes": (64, 64)}, {"value_network": False}),
    "replay": (
        {"hidden_sizes": (32,), "horizon": 150, "episodes_per_task": 8},
        {"encoder_sizes": (32,), "meta_batch": 2, "batch_size": 64},
    ),
    "full replay": (
        {"hidden_sizes": (32,), "horizon": 150, "episodes_per_task": 8},
        {"encoder_sizes": (32,), "meta_batch": 2, "batch_size": 64, "replay_mebibytes": 1},
    ),
}


@pytest.mark.parametrize("case", list(PEARL))
def test_pearl_is_estimated(case):
    changes, settings = PEARL[case]
    changes = {"tasks_per_batch": 8, "horizon": 50, "adaptation_steps": 2, **changes}
    require_near(
        2,  # which is the first that learns
        agent="pearl",
        training_tasks=changes["tasks_per_batch"],
        dtype="float64",  # so that what is remembered is copied, as it is to a device
        **changes,
        agent_settings={"gradient_steps": 1, "first_passes": 1, **settings},
    )


ACTING = {
    "rl2": ("rl2", {"memory_size": 64}),
    "rl2 by a transformer": ("rl2", {"memory": "transformer", "memory_size": 64, "window": 32}),
    "varibad": ("varibad", {"memory_size": 32}),
    "pearl": ("pearl", {"encoder_sizes": (64, 64)}),
}


@pytest.mark.parametrize("episodes", [40, 160])
@pytest.mark.parametrize("case", list(ACTING))
def test_an_evaluation_in_trials_is_estimated(case, episodes):
    agent, settings = ACTING[case]
    tested = {"test_tasks": 8, "test_episodes_per_task": episodes, "test_adaptation_steps": 1}
    training = {"training_tasks": 3, "adaptation_steps": 2} if agent == "pearl" else {}
    changes = {"hidden_sizes": (32,), "discount": 0.999, **tested, **training}
    experiment = build_experiment(tiny_config(agent=agent, **changes, agent_settings=settings))
    estimate = bytes_to_meet(experiment.agent, experiment.test_sizes(0))
    assert estimate / 2 < allocated_to_evaluate(experiment) < 2 * estimate


ADVICE = {
    **dict.fromkeys(
        ("fomaml-trpo", "e-maml-trpo", "meta-sgd-trpo", "cavia"), "a smaller curvature_fraction"
    ),
    "multitask": "take fewer tasks, episodes, steps or workers",
    "promp": "take fewer tasks, episodes, steps or workers",
    "reptile": "take fewer tasks, episodes, steps or workers",
    "rl2": "more minibatches or gradient_parts",
    "varibad": "smaller model_trials, elbo_prefixes, decoded_steps or memory_size",
    "pearl": "take a smaller replay_mebibytes",
}


@pytest.mark.parametrize("agent", list(ADVICE))
def test_a_card_without_room_is_told_with_both_numbers_and_what_helps(agent, monkeypatch):
    monkeypatch.setattr(memory, "free_on_card", lambda device: 1000)
    changes = {"discount": 0.999, **GRADIENT_AGENTS.get(agent, {})}
    if agent == "pearl":
        changes |= {"training_tasks": 3, "adaptation_steps": 2}
    experiment = build_experiment(tiny_config(agent=agent, **changes))
    with pytest.raises(ConfigError, match=r"would take about .*, and 1 kB are free there") as told:
        experiment.require_memory(0)
    assert ADVICE[agent] in str(told.value)
    assert "\n" not in str(told.value)
