"""What a run folder holds, as far as a page shows it."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarl.config.reinforcement import Config
from metarl.config.supervised import SupervisedConfig
from metarl.foundation.files import MEBIBYTE, read_bytes
from metarl.reports.clip_returns import ClipReturns, read_clip_returns
from metarl.reports.evaluations import Evaluation, range_of, read_evaluation
from metarl.reports.example_numbers import DrawnLine, read_numbers
from metarl.runs.checkpoints import Checkpoints
from metarl.runs.contenders import SEEDS_DIFFER_IN
from metarl.runs.metrics import expected_iterations, is_whole, read_metrics
from metarl.runs.provenance import read_sessions, summary_of
from metarl.runs.run_folder import read_config
from metarl.runs.session import resume_command

TRAINING = "training"
"""The name of the task range of training."""
VIDEO_TYPES = {".mp4": "video/mp4", ".webp": "image/webp", ".gif": "image/gif"}
_LARGEST_DRAWING = 64 * MEBIBYTE


@dataclass(frozen=True)
class Run:
    """A run folder's content."""

    run_dir: Path
    config: Config | SupervisedConfig
    records: list[dict[str, Any]]
    """One of each iteration, or of each interval of them."""
    versions: dict[str, str]
    """Of what wrote the newest checkpoint; empty: there is none."""
    evaluations: dict[str, Evaluation]
    """By task range; the range of training is called training."""
    examples: bytes
    """What `metarl evaluate` drew of single tasks of a problem, as SVG; empty: nothing."""
    example_numbers: list[DrawnLine]
    """The lines of that drawing; empty: it has none, or is older than such files."""
    videos: dict[Path, ClipReturns | None]
    """The clips, and what their episodes paid where that is known."""
    sessions: list[str]
    """Start and resumes, a line each."""
    first_command: str
    """The command line that started it; empty: it was not recorded."""
    machine: str
    """Where it was trained last; empty: it was not recorded."""

    @property
    def of_problem(self) -> bool:
        """Whether it trains on a supervised problem, not on an environment."""
        return isinstance(self.config, SupervisedConfig)

    @property
    def agent(self) -> str:
        """The agent, and what of a problem's makes it another."""
        if not isinstance(self.config, SupervisedConfig):
            return self.config.agent
        first_order = ", first order" if self.config.first_order else ""
        learned = ", learned α" if self.config.learn_step_sizes else ""
        return f"{self.config.agent}{first_order}{learned}"

    @property
    def group(self) -> tuple[str, str, str]:
        """What runs that differ in their seed have in common: preset, agent and settings."""
        settings = dataclasses.asdict(self.config)
        for name in SEEDS_DIFFER_IN:
            settings.pop(name, None)
        return self.config.title, self.agent, json.dumps(settings)

    @property
    def iteration(self) -> int:
        """How many iterations are recorded."""
        return self.records[-1]["iteration"] if self.records else 0

    @property
    def seconds(self) -> float:
        """Seconds that the recorded iterations took."""
        each = [record.get("iteration_seconds") or 0.0 for record in self.records]
        return self.config.iterations_per_record * sum(each, 0.0)

    @property
    def next_command(self) -> str:
        """The command that goes on with it; of a run that is whole, to twice its length."""
        again = resume_command(self.config, self.run_dir)
        done = is_whole(self.config, self.records)
        return f"{again} {self.twice_as_long(self.iteration)}" if done else again

    @property
    def expected_iterations(self) -> int | None:
        """How many the whole training takes, as far as it is known."""
        return expected_iterations(self.config, self.records)

    def twice_as_long(self, iteration: int) -> str:
        """Give the flag that trains twice as long."""
        steps = self.config.env_steps if isinstance(self.config, Config) else 0
        return f"--env-steps {2 * steps}" if steps else f"--iterations {2 * max(1, iteration)}"


def read_run(run_dir: Path) -> Run:
    """Read a run folder, whatever it trains on.

    Raises:
        RunFolderError: it is none, or something in it cannot be read.

    """
    config = read_config(run_dir)
    files = sorted(run_dir.glob("evaluation*.json"))
    drawn = run_dir / "examples.svg"
    there = drawn.exists() or drawn.is_symlink()
    videos = sorted(it for it in run_dir.glob("videos/*") if it.suffix in VIDEO_TYPES)
    versions = Checkpoints(run_dir).newest_versions()
    sessions = read_sessions(run_dir)
    return Run(
        run_dir=run_dir,
        config=config,
        records=read_metrics(run_dir),
        versions=versions,
        evaluations={range_of(file) or TRAINING: read_evaluation(file) for file in files},
        examples=read_bytes(drawn, _LARGEST_DRAWING) if there else b"",
        example_numbers=read_numbers(run_dir),
        videos={file: read_clip_returns(file) for file in videos},
        sessions=[summary_of(session) for session in sessions],
        first_command=str(sessions[0].get("command") or "") if sessions else "",
        machine=_machine(sessions[-1] if sessions else {}) or versions.get("machine", ""),
    )


def groups_of(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Give the runs of each group, by a name: that of the agent and of what tells it from others.

    That is the preset where there are several, and the run folder where settings differ.
    """
    members: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        members.setdefault(run.group, []).append(run)
    several = len({preset for preset, _, _ in members}) > 1
    groups: dict[str, list[Run]] = {}
    for (preset, agent, _), found in members.items():
        name = f"{preset} · {agent}" if several else agent
        groups[f"{name}, {found[0].run_dir}" if name in groups else name] = found
    return groups


def _machine(session: Mapping[str, Any]) -> str:
    """Say in a line where a session ran; a recorded one may lack anything."""
    device = session.get("device")
    gpu = device.get("model") if isinstance(device, dict) else None
    cores = f"{session['cores']} cores" if session.get("cores") else None
    return ", ".join(str(it) for it in (session.get("cpu"), cores, gpu) if it)
