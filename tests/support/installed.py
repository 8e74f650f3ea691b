"""What can be tried here: a family may need a package that metarl-suite does not install."""

from importlib.util import find_spec

from metarl.config.plugins import environment_ids, load_preset, preset_names
from metarl.config.reinforcement import Config
from metarl_envs import NEEDS


def environments_here() -> list[str]:
    """The registered environments whose packages are installed."""
    return [origin.name for origin in environment_ids() if _is_here(origin.name)]


def presets_here() -> list[str]:
    """The presets of such environments."""
    configs = [load_preset(it.name) for it in preset_names()]
    return [it.preset for it in configs if isinstance(it, Config) and _is_here(it.env_id)]


def _is_here(env_id: str) -> bool:
    needed = NEEDS.get(env_id.rpartition(":")[2])
    return needed is None or find_spec(needed) is not None
