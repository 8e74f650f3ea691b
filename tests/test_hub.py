"""Runs on the Hugging Face hub, against a small hub of our own on the loopback address."""

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hub_server import TOKEN, running_hub
from huggingface_hub import ModelCard, constants

import metarl
from metarl.cli import main
from metarl.runs.hub_runs import ORIGIN_FILE

pytestmark = [
    pytest.mark.whole_runs,
    # The library's own, of what carries its requests.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]

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
RESULTS = Path(__file__).parent.parent / "results"


@pytest.fixture(scope="module")
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


def test_the_card_has_the_numbers_of_the_evaluation(hub, trained):
    card = ModelCard(metarl.push(trained, RUN, license="cc-by-4.0").card)
    found = json.loads((trained.run_dir / "evaluation.json").read_text())
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "metarl")
    assert {"reinforcement-learning", "meta-reinforcement-learning"} <= set(card.data.tags)
    assert {"maml-trpo", "Navigation2D-v0"} <= set(card.data.tags)
    assert [it.metric_value for it in card.data.eval_results] == np.round(
        found["mean_return"], 4
    ).tolist()
    assert [it.metric_args["ci95"] for it in card.data.eval_results] == np.round(
        found["ci95"], 4
    ).tolist()
    assert {it.metric_type for it in card.data.eval_results} == {"mean_reward"}
    for mean, (low, high) in zip(found["mean_return"], found["ci95"], strict=True):
        assert f"{mean:.2f} [{low:.2f}, {high:.2f}]" in card.text
    for line in (
        f"metarl evaluate hf://{RUN}",
        f"metarl pull hf://{RUN} --run-dir runs/nav",
        "metarl train --run-dir runs/nav --resume --iterations 4",
        f'run = metarl.load("hf://{RUN}")',
        "![Means against units of adaptation](evaluation.png)",
    ):
        assert line in card.text


def test_the_card_has_what_the_source_gives_beside_it():
    card = ModelCard(metarl.push(RESULTS / "navigation-2d", RUN, dry_run=True).card)
    assert "| maml-trpo | -41.09 [-44.81, -37.28] | -10.76 [-12.83, -8.80] |" in card.text
    assert "| maml-trpo, published | -40.41 | -11.68 | -3.33 | -3.23 |" in card.text
    assert [it.metric_value for it in card.data.eval_results][:2] == [-41.0921, -10.7616]


def test_the_card_claims_nothing_without_an_evaluation(run):
    (run.run_dir / "evaluation.json").unlink()
    card = ModelCard(metarl.push(run, RUN, dry_run=True).card)
    assert card.data.eval_results is None
    assert "Not evaluated on held-out tasks, so nothing is claimed here." in card.text
    assert f"`metarl evaluate hf://{RUN}` measures it" in card.text
    assert (
        "In training, on the tasks of the last meta-batch (iteration 2): mean return" in card.text
    )


def test_the_card_of_a_run_without_its_experience_promises_no_training(run):
    checkpoint = run.run_dir / "checkpoints" / "iteration-000002"
    (checkpoint / "experience.safetensors").write_bytes(b"much")
    upload = metarl.push(run, RUN, dry_run=True)
    assert upload.left_out["checkpoints/iteration-000002/experience.safetensors"] == 4
    assert "It cannot be trained further" in upload.card
    assert "--resume" not in upload.card


def test_the_card_says_what_has_to_be_trusted():
    run = metarl.train(env_id="early_ends:EarlyEnds-v0", iterations=1, **TINY)
    card = metarl.push(run, RUN, dry_run=True).card
    assert f"metarl pull hf://{RUN} --trust" in card
    assert "config.json names code of no installed plug-in: environment 'early_ends:" in card


@pytest.mark.parametrize(
    ("iterations", "doubt"),
    [
        ([1], "Measured after 1 iteration, while the checkpoint here is of 2."),
        ([2, 2, 2], "These are means over 3 seeds, of which this repository holds one."),
        ([], "The evaluation does not record of which checkpoint it is."),
    ],
)
def test_numbers_that_are_not_this_checkpoints_are_named_and_not_listed(run, iterations, doubt):
    file = run.run_dir / "evaluation.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "iterations": iterations}))
    card = ModelCard(metarl.push(run, RUN, dry_run=True).card)
    assert card.data.eval_results is None
    assert doubt in card.text


def test_a_supervised_problem_has_a_card_as_well(hub):
    options = {"tasks_per_batch": 3, "hidden_sizes": (4,), "record_interval": 1, "workers": 0}
    options |= {"checkpoint_interval": 1, "test_tasks": 4, "test_queries": 5}
    run = metarl.train("sinusoid", iterations=2, run_dir="sin", progress=False, **options)
    run.evaluate(workers=0)
    card = ModelCard(metarl.push(run, "alice/sin").card)
    assert {it.dataset_config for it in card.data.eval_results} == {"5-shot", "10-shot", "20-shot"}
    assert {it.metric_type for it in card.data.eval_results} == {"mse"}
    assert "run.adapt" not in card.text
    assert metarl.load("hf://alice/sin").iteration == 2


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


