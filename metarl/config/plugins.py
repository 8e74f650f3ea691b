"""The doors through which environments, problems, presets and agents enter, ours or a stranger's.

A package registers by entry points:

===========================  ====================================================================
group                        value
===========================  ====================================================================
``metarl.environments``      a module that registers its environments with Gymnasium on import
``metarl.problems``          a class, a frozen dataclass (see `metarl.problems.Problem`); the entry
                             point's name is the problem's
``metarl.presets``           a package whose ``*.toml`` files are presets, named by their file name
``metarl.agents``            an `AgentSpec`; the entry point's name is the agent's
``metarl.trained``           a package whose folders are run folders of policies that come trained,
                             each with `config.json` and a checkpoint, named by their folder
===========================  ====================================================================

What cannot be loaded, and a name that another package has taken, is named on standard error and
left out; the rest goes on.
"""

import contextlib
import dataclasses
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module, resources
from importlib.metadata import EntryPoint
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metarl.config.fields import read_fields
from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig, read_either
from metarl.foundation.entry_points import installed_entries, package_of
from metarl.foundation.errors import ConfigError
from metarl.foundation.wording import nearest

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

_LEFT_OUT = "metarl: left out "
_LISTING = "`metarl list` shows all of them"

registering_modules: dict[str, str] = {}
"""The modules that registered environments built elsewhere, by the environments' names."""


@dataclass(frozen=True)
class Origin:
    """Something a package brings: its name and the package's."""

    name: str
    package: str


@dataclass(frozen=True)
class AgentSpec:
    """What the command line needs to know of an agent before it is built."""

    entry_point: str
    """Its class, as "module:Class" (see `metarl.agent.protocol.Agent`); imported to build it."""
    settings: type[Any]
    """Its own settings: a frozen dataclass, all fields with defaults, checked on construction."""
    description: str
    """What it does, in one line."""
    source: str
    """The paper."""
    baseline: bool = False
    """`metarl evaluate --baselines` compares with it."""
    fixes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the run's configuration, by name, that make the agent what it is; it is built with
    no other values."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the run's configuration, by name, that the agent cannot do without; they are set so
    where the preset leaves them at 0 or empty."""
    keeps_step_size: bool = False
    """Whether an evaluation takes all steps by α where `test_learning_rates` says nothing; others
    halve it after the first."""
    trained: bool = True
    """Whether there is anything to train; if not, a run has one iteration."""
    family: str = "gradient"
    """The name of its family, for `metarl list --family`; its class says the same."""
    unit: str = "gradient step"
    """What its family counts adaptation in; baselines are compared with agents of the same unit."""
    environments: tuple[str, ...] = ()
    """The ids of the environments that it is for; empty: all."""
    misfit: Callable[[Config], str] | None = None
    """Says why it does not fit a run on such an environment, in words; empty: it does."""

    def reason_against(self, config: Config) -> str:
        """Say why the agent does not fit a run; empty: it does."""
        if self.environments and config.env_id not in self.environments:
            return f"it is for {' and '.join(self.environments)}, not for {config.env_id}"
        return self.misfit(config) if self.misfit else ""

    def completed(self, config: Config) -> Config:
        """Give the configuration with what makes the agent what it is, and what it cannot lack."""
        lacking = {
            name: value for name, value in self.defaults.items() if not getattr(config, name)
        }
        if "training_tasks" in lacking:  # all of a meta-batch are others
            lacking["training_tasks"] = max(lacking["training_tasks"], config.tasks_per_batch)
        return dataclasses.replace(config, **lacking, **self.fixes)

    def refuse_others(self, config: Config, names: Collection[str]) -> None:
        """Refuse a configuration in which one of these fields is not what the agent fixes."""
        for name, value in self.fixes.items():
            if name in names and getattr(config, name) != value:
                raise ConfigError(
                    f"{name} = {getattr(config, name)!r}: agent {config.agent} is what it is by "
                    f"{name} = {value!r}; leave it away"
                )

    def refuse_taken_names(self, agent: str) -> None:
        """Refuse settings that have the name of a field of the run's configuration."""
        taken = {item.name for item in dataclasses.fields(Config)}
        for item in dataclasses.fields(self.settings):
            if item.name in taken:
                raise ConfigError(
                    f"agent {agent!r}: its setting {item.name!r} has the name of a field that "
                    "every run has; give it another"
                )

    def as_evaluated(self, config: Config) -> Config:
        """Give the configuration of an evaluation, by the step sizes of the agent, if any."""
        if config.test_learning_rates or not self.keeps_step_size:
            return config
        return dataclasses.replace(config, test_learning_rates=(config.inner_learning_rate,))

    def build(self, settings: Any, config: Config) -> Any:
        """Build the agent, a `metarl.agent.protocol.Agent`, which this light module knows not.

        Raises:
            ConfigError: it does not fit the run, or a field is not what makes it what it is.

        """
        self.refuse_others(config, self.fixes)
        if reason := self.reason_against(config):
            raise ConfigError(f"agent {config.agent} does not fit: {reason}")
        module, _, name = self.entry_point.partition(":")
        try:
            kind = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"agent {config.agent!r}: its entry_point {self.entry_point!r} cannot be loaded: "
                f'{type(error).__name__}: {error}; write it as "module:Class"'
            ) from error
        return kind(settings, config)


