"""What the scripts share: their options, `metarl` as a command, and what they write."""

import argparse
import json
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
GRACE_SECONDS = 120
SMALL_TRAINING = ("--tasks-per-batch", 2, "--episodes-per-task", 2, "--horizon", 10)
SMALL_EVALUATION = ("--tasks", 2, "--episodes-per-task", 2)


def parser(documentation: str, output: Path) -> argparse.ArgumentParser:
    """Give a parser with --output and --small, described by a script's own docstring."""
    made = argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--output", type=Path, default=output, help="the folder to write into")
    made.add_argument(
        "--small", action="store_true", help="a size that takes seconds, to see that it runs"
    )
    return made


def parse(made: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the options; a small run must not stand among the true ones."""
    options = made.parse_args()
    if options.small:
        if options.output == made.get_default("output"):
            made.error("--small needs an --output of its own")
        if "run_dir" in options and options.run_dir == made.get_default("run_dir"):
            options.run_dir = options.output / "runs"
    return options


def command(options: argparse.Namespace, *names: str) -> str:
    """Give the command line for what is written to name, with some of the options."""
    words = [f"python scripts/{Path(sys.argv[0]).name}"]
    words += [f"--{name.replace('_', '-')} {getattr(options, name)}" for name in names]
    return " ".join(words + ["--small"] * options.small)


def metarl(*arguments: object, deadline: float | None = None) -> bool:
    """Run a `metarl` command with this Python; give whether it ended before the deadline."""
    words = list(map(str, arguments))
    print("$ metarl", *words, flush=True)
    process = subprocess.Popen([sys.executable, "-m", "metarl", *words])
    try:
        left = None if deadline is None else max(1.0, deadline - time.monotonic())
        if process.wait(left):
            raise SystemExit(process.returncode)
        return True
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait(GRACE_SECONDS)
        return False
    except KeyboardInterrupt:
        # The terminal has told the command as well; told twice, it would not save its state.
        process.wait(GRACE_SECONDS)
        raise


def processor_seconds(work: Callable[[], None]) -> float:
    """Give the processor time that some work takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def ran_on(*packages: str) -> dict[str, Any]:
    """Say what a benchmark ran on."""
    return {
        "versions": {name: version(name) for name in packages},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def write(folder: Path, name: str, record: dict[str, Any], table: str) -> None:
    """Write NAME.json and NAME.md, which has a title above the table, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    title = f"# Benchmark: {name.replace('_', ' ')}\n\n"
    (folder / f"{name}.md").write_text(title + table)
    print(table)
