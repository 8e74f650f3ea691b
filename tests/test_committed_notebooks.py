"""The notebooks of the documentation run, and hold what their own code has given."""

import base64
import importlib
import io
import json
import math
import re
import sys
from pathlib import Path

import av
import pytest

pytestmark = pytest.mark.whole_runs

pytest.importorskip("ipykernel")
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "notebooks"
NAMES = sorted(file.stem for file in FOLDER.glob("*.ipynb"))
LARGEST = 1_000_000
STRICT = """
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", module="ipykernel")
"""
UNWANTED = re.compile(rf"Traceback|Warning|{re.escape(str(ROOT))}|/home/|/root/|/tmp/|\x1b")
"""What no reader is to see: errors, warnings, folders of a machine, colours of a terminal."""


@pytest.fixture
def script(monkeypatch):
    """What executes the notebooks."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    yield importlib.import_module("run_notebooks")
    for name in ("run_notebooks", "shared"):
        sys.modules.pop(name, None)


@pytest.fixture
def execute(script, tmp_path, monkeypatch):
    """Give a function that executes a notebook at a size of seconds, with warnings as errors.

    It gives the notebook, and the values of expressions at its end.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def executed(name, **wanted):
        notebook = script.read(name)
        script.give_parameters(notebook, script.SMALL[name])
        asked = ", ".join(f"{key!r}: {value}" for key, value in wanted.items())
        strict = nbformat.v4.new_code_cell(STRICT)
        asking = nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({{{asked}}}))")
        notebook.cells = [strict, *notebook.cells, asking]
        script.execute(notebook, tmp_path)
        (answer,) = notebook.cells.pop().outputs
        return notebook, json.loads(answer.text)

    return executed


def outputs(notebook, kind):
    """Give all that cells show in a format, in order."""
    shown = [it for cell in notebook.cells for it in cell.get("outputs", []) if "data" in it]
    return [it.data[kind] for it in shown if kind in it.data]


