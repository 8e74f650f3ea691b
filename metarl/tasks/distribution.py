"""What a task-distributed environment is.

It is a `gymnasium.Env` that

- declares `task_space`, a Gymnasium space, which samples, checks and serialises tasks;
- takes a task through `reset(options={"task": task})` and keeps it across later resets;
- shows the current task as the settable attribute `task`.

A task distribution that is not the space's own overrides one method, `sample_task(generator)`.
Tasks may come in sets, such as a benchmark's to train on and to be tested on: the environment
names them in `task_sets` and gives all tasks of one by `tasks_of(name)`; a run draws from one by
the range `{"set": name}`. Tasks may be of several kinds: `task_group(task)` gives the kind's name,
and `metarl evaluate` reports each kind beside the mean.

Ids travel with their module, `package:namespace/Name-v0`, so that a fresh process can make them.
"""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from jaxtyping import Float

from metarl.foundation.errors import ConfigError, MetarlError
from metarl.foundation.seeding import Purpose, integer_seed, stream
from metarl.foundation.wording import counted
from metarl.tasks.observations import flat_observations

Task = Any
"""A member of the environment's `task_space`."""

Tasks = Sequence[Task] | Mapping[int, Task]
"""The tasks of a meta-batch by their index; a mapping holds some of them alone."""


class TaskDistribution(Protocol):
    """The part of an environment that makes it task-distributed."""

    task_space: gym.Space[Any]
    task: Task


def make_environment(
    env_id: str, env_kwargs: Mapping[str, Any], horizon: int | None = None
) -> gym.Env[Any, Any]:
    """Make one task-distributed environment; its observations are flat vectors.

    Observations of other spaces are flattened (`metarl.tasks.observations`); those of a Box of one
    dimension are left as they are.

    Args:
        env_id: a Gymnasium id with its module, `package:namespace/Name-v0`.
        env_kwargs: keyword arguments of the environment's constructor.
        horizon: the time limit in steps; None keeps the registered one.

    Raises:
        ConfigError: there is no such environment, it is not task-distributed, or its observations
            hold no numbers.

    """
    _require_constructor(env_id, registered(env_id))
    try:
        environment = gym.make(
            env_id, max_episode_steps=horizon, disable_env_checker=True, **env_kwargs
        )
    except TypeError as error:
        # An unknown keyword is the user's; a TypeError from inside the constructor is a bug to see.
        if "unexpected keyword argument" in str(error):
            raise ConfigError(
                f"environment {env_id!r} does not take env_kwargs: {error}"
            ) from error
        if re.search(r"missing \d+ required .*argument", str(error)):
            raise ConfigError(
                f"environment {env_id!r} needs env_kwargs, which a preset file has: {error}"
            ) from error
        raise
    for attribute in ("task_space", "task"):
        if not environment.has_wrapper_attr(attribute):
            environment.close()
            raise ConfigError(
                f"environment {env_id!r} is not task-distributed: it has no attribute "
                f"{attribute!r}; declare task_space and task, and read options['task'] in reset, "
                "or wrap somebody else's environment: see docs/environments.md"
            )
    space = environment.get_wrapper_attr("task_space")
    if not isinstance(space, gym.Space):
        environment.close()
        raise ConfigError(
            f"environment {env_id!r}: task_space = {space!r} is no space of Gymnasium's, such as "
            "gymnasium.spaces.Box(-1.0, 1.0, (2,))"
        )
    if environment.has_wrapper_attr("sample_task"):
        _require_argument(env_id, environment.get_wrapper_attr("sample_task"))
    return flat_observations(environment, env_id)


def _require_constructor(env_id: str, spec: EnvSpec) -> None:
    """Refuse an environment whose class cannot be loaded."""
    entry = spec.entry_point
    try:
        if entry is None:
            raise ValueError("it was registered without one")
        if isinstance(entry, str):
            load_env_creator(entry)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"environment {env_id!r}: its entry_point {entry!r} cannot be loaded: "
            f'{type(error).__name__}: {error}; register it with entry_point="module:Class"'
        ) from error


def _require_argument(env_id: str, sample_task: Any) -> None:
    try:
        inspect.signature(sample_task).bind(None)
    except TypeError as error:
        raise ConfigError(
            f"environment {env_id!r}: sample_task must take one argument, the generator that it "
            f"draws from, as def sample_task(self, generator): {error}"
        ) from error


