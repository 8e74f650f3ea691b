"""Environments that raise, give nonsense, or meddle with the process they run in."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from building import FORKED, build_experiment, first_state, pool, run, without_times
from faulty_runs import assert_same, config_of, listening

from metarl.agent.gradient import collect_with_rates
from metarl.cli import main
from metarl.foundation.errors import ConfigError, RunFolderError, TaskError, WorkerError
from metarl.foundation.seeding import Split
from metarl.tasks.distribution import sample_tasks
from metarl.tasks.failed_episodes import FailedEpisode, read_episode

pytestmark = pytest.mark.whole_runs

NONSENSE = {
    "step": "in step 1 of an episode: ZeroDivisionError: the sensor divided by zero",
    "reset": "in reset of an episode: RuntimeError: the gripper is stuck",
    "nan-reward": "the reward of step 1 is not finite: nan",
    "nan-observation": "an observation before step 2 is not finite: [nan]",
    "infinite-observation": "an observation before step 2 is not finite: [inf]",
    "shape": "observation of shape (4,) where the observation space says (1,)",
    "words": "could not convert string to float",
    "no-reward": "TypeError: float() argument must be",
}


@pytest.fixture(scope="module")
def undisturbed():
    return run(config_of())


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.fault(
    5,
    "environment raises in its constructor, `reset` or `step`",
    "the run stops with the environment's own traceback, the task and the seed",
    group="environments",
)
@pytest.mark.fault(
    8,
    "NaN or infinity in an observation or a reward",
    "noticed at that step; the episode is kept for `metarl repro`",
    group="environments",
)
@pytest.mark.fault(
    11, "observation of another shape or type", "expected and got are named", group="environments"
)
@pytest.mark.parametrize("fault", list(NONSENSE))
def test_a_failed_episode_is_named_and_can_be_repeated(fault, in_folder, capsys):
    with pytest.raises(WorkerError) as failure:
        run(config_of(fault), 2)
    assert NONSENSE[fault] in str(failure.value)
    assert re.search(r"task \d \(\[0\.\d+\]\): .*\(reset seed \d+\)", str(failure.value))
    file = failure.value.episode.write(Path("failures"))
    assert main(["repro", str(file)]) == 0
    assert "failed again" in capsys.readouterr().out


@pytest.mark.fault(
    8,
    "NaN or infinity in an observation or a reward, while `pretrained` or `oracle` train",
    "task, step and number are named; the run stops, since stable-baselines3 can neither try again "
    "nor leave a task out: another `--on-env-error` is refused",
    group="environments",
)
@pytest.mark.parametrize(
    ("fault", "step", "named"),
    [
        ("nan-reward", 1, "the reward of step 0 is not finite: nan"),
        ("nan-reward", 5, "the reward of step 4 is not finite: nan"),
        ("infinite-observation", 2, r"an observation before step 2 is not finite: \[inf\]"),
        ("nan-observation", 5, r"an observation before step 5 is not finite: \[nan\]"),
    ],
)
def test_a_baselines_number_that_is_not_finite_is_named(fault, step, named):
    pytest.importorskip("sb3_contrib")
    settings = {"minibatches": 2}
    config = replace(config_of(fault, step=step), agent="pretrained", agent_settings=settings)
    with pytest.raises(TaskError, match=rf"^agent pretrained: task \d \(\[0\.\d+\]\): {named}$"):
        run(config)
    with pytest.raises(ConfigError, match="on_env_error = 'retry': agent pretrained trains by st"):
        build_experiment(replace(config, on_env_error="retry"))


def test_the_record_of_a_failed_episode_survives_the_file(tmp_path):
    episode = FailedEpisode(
        env_id="a:b/C-v0", horizon=3, reset_seed=5, reason="r", task_index=2, key=(0, 7, 1),
        task={"low": [[0.1]]}, env_kwargs={"size": 3}, actions=([0.1 + 0.2], [1e-300]),
        state={"qpos": [float("nan")]},
    )  # fmt: skip
    file = episode.write(tmp_path / "new" / "folder")
    again = read_episode(file)
    assert file.name == "episode-7-1-2.json"
    assert replace(again, state={}) == replace(episode, state={})
    assert np.isnan(again.state["qpos"][0])
    for text in ("", "[]", "{", '{"env_id": 3}', "[" * 100_000):
        file.write_text(text)
        with pytest.raises(RunFolderError, match="is no failed episode"):
            read_episode(file)


def test_the_command_line_keeps_the_episode_and_names_the_command(in_folder, capsys):
    support = "faulty_environments:Faulty-v0"
    Path("faulty.toml").write_text(
        f'description = "fails"\nsource = "test"\nenv_id = "{support}"\nhorizon = 5\n'
        'iterations = 1\ntasks_per_batch = 4\nepisodes_per_task = 2\n[env_kwargs]\nfault = "step"\n'
    )
    train = ["train", "faulty.toml", "--run-dir", "r", "--workers", "0"]
    assert main(train) == 1
    said = capsys.readouterr().err
    (command,) = re.findall(r"Repeat the episode with: metarl (repro \S+)", said)
    assert main(command.split()) == 0
    assert "ZeroDivisionError" in capsys.readouterr().out
    # Going on without the task: counted, said, and kept as well.
    assert main([*train, "--resume", "--on-env-error", "skip-task"]) == 0
    said = capsys.readouterr().err
    assert "left out task" in said
    assert "repeat it with: metarl repro r/failures/episode-1-0-" in said
    assert Path("r/events.jsonl").read_text().count("left out task") >= 1
    skipped = re.search(r'"skipped_tasks": (\d)', Path("r/metrics.jsonl").read_text())
    assert 0 < int(skipped[1]) < 4


@pytest.mark.fault(
    5, "environment fails, with `--on-env-error retry`", "tried three times, then the run stops",
    group="environments",
)  # fmt: skip
def test_an_environment_that_fails_once_is_tried_again(tmp_path, undisturbed):
    once = replace(config_of("step", marker=str(tmp_path / "m")), on_env_error="retry")
    assert_same(run(once, 2), undisturbed)
    always = replace(config_of("step"), on_env_error="retry")
    with pytest.raises(WorkerError, match="the sensor divided by zero"):
        run(always, 2)


def test_attempts_are_counted_for_each_task_whoever_has_it(tmp_path):
    each_once = replace(config_of("step", marker=str(tmp_path / "{task}")), on_env_error="retry")
    assert statistics_of(each_once) == statistics_of(config_of())
    assert len(list(tmp_path.iterdir())) == 3  # one shard, and three tasks above 0


@pytest.mark.fault(
    5, "environment fails, with `--on-env-error skip-task`",
    "the task is left out of the iteration, counted in the metrics and said; "
    "the other tasks' numbers stay the same",
    group="environments",
)  # fmt: skip
def test_a_task_left_out_changes_nothing_for_the_others():
    config = replace(config_of("nan-reward"), on_env_error="skip-task")
    runs = []
    for workers in (0, 2, 3):
        heard, supervision = listening()
        runs.append(run(config, workers, supervision))
        assert all("left out task" in event for event in heard)
        skipped = sum(record["skipped_tasks"] for record in runs[-1][1])
        assert 0 < skipped == len(heard) < 8
    for other in runs[1:]:
        assert_same(other, runs[0])
    kept = statistics_of(config)
    whole = statistics_of(replace(config, env_kwargs={"fault": "none"}))
    assert kept
    assert len(kept) < len(whole)
    assert all(of_task in whole for of_task in kept)


def test_an_evaluation_leaves_no_task_out():
    config = replace(config_of("step"), on_env_error="skip-task")
    with pytest.raises(WorkerError, match="the sensor divided by zero"):
        statistics_of(config, Split.TEST)


def statistics_of(config, split=Split.TRAIN):
    experiment = build_experiment(config)
    theta = first_state(experiment).agent.theta
    tasks = sample_tasks(experiment.environment, config.seed, (Split.TRAIN, 1), 4)
    with pool(experiment, 0, listening()[1]) as workers:
        return workers.map(collect_with_rates, theta, tasks, (split, 1), (0.1,))


def test_a_run_whose_tasks_all_fail_ends():
    # At step 1 of 5, for tasks above 0, which all are here.
    config = replace(
        config_of("step"), on_env_error="skip-task", train_range={"low": [0.1], "high": [0.9]}
    )
    with pytest.raises(TaskError, match="the environments of all 4 tasks failed"):
        run(config, 2, listening()[1])


@pytest.mark.fault(
    11, "environment writes into the observation it gave", "copies are taken", group="environments"
)
def test_an_environment_may_use_one_buffer_for_all_observations(undisturbed):
    assert_same(run(config_of("same-buffer")), undisturbed)


@pytest.mark.fault(
    15, "environment changes the working directory, global random state or variables",
    "the numbers stay the same; the directory is restored",
    group="environments",
)  # fmt: skip
@pytest.mark.parametrize("workers", [0, 2])
def test_an_environment_that_meddles_changes_no_number(
    workers, in_folder, undisturbed, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert_same(run(config_of("meddle"), workers), undisturbed)
    assert Path.cwd() == in_folder


@pytest.mark.fault(
    9, "simulation diverges", "the episode ends there, and is counted in the metrics",
    group="environments",
)  # fmt: skip
def test_episodes_that_the_simulation_broke_off_are_counted():
    _, records = run(config_of("unstable"), 2, FORKED)
    counts = [record["unstable_episodes"] for record in records]
    tasks = sample_tasks(build_experiment(config_of()).environment, 1, (Split.TRAIN, 1), 4)
    assert counts[0] == 2 * 4 * sum(task[0] > 0 for task in tasks)
    assert "unstable_episodes" in without_times(records)[0]


@pytest.mark.fault(
    31, "impossible value or misspelt name", "an error before any worker starts", group="platform"
)
def test_a_word_that_is_no_way_of_going_on(in_folder, capsys):
    assert main(["train", "navigation-2d", "--on-env-error", "ignore", "--run-dir", "r"]) == 2
    assert "ignore" in capsys.readouterr().err
    assert not os.path.exists("r")
