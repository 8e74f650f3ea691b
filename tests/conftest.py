"""Shapes are checked while tests run: jaxtyping's annotations by beartype."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from jaxtyping import config, install_import_hook

HOOK = install_import_hook(["metarl", "metarl_envs", "metarl_agents"], "beartype.beartype")

# Modules that tests and the workers they spawn import by name; spawn hands sys.path on.
sys.path.insert(0, str(Path(__file__).parent / "support"))

# As in the workers. On a busy machine, threads that wait for each other are many times slower.
torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out the checks where whole runs call checked functions thousands of times."""
    config.update("jaxtyping_disable", item.get_closest_marker("whole_runs") is not None)


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what libraries leave among temporary files, as gymnasium-robotics its mazes, where
    pytest removes it after some runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("left")))
        patch.setattr(tempfile, "tempdir", None)
        yield
