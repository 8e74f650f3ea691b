"""Write `docs/presets.md` from the presets' TOML files, a row for each.

`tests/test_site.py` holds the committed page to this script's.

    python scripts/write_presets.py
"""

import argparse
from pathlib import Path

from metarl.api.catalogue import preset_tasks
from metarl.config.fields import read_fields
from metarl.config.plugins import load_agent, load_preset, preset_names
from metarl.config.reinforcement import environment_name
from metarl.config.supervised import SupervisedConfig

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "metarl-suite"
"""Whose presets the page is about."""

_ABOVE = """\
# Presets

<!-- By scripts/write_presets.py from the presets' files; change those, not this page. -->

A preset is a TOML file that fixes a task and its protocol: environment, horizon, episodes, step
sizes α, network. The same task name means different things in different papers, so a preset names
its source. `metarl list` shows the presets that are installed, also those of other packages;
`metarl train PRESET --help` shows every value of one.

A preset of your own is a TOML file, and works wherever a preset's name does: `metarl train
mine.toml`. Its keys are the fields of [the configuration](configuration.md); what it leaves out
keeps the field's default. The files of the presets below are in `envs/metarl_envs/presets/`.

How to read the protocol: `20 × 20 × 100` is 20 tasks × 20 episodes × 100 steps in each meta-batch,
collected before adaptation and again after each of its steps. Of an agent with a memory, and of one
that infers its task, `128 trials × 4 × 15` is 128 trials of 4 episodes of 15 steps. α is the step
size of the inner loop. Meta-World, PointMaze and MiniGrid need the extras `metaworld`, `robotics`
and `minigrid` of `metarl-suite`; Meta-World needs MuJoCo 3.3.0 as well.

<div class="searchable" data-choices="environment agent">

| preset | tasks | environment | agent | protocol | source |
|---|---|---|---|---|---|
"""
_BELOW = """
</div>

## Notes

- `half-cheetah-…-finn2017` has a control step of 0.01 s, `ant-…-finn2017` one of 0.02 s; both
  have the authors' observation, start and network. At test α is halved after the first step; ant
  direction steps by 0.001 after it.
- In `half-cheetah-dir` and `half-cheetah-vel`, ±10 of the policy means the torque bound. ProMP's
  ants observe contact forces.
- `navigation-2d-halves` trains on goals of the left half. `metarl evaluate` adapts to goals of
  the left half and, out of distribution, of the right.
- PEARL's presets of MuJoCo bodies meet a task by two episodes of the prior and three of the
  posterior, and take 2,000 gradient steps an iteration.
- Meta-World adapts on 10 episodes and tests on 3; train and test sets are kept apart.
- `sinusoid` is trained on 10 points and tested on 5, 10 and 20.
- `characters-…` are made of matplotlib's fonts, so that nothing is downloaded. For `omniglot-…`,
  `--path` names the archive.
"""


def rows():
    """Give the cells of each preset, in the order of their names."""
    for origin in preset_names():
        if origin.package == PACKAGE:
            config = load_preset(origin.name)
            describe = of_problem if isinstance(config, SupervisedConfig) else of_environment
            name = f"`{origin.name}`<br>{config.description}"
            yield name, *describe(config), config.source


def of_problem(config):
    """Give the tasks, where they come from, who learns, and how much is seen of each."""
    tasks = ", ".join(f"{name} {value}" for name, value in config.problem_settings.items())
    shots = f"{config.shots} shot{'s' * (config.shots != 1)}"
    adaptation = f"{steps(config)}, {config.iterations:,} iterations"
    protocol = f"{config.tasks_per_batch} tasks × {shots}, {adaptation}"
    return tasks, config.problem, f"{config.agent} (gradient)", protocol


def of_environment(config):
    """Give the tasks, the environment, who learns, and how much is collected."""
    # Meta-World cannot be installed beside the others; the names of its sets say enough.
    lines = preset_tasks(config).splitlines()
    tasks = "`; `".join(line for line in lines if not line.startswith("cannot be made"))
    inner = config.env_kwargs.get("env_id", config.env_id)
    environment = environment_name(inner) or inner.rpartition(":")[2]
    spec = load_agent(config.agent)
    settings = read_fields(spec.settings, config.agent_settings, f"preset {config.preset!r}")
    family = spec.build(settings, config).family.name
    agent = f"{config.agent} ({family})"
    batch = f"{config.tasks_per_batch} × {config.episodes_per_task} × {config.horizon}"
    if spec.unit == "episode":
        trials = config.tasks_per_batch * config.episodes_per_task
        of = f"{trials} trials" if family == "memory" else f"{trials} tasks"
        batch = f"{of} × {config.adaptation_steps + 1} × {config.horizon}"
        return f"`{tasks}`", environment, agent, f"{batch}, {config.iterations} iterations"
    adaptation = f"{steps(config)}, {config.iterations} iterations"
    return f"`{tasks}`", environment, agent, f"{batch}, {adaptation}"


def steps(config):
    """Say by how many steps of which size a preset adapts in training."""
    plural = "s" * (config.adaptation_steps != 1)
    return f"{config.adaptation_steps} step{plural} of α = {config.inner_learning_rate:g}"


def page():
    """Give the whole page."""
    table = "".join("| " + " | ".join(map(one_line, row)) + " |\n" for row in rows())
    return _ABOVE + table + _BELOW


def one_line(cell):
    """Give a text as it may stand in a cell of a table."""
    return " ".join(cell.split()).replace("|", "\\|")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs")
    file = parser.parse_args().output / "presets.md"
    file.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
