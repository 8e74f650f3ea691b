"""The speed of a benchmark's agents: from records and measurements to numbers, and what is said."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from metarl.config.plugins import load_preset
from metarl.reports.benchmark_speed import (
    NOT_REACHED,
    AgentSpeed,
    RunSpeed,
    record_of_speed,
    seconds_to_reach,
    speed_of_run,
)
from metarl.reports.benchmark_speed_table import speed_section
from metarl.runs.benchmark_speed import Measurement, add_measurement, read_measurements
from metarl.tasks import environment_speed
from metarl.tasks.environment_batches import NativeBatch, make_task_vector
from metarl.tasks.environment_speed import measured_speed

MACHINE = {"cpu": "CPU X", "cores": 2, "device": {"name": "cpu"}}
NAVIGATION = replace(load_preset("navigation-2d"), tasks_per_batch=2, horizon=3)


def record(iteration, env_steps, seconds, value=0.0):
    return {
        "iteration": iteration,
        "env_steps": env_steps,
        "iteration_seconds": seconds,
        "post_adaptation_return": value,
        "meet_seconds": seconds / 16,
        "policy_seconds": seconds / 8,
        "physics_seconds": seconds / 16,
        "meta_gradient_seconds": seconds / 2,
    }


RECORDS = [record(1, 100, 1.0), record(2, 300, 1.0), record(3, 700, 0.5)]
"""Of 100, 200 and 800 env steps/s."""


def test_rates_are_medians_over_iterations_of_their_own_steps():
    found = speed_of_run(RECORDS, "meet", None)
    assert found == RunSpeed(3200.0, rollout=800.0, training=200.0, seconds_to_reach="")


def test_an_iteration_after_one_that_is_not_recorded_has_no_rate():
    found = speed_of_run([RECORDS[0], *RECORDS[2:]], "meet", None)
    assert found.training == 100


@pytest.mark.parametrize("lacking", ["meet_seconds", "policy_seconds", "physics_seconds"])
def test_what_collecting_took_is_not_guessed(lacking):
    left = [{name: it[name] for name in it if name != lacking} for it in RECORDS]
    found = speed_of_run(left, "meet", None)
    assert found.rollout == "its metrics do not say how long collecting took"
    assert found.training == 200


def test_metrics_without_seconds_give_reasons():
    left = [{"iteration": 1, "env_steps": 1, "iteration_seconds": None}]
    found = speed_of_run(left, "meet", 3.0)
    assert found.training == "its metrics do not say how long iterations took"
    assert found.seconds_to_reach == "its metrics hold no returns"


def test_a_return_is_reached_by_the_mean_of_five_records():
    returns = [9.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 9.0, 9.0]
    records = [record(number, 1, 2.0, value) for number, value in enumerate(returns, 1)]
    assert seconds_to_reach(records, 3.0) == 2.0 * 9  # (0 + 1 + 2 + 3 + 9) / 5
    assert seconds_to_reach(records, 4.9) == NOT_REACHED
    assert seconds_to_reach(records[:4], -1.0) == NOT_REACHED


def test_a_return_that_is_reached_at_a_time_that_nobody_knows_is_said_so():
    records = [record(number, 1, 2.0) for number in (1, 2, 4, 5, 6)]
    assert "lack the seconds of some iterations" in seconds_to_reach(records, -1.0)
    assert seconds_to_reach(records, 1.0) == NOT_REACHED


def measurement(**changes):
    about = {"of": {"horizon": 3}, "env_steps_per_second": 1000.0, "rounds": (900.0, 1000.0)}
    about |= {"tasks_at_once": 2, "processes": 2, "machine": MACHINE, "versions": {"numpy": "2"}}
    return Measurement(**{**about, **changes})


def agent(**changes):
    about = {
        "tasks": 2,
        "slots_per_task": 4,
        "alone": measurement(),
        "unmeasured": "not measured",
        "runs": (
            RunSpeed(700.0, 400.0, 100.0, 61.0),
            RunSpeed(1100.0, 600.0, 300.0, NOT_REACHED),
        ),
        "machines": ("CPU X, 2 cores",),
        "processes": (2,),
    }
    return AgentSpeed(**{**about, **changes})


def test_the_record_has_medians_over_seeds_and_their_ratio_to_the_environment_alone():
    found = record_of_speed({"maml": agent()}, -15.0)
    assert (found["reach"], found["records_averaged"]) == (-15.0, 5)
    one = found["agents"]["maml"]
    assert (one["environment_alone"], one["environment_in_training"]) == (1000.0, 900.0)
    assert (one["rollout"], one["training"]) == (500.0, 200.0)
    assert (one["rollout_to_environment"], one["training_to_environment"]) == (0.5, 0.2)
    assert (one["seconds_to_reach"], one["reached"]) == ([61.0, None], [True, False])
    assert (one["tasks"], one["slots_per_task"], one["frame_skip"]) == (2, 4, None)
    assert one["unknown"] == []


def test_the_page_has_a_row_for_each_agent_and_says_what_is_not_known():
    half = measurement(tasks_at_once=1, frame_skip=5)
    foreign = RunSpeed(800.0, "collecting is not known\nat all", 100.0, "seconds are not known")
    agents = {"maml": agent(), "far": agent(alone=half, runs=(foreign,), machines=("B", "C"))}
    lines = speed_section(record_of_speed(agents, -15.0))
    assert "| seconds to -15 |" in "".join(lines)
    assert "| maml | 2 × 4 | – | 1,000 | 900 | 500 | 0.5 | 200 | 0.2 | 61, not reached |" in lines
    assert "| far | 2 × 4, tasks at once: 1 | 5 | 1,000 | 800 | – | – | 100 | – | – |" in lines
    reasons = [line for line in lines if line.startswith("- ")]
    assert [line.partition(":")[0] for line in reasons] == ["- far"] * 3
    assert "trained on another machine (B; C) than its environments were measured on" in reasons[0]
    assert "- far: collecting is not known" in reasons
    assert any("CPU X, 2 cores; B; C" in line for line in lines)
    assert speed_section(record_of_speed({}, -15.0)) == []
    without = speed_section(record_of_speed({"maml": agent()}, None))
    assert not any("seconds to" in line or "Not known" in line for line in without)


def test_what_a_card_or_an_unknown_machine_trained_has_no_ratio_to_another_ones_measurement():
    card = measurement(machine={**MACHINE, "device": {"name": "cuda", "model": "CARD"}})
    with_card = agent(alone=card, machines=("CPU X, 2 cores, CARD",))
    assert with_card.beside_alone(500.0) == 0.5
    (reason,) = agent(alone=card).reasons
    assert "(CPU X, 2 cores) than" in reason
    assert "(CPU X, 2 cores, CARD)" in reason
    (reason,) = agent(machines=()).reasons
    assert "does not say what machine" in reason
    assert agent(alone=None).reasons == ["not measured"]
    assert agent(alone=None).beside_alone(500.0) is None


def test_measurements_are_kept_and_damaged_ones_are_not_used(tmp_path):
    file = tmp_path / "speed" / "nav.json"
    assert read_measurements(file) == []
    first, second = measurement(), measurement(frame_skip=5)
    add_measurement(file, first)
    add_measurement(file, second)
    assert read_measurements(file) == [first, second]
    whole = file.read_text()
    file.write_text(whole.replace("1000.0", "0.0"))
    assert read_measurements(file) == []
    for damaged in ("{", "3", "[3]", '[{"of": {}}]', '[{"unknown": 1}]'):
        file.write_text(damaged)
        assert read_measurements(file) == []


class EndsAfterTwoSteps(NativeBatch):
    """Slots of which the first ends its episode after two steps."""

    resets = steps = 0

    def reset(self, tasks, seeds):
        self.resets, self.steps = self.resets + 1, 0
        return super().reset(tasks, seeds)

    def step(self, actions, active):
        self.steps += 1
        assert self.steps <= 2
        assert active.all()
        observations, rewards, _ = super().step(actions, active)
        return observations, rewards, np.arange(len(active)) < self.steps - 1


def test_environments_alone_are_stepped_by_all_slots_and_only_their_steps_count(monkeypatch):
    """A clock that moves on by 1 s whenever it is asked: each step takes 1 s."""
    batch = EndsAfterTwoSteps(make_task_vector(NAVIGATION, 2 * 4), NAVIGATION.env_id, 2)
    clock = SimpleNamespace(perf_counter=itertools.count().__next__)
    monkeypatch.setattr(environment_speed, "time", clock)
    monkeypatch.setattr(environment_speed, "make_batch", lambda *_: batch)
    monkeypatch.setattr(environment_speed, "ROUND_SECONDS", 20)
    found = measured_speed(NAVIGATION, 4)
    assert found.rounds == (8.0,) * environment_speed.ROUNDS
    assert found.env_steps_per_second == 8.0
    assert (found.tasks_at_once, found.frame_skip) == (2, None)
    assert batch.resets > 2 * environment_speed.ROUNDS


def test_the_frame_skip_is_what_the_body_has(monkeypatch):
    pytest.importorskip("mujoco.batch")
    monkeypatch.setattr(environment_speed, "ROUND_SECONDS", 0.0)
    cheetah = replace(load_preset("half-cheetah-dir"), tasks_per_batch=1, horizon=2)
    assert measured_speed(cheetah, 1).frame_skip == 5
