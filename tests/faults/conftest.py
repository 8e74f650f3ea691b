"""One process to fork trainings from, for all tests that inject faults."""

import shutil

import pytest
from sessions import Zygote


@pytest.fixture(scope="session")
def zygote(tmp_path_factory):
    started = Zygote(tmp_path_factory.mktemp("runs"))
    yield started
    started.close()


@pytest.fixture
def in_the_folder_of_runs(zygote, monkeypatch):
    """Where the process works; the run folder `r` is not there yet."""
    monkeypatch.chdir(zygote.folder)
    shutil.rmtree("r", ignore_errors=True)
