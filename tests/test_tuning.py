"""`metarl tune`: trials are ordinary runs, scored and pruned by their curves; a search goes on."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from sessions import newest_checkpoint, records

import metarl
from metarl.cli import main
from metarl.config.plugins import load_preset
from metarl.foundation.errors import ConfigError, RunFolderError
from metarl.runs import run_lock

pytest.importorskip("optuna")
pytestmark = pytest.mark.whole_runs

# By its module: to look for it in all installed packages takes time.
REPTILE = "metarl_agents:REPTILE"
FIXED = {"tasks_per_batch": 1, "episodes_per_task": 1, "horizon": 4}
FLAGS = ["--agent", REPTILE, "--tasks-per-batch", "1", "--episodes-per-task", "1"]
FLAGS += ["--horizon", "4", "--workers", "0", "--output", "out"]
VARY = {"inner_learning_rate": "0.01..10:log", "hidden_sizes": [(2,), (3, 3)]}
VARY_FLAGS = ["--vary", "inner-learning-rate=0.01..10:log", "--vary", "hidden_sizes=2,3 3"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_figures(monkeypatch):
    """Do not save figures, which takes seconds."""
    monkeypatch.setattr("metarl.reports.tuning_page.save_figure", lambda figure, stem: None)


def tune(output="out", vary=VARY, **options):
    options = {"iterations": 4, "trials": 2, "workers": 0, **FIXED, **options}
    return metarl.tune("navigation-2d", vary=vary, output=output, agent=REPTILE, **options)


def runs_of(folder, trial):
    return sorted(Path(folder, "trials", f"trial-{trial.number:04d}").iterdir())


def returns(run):
    return [it["post_adaptation_return"] for it in records(run)]


def test_a_trial_is_the_run_that_training_makes_and_its_best_values_can_be_used(capsys):
    assert (
        main(["tune", "navigation-2d", *VARY_FLAGS, *FLAGS, "--iterations", "10", "--trials", "2"])
        == 0
    )
    printed = capsys.readouterr().out
    result = json.loads(Path("out/results.json").read_text())
    best, other = sorted(result["trials"], key=lambda it: -it["score"])
    assert (result["direction"], result["measure"]) == ("maximise", "post_adaptation_return")
    assert result["best"]["trial"] == best["trial"]
    assert other["score"] < best["score"]
    (run,) = best["run_dirs"]
    assert best["score"] == returns(run)[-1]  # the last tenth of ten
    command = result["best"]["command"]
    assert command in printed
    words = shlex.split(command)
    assert words[:3] == ["metarl", "train", "navigation-2d"]
    assert main([*words[1:], "--workers", "0", "--run-dir", "alone"]) == 0
    assert records("alone") == records(run)
    assert newest_checkpoint("alone") == newest_checkpoint(run)
    again, config = load_preset("out/best.toml").flat(), metarl.load(run).config.flat()
    changed = {name for name in config if json.dumps(config[name]) != json.dumps(again[name])}
    assert changed == {"preset"}
    step_size = best["fields"]["inner_learning_rate"]
    assert again["test_learning_rates"] == (step_size, step_size / 2)  # as 0.5, 0.25 are to 0.5

    page = Path("out/README.md").read_text()
    assert f"    {command}\n" in page
    assert "2 trials: 2 complete." in page
    for line in page.splitlines():
        if line.startswith("!["):
            assert Path("out", line.rpartition("(")[2].rstrip(")")).stat().st_size > 0
    assert page.count("![") == 2
    assert "2 of 2 trials, the best first" in printed


@pytest.mark.usefixtures("no_figures")
def test_pruned_are_those_that_are_below_the_median_of_the_complete_ones_there():
    options = {"trials": 9, "iterations": 6, "score_window": 0, "seed": 4}
    found = tune(**options)
    assert {trial.standing for trial in found.trials[5:]} == {"complete", "pruned"}
    complete = []
    for trial in found.trials:
        (run,) = runs_of("out", trial)
        own = returns(run)
        assert trial.score == own[-1]
        if trial.number >= 5:  # of fewer, nobody knows what is usual
            worse = [
                max(own[: it + 1]) < np.median([curve[it] for curve in complete])
                for it in range(1, min(5, len(own)))  # from 33 % to 83 %
            ]
            assert worse == [False] * (len(worse) - 1) + [trial.standing == "pruned"]
        if trial.standing == "complete":
            complete.append(own)
            continue
        event = json.loads((run / "events.jsonl").read_text().splitlines()[-1])["event"]
        assert event == trial.reason
        assert re.match(rf"trial {trial.number} is pruned after \d+ % of this run", event)
        assert newest_checkpoint(run)[0] == f"iteration-{len(own):06d}"
    unpruned = tune("all", prune=False, **options)
    assert {trial.standing for trial in unpruned.trials} == {"complete"}
    assert [it.fields for it in unpruned.trials] == [it.fields for it in found.trials]


@pytest.mark.usefixtures("no_figures")
def test_a_search_in_two_calls_is_the_one_of_a_single_call(capsys):
    whole = tune("whole", trials=4)
    assert tune("parts", trials=1).trials == whole.trials[:1]
    before = Path("parts/trials/trial-0000/seed-1/metrics.jsonl").read_bytes()
    assert tune("parts", trials=4).trials == whole.trials
    assert Path("parts/trials/trial-0000/seed-1/metrics.jsonl").read_bytes() == before
    said = capsys.readouterr().err
    assert said.count("metarl tune: trial 0 (") == 2
    assert tune("parts", trials=2).trials == whole.trials  # nothing to be done
    assert capsys.readouterr().err == ""
    assert tune("other", trials=1, seed=2).trials[0].fields != whole.trials[0].fields


@pytest.mark.usefixtures("no_figures")
def test_with_several_seeds_the_score_is_their_mean():
    heard = []
    found = tune(seeds=(3, 5), score_window=50, progress=lambda *how: heard.append(how))
    for trial in found.trials:
        runs = runs_of("out", trial)
        assert [run.name for run in runs] == ["seed-3", "seed-5"]
        assert [metarl.load(run).config.seed for run in runs] == [3, 5]
        means = [np.mean(returns(run)[2:]) for run in runs]
        assert trial.score == pytest.approx(np.mean(means))
    assert [done for _, done, _ in heard] == [25, 50, 75, 100, 125, 150, 175, 200, 225, 250, 275,
                                              300, 325, 350, 375, 400]  # fmt: skip
    assert heard[0][2] == 400
    assert heard[0][0].startswith("trial 0: hidden_sizes ")
    assert "--seed" not in found.command


@pytest.mark.usefixtures("no_figures")
def test_a_trial_that_was_interrupted_goes_on_with_the_run_that_it_was_in(capsys):
    options = {"seeds": (3, 5), "score_window": 100, "trials": 1}
    whole = tune("whole", **options)

    def interrupt(what, done, total):
        if done == 175:  # in the second run
            raise KeyboardInterrupt

    capsys.readouterr()
    with pytest.raises(KeyboardInterrupt):
        tune("parts", progress=interrupt, **options)
    told, stopped = capsys.readouterr().err.splitlines()
    assert "after iteration 3, which is saved; go on with: the same call of metarl.tune" in told
    assert stopped.endswith("what was reached is saved, and the same command goes on")
    parts = tune("parts", **options)
    assert parts.trials == whole.trials
    for one, other in zip(
        runs_of("parts", parts.trials[0]), runs_of("whole", whole.trials[0]), strict=True
    ):
        assert records(one) == records(other)
        assert newest_checkpoint(one) == newest_checkpoint(other)
    sessions = (runs_of("parts", parts.trials[0])[1] / "sessions.jsonl").read_text().splitlines()
    assert [json.loads(line)["after_iteration"] for line in sessions] == [0, 3]


@pytest.mark.usefixtures("no_figures")
def test_of_a_supervised_problem_the_loss_is_minimised_and_what_fails_is_said(capsys):
    vary = {"inner_learning_rate": [0.01, 1e30], "outer_learning_rate": [1e-3, 1e-2]}
    options = {"iterations": 4, "record_interval": 1, "checkpoint_interval": 4}
    options |= {"hidden_sizes": (4,), "tasks_per_batch": 2, "output": "out"}
    found = metarl.tune("sinusoid", vary=vary, trials=5, **options)
    failed = [it for it in found.trials if it.fields["inner_learning_rate"] == 1e30]
    others = [it for it in found.trials if it not in failed]
    assert {it.standing for it in failed} == {"failed"}
    assert {it.standing for it in others} == {"complete"}
    assert found.best.score == min(it.score for it in others)
    assert found.record["direction"] == "minimise"
    reason = "the loss of iteration 1 is nan"
    assert {it.reason for it in failed} == {reason}
    assert capsys.readouterr().err.count(f" failed: {reason}\n") == len(failed)
    page = Path("out/README.md").read_text()
    assert f"{len(failed)} failed." in page
    assert page.count(f": {reason}\n") == len(failed)


def test_where_all_trials_fail_the_exit_code_says_so(capsys):
    arguments = ["tune", "sinusoid", "--vary", "inner-learning-rate=1e29,1e30", "--trials", "2"]
    arguments += ["--record-interval", "1", "--checkpoint-interval", "4", "--iterations", "4"]
    assert main([*arguments, "--output", "out"]) == 1
    printed = capsys.readouterr()
    assert "metarl tune: no trial is complete; why stands in" in printed.err
    assert "failed" in printed.out
    assert "2 trials: 2 failed." in Path("out/README.md").read_text()
    assert not Path("out/best.toml").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"vary": {"inner_learning_rate": "-1..1"}}, "inner_learning_rate = -1.0 must be positive"),
        ({"vary": {"discount": "0.5..1.5"}}, "discount = 1.5 must lie between 0 and 1"),
        ({"vary": {"activation": "tanh,gelu"}}, "activation = 'gelu' must be one of tanh, relu"),
        ({"vary": {"optimiser": ["sgd", 3]}}, "optimiser = 3 must be one of"),
        ({"vary": {"inner_learning_rate": "0.1..1"}, "inner_learning_rate": 0.1},
         "inner_learning_rate is varied, and set for all trials as well"),
        ({"trials": 0}, "trials = 0 must be at least 1"),
        ({"workers": -1}, "workers = -1 must be 0 or more"),
        ({"horizont": 3}, "there is no field 'horizont'; did you mean 'horizon'?"),
        ({"seeds": (1, 1)}, "must be different numbers"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_anything_is_written(options, complaint):
    with pytest.raises(ConfigError) as error:
        tune(**options)
    assert complaint in str(error.value)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("navigation-2d", {"agent": "metarl_agents:RANDOM", "iterations": 1, **FIXED}),
        ("sinusoid", {"agent": "random", "iterations": 250}),
    ],
)
def test_an_agent_that_is_not_trained_has_nothing_to_tune(preset, options):
    vary = {"inner_learning_rate": "0.1..1"}
    with pytest.raises(ConfigError, match="is not trained, so there is nothing to tune"):
        metarl.tune(preset, vary=vary, trials=1, output="out", workers=0, **options)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["tune"], "name a preset first: metarl tune PRESET"),
        (["tune", "navigation-2d"], "name what to vary: FIELD=LOW..HIGH"),
        (["tune", "navigation-2d", "--vary", "max_kl"], "--vary 'max_kl' is none of FIELD=LOW"),
        (["tune", "navigation-2d", "--vary", "max-lk=0..1"], "did you mean 'max_kl'?"),
        (["tune", "navigation-2d", "--vary", "max-kl=0..1", "--vary", "max_kl=1..2"],
         "--vary names max_kl twice"),
        (["tune", "navigation-2d", "--vary", "max-kl=0..0.1"], "max_kl = 0.0 must be positive"),
        (["tune", "navigation-2d", "--vary", "max-kl=1..2", "--max-kl", "1"], "is varied, and set"),
        (["tune", "navigation-2d", "--vary", "first-order=true,false", "--no-first-order"],
         "first_order is varied, and set"),
        (["tune", "--seeds", "1", "--env-id", "CartPole-v1", "--vary", "max-kl=1..2"],
         "is not task-distributed"),
        (["tune", "--trials", "9", "--vary", "max-kl=1..2", "x.toml"], "no preset file 'x.toml'"),
    ],
)  # fmt: skip
def test_bad_input_gives_one_line_and_a_code_that_is_not_zero(arguments, complaint, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.usefixtures("no_figures")
def test_another_search_is_refused_and_the_folder_is_left_alone():
    found = tune(trials=1)
    with pytest.raises(ConfigError, match="iterations was 4 and is now 5; the same command"):
        tune(trials=2, iterations=5)
    assert tune(trials=1).trials == found.trials
    with run_lock.locked(Path("out"), print), pytest.raises(RunFolderError, match="--output"):
        tune(trials=1)


@pytest.mark.usefixtures("no_figures")
def test_an_environment_without_a_preset_and_a_field_without_a_flag(capsys):
    env_id = "metarl_envs:metarl/Navigation2D-v0"
    options = {**FIXED, "hidden_sizes": (2,), "iterations": 1, "trials": 1, "workers": 0}
    vary = {"inner_learning_rate": [0.1, 0.2]}
    found = metarl.tune(vary=vary, env_id=env_id, agent=REPTILE, **options)
    assert found.folder == Path("runs/tune-Navigation2D-v0-metarl_agents-REPTILE")
    assert found.command.startswith(f"metarl train --env-id {env_id} --agent {REPTILE} ")
    ranges = {"train_range": {"low": [0.0, 0.0], "high": [0.4, 0.4]}}
    found = tune(trials=1, vary=vary, **ranges)
    assert found.command == "metarl train out/best.toml"
    found = tune("third", trials=1, vary=vary, test_learning_rates=(0.3,))
    assert load_preset("third/best.toml").test_learning_rates == (0.3,)  # as it was set
    assert load_preset("out/best.toml").train_range == ranges["train_range"]
