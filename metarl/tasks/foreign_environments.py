"""Somebody else's registered environment as a task distribution, without subclassing.

One names what a task sets, and a space for it (`metarl.tasks.task_parameters`). Three ways mean the
same:

- a preset, whose `env_id` is `metarl.tasks:metarl/Wrapped-v0` and whose `env_kwargs` are the
  arguments of `wrapped`;
- `register_tasks("my_package:mine/PendulumTasks-v0", "Pendulum-v1", {…})`, which gives them an id;
- `metarl.tasks.task_wrapper.TaskWrapper(environment, task={…})`, around an environment at hand.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import gymnasium as gym

from metarl.config.plugins import registering_modules
from metarl.foundation.errors import ConfigError
from metarl.tasks.attribute_paths import as_argument
from metarl.tasks.distribution import registered
from metarl.tasks.task_parameters import Keyword, fixed_value, read_parameters
from metarl.tasks.task_wrapper import Env, TaskWrapper


def wrapped(
    env_id: str,
    task: Mapping[str, Any],
    kwargs: Mapping[str, Any] | None = None,
    wrappers: Sequence[str | Mapping[str, Any]] = (),
    options: Mapping[str, Any] | None = None,
    declare: Mapping[str, Any] | None = None,
    render_mode: str | None = None,
) -> TaskWrapper:
    """Make a registered environment, wrap it, and give it tasks.

    It comes without the time limit of its registration: the run's horizon is the limit.

    Args:
        env_id: of the environment, with its module where it needs one.
        task: a table of parameters, as `metarl.tasks.task_parameters` says.
        kwargs: keyword arguments of its constructor; a list of numbers becomes a tuple.
        wrappers: applied beneath the task, the innermost first: each "module:Class", or a table
            with that as `wrapper` and its keyword arguments beside it.
        options: of every reset, beside those that the task gives.
        declare: what it declares for `metarl check`, such as {"fixed_start": True}.
        render_mode: of the environment; None leaves it to the environment.

    Raises:
        ConfigError: there is no such environment or wrapper, or the table does not fit.

    """
    registered(env_id)
    layers = tuple(_wrapper(row) for row in wrappers)
    fixed = {name: as_argument(fixed_value(value)) for name, value in (kwargs or {}).items()}
    mode = {} if render_mode is None else {"render_mode": render_mode}

    def build(keywords: Mapping[str, Any]) -> Env:
        arguments = {**fixed, **keywords, **mode}
        # Limit and checker are the outer registration's.
        environment: Env = gym.make(
            env_id, max_episode_steps=-1, disable_env_checker=True, **arguments
        )
        for layer in layers:
            environment = layer(environment)
        return environment

    first = {
        parameter.target.name: as_argument(parameter.value(parameter.default))
        for parameter in read_parameters(task).values()
        if isinstance(parameter.target, Keyword)
    }
    environment = build(first)
    try:
        return TaskWrapper(environment, task, build, options, declare)
    except ConfigError:
        environment.close()
        raise


def register_tasks(
    name: str,
    env_id: str,
    task: Mapping[str, Any],
    *,
    max_episode_steps: int | None = None,
    **arguments: Any,
) -> None:
    """Register a task distribution with Gymnasium: an environment of somebody's, given tasks.

    Args:
        name: the new id with the module that registers it, by which other processes find it:
            "my_package:mine/PendulumTasks-v0".
        env_id: of the environment.
        task: a table of parameters, as `metarl.tasks.task_parameters` says.
        max_episode_steps: the time limit; None: the environment's own.
        **arguments: `kwargs`, `wrappers`, `options` and `declare` of `wrapped`.

    Raises:
        ConfigError: there is no such environment, the name lacks its module, or the table is wrong.

    """
    read_parameters(task)
    module, _, own_id = name.rpartition(":")
    if not module:
        raise ConfigError(
            f"{name!r} must name the module that registers it, as 'my_package:{name}', so that "
            "other processes find it"
        )
    gym.register(
        own_id,
        entry_point="metarl.tasks.foreign_environments:wrapped",
        order_enforce=False,  # the environment's own registration decides that
        max_episode_steps=max_episode_steps or registered(env_id).max_episode_steps,
        kwargs={"env_id": env_id, "task": task, **arguments},
    )
    registering_modules[own_id] = module


def _wrapper(row: str | Mapping[str, Any]) -> Callable[[Env], Env]:
    """Give the wrapper that a row of `wrappers` means, with its keyword arguments.

    Raises:
        ConfigError: it cannot be imported, or is not written as it must be.

    """
    table = {"wrapper": row} if isinstance(row, str) else dict(row)
    name = table.pop("wrapper", None)
    if not isinstance(name, str) or name.count(":") != 1:
        raise ConfigError(
            f"wrappers: {row!r} must be 'module:Class', or a table with that as wrapper"
        )
    module, _, attribute = name.partition(":")
    try:
        made: Callable[..., Env] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"wrapper {name!r} cannot be imported: {error}") from error

    def layer(environment: Env) -> Env:
        try:
            return made(environment, **table)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"wrapper {name!r} with {table}: {error}") from error

    return layer