def environment_ids() -> list[Origin]:
    """List the environments that installed packages register, in the `module:id` form."""
    # Imported only here: who completes a word in a shell waits for it.
    import gymnasium as gym

    found = []
    for entry in installed_entries("metarl.environments"):
        try:
            import_module(entry.value)
        except Exception as error:  # a stranger's plug-in may raise anything
            _leave_out(entry, f"{type(error).__name__}: {error}")
            continue
        for spec in list(gym.registry.values()):
            if f"{_module_of(spec)}.".startswith(f"{entry.value}."):
                found.append(Origin(f"{entry.value}:{spec.id}", package_of(entry)))
    return sorted(found, key=lambda origin: origin.name)


def agent_names() -> list[Origin]:
    """List the agents of all installed packages."""
    return _names("metarl.agents", "an agent")


def problem_names() -> list[Origin]:
    """List the supervised problems of all installed packages."""
    return _names("metarl.problems", "a problem")


def _names(group: str, kind: str) -> list[Origin]:
    found: dict[str, Origin] = {}
    for entry in installed_entries(group):
        if entry.name in found:
            _leave_out(entry, f"{found[entry.name].package} has {kind} of that name")
        else:
            found[entry.name] = Origin(entry.name, package_of(entry))
    return sorted(found.values(), key=lambda origin: origin.name)


def load_agent(name: str) -> AgentSpec:
    """Give what a package says of its agent.

    Args:
        name: an installed agent's; or "module:NAME" of an `AgentSpec` where Python finds it.

    Raises:
        ConfigError: no installed package brings it, or the one that does is broken.

    """
    spec, what = _loaded("metarl.agents", name, f"agent {name!r}", f"unknown agent {name!r}")
    if not isinstance(spec, AgentSpec):
        raise ConfigError(f"{what} is no AgentSpec but {type(spec).__name__}")
    return spec


def load_problem(name: str) -> type[Any]:
    """Give the class of a supervised problem (see `metarl.tasks.problems.Problem`).

    Args:
        name: an installed problem's; or "module:Class" where Python finds it.

    Raises:
        ConfigError: no installed package brings it, or the one that does is broken.

    """
    kind, what = _loaded("metarl.problems", name, f"problem {name!r}", f"unknown problem {name!r}")
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise ConfigError(f"{what} is no dataclass but {type(kind).__name__}")
    return kind


def _loaded(group: str, name: str, what: str, unknown: str) -> tuple[Any, str]:
    """Load what an entry point names, or "module:NAME"; say also what that is, for messages."""
    if ":" in name:
        entry = EntryPoint(name, name, group)
    else:
        # The first of a name counts.
        entries = {it.name: it for it in reversed(installed_entries(group))}
        if name not in entries:
            raise ConfigError(f"{unknown}; {nearest(name, sorted(entries), _LISTING)}")
        entry = entries[name]
        what = f"{what} of package {package_of(entry)}"
    try:
        return entry.load(), f"{what}: {entry.value}"
    except Exception as error:  # a stranger's plug-in may raise anything
        raise ConfigError(f"{what} cannot be loaded: {type(error).__name__}: {error}") from error


def settings_of(config: Config | SupervisedConfig) -> Any:
    """Give the settings of a run's agent; or its problem, a `metarl.tasks.problems.Problem`.

    What the run's table leaves out is at its default.

    Raises:
        ConfigError: the table has what is no setting, or an impossible value.

    """
    if isinstance(config, SupervisedConfig):
        kind, whose = load_problem(config.problem), f"problem {config.problem!r}"
    else:
        kind, whose = load_agent(config.agent).settings, f"agent {config.agent!r}"
    return read_fields(kind, config.settings, whose)


