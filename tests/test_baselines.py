"""The paper's baselines, and policies to and from stable-baselines3."""

import dataclasses
import json
import zipfile
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from building import adapted_parameters, run, tiny_config, without_times

from metarl.agent.stable_baselines import from_stable_baselines, read_policy, to_stable_baselines
from metarl.cli import main
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.runs.run_folder import read_config
from metarl.runs.session import load_newest_state
from metarl.tasks.action_map import ActionMap
from metarl.tasks.distribution import task_features_space
from metarl.tasks.environment_batches import make_batch
from metarl.tasks.policy_environment import (
    DrawTasks,
    PolicyActions,
    observed_environment,
    policy_environment,
)
from metarl.workers.shards import Shard

pytest.importorskip("sb3_contrib")
from stable_baselines3 import PPO

pytestmark = pytest.mark.whole_runs

SMALL = ["--tasks-per-batch", "3", "--episodes-per-task", "2", "--horizon", "5"]
SMALL += ["--hidden-sizes", "4", "--test-tasks", "4", "--test-episodes-per-task", "2"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(agent, run_dir, *arguments, iterations=2, preset="navigation-2d"):
    agent_options = ["--agent", agent, "--run-dir", str(run_dir), "--iterations", str(iterations)]
    if agent in ("pretrained", "oracle"):
        agent_options += ["--minibatches", "2"]
    else:
        agent_options += ["--workers", "0"]
    assert main(["train", preset, *SMALL, *agent_options, *map(str, arguments)]) == 0


def evaluate(*arguments):
    return main(["evaluate", *arguments, "--workers", "0"])


def read(file):
    return json.loads(Path(file).read_text())


def metrics(run_dir):
    return [json.loads(line) for line in Path(run_dir, "metrics.jsonl").read_text().splitlines()]


def one_line_error(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


def test_baselines_share_one_figure_with_the_run():
    train("maml-trpo", "runs/mine")
    train("pretrained", "runs/navigation-2d-pretrained")
    train("oracle", "runs/navigation-2d-oracle")
    assert evaluate("runs/mine", "--baselines") == 0
    curves = read("runs/mine/evaluation.json")["curves"]
    steps = {agent: curve["adaptation_steps"] for agent, curve in curves.items()}
    assert steps == {
        "maml-trpo": [0, 1, 2, 3],
        "random": [0, 1, 2, 3],
        "pretrained": [0, 1, 2, 3],
        "oracle": [0],
    }
    assert Path("runs/mine/evaluation.svg").exists()


def test_random_is_the_initial_policy_of_the_run_with_or_without_a_folder():
    train("random", "initial", "--seed", "7")
    train("maml-trpo", "mine", "--seed", "7")
    for agent in ("pretrained", "oracle"):
        train(agent, f"navigation-2d-{agent}", iterations=1)
    assert evaluate("initial") == 0
    assert evaluate("mine", "--baselines") == 0
    random = read("mine/evaluation.json")["curves"]["random"]
    assert random["per_task_return"] == read("initial/evaluation.json")["per_task_return"]


def test_baselines_that_are_not_trained_are_named_with_the_command(capsys):
    train("maml-trpo", "runs/mine", iterations=1)
    capsys.readouterr()
    assert evaluate("runs/mine", "--baselines") == 2
    error = one_line_error(capsys)
    assert "`metarl train navigation-2d --horizon 5 --agent pretrained --run-dir " in error
    assert "--agent oracle" in error
    config = read_run("runs/mine")
    foreign = dataclasses.replace(config, env_id="mine:Mine-v0")
    without = dataclasses.replace(config, preset="")
    own = dataclasses.replace(config, preset="my-own")
    for changed, start in (
        (foreign, "navigation-2d --env-id mine:Mine-v0 --horizon 5"),
        (without, f"--env-id {config.env_id} --horizon 5"),
        (own, "my-own.toml"),
    ):
        Path("runs/mine/config.json").write_text(changed.to_json())
        assert evaluate("runs/mine", "--baselines") == 2
        assert f"`metarl train {start} --agent pretrained --run-dir " in one_line_error(capsys)


def test_baselines_of_other_tasks_are_refused(capsys):
    train("maml-trpo", "mine", iterations=1)
    for agent in ("pretrained", "oracle"):
        train(agent, f"navigation-2d-{agent}", "--horizon", "6", iterations=1)
    capsys.readouterr()
    assert evaluate("mine", "--baselines") == 2
    assert "horizon is 5 in one and 6 in the other" in one_line_error(capsys)


@pytest.mark.parametrize("algorithm", ["trpo", "ppo"])
def test_a_resumed_baseline_equals_an_uninterrupted_one_to_the_last_bit(algorithm):
    train("pretrained", "whole", "--algorithm", algorithm, iterations=3)
    train("pretrained", "parts", "--algorithm", algorithm, iterations=1)
    resume = ["--iterations", "3", "--run-dir", "parts", "--agent", "pretrained", "--resume"]
    assert main(["train", "navigation-2d", *resume]) == 0
    assert without_times(metrics("parts")) == without_times(metrics("whole"))
    newest = "checkpoints/iteration-000003/parameters.safetensors"
    assert Path("parts", newest).read_bytes() == Path("whole", newest).read_bytes()


def test_an_iteration_takes_as_many_steps_as_meta_training_and_tells_its_update():
    train("pretrained", "r", iterations=2, preset="bernoulli-bandit")
    first, second = metrics("r")
    config = read("r/config.json")
    per_iteration = 3 * 2 * 5 * (config["adaptation_steps"] + 1)
    assert (first["env_steps"], second["env_steps"]) == (per_iteration, 2 * per_iteration)
    assert first["kl"] <= config["agent_settings"]["max_kl"] * 1.5


def test_ppo_learns_from_fewer_steps_than_minibatches_and_not_from_a_single_one():
    short = {"horizon": 2, "tasks_per_batch": 1, "episodes_per_task": 1, "adaptation_steps": 0}
    settings = {"algorithm": "ppo", "epochs": 1}
    config = tiny_config(agent="pretrained", agent_settings=settings, iterations=1, **short)
    _, (record,) = run(config)
    assert np.isfinite(record["value_loss"])
    with pytest.raises(ConfigError, match="would learn from a single environment step"):
        build_experiment(dataclasses.replace(config, horizon=1))


def test_every_reset_draws_a_task_of_the_training_range_and_the_seed_decides_them():
    config = tiny_config("navigation-2d-halves")

    def tasks(seed):
        environment = DrawTasks(policy_environment(config), config.train_range)
        environment.reset(seed=seed)
        drawn = [environment.get_wrapper_attr("task").copy()]
        for _ in range(20):
            environment.reset()
            drawn.append(environment.get_wrapper_attr("task").copy())
        return np.array(drawn)

    drawn = tasks(3)
    assert len(np.unique(drawn, axis=0)) == 21
    assert (drawn <= np.array(config.train_range["high"])).all()
    np.testing.assert_array_equal(drawn, tasks(3))
    assert (drawn != tasks(4)).any()


@pytest.mark.parametrize("preset", ["navigation-2d", "half-cheetah-dir", "bernoulli-bandit"])
def test_an_oracle_sees_the_same_in_a_batch_and_alone(preset):
    config = tiny_config(preset, observe_task=True)
    environment = observed_environment(config)
    space = environment.get_wrapper_attr("task_space")
    space.seed(0)
    tasks = [space.sample() for _ in range(2)]
    batch = make_batch(config, 1, 2)
    assert batch.tasks_at_once == 2
    together = batch.reset(tasks, [5, 6])
    for index, task in enumerate(tasks):
        alone, _ = environment.reset(seed=5 + index, options={"task": task})
        assert environment.observation_space.contains(alone)
        np.testing.assert_array_equal(together[index], alone)
    batch.close()
    blind = observed_environment(tiny_config(preset)).observation_space
    features = task_features_space(space).shape[0]
    assert together.shape == (2, blind.shape[0] + features)


def test_a_task_of_no_fixed_size_cannot_be_observed():
    with pytest.raises(ConfigError, match="cannot be observed"):
        task_features_space(gym.spaces.Sequence(gym.spaces.Discrete(2)))


def test_policy_actions_mean_what_they_mean_in_a_rollout():
    config = tiny_config("half-cheetah-dir")
    environment = PolicyActions(observed_environment(config), config.action_scale)
    inner = observed_environment(config).action_space
    action = np.linspace(-2 * config.action_scale, config.action_scale, inner.shape[0])
    expected = ActionMap(inner, config.action_scale)(action[None])[0]
    np.testing.assert_array_equal(environment.action(action), expected)
    np.testing.assert_allclose(environment.action_space.high, config.action_scale)
    assert inner.contains(expected.astype(inner.dtype))


@pytest.mark.parametrize("preset", ["navigation-2d", "half-cheetah-dir", "bernoulli-bandit"])
def test_an_exported_policy_acts_alike_to_the_last_bit(preset):
    train("maml-trpo", "r", preset=preset, iterations=1)
    config = read_run("r")
    environment = policy_environment(config)
    environment.action_space.seed(1)
    space = environment.get_wrapper_attr("task_space")
    space.seed(2)
    (task,) = space.to_jsonable([space.sample()])
    text = json.dumps(task.tolist() if isinstance(task, np.ndarray | np.generic) else task)
    assert main(["export", "r", "--task", text, "--adaptation-steps", "2"]) == 0
    model = PPO.load("r/policy-sb3.zip")
    parameters = adapted("r", text, 2)
    before = adapted("r", text, 0)
    experiment = build_experiment(config)
    module = experiment.policy.build(1)
    observation, _ = environment.reset(seed=3)
    for _ in range(10):
        rows = torch.tensor(observation[None], dtype=torch.float32)
        ours = torch.func.functional_call(module, parameters, (rows,))
        mode = module.mode(ours).numpy()[0]
        action, _ = model.predict(observation, deterministic=True)
        if mode.shape:  # theirs are clipped to the space, as ours on their way to the environment
            mode = np.clip(mode, environment.action_space.low, environment.action_space.high)
        np.testing.assert_array_equal(action, mode)
        observation, *_ = environment.step(environment.action_space.sample())
    assert any((parameters[name] != before[name]).any() for name in parameters)


def read_run(run_dir):
    return read_config(Path(run_dir))


def adapted(run_dir, text, steps):
    """The parameters that `metarl export` adapts, by the functions underneath."""
    changes = {"seed": 1, "test_tasks": 1, "test_adaptation_steps": steps}
    experiment = build_experiment(dataclasses.replace(read_run(run_dir), **changes))
    state = load_newest_state(Path(run_dir), experiment, "test")
    task = experiment.read_task(json.loads(text))
    shard = Shard(experiment.test_shards())
    return adapted_parameters(shard, experiment, state.agent, task)[-1]


def test_meta_training_starts_from_an_exported_policy():
    train("maml-trpo", "first")
    assert main(["export", "first", "--output", "policy.zip"]) == 0
    model = PPO.load("policy.zip")
    config = tiny_config(hidden_sizes=(4,), horizon=5, initial_policy="policy.zip")
    experiment = build_experiment(config)
    like = experiment.initial
    read_back = read_policy(Path("policy.zip"), config, experiment.policy.action_space, like)
    for theirs, value in to_stable_baselines(read_back).items():
        torch.testing.assert_close(value, model.policy.state_dict()[theirs], rtol=0, atol=0)
    train("random", "second", "--initial-policy", "policy.zip")
    assert evaluate("first", "--adaptation-steps", "0") == 0
    assert evaluate("second", "--adaptation-steps", "0") == 0
    before, after = (read(f"{name}/evaluation.json") for name in ("first", "second"))
    assert before["per_task_return"] == after["per_task_return"]


def test_a_model_of_their_own_is_read_and_what_does_not_fit_is_refused(capsys):
    config = tiny_config(hidden_sizes=(4,), horizon=5)
    environment = policy_environment(config)
    arguments = {"net_arch": {"pi": [4], "vf": [3]}, "activation_fn": torch.nn.ReLU}
    PPO("MlpPolicy", environment, policy_kwargs=arguments, device="cpu").save("good.zip")
    PPO("MlpPolicy", environment, device="cpu").save("tanh.zip")
    relu = {"activation_fn": torch.nn.ReLU}
    PPO("MlpPolicy", environment, policy_kwargs=relu, device="cpu").save("wide.zip")
    scaled = PolicyActions(observed_environment(config), 3.0)
    PPO("MlpPolicy", scaled, policy_kwargs=arguments, device="cpu").save("scaled.zip")
    Path("text.zip").write_text("nothing")
    train("maml-trpo", "started", "--initial-policy", "good.zip", iterations=1)
    capsys.readouterr()
    for file, said in {
        "tanh.zip": "has the activation",
        "wide.zip": "--hidden-sizes",
        "scaled.zip": "--action-scale",
        "text.zip": "is no model of stable-baselines3",
        "missing.zip": "is no model of stable-baselines3",
    }.items():
        options = ["--initial-policy", file, "--run-dir", "refused", "--workers", "0"]
        assert main(["train", "navigation-2d", *SMALL, *options]) == 2
        assert said in one_line_error(capsys)
        assert not Path("refused").exists()


class Trap:
    """An object whose unpickling would leave a file behind."""

    def __reduce__(self):
        return (Path("sprung").write_text, ("",))


def test_a_model_with_code_in_it_is_not_run():
    config = tiny_config(hidden_sizes=(4,))
    experiment = build_experiment(config)
    torch.save({"weights": Trap()}, "policy.pth")
    with zipfile.ZipFile("trap.zip", "w") as archive:
        archive.writestr("data", "{}")
        archive.write("policy.pth")
    with pytest.raises(ConfigError, match="more than tensors"):
        read_policy(Path("trap.zip"), config, experiment.policy.action_space, experiment.initial)
    assert not Path("sprung").exists()


def test_names_go_there_and_back_for_several_layers():
    like = build_experiment(tiny_config(hidden_sizes=(5, 4, 3))).initial
    there = to_stable_baselines(like)
    assert sorted(there)[0] == "action_net.bias"
    back = from_stable_baselines(there, like, "it")
    assert all(torch.equal(back[name], like[name]) for name in like)
    there.pop("action_net.bias")
    with pytest.raises(ConfigError, match=r"it has no action_net\.bias"):
        from_stable_baselines(there, like, "it")


def test_what_cannot_be_exported_is_told_in_a_line(capsys):
    train("maml-trpo", "r", iterations=1)
    train("oracle", "oracle", iterations=1)
    capsys.readouterr()
    for arguments, said in (
        (["r", "--adaptation-steps", "2"], "adaptation needs a task"),
        (["r", "--task", "[9, 9]"], "is not in the task space"),
        (["r", "--output", "policy.onnx"], "must end in .zip"),
        (["oracle", "--task", "[0.1, 0.1]"], "never adapts"),
        (["nowhere"], "there is no run folder"),
    ):
        assert main(["export", *arguments]) != 0
        assert said in one_line_error(capsys)


def test_an_oracle_is_drawn_and_exported_with_the_task_before_its_eyes():
    train("oracle", "oracle", iterations=1)
    assert main(["render", "oracle", "--task", "[0.3, 0.2]", "--output", "oracle.gif"]) == 0
    assert Path("oracle.gif").stat().st_size > 0
    assert main(["export", "oracle"]) == 0
    model = PPO.load("oracle/policy-sb3.zip")
    environment = policy_environment(read_run("oracle"))
    observation, _ = environment.reset(seed=1, options={"task": np.array([0.3, 0.2])})
    np.testing.assert_array_equal(observation[-2:], [0.3, 0.2])
    assert environment.action_space.contains(model.predict(observation)[0])
