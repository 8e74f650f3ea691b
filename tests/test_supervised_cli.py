"""Supervised problems through the command line: train, evaluate, report, list, and bad input."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from building import without_times

from metarl.cli import main
from metarl_envs.sinusoid import Sinusoid

pytestmark = pytest.mark.whole_runs

SMALL = ["--tasks-per-batch", "3", "--hidden-sizes", "4", "--record-interval", "2"]
SMALL += ["--checkpoint-interval", "2", "--test-tasks", "5", "--test-queries", "7"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(*arguments, preset="sinusoid"):
    return main(["train", preset, *SMALL, *map(str, arguments)])


def metrics(run_dir):
    return [json.loads(line) for line in (Path(run_dir) / "metrics.jsonl").read_text().splitlines()]


def one_line_error(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


def test_training_computes_with_one_thread_and_records_the_session(monkeypatch):
    seen, drawn = [], Sinusoid.sample

    def sample(*arguments):
        seen.append(torch.get_num_threads())
        return drawn(*arguments)

    monkeypatch.setattr(Sinusoid, "sample", sample)
    torch.set_num_threads(2)
    try:
        assert train("--iterations", 2, "--seed", 7) == 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert set(seen) == {1}
    (line,) = Path("runs/sinusoid/sessions.jsonl").read_text().splitlines()
    assert json.loads(line)["seed"] == 7
    assert json.loads(line)["command"].startswith("metarl train sinusoid --tasks-per-batch 3")


def test_train_evaluate_and_report(capsys):
    for agent in ("maml", "pretrained", "oracle"):
        assert train("--iterations", 4, "--agent", agent) == 0
    assert [record["iteration"] for record in metrics("runs/sinusoid")] == [2, 4]
    assert (Path("runs/sinusoid-oracle/config.json")).exists()

    small = ["--adaptation-steps", "3", "--shots", "5", "10"]
    assert main(["evaluate", "runs/sinusoid", "--baselines", *small]) == 0
    found = json.loads(Path("runs/sinusoid/evaluation.json").read_text())
    assert found["measure"] == "mean squared error"
    keys = [(curve["agent"], curve["shots"], len(curve["mean"])) for curve in found["curves"]]
    steps = {"maml": 4, "random": 4, "pretrained": 4, "oracle": 1}
    assert keys == [(agent, shots, n) for agent, n in steps.items() for shots in (5, 10)]
    for curve in found["curves"]:
        for mean, (low, high) in zip(curve["mean"], curve["ci95"], strict=True):
            assert low <= mean <= high
    assert Path("runs/sinusoid/examples.svg").exists()
    lines = json.loads(Path("runs/sinusoid/examples.json").read_text())
    assert {(line["model"], line["task"]) for line in lines} == {
        (agent, task) for agent in steps for task in (1, 2)
    }

    assert main(["report", "runs/sinusoid", "runs/sinusoid-oracle", "-o", "page.html"]) == 0
    page = Path("page.html").read_text()
    assert set(re.findall(r"\w+://[^\"'\s<]*", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert page.count('<svg role="img"') == 3  # learning, and a figure for each number of shots
    assert page.count("<img") == 1  # what evaluate drew of single tasks
    assert "maml, published" in page


def test_a_run_that_was_interrupted_and_resumed_equals_one_that_was_not():
    assert train("--iterations", 6, "--run-dir", "whole") == 0
    program = (
        "import sys, signal, os\n"
        "from metarl.cli import main\n"
        "from metarl.runs import session as s\n"
        "append = s.MetricsFile.append\n"
        "def stop(self, record):\n"
        "    append(self, record)\n"
        "    if record['iteration'] == 4: os.kill(os.getpid(), signal.SIGINT)\n"
        "s.MetricsFile.append = stop\n"
        "sys.exit(main())"
    )
    arguments = ["train", "sinusoid", *SMALL, "--iterations", "6", "--run-dir", "parts"]
    stopped = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
    )
    assert stopped.returncode == 130, stopped.stderr
    said = re.search(r"go on with: metarl (train .*)", stopped.stderr)[1]
    assert main(said.split()) == 0
    assert without_times(metrics("parts")) == without_times(metrics("whole"))
    parts, whole = (
        (Path(run_dir) / "checkpoints/iteration-000006/parameters.safetensors").read_bytes()
        for run_dir in ("parts", "whole")
    )
    assert parts == whole


def test_a_finished_run_goes_on_to_more_iterations(capsys):
    assert train("--iterations", 2, "--run-dir", "r") == 0
    assert main(["train", "--run-dir", "r", "--resume"]) == 0
    assert "go on with --iterations 4 --resume" in capsys.readouterr().out
    assert main(["train", "--run-dir", "r", "--resume", "--iterations", "4"]) == 0
    assert [record["iteration"] for record in metrics("r")] == [2, 4]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "sinusoid", "--iterations", "50"], "iterations = 50 must be a multiple of rec"),
        (["train", "sinusoid", "--inner-learning-rate", "-1"], "inner_learning_rate = -1.0 must"),
        (["train", "sinusoid", "--network", "convolutional"], "needs images"),
        (["train", "sinusoid", "--largest-amplitude", "0"], "largest_amplitude = 0.0 must"),
        (["train", "sinusoid", "--max-kl", "1"], "--max-kl"),
        (["train", "sinusoid", "--device", "cuda:7"], "device = 'cuda:7'"),
        (["evaluate", "r", "--baselines"], "metarl train sinusoid --agent pretrained"),
        (["render", "r"], "r is a run of problem 'sinusoid', not of an environment"),
        (["export", "r", "--task", "1"], "not of an environment"),
        (["check", "--preset", "sinusoid"], "sinusoid"),
        (["train", "--run-dir", "r", "--resume", "--seed", "9"], "seed was 1 and is now 9"),
        (
            ["train", "--run-dir", "r", "--resume", "--agent", "pretrained", "--iterations", "4"],
            "agent was 'maml' and is now 'pretrained'",
        ),
        (["train", "sinusoid", "--run-dir", "r"], "r exists already"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, words, capsys):
    assert train("--iterations", 2, "--run-dir", "r") == 0
    capsys.readouterr()
    assert main(arguments) == 2
    assert words in one_line_error(capsys)


def test_help_shows_the_problems_own_flags(capsys):
    with pytest.raises(SystemExit):
        main(["train", "sinusoid", "--help"])
    shown = capsys.readouterr().out
    assert "--largest-amplitude" in shown
    assert "--record-interval" in shown
    assert "--max-kl" not in shown


def test_the_listing_has_problems_and_their_presets(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "problems of metarl-suite" in shown
    assert "problem sinusoid" in shown
