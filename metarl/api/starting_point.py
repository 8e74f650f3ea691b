"""From what a caller names, a preset, an environment or a run, to a configuration to start from."""

import dataclasses
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from metarl.config.base import WORDS, ExperimentConfig, refuse_changes, with_settings
from metarl.config.fields import read_fields
from metarl.config.plugins import (
    fields_of_preset,
    load_agent,
    load_preset,
    preset_names,
    settings_of,
)
from metarl.config.reinforcement import Config, environment_name
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.errors import ConfigError
from metarl.foundation.wording import counted
from metarl.runs.hub_address import is_hub_address, read_address
from metarl.runs.run_folder import read_config
from metarl.tasks.environment_defaults import Guess, environment_defaults


@dataclass(frozen=True)
class StartingPoint:
    """What a run would be if nothing else were said."""

    preset: str
    """Its name or file; empty: none."""
    config: Any
    """A `metarl.config.base.ExperimentConfig` with every setting filled in."""
    settings: Any
    """The settings of agent or problem, a dataclass."""
    run_dir: Path
    guesses: tuple[Guess, ...] = ()
    """Which values are guesses, where there is no preset."""
    resumed: bool = False
    """Whether the configuration is the one that the run folder holds."""
    shortened: bool = False
    """Whether it has the fewest iterations, since its agent is not trained."""

    def notes(self, config: Any, given: Collection[str]) -> list[str]:
        """Say in a line each what a caller may not expect of a configuration.

        Args:
            config: what came of the starting point.
            given: the fields that the caller gave.

        """
        lines = [line for guess in self.guesses if (line := guess.describe(config, given))]
        rates = getattr(config, "test_learning_rates", ())
        if rates and "inner_learning_rate" in given and "test_learning_rates" not in given:
            said = ", ".join(map(str, rates))
            lines.append(
                f"an evaluation keeps the preset's test_learning_rates = {said}; set by "
                "--test-learning-rates"
            )
        if self.shortened and "iterations" not in given:
            lines.append(
                f"agent {config.agent} is not trained: {counted(config.iterations, 'iteration')} "
                f"{'makes' if config.iterations == 1 else 'make'} its run folder, and more change "
                "nothing"
            )
        followed = self.resumed and self.preset and is_trained(config)
        if followed and (edits := _edits(self, given)):
            lines.append(
                f"preset {self.preset} differs from the configuration of {self.run_dir}, which "
                f"keeps its own: {', '.join(edits)}"
            )
        return lines


def starting_point(
    preset: str = "",
    *,
    env_id: str | None = None,
    agent: str | None = None,
    run_dir: Path | None = None,
    resume: bool = False,
) -> StartingPoint:
    """Find the configuration that a run starts from.

    It is the preset's, or one chosen for an environment, or on resume the one that the run was
    started with.

    Args:
        preset: a preset's name, or the path of a TOML file; empty: none.
        env_id: the environment, where there is no preset.
        agent: who learns; None: as the preset says.
        run_dir: the run folder; None: runs/PRESET, or runs/PRESET-AGENT for another agent.
        resume: whether a run is to go on.

    Raises:
        ConfigError: nothing is named, or something that does not exist or does not fit, such as
            another agent than that of the run to go on with, or a preset that sets what its agent
            fixes to something else.

    """
    guesses: list[Guess] = []
    config: Config | SupervisedConfig
    if run_dir is not None and is_hub_address(run_dir):
        raise ConfigError(
            f"training writes into a folder of yours: metarl pull {read_address(run_dir)} "
            "--run-dir DIR, then metarl train --run-dir DIR --resume"
        )
    if resume:
        run_dir = run_dir or Path("runs") / _run_name(preset, env_id, agent)
        config = read_config(run_dir)
        refuse_changes(config, changed(config, {"agent": agent or config.agent}))
    elif preset:
        config = load_preset(preset)
        if isinstance(config, Config) and agent in (None, config.agent):
            load_agent(config.agent).refuse_others(config, fields_of_preset(preset))
    elif env_id:
        config, guesses = environment_defaults(env_id, agent or Config.agent)
    else:
        raise nothing_named()
    if preset and config.preset != Path(preset).stem:
        raise ConfigError(f"{run_dir} is a run of {config.trained_on}, not of preset {preset!r}")
    run_dir = run_dir or Path("runs") / _run_name(preset, env_id, agent)
    usual = config.agent
    config, settings = _with_settings(config, agent or usual)
    shortened = not (resume or config.agent == usual or is_trained(config))
    if shortened:
        budget = {"env_steps": 0} if isinstance(config, Config) else {}
        config = changed(config, {"iterations": config.iterations_per_record, **budget})
    return StartingPoint(preset, config, settings, run_dir, tuple(guesses), resume, shortened)


def is_trained(config: ExperimentConfig) -> bool:
    """Say whether there is anything to train in the agent of a configuration."""
    if isinstance(config, Config):
        return load_agent(config.agent).trained
    return config.agent != "random"


