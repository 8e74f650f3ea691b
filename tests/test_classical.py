"""Methods that are not learned: their mathematics, published numbers, and where they fit."""

import contextlib
from functools import partial
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
from metarl_agents import classical_mdps as mdps
from metarl_agents import grid_search, optimal_bandits, posterior_draws
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


def played(method: bandits.Choose, arms: int, pulls: int, rows: int = 2000) -> tuple[float, float]:
    """Mean total and standard error on bandits that all methods share."""
    generator = np.random.default_rng(3)
    probabilities, luck = generator.random((rows, arms)), generator.random((2, pulls, rows))
    actor = bandits.BanditActor(arms, method, NOTHING)
    memory, total = actor.begin(rows), np.zeros(rows)
    for noise, draws in zip(*luck, strict=True):
        chosen, memory = actor.choose(np.zeros((rows, 1)), memory, noise)
        rewards = (draws < probabilities[np.arange(rows), chosen]).astype(np.float64)
        memory = actor.observe(memory, rewards, np.ones(rows, dtype=bool))
        total += rewards
    return float(total.mean()), float(total.std() / np.sqrt(rows))


def played_mdp(plan: mdps.Plan, rows: int = 300, episodes: int = 10, epsilon: float = 0.0) -> float:
    """Mean total on random processes that all methods share."""
    generator = np.random.default_rng(3)
    means = generator.normal(1, 1, (rows, 10, 5))
    ways = np.cumsum(generator.dirichlet(np.ones(10), (rows, 10, 5)), axis=-1)
    actor = mdps.ModelActor(10, 5, 10, plan, NOTHING, epsilon)
    memory, total, every = actor.begin(rows), np.zeros(rows), np.arange(rows)
    for _ in range(episodes):
        state = np.zeros(rows, dtype=np.int64)
        for time in range(10):
            chosen, memory = actor.choose(np.eye(10)[state], memory, generator.random(rows))
            rewards = means[every, state, chosen] + generator.standard_normal(rows)
            total += rewards
            draws = generator.random(rows)[:, None]
            state = np.minimum((ways[every, state, chosen] <= draws).sum(axis=1), 9)
            memory = actor.observe(memory, rewards, np.full(rows, time == 9))
    return float(total.mean())


# Draws


def test_draws_have_their_distributions() -> None:
    keys = np.random.default_rng(1).random(20_000)
    uniform = posterior_draws.uniforms(keys, 3)
    assert uniform.mean(axis=0) == pytest.approx([0.5] * 3, abs=0.01)
    normal = posterior_draws.normals(keys, 3)
    assert normal.mean(axis=0) == pytest.approx([0] * 3, abs=0.03)
    assert normal.std(axis=0) == pytest.approx([1] * 3, abs=0.03)
    assert np.abs(np.corrcoef(normal.T) - np.eye(3)).max() < 0.03
    shape = np.tile([1.0, 2.0, 30.0], (20_000, 1))
    gamma = posterior_draws.gammas(keys, shape)
    assert gamma.mean(axis=0) == pytest.approx(shape[0], rel=0.03)
    assert gamma.var(axis=0) == pytest.approx(shape[0], rel=0.06)
    other = posterior_draws.gammas(keys, shape, first=1)
    assert abs(np.corrcoef(gamma[:, 0], other[:, 0])[0, 1]) < 0.03


# Bandits, by Duan et al. 2016, table 1; 1,000 instances, so their standard error is about 0.08 at
# 10 pulls and 0.45 at 100.


@pytest.mark.parametrize(
    ("method", "arms", "pulls", "published", "error"),
    [
        (bandits.greedy, 5, 10, 6.6, 0.08),
        (bandits.thompson, 5, 10, 5.7, 0.08),
        (bandits.thompson, 10, 10, 5.5, 0.08),
        (partial(bandits.optimistic_thompson, draws=20), 5, 10, 6.5, 0.08),
        (partial(bandits.optimistic_thompson, draws=20), 10, 10, 6.2, 0.08),
        (partial(bandits.ucb1, exploration=0.1), 5, 10, 6.7, 0.08),
        (partial(bandits.gittins, pulls=10), 5, 10, 6.6, 0.08),
        (bandits.greedy, 5, 100, 74.8, 0.45),
        (bandits.thompson, 5, 100, 74.7, 0.45),
        (partial(bandits.epsilon_greedy, epsilon=0.02), 5, 100, 75.4, 0.45),
        (partial(bandits.ucb1, exploration=0.2), 5, 100, 78.0, 0.45),
        (partial(bandits.gittins, pulls=100), 5, 100, 78.3, 0.45),
    ],
)
def test_bandit_methods_return_what_is_published(
    method: bandits.Choose, arms: int, pulls: int, published: float, error: float
) -> None:
    total, own_error = played(method, arms, pulls)
    # A tenth of theirs is lost to rounding; theirs is one draw of 1,000 instances as well.
    assert abs(total - published) < 3 * np.hypot(error, own_error) + 0.05


