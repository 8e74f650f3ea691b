"""A hub of our own on the loopback address, and a run to put there."""

import shutil
import sys

import pytest
from hub_server import TOKEN, running_hub
from huggingface_hub import constants
from runs_on_hub import TINY, ask

import metarl


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Train, evaluate and draw a run."""
    folder = tmp_path_factory.mktemp("home-of-alice") / "nav"
    run = metarl.train("navigation-2d", iterations=2, run_dir=folder, **TINY)
    run.evaluate(workers=0)
    run.render(adaptation_steps=1)
    return run


@pytest.fixture
def run(trained, tmp_path):
    """Give a copy of that run, to change."""
    return metarl.Run(shutil.copytree(trained.run_dir, tmp_path / "home-of-alice" / "nav"))


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """Run a hub, which the library asks with a token, from an empty folder and an empty cache."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with running_hub() as served:
        ask(served.url, monkeypatch)
        yield served


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """Put a module where Python finds it, and say whether somebody has imported it."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "canary_of_the_hub.py").write_text("AGENT = None\n")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    yield lambda: "canary_of_the_hub" in sys.modules
    sys.modules.pop("canary_of_the_hub", None)
