"""Somebody else's environment gets tasks: what is set, cast, kept and refused, by any way alike."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from building import run, tiny_config, without_times
from plain_environments import SHARED, Plain

from metarl.cli import main
from metarl.config import plugins
from metarl.config.plugins import environment_ids, load_preset
from metarl.foundation.errors import ConfigError
from metarl.runs.run_folder import read_config
from metarl.tasks.distribution import make_environment, sample_tasks, task_space
from metarl.tasks.environment_batches import make_batch
from metarl.tasks.foreign_environments import register_tasks, wrapped
from metarl.tasks.task_parameters import read_parameters, space_of_tasks
from metarl.tasks.task_wrapper import TaskWrapper
from metarl.testing import check_task_env

WRAPPED = "metarl.tasks:metarl/Wrapped-v0"
PLAIN = "plain_environments:plain/Plain-v0"
PENDULUM = load_preset("pendulum-wrapped").env_kwargs
HOPPER = {
    "env_id": "Hopper-v5",
    "task": {
        "mass": {
            "model_field": "body_mass",
            "of": "torso",
            "relative": True,
            "low": 0.5,
            "high": 2.0,
        },
        "gravity": {"model_field": "opt.gravity[2]", "low": -12.0, "high": -6.0},
    },
}


def plain(**row):
    """A plain environment with one parameter, reset with a task."""
    return TaskWrapper(Plain(), {"it": row})


def set_to(task, **row):
    environment = plain(**row)
    environment.reset(seed=0, options={"task": task})
    return environment.unwrapped


@pytest.mark.parametrize(
    ("row", "task", "read", "expected"),
    [
        (
            {"attribute": "world.goal", "low": [-1, -1], "high": [1, 1]},
            [0.25, 0.5],
            "world.goal",
            (0.25, 0.5),
        ),
        ({"attribute": "world.goal[1]", "low": -1, "high": 1}, 0.25, "world.goal", (0.5, 0.25)),
        ({"attribute": "mass", "low": 0.5, "high": 2}, 0.75, "mass", 0.75),
        ({"attribute": "count", "low": 1, "high": 5, "integer": True}, 4, "count", 4),
        ({"attribute": "flag", "choices": [False, True]}, 1, "flag", True),
        ({"attribute": "colour", "choices": ["red", "blue"]}, 1, "colour", "blue"),
        ({"attribute": "unset", "low": 0, "high": 1}, 0.5, "unset", 0.5),
    ],
)
def test_an_attribute_gets_the_value_in_the_type_that_was_there(row, task, read, expected):
    value = set_to(task, **row)
    for name in read.split("."):
        value = getattr(value, name)
    assert value == expected
    assert type(value) is type(expected)


def test_arrays_keep_their_dtype_and_shape_and_are_the_environments_own():
    row = {"attribute": "world.wind", "low": [0, 0], "high": [1, 1]}
    environment = plain(**row)
    task = np.array([0.1, 0.7])
    environment.reset(options={"task": task})
    wind = environment.unwrapped.world.wind
    assert wind.dtype == np.float32
    np.testing.assert_array_equal(wind, task.astype(np.float32))
    wind += 1
    task += 1
    environment.reset()
    np.testing.assert_array_equal(environment.unwrapped.world.wind, np.float32([0.1, 0.7]))


def test_a_list_that_others_share_is_left_alone():
    first, second = (
        set_to(value, attribute="world.shared[0]", low=0, high=9) for value in (5.0, 7.0)
    )
    assert SHARED == [1.0, 2.0]
    assert (first.world.shared, second.world.shared) == ([5.0, 2.0], [7.0, 2.0])


def test_what_reset_overwrites_is_told_or_set_again_after_it():
    row = {"attribute": "redrawn", "low": 2, "high": 3}
    with pytest.raises(ConfigError, match="reset of Plain itself overwrites attribute 'redrawn'"):
        set_to(2.5, **row)
    assert set_to(2.5, **row, after_reset=True).redrawn == 2.5
    # An attribute that only a reset makes.
    assert set_to(0.5, attribute="made", low=0, high=1, after_reset=True).made == 0.5


def test_what_reset_changes_in_place_is_told_too():
    class Windy(Plain):
        def reset(self, **arguments):
            self.world.wind += 1
            return super().reset(**arguments)

    table = {"wind": {"attribute": "world.wind", "low": [0, 0], "high": [1, 1]}}
    with pytest.raises(ConfigError, match="reset of Windy itself overwrites"):
        TaskWrapper(Windy(), table).reset()


def test_options_of_the_task_stand_beside_fixed_ones_and_the_callers():
    row = {"option": "goal_cell", "choices": [[1, 1], [2, 3]]}
    environment = TaskWrapper(Plain(), {"goal": row}, options={"reset_cell": [4, 5], "x": 1})
    environment.reset(options={"task": 1, "x": 2})
    given = environment.unwrapped.options
    assert set(given) == {"goal_cell", "reset_cell", "x"}
    assert isinstance(given["goal_cell"], np.ndarray)
    assert given["goal_cell"].tolist() == [2, 3]
    assert given["reset_cell"].tolist() == [4, 5]
    assert given["x"] == 2
    no_option = plain(attribute="mass", low=1, high=2)
    no_option.reset(options={"task": 1.5})
    assert no_option.unwrapped.options is None


def test_a_keyword_builds_the_environment_anew_only_when_the_task_changes():
    environment = wrapped(PLAIN, {"speed": {"keyword": "speed", "low": 0.5, "high": 2.0}})
    first = environment.unwrapped
    assert first.speed == 1.25  # the middle
    environment.reset(seed=3, options={"task": 1.25})
    assert environment.unwrapped is first
    environment.reset(options={"task": 0.5})
    assert environment.unwrapped is not first
    assert environment.unwrapped.speed == 0.5
    other = wrapped(PLAIN, {"speed": {"keyword": "speed", "low": 0.5, "high": 2.0}})
    other.reset(seed=3)
    # The random numbers of the old one go on.
    np.testing.assert_array_equal(environment.reset()[0], _second(other.reset(), other.reset()))


def _second(_, result):
    return result[0]


def test_a_keyword_that_changes_a_space_is_refused():
    table = {"size": {"keyword": "size", "low": 1, "high": 3, "integer": True}}
    environment = wrapped(PLAIN, table)
    with pytest.raises(ConfigError, match="observation_space depends on the keyword size"):
        environment.reset(options={"task": 1})


def test_model_fields_start_from_the_models_own_values_and_derived_constants_follow():
    environment, untouched = wrapped(**HOPPER), gym.make("Hopper-v5")
    model, own = environment.unwrapped.model, untouched.unwrapped.model
    torso = mujoco.mj_name2id(own, mujoco.mjtObj.mjOBJ_BODY, "torso")
    for mass, gravity in [(2.0, -8.0), (0.5, -11.0)]:
        environment.reset(seed=0, options={"task": {"mass": mass, "gravity": gravity}})
        expected = own.body_mass.copy()
        expected[torso] *= mass
        np.testing.assert_array_equal(model.body_mass, expected)
        assert model.opt.gravity.tolist() == [0, 0, gravity]
        assert model.body_subtreemass[0] == pytest.approx(expected.sum())
    # Back at the model's own values it is, bit for bit, the model as it was built.
    environment.reset(options={"task": {"mass": 1.0, "gravity": -9.81}})
    for name in ("body_mass", "body_subtreemass", "body_invweight0", "dof_invweight0"):
        np.testing.assert_array_equal(getattr(model, name), getattr(own, name))


def test_a_joint_names_its_degrees_of_freedom():
    row = {"model_field": "dof_damping", "of": "thigh_joint", "low": 2, "high": 3}
    environment = TaskWrapper(gym.make("Hopper-v5"), {"damping": row})
    environment.reset(options={"task": 2.5})
    own = gym.make("Hopper-v5").unwrapped.model.dof_damping
    changed = np.flatnonzero(environment.unwrapped.model.dof_damping != own)
    assert changed.tolist() == [3]


@pytest.mark.parametrize(
    "kwargs",
    [
        PENDULUM,
        HOPPER,
        {"env_id": "Pendulum-v1", "task": {"g": {"keyword": "g", "low": 5, "high": 15}}},
        {"env_id": "CartPole-v1", "task": {"l": {"attribute": "length", "low": 0.3, "high": 1}}},
    ],
    ids=["attributes", "model fields", "keyword", "discrete actions"],
)
def test_a_wrapped_environment_conforms(kwargs):
    assert [it for it in check_task_env(WRAPPED, kwargs, horizon=15) if not it.passed] == []


def test_an_environment_declares_what_is_meant():
    table = {"mass": {"attribute": "mass", "low": 1, "high": 2}}
    environment = wrapped(PLAIN, table, declare={"fixed_start": True})
    assert environment.fixed_start is True
    with pytest.raises(ConfigError, match="did you mean 'fixed_start'"):
        wrapped(PLAIN, table, declare={"fixedstart": True})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"attribute": "mas", "low": 1, "high": 2}, "no attribute 'mas'; did you mean 'mass'"),
        ({"attribute": "world.gaol", "low": 1, "high": 2}, "world of Plain has no attribute"),
        ({"attribute": "counts[2]", "low": 1, "high": 2}, "no element 2: it has 2"),
        ({"attribute": "mass", "low": [1, 1], "high": [2, 2]}, "one number, and the task gives 2"),
        ({"attribute": "world.goal", "low": 1, "high": 2}, "holds 2 numbers, and the task gives 1"),
        ({"attribute": "counts", "low": [1, 1], "high": [2, 2]}, "add integer = true"),
        ({"attribute": "flag", "low": 0, "high": 1}, r"give choices = \[false, true\]"),
        ({"attribute": "fixed", "low": 0, "high": 1}, "task parameter 'it'.*fixed.*setter"),
        ({"attribute": "a b", "low": 0, "high": 1}, "'a b' is no path of attributes"),
        ({"keyword": "speed", "low": 0, "high": 1}, "give the environment's id instead"),
        ({"model_field": "body_mass", "low": 0, "high": 1}, "Plain has no MuJoCo model"),
        ({"atribute": "mass", "low": 1, "high": 2}, "did you mean 'attribute'"),
        ({"low": 1, "high": 2}, "must name what it sets by one of attribute, keyword"),
        ({"attribute": "mass", "option": "mass", "low": 1, "high": 2}, "by one of"),
        ({"attribute": "mass"}, "must have low and high, or choices"),
        ({"attribute": "mass", "low": 2, "high": 1}, "must have low below high"),
        ({"attribute": "mass", "low": "a", "high": 1}, "low = 'a' must be a number"),
        ({"attribute": "mass", "low": 0, "high": float("inf")}, "high = inf must be a finite"),
        ({"attribute": "mass", "low": 0.5, "high": 2, "integer": True}, "low or high is none"),
        ({"attribute": "mass", "choices": [1]}, "must be a list of two or more"),
        ({"attribute": "mass", "choices": [1, 2], "low": 1}, "either choices or low and high"),
        ({"option": "goal", "relative": True, "low": 1, "high": 2}, "goes with model_field"),
        ({"attribute": 3, "low": 1, "high": 2}, "attribute = 3 must be a name"),
        ({"attribute": "mass", "after_reset": 1, "low": 1, "high": 2}, "must be true or false"),
        (3, "must be a table"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit_is_told_in_one_sentence(row, message):
    with pytest.raises(ConfigError, match=message):
        TaskWrapper(Plain(), {"it": row})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"model_field": "body_mas"}, "MuJoCo model has no .*did you mean 'body_mass'"),
        ({"model_field": "body_mass", "of": "tors"}, "has no body 'tors'; did you mean 'torso'"),
        ({"model_field": "body_mass", "of": 99}, r"the field has the shape \(5,\)"),
        ({"model_field": "body_mass"}, "holds 5 numbers, the task gives 1"),
        ({"model_field": "opt.gravity", "of": "torso"}, "there are no names for this field"),
    ],
)  # fmt: skip
def test_a_model_field_that_is_not_there_is_told(row, message):
    with pytest.raises(ConfigError, match=message):
        wrapped("Hopper-v5", {"it": {**row, "low": 1, "high": 2}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env_id": "Pendulm-v1"}, "did you mean 'Pendulum-v1'"),
        ({"wrappers": ["gymnasium.wrappers:Flatten"]}, "cannot be imported"),
        ({"wrappers": ["FlattenObservation"]}, "must be 'module:Class'"),
        ({"wrappers": [{"wrapper": "gymnasium.wrappers:ClipReward", "x": 1}]}, "ClipReward.*'x'"),
        ({"kwargs": {"legs": 3}}, "does not take env_kwargs.*legs"),
        ({"task": {}}, "task must be a table with a table for each parameter"),
    ],
)
def test_an_environment_that_cannot_be_made_is_told(changes, message):
    with pytest.raises(ConfigError, match=message):
        make_environment(WRAPPED, {**PENDULUM, **changes}, 5)


@pytest.mark.parametrize("task", [{"gravity": 1}, 3, {"gravity": "a", "length": 1, "mass": 1}])
def test_a_task_of_another_kind_is_refused(task):
    environment = wrapped(**PENDULUM)
    with pytest.raises(ConfigError, match=r"must have exactly gravity, length, mass|is no member"):
        environment.reset(options={"task": task})


def test_a_single_parameter_is_its_own_space_and_several_are_a_dict():
    row = {"attribute": "g", "low": 5, "high": 15}
    assert space_of_tasks(read_parameters({"g": row})) == gym.spaces.Box(5, 15, (1,), np.float64)
    both = space_of_tasks(read_parameters({"g": row, "m": {"attribute": "m", "choices": [1, 2]}}))
    assert both["m"] == gym.spaces.Discrete(2)


def test_the_ways_to_wrap_mean_the_same():
    table = {"goal": {"attribute": "world.goal", "low": [-1, -1], "high": [1, 1]}}
    by_id = make_environment(WRAPPED, {"env_id": PLAIN, "task": table}, 7)
    around = TaskWrapper(gym.make(PLAIN), table)
    assert task_space(by_id) == task_space(around)
    (task,) = sample_tasks(by_id, 1, (0, 0), 1)
    episodes = []
    for environment in (by_id, around):
        seen = [environment.reset(seed=4, options={"task": task})[0]]
        seen += [environment.step(np.array([0.3]))[0] for _ in range(7)]
        episodes.append(np.stack(seen))
    np.testing.assert_array_equal(*episodes)


def test_registered_tasks_belong_to_the_module_that_registers_them():
    assert plugins._module_of(gym.spec("plain/Tasks-v0")) == "plain_environments"
    environment = gym.make("plain_environments:plain/Tasks-v0")
    environment.reset(seed=1)
    outcomes = [environment.step(np.zeros(1))[3] for _ in range(7)]
    assert outcomes == [False] * 6 + [True]  # the environment's own time limit
    with pytest.raises(ConfigError, match="must name the module that registers it"):
        register_tasks("plain/Other-v0", PLAIN, {"m": {"attribute": "mass", "low": 1, "high": 2}})
    assert WRAPPED not in [origin.name for origin in environment_ids()]


def test_a_run_is_the_same_however_many_tasks_run_side_by_side(monkeypatch):
    config = tiny_config("pendulum-wrapped", iterations=2, hidden_sizes=(8, 8), tasks_per_batch=5)
    assert make_batch(config, 4, 5).tasks_at_once == 5
    together, records = run(config)
    monkeypatch.setattr("metarl.tasks.single_environments.MOST_SECONDS", 0.0)
    assert make_batch(config, 4, 5).tasks_at_once == 1
    alone, its_records = run(config)
    np.testing.assert_array_equal(together.agent.theta, alone.agent.theta)
    assert without_times(records) == without_times(its_records)


def test_what_a_task_sets_travels_through_config_json_and_to_workers(tmp_path):
    pendulum = load_preset("pendulum-wrapped")
    (tmp_path / "config.json").write_text(pendulum.to_json())
    assert read_config(tmp_path) == pendulum
    config = tiny_config(env_id="plain_environments:plain/Tasks-v0", hidden_sizes=(8,))
    one, two = run(config), run(config, workers=2)
    np.testing.assert_array_equal(one[0].agent.theta, two[0].agent.theta)


def test_the_verb_checks_a_preset_and_a_file(tmp_path, capsys):
    assert main(["check", "pendulum-wrapped", "--horizon", "6"]) == 0
    assert "pendulum-wrapped passes all" in capsys.readouterr().out
    file = tmp_path / "colour.toml"
    file.write_text(
        'description = "x"\nsource = "x"\nhorizon = 6\niterations = 1\n'
        f'env_id = "{WRAPPED}"\n[env_kwargs]\nenv_id = "{PLAIN}"\n'
        '[env_kwargs.task.colour]\nattribute = "colour"\nchoices = ["red", "blue"]\n'
    )
    assert main(["check", str(file)]) == 1
    assert "the task changes neither rewards" in " ".join(capsys.readouterr().out.split())
    assert main(["check", "pendulum-wraped"]) == 2
    assert "did you mean the preset 'pendulum-wrapped'" in capsys.readouterr().err
