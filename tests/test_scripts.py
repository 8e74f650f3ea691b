"""What is committed can be run: every script, at a size that takes seconds."""

import importlib.util
import json
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from metarl import cli

pytestmark = pytest.mark.whole_runs

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"
IMPORTED = (ROOT, ROOT / "envs", ROOT / "agents")
HELPERS = {"shared"}
"""What no one runs; the scripts import it."""
AGENTS = {"authors_curvature"}
"""What `metarl train --agent` runs."""
TRAINING = "--iterations 2 --tasks-per-batch 2 --episodes-per-task 2 --horizon 10 --test-tasks 2"
TRAINING += " --workers 0 --no-tensorboard"
MULTITASK = "--output {folder} --small --workers 0"


@dataclass(frozen=True)
class Case:
    """Words for a script, in a folder where a run lies in `run`, and the files that it promises."""

    words: str
    promised: tuple[str, ...] = ()
    said: str = ""
    """What it prints."""
    needs: tuple[str, ...] = ()
    """Modules without which it cannot run."""
    given: str = ""
    """A file of results/ that lies in the folder before."""


def _benchmark(name: str, words: str, *more: str, needs: tuple[str, ...] = ()) -> Case:
    files = (f"{name}.json", f"{name}.md", *(f"{name}{ending}" for ending in more))
    return Case(f"--output . --small {words}", files, needs=needs)


BATCH = ("mujoco.batch",)
EVALUATION = ("evaluation.json", "evaluation.png")
CASES = {
    "authors_curvature": [
        Case(
            f"navigation-2d --agent authors_curvature:SPEC --run-dir theirs {TRAINING}",
            ("theirs/config.json", "theirs/metrics.jsonl"),
        )
    ],
    "benchmark_baselines": [_benchmark("baselines", "--rounds 1", needs=("sb3_contrib", *BATCH))],
    "benchmark_dealing": [_benchmark("dealing", "--rounds 1", needs=BATCH)],
    "benchmark_environments": [_benchmark("environments", "--rounds 1", needs=BATCH)],
    "benchmark_gpu": [_benchmark("gpu", "--device cpu", needs=("mujoco_warp", *BATCH))],
    "benchmark_iteration": [_benchmark("iteration", "--rounds 1", needs=BATCH)],
    "benchmark_memory": [_benchmark("memory", "--iterations 2", needs=BATCH)],
    "benchmark_memory_agents": [_benchmark("memory_agents", "--rounds 1", needs=("sb3_contrib",))],
    "benchmark_pearl": [_benchmark("pearl", "--rounds 1", needs=("stable_baselines3",))],
    "benchmark_scaling": [_benchmark("scaling", "--rounds 2", ".png", needs=BATCH)],
    "benchmark_single_environments": [
        _benchmark("single_environments", "--rounds 1", needs=("gymnasium_robotics", "minigrid"))
    ],
    "benchmark_supervised": [_benchmark("supervised", "--rounds 1")],
    "benchmark_workers": [_benchmark("workers", "--rounds 1", needs=("ray",))],
    "compare_agents": [
        Case(
            "--output . --small --workers 0",
            ("README.md", "curves.json", "curves.png", *EVALUATION),
        )
    ],
    "compare_curvature_fractions": [
        Case("--output . --small --workers 0", ("README.md", "curves.png", "navigation-2d.json"))
    ],
    "compare_long_navigation": [
        Case(
            "--output {folder} --small --workers 0",
            ("README.md", "summary.json", "std-0.5/seed-1/metrics.jsonl"),
        )
    ],
    "compare_mdp_priors": [
        Case("--output priors --small", ("priors/summary.json", "priors/README.md"), "ucrl2")
    ],
    "compare_outer_steps": [Case("run --output .", ("README.md", "outer_steps.json"))],
    "compare_soft_actor_critic": [
        Case(
            "--output . --small",
            ("README.md", "returns.json", "training.png"),
            needs=("stable_baselines3",),
        )
    ],
    "draw_concepts": [Case("--output .", ("concept-task.svg", "concept-posterior.svg"))],
    "draw_maml": [Case("--iterations 20 -o maml.png", ("maml.png",), "in closed form")],
    "evaluate_by_transitions": [Case("run --output counted.json", ("counted.json",))],
    "evaluate_untrained": [
        Case(
            "half-cheetah-dir-finn2017 --learning-rates 1 --episodes-per-task 1 "
            "--change friction-1.0",
            said="standard error",
        )
    ],
    "minimal_maml": [
        Case("--iterations 1 --tasks 2 --episodes 2 --horizon 10", said="iteration 1: return")
    ],
    "plot_run": [Case("run -o drawn/run.png", ("drawn/run.png",))],
    "reproduce_inference_agents": [
        Case(
            "semicircle-dense sinusoid --output {folder} --small --workers 0",
            (
                "README.md",
                *(f"semicircle-dense/{file}" for file in EVALUATION),
                "semicircle-dense/few_episodes.json",
                "semicircle-dense/semicircle-dense-pearl/seed-1/metrics.jsonl",
                "sinusoid/summary.json",
            ),
        )
    ],
    "reproduce_memory_agents": [
        Case(
            "grid-navi-rl2 --output {folder} --small --workers 0",
            (
                "README.md",
                *(f"grid-navi-rl2/{file}" for file in ("learning.png", "evaluation.png")),
                "grid-navi-rl2/summary.json",
                "grid-navi-rl2/seed-1/metrics.jsonl",
            ),
        ),
        Case("grid-navi-rl2 --ship --trained {folder}", ("grid-navi-rl2/config.json",)),
    ],
    "reproduce_multitask": [
        Case(
            MULTITASK,
            (
                "README.md",
                "summary.json",
                "seed-1/metrics.jsonl",
                "seed-1/checkpoints/iteration-000002/manifest.json",
            ),
        )
    ],
    "reproduce_paper": [
        Case(
            "navigation-2d --output {folder} --small --workers 0",
            (
                "README.md",
                "navigation-2d/learning.png",
                *(f"navigation-2d/{file}" for file in EVALUATION),
                "navigation-2d/seed-1/metrics.jsonl",
            ),
        ),
        Case(
            "half-cheetah-dir --ship --trained {folder}",
            ("half-cheetah-dir-finn2017/config.json",),
        ),
    ],
    "reproduce_supervised": [
        Case("sinusoid --output . --small", tuple(f"sinusoid/{file}" for file in EVALUATION)),
        # Its training is as the other's; the drawing of characters alone takes ten seconds.
        Case(
            "characters --output . --small --cells",
            ("characters/README.md",),
            given="characters/5-way-1-shot-convolutional/evaluation.json",
        ),
    ],
    "run_notebooks": [
        Case("adapt-a-policy --small --output .", ("adapt-a-policy.ipynb",), said="KiB")
    ],
    "show_seeds": [
        Case(
            "--output seeds --small",
            ("seeds/README.md", "seeds/seeds.json", "seeds/half-cheetah-dir.png"),
        )
    ],
    "write_gallery": [
        Case(
            "--output . --draw Navigation2D",
            ("gallery.md", "images/environments/Navigation2D.png"),
        )
    ],
    "write_goal_page": [Case("-o page.html", ("page.html",), said="KiB")],
    "write_presets": [Case("--output .", ("presets.md",))],
    "write_reliability": [Case("--output .", ("reliability.md",))],
}


