"""Verbs whose flags are the fields of a run: what decides on the defaults of all the others."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from metarl.api.starting_point import StartingPoint, nothing_named, starting_point
from metarl.config.plugins import load_preset, preset_names
from metarl.foundation.errors import ConfigError

_PRESET_OF_THE_HELP = "navigation-2d"


def find_start(argv: Sequence[str], verb: str) -> StartingPoint:
    """Find what decides on the defaults of all flags, and these.

    Args:
        argv: the arguments of the verb.
        verb: train, which takes a run folder and may resume, or another that does not.

    Raises:
        ConfigError: nothing is named, or something that does not exist or does not fit.

    """
    before = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    before.add_argument("--agent")
    before.add_argument("--env-id", "--env_id")
    before.set_defaults(run_dir=None, resume=False)
    if verb == "train":
        before.add_argument("--run-dir", "--run_dir", type=Path)
        before.add_argument("--resume", action="store_true")
    try:
        known, rest = before.parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise ConfigError(f"{error}; see `metarl {verb} --help`") from error
    preset = _find_preset(rest)
    if not (preset or known.env_id or known.resume) and {"-h", "--help"} & set(argv):
        preset = _PRESET_OF_THE_HELP
    if not (preset or known.env_id or (known.resume and known.run_dir)):
        raise nothing_named(verb)
    return starting_point(
        preset,
        env_id=known.env_id,
        agent=known.agent,
        run_dir=known.run_dir,
        resume=known.resume,
    )


def _find_preset(argv: Sequence[str]) -> str:
    """Find the preset among the arguments: the first of them, or the first that names one."""
    if argv and not argv[0].startswith("-"):
        return argv[0]
    names = [origin.name for origin in preset_names()]
    for argument in argv:
        if argument in names or argument.endswith(".toml"):
            return argument
    return ""


def require_first(preset: str, start: StartingPoint, verb: str) -> None:
    """Refuse a preset that is hidden behind the value of a flag.

    Args:
        preset: that the arguments name, read as a whole.
        start: what was taken for the start.
        verb: whose arguments they are.

    Raises:
        ConfigError: the two differ.

    """
    if preset != start.preset:
        load_preset(preset)
        raise ConfigError(f"name the preset first: metarl {verb} {preset} …")


def given_fields(argv: Sequence[str]) -> set[str]:
    """Give the names of the fields that flags set."""
    return {
        argument.partition("=")[0].lstrip("-").replace("-", "_")
        for argument in argv
        if argument.startswith("--")
    }
