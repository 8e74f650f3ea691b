"""Follow a run in the terminal: curves as text, speed, time left, the newest checkpoint.

It only reads the run folder and never disturbs the training, which goes on in another terminal, or
on another machine that shares the folder. It waits for a run that has not begun, and ends with the
run or by Ctrl-C. With --once, and where there is no terminal, it prints one picture and leaves.

Examples:
  metarl watch runs/navigation-2d
  metarl watch runs/navigation-2d --once
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.live import Live
from rich.text import Text

from metarl.cli.output import new_console
from metarl.cli.parsing import parse
from metarl.foundation.errors import ConfigError, RunFolderError

_LINES_BESIDE_CURVES = 14
_HIGHEST_CURVE = 12
_HEIGHT_WITHOUT_TERMINAL = 8


@dataclass(frozen=True)
class WatchArguments:
    """The arguments of `metarl watch`."""

    run_dir: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR")] = None
    """The run folder; with a terminal it need not be there yet."""
    once: bool = False
    """Print one picture and leave."""
    interval: float = 2.0
    """Seconds from one picture to the next."""


def run(argv: list[str]) -> int:
    """Run the verb; give the exit code."""
    arguments = parse(WatchArguments, argv, prog="metarl watch", description=__doc__ or "")
    run_dir = arguments.run_dir
    if run_dir is None:
        raise ConfigError("name a run folder: metarl watch RUN_DIR")
    if not arguments.interval > 0:
        raise ConfigError(f"interval = {arguments.interval} must be positive")
    from metarl.reports.run_in_text import picture
    from metarl.runs.hub_address import is_hub_address
    from metarl.runs.watched_run import RunWatcher

    if is_hub_address(run_dir):
        raise ConfigError(f"{run_dir} does not grow; fetch it by metarl pull, and watch a folder")
    console = new_console()
    watcher = RunWatcher(run_dir)

    def look() -> tuple[Text, bool]:
        seen = watcher.look()
        lines = picture(seen, console.width, _height(console))
        return Text("\n".join(lines), overflow="fold"), seen.over

    if arguments.once or not console.is_terminal:
        if not run_dir.is_dir():
            raise RunFolderError(f"there is no run folder {run_dir}; `metarl train` makes one")
        console.print(look()[0])
        return 0
    try:
        with Live(console=console, auto_refresh=False) as live:
            over = False
            while not over:
                shown, over = look()
                live.update(shown, refresh=True)
                if not over:
                    time.sleep(arguments.interval)
    except KeyboardInterrupt:  # the usual way to leave
        pass
    return 0


def _height(console: Console) -> int:
    """Give the lines of a curve, so that all of the picture fits."""
    if not console.is_terminal:
        return _HEIGHT_WITHOUT_TERMINAL
    return max(3, min(_HIGHEST_CURVE, console.height - _LINES_BESIDE_CURVES))
