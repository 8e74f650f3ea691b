"""Tiny tasks with known answers are learnt, and the answers are the known ones."""

import numpy as np
import pytest
from building import run

from metarl.config.plugins import load_preset

pytestmark = pytest.mark.whole_runs


def last_mean(records, name):
    return np.mean([record[name] for record in records[-5:]])


@pytest.fixture(scope="module")
def one_step_target():
    return run(load_preset("one-step-target"), workers=2)


def test_one_step_target_finds_the_best_guess_and_adapts_it(one_step_target):
    """Before adaptation the best mean guess is 0, with return −1/3 − σ²; the target known, −σ²."""
    state, records = one_step_target
    log_std, weight, bias = state.agent.theta
    assert abs(weight + bias) < 0.2  # the observation is always 1
    best_before = -1 / 3 - np.exp(2 * log_std)
    before = last_mean(records, "pre_adaptation_return")
    assert before == pytest.approx(best_before, abs=0.15)
    assert best_before + 0.2 < last_mean(records, "post_adaptation_return") < 0
    assert records[0]["post_adaptation_return"] < -1.5


def test_every_step_kept_to_the_trust_region(one_step_target):
    _, records = one_step_target
    max_kl = load_preset("one-step-target").agent_settings["max_kl"]
    assert all(0 < record["kl"] <= max_kl for record in records)
    assert all(record["kl_before"] == 0.0 for record in records)
    assert all(record["step_accepted"] for record in records)


def test_a_bandit_is_exploited_after_adaptation():
    """Ten pulls at random pay 5; who knows the best of five arms gets 50/6."""
    _, records = run(load_preset("bernoulli-bandit"), workers=2)
    before = last_mean(records, "pre_adaptation_return")
    after = last_mean(records, "post_adaptation_return")
    assert before == pytest.approx(5.0, abs=0.4)
    assert 6.7 < after < 50 / 6
