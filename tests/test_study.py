"""The study of a search: proposals, pruning and the file, without any training."""

import dataclasses
import os

import pytest

optuna = pytest.importorskip("optuna")

from metarl.api.starting_point import starting_point  # noqa: E402
from metarl.config.search_space import Choices, Span  # noqa: E402
from metarl.foundation.errors import ConfigError, RunFolderError  # noqa: E402
from metarl.runs.study import Study  # noqa: E402
from metarl.runs.tuning_curve import TrialCurve, measured  # noqa: E402
from metarl.runs.tuning_plan import TuningPlan, keep_plan  # noqa: E402

CONFIG = dataclasses.replace(starting_point("navigation-2d").config, iterations=10)
SPACE = {
    "activation": Choices(("relu", "tanh")),
    "cg_iterations": Span(5, 20),
    "hidden_sizes": Choices(((), (8, 8))),
    "max_kl": Span(0.001, 0.1, log=True),
}
PLAN = TuningPlan(CONFIG, SPACE, seeds=(1,))


def score_of(fields):
    """Best at a KL divergence of 0.02 with relu."""
    return -abs(fields["max_kl"] - 0.02) - (fields["activation"] == "tanh")


def search(folder, most, plan=PLAN):
    """Go on with a search up to so many trials, in a sitting of its own."""
    study = Study(folder, plan)
    while (trial := study.begin(most)) is not None:
        score = score_of(trial.fields)
        study.report({50: score - 1, 100: score})
        if trial.number % 4 == 3:
            study.prune("as every fourth")
        else:
            study.complete(score)
    return study.trials()


def test_a_search_in_several_sittings_proposes_what_one_proposes(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    at_once = search(whole, 16)
    for most in (1, 5, 12, 13, 16):  # from the tenth on, it learns from those before
        in_parts = search(parts, most)
        assert len(in_parts) == most
    assert in_parts == at_once
    assert {trial.fields["activation"] for trial in at_once} == {"relu", "tanh"}
    assert {trial.fields["hidden_sizes"] for trial in at_once} == {(), (8, 8)}
    assert all(type(trial.fields["cg_iterations"]) is int for trial in at_once)
    other = dataclasses.replace(PLAN, config=dataclasses.replace(CONFIG, seed=2))
    (tmp_path / "other").mkdir()
    assert search(tmp_path / "other", 1, other)[0].fields != at_once[0].fields
    shares = Study(whole, PLAN).importances()
    assert set(shares) == set(SPACE)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_a_trial_that_was_begun_is_gone_on_with(tmp_path):
    begun = Study(tmp_path, PLAN).begin(3)
    again = Study(tmp_path, PLAN)
    assert again.begin(3) == begun
    again.report({10: -1.0})
    third = Study(tmp_path, PLAN)
    assert third.begin(0) is None  # fewer are wanted
    assert third.begin(3) == begun
    third.report({10: -1.0, 20: float("nan"), 30: -2.0})
    third.prune("was worse")
    (trial,) = third.trials()
    assert (trial.standing, trial.score, trial.reason) == ("pruned", -2.0, "was worse")
    assert trial.fields == begun.fields
    assert third.begin(3).number == 1
    third.fail("no finite numbers")
    assert third.trials()[1].reason == "no finite numbers"
    assert third.trials()[1].score is None


@pytest.mark.parametrize(("sign", "plan"), [(1, PLAN), (-1, "sinusoid")])
def test_a_trial_is_compared_with_the_median_at_the_same_step(sign, plan, tmp_path):
    if plan == "sinusoid":  # losses are minimised
        config = starting_point("sinusoid").config
        plan = TuningPlan(config, {"outer_learning_rate": Span(0.1, 1.0)}, seeds=(1,))
    study = Study(tmp_path, plan)
    for number in range(5):
        study.begin(9)
        study.report({10: sign * float(number), 20: sign * 10.0 * number})
        study.complete(sign * 10.0 * number)
    assert study.begin(9) is not None
    assert study.is_worse_than_most({10: sign * 1.9})  # the median is 2
    assert not study.is_worse_than_most({10: sign * 2.1})
    assert study.is_worse_than_most({20: sign * 19.0})
    assert not study.is_worse_than_most({10: sign * 1.0, 20: sign * 21.0})
    assert not study.is_worse_than_most({15: sign * -99.0})  # where no other has been


def test_a_file_that_is_no_study_is_one_error(tmp_path):
    (tmp_path / "study.db").write_bytes(b"x" * 5000)
    with pytest.raises(RunFolderError, match=r"cannot open .*study.db: file is not a database"):
        Study(tmp_path, PLAN)
    (tmp_path / "study.db").unlink()
    os.symlink(tmp_path / "elsewhere", tmp_path / "study.db")
    with pytest.raises(RunFolderError, match="it is a symbolic link"):
        Study(tmp_path, PLAN)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"seeds": (1, 2)}, r"seeds was \(1,\) and is now \(1, 2\)"),
        ({"prune": False}, "prune was True and is now False"),
        ({"score_window": 20}, "score_window was 10 and is now 20"),
        (
            {"space": {**SPACE, "max_kl": Span(0.001, 0.2, log=True)}},
            "max_kl was varied over 0.001..0.1:log and is now varied over 0.001..0.2:log",
        ),
        (
            {"space": {"max_kl": SPACE["max_kl"]}},
            "activation was varied over relu,tanh and is now varied over nothing",
        ),
        ({"config": dataclasses.replace(CONFIG, iterations=20)}, "iterations was 10 and is now 20"),
        ({"config": dataclasses.replace(CONFIG, horizon=7)}, "horizon was 100 and is now 7"),
    ],
)
def test_another_search_in_the_same_folder_is_refused(change, complaint, tmp_path):
    keep_plan(tmp_path, PLAN)
    before = (tmp_path / "plan.json").read_bytes()
    with pytest.raises(ConfigError, match=f"holds another search: {complaint}; the same command"):
        keep_plan(tmp_path, dataclasses.replace(PLAN, **change))
    other = dataclasses.replace(CONFIG, checkpoint_interval=3, max_rejections=5)
    keep_plan(tmp_path, dataclasses.replace(PLAN, config=other))  # which changes no number
    assert (tmp_path / "plan.json").read_bytes() == before


