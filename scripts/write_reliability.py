"""Write `docs/reliability.md` from the tests that inject faults, so that the page cannot drift.

A test says which fault it injects and what it holds the suite to:

    @pytest.mark.fault(20, "SIGKILL while writing", "the file before loads", group="files")

The number is that of the list of faults, or any short name; a test may have several such marks. The
arguments must be literals, since the files are parsed and not imported. Groups are those of
`GROUPS`. `tests/faults/test_reliability_page.py` holds the committed page to this script's.

    python scripts/write_reliability.py
"""

import argparse
import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

GROUPS = {
    "workers": "Workers",
    "environments": "Environments",
    "optimiser": "The optimiser",
    "interruption": "Interruption and resuming",
    "files": "Files",
    "platform": "Platform",
    "cluster": "Cluster",
}

_ABOVE = """\
# Reliability

<!-- By scripts/write_reliability.py from the tests' marks; change those, not this page. -->

A run is left alone for a night on a shared machine. This page says what it survives. Every row
below is a test that injects the fault itself (a real SIGKILL, a real full disk, a real truncated
file) and is run with all other tests; the page is generated from them.

## What a run promises

- **Nothing is lost but the iteration in progress and those since the last checkpoint.** A
  checkpoint is written every `--checkpoint-interval` iterations, at the end, and at Ctrl-C, SIGTERM
  or SIGHUP (a terminal that closes). It appears whole or not at all, carries checksums, and never
  holds code. Its metrics are on disk before it is.
- **Failure is said once, in a line or two, with a non-zero exit code**, and names what to do. A run
  that was interrupted exits with 128 plus the signal's number: 130 after Ctrl-C, 143 after SIGTERM.
  A second signal ends it at once.
- **What is not training never stops training**: a tracker that fails, a display, a disk that is
  full for a while. Records that cannot be written wait in memory.

## Going on with a run

    metarl train --run-dir RUN_DIR --resume

goes on from the newest checkpoint that is good, whatever ended the run before; damaged ones are
named and passed over. The numbers are those of a run that was never interrupted. A run that was
killed before its first checkpoint starts from the beginning. One process at a time trains in a
folder; reading it (`evaluate`, `report`, `render`) is possible at any time.

## Determinism

The same seed on the same machine and versions gives the same bits on the CPU: for any number of
workers, in this process, in spawned ones or on a Ray cluster, after a worker was lost, and through
any number of interruptions. Random streams are keyed by seed, iteration, task and episode, never by
worker; contributions are summed in float64 in task order; every process computes with one thread.
There are two exceptions: `pretrained` and `oracle` train with torch's own number of threads
(`OMP_NUM_THREADS` sets it), and on a GPU another number of workers may change last bits
([On a GPU](gpu.md)).

Another CPU or GPU may differ in the last bits, and a training run amplifies that until its curve is
another one of the same distribution: libraries choose their instructions (AVX2, AVX-512, fused
multiply-add) by the processor, and sum in another order. So may other versions of torch, numpy and
the simulator. `config.json` and the checkpoints say what is asked for and which versions computed
it; `sessions.jsonl` has a line for every start and resume with the processor, versions, command and
commit.
"""


@dataclass(frozen=True)
class Fault:
    """One mark."""

    number: int | str
    wrong: str
    promise: str
    group: str
    test: str
    """As pytest names it, without parameters."""


def marked_faults(root: Path = ROOT) -> list[Fault]:
    """Read the marks of all tests.

    Raises:
        ValueError: a mark has arguments that do not fit; file and line are named.

    """
    return [
        fault
        for file in sorted((root / "tests").rglob("test_*.py"))
        for fault in _of_file(file, file.relative_to(root))
    ]


def _of_file(file: Path, name: Path) -> Iterator[Fault]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in reversed(node.decorator_list):
            if isinstance(decorator, ast.Call) and (
                ast.unparse(decorator.func) == "pytest.mark.fault"
            ):
                where = f"{name}:{decorator.lineno}"
                yield Fault(*_arguments(decorator, where), test=f"{name}::{node.name}")


def _arguments(mark: ast.Call, where: str) -> tuple[int | str, str, str, str]:
    try:
        number, wrong, promise = (ast.literal_eval(argument) for argument in mark.args)
        ((keyword, group),) = ((it.arg, ast.literal_eval(it.value)) for it in mark.keywords)
        if keyword != "group" or group not in GROUPS:
            raise ValueError(f"{keyword} = {group!r}; there are {', '.join(GROUPS)}")
    except ValueError as error:
        raise ValueError(
            f"{where}: a fault's mark is fault(number, wrong, promise, group=…), literals: {error}"
        ) from error
    return number, wrong, promise, group


def page(faults: list[Fault]) -> str:
    """Give the page: what stands above, then a table for each group that has tests."""
    parts = [_ABOVE]
    for group, title in GROUPS.items():
        own = [fault for fault in faults if fault.group == group]
        if own:
            parts.append(f"## {title}\n\n{_table(own)}")
    return "\n".join(parts)


def _table(faults: list[Fault]) -> str:
    rows: dict[tuple[int | str, str, str], list[str]] = {}
    for fault in sorted(faults, key=lambda it: (isinstance(it.number, str), it.number)):
        tests = rows.setdefault((fault.number, fault.wrong, fault.promise), [])
        tests.append(f"`{fault.test.removeprefix('tests/')}`")
    lines = ["| no. | fault | what metarl promises | test |", "|---|---|---|---|"]
    for (number, wrong, promise), tests in rows.items():
        cells = (str(number), wrong, promise, ", ".join(dict.fromkeys(tests)))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    output = ROOT / "docs"
    parser.add_argument("--output", type=Path, default=output, help="the folder to write into")
    file = parser.parse_args().output / "reliability.md"
    file.write_text(page(marked_faults()), encoding="utf-8")
    print(f"written to {file}")


if __name__ == "__main__":
    main()
