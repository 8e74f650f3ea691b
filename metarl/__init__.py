"""metarl: meta-reinforcement learning on task-distributed Gymnasium environments.

The front door: what the command line does, for a caller in Python. Nothing heavy is imported
before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from metarl.foundation.versions import OWN_VERSION

if TYPE_CHECKING:
    from metarl.api.benchmark import Benchmark, benchmark
    from metarl.api.catalogue import agents, environments, presets, problems, trained
    from metarl.api.checking import check, repeat_episode
    from metarl.api.evaluation import Evaluation, evaluate
    from metarl.api.policy import AdaptedPolicy, load_policy
    from metarl.api.run import Run, load, report
    from metarl.api.sharing import Upload, push
    from metarl.api.training import train
    from metarl.api.tuning import Tuning, tune
    from metarl.foundation.errors import MetarlError

__version__ = OWN_VERSION

__all__ = [
    "AdaptedPolicy",
    "Benchmark",
    "Evaluation",
    "MetarlError",
    "Run",
    "Tuning",
    "Upload",
    "agents",
    "benchmark",
    "check",
    "environments",
    "evaluate",
    "load",
    "load_policy",
    "presets",
    "problems",
    "push",
    "repeat_episode",
    "report",
    "train",
    "trained",
    "tune",
]

_HOMES = {
    **dict.fromkeys(
        ("agents", "environments", "presets", "problems", "trained"), "metarl.api.catalogue"
    ),
    **dict.fromkeys(("Benchmark", "benchmark"), "metarl.api.benchmark"),
    **dict.fromkeys(("check", "repeat_episode"), "metarl.api.checking"),
    **dict.fromkeys(("Evaluation", "evaluate"), "metarl.api.evaluation"),
    **dict.fromkeys(("AdaptedPolicy", "load_policy"), "metarl.api.policy"),
    **dict.fromkeys(("Run", "load", "report"), "metarl.api.run"),
    **dict.fromkeys(("Upload", "push"), "metarl.api.sharing"),
    "train": "metarl.api.training",
    **dict.fromkeys(("Tuning", "tune"), "metarl.api.tuning"),
    "MetarlError": "metarl.foundation.errors",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'metarl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List what the front door offers."""
    return sorted([*__all__, "__version__"])
