"""Adaptation curves on held-out tasks."""

import contextlib
import dataclasses
import itertools
import json
from statistics import NormalDist

import numpy as np
import pytest
from building import FORKED, first_state, tiny_config
from scipy import stats

from metarl.agent.protocol import AgentState
from metarl.api.evaluation import evaluate_contenders
from metarl.api.tables import text_of
from metarl.experiments.build import build_experiment
from metarl.experiments.curves import bootstrap_interval, join_seeds, over_seeds, summarise
from metarl.experiments.interface import EvaluationCase
from metarl.foundation.seeding import Split
from metarl.reports.evaluations import read_evaluation
from metarl.reports.figures import Panel
from metarl.reports.sections import EvaluatedTasks
from metarl.reports.tables import adaptation_table
from metarl.runs.contenders import Contender
from metarl.tasks.distribution import sample_tasks

pytestmark = pytest.mark.whole_runs

TRAINING = EvaluationCase("", {})


def curve(workers, steps=2, progress=None, **changes):
    small = {"horizon": 20, "test_tasks": 5, "test_episodes_per_task": 4}
    config = tiny_config(test_adaptation_steps=steps, **{**small, **changes})
    experiment = build_experiment(config)
    state = first_state(experiment).agent
    with contextlib.closing(experiment.start_test_workers(workers, FORKED)) as started:
        return experiment.evaluate(started, state, TRAINING, progress)


def test_a_curve_has_a_return_for_each_task_and_each_number_of_steps():
    result = curve(1)
    assert result.per_task_return.shape == (5, 3)
    np.testing.assert_allclose(result.mean_return, result.per_task_return.mean(0))
    assert result.ci95.shape == (3, 2)
    assert (result.ci95[:, 0] <= result.mean_return).all()
    assert (result.mean_return <= result.ci95[:, 1]).all()
    assert result.env_steps == 5 * 4 * 20 * 3


def test_a_longer_curve_begins_like_a_shorter_one():
    longer, shorter = curve(1, 3), curve(1, 1)
    assert np.array_equal(longer.per_task_return[:, :2], shorter.per_task_return)


def test_a_curve_does_not_depend_on_the_number_of_workers():
    one, two = curve(1), curve(2)
    assert np.array_equal(one.per_task_return, two.per_task_return)
    assert np.array_equal(one.ci95, two.ci95)


def test_held_out_tasks_differ_from_the_training_tasks_and_belong_to_their_seed():
    environment = build_experiment(tiny_config()).environment
    train = sample_tasks(environment, 1, (Split.TRAIN, 0), 5)
    test = sample_tasks(environment, 1, (Split.TEST, 0), 5)
    other = sample_tasks(environment, 2, (Split.TEST, 0), 5)
    assert not np.array_equal(train, test)
    assert not np.array_equal(test, other)
    assert np.array_equal(test, sample_tasks(environment, 1, (Split.TEST, 0), 5))


