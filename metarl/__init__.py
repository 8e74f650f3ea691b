"""metarl: meta-reinforcement learning on task-distributed Gymnasium environments."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("metarl-suite")
except PackageNotFoundError:  # the sources are imported without having been installed
    __version__ = "0+unknown"