def hostile(trained, **changes):
    """Give the files of a run whose configuration names something else."""
    files = files_of(trained.run_dir)
    table = {**json.loads(files["config.json"]), **changes}
    return {**files, "config.json": json.dumps(table).encode()}


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """Put a module where Python finds it, and say whether somebody has imported it."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "canary_of_the_hub.py").write_text("AGENT = None\n")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    yield lambda: "canary_of_the_hub" in sys.modules
    sys.modules.pop("canary_of_the_hub", None)


WRAPPED = "metarl.tasks:metarl/Wrapped-v0"
TASK = {"g": {"attribute": "g", "low": 9.0, "high": 10.0}}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"agent": "canary_of_the_hub:AGENT"}, "agent 'canary_of_the_hub:AGENT'"),
        ({"env_id": "canary_of_the_hub:Env-v0"}, "environment 'canary_of_the_hub:Env-v0'"),
        ({"env_id": "Nothing-v0"}, "environment 'Nothing-v0'"),
        (
            {"env_id": WRAPPED, "env_kwargs": {"env_id": "canary_of_the_hub:E-v0", "task": TASK}},
            "environment 'canary_of_the_hub:E-v0'",
        ),
        (
            {
                "env_id": WRAPPED,
                "env_kwargs": {
                    "env_id": "Pendulum-v1",
                    "task": TASK,
                    "wrappers": [{"wrapper": "canary_of_the_hub:Wrapper"}],
                },
            },
            "'canary_of_the_hub:Wrapper'",
        ),
        (
            {
                "env_id": WRAPPED,
                "env_kwargs": {
                    "env_id": "Pendulum-v1",
                    "task": TASK,
                    "wrappers": ["gymnasium.wrappers:RecordVideo"],
                },
            },
            "'gymnasium.wrappers:RecordVideo'",
        ),
        (
            {
                "env_id": "metarl_envs:metarl/HalfCheetahDir-v0",
                "env_kwargs": {"family": "os:system", "command": "touch harm"},
            },
            "'os:system'",
        ),
        (
            {
                "env_id": "metarl_envs:metarl/HalfCheetahDir-v0",
                "env_kwargs": {"family": "canary_of_the_hub"},
            },
            "family = 'canary_of_the_hub' in the place of code",
        ),
        ({"agent": "no-such-agent"}, "unknown agent 'no-such-agent'"),
        ({"description": "\x1b]0;mine\x07"}, "control characters"),
    ],
)
def test_a_stranger_s_run_names_no_code_but_that_of_installed_plug_ins(
    hub, trained, canary, capsys, changes, named
):
    hub.add(RUN, hostile(trained, **changes))
    assert main(["evaluate", f"hf://{RUN}"]) == 2
    told = one_line_error(capsys)
    assert f"metarl evaluate: error: hf://{RUN}: " in told
    assert named in told
    assert f"metarl pull hf://{RUN} --trust" in told
    assert not canary()
    assert not Path("harm").exists()
    assert not list(Path().rglob("config.json"))


def test_a_stranger_s_problem_is_refused_likewise(hub, canary, capsys):
    options = {"tasks_per_batch": 3, "hidden_sizes": (4,), "record_interval": 1, "workers": 0}
    run = metarl.train(
        "sinusoid", iterations=1, run_dir="s", progress=False, checkpoint_interval=1, **options
    )
    hub.add(RUN, hostile(run, problem="canary_of_the_hub:AGENT"))
    assert main(["evaluate", f"hf://{RUN}"]) == 2
    assert "names code of no installed plug-in: problem 'canary" in one_line_error(capsys)
    assert not canary()


def test_code_of_one_s_own_is_taken_on_trust_and_the_copy_keeps_it(hub, trained, canary, capsys):
    hub.add(RUN, hostile(trained, agent="canary_of_the_hub:AGENT"))
    run = metarl.load(f"hf://{RUN}", trust=True)
    assert not canary()  # until something is done with it
    with pytest.raises(metarl.MetarlError, match="AGENT is no AgentSpec but NoneType"):
        metarl.load(f"hf://{RUN}").adapt(steps=0)
    assert canary()
    assert json.loads((run.run_dir / ORIGIN_FILE).read_text())["trusted"] is True


@pytest.mark.parametrize("preset", ["navigation-2d", "minigrid-four-rooms", "point-maze"])
def test_runs_of_installed_presets_need_no_trust(hub, trained, preset):
    changes = {}
    if preset != "navigation-2d":
        config = metarl.api.starting_point.load_preset(preset)
        changes = {"env_id": config.env_id, "env_kwargs": config.env_kwargs}
    hub.add(RUN, hostile(trained, **changes))
    assert metarl.load(f"hf://{RUN}").config.env_id


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
