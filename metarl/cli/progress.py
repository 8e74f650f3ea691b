"""The live display of a training run."""

from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from metarl.config.reinforcement import Config
from metarl.training import Record, TrainingState


class TrainingDisplay(AbstractContextManager["TrainingDisplay"]):
    """Iteration, returns, speed and time left: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, config: Config, state: TrainingState) -> None:
        self._console = console
        self._iterations = config.iterations
        self._env_steps = state.env_steps
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
        self._task = self._bar.add_task(
            "",
            total=config.iterations,
            completed=state.iteration,
            numbers="starting workers",
        )
        self._seconds: list[float] = []

    def __enter__(self) -> "TrainingDisplay":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def update(self, record: Record) -> None:
        """Show one iteration's metrics."""
        seconds = record["iteration_seconds"]
        steps, self._env_steps = record["env_steps"] - self._env_steps, record["env_steps"]
        returns = f"return {record['pre_adaptation_return']:.2f}"
        if "post_adaptation_return" in record:  # a baseline does not adapt while it trains
            returns += f" → {record['post_adaptation_return']:.2f}"
        if "pre_adaptation_success" in record:
            before, after = (record[f"{phase}_adaptation_success"] for phase in ("pre", "post"))
            returns += f"   success {before:.0%} → {after:.0%}"
        numbers = f"{returns}   {steps / seconds:,.0f} env steps/s"
        if not record.get("step_accepted", True):
            numbers += f"   step rejected: {record.get('rejection') or 'no reason given'}"
        self._bar.update(self._task, completed=record["iteration"], numbers=numbers)
        if not self._console.is_terminal:
            self._seconds.append(seconds)
            left = sum(self._seconds) / len(self._seconds)
            left *= self._iterations - record["iteration"]
            self._console.print(
                f"iteration {record['iteration']}/{self._iterations}   {numbers}   "
                f"{left:.0f} s left",
                soft_wrap=True,
            )
