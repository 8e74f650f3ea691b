"""Training without a preset: defaults from the spaces, guesses said, and going on."""

import json
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from building import without_times
from strange_spaces import Choices, Line, Parts, Picture, PictureAndPlace, Unbounded, identify

from metarl.api.starting_point import starting_point, with_fields
from metarl.cli import main
from metarl.config.plugins import load_preset
from metarl.config.reinforcement import environment_name
from metarl.foundation.errors import ConfigError
from metarl.runs.contenders import group_runs, with_baselines
from metarl.tasks.environment_defaults import environment_defaults

pytestmark = pytest.mark.whole_runs

SMALL = ["--tasks-per-batch", "3", "--episodes-per-task", "2", "--no-tensorboard", "--workers", "0"]
ENDLESS = "strange_spaces:strange/Endless-v0"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(env_id, *arguments):
    return main(["train", "--env-id", env_id, *SMALL, *map(str, arguments)])


def read(file):
    return json.loads(Path(file).read_text())


def metrics(run_dir):
    return [json.loads(line) for line in Path(run_dir, "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", [Line, Choices, Parts, Picture])
def test_any_spaces_are_trained_evaluated_and_gone_on_with(kind, capsys):
    assert train(identify(kind), "--iterations", 1) == 0
    run_dir = f"runs/{kind.__name__}-v0"
    config = read(f"{run_dir}/config.json")
    assert (config["preset"], config["env_id"]) == ("", identify(kind))
    assert config["horizon"] == 8  # as registered
    capsys.readouterr()
    assert main(["train", "--run-dir", run_dir, "--resume", "--iterations", "2", *SMALL[-3:]]) == 0
    assert "is a guess" not in capsys.readouterr().err
    assert [record["env_steps"] for record in metrics(run_dir)] == [96, 192]
    if kind is Picture:
        arguments = ["--tasks", "2", "--episodes-per-task", "2", "--workers", "0"]
        assert main(["evaluate", run_dir, *arguments]) == 0
        assert len(read(f"{run_dir}/evaluation.json")["mean_return"]) == 4
        assert f"{kind.__name__}-v0: mean return on 2 held-out tasks" in capsys.readouterr().out


def test_a_run_gone_on_with_by_the_same_command_equals_a_whole_one():
    environment = identify(Line)
    assert train(environment, "--iterations", 2, "--run-dir", "whole") == 0
    assert train(environment, "--iterations", 1) == 0
    assert train(environment, "--iterations", 2, "--resume") == 0
    assert without_times(metrics("runs/Line-v0")) == without_times(metrics("whole"))


def test_the_network_and_the_step_are_chosen_from_the_spaces():
    chosen = {kind: environment_defaults(identify(kind))[0] for kind in (Line, Parts, Picture)}
    assert [config.hidden_sizes for config in chosen.values()] == [(64, 64), (64, 64), (128,)]
    assert [config.activation for config in chosen.values()] == ["tanh", "tanh", "relu"]
    assert [config.inner_learning_rate for config in chosen.values()] == [0.1, 1.0, 1.0]
    assert [config.tasks_per_batch for config in chosen.values()] == [20, 20, 10]
    assert chosen[Picture].agent_settings == {"curvature_fraction": 0.1}
    assert environment_name("package:space/Name-v0") == environment_name("Name-v0") == "Name-v0"


ALWAYS = ["inner_learning_rate = ", "tasks_per_batch = "]


@pytest.mark.parametrize(
    ("env_id", "more"),
    [
        (identify(Line), []),
        (ENDLESS, ["horizon = 200 is a guess (the environment registers no max_episode_steps)"]),
        (identify(Unbounded), ["initial_std = 1.0 is a guess"]),
        (identify(Picture), ["image_scale = 0.0 is a guess (0 divides observation by 255"]),
        (identify(PictureAndPlace), []),
    ],
)
def test_what_the_spaces_do_not_decide_is_a_guess(env_id, more):
    config, guesses = environment_defaults(env_id)
    lines = [guess.describe(config, set()) for guess in guesses]
    expected = [*ALWAYS, *more]
    assert len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        assert words in line
    assert lines[1].endswith("set by --tasks-per-batch, --episodes-per-task, --iterations")
    everything = {name for guess in guesses for name in guess.fields}
    assert [guess.describe(config, everything) for guess in guesses] == [""] * len(guesses)


def test_a_step_size_that_an_evaluation_does_not_follow_is_said():
    start = starting_point("navigation-2d")
    (line,) = start.notes(start.config, {"inner_learning_rate"})
    assert line.startswith("an evaluation keeps the preset's test_learning_rates = 0.5, 0.25")
    assert not start.notes(start.config, {"inner_learning_rate", "test_learning_rates"})
    assert not start.notes(start.config, {"iterations"})
    start = starting_point("bernoulli-bandit")  # whose evaluation follows the training
    assert not start.notes(start.config, {"inner_learning_rate"})


def test_a_guess_is_said_once_and_what_was_given_is_none(capsys):
    assert train(ENDLESS, "--iterations", 1, "--horizon=4", "--inner_learning_rate", "0.1") == 0
    assert capsys.readouterr().err == ""
    assert train(ENDLESS, "--iterations", 1, "--horizon", "4", "--run-dir", "r") == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("metarl train: inner_learning_rate = 0.1 is a guess (")
    assert error.endswith("); set by --inner-learning-rate\n")


@pytest.mark.parametrize(("agent", "said"), [("reptile", True), ("rl2", False), ("pearl", False)])
def test_a_step_size_is_a_guess_for_agents_that_take_steps(agent, said):
    start = starting_point(env_id=identify(Line), agent=agent)
    assert any("inner_learning_rate" in guess.fields for guess in start.guesses) == said


def test_a_preset_on_another_environment_stays_as_it_was(capsys):
    arguments = ["train", "navigation-2d", "--env-id", identify(Line), *SMALL, "--iterations", "1"]
    assert main([*arguments, "--horizon", "4"]) == 0
    assert capsys.readouterr().err == ""
    config = read("runs/navigation-2d/config.json")
    assert (config["preset"], config["hidden_sizes"]) == ("navigation-2d", [100, 100])
    assert config["description"] == "Line-v0, by the values of preset navigation-2d"
    assert "which has another environment" in config["source"]
    assert config["published"] == {}
    small = ["--tasks", "2", "--episodes-per-task", "2", "--workers", "0"]
    assert main(["evaluate", "runs/navigation-2d", *small]) == 0
    assert "Line-v0: mean return on 2 held-out tasks" in capsys.readouterr().out
    assert "Line-v0: mean return on 2" in Path("runs/navigation-2d/evaluation.svg").read_text()
    assert main(["report", "runs/navigation-2d"]) == 0
    page = Path("runs/navigation-2d/report.html").read_text()
    assert "metarl report: Line-v0</title>" in page
    assert "Line-v0: 2 held-out tasks" in page
    again = ["--resume", "--run-dir", "runs/navigation-2d", "--iterations", "2", *SMALL[-3:]]
    assert main(["train", *again]) == 0


def test_any_run_is_gone_on_with_by_its_folder_alone(capsys):
    flags = [*SMALL, "--iterations", "1", "--horizon", "4", "--run-dir", "r"]
    assert main(["train", "navigation-2d", *flags]) == 0
    assert main(["train", "--run-dir", "r", "--resume", "--iterations", "2", *SMALL[-3:]]) == 0
    assert len(metrics("r")) == 2


BAD = [
    (["--env-id", "CartPole-v1"], "is not task-distributed", "see docs/environments.md"),
    (["--env-id", "strange_spaces:strange/Several-v0"], "MultiDiscrete([2 2]) is not supported"),
    (["--env-id", "strange_spaces:strange/OnlyWords-v0"], "hold no fixed list of numbers"),
    (["--env-id", "strange_spaces:strange/Lien-v0"], "did you mean 'strange_spaces:strange/Line"),
    (["--env-id", "strange_spaces:strange/Needy-v0"], "needs env_kwargs, which a preset file has"),
    (["--env-id", identify(Line), "--workers", "0", "navigation-3d"], "unknown preset"),
    (["--env-id", identify(Line), "--resume"], "there is no run folder runs/Line-v0"),
    (["--env-id", identify(Line), "--image-scale", "-1"], "image_scale = -1.0 must be 0 or"),
    (["--env-id", identify(Picture), "--agent", "pretrained"], "shows images (observation (an im"),
    (["--env-id", identify(Picture), "--initial-policy", "no.zip"], "shows images"),
    (["--env-id"], "expected one argument"),
    (["--resume"], "or the run to go on with: --run-dir DIR --resume"),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: " ".join(bad[0]))
def test_bad_input_gives_one_line(bad, capsys):
    arguments, *messages = bad
    assert main(["train", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert all(message in error for message in messages)
    assert not Path("runs").exists()


def test_a_resumed_run_keeps_its_environment(capsys):
    assert train(identify(Line), "--iterations", 1, "--run-dir", "r") == 0
    capsys.readouterr()
    resume = ["--run-dir", "r", "--resume"]
    assert main(["train", "--env-id", identify(Choices), *resume]) == 2
    assert "env_id was 'strange_spaces:strange/Line-v0' and is now" in capsys.readouterr().err
    assert main(["train", "navigation-2d", *resume]) == 2
    error = capsys.readouterr().err
    assert "r is a run of strange_spaces:strange/Line-v0 without a preset, not of preset" in error


def test_baselines_lie_beside_and_are_named_with_the_command(capsys):
    assert train(identify(Line), "--iterations", 1) == 0
    groups = group_runs([Path("runs/Line-v0")])
    with pytest.raises(ConfigError) as raised:
        with_baselines(groups, Path("runs/Line-v0"))
    expected = (
        "`metarl train --env-id strange_spaces:strange/Line-v0 --horizon 8 --agent pretrained "
        "--run-dir runs/Line-v0-pretrained`"
    )
    assert expected in str(raised.value)
    assert train(identify(Line), "--agent", "random", "--iterations", 1) == 0
    assert Path("runs/Line-v0-random").is_dir()


def test_a_policy_that_reads_images_cannot_be_exported(capsys):
    assert train(identify(Picture), "--iterations", 1) == 0
    capsys.readouterr()
    assert main(["export", "runs/Picture-v0"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "models of stable-baselines3 are made and read here for vectors alone" in error


def test_a_policy_of_a_dictionary_is_exported():
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    from metarl.runs.run_folder import read_config
    from metarl.tasks.policy_environment import policy_environment

    assert train(identify(Parts), "--iterations", 1) == 0
    assert main(["export", "runs/Parts-v0"]) == 0
    model = stable_baselines3.PPO.load("runs/Parts-v0/policy-sb3.zip", device="cpu")
    environment = policy_environment(read_config(Path("runs/Parts-v0")))
    observation, _ = environment.reset(seed=1, options={"task": np.zeros(1)})
    action, _ = model.predict(observation, deterministic=True)
    assert model.action_space == gym.spaces.Discrete(3)  # the environment's begins at 1
    environment.step(action)  # which asks whether the action lies in its space


def test_help_shows_an_environments_defaults_without_torch():
    program = (
        "import sys\nfrom metarl.cli import main\n"
        f"try:\n    main(['train', '--env-id', {ENDLESS!r}, '--help'])\n"
        "except SystemExit:\n    pass\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parent / "support"), "COLUMNS": "200"},
    )
    assert done.stdout.splitlines()[-1] == "False"
    assert "Longest episode, in environment steps. (default: 200)" in done.stdout
    assert "The run folder. (default: runs/Endless-v0)" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("agent", ["random", "gittins"])
def test_an_agent_that_is_not_trained_has_one_iteration_unless_more_are_asked_for(agent):
    start = starting_point("bernoulli-bandit", agent=agent)
    assert (start.config.iterations, start.config.env_steps) == (1, 0)
    said = (
        f"agent {agent} is not trained: 1 iteration makes its run folder, and more change nothing"
    )
    assert start.notes(start.config, {"agent"}) == [said]
    assert start.notes(start.config, {"agent", "iterations"}) == []
    assert with_fields(start, {"iterations": 7}).iterations == 7


def test_so_has_one_of_a_supervised_problem_and_others_have_what_the_preset_says():
    start = starting_point("sinusoid", agent="random")
    assert start.config.iterations == start.config.record_interval
    for preset, agent in (("sinusoid", "pretrained"), ("navigation-2d", "reptile")):
        start = starting_point(preset, agent=agent)
        assert start.config.iterations == load_preset(preset).iterations
        assert start.notes(start.config, {"agent"}) == []
