"""A broken run, a hub that fails, no network: one error with a way out."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from runs_on_hub import RUN, ask, files_of, one_line_error

import metarl
from metarl.cli import main

pytestmark = [
    pytest.mark.whole_runs,
    # The library's own, of what carries its requests.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]


def broken(files, name, data):
    return {**files, f"checkpoints/iteration-000002/{name}": data}


def without(files, part):
    return {name: data for name, data in files.items() if part not in name}


def of_newer_metarl(files):
    table = {**json.loads(files["config.json"]), "warp_speed": 3}
    state = json.loads(files["checkpoints/iteration-000002/state.json"])
    state["versions"]["metarl-suite"] = "99.0"
    changed = {**files, "config.json": json.dumps(table).encode()}
    return broken(changed, "state.json", json.dumps(state).encode())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda files: without(files, "checkpoints"), "has no checkpoint, and so no policy"),
        (lambda files: without(files, "state.json"), "has no checkpoint, and so no policy"),
        (lambda files: without(files, "config.json"), "is not a run of metarl: it has no config"),
        (lambda files: {**files, "config.json": b"[]"}, "config.json cannot be read"),
        (
            lambda files: broken(files, "parameters.safetensors", b"\x80\x04}."),
            "parameters.safetensors is damaged (its checksum differs)",
        ),
        (lambda files: broken(files, "manifest.json", b"{}"), "manifest.json has no checksums"),
        (of_newer_metarl, "made by metarl 99.0, and this is 0.1.0: pip install --upgrade metarl"),
    ],
)
def test_a_repository_that_is_no_good_run_is_one_error(hub, trained, capsys, change, complaint):
    hub.add(RUN, change(files_of(trained.run_dir)))
    assert main(["pull", RUN]) == 2
    told = one_line_error(capsys)
    assert complaint in told
    assert f"hf://{RUN}" in told
    assert "runs/hub" not in told
    assert not Path("runs/hub").exists() or not list(Path("runs/hub").iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["pull", "alice/nothing"], 1, "there is no model repository alice/nothing, or it is priv"),
        (["pull", f"{RUN}@nowhere"], 1, "alice/nav has no revision 'nowhere'"),
        (["pull", "nav"], 2, "'nav' is no name of a repository, which is USER/NAME"),
        (["pull", "alice/../bob"], 2, "is no name of a repository"),
        (["evaluate", "hf://alice/a--b"], 2, "'alice/a--b' is no name of a repository"),
        (["pull", f"{RUN}@../up"], 2, "'../up' is no revision"),
        (["pull"], 2, "name a repository: metarl pull USER/NAME"),
        (["push", "nowhere", RUN], 2, "there is no run folder nowhere"),
        (["push", "runs"], 2, "name a run folder and a repository"),
        (["push", "runs", "alice"], 2, "'alice' is no name of a repository"),
        (["push", "runs", RUN, "--branch", "a b"], 2, "'a b' is no revision"),
        (["push", "runs", RUN, "--output", "x"], 2, "output is of a dry run"),
    ],
)
def test_what_is_wrong_is_one_error_with_a_way_out(
    hub, trained, capsys, arguments, code, complaint
):
    hub.add(RUN, files_of(trained.run_dir))
    assert main(arguments) == code
    assert complaint in one_line_error(capsys)


def test_a_private_run_needs_a_token_and_so_does_a_push(hub, trained, monkeypatch, capsys):
    metarl.push(trained, RUN, private=True)
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    assert main(["pull", RUN]) == 1
    assert "private and you are not logged in as somebody who may see" in one_line_error(capsys)
    assert main(["push", str(trained.run_dir), "bob/nav"]) == 1
    told = capsys.readouterr()
    assert "the hub does not let you do this in bob/nav (403); log in by hf auth login" in told.err
    monkeypatch.delenv("HF_TOKEN")
    assert main(["push", str(trained.run_dir), RUN]) == 1
    assert "needs a token of the hub: hf auth login, or set HF_TOKEN" in capsys.readouterr().err


def test_a_hub_that_fails_is_told(hub, monkeypatch, capsys):
    hub.broken = True
    assert main(["pull", RUN]) == 1
    assert f"the hub answered 500 about {RUN}" in one_line_error(capsys)


def unreachable(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ask(f"http://127.0.0.1:{free.getsockname()[1]}", monkeypatch)


@pytest.mark.parametrize("offline", [False, True])
def test_without_the_hub_what_was_fetched_before_is_used(
    hub, trained, monkeypatch, capsys, offline
):
    hub.add(RUN, files_of(trained.run_dir))
    copy = metarl.load(f"hf://{RUN}").run_dir
    if offline:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        hub.asked.clear()
    else:
        unreachable(monkeypatch)
    assert metarl.load(f"hf://{RUN}").run_dir == copy
    shutil.rmtree(copy)  # the library's cache has it still
    assert metarl.load(f"hf://{RUN}").iteration == 2
    shutil.rmtree(constants.HF_HUB_CACHE)
    assert metarl.load(f"hf://{RUN}").run_dir == copy
    capsys.readouterr()
    assert main(["pull", "alice/other"]) == 1
    told = one_line_error(capsys)
    assert ("HF_HUB_OFFLINE forbids" if offline else "the hub cannot be reached at") in told
    assert hub.asked == [] or not offline


def test_without_the_library_the_extra_is_named(trained, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for arguments in (["pull", RUN], ["push", str(trained.run_dir), RUN, "--dry-run"]):
        assert main(arguments) == 2
        assert 'pip install "metarl-suite[hub]"' in one_line_error(capsys)


def test_the_library_is_imported_only_where_it_is_used():
    code = (
        "import sys, metarl.cli.push, metarl.cli.pull, metarl.runs.hub_address\n"
        "metarl.runs.hub_address.read_address('hf://alice/nav')\n"
        "assert not {'huggingface_hub', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
