"""The report: the numbers of the files, nothing from outside, and what is missing named."""

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from metarl.cli import main
from metarl.experiments.curves import summarise
from metarl.reports.evaluations import Evaluation, read_evaluation
from metarl.reports.figures import Panel
from metarl.reports.report import render_page
from metarl.reports.report_figures import learning_figures, time_figure
from metarl.reports.run_contents import read_run
from metarl.reports.sections import EvaluatedTasks, evaluated_tasks
from metarl.reports.task_figures import task_figure

pytestmark = pytest.mark.whole_runs

RESULTS = Path(__file__).parent.parent / "results"
SMALL = ["--tasks-per-batch", "3", "--episodes-per-task", "2", "--horizon", "5", "--workers", "0"]
SMALL += ["--hidden-sizes", "4", "--test-tasks", "4", "--test-episodes-per-task", "2"]
SMALL += ["--no-tensorboard"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(run_dir, *arguments, preset="navigation-2d", iterations=2):
    options = ["--iterations", str(iterations), "--run-dir", run_dir, *arguments]
    assert main(["train", preset, *SMALL, *options]) == 0


def train_on_a_problem(run_dir):
    options = [
        "--tasks-per-batch",
        "3",
        "--hidden-sizes",
        "4",
        "--iterations",
        "2",
        "--first-order",
    ]
    options += ["--record-interval", "1", "--checkpoint-interval", "1", "--batch-norm"]
    options += ["--test-tasks", "5", "--test-queries", "7", "--test-adaptation-steps", "2"]
    assert main(["train", "sinusoid", *options, "--no-tensorboard", "--run-dir", run_dir]) == 0


def one_line_error(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


class Page(HTMLParser):
    """A page's text, and the addresses it loads from."""

    def __init__(self, file):
        super().__init__()
        self.text, self.sources, self.tags, self.without_text = "", [], [], []
        self.feed(Path(file).read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.sources += [given[name] for name in ("src", "href") if name in given]
        if tag == "img" and not given.get("alt"):
            self.without_text.append(given)

    def handle_data(self, data):
        self.text += data


def test_the_page_has_the_numbers_of_the_files_and_loads_nothing():
    train("r")
    assert main(["evaluate", "r", "--workers", "0"]) == 0
    assert main(["render", "r", "--adaptation-steps", "1"]) == 0
    assert main(["report", "r"]) == 0
    page = Page("r/report.html")
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert not page.without_text
    evaluation = json.loads(Path("r/evaluation.json").read_text())
    for mean, (low, high) in zip(evaluation["mean_return"], evaluation["ci95"], strict=True):
        assert f"{mean:.2f} [{low:.2f}, {high:.2f}]" in page.text
    assert f"{evaluation['gain']:+.2f} [" in page.text
    assert "-11.68" in page.text  # published after one step
    videos = [source for source in page.sources if source.startswith("data:video/mp4;base64,")]
    clip = base64.b64decode(videos[0].partition(",")[2])
    assert clip == Path("r/videos/task.mp4").read_bytes()
    assert "metarl evaluate" not in page.text
    assert "metarl render" not in page.text
    assert "Paths" in page.text
    assert "r was trained in 1 session" in page.text


def parts_to_try(page):
    """Give what a page's part with policies to try says about them."""
    text = Path(page).read_text(encoding="utf-8")
    return [
        json.loads(it) for it in re.findall(r'<script type="application/json">(.*)</script>', text)
    ]


def test_a_reader_tries_the_policies_of_2d_navigation_on_the_page():
    train("r")
    train("multi", "--agent", "multitask", "--inner-learning-rate", "0.3")
    train("meta", "--agent", "meta-sgd-trpo")  # learned step sizes: no one α to choose
    train("tanh", "--agent", "reptile", "--activation", "tanh")
    assert main(["report", "r", "multi", "meta", "tanh", "-o", "page.html"]) == 0
    (part,) = parts_to_try("page.html")
    maml, _, untrained = part["policies"]
    assert [it["label"] for it in part["policies"]] == ["maml-trpo", "multitask", "untrained"]
    assert (part["alpha"], part["proportions"]) == (0.5, [1, 0.5, 0.5])
    saved = load_file(max(Path("r/checkpoints").glob("*/parameters.safetensors")))
    layers = [f"mean.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")]
    theta = np.concatenate([saved[f"policy/{name}"].ravel() for name in ("log_std", *layers)])
    of_page = [np.frombuffer(base64.b64decode(it["theta"]), "<f4") for it in part["policies"]]
    np.testing.assert_array_equal(of_page[0], theta)
    assert maml["horizon"] == untrained["horizon"] == 5
    assert not np.array_equal(of_page[0], of_page[2])

    assert main(["report", "tanh", "-o", "page.html"]) == 0
    assert parts_to_try("page.html") == []
    assert "Try it" not in Page("page.html").text


def test_what_is_missing_is_named_with_its_command():
    train("r", preset="bernoulli-bandit", iterations=1)
    assert main(["report", "r", "-o", "deep/page.html"]) == 0
    page = Page("deep/page.html")
    assert "metarl evaluate r" in page.text
    assert "metarl render r" in page.text
    assert "goal" not in page.text


def test_a_run_without_an_iteration_has_a_page():
    train("r")
    Path("r/metrics.jsonl").unlink()
    assert main(["report", "r"]) == 0
    assert "Nothing was trained yet." in Page("r/report.html").text


def test_several_runs_compare_on_one_page():
    for seed in ("1", "2"):
        train(f"seed-{seed}", "--seed", seed)
        assert main(["evaluate", f"seed-{seed}", "--workers", "0"]) == 0
    train("random", "--agent", "random")
    assert main(["evaluate", "random", "--workers", "0"]) == 0
    names = ["seed-1", "seed-2", "random"]
    (it,) = evaluated_tasks([read_run(Path(name)) for name in names])
    (panel,) = it.panels
    assert list(panel.curves) == ["maml-trpo, seed 1", "maml-trpo, seed 2", "random"]
    for name, curve in zip(names, panel.curves.values(), strict=True):
        found = json.loads(Path(name, "evaluation.json").read_text())["per_task_return"]
        np.testing.assert_array_equal(curve.per_task_return, found)
    assert main(["report", *names, "-o", "page.html"]) == 0
    text = Page("page.html").text
    assert all(name in text for name in [*names, *panel.curves])


def test_runs_of_one_seed_and_other_settings_are_told_apart():
    for name, rate in (("small", "0.05"), ("large", "0.5")):
        train(name, "--inner-learning-rate", rate)
        assert main(["evaluate", name, "--workers", "0"]) == 0
    runs = [read_run(Path("small")), read_run(Path("large"))]
    (it,) = evaluated_tasks(runs)
    assert list(it.panels[0].curves) == ["maml-trpo", "maml-trpo, large"]
    assert main(["report", "small", "large", "-o", "page.html"]) == 0
    assert "seeds" not in Page("page.html").text


def test_a_page_holds_runs_of_both_kinds():
    train("r")
    assert main(["evaluate", "r", "--workers", "0"]) == 0
    train_on_a_problem("s")
    assert main(["evaluate", "s"]) == 0
    assert main(["report", "s", "r", "-o", "page.html"]) == 0
    page = Page("page.html")
    assert not page.without_text
    found = json.loads(Path("s/evaluation.json").read_text())
    for curve in found["curves"]:
        for mean, (low, high) in zip(curve["mean"], curve["ci95"], strict=True):
            assert f"{mean:.3f} [{low:.3f}, {high:.3f}]" in page.text
    gain = json.loads(Path("r/evaluation.json").read_text())["gain"]
    for words in (
        "sinusoid and navigation-2d",
        "env steps",
        "network",
        "fully-connected 4",
        "maml, first order",
        "s normalises by the statistics of the batch",
        "sinusoid: mean squared error on 5 held-out tasks",
        "adapted to",
        "maml, published",
        "0.67",
        "Single held-out tasks of s",
        "navigation-2d: 4 held-out tasks",
        f"{gain:+.2f} [",
        "metarl render r",
        "Where the time went",
    ):
        assert words in page.text, words
    drawings = base64.b64encode(Path("s/examples.svg").read_bytes()).decode()
    assert f"data:image/svg+xml;base64,{drawings}" in page.sources


def test_losses_are_drawn_as_returns_are_on_a_logarithmic_axis():
    records = [
        {"iteration": n, "pre_adaptation_loss": 8.0 / n, "post_adaptation_loss": 4.0 / n}
        for n in (2, 4)
    ]
    (drawn,) = learning_figures({"maml": [records]})
    (axes,) = drawn.figure.axes
    assert drawn.text.startswith("Loss")
    assert axes.get_yscale() == "log"
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    assert lines == {
        "maml, before adaptation": [4.0, 2.0],
        "maml, after adaptation": [2.0, 1.0],
    }


def test_of_a_problem_alone_nothing_of_environments_is_said():
    train_on_a_problem("s")
    assert main(["report", "s"]) == 0
    page = Page("s/report.html")
    assert "metarl evaluate s" in page.text
    for words in ("env steps", "Videos", "Where the time went", "metarl render"):
        assert words not in page.text


def test_names_are_text_and_never_markup():
    name = "<script>alert(1)<"
    train(name)
    page = render_page([read_run(Path(name))])
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;" in page


def test_the_same_runs_give_the_same_page():
    train("r")
    runs = [read_run(Path("r"))]
    assert render_page(runs) == render_page(runs)


def test_what_cannot_be_reported_is_told_in_a_line(capsys):
    train("r")
    capsys.readouterr()
    assert main(["report", "nowhere"]) != 0
    assert "there is no run folder" in one_line_error(capsys)
    assert main(["report"]) == 2
    assert "name a run folder" in one_line_error(capsys)
    train("s")
    capsys.readouterr()
    assert main(["report", "r", "s"]) == 2
    assert "page about several runs is written where you say: name it by" in one_line_error(capsys)
    Path("file").write_text("")
    assert main(["report", "r", "-o", "file/page.html"]) != 0
    assert "cannot write" in one_line_error(capsys)
    with Path("r/metrics.jsonl").open("a") as metrics:
        metrics.write('{"iteration": 3,')  # being written: no complaint
    assert main(["report", "r"]) == 0
    with Path("r/metrics.jsonl").open("a") as metrics:
        metrics.write("\n")
    capsys.readouterr()
    assert main(["report", "r"]) != 0
    assert "line 3" in one_line_error(capsys)


def test_shares_of_time_are_of_the_whole_and_add_up():
    records = [
        {"iteration": 1, "iteration_seconds": 4.0, "physics_seconds": 1.0, "policy_seconds": 2.0},
        {"iteration": 2, "iteration_seconds": 4.0, "physics_seconds": 3.0, "policy_seconds": 0.0},
    ]
    (axes,) = time_figure({"r": records}).figure.axes
    widths = [bars.patches[0].get_width() for bars in axes.containers]
    assert widths == pytest.approx([50, 25, 25])
    # The end of a folder's name tells runs apart, and leaves room for the bars.
    (axes,) = time_figure({"folder/" * 20 + "seed-1": records}).figure.axes
    (name,) = [label.get_text() for label in axes.get_yticklabels()]
    assert name.startswith("…")
    assert name.endswith("folder/seed-1")
    assert len(name) == 34


def test_tasks_of_one_value_of_two_and_of_neither_are_drawn():
    returns = np.array([[1.0, 2.0], [3.0, 5.0]])
    curves = {"it": summarise(returns, 1, 1)}
    (line,) = task_figure([[0.1], [0.2]], curves).figure.axes
    np.testing.assert_allclose(line.collections[1].get_offsets(), [[0.1, 2], [0.2, 5]])
    plane = task_figure([[0.1, 0.2], [0.3, 0.4]], curves).figure.axes[0].collections[0]
    np.testing.assert_allclose(plane.get_offsets(), [[0.1, 0.2], [0.3, 0.4]])
    np.testing.assert_allclose(plane.get_array(), [2, 5])
    (other,) = task_figure([{"a": 1}, {"a": 2}], curves).figure.axes
    np.testing.assert_allclose(other.collections[0].get_offsets(), returns)


def test_means_stand_beside_what_is_published_of_their_agent():
    curve = summarise(np.array([[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]]), 1, 1)
    panel = Panel(
        "", {"random": curve, "maml-trpo, seed 2": curve}, {"maml-trpo": {1: 3.5, 2: 5.0}}
    )
    first = Evaluation("mean return", "2 held-out tasks", "", (), {})
    tasks = EvaluatedTasks("navigation-2d", first, [panel], ["maml-trpo"])
    ours, random = tasks.rows_of_curves  # the run's agent comes first
    assert (ours.name, random.name) == ("maml-trpo, seed 2", "random")
    assert ours.published == ["", "published 3.5", "published 5"]
    assert ours.differences == ["", "difference -0.50", "difference +2.00"]
    assert random.published == random.differences == [""] * 3
    assert [row.name for row in tasks.rows][-1] == "maml-trpo, published"


def test_every_committed_evaluation_is_read_and_drawn():
    files = sorted(RESULTS.rglob("evaluation*.json"))
    assert files
    parts = 0
    for file in files:
        found = read_evaluation(file)
        for curves in found.curves.values():
            assert all(len(curve.mean) for curve in curves.values())
        if isinstance(found.tasks, dict):  # of several parts: each written by itself
            parts += 1
            (curve,) = found.curves[0].values()
            (axes,) = task_figure(found.tasks, {"it": curve}).figure.axes
            assert axes.get_xlabel() == "return before adaptation"
    assert parts


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_opens_the_page_without_complaint(tmp_path):
    train("r")
    assert main(["evaluate", "r", "--workers", "0"]) == 0
    assert main(["report", "r"]) == 0
    browser = [shutil.which("chromium"), "--headless", "--no-sandbox", "--disable-gpu"]
    browser += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"]
    shot = tmp_path / "page.png"
    done = subprocess.run(
        [*browser, f"--screenshot={shot}", Path("r/report.html").absolute().as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    assert shot.stat().st_size > 0