def registered(env_id: str) -> EnvSpec:
    """Give the registration of an id, after importing the module that it names.

    Raises:
        ConfigError: the module cannot be imported, or registers no such environment.

    """
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            import_module(module)
        return gym.spec(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"environment {env_id!r} needs the module {error.name!r}, which cannot be imported; "
            f"{_where_to_find(error.name)}"
        ) from error
    except gym.error.Error as error:
        near = get_close_matches(name, gym.registry, n=1)
        hint = (
            f"did you mean {':'.join(filter(None, (module, near[0])))!r}?"
            if near
            else "write module:EnvId-v0, so that the module that registers it is imported first"
        )
        raise ConfigError(f"no environment {env_id!r} is registered; {hint}") from error
    except MetarlError:
        raise
    except Exception as error:  # a stranger's module may raise anything
        raise ConfigError(
            f"environment {env_id!r}: its module {module!r} cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


def _where_to_find(module: str | None) -> str:
    here = Path(module or "").with_suffix(".py").is_file()
    return (
        "it lies in this folder: set PYTHONPATH=. for Python to look here"
        if here
        else "install it, or correct the part before the colon"
    )


def task_space(environment: gym.Env[Any, Any]) -> gym.Space[Any]:
    """Give the environment's task space, through any wrappers."""
    space: gym.Space[Any] = environment.get_wrapper_attr("task_space")
    return space


def sample_tasks(
    environment: gym.Env[Any, Any],
    seed: int,
    key: Sequence[int],
    count: int,
    task_range: Mapping[str, Any] | None = None,
    indices: Sequence[int] | None = None,
) -> list[Task]:
    """Draw tasks of the environment's distribution, each from its own stream.

    Args:
        environment: a task-distributed environment.
        seed: the run's seed.
        key: the phase, such as (Split.TRAIN, iteration); task i is drawn from `(*key, i)`.
        count: how many.
        task_range: draw uniformly between its `low` and `high` instead, which need not lie in the
            task space; or from the environment's `set` of that name, spread evenly over it.
        indices: draw only those of the `count` tasks; None: all.

    Raises:
        ConfigError: the environment's tasks have no such range.

    """
    if task_range and "set" in task_range:
        return _spread(tasks_of_set(environment, task_range["set"]), seed, key, count, indices)
    chosen = ranged(task_space(environment), task_range) if task_range else None
    tasks = []
    for index in range(count) if indices is None else indices:
        if chosen is not None:
            chosen.seed(integer_seed(seed, Purpose.TASK, *key, index))
            tasks.append(chosen.sample())
        elif environment.has_wrapper_attr("sample_task"):
            generator = stream(seed, Purpose.TASK, *key, index)
            tasks.append(environment.get_wrapper_attr("sample_task")(generator))
        else:
            space = task_space(environment)
            space.seed(integer_seed(seed, Purpose.TASK, *key, index))
            tasks.append(space.sample())
    return tasks


def tasks_of_set(environment: gym.Env[Any, Any], name: str) -> Sequence[Task]:
    """Give all tasks of one of the environment's sets.

    Raises:
        ConfigError: the environment has no sets, or none of that name.

    """
    if not environment.has_wrapper_attr("task_sets"):
        raise ConfigError(f"task range set = {name!r}: the environment has no sets of tasks")
    known = environment.get_wrapper_attr("task_sets")
    if name not in known:
        raise ConfigError(
            f"task range set = {name!r}: the environment's sets of tasks are {', '.join(known)}"
        )
    tasks: Sequence[Task] = environment.get_wrapper_attr("tasks_of")(name)
    return tasks


def _spread(
    tasks: Sequence[Task],
    seed: int,
    key: Sequence[int],
    count: int,
    indices: Sequence[int] | None,
) -> list[Task]:
    """Draw each task from its own equal share of the list, uniformly and by its own stream.

    So every task is as likely as any other, neighbours in the list come in equal numbers, and as
    many draws as there are tasks give each once.
    """
    share = len(tasks) / count
    drawn = []
    for index in range(count) if indices is None else indices:
        position = (index + stream(seed, Purpose.TASK, *key, index).random()) * share
        drawn.append(tasks[min(int(position), len(tasks) - 1)])
    return drawn


def ranged(space: gym.Space[Any], task_range: Mapping[str, Any]) -> gym.spaces.Box:
    """Give the Box between `low` and `high`, of the shape and dtype of a task space.

    Raises:
        ConfigError: the task space is no Box, or has another number of elements.

    """
    if not isinstance(space, gym.spaces.Box):
        raise ConfigError(f"task_range = {dict(task_range)} needs a Box of tasks, not {space}")
    low, high = (np.asarray(task_range[end], dtype=space.dtype) for end in ("low", "high"))
    if low.size != space.low.size:
        raise ConfigError(
            f"task_range = {dict(task_range)} has {low.size} elements where a task has "
            f"{space.low.size}"
        )
    dtype: Any = space.dtype
    return gym.spaces.Box(low.reshape(space.shape), high.reshape(space.shape), dtype=dtype)


def task_features_space(space: gym.Space[Any]) -> gym.spaces.Box:
    """Give the space of `task_features`.

    Raises:
        ConfigError: tasks of this space are no fixed number of numbers.

    """
    features = gym.spaces.flatten_space(space)
    if not isinstance(features, gym.spaces.Box):
        raise ConfigError(f"tasks of {space} cannot be observed: they are no fixed list of numbers")
    return features


def task_features(space: gym.Space[Any], task: Task) -> Float[np.ndarray, " feature"]:
    """Give a task as numbers, as Gymnasium flattens it: a Box as it is, a choice as one-hot."""
    return np.asarray(gym.spaces.flatten(space, task), dtype=np.float64)


def to_json(space: gym.Space[Any], tasks: Sequence[Task]) -> Any:
    """Give tasks as what `json` writes and `space.from_jsonable` reads."""
    return json.loads(json.dumps(space.to_jsonable(tasks), default=plain))


def from_json(space: gym.Space[Any], task: Any) -> Task:
    """Read one task; of a space with parts it has a value for each of them.

    Args:
        space: of the tasks.
        task: as `json` reads it, such as `{"mass": [1.0], "speed": 2}`.

    Raises:
        ValueError: it has other parts than the space, or a fraction where a choice is wanted.

    """
    if isinstance(space, gym.spaces.Dict):
        if not isinstance(task, Mapping) or set(task) != set(space):
            raise ValueError(f"it must have {', '.join(map(repr, space))} and nothing else")
        return {name: from_json(part, task[name]) for name, part in space.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(map(from_json, space.spaces, _list_of(task, len(space.spaces))))
    if isinstance(space, gym.spaces.Discrete) and type(task) is not int:
        raise ValueError("a choice is a whole number")
    (read,) = space.from_jsonable([task])
    return read


def read_task(space: gym.Space[Any], task: Any) -> Task:
    """Read a task that a person gave, as a value of its space or as JSON has it.

    Raises:
        ConfigError: it is not in the space.

    """
    try:
        read = from_json(space, json.loads(json.dumps(task, default=plain)))
        inside = space.contains(read)
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        raise ConfigError(f"task = {task!r} is not a task: {error}") from error
    if not inside:
        raise ConfigError(f"task = {task!r} is not in the task space {space}")
    return read


def plain(value: Any) -> Any:
    """Give what `json` writes for a value that it does not know: numbers of numpy, or words."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _list_of(task: Any, count: int) -> list[Any]:
    if not isinstance(task, list) or len(task) != count:
        raise ValueError(f"it must be a list of {count} values")
    return task


def describe_task(task: Task) -> str:
    """Give a task as short text for messages."""
    if isinstance(task, dict):
        return ", ".join(f"{name} {describe_task(part)}" for name, part in task.items())
    if isinstance(task, np.ndarray):
        ends = 3 if task.ndim < 2 else 1
        return np.array2string(task, precision=4, separator=", ", threshold=8, edgeitems=ends)
    return f"{task:.4g}" if isinstance(task, float | np.floating) else str(task)


def name_task(index: int, task: Task) -> str:
    """Call a task of the meta-batch by its number and what it is, for messages."""
    return f"task {index} ({describe_task(task)})"


def describe_range(range_name: str, task_range: Mapping[str, Any], tasks: int) -> str:
    """Say which tasks an evaluation met.

    Args:
        range_name: the range's name; empty for the range of training.
        task_range: its ends, or its set of tasks.
        tasks: how many.

    """
    if "set" in task_range:
        return f"{counted(tasks, 'task')} of set {task_range['set']}"
    return counted(tasks, "held-out task") + (f" of range {range_name}" if range_name else "")
