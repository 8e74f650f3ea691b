"""Families of MuJoCo bodies by mujoco_warp on the CPU, where it is installed: `make test-gpu`."""

import dataclasses

import mujoco
import numpy as np
import pytest
from building import run, tiny_config
from mujoco_episodes import FAMILIES, actions_of, heavily_damped, tasks_of

pytest.importorskip("mujoco_warp")

import gymnasium as gym
import warp

from metarl.experiments.build import build_experiment
from metarl.experiments.room import iteration_need
from metarl_envs import mujoco_family, native_worlds, warp_worlds

HOPPER = "metarl/HopperRandParams-v0"
WITH_CONTACT_FORCES = ["metarl/AntDir-v0", "metarl/AntGoalDisc-v0", "metarl/HumanoidDir2D-v0"]


def batch_of(env_id, slots, physics="warp", **options):
    return gym.make_vec(
        env_id,
        num_envs=slots,
        vectorization_mode="vector_entry_point",
        physics=physics,
        **options,
    )


@pytest.fixture
def _round_friction(monkeypatch):
    """Give all models elliptic friction cones, whose axes do not matter.

    The four sides of a pyramid do, and mujoco_warp lays them along other axes than MuJoCo: an ant's
    first contact then differs in the third digit of a velocity.
    """

    def loaded(body):
        model = mujoco_family.load_model(body)
        model.opt.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        return model

    for module in (native_worlds, warp_worlds):
        monkeypatch.setattr(module, "load_model", loaded)


@pytest.mark.usefixtures("_round_friction")
@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        *((name, {}) for name in FAMILIES),
        *((name, {"contact_forces": True}) for name in WITH_CONTACT_FORCES),
    ],
)
def test_every_family_moves_pays_and_ends_as_by_mujoco(env_id, options):
    both = [batch_of(env_id, 3, physics, **options) for physics in ("mujoco", "warp")]
    tasks = tasks_of(env_id, 3)
    for vector in both:
        vector.set_attr("task", tasks)
    ours, theirs = (vector.reset(seed=5)[0] for vector in both)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    for actions in actions_of(env_id, 5, 3):
        ours, theirs = (vector.step(actions) for vector in both)
        np.testing.assert_allclose(ours[0], theirs[0], rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-3, atol=1e-3)
        assert np.array_equal(ours[2], theirs[2])


def test_the_same_again_has_the_same_bits_and_no_company_changes_them():
    tasks, actions = tasks_of(HOPPER, 3), actions_of(HOPPER, 25, 3)
    runs = []
    for slots in ([0, 1, 2], [0, 1, 2], [1]):
        vector = batch_of(HOPPER, len(slots))
        vector.set_attr("task", [tasks[slot] for slot in slots])
        seen = [vector.reset(seed=[40 + slot for slot in slots])[0]]
        seen += [vector.step(each[slots])[0] for each in actions]
        runs.append(np.stack(seen))
    assert np.array_equal(runs[0], runs[1])
    assert np.array_equal(runs[0][:, 1:2], runs[2])


def test_a_start_in_one_slot_leaves_the_others_alone():
    # The humanoid's centre of mass is one physics step old, and must stay so.
    env_id = "metarl/HumanoidDir2D-v0"
    disturbed, undisturbed = batch_of(env_id, 2), batch_of(env_id, 2)
    actions = actions_of(env_id, 6, 2)
    for vector in (disturbed, undisturbed):
        vector.reset(seed=0)
        for each in actions[:3]:
            vector.step(each)
    options = {"reset_mask": np.array([False, True])}
    observations, _ = disturbed.reset(seed=[9, 9], options=options)
    fresh, _ = batch_of(env_id, 2).reset(seed=[9, 9])
    assert np.array_equal(observations[1], fresh[1])
    for each in actions[3:]:
        ours, theirs = disturbed.step(each), undisturbed.step(each)
        assert np.array_equal(ours[0][0], theirs[0][0])
        assert ours[1][0] == theirs[1][0]


