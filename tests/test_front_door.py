"""`import metarl`: what the command line does, for a caller in Python."""

import base64
import json
import multiprocessing
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from building import adapted_parameters

import metarl
from metarl.cli import main
from metarl.experiments.build import build_experiment
from metarl.learning.objectives import act
from metarl.tasks.observations import flatten_observations
from metarl.tasks.policy_environment import policy_environment

pytestmark = pytest.mark.whole_runs

TINY = {
    "tasks_per_batch": 3,
    "episodes_per_task": 4,
    "horizon": 6,
    "hidden_sizes": (8,),
    "test_tasks": 4,
    "test_episodes_per_task": 4,
    "test_adaptation_steps": 2,
    "tensorboard": False,
    "workers": 0,
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("front-door") / "nav"
    return metarl.train("navigation-2d", iterations=2, run_dir=folder, **TINY)


def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys, metarl\n"
        "heavy = {'torch', 'gymnasium', 'numpy', 'scipy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert set(metarl.__all__) <= set(dir(metarl))\n"
        "for name in metarl.__all__: getattr(metarl, name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_training_gives_a_run_and_tells_a_function_how_it_goes():
    seen = []
    run = metarl.train("navigation-2d", iterations=2, progress=seen.append, max_kl=0.02, **TINY)
    assert run.run_dir == Path("runs/navigation-2d")
    assert [record["iteration"] for record in seen] == [1, 2]
    assert run.metrics == seen
    assert (run.iteration, run.config.horizon) == (2, 6)
    assert run.config.agent_settings["max_kl"] == 0.02
    longer = metarl.train("navigation-2d", iterations=3, resume=True, workers=0)
    assert longer.iteration == 3
    session = json.loads(Path("runs/navigation-2d/sessions.jsonl").read_text().splitlines()[0])
    assert session["command"].startswith("metarl.train('navigation-2d', iterations=2, max_kl=0.02")


def test_it_trains_what_the_command_line_trains():
    metarl.train("navigation-2d", iterations=2, run_dir="by-function", **TINY)
    flags = ["--tasks-per-batch", "3", "--episodes-per-task", "4", "--horizon", "6"]
    flags += ["--hidden-sizes", "8", "--workers", "0", "--iterations", "2"]
    assert main(["train", "navigation-2d", *flags, "--run-dir", "by-command"]) == 0
    one, other = (
        Path(folder, "checkpoints/iteration-000002/parameters.safetensors").read_bytes()
        for folder in ("by-function", "by-command")
    )
    assert one == other


@pytest.mark.parametrize(
    ("preset", "fields", "complaint"),
    [
        ("navigation-2d", {"iteration": 3}, "there is no field 'iteration'; did you mean 'iterat"),
        ("navigation-2d", {"iterations": 0}, "iterations = 0 must be at least 1"),
        ("navigation-2d", {"iterations": "3"}, "iterations = '3' must be of type int"),
        ("navigation-2d", {"max_kl": -1.0}, "max_kl = -1.0 must be positive"),
        ("navigation-3d", {}, "unknown preset 'navigation-3d'; did you mean 'navigation-2d'"),
        ("mine:Mine-v0", {}, "unknown preset 'mine:Mine-v0'; an environment is named by --env-id"),
        ("sinusoid", {"horizon": 3}, "there is no field 'horizon'"),
        ("", {}, "name a preset first"),
    ],
)
def test_what_is_wrong_is_one_error_and_nothing_is_written(preset, fields, complaint):
    with pytest.raises(metarl.MetarlError) as caught:
        metarl.train(preset, workers=0, **fields)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(Path().iterdir()) == []


def test_a_resumed_run_keeps_its_configuration(run):
    with pytest.raises(metarl.MetarlError, match=r"horizon was 6 and is now 7; start a new run"):
        metarl.train("navigation-2d", run_dir=run.run_dir, resume=True, horizon=7)


def test_it_evaluates_as_the_command_line_does(run):
    curve = run.evaluate(tasks=4, adaptation_steps=3, workers=0, save=False)
    output = ["--output", "by-command", "--workers", "0"]
    arguments = ["--tasks", "4", "--adaptation-steps", "3", *output]
    assert main(["evaluate", str(run.run_dir), *arguments]) == 0
    found = json.loads(Path("by-command/evaluation.json").read_text())
    assert curve.mean_return.tolist() == found["mean_return"]
    assert curve.ci95.tolist() == found["ci95"]
    assert curve.per_task_return.tolist() == found["per_task_return"]
    assert curve.plot().axes[0].get_xlabel() == "adaptation steps (gradient updates)"


@pytest.mark.parametrize("kind", [str, Path])
def test_one_run_folder_needs_no_list(run, kind):
    options = {"tasks": 2, "adaptation_steps": 1, "workers": 0}
    (alone,) = metarl.evaluate(kind(run.run_dir), **options)
    (listed,) = metarl.evaluate([kind(run.run_dir)], **options)
    assert np.array_equal(alone.per_task_return, listed.per_task_return)
    assert metarl.report(kind(run.run_dir), "page.html").exists()


def test_an_evaluation_may_name_its_tasks(run):
    goals = [[0.3, 0.2], np.array([-0.1, 0.4])]
    curve = run.evaluate(tasks=goals, adaptation_steps=1, workers=0)
    assert curve.per_task_return.shape == (2, 2)
    assert curve.record["tasks"] == [[0.3, 0.2], [-0.1, 0.4]]
    with pytest.raises(metarl.MetarlError, match="not in the task space"):
        run.evaluate(tasks=[[9.0, 9.0]], workers=0)


def test_many_tasks_are_met_in_parts_with_the_same_numbers(run):
    told = []
    whole = run.evaluate(
        tasks=70,
        adaptation_steps=1,
        workers=2,
        save=False,
        progress=lambda what, done, total: told.append((done, total)),
    )
    first = run.evaluate(tasks=5, adaptation_steps=1, workers=0, save=False)
    assert np.array_equal(whole.per_task_return[:5], first.per_task_return)
    assert told == [(0, 70), (35, 70), (70, 70)]


def test_adapting_gives_the_parameters_that_an_evaluation_adapts(run):
    policy = run.adapt(task=[0.3, 0.2], steps=2)
    experiment = build_experiment(policy.config)
    shard = experiment.test_shards().build()
    shard = type(shard)(experiment.shards(1, 4))
    expected = adapted_parameters(shard, experiment, run._state.agent, np.array([0.3, 0.2]))
    observation = np.array([[0.1, -0.2]])
    action, state = policy.predict(observation, deterministic=True)
    assert state is None
    (mean, _) = act(shard.policy, expected[-1], torch.tensor(observation, dtype=torch.float32))
    assert np.array_equal(action, shard.action_map(mean.detach().numpy()))
    assert not np.array_equal(
        run.adapt(steps=0).predict(observation, deterministic=True)[0], action
    )


def test_an_environment_of_ones_own_is_adapted_to_as_the_same_task_is(run):
    class Alone(gym.Wrapper):
        """It takes no task, and ends its episodes by itself."""

        def reset(self, *, seed=None, options=None):
            assert not options
            return self.env.reset(seed=seed, options={"task": np.array([0.3, 0.2])})

    env = Alone(gym.make("metarl_envs:metarl/Navigation2D-v0", max_episode_steps=6))
    own, task = run.adapt(env=env, steps=2), run.adapt(task=[0.3, 0.2], steps=2)
    np.testing.assert_allclose(own.state.theta, task.state.theta, rtol=1e-4, atol=1e-6)
    assert env.step(env.action_space.sample())  # it is still open


def test_only_an_environment_of_the_same_spaces_is_adapted_to(run):
    env = gym.make("Pendulum-v1")
    with pytest.raises(metarl.MetarlError, match=r"observation space is .* only an environment of"):
        run.adapt(env=env)
    strong = gym.Wrapper(gym.make("metarl_envs:metarl/Navigation2D-v0"))
    strong.action_space = gym.spaces.Box(-5.0, 5.0, (2,), np.float32)
    with pytest.raises(metarl.MetarlError, match=r"action space is .* only an environment of"):
        run.adapt(env=strong)
    with pytest.raises(metarl.MetarlError, match="not both"):
        run.adapt(task=[0.1, 0.1], env=env)
    with pytest.raises(metarl.MetarlError, match="is not in the task space"):
        run.adapt(task=[7.0, 7.0])


def test_what_fails_in_the_first_step_of_ones_own_environment_is_told(run):
    class Broken(gym.Wrapper):
        def step(self, action):
            raise ValueError("the arm is off")

    with pytest.raises(
        metarl.MetarlError, match=r"failed in step 0 .*: ValueError: the arm is off"
    ):
        run.adapt(env=Broken(gym.make("metarl_envs:metarl/Navigation2D-v0")))


def test_a_script_that_workers_import_makes_no_run_folder(monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(metarl.MetarlError, match="every worker imports it again"):
        metarl.train("navigation-2d", run_dir="imported", **TINY)
    assert not Path("imported").exists()


def test_stable_baselines_evaluates_a_policy_and_takes_a_saved_one(run):
    sb3 = pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.evaluation import evaluate_policy

    policy = run.adapt(task=[0.3, 0.2], steps=1)
    env = gym.make("metarl_envs:metarl/Navigation2D-v0", max_episode_steps=6)
    env.unwrapped.task = np.array([0.3, 0.2])
    mean, _ = evaluate_policy(policy, env, n_eval_episodes=3, warn=False)
    assert -6 * 1.2 < mean < 0

    model = sb3.PPO.load(policy.save("adapted.zip"), device="cpu")
    units = policy_environment(policy.config)
    observation = np.array([0.2, -0.1], dtype=np.float32)
    theirs, _ = model.predict(observation, deterministic=True)
    own, _ = policy.predict(observation, deterministic=True)
    np.testing.assert_allclose(units.action(theirs), own, rtol=1e-6)


def test_a_saved_policy_comes_back_and_damage_is_told(run):
    policy = run.adapt(task=[0.3, 0.2], steps=1)
    file = policy.save("adapted.safetensors")
    again = metarl.load_policy(file)
    assert np.array_equal(again.state.theta, policy.state.theta)
    damaged = bytearray(file.read_bytes())
    damaged[-3] ^= 1
    Path("damaged.safetensors").write_bytes(damaged)
    with pytest.raises(metarl.MetarlError, match="its checksum differs"):
        metarl.load_policy("damaged.safetensors")
    with pytest.raises(metarl.MetarlError, match=r"must end in \.zip or \.safetensors"):
        policy.save("adapted.pkl")


def test_a_sampled_action_differs_and_a_generator_decides_it(run):
    policy, observation = run.adapt(steps=0), np.zeros(2)
    drawn = [
        policy.predict(observation, generator=np.random.default_rng(seed))[0] for seed in (1, 1, 2)
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert drawn[0].shape == (2,)


def test_observations_of_any_space_are_flattened_alone_and_in_batches():
    space = gym.spaces.Dict(
        {"at": gym.spaces.Box(-1, 1, (2,)), "choice": gym.spaces.Discrete(3, start=1)}
    )
    one = {"at": np.array([0.5, -0.5]), "choice": np.int64(2)}
    rows, alone = flatten_observations(space, one)
    assert alone
    assert rows.tolist() == [[0.5, -0.5, 0.0, 1.0, 0.0]]
    batch = {"at": np.array([[0.5, -0.5], [0, 1]]), "choice": np.array([2, 1])}
    rows, alone = flatten_observations(space, batch)
    assert not alone
    assert rows.tolist() == [[0.5, -0.5, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0, 0.0]]
    with pytest.raises(metarl.MetarlError, match="this is no observation of"):
        flatten_observations(gym.spaces.Box(-1, 1, (2,)), np.zeros(3))


def test_it_draws_and_reports(run):
    told = []
    files = run.render(
        tasks=2,
        adaptation_steps=1,
        output="clip.webp",
        progress=lambda what, done, total: told.append((done, total)),
    )
    assert [file.name for file in files] == ["clip-1.webp", "clip-2.webp"]
    assert all(file.stat().st_size for file in files)
    assert told[0] == (0, 2)
    assert told[-1] == (2, 2)
    assert run.render(adaptation_steps=0, output="clip.webp", progress=False)
    assert run.report("page.html").read_text().startswith("<!DOCTYPE html>")


def test_an_evaluation_shows_the_table_of_the_command_line_and_its_figure(run, capsys):
    found = run.evaluate(tasks=4, adaptation_steps=2, workers=0, save=False)
    arguments = ["--tasks", "4", "--adaptation-steps", "2", "--workers", "0"]
    assert main(["evaluate", str(run.run_dir), *arguments, "--output", "by-command"]) == 0
    *table, _ = (line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert repr(found).splitlines() == table
    assert f"{found.mean_return[2]:.2f}" in str(found)
    picture = found.plot()._repr_png_()
    assert picture == Path("by-command/evaluation.png").read_bytes()


def test_clips_are_shown_as_what_their_files_hold(run):
    clips = run.render(tasks=2, adaptation_steps=1, output="a<b.webp")
    clips += run.render(task=[0.3, 0.2], adaptation_steps=1, output="clip.mp4")
    assert [str(file) for file in clips] == ["a<b-1.webp", "a<b-2.webp", "clip.mp4"]
    shown = clips._repr_html_().splitlines()
    for line, file, kind in zip(shown, clips, ["image/webp"] * 2 + ["video/mp4"], strict=True):
        (data,) = re.findall(f' src="data:{kind};base64,([^"]+)"', line)
        assert base64.b64decode(data) == file.read_bytes()
    assert [line.split()[0] for line in shown] == ["<img", "<img", "<video"]
    assert 'alt="a&lt;b-1.webp"' in shown[0]
    clips[0].unlink()
    assert clips._repr_html_().splitlines()[0] == "<p>a&lt;b-1.webp</p>"


def test_a_policy_that_comes_trained_is_loaded_by_its_name():
    run = metarl.load("navigation-2d")
    assert run.run_dir == Path("runs/trained/navigation-2d")
    with pytest.raises(metarl.MetarlError, match="there is no run folder nowhere; policies that"):
        metarl.load("nowhere")
    with pytest.raises(metarl.MetarlError, match="navigation-2e; did you mean 'navigation-2d'"):
        metarl.load("navigation-2e")


def test_what_is_installed_is_listed():
    names = {entry.name: entry for entry in metarl.presets()}
    assert names["navigation-2d"].tasks == "[-0.5, 0.5]^2"
    assert "one" not in names
    assert {"maml-trpo", "promp"} <= {entry.name for entry in metarl.agents()}
    assert "metarl_envs:metarl/Navigation2D-v0" in {it.name for it in metarl.environments()}
    assert "sinusoid" in {entry.name for entry in metarl.problems()}
    assert "navigation-2d" in {entry.name for entry in metarl.trained()}


def test_a_supervised_problem_goes_through_the_same_door():
    small = {"record_interval": 2, "checkpoint_interval": 2, "tasks_per_batch": 3}
    run = metarl.train("sinusoid", iterations=4, hidden_sizes=(5,), tensorboard=False, **small)
    assert [record["iteration"] for record in run.metrics] == [2, 4]
    curve = run.evaluate(tasks=4, adaptation_steps=2, shots=(5,))
    assert curve.measure == "mean squared error"
    assert curve.curve.mean.shape == (3,)
    for verb in (run.adapt, run.render):
        with pytest.raises(metarl.MetarlError, match="not of an environment: nothing acts there"):
            verb()


def test_what_cannot_fit_is_refused_before_any_work():
    with pytest.raises(metarl.MetarlError, match=r"would take about \d.* TB of memory"):
        metarl.train("sinusoid", tasks_per_batch=10**12)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"tasks": 3.0}, "tasks = 3.0 must be of type int"),
        ({"tasks": True}, "tasks = True must be of type int"),
        ({"adaptation_steps": "2"}, "adaptation_steps = '2' must be of type int"),
        ({"learning_rates": 0.1}, "learning_rates = 0.1 must be a list"),
        ({"learning_rates": ["0.1"]}, "learning_rates = '0.1' must be of type float"),
        ({"seed": 1.5}, "seed = 1.5 must be of type int"),
        ({"workers": 2.0}, "workers = 2.0 must be a number, ray, or"),
    ],
)
def test_an_option_of_another_type_is_one_error_that_names_it(run, options, complaint):
    with pytest.raises(metarl.MetarlError, match=re.escape(complaint)):
        metarl.evaluate(run.run_dir, **{"workers": 0, **options})
    if options.keys() <= {"tasks", "adaptation_steps"}:
        with pytest.raises(metarl.MetarlError, match=re.escape(complaint)):
            run.evaluate(workers=0, **options)
        with pytest.raises(metarl.MetarlError, match=re.escape(complaint)):
            run.render(**options)


def test_numbers_of_numpy_are_numbers(run, tmp_path):
    options = {"adaptation_steps": np.int64(1), "seed": np.int64(3), "workers": np.int64(0)}
    plain = run.evaluate(4, 1, seed=3, workers=0, learning_rates=[0.5], save=False)
    found = run.evaluate(np.int64(4), learning_rates=np.array([0.5]), **options, save=False)
    assert found.to_json() == plain.to_json()
    found.save(tmp_path)
    small = {"iterations": np.int64(1), "discount": np.float32(0.5), "run_dir": "numpy"}
    trained = metarl.train("navigation-2d", **{**TINY, **small})
    assert (trained.config.iterations, trained.config.discount) == (1, 0.5)