def _edits(start: StartingPoint, given: Collection[str]) -> list[str]:
    """Say what the preset has otherwise than the run that was begun from it, but for what flags
    have set; nothing where the run does not know its flags, or the preset has gone.
    """
    from metarl.runs.provenance import read_sessions  # it takes torch, which help does without

    commands = [str(session.get("command")) for session in read_sessions(start.run_dir)]
    if not commands or not commands[0].startswith(("metarl train ", "metarl.train(")):
        return []
    set_by_flags = {*given, *(name for command in commands for name in fields_named_in(command))}
    recorded = start.config
    try:
        preset = load_preset(start.preset)
        agent = recorded.agent if "agent" in set_by_flags else preset.agent
        now = _with_settings(preset, agent)[0].flat()
    except ConfigError:
        return []
    compared = now.keys() - {*WORDS, "preset", *set_by_flags}
    return [
        f"{name} was {value!r} and is now {now[name]!r}"
        for name, value in recorded.flat().items()
        if name in compared and now[name] != value
    ]


def fields_named_in(command: str) -> set[str]:
    """Give the names that a command's flags have, or a call's keyword arguments."""
    found = re.findall(r"--(?:no-)?([\w-]+)|\b(\w+)=", command)
    return {(flag or keyword).replace("-", "_") for flag, keyword in found}


def _with_settings(config: Any, agent: str) -> tuple[Any, Any]:
    """Give the configuration with an agent and all settings, and these; a preset has only those
    that it changes.
    """
    config = _of_agent(config, agent)
    settings = settings_of(config)
    return with_settings(config, dataclasses.asdict(settings)), settings


def _of_agent(config: Any, agent: str) -> Any:
    """Give the configuration with an agent, and what makes it what it is."""
    if isinstance(config, SupervisedConfig):
        return changed(config, {"agent": agent})
    spec = load_agent(agent)
    # What the preset sets holds for every agent that has the same settings.
    if agent != config.agent and spec.settings is not load_agent(config.agent).settings:
        config = with_settings(config, {})
    spec.refuse_taken_names(agent)
    return spec.completed(dataclasses.replace(config, agent=agent))


def changed(
    config: ExperimentConfig, fields: Mapping[str, Any], origin: str = "metarl.train"
) -> Any:
    """Give a configuration with other values for some fields, checked.

    Args:
        config: before.
        fields: the new values, by name.
        origin: where they come from, for messages.

    Raises:
        ConfigError: there is no such field (the nearest is named), or the value is impossible.

    """
    # Not `asdict`: tables may hold what is no dataclass's.
    table = {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}
    return read_fields(type(config), {**table, **fields}, origin)


def with_fields(
    start: StartingPoint, fields: Mapping[str, Any], origin: str = "metarl.train"
) -> Any:
    """Give the configuration of a starting point with fields and settings changed.

    Args:
        start: what is changed.
        fields: the new values, by name.
        origin: where they come from, for messages.

    Raises:
        ConfigError: there is no such field or setting (the nearest is named), or its value is
            impossible.

    """
    own = {item.name for item in dataclasses.fields(start.config)}
    settings = {item.name for item in dataclasses.fields(start.settings)}
    for name in fields:
        if name not in own | settings:
            near = get_close_matches(name, sorted(own | settings), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see the fields of the preset"
            raise ConfigError(f"there is no field {name!r}; {hint}")
    table = {**dataclasses.asdict(start.settings), **_only(fields, settings)}
    changed_settings = read_fields(type(start.settings), table, origin)
    config = changed(start.config, _only(fields, own), origin)
    return with_settings(config, dataclasses.asdict(changed_settings))


def in_its_words(start: StartingPoint, config: Any) -> Any:
    """Give the configuration with other words where its environment is not the preset's."""
    if not isinstance(config, Config) or config.env_id == start.config.env_id:
        return config
    return dataclasses.replace(
        config,
        description=config.description_elsewhere,
        source=f"values of preset {config.preset}, which has another environment",
        published={},
    )


def _only(fields: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name in names}


def _run_name(preset: str, env_id: str | None, agent: str | None) -> str:
    """Name the run folder after preset or environment, and after the agent if it is another."""
    if preset:
        name, usual = Path(preset).stem, load_preset(preset).agent
    elif env_id:
        name, usual = environment_name(env_id), Config.agent
    else:
        raise nothing_named()
    return name if agent is None or agent == usual else f"{name}-{agent.replace(':', '-')}"


def nothing_named(verb: str = "train") -> ConfigError:
    """Give the error that says what a run can be started from."""
    names = ", ".join(origin.name for origin in preset_names())
    if verb != "train":
        return ConfigError(
            f"name a preset first: metarl {verb} PRESET; there are {names}. Or name an "
            f"environment, metarl {verb} --env-id PACKAGE:ID"
        )
    return ConfigError(
        f"name a preset first: metarl train PRESET; there are {names}. Or name an environment, "
        "metarl train --env-id PACKAGE:ID, or the run to go on with: --run-dir DIR --resume"
    )
