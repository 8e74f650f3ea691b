"""A tiny suite, and a way of running its cells in this process."""

from metarl.api.benchmark_cell import run_cell
from metarl.api.benchmark_speed import measure
from metarl.foundation.errors import MetarlError
from metarl.runs.benchmark_cells import read_cell
from metarl.runs.benchmark_speed import read_measuring
from metarl.runs.interruptions import Interruptions

TINY = """\
[[comparison]]
name = "nav"
preset = "navigation-2d"
agents = [{agents}]
seeds = {seeds}
env_steps = {env_steps}
{more}

[comparison.fields]
tasks_per_batch = 1
episodes_per_task = 2
horizon = 3
hidden_sizes = [2]
checkpoint_interval = 1

[comparison.evaluation]
tasks = 4
adaptation_steps = 1
episodes_per_task = 2
"""
STEPS = 12
"""Env steps of an iteration: 1 task × 2 episodes × 3 steps, before and after adaptation."""


def write_suite(file, agents=("reptile", "random"), seeds=(1, 2), env_steps=2 * STEPS, more=""):
    """Write the suite, with agents by their names or as tables."""
    # By their modules: to look for them in all installed packages takes time.
    named = ", ".join(
        it if it.startswith("{") else f'{{agent = "metarl_agents:{it.upper()}", name = "{it}"}}'
        for it in agents
    )
    text = TINY.format(agents=named, seeds=list(seeds), env_steps=env_steps, more=more)
    file.write_text(text)


def run_here(jobs, count, started, ended, working):
    """Do what `run_side_by_side` does, in this process and one after the other."""
    for job in jobs:
        started(job)
        try:
            if job.module == "metarl.api.benchmark_speed":
                measure(read_measuring(job.line))
            else:
                run_cell(read_cell(job.line), Interruptions())
        except MetarlError as error:
            ended(job, str(error))
        else:
            ended(job, "")
        working()
