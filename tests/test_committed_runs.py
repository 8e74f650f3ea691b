"""Committed runs of the paper's experiments go on as they went: a slice, from the last checkpoint.

Another machine's last bits are others, so the returns of the slice are held to those of the run's
last iterations, within what iterations and seeds differ by.
"""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from script_loading import load_script

from metarl.experiments.build import build_experiment
from metarl.runs.checkpoints import Checkpoints
from metarl.runs.run_folder import read_config
from metarl.training import train

pytestmark = pytest.mark.whole_runs

RESULTS = Path(__file__).parent.parent / "results" / "paper"
SLICE, LAST, DEVIATIONS = 2, 40, 4.0
COLUMNS = ("pre_adaptation_return", "post_adaptation_return")


def last_returns(run: Path) -> np.ndarray:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return np.array([[record[column] for column in COLUMNS] for record in records[-LAST:]])


@pytest.mark.parametrize(("name", "tasks"), [("navigation-2d", 20), ("half-cheetah-dir", 10)])
def test_a_committed_run_goes_on_as_it_went(name, tasks):
    seeds = sorted((RESULTS / name).glob("seed-*"))
    returns = [last_returns(seed) for seed in seeds]
    recorded = read_config(seeds[0])
    experiment = build_experiment(replace(recorded, tasks_per_batch=tasks))
    state, _, _ = Checkpoints(seeds[0], experiment.about).load_newest(experiment.initial)
    config = replace(experiment.config, iterations=state.iteration + SLICE)
    experiment = build_experiment(config)

    with contextlib.closing(experiment.start_workers(0)) as pool:
        records = [record for _, record in train(experiment, pool, state)]

    measured = np.mean([[record[column] for column in COLUMNS] for record in records], axis=0)
    of_iterations = np.mean([each.var(0, ddof=1) for each in returns], axis=0)
    of_iterations *= recorded.tasks_per_batch / tasks / SLICE
    means = np.array([each.mean(0) for each in returns])
    of_seeds = means.var(0, ddof=1) if len(means) > 1 else 0.0
    assert (abs(measured - means[0]) <= DEVIATIONS * np.sqrt(of_iterations + of_seeds)).all()
    for record in records:
        assert record["step_accepted"]
        assert record["kl_before"] == pytest.approx(0.0, abs=1e-6)
        assert 0 < record["kl"] <= config.agent_settings["max_kl"]


def test_the_authors_count_drops_long_episodes_that_are_under_way():
    counted = load_script("evaluate_by_transitions").counted
    lengths = np.array([3, 1, 1, 1, 1, 1])
    assert counted(lengths, transitions=2, streams=2) == [1, 2]
    assert counted(lengths, transitions=3, streams=2) == [1, 2, 0, 3]
    with pytest.raises(ValueError, match="6 episodes are not enough"):
        counted(lengths, transitions=9, streams=2)
    same = np.full(100, 10)
    assert counted(same, transitions=400, streams=40) == list(range(40))
