"""In a notebook's kernel: training shows where it is, is interrupted, and goes on."""

import contextlib
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.whole_runs

jupyter_client = pytest.importorskip("jupyter_client")

SECONDS = 120.0
SMALL = "tasks_per_batch=2, episodes_per_task=2, horizon=5, hidden_sizes=(4,), tensorboard=False"


@pytest.fixture
def kernel(tmp_path):
    manager = jupyter_client.KernelManager(kernel_name="python3")
    with contextlib.ExitStack() as at_the_end:
        manager.start_kernel(cwd=str(tmp_path), env={**os.environ, "OMP_NUM_THREADS": "1"})
        at_the_end.callback(manager.shutdown_kernel, now=True)
        client = manager.client()
        client.start_channels()
        at_the_end.callback(client.stop_channels)
        client.wait_for_ready(SECONDS)
        yield manager, client


def execute(client, code, on_line=lambda line: None):
    """Run a cell; give the lines that it showed, and the error that ended it."""
    client.execute(code)
    lines, error = [], ""
    while True:
        message = client.get_iopub_msg(SECONDS)
        kind, content = message["msg_type"], message["content"]
        if kind in ("display_data", "update_display_data"):
            lines.append(content["data"]["text/plain"])
            on_line(lines[-1])
        elif kind == "stream":
            lines.append(content["text"])
        elif kind == "error":
            error = content["ename"]
        elif kind == "status" and content["execution_state"] == "idle":
            return lines, error


@pytest.mark.parametrize("workers", [0, 2])
def test_train_in_one_cell_see_progress_interrupt_and_go_on(kernel, tmp_path, workers):
    manager, client = kernel
    arguments = f"'navigation-2d', run_dir='r', workers={workers}"
    interrupted = []

    def interrupt(line):
        if line.startswith("iteration 3/") and not interrupted:
            interrupted.append(line)
            manager.interrupt_kernel()

    code = f"import metarl\nmetarl.train({arguments}, iterations=10_000, {SMALL})"
    lines, error = execute(client, code, interrupt)
    assert error == "KeyboardInterrupt"
    assert lines[0] == "starting workers"
    assert any(line.startswith("iteration 1/10000   return ") for line in lines)
    assert any("which is saved; go on with: metarl train" in line for line in lines)

    done = len(Path(tmp_path, "r/metrics.jsonl").read_text().splitlines())
    code = f"run = metarl.train({arguments}, iterations={done + 2}, resume=True)\nprint(run)"
    lines, error = execute(client, code)
    assert error == ""
    assert lines[-1].splitlines()[-1] == "<metarl.Run r: maml-trpo on navigation-2d>"
    records = Path(tmp_path, "r/metrics.jsonl").read_text().splitlines()
    assert len(records) == done + 2