def preset_names() -> list[Origin]:
    """List the presets of all installed packages."""
    return _origins(_preset_files())


def load_preset(name: str) -> Config | SupervisedConfig:
    """Read a preset by its name, or from a TOML file of the user's.

    Args:
        name: the name of an installed preset, or a path that ends in `.toml`.

    Raises:
        ConfigError: there is no such preset, or its file is not a valid one.

    """
    return _read_preset(*_preset_file(name))


def fields_of_preset(name: str) -> set[str]:
    """Give the fields that a preset's file sets; argument and errors as for `load_preset`."""
    return set(_read_table(*_preset_file(name)))


def _preset_file(name: str) -> tuple[str, Traversable]:
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"there is no preset file {name!r}")
        return path.stem, path
    files = _preset_files()
    if name not in files:
        hint = f"an environment is named by --env-id {name}" if ":" in name else ""
        raise ConfigError(f"unknown preset {name!r}; {hint or nearest(name, files, _LISTING)}")
    return name, files[name][1]


def readable_presets() -> dict[str, Config | SupervisedConfig]:
    """Read the presets of all installed packages, but for those that are broken."""
    found = {}
    for name, (_, file) in sorted(_preset_files().items()):
        with contextlib.suppress(ConfigError):  # which the listing says
            found[name] = _read_preset(name, file)
    return found


def trained_policies() -> dict[str, tuple[str, Traversable]]:
    """Give the policies that come trained with installed packages: package and run folder."""
    return _named_resources("metarl.trained", "trained policy", _run_folder_name)


def trained_names() -> list[Origin]:
    """List the policies that come trained with installed packages."""
    return _origins(trained_policies())


def _origins(resource_of: Mapping[str, tuple[str, Traversable]]) -> list[Origin]:
    found = [Origin(name, package) for name, (package, _) in resource_of.items()]
    return sorted(found, key=lambda origin: origin.name)


def _run_folder_name(found: Traversable) -> str | None:
    return found.name if found.joinpath("config.json").is_file() else None


def _preset_files() -> dict[str, tuple[str, Traversable]]:
    return _named_resources("metarl.presets", "preset", _preset_name)


def _preset_name(found: Traversable) -> str | None:
    name, dot, ending = found.name.rpartition(".")
    return name if (dot, ending) == (".", "toml") and found.is_file() else None


def _named_resources(
    group: str, kind: str, name_of: Callable[[Traversable], str | None]
) -> dict[str, tuple[str, Traversable]]:
    """Give what lies in a group's packages and has a name there, with the package that has it."""
    resource_of: dict[str, tuple[str, Traversable]] = {}
    for entry in installed_entries(group):
        try:
            found = [(name_of(it), it) for it in resources.files(entry.value).iterdir()]
        except Exception as error:  # a stranger's plug-in may raise anything
            _leave_out(entry, f"{type(error).__name__}: {error}")
            continue
        for name, resource in found:
            if name is None:
                continue
            if name in resource_of:
                _leave_out(entry, f"{resource_of[name][0]} has a {kind} named {name!r}")
            else:
                resource_of[name] = (package_of(entry), resource)
    return resource_of


def _read_preset(name: str, file: Traversable) -> Config | SupervisedConfig:
    return read_either({"preset": name, **_read_table(name, file)}, f"preset {name!r}")


def _read_table(name: str, file: Traversable) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"preset {name!r} is not valid TOML: {error}") from error


_named: set[str] = set()


def _leave_out(entry: EntryPoint, reason: str) -> None:
    """Say once on standard error why something of a package is left out."""
    said = f"{_LEFT_OUT}{entry.name} ({entry.group}) of package {package_of(entry)}: {reason}"
    if said not in _named:
        _named.add(said)
        print(said, file=sys.stderr)


def left_out() -> list[str]:
    """Say what has been left out by now and why, a line each."""
    return [said.removeprefix(_LEFT_OUT) for said in sorted(_named)]


def _module_of(spec: "EnvSpec") -> str:
    """Give the module that an environment belongs to; empty if that is not known."""
    if spec.id in registering_modules:
        return registering_modules[spec.id]
    if isinstance(spec.entry_point, str):
        return spec.entry_point.partition(":")[0]
    return getattr(spec.entry_point, "__module__", "")
