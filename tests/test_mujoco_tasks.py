"""MuJoCo tasks: one simulation and many, Gymnasium's physics, random dynamics, messages."""

import itertools

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from mujoco_episodes import FAMILIES, actions_of, heavily_damped, tasks_of

import metarl_envs  # noqa: F401
from metarl_envs.mujoco_messages import without_messages

IDS_AND_OPTIONS = [
    *((name, {}) for name in FAMILIES),
    ("metarl/AntDir-v0", {"contact_forces": True}),
    ("metarl/AntGoalDisc-v0", {"contact_forces": True}),
    ("metarl/HumanoidDir2D-v0", {"contact_forces": True}),
]
SEEDS = [11, 5, 5, 2**31, 0, 7]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Keep MuJoCo's log of Gymnasium's own environments out of the project."""
    monkeypatch.chdir(tmp_path)


def alone(env_id, options, task, seed, actions):
    """Run one episode; give its observations, rewards and how it ended at each step."""
    environment = gym.make(env_id, **options)
    observation, _ = environment.reset(seed=seed, options={"task": task})
    steps = [(observation, None, None, None)]
    for action in actions:
        observation, reward, terminated, truncated, _ = environment.step(action)
        steps.append((observation, reward, terminated, truncated))
        if terminated or truncated:
            break
    return steps


def together(env_id, options, tasks, seeds, actions):
    """Run a batch; give what `alone` gives, for each slot until it ends.

    The batch is native where MuJoCo has it, else Gymnasium's of single environments.
    """
    native = gym.spec(env_id).vector_entry_point is not None
    mode = "vector_entry_point" if native else "sync"
    vector = gym.make_vec(env_id, num_envs=len(tasks), vectorization_mode=mode, **options)
    vector.set_attr("task", tasks)
    observations, _ = vector.reset(seed=seeds)
    runs = [[(observation, None, None, None)] for observation in observations]
    running = set(range(len(tasks)))
    for action in actions:
        observations, rewards, terminated, truncated, _ = vector.step(action)
        for slot in sorted(running):
            runs[slot].append(
                (observations[slot], rewards[slot], terminated[slot], truncated[slot])
            )
        running -= set(np.flatnonzero(terminated | truncated))
        if not running:
            break
    assert not running
    return runs


def assert_same_run(run, other):
    assert len(run) == len(other)
    for (observation, *outcome), (same, *same_outcome) in zip(run, other, strict=True):
        assert np.array_equal(observation, same)
        assert outcome == same_outcome


@pytest.mark.parametrize(("env_id", "options"), IDS_AND_OPTIONS)
def test_one_simulation_and_many_are_bit_equal_whatever_the_company(env_id, options):
    steps = gym.spec(env_id).max_episode_steps
    tasks = tasks_of(env_id, 6)
    actions = actions_of(env_id, steps, 6)
    runs = together(env_id, options, tasks, SEEDS, actions)
    for slot in (0, 3):
        assert_same_run(
            runs[slot], alone(env_id, options, tasks[slot], SEEDS[slot], actions[:, slot])
        )
    # The same slots in another order, in smaller company, beside other tasks.
    order = [3, 0, 5]
    company = [tasks[3], tasks[0], tasks[1]]
    others = together(env_id, options, company, [SEEDS[i] for i in order], actions[:, order])
    assert_same_run(others[0], runs[3])
    assert_same_run(others[1], runs[0])


ANT = {"include_cfrc_ext_in_observation": False}
HUMANOID_MASSES = 45 + 9 + 10 * np.arange(13)
GYMNASIUMS = {
    "HalfCheetahDir": ("HalfCheetah-v5", {}, slice(None)),
    "HalfCheetahVel": ("HalfCheetah-v5", {}, slice(None)),
    "AntDir": ("Ant-v5", {**ANT, "healthy_z_range": (0.0, 1.0)}, slice(None)),
    "AntDir2D": ("Ant-v5", {**ANT, "healthy_z_range": (0.0, 1.0)}, slice(None)),
    "AntVel": ("Ant-v5", ANT, slice(None)),
    "AntGoal": (
        "Ant-v5",
        {**ANT, "exclude_current_positions_from_observation": False},
        slice(None),
    ),
    "AntGoalDisc": (
        "Ant-v5",
        {
            **ANT,
            "exclude_current_positions_from_observation": False,
            "terminate_when_unhealthy": False,
        },
        slice(None),
    ),
    "Walker2dDir": ("Walker2d-v5", {"frame_skip": 8}, slice(None)),
    "Walker2dVel": ("Walker2d-v5", {"frame_skip": 8}, slice(None)),
    "Walker2dRandParams": ("Walker2d-v5", {"frame_skip": 5}, slice(None)),
    "HopperRandParams": ("Hopper-v5", {}, slice(None)),
    "HumanoidDir2D": (
        "Humanoid-v5",
        {"include_cfrc_ext_in_observation": False},
        np.delete(np.arange(270), HUMANOID_MASSES),
    ),
    "SwimmerVel": ("Swimmer-v5", {}, slice(None)),
    "ReacherGoal": ("Reacher-v5", {}, [0, 1, 2, 3, 6, 7]),
}


def test_every_family_at_gymnasiums_control_rate_is_compared_with_gymnasium():
    names = {name.removeprefix("metarl/").removesuffix("-v0") for name in FAMILIES}
    assert names == GYMNASIUMS.keys() | {name for name in names if name.endswith("Finn2017")}


@pytest.mark.filterwarnings("ignore:.*Overriding environment.*")
@pytest.mark.parametrize("name", GYMNASIUMS)
def test_the_physics_and_observations_are_gymnasiums_bit_for_bit(name):
    gymnasium_id, options, columns = GYMNASIUMS[name]
    ours = gym.make(f"metarl/{name}-v0")
    theirs = gym.make(gymnasium_id, max_episode_steps=10**6, **options)
    observation, _ = ours.reset(seed=3)  # the default task: nothing is randomised
    reference, _ = theirs.reset(seed=3)
    if name == "ReacherGoal":  # Gymnasium draws its goal between positions and velocities
        state = ours.unwrapped.data
        theirs.unwrapped.set_state(state.qpos.copy(), state.qvel.copy())
        reference = theirs.unwrapped._get_obs()
    assert np.array_equal(observation, reference[columns])
    for action in actions_of(f"metarl/{name}-v0", 200, 1)[:, 0]:
        observation, _, terminated, truncated, _ = ours.step(action)
        reference, _, same_end, *_ = theirs.step(action)
        assert np.array_equal(observation, reference[columns])
        assert terminated == same_end
        if terminated or truncated:
            break


@pytest.mark.parametrize(
    ("name", "gymnasium_id"),
    [("HalfCheetahDirFinn2017", "HalfCheetah-v5"), ("AntVelFinn2017", "Ant-v5")],
)
def test_the_physics_of_finn2017_is_gymnasiums_body_stepped_as_they_did(name, gymnasium_id):
    ours = gym.make(f"metarl/{name}-v0").unwrapped
    theirs = gym.make(gymnasium_id).unwrapped
    if gymnasium_id == "Ant-v5":
        theirs.model.opt.timestep = 0.02
    ours.reset(seed=3)
    theirs.reset(seed=3)
    theirs.set_state(ours.data.qpos.copy(), ours.data.qvel.copy())
    for action in actions_of(f"metarl/{name}-v0", 100, 1)[:, 0]:
        _, _, terminated, *_ = ours.step(action)
        theirs.data.ctrl[:] = action
        mujoco.mj_step(theirs.model, theirs.data)
        mujoco.mj_forward(theirs.model, theirs.data)
        for field in ("qpos", "qvel", "subtree_com", "xmat"):
            assert np.array_equal(getattr(ours.data, field), getattr(theirs.data, field))
        if terminated:
            break


@pytest.mark.parametrize("env_id", FAMILIES)
def test_two_tasks_differ_in_rewards_or_dynamics(env_id):
    first, second = tasks_of(env_id, 2, seed=1)
    actions = actions_of(env_id, 10, 1)[:, 0]
    runs = [alone(env_id, {}, task, 0, actions) for task in (first, second)]
    pairs = itertools.zip_longest(*runs)
    assert any(
        one is None or other is None or one[1] != other[1] or not np.array_equal(one[0], other[0])
        for one, other in pairs
    )


@pytest.mark.parametrize("env_id", [name for name in FAMILIES if "RandParams" in name])
def test_randomised_dynamics_scale_what_they_name(env_id):
    environment = gym.make(env_id).unwrapped
    nominal, model = environment._unchanged_model, environment.model
    bodies, dofs, geoms = nominal.nbody - 1, nominal.nv, nominal.ngeom
    sizes = {"mass": bodies, "inertia": 3 * bodies, "damping": dofs, "friction": 3 * geoms}
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
    task = np.zeros(sum(sizes.values()))
    task[starts["mass"]] = 2.0
    task[starts["inertia"] + 4] = -1.0
    task[starts["damping"] + dofs - 1] = 3.0
    task[starts["friction"] + 3] = -2.0
    assert environment.task_space.contains(task)
    environment.reset(options={"task": task})
    assert model.body_mass[1] == pytest.approx(2.25 * nominal.body_mass[1])
    assert model.body_inertia[2, 1] == pytest.approx(nominal.body_inertia[2, 1] / 1.5)
    assert model.dof_damping[-1] == pytest.approx(1.3**3 * nominal.dof_damping[-1])
    assert model.geom_friction[1, 0] == pytest.approx(nominal.geom_friction[1, 0] / 2.25)
    changed = [
        np.sum(getattr(model, name) != getattr(nominal, name))
        for name in ("body_mass", "body_inertia", "dof_damping", "geom_friction")
    ]
    assert changed == [1, 1, 1, 1]
    # What MuJoCo derives from the masses follows.
    assert model.body_subtreemass[1] == pytest.approx(model.body_mass.sum())
    environment.reset(options={"task": np.zeros(task.size)})
    assert np.array_equal(model.body_mass, nominal.body_mass)
    assert np.array_equal(model.body_subtreemass, nominal.body_subtreemass)


def test_the_arms_target_is_seen_where_the_goal_is():
    environment = gym.make("metarl/ReacherGoal-v0").unwrapped
    goal = np.array([0.05, -0.12])
    environment.reset(seed=0, options={"task": goal})
    np.testing.assert_allclose(environment.data.body("target").xpos[:2], goal)


@pytest.mark.parametrize(("env_id", "options"), IDS_AND_OPTIONS)
def test_every_observation_element_varies_or_is_declared(env_id, options):
    environment = gym.make(env_id, **options)
    observations = []
    for seed, task in enumerate(tasks_of(env_id, 6)):
        actions = actions_of(env_id, 30, 1, seed)[:, 0]
        observations += [step[0] for step in alone(env_id, options, task, seed, actions)]
    constant = set(np.flatnonzero(np.ptp(observations, axis=0) == 0))
    assert constant <= set(environment.get_wrapper_attr("constant_observation"))


def test_goals_fill_the_disc_evenly():
    environment = gym.make("metarl/AntGoalDisc-v0").unwrapped
    generator = np.random.default_rng(0)
    goals = np.array([environment.sample_task(generator) for _ in range(4000)])
    distances = np.hypot(*goals.T)
    assert all(environment.task_space.contains(goal) for goal in goals)
    assert distances.max() <= 3.0
    # A quarter of the disc's area lies within half its radius; a quadrant holds a quarter too.
    assert np.mean(distances < 1.5) == pytest.approx(0.25, abs=0.02)
    assert np.mean((goals > 0).all(axis=1)) == pytest.approx(0.25, abs=0.02)


def test_the_ant_of_finn2017_starts_at_its_models_pose():
    environment = gym.make("metarl/AntVelFinn2017-v0").unwrapped
    starts = []
    for seed in range(200):
        environment.reset(seed=seed)
        starts.append(np.concatenate((environment.data.qpos, environment.data.qvel)))
    pose = [0, 0, 0.55, 1, 0, 0, 0, 0, 1, 0, -1, 0, -1, 0, 1]
    np.testing.assert_allclose(np.mean(starts, axis=0)[:15], pose, atol=0.005)
    spread = np.std(starts, axis=0)
    np.testing.assert_allclose(np.delete(spread[:15], [3]), 0.01, atol=0.004)
    np.testing.assert_allclose(spread[15:], 0.1, atol=0.03)
    assert environment.dt == pytest.approx(0.02)


def test_an_unstable_simulation_ends_its_episode_with_a_record(tmp_path, capfd):
    environment = gym.make("metarl/HopperRandParams-v0")
    start, info = environment.reset(seed=0, options={"task": heavily_damped()})
    assert info == {}
    observation, reward, terminated, truncated, info = environment.step(np.ones(3, np.float32))
    assert np.array_equal(observation, start)
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert info["unstable"] in {"position", "velocity", "acceleration"}
    # An episode that terminated stands still, and the next one starts from nothing.
    observation, reward, terminated, _, info = environment.step(np.ones(3, np.float32))
    assert (reward, terminated, info) == (0.0, True, {})
    assert np.array_equal(observation, start)
    used = environment.reset(seed=1, options={"task": np.zeros(37)})[0]
    fresh = gym.make("metarl/HopperRandParams-v0")
    assert np.array_equal(used, fresh.reset(seed=1)[0])
    action = np.full(3, 0.3, np.float32)
    assert np.array_equal(environment.step(action)[0], fresh.step(action)[0])
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def diverge():
    """Make MuJoCo say that a simulation is unstable."""
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><body><freejoint/><geom size="1"/></body></worldbody></mujoco>'
    )
    data = mujoco.MjData(model)
    data.qvel[:] = np.nan
    mujoco.mj_step(model, data)


def test_messages_that_are_not_ours_are_passed_on(tmp_path):
    with without_messages("unstable"):
        diverge()
    with pytest.warns(RuntimeWarning, match="MuJoCo: .*unstable"), without_messages("deprecated"):
        diverge()
    messages = []
    mujoco.set_mju_user_warning(messages.append)
    try:
        with without_messages("unstable"):
            diverge()
        assert not messages
        with without_messages("deprecated"):
            diverge()
        diverge()
    finally:
        mujoco.set_mju_user_warning(None)
    assert len(messages) == 2
    assert not list(tmp_path.iterdir())
