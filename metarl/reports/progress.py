"""How training goes, shown while it goes: on a terminal, in a notebook, as lines, to a function."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from metarl.agent.protocol import Record, TrainingState
from metarl.experiments.interface import Experiment

TaskProgress = Callable[[str, int, int], Any]
"""Told what is done, and how many of how many tasks are."""


class ConsoleDisplay:
    """Iteration, numbers and time left: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("iteration"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TextColumn("time left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._lines = Lines()

    def tell(self, text: str) -> None:
        """Say a line."""
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)

    def begin(self, experiment: Experiment, state: TrainingState) -> None:
        """Be told what is trained, and from where on."""
        self._lines.begin(experiment, state)
        self._task = self._bar.add_task(
            "",
            total=experiment.config.iterations,
            completed=state.iteration,
            numbers="starting workers",
        )
        self._bar.start()

    def update(self, record: Record) -> None:
        """Show the metrics of a record."""
        numbers, line = self._lines.numbers_and_line(record)
        self._bar.update(
            self._task, completed=record["iteration"], total=self._lines.total, numbers=numbers
        )
        if not self._console.is_terminal:
            self.tell(line)

    def end(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()


class NotebookLine:
    """One line in the output of a notebook's cell, which changes."""

    def __init__(self) -> None:
        self._shown: Any = None

    def show(self, text: str) -> None:
        """Show a text in place of the one before."""
        line = {"text/plain": text}
        if self._shown is not None:
            self._shown.update(line, raw=True)
            return
        from IPython import display

        show: Any = display.display
        self._shown = show(line, raw=True, display_id=True)


class NotebookDisplay:
    """The same in the output of a notebook's cell: one line that changes."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._line = NotebookLine()

    def tell(self, text: str) -> None:
        """Say a line."""
        print(text)

    def begin(self, experiment: Experiment, state: TrainingState) -> None:
        """Be told what is trained, and from where on."""
        self._lines.begin(experiment, state)
        self._line.show("starting workers")

    def update(self, record: Record) -> None:
        """Show the metrics of a record in place of those before."""
        _, line = self._lines.numbers_and_line(record)
        self._line.show(line)

    def end(self) -> None:
        """Leave the last line where it is."""


class FunctionDisplay:
    """Calls a function with each record; None: shows nothing."""

    def __init__(self, function: Callable[[Record], Any] | None) -> None:
        self._function = function

    def tell(self, text: str) -> None:
        """Say nothing."""

    def begin(self, experiment: Experiment, state: TrainingState) -> None:
        """Do nothing."""

    def update(self, record: Record) -> None:
        """Give the function the record."""
        if self._function is not None:
            self._function(record)

    def end(self) -> None:
        """Do nothing."""


class Lines:
    """Turns records into lines, with the time that is left by the mean of the iterations so far."""

    def begin(self, experiment: Experiment, state: TrainingState) -> None:
        """Be told what is trained, and from where on."""
        self._experiment = experiment
        self._env_steps = state.env_steps
        self.total: int = experiment.config.iterations
        """Iterations of the whole training."""
        self._seconds: list[float] = []

    def numbers_and_line(self, record: Record) -> tuple[str, str]:
        """Give the numbers of a record, and a line that says iteration and time left as well."""
        steps, self._env_steps = record["env_steps"] - self._env_steps, record["env_steps"]
        self.total = self._experiment.config.expected_iterations(
            record["iteration"], record["env_steps"], steps
        )
        numbers = self._experiment.describe(record, steps)
        self._seconds.append(record["iteration_seconds"])
        left = sum(self._seconds) / len(self._seconds)
        left *= self.total - record["iteration"]
        iteration = f"iteration {record['iteration']}/{self.total}"
        return numbers, f"{iteration}   {numbers}   {left:.0f} s left"


def display_for(
    progress: Callable[[Record], Any] | bool | None,
) -> ConsoleDisplay | NotebookDisplay | FunctionDisplay:
    """Give what shows progress, for a caller in Python.

    Args:
        progress: called with each record; False: nothing is shown; None or True: a bar on a
            terminal, a line in a notebook, and otherwise nothing, or with True plain lines.

    """
    if progress is False or callable(progress):
        return FunctionDisplay(progress if callable(progress) else None)
    console = Console()
    if console.is_jupyter:
        return NotebookDisplay()
    if console.is_terminal or progress:
        return ConsoleDisplay(console)
    return FunctionDisplay(None)


def task_progress_for(progress: TaskProgress | bool | None) -> TaskProgress | None:
    """Give what is told how many tasks are done, for a caller in Python.

    Args:
        progress: is told; False: nothing is; None or True: a line in a notebook, elsewhere nothing.

    """
    if callable(progress):
        return progress
    if progress is False or not Console().is_jupyter:
        return None
    line = NotebookLine()
    return lambda what, done, total: line.show(f"{what}: {done:,} of {total:,}")
