"""The command line, as a user runs it: in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from building import without_times

from metarl.cli import main, train_policy
from metarl.config.plugins import preset_names

pytestmark = pytest.mark.whole_runs

SMALL = ["--tasks-per-batch", "3", "--episodes-per-task", "2", "--horizon", "5"]
SMALL += ["--hidden-sizes", "4", "--test-tasks", "3", "--test-episodes-per-task", "2"]


def command(*arguments):
    return [sys.executable, "-c", "import sys; from metarl.cli import main; sys.exit(main())"] + [
        str(argument) for argument in arguments
    ]


def metrics(run_dir):
    return [json.loads(line) for line in (Path(run_dir) / "metrics.jsonl").read_text().splitlines()]


def train(*arguments):
    return main(["train", "navigation-2d", *SMALL, *map(str, arguments)])


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def one_line_error(capsys):
    """The complaint on standard error: one line, and no traceback."""
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error


PHASES = [
    "physics_seconds",
    "policy_seconds",
    "advantages_seconds",
    "inner_gradient_seconds",
    "collect_and_adapt_seconds",
    "meta_gradient_seconds",
    "curvature_product_seconds",
    "surrogate_seconds",
    "communication_seconds",
]
REQUIRED_METRICS = {
    "iteration",
    "env_steps",
    "iteration_seconds",
    *PHASES,
    "pre_adaptation_return",
    "post_adaptation_return",
    "kl",
    "kl_before",
    "line_search_steps",
    "step_accepted",
}


def test_train_then_evaluate(capsys):
    assert train("--iterations", 2, "--workers", 0, "--run-dir", "r") == 0
    records = metrics("r")
    assert [record["iteration"] for record in records] == [1, 2]
    for record in records:
        assert record.keys() >= REQUIRED_METRICS
        assert record["env_steps"] == 60 * record["iteration"]  # 3 × 2 × 5 steps, twice
        assert min(record[phase] for phase in PHASES) >= 0
        assert 0 < sum(record[phase] for phase in PHASES) <= record["iteration_seconds"]
        assert record["kl_before"] == 0.0
    config = json.loads(Path("r/config.json").read_text())
    assert (config["preset"], config["horizon"], config["hidden_sizes"]) == (
        "navigation-2d",
        5,
        [4],
    )
    assert config["agent_settings"]["cg_iterations"] == 10  # every setting is recorded
    printed = capsys.readouterr().out
    assert re.search(r"iteration 2/2 +return -\d.* → -\d.* env steps/s +0 s left", printed)

    assert main(["evaluate", "r", "--adaptation-steps", "2", "--workers", "0"]) == 0
    evaluation = json.loads(Path("r/evaluation.json").read_text())
    assert evaluation["adaptation_steps"] == [0, 1, 2]
    assert evaluation["learning_rates"] == [0.5, 0.25]
    assert len(evaluation["mean_return"]) == 3
    assert [len(pair) for pair in evaluation["ci95"]] == [2, 2, 2]
    assert [len(returns) for returns in evaluation["per_task_return"]] == [3, 3, 3]
    assert [len(task) for task in evaluation["tasks"]] == [2, 2, 2]
    printed = capsys.readouterr().out
    for mean in evaluation["mean_return"]:
        assert f"{mean:.2f}" in printed

    assert main(["evaluate", "r", "--adaptation-steps", "2", "--workers", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [evaluation]


def test_first_order_maml_is_the_agent_without_second_derivatives():
    assert train("--iterations", 2, "--workers", 0, "--run-dir", "flag", "--first-order") == 0
    first_order = ["--agent", "fomaml-trpo"]
    assert train("--iterations", 1, "--workers", 0, "--run-dir", "agent", *first_order) == 0
    resume = ["--iterations", "2", "--workers", "0", "--run-dir", "agent", "--resume"]
    assert main(["train", "navigation-2d", *resume]) == 0
    assert without_times(metrics("agent")) == without_times(metrics("flag"))
    flag, agent = (json.loads(Path(it, "config.json").read_text()) for it in ("flag", "agent"))
    assert {name for name in flag if flag[name] != agent[name]} == {"agent"}
    assert agent["first_order"] is True
    assert train("--iterations", 2, "--workers", 0, "--run-dir", "second") == 0
    assert metrics("second")[0]["kl"] != metrics("agent")[0]["kl"]


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_last_bit(capsys):
    assert train("--iterations", 4, "--workers", 0, "--run-dir", "whole") == 0
    assert train("--iterations", 2, "--workers", 0, "--run-dir", "parts") == 0
    # The numbers do not depend on the workers, so the number of them may change.
    resume = ["--iterations", "4", "--workers", "2", "--run-dir", "parts", "--resume"]
    assert main(["train", "navigation-2d", *resume]) == 0
    assert without_times(metrics("parts")) == without_times(metrics("whole"))
    newest = "checkpoints/iteration-000004/parameters.safetensors"
    assert Path("parts", newest).read_bytes() == Path("whole", newest).read_bytes()
    assert json.loads(Path("parts/config.json").read_text())["iterations"] == 4
    capsys.readouterr()
    assert main(["train", "navigation-2d", *resume]) == 0
    assert "parts has its 4 iterations" in capsys.readouterr().out


def test_resuming_goes_back_to_the_newest_good_checkpoint(capsys):
    options = ["--workers", 0, "--run-dir", "r", "--checkpoint-interval", 1]
    assert train("--iterations", 3, *options) == 0
    before = without_times(metrics("r"))
    damaged = Path("r/checkpoints/iteration-000003/parameters.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert train("--iterations", 3, *options, "--resume") == 0
    assert "passed over checkpoint iteration-000003" in capsys.readouterr().err
    assert without_times(metrics("r")) == before


def endless_training(workers, **how):
    """Start a run that goes on until it is disturbed; wait for its first record."""
    options = [*SMALL, "--iterations", 100_000, "--workers", workers, "--run-dir", "r"]
    process = subprocess.Popen(
        command("train", "navigation-2d", *options),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        **how,
    )
    deadline = time.monotonic() + 60
    while not Path("r/metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_stops_cleanly_and_the_run_can_be_resumed(number, workers):
    process = endless_training(workers)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= workers - 1
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    _, alive = psutil.wait_procs(children, timeout=3)
    assert not alive
    assert "Traceback" not in error
    done = re.search(rf"{number.name} after iteration (\d+), which is saved; go on with: ", error)
    done = int(done[1])
    assert error.count("\n") == 1
    assert "metarl train navigation-2d --run-dir r --resume" in error
    assert len(metrics("r")) == done
    assert main(["train", "navigation-2d", "--run-dir", "r", "--resume", "--workers", "0",
                 "--iterations", str(done + 2)]) == 0  # fmt: skip
    assert main(["train", "navigation-2d", *SMALL, "--run-dir", "whole", "--workers", "0",
                 "--iterations", str(done + 2)]) == 0  # fmt: skip
    assert without_times(metrics("r")) == without_times(metrics("whole"))


def test_ctrl_c_in_a_terminal_reaches_the_workers_too_and_still_stops_cleanly():
    """A terminal sends SIGINT to the whole process group, not to the parent alone."""
    process = endless_training(2, start_new_session=True)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert error.count("\n") == 1
    assert "SIGINT after iteration" in error


def test_a_killed_worker_is_replaced_and_noted_in_the_run_folder():
    process = endless_training(2)
    workers = [
        child
        for child in psutil.Process(process.pid).children()
        if "spawn_main" in " ".join(child.cmdline())
    ]
    workers[0].kill()
    events = Path("r/events.jsonl")
    deadline = time.monotonic() + 60
    while not events.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = [line for line in error.splitlines() if "SIGKILL" in line]
    assert "metarl train: worker 0 (tasks 0 to 1) was killed by SIGKILL" in line
    assert "replaced, its work is repeated" in line
    assert json.loads(events.read_text())["event"] in line


BAD = [
    (["train", "navigation-3d"], "unknown preset 'navigation-3d'; did you mean 'navigation-2d'"),
    (["train"], "name a preset first"),
    (["train", "navigation-2d", "--max-kl", "-1"], "max_kl = -1.0 must be positive"),
    (["train", "navigation-2d", "--iterations", "-5"], "iterations = -5 must be at least 1"),
    (["train", "navigation-2d", "--iterations", "many"], "--iterations: invalid literal for int"),
    (["train", "navigation-2d", "--max-lk", "1"], "--max-lk, 1; did you mean --max-kl"),
    (["train", "navigation-2d", "--tasks-per-batch", "0"], "tasks_per_batch = 0 must be at least"),
    (["train", "navigation-2d", "--workers", "-1"], "workers = -1 must be 0 or more"),
    (["train", "navigation-2d", "--agent", "mam-trpo"], "did you mean 'maml-trpo'"),
    (["train", "navigation-2d", "--device", "nonsense"], "device = 'nonsense'"),
    (["train", "navigation-2d", "--env-id", "CartPole-v1"], "is not task-distributed"),
    (["train", "navigation-2d", "--activation", "gelu"], "invalid choice 'gelu'"),
    (["train", "navigation-2d", "--resume"], "there is no run folder runs/navigation-2d"),
    (["train", "mine.toml"], "there is no preset file 'mine.toml'"),
    (["evaluate", "nowhere"], "there is no run folder nowhere"),
    (["evaluate"], "RUN_DIR"),
    (["evaluate", "nowhere", "--tasks", "x"], "--tasks"),
    (["list", "nonsense"], "invalid choice 'nonsense'"),
    (["show"], "name what to show"),
    (["show", "half-cheeta-dir"], "did you mean 'half-cheetah-dir'?"),
    (["watch"], "name a run folder"),
    (["watch", "nowhere"], "there is no run folder nowhere"),
    (["completion"], "name the shell"),
    (["completion", "csh"], "invalid choice 'csh'"),
    (["tarin"], "unknown verb 'tarin'; did you mean 'train'? (there are train, evaluate, "),
    (["evaluate", "navigation-2e"], "no run folder navigation-2e; did you mean 'navigation-2d'?"),
    (["evaluate", "nowhere"], "and `metarl list` shows policies that come trained"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(bad[0]) for bad in BAD])
def test_bad_input_gives_one_line_and_a_code_that_is_not_zero(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in one_line_error(capsys)
    assert not Path("runs").exists()


def test_a_run_folder_that_exists_is_left_alone(capsys):
    Path("r").mkdir()
    Path("r/precious.txt").write_text("mine")
    assert train("--iterations", 1, "--run-dir", "r") == 2
    assert "r exists already; continue that run with --resume" in one_line_error(capsys)
    assert os.listdir("r") == ["precious.txt"]


def test_a_run_folder_that_cannot_be_made_is_said(capsys):
    Path("file").write_text("")
    assert train("--iterations", 1, "--run-dir", "file/r") == 2
    assert "cannot make the run folder file/r" in one_line_error(capsys)


def test_a_run_folder_that_was_cut_short_is_said(capsys):
    Path("r").mkdir()
    assert main(["evaluate", "r"]) == 2
    assert "r is not a run folder: it has no config.json" in one_line_error(capsys)
    assert train("--iterations", 1, "--workers", 0, "--run-dir", "s") == 0
    config = Path("s/config.json")
    whole = config.read_text()
    config.write_text(whole[:100])
    capsys.readouterr()
    assert main(["evaluate", "s"]) == 2
    assert "config.json cannot be read" in one_line_error(capsys)
    config.write_text(whole)
    for folder in Path("s/checkpoints").iterdir():
        (folder / "manifest.json").unlink()
    assert main(["evaluate", "s"]) == 2
    assert "no usable checkpoint" in one_line_error(capsys)


def test_a_resumed_run_keeps_its_configuration(capsys):
    assert train("--iterations", 1, "--workers", 0, "--run-dir", "r") == 0
    capsys.readouterr()
    for change, message in (
        (["--max-kl", "0.5"], "max_kl was 0.01 and is now 0.5"),
        (["--seed", "9"], "seed was 1 and is now 9"),
        (["--horizon", "9"], "horizon was 5 and is now 9"),
        (["--agent", "reptile"], "agent was 'maml-trpo' and is now 'reptile'; start a new run"),
    ):
        resume = ["train", "navigation-2d", "--run-dir", "r", "--resume", *change]
        assert main(resume) == 2
        assert message in one_line_error(capsys)
    assert main(["train", "half-cheetah-dir", "--run-dir", "r", "--resume"]) == 2
    assert "r is a run of preset 'navigation-2d'" in one_line_error(capsys)


def test_more_workers_than_tasks_are_no_error(capsys):
    assert train("--iterations", 1, "--workers", 50, "--run-dir", "r") == 0
    assert "using 3 workers, one for each task, instead of 50" in capsys.readouterr().err


def test_train_policy_is_metarl_train(capsys):
    assert train_policy(["navigation-2d", *SMALL, "--iterations", "1", "--workers", "0"]) == 0
    assert len(metrics("runs/navigation-2d")) == 1


def test_list_names_everything_with_its_package(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for origin in preset_names():
        assert origin.name in printed
    assert "maml-trpo" in printed
    assert "metarl-suite" in printed
    assert "metarl_envs:metarl/Navigation2D-v0" in printed


@pytest.mark.parametrize("arguments", [["train", "--help"], ["evaluate", "--help"], ["--help"]])
def test_help_has_examples_and_does_not_import_torch(arguments):
    program = (
        "import sys\nfrom metarl.cli import main\n"
        f"try:\n    main({arguments!r})\n"
        "except SystemExit:\n    pass\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"
    assert "xamples:\n  metarl " in done.stdout
    if arguments[0] == "train":
        for flag in (
            "--iterations", "--seed", "--workers", "--run-dir", "--tasks-per-batch",
            "--episodes-per-task", "--horizon", "--adaptation-steps", "--inner-learning-rate",
            "--max-kl", "--resume",
        ):  # fmt: skip
            assert flag in done.stdout


def test_training_imports_no_figures_no_algebra_and_no_compiler():
    """Each of them takes almost half a second or more, in every process that trains."""
    program = (
        "import sys\nfrom metarl.cli import main\n"
        "for agent in ('maml-trpo', 'promp'):\n"
        f"    words = ['navigation-2d', *{list(map(str, SMALL))!r}, '--iterations', '1']\n"
        "    words += ['--workers', '0', '--agent', agent, '--run-dir', agent]\n"
        "    assert main(['train', *words]) == 0\n"
        "print({'matplotlib', 'jinja2', 'sympy', 'torch._dynamo'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_reader_that_leaves_early_is_no_error():
    done = subprocess.run(
        f"{' '.join(repr(part) for part in command('list'))} | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