def test_greedy_goes_by_posterior_means_and_ties_go_to_the_first() -> None:
    paid, failed = np.array([[3, 1, 0], [1, 1, 0]]), np.array([[3, 0, 0], [1, 1, 0]])
    assert bandits.means(paid, failed).tolist() == [[1 / 2, 2 / 3, 1 / 2], [1 / 2, 1 / 2, 1 / 2]]
    assert bandits.greedy(paid, failed, None).tolist() == [1, 0]


def test_gittins_indices_are_exact_where_they_can_be_worked_out() -> None:
    indices = bandits.gittins_indices(3)

    def index(paid: int, failed: int, left: int) -> float:
        return float(indices.of(*np.array([[[paid]], [[failed]], [[left]]]))[0, 0])

    assert index(0, 0, 1) == pytest.approx(1 / 2, abs=1e-6)
    assert index(2, 0, 1) == pytest.approx(3 / 4, abs=1e-6)
    # Two pulls left: 1/2 − λ + 1/2 (2/3 − λ) = 0 at λ = 5/9; after a failure one stops.
    assert index(0, 0, 2) == pytest.approx(5 / 9, abs=1e-6)
    # Three: 1/2 − λ + 1/2 (2/3 − λ + 2/3 (3/4 − λ) + 1/3 (1/2 − λ)⁺) = 0 at λ = 13/22.
    assert index(0, 0, 3) == pytest.approx(13 / 22, abs=1e-4)


def test_past_the_planned_trial_gittins_goes_by_posterior_means() -> None:
    paid, failed = np.array([[3, 0], [9, 30], [200, 1]]), np.array([[0, 0], [30, 0], [0, 0]])
    assert bandits.gittins(paid[:2], failed[:2], None, pulls=10).tolist() == [0, 1]
    assert bandits.gittins(paid, failed, None, pulls=10).tolist() == [0, 1, 0]


def test_the_likeliest_of_one_draw_is_thompson_sampling() -> None:
    paid, failed = np.random.default_rng(1).integers(0, 5, (2, 50, 4))
    keys = np.random.default_rng(2).random(50)
    once = bandits.optimistic_thompson(paid, failed, keys, draws=1)
    assert once.tolist() == bandits.thompson(paid, failed, keys).tolist()


def test_without_chance_the_methods_that_draw_are_greedy() -> None:
    paid, failed = np.random.default_rng(1).integers(0, 5, (2, 50, 4))
    best = bandits.greedy(paid, failed, None).tolist()
    for method in (
        bandits.thompson,
        partial(bandits.optimistic_thompson, draws=3),
        partial(bandits.epsilon_greedy, epsilon=0.9),
        partial(bandits.ucb1, exploration=0.0),
    ):
        assert method(paid, failed, None).tolist() == best


# Random processes


def test_backward_induction_is_that_of_a_naive_loop() -> None:
    generator = np.random.default_rng(1)
    rewards = generator.normal(size=(2, 3, 2))
    transitions = generator.dirichlet(np.ones(3), (2, 3, 2))
    values = mdps.solve(rewards, transitions, 4)
    for row in range(2):
        following = [0.0] * 3
        for step in reversed(range(4)):
            for state in range(3):
                for action in range(2):
                    chances = transitions[row, state, action]
                    ahead = sum(p * v for p, v in zip(chances, following, strict=True))
                    expected = rewards[row, state, action] + ahead
                    assert values[row, step, state, action] == pytest.approx(expected)
            following = values[row, step].max(axis=-1).tolist()