def test_a_damaged_plan_is_one_error(tmp_path):
    keep_plan(tmp_path, PLAN)
    whole = (tmp_path / "plan.json").read_text()
    for damaged in ("{", "[]", whole.replace('"seeds"', '"sed"'), whole.replace("navig", "", 1)):
        (tmp_path / "plan.json").write_text(damaged)
        with pytest.raises((RunFolderError, ConfigError)):
            keep_plan(tmp_path, PLAN)


def test_another_version_of_optuna_is_said(tmp_path, capsys):
    keep_plan(tmp_path, PLAN)
    file = tmp_path / "plan.json"
    file.write_text(file.read_text().replace(f'"optuna": "{optuna.__version__}"', '"optuna": "1"'))
    keep_plan(tmp_path, PLAN)
    assert "was begun with optuna 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"seeds": ()}, "must not be empty"),
        ({"seeds": (1, 1)}, "must be different numbers"),
        ({"seeds": (-1,)}, "must be different numbers, 0 or more"),
        ({"score_window": 101}, "must lie between 0 and 100"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(change, complaint):
    with pytest.raises(ConfigError, match=complaint):
        dataclasses.replace(PLAN, **change)


def record(iteration, value, **more):
    return {"iteration": iteration, "env_steps": 0, "post_adaptation_return": value, **more}


def test_the_curve_is_the_mean_over_the_window_and_over_the_runs():
    curve = TrialCurve(CONFIG, window=30)
    curve.begin_run()
    values = [curve.add(record(it, float(it * it))) for it in range(1, 11)]
    assert values[0] == {10: 1.0}
    assert values[3] == {40: pytest.approx((4 + 9 + 16) / 3)}
    assert values[9] == {100: pytest.approx((64 + 81 + 100) / 3)}
    assert curve.score == pytest.approx((64 + 81 + 100) / 3)
    curve.begin_run()
    assert curve.score != curve.score  # the second run is not at its end
    assert curve.add(record(1, 3.0)) == {110: pytest.approx((1 + 3) / 2)}
    assert curve.values_of_run == {110: pytest.approx(2.0)}
    for it in range(2, 11):
        curve.add(record(it, 0.0))
    assert curve.score == pytest.approx((64 + 81 + 100) / 3 / 2)


def test_with_a_budget_of_env_steps_trials_meet_at_the_same_percents():
    config = dataclasses.replace(CONFIG, env_steps=100)
    curve = TrialCurve(config, window=10)
    curve.begin_run()
    assert curve.add(record(1, 7.0, env_steps=2)) == {1: 7.0, 2: 7.0}
    assert curve.add(record(2, 9.0, env_steps=4)) == {3: 8.0, 4: 8.0}
    (last,) = {*curve.add(record(3, 1.0, env_steps=130)).values()}
    assert last == 1.0
    assert curve.score == 1.0


def test_records_of_the_same_percent_count_once_and_all_are_in_the_mean():
    curve = TrialCurve(dataclasses.replace(CONFIG, iterations=1000), window=1)
    curve.begin_run()
    values = [curve.add(record(it, float(it))) for it in range(1, 21)]
    assert [it for it in values if it] == [
        {1: pytest.approx(sum(range(1, 11)) / 10)},
        {2: pytest.approx(sum(range(11, 21)) / 10)},
    ]


def test_what_is_measured_is_after_adaptation_and_finite():
    assert measured({"pre_adaptation_return": 1.0, "post_adaptation_return": 2.0}) == 2.0
    assert measured({"pre_adaptation_return": 1.0}) == 1.0
    assert measured({"post_adaptation_loss": 3.0}) == 3.0
    assert measured({"post_adaptation_loss": float("nan"), "kl": 1.0}) is None
    assert measured({"pre_adaptation_loss": 1.0, "post_adaptation_loss": float("inf")}) is None
    curve = TrialCurve(CONFIG, window=0)
    curve.begin_run()
    assert curve.add(record(9, 5.0)) == {90: 5.0}
    assert curve.add(record(10, None)) == {100: 5.0}
