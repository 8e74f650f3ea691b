"""Collecting on the device gives the bits of collecting through the CPU, and the same failures.

On the CPU, in worlds of torch's tensors: mujoco_warp's, where it is installed, or a stand-in.
"""

import dataclasses
import importlib.util

import gymnasium as gym
import numpy as np
import pytest
import torch
from building import pool, run, tiny_config
from mujoco_episodes import FAMILIES, heavily_damped, tasks_of
from torch_worlds import use_torch_worlds
from waiting import refuse_waiting

from metarl.experiments.build import build_experiment
from metarl.tasks.action_map import ActionMap
from metarl.workers import device_rollout, shards, trials
from metarl.workers.device_rollout import DeviceRollout
from metarl.workers.rollout import run_on_host
from metarl.workers.shards import Shard, ShardSpec, TaskFailed

NEEDS_WARP = pytest.mark.skipif(
    importlib.util.find_spec("mujoco_warp") is None, reason="mujoco_warp is not installed"
)
# A MuJoCo older than 3.17 has no native batch, and then there is nothing to collect here.
__test__ = gym.spec("metarl/HalfCheetahVel-v0").vector_entry_point is not None
KEY = (0, 1, 0)
FIELDS = ("observations", "actions", "rewards", "mask")
PATHS = (run_on_host, None)


@pytest.fixture(params=["stand-in", pytest.param("warp", marks=NEEDS_WARP)])
def worlds(request, monkeypatch):
    if request.param == "stand-in":
        use_torch_worlds(monkeypatch)
    torch.set_num_threads(1)


def shard_of(preset, tasks, path=None, **changes):
    """A shard on the device; by another path, if one is given."""
    sizes = {"episodes_per_task": 2, "physics": "warp", "dtype": "float32", **changes}
    config = tiny_config(preset, **sizes)
    experiment = build_experiment(config)
    spec = ShardSpec(config, experiment.policy, config.episodes_per_task, range(len(tasks)), 1)
    shard = Shard(spec)
    shard.tasks = tasks
    assert isinstance(shard.run, DeviceRollout)
    shard.run = path or shard.run
    return shard


def parameters_for(shard):
    """Parameters that differ by task, and act strongly, so that bodies fall."""
    return [
        {name: value * (1 + 0.1 * task) + 0.2 for name, value in shard.template.items()}
        for task in range(len(shard.tasks))
    ]


def same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        for field in FIELDS:
            assert torch.equal(getattr(one, field), getattr(other, field)), field
        assert (one.successes, one.unstable_episodes) == (other.successes, other.unstable_episodes)


@pytest.mark.usefixtures("worlds")
@pytest.mark.parametrize(
    ("preset", "env_id", "changes"),
    [
        ("half-cheetah-vel", "metarl/HalfCheetahVel-v0", {"horizon": 7}),
        ("hopper-rand-params", "metarl/HopperRandParams-v0", {"horizon": 40}),
        (
            "half-cheetah-vel",
            "metarl/HalfCheetahVel-v0",
            {"observe_task": True, "dtype": "float64"},
        ),
    ],
)
def test_a_phase_on_the_device_has_the_bits_of_one_through_the_cpu(preset, env_id, changes):
    host, there = (shard_of(preset, tasks_of(env_id, 3), path, **changes) for path in PATHS)
    parameters = parameters_for(host)
    phases = [
        [shard.collect(parameters, (*KEY[:2], phase), query=phase == 2) for phase in range(3)]
        for shard in (host, there)
    ]
    for ours, theirs in zip(*phases, strict=True):
        same(ours, theirs)
    lengths = {int(length) for each in phases[1][0] for length in each.mask.sum(1)}
    assert (len(lengths) > 1) == ("hopper" in preset)
    assert len(phases[1][2][0].mask) == 1
    # A task's numbers do not depend on its company.
    alone = shard_of(preset, tasks_of(env_id, 3)[:1], **changes)
    same(alone.collect(parameters[:1], KEY), phases[1][0][:1])


