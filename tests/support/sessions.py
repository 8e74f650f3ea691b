"""Training in processes of their own that are quick to start, since tests kill them by the dozen.

`Zygote` starts one process that imports everything and has warmed up torch, and forks a child from
it for each command; the child is a process of its own, with its own signals, limits and death.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SMALL = ["--tasks-per-batch", "1", "--episodes-per-task", "1", "--horizon", "2"]
SMALL += ["--hidden-sizes", "2", "--workers", "0", "--no-tensorboard"]
# The cheapest agent, whose optimiser has a memory that checkpoints must keep.
SMALL += ["--agent", "reptile", "--optimiser", "adam", "--outer-learning-rate", "0.1"]
_LONGEST_SECONDS = 120
_WATCHED = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.link"}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Negative: the signal that killed it."""
    output: str
    error: str


class Zygote:
    """The process that children are forked from; close it."""

    def __init__(self, folder):
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, *arguments, kill_at=0, largest_file=0, stdout=""):
        """Start `metarl …`; give its process id.

        kill_at: the file operation, counted from 1, before which the child kills itself by SIGKILL.
        largest_file: RLIMIT_FSIZE, in bytes. stdout: a file to print to.
        """
        wish = {"argv": list(map(str, arguments)), "kill_at": kill_at, "largest": largest_file}
        wish["stdout"] = stdout
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def wait(self, pid):
        """Wait for a child; give how it ended."""
        self._process.stdin.write(json.dumps(pid) + "\n")
        self._process.stdin.flush()
        code = json.loads(self._process.stdout.readline())
        texts = [(Path(tempfile.gettempdir()) / f"{pid}.{it}") for it in ("out", "err")]
        output, error = (text.read_text() for text in texts)
        for text in texts:
            text.unlink()
        return Ended(code, output, error)

    def said(self, pid):
        """Give what a child that runs has written to standard error."""
        return (Path(tempfile.gettempdir()) / f"{pid}.err").read_text()

    def printed(self, pid):
        """Give what a child that runs has printed."""
        return (Path(tempfile.gettempdir()) / f"{pid}.out").read_text()

    def interrupt(self, pid):
        """Press Ctrl-C."""
        os.kill(pid, signal.SIGINT)

    def run(self, *arguments, **how):
        """Run `metarl …` to its end."""
        return self.wait(self.start(*arguments, **how))

    def train(self, *arguments, **how):
        """Run a tiny `metarl train navigation-2d` to its end."""
        return self.run("train", "navigation-2d", *SMALL, *arguments, **how)

    def close(self):
        """End the process; children that still run are killed with it."""
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def wait_for(condition, what="what was waited for", seconds=60):
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.01)


def records(run_dir):
    """Read the metrics without what a clock measured."""
    file = Path(run_dir) / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [
        {name: value for name, value in json.loads(line).items() if not name.endswith("_seconds")}
        for line in lines
    ]


def recorded(run_dir):
    """Count the whole records of a run that may be writing another one."""
    file = Path(run_dir) / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def newest_checkpoint(run_dir):
    """Give the bytes of the newest checkpoint's tensors, and its name."""
    folder = max((Path(run_dir) / "checkpoints").glob("iteration-??????"))
    return folder.name, (folder / "parameters.safetensors").read_bytes()


def _serve():
    from metarl.cli import main

    with tempfile.TemporaryDirectory() as warm, open(os.devnull, "w") as nowhere:
        before, sys.stdout = sys.stdout, nowhere
        main(["train", "navigation-2d", *SMALL, "--iterations", "1", "--run-dir", f"{warm}/r"])
        sys.stdout = before
    for line in sys.stdin:
        wish = json.loads(line)
        if isinstance(wish, int):
            status = _status(wish)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        pid = os.fork()
        if not pid:
            _become(wish, main)
        print(pid, flush=True)


def _status(pid):
    """Wait for a child; one that does not end is killed, so that its test fails in time."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _become(wish, main):
    for number, name in ((1, "out"), (2, "err")):
        path = f"{tempfile.gettempdir()}/{os.getpid()}.{name}"
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if wish["stdout"]:
        os.dup2(os.open(wish["stdout"], os.O_WRONLY), 1)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if wish["largest"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (wish["largest"],) * 2)
    if wish["kill_at"]:
        _kill_at(wish["kill_at"])
    code = 70
    try:
        code = main(wish["argv"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _kill_at(operation):
    """Have this process kill itself before its n-th operation on a file of a relative path."""
    left = operation

    def count(event, arguments):
        nonlocal left
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        named = isinstance(arguments[0] if arguments else 0, str | bytes | os.PathLike)
        if event in _WATCHED and named and not os.path.isabs(os.fspath(arguments[0])):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


if __name__ == "__main__":
    _serve()