def printed(notebook):
    """Give all text that cells print."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "".join(it.get("text", "") for cell in cells for it in cell.outputs)


def pictures(notebook):
    """Count the pictures; each is one."""
    found = [base64.b64decode(it) for it in outputs(notebook, "image/png")]
    assert all(it.startswith(b"\x89PNG") for it in found)
    return len(found)


def test_a_trained_policy_adapts_to_the_readers_goal_and_is_seen(execute):
    notebook, found = execute(
        "adapt-a-policy",
        goal="GOAL",
        returns="[total for _, total in played]",
        ends="[path[-1].tolist() for path, _ in played]",
        held_out="evaluation.mean_return.tolist()",
    )
    before, after = found["returns"]
    assert after > before / 3
    distances = [math.dist(end, found["goal"]) for end in found["ends"]]
    assert distances[1] < 0.1 < distances[0]
    assert found["held_out"][1] > found["held_out"][0]
    said = "runs/trained/navigation-2d: adapting to 3 held-out tasks: 3 of 3"
    assert said in outputs(notebook, "text/plain")
    assert f"after 0 gradient steps: {before:6.1f}" in printed(notebook)
    assert "the same return: True" in printed(notebook)
    (table,) = (it for it in outputs(notebook, "text/plain") if "gain, 0 → 1" in it)
    assert f"{found['held_out'][1]:.2f}" in table
    assert pictures(notebook) == 2

    (clip,) = outputs(notebook, "text/html")
    (data,) = re.findall(r'^<video [^>]*src="data:video/mp4;base64,([^"]+)"', clip)
    with av.open(io.BytesIO(base64.b64decode(data))) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == 1 + 100  # the horizon


def test_the_readers_environment_is_checked_trained_on_and_evaluated(execute, script):
    notebook, found = execute(
        "your-environment",
        failed="[verdict.name for verdict in verdicts if not verdict.passed]",
        checked="len(verdicts)",
        env_steps="run.metrics[-1]['env_steps']",
        gains="gains",
        returns="evaluation.per_task_return.tolist()",
        angles="[len(it.get_xdata()) for axes in panels for it in axes.get_lines()]",
    )
    small = script.SMALL["your-environment"]
    assert found["failed"] == []
    assert len(re.findall("^pass ", printed(notebook), re.M)) == found["checked"] > 10
    of_each = small["TASKS_PER_BATCH"] * small["EPISODES"] * 30
    assert found["env_steps"] == small["ITERATIONS"] * of_each * 2
    progress = outputs(notebook, "text/plain")[0]
    assert re.match(r"iteration 2/2   return -\d+\.\d+ → -\d+\.\d+ ", progress)
    assert len(found["gains"]) == len(found["returns"]) == small["HELD_OUT_TASKS"]
    assert all(-1 <= gain <= 1 for gain in found["gains"])
    assert all(len(returns) == 1 + 3 for returns in found["returns"])
    assert found["angles"] == [31] * 4
    assert pictures(notebook) == 4


def test_two_families_are_compared_at_equal_experience(execute, script):
    notebook, found = execute(
        "two-families",
        agents="[one.agent for one in comparison.found]",
        experience="[one.joint.experience for one in comparison.found]",
        iterations="[gradient.iteration, memory.iteration]",
        tasks="[len(one.joint.per_task) for one in comparison.found]",
        axis="comparison.plot().axes[0].get_xlabel()",
    )
    small = script.SMALL["two-families"]
    assert found["agents"] == ["maml-trpo", "rl2"]
    of_gradient, of_memory = found["experience"]
    assert of_gradient[:2] == [0, 20 * 20]
    assert of_memory == [0, 20, 40]
    assert found["iterations"] == [1, 1]
    assert found["tasks"] == [small["HELD_OUT_TASKS"]] * 2
    assert found["axis"].startswith("environment steps in the task, used for adaptation")
    (table,) = (it for it in outputs(notebook, "text/plain") if "env steps used" in it)
    assert "maml-trpo" in table
    assert "rl2" in table
    assert pictures(notebook) == 1


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_was_given_by_the_code_that_is_committed(name, script):
    notebook = script.read(name)
    nbformat.validate(notebook)
    said = f"run scripts/run_notebooks.py {name}"
    assert notebook.metadata.metarl.executed_code == script.code_digest(notebook), said
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), said
    given = [output for cell in cells for output in cell.outputs]
    assert "error" not in {output.output_type for output in given}
    texts = [it.get("text", "") for it in given] + outputs(notebook, "text/plain")
    assert [text for text in texts if UNWANTED.search(text)] == []
    assert (FOLDER / f"{name}.ipynb").stat().st_size < LARGEST


@pytest.mark.parametrize("name", NAMES)
def test_the_returns_in_the_text_are_those_of_the_outputs(name, script):
    notebook = script.read(name)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    shown = "\n".join(outputs(notebook, "text/plain"))
    said = set(re.findall(r"-\d+\.\d\d\b", text))
    assert said <= set(re.findall(r"-\d+\.\d\d\b", shown))
    assert said or name != "two-families"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_says_what_it_does_and_needs_the_front_door_alone(name, script):
    notebook = script.read(name)
    assert notebook.cells[0].cell_type == "markdown"
    assert re.match(r"# .+\n\n.+In\sthis\snotebook\syou\n", notebook.cells[0].source, re.DOTALL)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code = "\n".join(cell.source for cell in cells)
    imported = set(re.findall(r"^(?:import|from) ([\w.]+)", code, re.MULTILINE))
    assert imported <= {"metarl", "gymnasium", "numpy", "matplotlib.pyplot"}


def test_there_is_a_small_size_for_each_notebook_and_each_has_a_test(script):
    tested = re.findall(r'execute\(\s*"([\w-]+)"', Path(__file__).read_text())
    assert NAMES == sorted(script.SMALL) == sorted(tested)


def test_other_parameters_must_be_ones_that_there_are(script):
    notebook = script.read("two-families")
    with pytest.raises(ValueError, match=r"the parameters are .*'ENV_STEPS'.*, not \['STEPS'\]"):
        script.give_parameters(notebook, {"STEPS": 2})
