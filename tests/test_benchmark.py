"""`metarl benchmark`: cells are run once, go on where they were, and are compared."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmark_suites import STEPS, run_here, write_suite
from sessions import newest_checkpoint, records

import metarl
from metarl.cli import main
from metarl.foundation.errors import ConfigError, RunFolderError, TaskError
from metarl.runs import run_lock
from metarl.runs.metrics import read_metrics
from metarl.workers.cores import usable_cores

SUITE = Path("suite.toml")
CELLS = Path("out/cells/nav")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("metarl.api.benchmark.run_side_by_side", run_here)
    monkeypatch.setattr("metarl.tasks.environment_speed.ROUND_SECONDS", 0.0)


@pytest.fixture
def no_figures(monkeypatch):
    """Do not save figures, which takes seconds."""
    monkeypatch.setattr("metarl.reports.benchmark_page.save_figure", lambda figure, stem: None)


def run(**options):
    return metarl.benchmark(SUITE, output="out", **options)


def begun(capsys):
    """Which cells began, of what was said since last asked."""
    lines = capsys.readouterr().err.splitlines()
    return [line.split(": ")[1] for line in lines if line.endswith(": begins")]


@pytest.mark.usefixtures("no_figures")
def test_a_cell_is_the_run_and_the_evaluation_that_one_would_make_by_hand():
    write_suite(SUITE, seeds=[2])
    found = run()
    assert {state.standing for state in found.states} == {"done"}
    alone = metarl.train(
        "navigation-2d",
        agent="metarl_agents:REPTILE",
        run_dir="alone",
        workers=0,
        tensorboard=False,
        seed=2,
        env_steps=2 * STEPS,
        tasks_per_batch=1,
        episodes_per_task=2,
        horizon=3,
        hidden_sizes=(2,),
        checkpoint_interval=1,
    )
    cell = CELLS / "reptile" / "seed-2"
    assert records("alone") == records(cell)
    assert [record["env_steps"] for record in records(cell)] == [STEPS, 2 * STEPS]
    assert newest_checkpoint("alone") == newest_checkpoint(cell)
    (by_hand,) = metarl.evaluate(
        alone.run_dir, tasks=4, adaptation_steps=1, episodes_per_task=2, workers=0
    )
    evaluation = json.loads((cell / "evaluation.json").read_text())
    assert evaluation["per_task_return"] == by_hand.per_task_return.tolist()
    assert json.loads((CELLS / "random/seed-2/evaluation.json").read_text())["iteration"] == 0
    assert not (CELLS / "random/seed-2/checkpoints").exists()


@pytest.mark.usefixtures("no_figures")
def test_only_what_is_missing_is_run(capsys):
    write_suite(SUITE, seeds=[1])
    run()
    assert begun(capsys) == [
        "nav, environments alone",
        "nav, reptile, seed 1",
        "nav, random, seed 1",
    ]
    before = (CELLS / "reptile/seed-1/metrics.jsonl").read_bytes()
    assert not run().failed
    assert begun(capsys) == []
    write_suite(SUITE, seeds=[2, 1])
    run()
    assert begun(capsys) == ["nav, reptile, seed 2", "nav, random, seed 2"]
    assert (CELLS / "reptile/seed-1/metrics.jsonl").read_bytes() == before
    write_suite(SUITE, seeds=[1], env_steps=2 * STEPS + 1)
    run()
    assert begun(capsys) == ["nav, reptile, seed 1"]
    assert (CELLS / "reptile/seed-1/metrics.jsonl").read_bytes().startswith(before)
    assert len(records(CELLS / "reptile/seed-1")) == 3
    SUITE.write_text(SUITE.read_text().replace("tasks = 4", "tasks = 5"))
    found = run()
    assert begun(capsys) == ["nav, reptile, seed 1", "nav, random, seed 1"]
    assert len(records(CELLS / "reptile/seed-1")) == 3
    assert found.record["comparisons"]["nav"]["agents"]["random"]["held_out_tasks"] == 5


@pytest.mark.usefixtures("no_figures")
def test_a_cell_that_fails_stops_no_other_and_is_run_again(capsys):
    write_suite(SUITE, agents=["reptile", "random"], seeds=[1])
    run()
    (checkpoint,) = (CELLS / "reptile/seed-1/checkpoints").glob("iteration-000002")
    for file in (CELLS / "reptile/seed-1/checkpoints").glob("*/manifest.json"):
        file.write_text("{}")
    write_suite(SUITE, agents=["reptile", "random"], seeds=[1, 2], env_steps=3 * STEPS)
    assert main(["benchmark", "suite.toml", "--output", "out"]) == 1
    printed = capsys.readouterr().out
    assert "failed: nav, reptile, seed 1: " in printed
    assert checkpoint.is_dir()
    page = Path("out/README.md").read_text()
    assert "3 of 4 cells are there. What is missing" in page
    assert "- reptile, seed 1: no usable checkpoint" in page
    record = json.loads(Path("out/results.json").read_text())["comparisons"]["nav"]
    (missing,) = record["missing"]
    assert (missing["agent"], missing["seed"]) == ("reptile", 1)
    assert "no usable checkpoint" in missing["reason"]
    assert record["agents"]["reptile"]["seeds"] == [2]


def test_what_is_missing_for_one_reason_is_named_in_one_line(monkeypatch):
    monkeypatch.setattr("metarl.api.benchmark.run_side_by_side", lambda *jobs_and_more: None)
    write_suite(SUITE, agents=["reptile", "random"], seeds=[1, 3])
    run()
    page = Path("out/README.md").read_text()
    assert "- reptile, seeds 1, 3: not begun\n- random, seeds 1, 3: not begun\n" in page


@pytest.mark.usefixtures("no_figures")
def test_a_run_that_is_another_one_is_refused_and_left_alone(capsys):
    write_suite(SUITE, agents=["reptile"], seeds=[1])
    run()
    before = (CELLS / "reptile/seed-1/metrics.jsonl").read_bytes()
    SUITE.write_text(SUITE.read_text().replace("horizon = 3", "horizon = 4"))
    found = run()
    assert "horizon was 3 and is now 4" in found.failed["nav, reptile, seed 1"]
    write_suite(SUITE, agents=["reptile"], seeds=[1], env_steps=STEPS)
    found = run()
    assert "has 24 env steps, more than the budget" in found.failed["nav, reptile, seed 1"]
    (CELLS / "reptile/seed-1/config.json").write_text("[")
    (reason,) = run().failed.values()
    assert "config.json cannot be read" in reason
    assert begun(capsys) == ["nav, environments alone", "nav, reptile, seed 1"]
    assert (CELLS / "reptile/seed-1/metrics.jsonl").read_bytes() == before


@pytest.mark.usefixtures("no_figures")
def test_a_dry_run_says_what_is_left_and_writes_nothing(capsys):
    write_suite(SUITE, seeds=[1, 2])
    assert main(["benchmark", "suite.toml", "--dry-run"]) == 0
    assert not Path("runs").exists()
    assert "0 of 4 cells are done; 48 env steps of training are left" in capsys.readouterr().out
    write_suite(SUITE, seeds=[1])
    run()
    write_suite(SUITE, seeds=[1, 2], env_steps=3 * STEPS)
    left = {str(state.cell): state.env_steps_left for state in run(dry_run=True).states}
    assert left == {
        "nav, reptile, seed 1": STEPS,
        "nav, random, seed 1": 0,
        "nav, reptile, seed 2": 3 * STEPS,
        "nav, random, seed 2": 0,
    }


def test_results_are_those_of_the_cells():
    write_suite(SUITE, seeds=[1, 2], more='reach = 7.5\nscale = {zero = "random", one = 5.0}')
    found = run().record["comparisons"]["nav"]
    returns = {
        name: np.array(
            [
                json.loads((CELLS / name / f"seed-{seed}/evaluation.json").read_text())[
                    "per_task_return"
                ]
                for seed in (1, 2)
            ]
        )[:, :, -1]
        for name in ("reptile", "random")
    }
    zero = returns["random"].mean()
    assert found["scale"] == {"zero": pytest.approx(zero), "one": 5.0}
    for name, agent in found["agents"].items():
        own = returns[name]
        assert agent["mean_return"] == pytest.approx(own.mean())
        assert agent["mean_return_of_seeds"] == pytest.approx(own.mean(1))
        assert agent["mean_score"] == pytest.approx(((own - zero) / (5 - zero)).mean())
        assert agent["iqm_return"] == pytest.approx(np.sort(own, axis=None)[2:6].mean())
        low, high = agent["ci95_over_seeds"]
        assert low == pytest.approx(own.mean(1).min())
        assert high == pytest.approx(own.mean(1).max())
        assert agent["experience"] == 6.0
    assert [found["agents"][name]["env_steps"] for name in returns] == [[24, 24], [0, 0]]
    pair = found["probability_of_improvement"]["reptile"]["random"]
    differences = returns["reptile"][:, None] - returns["random"][None]
    assert pair["probability"] == pytest.approx((np.sign(differences) / 2 + 0.5).mean())
    profile = found["profiles"]["agents"]["reptile"]["share_above"]
    scores = (returns["reptile"] - zero) / (5 - zero)
    thresholds = np.array(found["profiles"]["thresholds"])
    np.testing.assert_allclose(profile, (scores[..., None] > thresholds).mean((0, 1)))
    page = Path("out/README.md").read_text()
    assert_speed_is_that_of_the_metrics(found["speed"], page)
    for name, agent in found["agents"].items():
        assert f"| {name} | 1, 2 |" in page
        assert f"| {agent['mean_return']:.2f} |" in page
    for line in page.splitlines():
        if line.startswith("!["):
            assert (Path("out") / line.rpartition("(")[2].rstrip(")")).stat().st_size > 0
    assert page.count("![") == 5


def assert_speed_is_that_of_the_metrics(speed, page):
    """Of reptile, which had two iterations with each of two seeds; random is not trained."""
    assert speed["reach"] == 7.5
    (agent,) = speed["agents"].values()
    (alone,) = json.loads(Path("out/speed/nav.json").read_text())
    assert agent["environment_alone"] == np.median(alone["rounds"])
    whole, collecting, stepping = (
        [
            np.median([STEPS / sum(it[f"{name}_seconds"] for name in names) for it in metrics])
            for metrics in (read_metrics(CELLS / f"reptile/seed-{seed}") for seed in (1, 2))
        ]
        for names in (["iteration"], ["collect_and_adapt", "policy", "physics"], ["physics"])
    )
    assert agent["environment_in_training_of_seeds"] == pytest.approx(stepping)
    assert agent["training_of_seeds"] == pytest.approx(whole)
    assert agent["rollout_of_seeds"] == pytest.approx(collecting)
    ratio = np.mean(collecting) / agent["environment_alone"]
    assert agent["rollout_to_environment"] == pytest.approx(ratio)
    assert (agent["reached"], agent["unknown"]) == ([False, False], [])
    assert agent["processes"] == agent["processes_measured"] == [min(2, usable_cores())]
    assert agent["trained_on"] == [agent["measured_on"]]
    assert "| reptile | 1 × 2 | – | " in page
    assert "not reached, not reached |" in page


@pytest.mark.usefixtures("no_figures")
def test_an_agent_may_have_a_smaller_budget_of_its_own():
    small = f'{{agent = "metarl_agents:REPTILE", name = "short", env_steps = {STEPS}}}'
    write_suite(SUITE, agents=["reptile", small], seeds=[1])
    found = run().record["comparisons"]["nav"]["agents"]
    assert {name: it["env_steps"] for name, it in found.items()} == {
        "reptile": [2 * STEPS],
        "short": [STEPS],
    }
    page = Path("out/README.md").read_text()
    assert f"{2 * STEPS} env steps of training a run, and {STEPS} of short." in page


@pytest.mark.usefixtures("no_figures")
def test_environments_alone_are_measured_for_folders_of_before_and_may_fail(capsys, monkeypatch):
    write_suite(SUITE, agents=["reptile"], seeds=[1])
    run(workers=1)
    before = (CELLS / "reptile/seed-1/metrics.jsonl").read_bytes()
    begun(capsys)
    for file in ("speed/nav.json", "sessions.jsonl", "cells/nav/reptile/seed-1/sessions.jsonl"):
        (Path("out") / file).unlink()

    def fail(config, slots):
        raise TaskError("it broke")

    with monkeypatch.context() as broken:
        broken.setattr("metarl.api.benchmark_speed.measured_speed", fail)
        found = run()
    assert begun(capsys) == ["nav, environments alone"]
    assert not found.failed
    agent = found.record["comparisons"]["nav"]["speed"]["agents"]["reptile"]
    assert agent["environment_alone"] is None
    assert agent["unknown"] == ["its environments alone are not measured: it broke"]
    agent = run().record["comparisons"]["nav"]["speed"]["agents"]["reptile"]
    assert agent["environment_alone"] > 0
    assert agent["training_to_environment"] is None
    assert (agent["trained_on"], agent["processes"]) == ([], [])
    assert "does not say what machine" in agent["unknown"][0]
    assert (CELLS / "reptile/seed-1/metrics.jsonl").read_bytes() == before
    run()
    assert begun(capsys) == ["nav, environments alone"]


@pytest.mark.usefixtures("no_figures")
def test_experience_decides_which_return_counts():
    write_suite(SUITE, agents=["random"], seeds=[1], more="experience = 5")
    agent = run().record["comparisons"]["nav"]["agents"]["random"]
    evaluation = json.loads((CELLS / "random/seed-1/evaluation.json").read_text())
    assert agent["experience"] == 0.0
    assert agent["mean_return"] == pytest.approx(np.mean(evaluation["per_task_return"], axis=0)[0])


@pytest.mark.usefixtures("no_figures")
def test_several_comparisons_are_joined_by_the_agents_that_all_have():
    write_suite(SUITE, agents=["reptile", "random", "promp"], seeds=[1])
    one = SUITE.read_text()
    write_suite(SUITE, agents=["random", "reptile"], seeds=[1])
    SUITE.write_text(one + SUITE.read_text().replace('"nav"', '"other"'))
    record = run().record
    first, second = (record["comparisons"][name] for name in ("nav", "other"))
    together = record["all"]["probability_of_improvement"]
    assert set(together) == {"reptile", "random"}
    assert together["reptile"]["random"]["probability"] == pytest.approx(
        np.mean(
            [
                it["probability_of_improvement"]["reptile"]["random"]["probability"]
                for it in (first, second)
            ]
        )
    )
    assert "![Performance profiles](figures/all-profile.png)" in Path("out/README.md").read_text()


@pytest.mark.parametrize(
    ("agents", "complaint"),
    [
        (["gittins"], "agent 'gittins': agent metarl_agents:GITTINS does not fit"),
        (['{agent = "reptile", fields = {horizont = 3}}'], "did you mean 'horizon'?"),
        (['{agent = "reptile", fields = {horizon = 4}}'], "horizon is 4, there 3"),
        (['{preset = "half-cheetah-vel"}'], "it would learn other tasks than preset"),
        (['{agent = "reptile", fields = {optimiser = 1}}'], "optimiser"),
    ],
)
def test_an_agent_that_cannot_take_part_is_refused_before_anything_runs(agents, complaint):
    write_suite(SUITE, agents=agents)
    with pytest.raises(ConfigError) as error:
        run()
    assert complaint in str(error.value)
    assert "suite.toml: comparison 'nav'" in str(error.value)
    assert not Path("out").exists()


@pytest.mark.usefixtures("no_figures")
def test_an_evaluation_that_is_damaged_is_made_again():
    write_suite(SUITE, agents=["random"], seeds=[1])
    run()
    file = CELLS / "random/seed-1/evaluation.json"
    whole = json.loads(file.read_text())
    for damaged in ("{", "[1]"):
        file.write_text(damaged)
        assert not run().failed
        assert json.loads(file.read_text()) == whole
    file.write_text(json.dumps({**whole, "ci95": []}))
    found = run()
    (missing,) = found.record["comparisons"]["nav"]["missing"]
    assert "evaluation.json is no evaluation" in missing["reason"]
    assert found.failed == {"nav, random, seed 1": missing["reason"]}


def test_fewer_than_one_cell_at_a_time_are_refused():
    write_suite(SUITE)
    with pytest.raises(ConfigError, match="workers = 0 must be at least 1"):
        run(workers=0)


def test_one_process_at_a_time_works_in_a_folder():
    write_suite(SUITE)
    Path("out").mkdir()
    with (
        run_lock.locked(Path("out"), print),
        pytest.raises(RunFolderError, match="choose another --output"),
    ):
        run()


def test_a_budget_of_env_steps_ends_training_and_another_goes_on(capsys):
    options = {"tasks_per_batch": 1, "episodes_per_task": 1, "horizon": 2, "hidden_sizes": (2,)}
    options |= {"workers": 0, "tensorboard": False, "run_dir": "r", "progress": True}
    metarl.train("navigation-2d", agent="reptile", env_steps=9, **options)
    assert [it["env_steps"] for it in records("r")] == [4, 8, 12]
    printed = capsys.readouterr().out
    assert [f"iteration {done}/3 " in printed for done in (1, 2, 3)] == [True] * 3
    metarl.train("navigation-2d", resume=True, env_steps=12, **options)
    assert "r has its 12 env steps; go on with --env-steps 24 --resume" in capsys.readouterr().out
    metarl.train("navigation-2d", resume=True, env_steps=13, **options)
    assert [it["env_steps"] for it in records("r")] == [4, 8, 12, 16]
