"""`metarl evaluate` of several runs: seeds of one experiment, and what cannot be compared."""

import json
from pathlib import Path

import numpy as np
import pytest

from metarl.cli import main
from metarl.experiments.curves import summarise
from metarl.foundation.errors import ConfigError
from metarl.reports.figures import Panel, adaptation_figure
from metarl.runs.contenders import group_runs

pytestmark = pytest.mark.whole_runs

SMALL = ["--tasks-per-batch", "3", "--episodes-per-task", "2", "--horizon", "5", "--workers", "0"]
SMALL += ["--hidden-sizes", "4", "--test-tasks", "4", "--test-episodes-per-task", "2"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(run_dir, *arguments, preset="navigation-2d"):
    options = ["--iterations", "1", "--run-dir", run_dir, *arguments]
    assert main(["train", preset, *SMALL, *options]) == 0


def evaluate(*arguments):
    return main(["evaluate", *arguments, "--workers", "0"])


def read(file):
    return json.loads(Path(file).read_text())


def one_line_error(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


def test_a_run_gets_gain_and_figures_for_more_steps_than_in_training(capsys):
    train("r")
    assert evaluate("r", "--adaptation-steps", "5") == 0
    evaluation = read("r/evaluation.json")
    assert evaluation["agent"] == "maml-trpo"
    assert evaluation["learning_rates"] == [0.5, 0.25, 0.25, 0.25, 0.25]
    returns = np.array(evaluation["per_task_return"])
    assert returns.shape == (4, 6)
    assert evaluation["gain"] == pytest.approx(np.mean(returns[:, 5] - returns[:, 0]))
    assert f"{evaluation['gain']:+.2f}" in capsys.readouterr().out
    assert Path("r/evaluation.png").stat().st_size > 0
    assert Path("r/evaluation.svg").stat().st_size > 0


def test_without_steps_there_is_no_gain_to_tell(capsys):
    train("r")
    assert evaluate("r", "--adaptation-steps", "0") == 0
    assert read("r/evaluation.json")["adaptation_steps"] == [0]
    assert "gain" not in capsys.readouterr().out


def test_seeds_are_joined_on_the_same_tasks(capsys):
    for seed in ("1", "2"):
        train(f"seed-{seed}", "--seed", seed)
        assert evaluate(f"seed-{seed}") == 0
    assert evaluate("seed-1", "seed-2", "--output", "both/of/them") == 0
    one, two = read("seed-1/evaluation.json"), read("seed-2/evaluation.json")
    both = read("both/of/them/evaluation.json")
    assert both["tasks"] == one["tasks"] == two["tasks"]
    curve = both["curves"]["maml-trpo"]
    assert [(run["run_dir"], run["training_seed"]) for run in curve["runs"]] == [
        ("seed-1", 1),
        ("seed-2", 2),
    ]
    for run, alone in zip(curve["runs"], (one, two), strict=True):
        assert run["per_task_return"] == alone["per_task_return"]
    mean = np.mean([one["per_task_return"], two["per_task_return"]], axis=0)
    np.testing.assert_allclose(curve["per_task_return"], mean)
    assert len(curve["over_seeds"]["iqm_ci95"]) == 4
    assert Path("both/of/them/evaluation.png").exists()
    printed = capsys.readouterr().out
    assert "2 seeds" in printed
    assert f"{curve['over_seeds']['iqm'][3]:.2f}" in printed


def test_agents_of_different_units_are_compared_at_equal_experience(capsys):
    train("steps")
    memory = ["--memory-size", "4", "--adaptation-steps", "2", "--test-adaptation-steps", "2"]
    train("episodes", "--agent", "rl2", *memory, "--test-episodes-per-task", "3")
    assert evaluate("steps", "episodes", "--tasks", "4", "--output", "both") == 0
    found = read("both/evaluation.json")["curves"]
    by_steps, by_episodes = found["maml-trpo"], found["rl2"]
    horizon = by_episodes["phase_env_steps"][0] / 3  # three trials, each with its own experience
    assert by_episodes["experience"] == [0, horizon, 2 * horizon]
    batch = by_steps["phase_env_steps"][0]
    assert batch == 2 * horizon
    assert by_steps["experience"] == [0, batch, 2 * batch, 3 * batch]
    assert len(by_steps["per_task_return"]) == len(by_episodes["per_task_return"]) == 4
    printed = capsys.readouterr().out
    assert "env steps used" in printed
    assert "2 episodes" in printed
    assert main(["report", "steps", "episodes", "--output", "both.html"]) == 0
    # Alone, each keeps its own heading.
    assert evaluate("episodes", "--tasks", "4") == 0
    assert "env steps used" not in capsys.readouterr().out


def test_step_sizes_of_an_evaluation_are_those_asked_for(capsys):
    train("run")
    train("set", "--test-learning-rates", "0.3", "0.1")
    steps = ["--adaptation-steps", "3"]
    assert evaluate("run", *steps, "--learning-rates", "0.3", "0.1") == 0
    assert evaluate("set", *steps) == 0
    asked, own = read("run/evaluation.json"), read("set/evaluation.json")
    assert asked["learning_rates"] == [0.3, 0.1, 0.1]
    assert asked["per_task_return"] == own["per_task_return"]
    train("trials", "--adaptation-steps", "1", preset="semicircle-sparse-rl2")
    capsys.readouterr()
    assert evaluate("trials", "--learning-rates", "0.3") == 2
    assert "learning_rates means nothing where rl2 takes no gradient steps" in one_line_error(
        capsys
    )
    assert evaluate("run", "--learning-rates", "-1") == 2
    assert "must all be positive and finite" in one_line_error(capsys)


def test_a_figure_of_different_units_has_experience_on_its_axis():
    curves = {
        "one": summarise(np.arange(6.0).reshape(2, 3), 0, 1, None, (40.0, 40.0, 40.0)),
        "other": summarise(np.arange(6.0).reshape(2, 3), 0, 1, None, (6.0, 6.0, 6.0), "episode", 2),
    }
    (axes,) = adaptation_figure([Panel("", curves, {})], "title").axes
    assert "environment steps" in axes.get_xlabel()
    assert "adapts within its first episode" in axes.get_xlabel()
    drawn = {line.get_label(): line.get_xdata().tolist() for line in axes.lines}
    assert drawn["one"] == [0, 40, 80]
    assert drawn["other"] == [0, 3, 6]
    alone, *_ = adaptation_figure([Panel("", {"one": curves["one"]}, {})], "title").axes
    assert alone.lines[0].get_xdata().tolist() == [0, 1, 2]


def test_several_runs_need_a_folder_of_their_own(capsys):
    train("seed-1")
    train("seed-2", "--seed", "2")
    capsys.readouterr()
    assert evaluate("seed-1", "seed-2") == 2
    assert "name it by --output DIR" in one_line_error(capsys)
    Path("file").write_text("")
    assert evaluate("seed-1", "seed-2", "--output", "file") == 2
    assert "cannot make file" in one_line_error(capsys)


def test_a_setting_that_did_not_exist_yet_counts_as_its_default():
    train("old")
    train("new", "--seed", "2")
    file = Path("old/config.json")
    config = json.loads(file.read_text())
    del config["agent_settings"]["curvature_fraction"]
    file.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="agent_settings is"):  # the preset's is not the default
        group_runs([Path("old"), Path("new")])
    train("default", "--seed", "3", "--curvature-fraction", "1.0")
    (group,) = group_runs([Path("old"), Path("default")])
    assert group.seeds == (1, 3)


def test_seeds_may_have_been_trained_for_different_lengths():
    train("one")
    train("longer", "--seed", "2", "--iterations", "2")
    (group,) = group_runs([Path("one"), Path("longer")])
    assert group.seeds == (1, 2)


def test_runs_that_differ_in_more_than_their_seed_are_no_seeds(capsys):
    train("one")
    train("same")
    train("other", "--seed", "2", "--max-kl", "0.5")
    capsys.readouterr()
    assert evaluate("one", "same", "--output", "o") == 2
    assert "one and same are both maml-trpo with seed 1" in one_line_error(capsys)
    assert evaluate("one", "other", "--output", "o") == 2
    error = one_line_error(capsys)
    assert "one and other cannot be evaluated together: agent_settings is" in error
    assert not Path("o").exists()