def test_the_bootstrap_interval_approaches_the_normal_one_and_covers_95_percent():
    generator = np.random.default_rng(0)
    samples = generator.normal(3.0, 2.0, (400, 1))
    low, high = bootstrap_interval(samples, generator)[0]
    half = NormalDist().inv_cdf(0.975) * samples.std() / np.sqrt(400)
    assert low == pytest.approx(samples.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(samples.mean() + half, abs=0.1 * half)


def test_one_task_has_no_interval_and_two_that_are_alike_have_one_of_no_width():
    interval = bootstrap_interval(np.array([[1.0, 2.0]]), np.random.default_rng(0))
    assert interval.shape == (2, 2)
    assert np.isnan(interval).all()
    alike = bootstrap_interval(np.array([[1.0, 2.0]] * 2), np.random.default_rng(0))
    assert alike.tolist() == [[1.0, 1.0], [2.0, 2.0]]


def test_the_curve_of_a_policy_that_knows_no_gradient_is_flat():
    config = tiny_config("one-step-target", horizon=1, hidden_sizes=(), tasks_per_batch=4)
    at_test = {"test_tasks": 4, "test_episodes_per_task": 50, "test_adaptation_steps": 0}
    experiment = build_experiment(dataclasses.replace(config, initial_std=1e-4, **at_test))
    theta = np.zeros_like(first_state(experiment).agent.theta)
    theta[list(experiment.initial).index("log_std")] = np.log(1e-4)
    with contextlib.closing(experiment.start_test_workers(0)) as started:
        case = EvaluationCase("", [np.zeros(1)] * 4)
        result = experiment.evaluate(started, AgentState(theta), case)
    # The guess is 0 and so is the target: the return is −σ².
    np.testing.assert_allclose(result.mean_return, [-1e-8], rtol=0.3)


def test_the_gain_is_the_last_return_minus_the_first_paired_by_task():
    per_task = np.array([[0.0, 5.0, 1.0], [10.0, 5.0, 13.0]])
    result = summarise(per_task, 7, 1)
    assert result.gain == 2.0  # of gains 1 and 3
    # Two tasks resampled with replacement: gains 1, 2 or 3, with odds ¼, ½, ¼.
    assert result.gain_ci95.tolist() == [1.0, 3.0]
    # Unpaired, the interval would reach from 1 − 10 to 13 − 0.
    assert result.env_steps == 7


def test_a_gain_that_is_the_same_for_all_tasks_is_certain_however_tasks_differ():
    per_task = np.array([[-100.0, -97.0], [0.0, 3.0], [50.0, 53.0]])
    result = summarise(per_task, 1, 1)
    assert result.gain_ci95 == pytest.approx([3.0, 3.0])
    assert result.ci95[0, 1] - result.ci95[0, 0] > 50


def test_the_gain_interval_by_hand_for_three_tasks():
    gains = np.array([0.0, 1.0, 5.0])
    result = summarise(np.stack([np.zeros(3), gains], axis=1), 1, 1)
    # All 27 equally likely resamples: 1/27 = 3.7 % lie at each end, which is more than 2.5 %.
    means = sorted(np.mean(draw) for draw in itertools.product(gains, repeat=3))
    assert (means[0], means[-1]) == (0.0, 5.0)
    assert result.gain_ci95.tolist() == [0.0, 5.0]


def seeds(*returns):
    return [summarise(np.array(per_task), 3, 1) for per_task in returns]


def test_joining_seeds_averages_each_task_over_them():
    result = join_seeds(seeds([[1.0, 2.0], [3.0, 8.0]], [[3.0, 4.0], [5.0, 12.0]]), 1)
    assert result.per_task_return.tolist() == [[2.0, 3.0], [4.0, 10.0]]
    assert result.mean_return.tolist() == [3.0, 6.5]
    assert result.gain == 3.5
    assert result.env_steps == 6


def test_joint_experience_is_the_mean_over_the_seeds_in_any_order():
    per_task = np.array([[1.0, 2.0], [3.0, 8.0]])
    first, second = (summarise(per_task, 3, 1, phase_env_steps=(it, 5.0)) for it in (100.0, 300.0))
    for curves in ([first, second], [second, first]):
        joint = join_seeds(curves, 1)
        assert joint.experience == (0.0, 200.0)
        assert joint.phase_env_steps == (200.0, 5.0)


def test_the_interquartile_mean_is_that_of_the_middle_half_of_all_pairs():
    # Sorted: -99 0 | 1 2 3 4 | 5 999
    result = over_seeds(seeds([[0.0], [1.0], [999.0], [4.0]], [[2.0], [-99.0], [3.0], [5.0]]), 1)
    assert result.iqm.tolist() == [2.5]


def test_seeds_that_agree_have_intervals_of_no_width():
    once = [[1.0, 4.0], [3.0, 5.0], [9.0, 7.0]]
    result = over_seeds(seeds(once, once, once), 1)
    mean, iqm = np.mean(once, axis=0), stats.trim_mean(np.tile(once, (3, 1)), 0.25)
    np.testing.assert_allclose(result.mean_ci95, np.stack([mean, mean], axis=1))
    np.testing.assert_allclose(result.iqm, iqm)
    np.testing.assert_allclose(result.iqm_ci95, np.stack([iqm, iqm], axis=1))


def test_seeds_that_differ_alike_on_all_tasks_have_the_interval_of_their_means():
    tasks = np.array([[-30.0, -9.0], [-20.0, -5.0], [-50.0, -4.0]])
    luck = np.array([0.0, 1.0, 10.0])
    result = over_seeds(seeds(*(tasks + luck[:, None, None])), 1)
    # Of the 27 draws of three seeds one has the worst alone and one the best: 3.7 % at each end.
    expected = tasks.mean(0)[:, None] + [0.0, 10.0]
    np.testing.assert_allclose(result.mean_ci95, expected)
    middle = stats.trim_mean(np.tile(tasks, (3, 1)), 0.25)
    np.testing.assert_allclose(result.iqm_ci95, middle[:, None] + [0.0, 10.0])


def test_the_bootstrap_over_seeds_draws_whole_runs_and_never_tasks():
    """A naive loop that does the same draws the same distribution."""
    generator = np.random.default_rng(0)
    returns = generator.normal(size=(5, 8)) + 10 * np.arange(8)  # tasks differ far more than seeds
    result = over_seeds(seeds(*returns[:, :, None]), 1)
    drawn = [returns[generator.choice(5, 5)] for _ in range(4000)]
    means, iqms = [it.mean() for it in drawn], [stats.trim_mean(it, 0.25, None) for it in drawn]
    assert result.mean_ci95[0] == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.03)
    assert result.iqm_ci95[0] == pytest.approx(np.percentile(iqms, [2.5, 97.5]), abs=0.05)
    assert np.array_equal(over_seeds(seeds(*returns[:, :, None]), 1).iqm_ci95, result.iqm_ci95)


def test_where_the_unit_is_an_episode_a_trial_pays_what_its_episodes_pay():
    per_task = np.random.default_rng(1).normal(3.0, 1.0, (50, 4))
    trial = summarise(per_task, 1, 1, unit="episode").trial
    totals = per_task.sum(1)
    assert trial.mean == pytest.approx(totals.mean())
    half = NormalDist().inv_cdf(0.975) * totals.std() / np.sqrt(50)
    assert trial.ci95 == pytest.approx([totals.mean() - half, totals.mean() + half], abs=0.1)
    assert summarise(per_task, 1, 1).trial is None


def test_a_mean_over_one_task_has_no_interval_in_numbers_records_and_tables(tmp_path):
    config = tiny_config(test_tasks=1, test_episodes_per_task=2, test_adaptation_steps=1)
    contender = Contender(config, (None,), (1,))
    (found,) = evaluate_contenders([contender], 0, FORKED)
    assert np.isnan(found.ci95).all()
    assert np.isnan(found.curve.gain_ci95).all()
    assert "[" not in text_of(found)
    file, *_ = found.save(tmp_path)
    written = json.loads(file.read_text(), parse_constant=pytest.fail)
    assert written["ci95"] == [[None, None]] * 2
    read = read_evaluation(file)
    (panel,) = [Panel("", by_agent, {}) for by_agent in read.curves.values()]
    shown = EvaluatedTasks("navigation-2d", read, [panel], [config.agent])
    texts = [*shown.rows[0].means, shown.rows[0].gain]
    texts += [cell for row in adaptation_table([panel], 2).rows for cell in row]
    assert not any("nan" in text or "[" in text for text in texts)
    assert not shown.has_gain
