"""Write the page on which one chooses the goal of 2D navigation: docs/choose-a-goal.html.

    python scripts/write_goal_page.py

The policies are those of committed runs: meta-trained (results/navigation-2d), multitask
(results/multitask/seed-1), and untrained, which is how the first of them began.
"""

import argparse
import json
from pathlib import Path

from shared import ROOT

from metarl.experiments.build import build_experiment
from metarl.reports.interactive import PlainPolicy, plain_policy
from metarl.runs.run_folder import read_config
from metarl.runs.session import load_newest_state
from metarl_envs.goal_page import whole_page

RESULTS = ROOT / "results"
META_TRAINED = RESULTS / "navigation-2d"
MULTITASK = RESULTS / "multitask" / "seed-1"


def policy(run_dir: Path, *, trained: bool = True) -> PlainPolicy:
    """Give a run's policy."""
    experiment = build_experiment(read_config(run_dir))
    state = load_newest_state(run_dir, experiment) if trained else experiment.first_state()
    return plain_policy(experiment, state.agent.theta)


def notes() -> dict[str, str]:
    """Say of each policy what it was trained for, and its mean returns before and after one step.

    All three were evaluated on the same goals.
    """
    baselines = json.loads((RESULTS / "navigation-2d-baselines" / "evaluation.json").read_text())
    curves = {name: curve["mean_return"] for name, curve in baselines["curves"].items()}
    multitask = json.loads((RESULTS / "multitask" / "summary.json").read_text())["1"]["100"]
    told = {
        "meta-trained": ("trained for the returns after one step", curves["maml-trpo"]),
        "multitask": ("trained for the returns without a step", multitask),
        "untrained": ("as it was initialised", curves["random"]),
    }
    goals = len(baselines["tasks"])
    space = "\N{NO-BREAK SPACE}"
    said = {
        label: f"{what}; on {goals} goals{space}{before:.1f}{space}→{space}{after:.1f}"
        for label, (what, (before, after, *_)) in told.items()
    }
    return {label: text.replace(f"{space}-", f"{space}−") for label, text in said.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "choose-a-goal.html")
    output = parser.parse_args().output
    policies = {
        "meta-trained": policy(META_TRAINED),
        "multitask": policy(MULTITASK),
        "untrained": policy(META_TRAINED, trained=False),
    }
    output.write_text(whole_page(policies, notes()), encoding="utf-8")
    print(f"written to {output}: {output.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
