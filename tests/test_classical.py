"""Methods that are not learned, as agents: what an evaluation makes of them, and where they fit."""

import contextlib
from typing import Any

import numpy as np
import pytest

from metarl.agent.protocol import AgentState
from metarl.config.comparability import baselines_of
from metarl.config.plugins import AgentSpec, load_agent
from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.experiments.curves import AdaptationCurve
from metarl.experiments.interface import EvaluationCase
from metarl.foundation.errors import ConfigError
from metarl.foundation.seeding import Split
from metarl_agents import classical_bandits as bandits
from metarl_agents import grid_search, optimal_bandits
from metarl_agents.classical import METHODS, actor_of

BANDIT = "metarl_envs:metarl/BernoulliBandit-v0"
MDP = "metarl_envs:metarl/TabularMDP-v0"
GRID = "metarl_envs:metarl/GridNavi-v0"
NOTHING = AgentState(np.zeros(0))


def config_of(agent: str, env_id: str, **changes: Any) -> Config:
    values: dict[str, Any] = {
        "preset": "",
        "description": "",
        "source": "",
        "env_id": env_id,
        "agent": agent,
        "iterations": 1,
        "horizon": {BANDIT: 1, MDP: 10, GRID: 15}.get(env_id, 5),
        "test_episodes_per_task": 1,
        "test_adaptation_steps": {BANDIT: 9, MDP: 9, GRID: 3}.get(env_id, 2),
    }
    return Config(**{**values, **changes})


def evaluated(agent: str, env_id: str, tasks: int, **changes: Any) -> AdaptationCurve:
    """What the evaluation of a run makes of the method."""
    experiment = build_experiment(config_of(agent, env_id, test_tasks=tasks, **changes))
    state = experiment.first_state().agent
    with contextlib.closing(experiment.start_test_workers(0)) as workers:
        return experiment.evaluate(workers, state, EvaluationCase("", {}))


def mean_and_error(curve: AdaptationCurve) -> tuple[float, float]:
    totals = curve.per_task.sum(axis=1)
    return float(totals.mean()), float(totals.std() / np.sqrt(len(totals)))


@pytest.mark.parametrize("name", METHODS)
def test_a_rows_actions_do_not_depend_on_its_company(name: str) -> None:
    for env_id in METHODS[name].makers:
        config = config_of(name, env_id or BANDIT, test_tasks=3)
        experiment = build_experiment(config)
        actor = actor_of(name, experiment.policy, config, NOTHING)
        generator = np.random.default_rng(1)
        size = experiment.policy.observation_space.shape[0]  # type: ignore[index]
        steps = 12
        seen = np.eye(size)[generator.integers(0, size, (steps, 7))]
        noise, rewards = generator.random((2, steps, 7))
        rewards = np.round(rewards)

        def chosen(rows: list[int]) -> np.ndarray:
            memory, found = actor.begin(len(rows)), []  # noqa: B023
            for time in range(steps):  # noqa: B023
                actions, memory = actor.choose(seen[time, rows], memory, noise[time, rows])  # noqa: B023
                ended = np.full(len(rows), (time + 1) % config.horizon == 0)  # noqa: B023
                memory = actor.observe(memory, rewards[time, rows], ended)  # noqa: B023
                found.append(actions)
            return np.array(found)

        together = chosen(list(range(7)))
        for row in range(7):
            assert np.array_equal(together[:, [row]], chosen([row]))


def test_the_best_plan_played_through_an_evaluation_returns_its_value() -> None:
    curve = evaluated("bayes-optimal", BANDIT, 200, test_episodes_per_task=4)
    total, error = mean_and_error(curve)
    plan = optimal_bandits.solve(5, 10)
    assert curve.unit == "episode"
    assert abs(total - plan.value) < 3 * error
    spread = curve.per_task.std(axis=0) / np.sqrt(200)
    assert (np.abs(curve.mean - plan.pull_rewards) < 4 * spread).all()


def test_the_agents_plan_looks_as_far_ahead_as_the_trial_is_long() -> None:
    config = config_of("bayes-optimal", BANDIT, test_adaptation_steps=7, env_kwargs={"arms": 2})
    experiment = build_experiment(config)
    # One arm paid 3 of 5, the other is unknown: with 3 of 8 pulls left the unknown one is better.
    paid, failed = np.array([[3, 0]]), np.array([[2, 0]])
    memory = (paid, failed, np.zeros(1, dtype=np.int64))
    actor = actor_of("bayes-optimal", experiment.policy, config, NOTHING)
    action, _ = actor.choose(np.zeros((1, 1)), memory, None)
    assert action.tolist() == optimal_bandits.solve(2, 8).choose(paid, failed).tolist() == [1]
    assert bandits.greedy(paid, failed, None).tolist() == [0]


