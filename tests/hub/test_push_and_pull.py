"""Runs are pushed to the hub and pulled from there, with the same bits."""

import json
import re
from pathlib import Path

import pytest
from runs_on_hub import RUN, files_of, one_line_error

import metarl
from metarl.cli import main
from metarl.runs.hub_runs import ORIGIN_FILE

pytestmark = [
    pytest.mark.whole_runs,
    # The library's own, of what carries its requests.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]


def test_what_was_pushed_is_loaded_with_the_same_bits(hub, trained):
    upload = metarl.push(trained, RUN)
    assert upload.url.startswith(f"{hub.url}/{RUN}/commit/")
    loaded = metarl.load(f"hf://{RUN}")
    own, theirs = trained._state.agent, loaded._state.agent
    assert loaded.iteration == 2
    assert own.theta.tobytes() == theirs.theta.tobytes()
    assert own.optimiser.keys() == theirs.optimiser.keys()
    assert loaded.metrics == trained.metrics
    recorded = json.loads((loaded.run_dir / "evaluation.json").read_text())
    assert recorded == json.loads((trained.run_dir / "evaluation.json").read_text())
    again = loaded.evaluate(workers=0)
    assert again.per_task_return.tolist() == recorded["per_task_return"]


def test_what_is_uploaded_is_what_is_needed_and_what_is_looked_at(hub, trained):
    upload = metarl.push(trained, RUN, message="the first", private=True)
    there = hub.repositories[RUN]
    checkpoint = {"manifest.json", "state.json", "parameters.safetensors"}
    assert set(there.files()) == {
        ".gitattributes",
        "README.md",
        "config.json",
        "evaluation.json",
        "evaluation.png",
        "evaluation.svg",
        "metrics.jsonl",
        "sessions.jsonl",
        "videos/task.mp4",
        "videos/task.mp4.json",
        *(f"checkpoints/iteration-000002/{name}" for name in checkpoint),
    }
    assert there.private
    assert there.messages[-1] == "the first"
    assert upload.files == {
        name: len(data) for name, data in there.files().items() if name != ".gitattributes"
    }
    assert any(name.startswith("tensorboard/") for name in upload.left_out)


def test_nothing_says_whose_machine_it_was(hub, run, tmp_path):
    folder, home = run.run_dir, "/home/alice.secret"
    table = json.loads((folder / "config.json").read_text())
    table["initial_policy"] = f"{home}/models/first.zip"
    table["source"] = f"my notes in {home}/notes/maml.txt, page 3"
    (folder / "config.json").write_text(json.dumps(table))
    session = json.loads((folder / "sessions.jsonl").read_text())
    session |= {
        "command": f"metarl train {home}/presets/mine.toml --run-dir '{home}/my runs/nav' "
        f"--initial-policy={home}/first.zip --workers ray://10.1.2.3:10001 --seed 3",
        "workers": "ray://10.1.2.3:10001",
        "platform": "Linux-6.1-of-alice.secret",
    }
    (folder / "sessions.jsonl").write_text(json.dumps(session) + "\n")
    metarl.Run(folder).report()
    page = (folder / "report.html").read_bytes()
    assert b"home-of-alice" in page
    metarl.push(folder, RUN)
    assert b"metarl train mine.toml" in hub.repositories[RUN].files()["report.html"]
    for name, data in hub.repositories[RUN].files().items():
        for trace in (b"alice.secret", b"10.1.2.3", str(tmp_path).encode(), b"home-of-alice"):
            assert trace not in data, (name, trace)
        assert b"metarl-push-" not in data, name
    uploaded = hub.repositories[RUN].files()
    config = json.loads(uploaded["config.json"])
    assert (config["initial_policy"], config["source"]) == ("", "my notes in maml.txt, page 3")
    shared = json.loads(uploaded["sessions.jsonl"])
    assert shared["command"] == "metarl train mine.toml --initial-policy=first.zip --seed 3"
    assert (shared["workers"], shared["cpu"]) == ("a cluster", session["cpu"])
    assert b"Training started from a saved policy" in uploaded["README.md"]


def test_a_dry_run_asks_nothing_of_the_hub(hub, trained, monkeypatch, capsys):
    monkeypatch.delenv("HF_TOKEN")
    assert main(["push", str(trained.run_dir), RUN, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "12 files of" in told
    assert re.search(r"B  checkpoints/iteration-000002/parameters.safetensors\n", told)
    assert re.search(r"of the run folder stay here:\n(.*\n)*? .*  tensorboard/\n", told)
    assert "nothing is uploaded; README.md would be:\n\n---\nlibrary_name: metarl" in told
    assert main(["push", str(trained.run_dir), RUN, "--dry-run", "-o", "look"]) == 0
    assert "look; nothing is uploaded" in capsys.readouterr().out
    assert Path("look/README.md").read_text() in told
    assert hub.asked == []
    assert metarl.Run("look").iteration == 2


def test_the_next_push_takes_older_files_of_the_run_away(hub, run):
    metarl.push(run, RUN)
    hub.add(RUN, {**hub.repositories[RUN].files(), "notes.txt": b"of the owner"})
    longer = metarl.train(run_dir=run.run_dir, iterations=3, resume=True, workers=0, progress=False)
    (run.run_dir / "videos" / "task.mp4").unlink()
    metarl.push(longer, RUN)
    there = hub.repositories[RUN].files()
    assert {name for name in there if name.startswith(("checkpoints", "videos"))} == {
        "videos/task.mp4.json",
        *(
            f"checkpoints/iteration-000003/{name}"
            for name in ("manifest.json", "parameters.safetensors", "state.json")
        ),
    }
    assert there["notes.txt"] == b"of the owner"
    assert metarl.load(f"hf://{RUN}").iteration == 3


def test_a_branch_is_another_revision(hub, run):
    metarl.push(run, RUN)
    longer = metarl.train(run_dir=run.run_dir, iterations=3, resume=True, workers=0, progress=False)
    upload = metarl.push(longer, RUN, branch="longer")
    assert f"metarl evaluate hf://{RUN}@longer" in upload.card
    first, second = metarl.load(f"hf://{RUN}"), metarl.load(f"hf://{RUN}@longer")
    assert (first.iteration, second.iteration) == (2, 3)
    assert first.run_dir != second.run_dir
    commit = hub.repositories[RUN].branches["main"]
    hub.asked.clear()
    assert metarl.load(f"hf://{RUN}@{commit}").run_dir == first.run_dir
    assert hub.asked == []  # a commit never changes


def test_what_is_to_be_private_does_not_go_into_a_public_repository(hub, trained, capsys):
    metarl.push(trained, RUN)
    assert main(["push", str(trained.run_dir), RUN, "--private"]) == 1
    assert "alice/nav is there already, and public" in capsys.readouterr().err
    assert len(hub.repositories[RUN].commits) == 2


def test_another_project_s_repository_is_not_written_over(hub, trained, capsys):
    hub.add(RUN, {"model.safetensors": b"", "config.json": b"{}"})
    assert main(["push", str(trained.run_dir), RUN]) == 2
    assert "holds something that is no run of metarl (config.json)" in one_line_error(capsys)
    assert set(hub.repositories[RUN].files()) == {"model.safetensors", "config.json"}


def test_verbs_take_an_address_and_write_beside_the_copy_alone(hub, trained, tmp_path, capsys):
    hub.add(RUN, files_of(trained.run_dir))
    assert main(["evaluate", f"hf://{RUN}", "--workers", "0", "--tasks", "2"]) == 0
    (copy,) = Path("runs/hub").iterdir()
    assert copy.name == f"alice--nav@{hub.repositories[RUN].branches['main'][:10]}"
    assert len(json.loads((copy / "evaluation.json").read_text())["tasks"]) == 2
    cached = tmp_path / "cache" / "models--alice--nav" / "snapshots"
    (snapshot,) = cached.iterdir()
    original = (trained.run_dir / "evaluation.json").read_bytes()
    assert (snapshot / "evaluation.json").read_bytes() == original
    assert not any(each.is_symlink() for each in copy.rglob("*"))
    assert main(["report", f"hf://{RUN}"]) == 0
    assert main(["export", f"hf://{RUN}", "--format", "metarl"]) == 0
    assert {"report.html", "policy-metarl.safetensors"} <= {it.name for it in copy.iterdir()}
    told = capsys.readouterr()
    assert "2 held-out tasks" in told.out
    assert f"is the copy in {copy}" in told.err


def test_a_pulled_run_is_trained_further(hub, trained, capsys):
    hub.add(RUN, files_of(trained.run_dir))
    assert main(["pull", RUN, "--run-dir", "mine"]) == 0
    assert capsys.readouterr().out == "mine: maml-trpo on navigation-2d\n"
    again = ["train", "--run-dir", "mine", "--resume", "--iterations", "3", "--workers", "0"]
    assert main(again) == 0
    assert metarl.load("mine").iteration == 3
    assert main(["pull", f"hf://{RUN}", "--run-dir", "mine"]) == 0  # what was added stays
    assert metarl.load("mine").iteration == 3
    capsys.readouterr()
    hub.add(RUN, files_of(trained.run_dir))
    assert main(["pull", RUN, "--run-dir", "mine"]) == 2
    assert "mine exists already and is not the copy of" in one_line_error(capsys)
    assert main(["train", "--run-dir", f"hf://{RUN}", "--resume"]) == 2
    assert "training writes into a folder of yours: metarl pull" in one_line_error(capsys)
    assert main(["watch", f"hf://{RUN}", "--once"]) == 2
    assert "does not grow" in one_line_error(capsys)


def test_only_files_of_a_run_are_fetched(hub, trained, tmp_path):
    files = files_of(trained.run_dir)
    strange = ["weights.pkl", "setup.py", "videos/page.html", "report.html", "evaluation.svg"]
    strange += ["checkpoints/iteration-000001/state.json", "hub.json", "failures/episode-1.json"]
    hub.add(RUN, {**files, **dict.fromkeys(strange, b"print('here')")})
    copy = metarl.load(f"hf://{RUN}").run_dir
    fetched = {it.partition("/resolve/")[2].partition("/")[2] for it in hub.asked}
    assert fetched - {""} == set(files_of(copy)) - {ORIGIN_FILE}
    assert not fetched & set(strange)
