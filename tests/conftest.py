"""Shapes are checked while tests run: jaxtyping's annotations by beartype."""

import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from jaxtyping import config, install_import_hook

HOOK = install_import_hook(["metarl", "metarl_envs", "metarl_agents"], "beartype.beartype")

# Modules that tests and the workers they spawn import by name; spawn hands sys.path on.
sys.path.insert(0, str(Path(__file__).parent / "support"))

_LONG_FILES = ("test_scripts.py", "test_cli.py", "test_check_agent.py", "test_ray_workers.py")

# As in the workers. On a busy machine, threads that wait for each other are many times slower.
torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out the checks where whole runs call checked functions thousands of times."""
    config.update("jaxtyping_disable", item.get_closest_marker("whole_runs") is not None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process is left alone with one of them."""
    items.sort(
        key=lambda item: item.path.name not in _LONG_FILES and "faults" not in item.path.parts
    )


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what libraries leave among temporary files, as gymnasium-robotics its mazes, where
    pytest removes it after some runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", tempfile.gettempdir())  # the paths of its sockets must be short
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("left")))
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(scope="session", autouse=True)
def workers_from_a_server() -> Iterator[None]:
    """Have runs fork their workers, unless a test asks for spawned ones: those import torch."""
    from metarl.workers.process_pool import Supervision

    # What presets of many tests need, imported once for all of them.
    forked = partial(Supervision, start_method="forkserver", preload=("metarl_envs.navigation",))
    with pytest.MonkeyPatch.context() as patch:
        for module in ("metarl.runs.supervision", "metarl.workers.pools"):
            patch.setattr(f"{module}.Supervision", forked)
        yield