def test_a_uniform_agent_chooses_evenly() -> None:
    config = config_of("uniform", MDP)
    actor = actor_of("uniform", build_experiment(config).policy, config, NOTHING)
    generator = np.random.default_rng(1)
    chosen, _ = actor.act(np.zeros((1000, 10)), actor.begin(1000), generator)
    assert np.abs(np.bincount(chosen, minlength=5) - 200).max() < 4 * np.sqrt(160)


def test_a_uniform_agent_gets_half_a_pull_and_one_a_step() -> None:
    total, error = mean_and_error(evaluated("uniform", BANDIT, 300))
    assert abs(total - 5) < 3 * error
    total, error = mean_and_error(evaluated("uniform", MDP, 100))
    assert abs(total - 100) < 3 * error


def test_every_goal_is_found_as_the_search_says() -> None:
    experiment = build_experiment(config_of("bayes-optimal", GRID, test_tasks=21))
    state = experiment.first_state().agent
    with contextlib.closing(experiment.start_test_workers(0)) as workers:
        curve = experiment.evaluate(workers, state, EvaluationCase("", list(range(21))))
    assert curve.mean == pytest.approx(grid_search.search().episode_returns)


def test_a_state_after_some_episodes_goes_on_where_they_ended() -> None:
    experiment = build_experiment(config_of("greedy", BANDIT, test_tasks=2, env_kwargs={"arms": 2}))
    state = experiment.first_state().agent
    shard = experiment.test_shards().build()
    sure = [np.array([1.0, 0.0]), np.array([0.0, 1.0])]
    shard.begin(sure, (Split.TEST, 0))
    for (*_, last), task in zip(experiment.states_after(shard, state, sure), sure, strict=True):
        actor = experiment.actor(last)
        action, _ = actor.act(np.zeros((1, 1)), actor.begin(1), np.random.default_rng(1))
        assert task[int(action[0])] == 1.0


def test_an_agent_asked_for_where_it_does_not_fit_says_what_it_fits() -> None:
    with pytest.raises(
        ConfigError, match=r"agent ucb1 does not fit: .*BernoulliBandit-v0, not for"
    ):
        build_experiment(config_of("ucb1", GRID))
    with pytest.raises(ConfigError, match="too many beliefs to solve exactly"):
        build_experiment(config_of("bayes-optimal", BANDIT, test_adaptation_steps=99))
    with pytest.raises(ConfigError, match="grids of at most 5"):
        build_experiment(config_of("bayes-optimal", GRID, env_kwargs={"size": 8}))
    with pytest.raises(ConfigError, match="at most 500 pulls; a trial here has 501"):
        build_experiment(config_of("gittins", BANDIT, test_adaptation_steps=500))
    rich = {"low": [0.5] * 5, "high": [1.0] * 5}
    for changes in ({"train_range": rich}, {"test_ranges": {"rich": rich}}):
        with pytest.raises(ConfigError, match="the environment's own distribution; train_range or"):
            build_experiment(config_of("bayes-optimal", BANDIT, **changes))


@pytest.mark.parametrize(
    ("agent", "env_id", "changes", "expected"),
    [
        ("maml-trpo", BANDIT, {}, {"random", "pretrained", "oracle"}),
        (
            "rl2",
            BANDIT,
            {},
            {
                "uniform",
                "greedy",
                "epsilon-greedy",
                "thompson",
                "ots",
                "ucb1",
                "gittins",
                "bayes-optimal",
            },
        ),
        (
            "rl2",
            BANDIT,
            {"test_adaptation_steps": 99},
            {"uniform", "greedy", "epsilon-greedy", "thompson", "ots", "ucb1", "gittins"},
        ),
        (
            "rl2",
            MDP,
            {},
            {"uniform", "greedy", "epsilon-greedy", "thompson", "opsrl", "ucrl2", "beb"},
        ),
        ("rl2", GRID, {}, {"uniform", "bayes-optimal"}),
        ("rl2", "metarl_envs:metarl/Navigation2D-v0", {}, {"uniform"}),
    ],
)
def test_baselines_are_those_that_fit(
    agent: str, env_id: str, changes: dict[str, Any], expected: set[str]
) -> None:
    assert {it.agent for it in baselines_of(config_of(agent, env_id, **changes))} == expected


def test_all_are_baselines_of_which_nothing_is_trained() -> None:
    for name in METHODS:
        spec: AgentSpec = load_agent(name)
        assert (spec.baseline, spec.trained, spec.unit) == (True, False, "episode")
        assert spec.settings is METHODS[name].settings
        assert set(spec.environments or [""]) == set(METHODS[name].makers)