def test_an_unstable_world_ends_and_leaves_the_others_untouched():
    vector, undisturbed = batch_of(HOPPER, 3), batch_of(HOPPER, 3)
    tasks, actions = tasks_of(HOPPER, 3), actions_of(HOPPER, 8, 3)
    for each in (vector, undisturbed):
        each.set_attr("task", tasks)
        each.reset(seed=0)
    mask = np.array([False, True, False])
    seen, _ = vector.reset(seed=0, options={"reset_mask": mask, "task": heavily_damped()})
    last, infos = seen[1], []
    for action in actions:
        observations, rewards, terminated, truncated, info = vector.step(action)
        expected, expected_rewards, *_ = undisturbed.step(action)
        infos.append(info)
        assert np.array_equal(observations[~mask], expected[~mask])
        assert np.array_equal(rewards[~mask], expected_rewards[~mask])
        assert np.isfinite(observations).all()
        if any(infos):  # it is, and stays where it was before
            assert np.array_equal(observations[1], last)
            assert (rewards[1], terminated[1], truncated[1]) == (0.0, True, False)
        last = observations[1]
    (said,) = filter(None, infos)
    assert said["_unstable"].tolist() == mask.tolist()
    assert said["unstable"][1] in {"position", "velocity", "acceleration"}
    again, _ = vector.reset(seed=4, options={"task": np.zeros(37)})
    assert np.isfinite(again).all()


def test_a_slot_whose_episode_ended_stands_still_and_a_time_limit_cuts_off():
    vector = batch_of("metarl/Walker2dDir-v0", 4, max_episode_steps=60)
    vector.reset(seed=0)
    ended, last = np.zeros(4, dtype=bool), np.zeros((4, 17))
    for number, action in enumerate(actions_of("metarl/Walker2dDir-v0", 60, 4)):
        observations, rewards, terminated, truncated, _ = vector.step(action)
        assert np.array_equal(observations[ended], last[ended])
        assert not rewards[ended].any()
        assert terminated[ended].all()
        assert (truncated[~ended & ~terminated] == (number == 59)).all()
        last[~ended] = observations[~ended]
        ended = ended | terminated
    assert ended.any()


def arrays_in(record):
    """All of warp's arrays in a record, however deep."""
    if isinstance(record, warp.array):
        return [record]
    parts = record if isinstance(record, tuple | list) else ()
    if dataclasses.is_dataclass(record):
        parts = vars(record).values()
    return [array for part in parts for array in arrays_in(part)]


def test_what_the_worlds_take_on_a_card_is_counted():
    worlds = batch_of(HOPPER, 6)._worlds
    made = [array for part in (worlds._model, worlds._data) for array in arrays_in(part)]
    sizes = {"tasks_per_batch": 3, "episodes_per_task": 2}
    by_warp, by_mujoco = (
        build_experiment(tiny_config("hopper-rand-params", physics=physics, **sizes))
        for physics in ("warp", "mujoco")
    )
    ours, theirs = (
        iteration_need(each.agent, each.sizes(0)).count for each in (by_warp, by_mujoco)
    )
    counted = ours - theirs
    assert counted == sum(array.capacity for array in made)


def test_training_by_warp_is_near_training_by_mujoco_and_repeats_its_bits():
    config = tiny_config("half-cheetah-vel", iterations=1, horizon=10)
    _, (ours,) = run(config)
    by_warp = tiny_config("half-cheetah-vel", iterations=1, horizon=10, physics="warp")
    state, (theirs,) = run(by_warp)
    for name in ("pre_adaptation_return", "post_adaptation_return"):
        assert theirs[name] == pytest.approx(ours[name], rel=1e-2)
    again, _ = run(by_warp, 2)
    assert np.array_equal(state.agent.theta, again.agent.theta)