def test_beliefs_are_the_posterior() -> None:
    visits, sums = np.full((1, 2, 1), 3), np.full((1, 2, 1), 6.0)
    counts = np.array([[[[3.0, 0.0]], [[1.0, 2.0]]]])
    rewards, transitions = mdps.mean_process(visits, sums, counts)
    assert rewards.tolist() == [[[7 / 4], [7 / 4]]]
    assert transitions[0, :, 0].ravel() == pytest.approx([4 / 5, 1 / 5, 2 / 5, 3 / 5])
    assert mdps.mean_process(visits, sums, counts, 0.0)[0].tolist() == [[[6 / 4], [6 / 4]]]
    many = [np.repeat(part, 20_000, axis=0) for part in (visits, sums, counts)]
    keys = np.random.default_rng(1).random(20_000)
    rewards, transitions = mdps.drawn_process(*many, keys, 0)
    assert rewards.mean(axis=0).ravel() == pytest.approx([1.75] * 2, abs=0.02)
    assert rewards.std(axis=0).ravel() == pytest.approx([0.5] * 2, abs=0.02)
    assert transitions.mean(axis=0)[:, 0, 0] == pytest.approx([0.8, 0.4], abs=0.01)


def test_upper_confidence_moves_probability_to_the_best_next_state() -> None:
    visits, sums = np.zeros((1, 2, 1), dtype=np.int64), np.zeros((1, 2, 1))
    sums[0, 1], visits[0, 1] = 99.0, 9  # the second state pays (1 + 99)/(1 + 9) = 10
    counts = np.zeros((1, 2, 1, 2))
    scale, log_all = 0.3, np.log(10)
    values = mdps.upper_confidence(visits, sums, counts, None, 2, scale=scale)
    last = np.array([1 + scale * np.sqrt(log_all), 10 + scale * np.sqrt(log_all / 10)])
    assert values[0, 1, :, 0] == pytest.approx(last)
    moved = min(scale * np.sqrt(2 * log_all) / 2, 0.5)
    expected = last[0] + (0.5 - moved) * last[0] + (0.5 + moved) * last[1]
    assert values[0, 0, 0, 0] == pytest.approx(expected)
    plain = mdps.greedy(visits, sums, counts, None, 2)
    assert np.allclose(mdps.upper_confidence(visits, sums, counts, None, 2, scale=0.0), plain)
    assert np.allclose(mdps.bonus(visits, sums, counts, None, 2, weight=0.0), plain)


def test_every_method_plans_by_the_prior_that_it_is_given() -> None:
    """Who has tried nothing plans in N(m, 1): a step is worth m more than by N(0, 1)."""
    visits, counts = np.zeros((1, 3, 2), dtype=np.int64), np.zeros((1, 3, 2, 3))
    keys = np.array([0.3])
    for plan in (
        mdps.greedy,
        mdps.posterior_sampling,
        partial(mdps.optimistic_sampling, draws=3),
        partial(mdps.bonus, weight=0.5),
        partial(mdps.upper_confidence, scale=0.2),
    ):
        one, other = (
            plan(visits, np.zeros((1, 3, 2)), counts, keys, 4, prior_mean=prior)
            for prior in (0.0, 2.5)
        )
        left = np.arange(4, 0, -1)[None, :, None, None]
        assert other - one == pytest.approx(np.broadcast_to(2.5 * left, one.shape))


def test_the_actor_counts_what_it_saw() -> None:
    actor = mdps.ModelActor(3, 2, 2, mdps.greedy, NOTHING)
    memory = actor.begin(1)
    for state, reward, ended in [(0, 1.5, False), (2, 0.5, True), (0, 2.5, False), (1, 1.0, True)]:
        chosen, memory = actor.choose(np.eye(3)[[state]], memory, None)
        memory = actor.observe(memory, np.array([reward]), np.array([ended]))
        assert chosen[0] in (0, 1)
    visits, sums, counts, *_ = memory
    assert (visits.sum(), sums.sum(), counts.sum()) == (4, 5.5, 2)  # ends lead nowhere
    assert visits[0, 0].tolist() == [2, 0]
    assert counts[0, 0, 0].tolist() == [0, 1, 1]


def test_methods_of_processes_return_what_is_published() -> None:
    """10 episodes; published: random 100.1, PSRL 138.1, UCRL2 146.6, BEB 150.2, greedy 134.8."""
    random = played_mdp(mdps.greedy, epsilon=1.0)
    assert abs(random - 100.1) < 7  # the standard error over 300 processes is about 1.9
    sampling = played_mdp(mdps.posterior_sampling)
    assert abs(sampling - 138.1) < 7
    assert abs(played_mdp(partial(mdps.upper_confidence, scale=0.1)) - 146.6) < 8
    assert abs(played_mdp(partial(mdps.bonus, weight=0.6)) - 150.2) < 8
    assert played_mdp(mdps.greedy) > sampling  # our prior is right, which helps


# As agents


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
