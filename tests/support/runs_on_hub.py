"""What tests of the Hugging Face hub do again and again."""

import json
from pathlib import Path

from huggingface_hub import constants

TINY = {
    "tasks_per_batch": 3,
    "episodes_per_task": 2,
    "horizon": 5,
    "hidden_sizes": (4,),
    "test_tasks": 3,
    "test_episodes_per_task": 2,
    "test_adaptation_steps": 1,
    "workers": 0,
    "progress": False,
}
RUN = "alice/nav"


def ask(url, monkeypatch):
    """Have the library ask there, as HF_ENDPOINT does when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def files_of(folder):
    """Give a folder's files as a repository has them."""
    found = [each for each in Path(folder).rglob("*") if each.is_file()]
    return {each.relative_to(folder).as_posix(): each.read_bytes() for each in found}


def one_line_error(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert "Traceback" not in error
    return error


def hostile(trained, **changes):
    """Give the files of a run whose configuration names something else."""
    files = files_of(trained.run_dir)
    table = {**json.loads(files["config.json"]), **changes}
    return {**files, "config.json": json.dumps(table).encode()}