@pytest.fixture(autouse=True)
def scripts_here(monkeypatch, tmp_path):
    """In a folder of its own, whose scripts call `metarl` in this process: torch is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setattr("shared.metarl", metarl_here)
    # Ray's workers start when they are needed, and wait for no other program.
    monkeypatch.setenv("RAY_prestart_worker_first_driver", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    yield
    for name in CASES.keys() | HELPERS:
        sys.modules.pop(name, None)


def metarl_here(*arguments, deadline=None):
    words = list(map(str, arguments))
    if words[0] in {"train", "evaluate"} and "--workers" not in words:
        words += ["--workers", "0"]
    assert cli.main(words) == 0, words
    return True


def run_here(name: str, words: list[str], monkeypatch) -> None:
    """Run a script as Python does, but in this process."""
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
    try:
        runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise AssertionError(f"{name} ended with {end.code}") from end


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained and evaluated run."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    metarl_here("train", "navigation-2d", "--run-dir", folder, *TRAINING.split())
    metarl_here("evaluate", folder, "--workers", "0")
    return folder


def check(file: Path) -> None:
    """Hold a file to what its name says."""
    if file.suffix == ".json":
        assert json.loads(file.read_text())
    elif file.suffix == ".jsonl":
        assert all(json.loads(line) for line in file.read_text().splitlines())
    elif file.suffix == ".svg":
        assert ElementTree.parse(file).getroot().tag.endswith("svg")
    elif file.suffix == ".md":
        assert "\n|---|" in file.read_text()
    elif file.suffix == ".ipynb":
        assert json.loads(file.read_text())["metadata"]["metarl"]["executed_code"]
    elif file.suffix == ".html":
        assert file.read_text().startswith("<!DOCTYPE html>")
    else:
        assert file.read_bytes().startswith(b"\x89PNG")


def missing(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:  # the package around it
        return True


def test_every_script_has_a_case():
    assert {file.stem for file in SCRIPTS.glob("*.py")} == set(CASES) | HELPERS


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(name, case, id=f"{name} {case.words.split()[0]}" if len(cases) > 1 else name)
        for name, cases in CASES.items()
        for case in cases
    ],
)
def test_a_script_runs_and_writes_what_it_promises(
    name, case, request, tmp_path, monkeypatch, capsys
):
    for module in case.needs:
        if missing(module):
            pytest.skip(f"needs {module}")
    if case.given:
        (tmp_path / case.given).parent.mkdir(parents=True)
        shutil.copy(ROOT / "results" / case.given, tmp_path / case.given)
    words = case.words.format(folder=tmp_path).split()
    if words[0] == "run":
        words[0] = str(request.getfixturevalue("run"))

    if name in AGENTS:
        metarl_here("train", *words)
    else:
        run_here(name, words, monkeypatch)

    assert case.said in capsys.readouterr().out
    for file in case.promised:
        check(tmp_path / file)


def test_a_script_is_a_command_and_calls_metarl_as_one(tmp_path):
    """The others run in this process; this one as its users run it."""
    done = subprocess.run(
        [
            sys.executable,
            SCRIPTS / "reproduce_multitask.py",
            *MULTITASK.format(folder=tmp_path).split(),
        ],
        # Before what is installed: this checkout, as pytest itself found it.
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, IMPORTED)),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    check(tmp_path / "summary.json")