@pytest.mark.whole_runs
@pytest.mark.usefixtures("worlds")
def test_a_phase_ends_early_when_all_episodes_have(monkeypatch):
    env_id = "metarl/HopperRandParams-v0"
    asked, steps = [], []
    found = []
    for every in (1, 4, 1000):
        monkeypatch.setattr(device_rollout, "ASK_EVERY", every)
        shard = shard_of("hopper-rand-params", tasks_of(env_id, 2), horizon=120)
        slots = shard.environments.on_device

        def counted(actions, step=slots.step):
            steps.append(step(actions))

        shard.environments.on_device = dataclasses.replace(slots, step=counted)
        for phase in range(3):
            steps.clear()
            found.append(shard.collect(parameters_for(shard), (*KEY[:2], phase)))
            asked.append(len(steps))
    longest = [max(int(each.mask.sum(1).max()) for each in phase) for phase in found[:3]]
    assert asked == [*longest, *(-(-each // 4) * 4 for each in longest), *[120] * 3]
    assert max(longest) < 116
    assert longest != sorted(longest)  # a phase leaves nothing to a shorter one after it
    for phase in range(3):
        same(found[phase], found[3 + phase])
        same(found[phase], found[6 + phase])


@pytest.mark.usefixtures("worlds")
def test_an_unstable_world_is_counted_as_on_the_cpu():
    tasks = [tasks_of("metarl/HopperRandParams-v0", 1)[0], heavily_damped()]
    counts = []
    for path in PATHS:
        shard = shard_of("hopper-rand-params", tasks, path, horizon=30)
        counts.append(shard.collect(parameters_for(shard), KEY))
    same(*counts)
    assert [each.unstable_episodes for each in counts[1]] == [0, 2]


def spoilt(shard, what):
    """Let rewards or observations be NaN in slot 2 once its body has come to a certain place."""
    vector = shard.environments._vector
    family, places = vector._family, []

    def bad(fields):
        """From the fourth step on: NaN, else 0."""
        slots = torch.arange(len(fields["qpos"]))
        return torch.where((slots == 2) & (len(places) >= 4), torch.nan, 0.0)

    def reward(step):
        places.append(step)
        return family.reward(step) + (bad(step.fields) if what == "reward" else 0.0)

    def observe(fields):
        return family.body.observe(fields) + (bad(fields)[:, None] if what != "reward" else 0.0)

    vector._family = dataclasses.replace(family, reward=reward)
    vector._body = dataclasses.replace(family.body, observe=observe)


@pytest.mark.usefixtures("worlds")
@pytest.mark.parametrize("what", ["reward", "observation"])
def test_what_is_not_finite_is_told_with_the_same_words_and_can_be_repeated(what):
    failures = []
    for path in PATHS:
        shard = shard_of("half-cheetah-vel", tasks_of("metarl/HalfCheetahVel-v0", 2), path)
        spoilt(shard, what)
        with pytest.raises(TaskFailed) as failure:
            shard.collect(parameters_for(shard), KEY)
        failures.append((str(failure.value), failure.value.episode, failure.value.position))
    assert failures[0] == failures[1]
    text, episode, position = failures[1]
    assert ("the reward of step 3" if what == "reward" else "observation before step 4") in text
    assert "is not finite: " in text
    assert position == 1
    assert len(episode.actions) == 4


@pytest.mark.whole_runs
@pytest.mark.usefixtures("worlds")
@pytest.mark.parametrize("preset", ["half-cheetah-vel", "hopper-rand-params"])
def test_training_on_the_device_has_the_bits_of_training_through_the_cpu(preset, monkeypatch):
    config = tiny_config(preset, iterations=2, horizon=20, physics="warp")
    there, records = run(config)
    monkeypatch.setattr(shards, "DeviceRollout", lambda: run_on_host)
    host, expected = run(config)
    assert np.array_equal(there.agent.theta, host.agent.theta)
    for ours, theirs in zip(records, expected, strict=True):
        for name in ("pre_adaptation_return", "post_adaptation_return", "unstable_episodes"):
            assert ours[name] == theirs[name]


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Box(np.float32([-2, 0]), np.float32([2, np.inf]), dtype=np.float32),
        gym.spaces.Box(-1.5, 0.3, (1, 2), np.float64),
        gym.spaces.Discrete(3, start=4),
    ],
)
def test_the_map_of_actions_has_the_same_bits_for_tensors(space):
    actions = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    if isinstance(space, gym.spaces.Discrete):
        actions = torch.arange(3)
    action_map = ActionMap(space, 1.7)
    ours = action_map.on_device(torch.device("cpu"))(actions).numpy()
    theirs = action_map(actions.numpy())
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)


