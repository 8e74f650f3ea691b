"""What may follow on a command line that is being typed. Light, for somebody waits for it."""

import dataclasses
import itertools
import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro

from metarl.cli import VERBS
from metarl.config.plugins import (
    agent_names,
    environment_ids,
    load_agent,
    load_preset,
    load_problem,
    preset_names,
    problem_names,
    trained_names,
)
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import ConfigError

Source = Callable[[str], Iterable[str]]
"""Gives words for what is typed so far; more than fit may be among them."""


@dataclass(frozen=True)
class _Words:
    """What a verb takes."""

    options: dict[str, Source | None]
    """By name; None: no value follows."""
    positional: Source | None = None


def candidates(line: str) -> list[str]:
    """Give the words that may stand where the last word of a line is being typed.

    Args:
        line: as it is typed, up to the cursor; the first word is the command.

    """
    program, *before = _split(line)
    current = before.pop() if before else ""
    if Path(program).name == "train-policy":
        before = ["train", *before]
    if not before:
        return _fitting([*VERBS, "--help", "--version"], current)
    verb, *given = before
    if verb not in VERBS:
        return []
    words = _words_of(verb, given)
    name, equals, value = current.partition("=")
    if equals and (source := words.options.get(name)):
        return [f"{name}={each}" for each in _fitting(source(value), value)]
    if given and (source := words.options.get(given[-1])):
        return _fitting(source(current), current)
    if current.startswith("-"):
        return _fitting(words.options, current)
    return _fitting(words.positional(current), current) if words.positional else []


def without_broken_words(line: str, found: Sequence[str]) -> list[str]:
    """Leave away what bash takes for words of their own: all up to a colon or an equals sign."""
    *_, current = _split(line)
    cut = max(current.rfind(":"), current.rfind("=")) + 1
    return [word[cut:] for word in found]


def _split(line: str) -> list[str]:
    """Split a line into words; the last is empty where a new one begins."""
    try:
        words = shlex.split(line)
    except ValueError:  # a quotation that is still open
        words = line.split()
    return [*words, ""] if not words or line[-1:].isspace() else words


def _fitting(words: Iterable[str], typed: str) -> list[str]:
    return sorted({word for word in words if word.startswith(typed)})


def _words_of(verb: str, given: Sequence[str]) -> _Words:
    """Find what a verb takes: by convention it stands in its module's dataclass of arguments."""
    module = import_module(VERBS[verb][0])
    kinds = [
        each
        for name, each in vars(module).items()
        if name.endswith("Arguments") and each.__module__ == module.__name__
    ]
    kinds += _classes_of_a_run(given) if verb in ("train", "tune") else []
    found = [_words_of_class(kind) for kind in kinds]
    options = {name: source for words in found for name, source in words.options.items()}
    return _Words(options, found[0].positional if found else None)


def _classes_of_a_run(given: Sequence[str]) -> list[type[Any]]:
    """Give the configuration and the settings whose fields are flags of a verb."""
    values = dict(itertools.pairwise(given))
    agent = values.get("--agent", Config.agent)
    for word in given:
        try:
            config = load_preset(word)
        except ConfigError:
            continue
        if isinstance(config, SupervisedConfig):
            return [SupervisedConfig, load_problem(config.problem)]
        agent = values.get("--agent", config.agent)
        break
    try:
        return [Config, load_agent(agent).settings]
    except ConfigError:
        return [Config]


def _words_of_class(kind: type[Any]) -> _Words:
    """Read the options and what stands alone from the fields of a dataclass, as tyro does."""
    options: dict[str, Source | None] = {"--help": None}
    positional = None
    hints = get_type_hints(kind, include_extras=True)
    for item in dataclasses.fields(kind):
        hint = hints[item.name]
        marks = getattr(hint, "__metadata__", ())
        bare = get_args(hint)[0] if marks else hint
        if tyro.conf.Suppress in marks or isinstance(bare, TypeVar):
            continue
        metavars = [mark.metavar for mark in marks if getattr(mark, "metavar", None)]
        source = _source(item.name, bare, metavars)
        if tyro.conf.Positional in marks:
            positional = source
        elif bare is bool:
            flag = item.name.replace("_", "-")
            options |= {f"--{flag}": None, f"--no-{flag}": None}
        else:
            options["--" + item.name.replace("_", "-")] = source
    return _Words(options, positional)


def _source(name: str, hint: Any, metavars: Sequence[str]) -> Source:
    """Find what gives the values of a field."""
    for metavar in metavars:
        parts = metavar.rstrip("…").split("|")
        if all(part in _BY_METAVAR for part in parts):
            return lambda typed: [word for part in parts for word in _BY_METAVAR[part](typed)]
    choices = [each for part in (hint, *get_args(hint)) for each in _choices(part)]
    if choices:
        return lambda typed: choices
    if name in _BY_NAME:
        return _BY_NAME[name]
    takes_path = any(part is Path for part in (hint, *get_args(hint)))
    return _paths if takes_path else lambda typed: []


def _choices(hint: Any) -> list[str]:
    return [each for each in get_args(hint) if each] if get_origin(hint) is Literal else []


def _presets(typed: str) -> list[str]:
    return [origin.name for origin in preset_names()]


def _presets_and_files(typed: str) -> list[str]:
    files = [path for path in _paths(typed) if path.endswith((".toml", "/"))] if typed else []
    return [*_presets(typed), *files]


def _agents(typed: str) -> list[str]:
    return [origin.name for origin in agent_names()]


def _environments(typed: str) -> list[str]:
    return [origin.name for origin in environment_ids()]


def _families(typed: str) -> list[str]:
    found = set()
    for name in _agents(typed):
        try:
            found.add(load_agent(name).family)
        except ConfigError:  # of a plug-in that is broken
            continue
    return sorted(found)


def _names(typed: str) -> list[str]:
    """Give all that `metarl show` takes; environments, which take a while, if nothing else fits."""
    others = [
        *_presets_and_files(typed),
        *_agents(typed),
        *(origin.name for origin in (*problem_names(), *trained_names())),
    ]
    return others if _fitting(others, typed) else _environments(typed)


def _run_folders(typed: str) -> list[str]:
    """Give the run folders below `runs` and at the path typed, and the trained policies."""
    found = [*Path("runs").glob("*/config.json"), *Path("runs/hub").glob("*/config.json")]
    runs = [str(config.parent) for config in found]
    policies = [origin.name for origin in trained_names()]
    folders = [path for path in _paths(typed) if path.endswith("/")]
    below = [f"{run}/" for run in runs]
    return [*runs, *policies, *(path for path in folders if path not in below)]


def _paths(typed: str) -> list[str]:
    """Give the files and, with a slash at the end, the folders that continue a path."""
    folder, slash, start = typed.rpartition("/")
    shown = folder + slash
    try:
        with os.scandir(os.path.expanduser(shown) or ".") as entries:
            return [
                f"{shown}{entry.name}{'/' * entry.is_dir()}"
                for entry in entries
                if not entry.name.startswith(".") or start.startswith(".")
            ]
    except OSError:
        return []


_BY_METAVAR: dict[str, Source] = {
    "PRESET": _presets_and_files,
    "RUN_DIR": _run_folders,
    "ENV_ID": _environments,
    "FILE": _paths,
    "NAME": _names,
}
_BY_NAME: dict[str, Source] = {
    "agent": _agents,
    "env_id": _environments,
    "family": _families,
    "run_dir": _run_folders,
}
