"""What a configuration from a stranger may name: installed plug-ins, and nothing else of Python's.

A configuration names code: the agent or the problem, the environment, wrappers around it. Building
the run imports and calls what is named, with arguments that stand there as well. Names of installed
plug-ins mean code that the user has chosen to install, and their author decides what arguments can
do. "module:name" means whatever Python finds under that name, which a stranger must not choose.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import gymnasium as gym

from metarl.config.base import ExperimentConfig
from metarl.config.plugins import load_agent, load_problem, readable_presets
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.entry_points import installed_entries
from metarl.foundation.errors import ConfigError
from metarl.tasks.distribution import registered

_WRAPPED = "metarl.tasks:metarl/Wrapped-v0"
_NAMES_CODE = re.compile(r"\s*[A-Za-z_][\w.]*:[A-Za-z_/].*", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def require_installed_code(config: ExperimentConfig) -> None:
    """Refuse a configuration that names code beyond the plug-ins that are installed here.

    It imports no more than these: the modules that installed packages register by entry points,
    and those that installed presets name.

    Raises:
        ConfigError: with what it names, or what is not installed.

    """
    for text in _texts(config.flat()):
        if _CONTROL.search(text):
            raise ConfigError(f"config.json holds control characters, in {text!r}")
    foreign = list(dict.fromkeys(_foreign(config)))
    if foreign:
        raise ConfigError(f"config.json names code of no installed plug-in: {', '.join(foreign)}")
    if isinstance(config, SupervisedConfig):
        load_problem(config.problem)
    elif isinstance(config, Config):
        load_agent(config.agent)
        registered(config.env_id)
        _refuse_other_code(config.env_id, config.env_kwargs)


def _foreign(config: ExperimentConfig) -> Iterator[str]:
    """Give what a configuration names that no installed plug-in brings."""
    if isinstance(config, SupervisedConfig):
        if ":" in config.problem:
            yield f"problem {config.problem!r}"
        yield from _named_in(config.problem_settings)
        return
    assert isinstance(config, Config)
    if ":" in config.agent:
        yield f"agent {config.agent!r}"
    yield from _named_in(config.agent_settings)
    if not _is_installed_environment(config.env_id):
        yield f"environment {config.env_id!r}"
    kwargs = dict(config.env_kwargs)
    if config.env_id == _WRAPPED:
        inner = kwargs.pop("env_id", "")
        if not (isinstance(inner, str) and _is_installed_environment(inner)):
            yield f"environment {inner!r}"
    yield from _named_in(kwargs)


def _named_in(value: Any) -> Iterator[str]:
    """Give the texts in a table that name code, but for those of installed presets."""
    for text in _texts(value):
        if _NAMES_CODE.fullmatch(text) and text not in _known_to_presets():
            yield repr(text)


def _is_installed_environment(env_id: str) -> bool:
    module, _, name = env_id.rpartition(":")
    if not module:
        return name in gym.registry
    plugins = {entry.value for entry in installed_entries("metarl.environments")}
    named = {text.rpartition(":")[0] for text in _known_to_presets()}
    return env_id == _WRAPPED or module in plugins | named


@lru_cache(maxsize=1)
def _known_to_presets() -> frozenset[str]:
    """Give the environments and wrappers that installed presets name."""
    presets = [it for it in readable_presets().values() if isinstance(it, Config)]
    named = {text for it in presets for text in _texts([it.env_id, it.env_kwargs])}
    return frozenset(text for text in named if _NAMES_CODE.fullmatch(text))


def _refuse_other_code(env_id: str, kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments in the place of what an environment was registered with, if that is code."""
    if env_id == _WRAPPED:
        env_id, kwargs = kwargs["env_id"], kwargs.get("kwargs", {})
    for name, own in registered(env_id).kwargs.items():
        code = callable(own) or any(_NAMES_CODE.fullmatch(text) for text in _texts(own))
        if code and name in set(kwargs):
            raise ConfigError(
                f"config.json sets {name} = {kwargs[name]!r} in the place of code that {env_id} "
                "was registered with"
            )


def _texts(value: Any) -> Iterator[str]:
    """Give all texts in a value, names among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(name)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