def met_in_trials(there, agent="rl2", spoil="", **settings):
    """A shard that met hoppers in trials of two episodes, and what it found of them."""
    config = tiny_config(
        "hopper-rand-params",
        agent=agent,
        agent_settings=settings,
        adaptation_steps=1,
        episodes_per_task=2,
        horizon=40,
        discount=0.99,
        physics="warp",
        training_tasks=5 if agent == "pearl" else 0,
    )
    experiment = build_experiment(config)
    state = experiment.first_state().agent
    strong = dataclasses.replace(state, theta=state.theta * 1.5)
    with pool(experiment) as workers:
        shard = workers._shard
        if not there:
            shard.environments.on_device = None
        if spoil:
            spoilt(shard, spoil)
        tasks, key = experiment.sample_tasks(1)
        return shard, experiment.agent.family.meet(shard, strong.travelling, tasks, key)


AGENTS = {
    "rl2": ("rl2", {"memory_size": 16, "observe_before": True}),
    "transformer": ("rl2", {"memory_size": 16, "memory": "transformer"}),
    "varibad": ("varibad", {}),
    "pearl": ("pearl", {"encoder_sizes": [8]}),
    "pearl, later": ("pearl", {"infer_from_following": True, "infer_from_posterior": True}),
}


@pytest.mark.parametrize(
    ("worlds", "case"),
    [*(("stand-in", case) for case in AGENTS), pytest.param("warp", "rl2", marks=NEEDS_WARP)],
    indirect=["worlds"],
)
@pytest.mark.whole_runs
@pytest.mark.usefixtures("worlds")
def test_trials_on_the_device_have_the_bits_of_trials_through_the_cpu(case, monkeypatch):
    agent, settings = AGENTS[case]
    host, expected = met_in_trials(False, agent, **settings)
    monkeypatch.setattr(trials, "_HostPlayer", None)
    there, found = met_in_trials(True, agent, **settings)
    assert found == expected
    for field in dataclasses.fields(there.trials):
        ours, theirs = (getattr(shard.trials, field.name) for shard in (there, host))
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs), field.name
    assert len(set(there.trials.mask.sum(0))) > 1  # some fell early
    assert there.trials.terminated.any()
    for memories, wanted in zip(there.adapted, host.adapted, strict=True):
        for memory, other in zip(memories, wanted, strict=True):
            for part, same_part in zip(memory, other, strict=True):
                assert np.array_equal(part, same_part)


@pytest.mark.whole_runs
@pytest.mark.usefixtures("worlds")
@pytest.mark.parametrize("what", ["reward", "observation"])
def test_a_trial_that_is_not_finite_is_told_with_the_same_words(what):
    failures = []
    for there in (False, True):
        with pytest.raises(TaskFailed) as failure:
            met_in_trials(there, spoil=what)
        failures.append((str(failure.value), failure.value.episode))
    assert failures[0] == failures[1]
    assert "is not finite: " in failures[1][0]


@pytest.mark.whole_runs
@pytest.mark.usefixtures("worlds")
def test_nothing_that_is_to_be_a_graph_waits_for_the_device(monkeypatch):
    called = refuse_waiting(monkeypatch)
    shard = shard_of("hopper-rand-params", tasks_of("metarl/HopperRandParams-v0", 2))
    shard.collect(parameters_for(shard), KEY)
    vector, phase = "MujocoTaskVector", "_Phase"
    step = [f"{phase}._choose", f"{vector}._before_physics", f"{vector}._after_physics"]
    step += [f"{phase}._take_in"]
    assert called == step * 6
    called.clear()
    met_in_trials(True)
    met_in_trials(True, "varibad")
    assert called[0] == "DeviceEpisodes._choose"
    for name in FAMILIES:  # which bodies and rewards may become graphs
        vector = gym.make_vec(
            name, num_envs=2, vectorization_mode="vector_entry_point", physics="warp"
        )
        vector.reset(seed=0)
        called.clear()
        vector.step(np.zeros((2, *vector.single_action_space.shape)))
        assert len(called) == 2
