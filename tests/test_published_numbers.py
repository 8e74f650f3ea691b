"""Numbers that documents publish are those of the committed files that they come from.

tests/test_readme.py compares what the README's results say was measured here.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from metarl.cli import main
from metarl.config.plugins import load_preset

ROOT = Path(__file__).parent.parent


def load(file):
    return json.loads((ROOT / file).read_text())


def listed(numbers, decimals, between=" / "):
    return between.join(f"{number:.{decimals}f}" for number in numbers)


def with_interval(number, interval, decimals):
    return f"{number:.{decimals}f} [{listed(interval, decimals, ', ')}]"


def speed():
    """docs/speed.md and docs/comparison.md."""
    measured = load("benchmarks/iteration.json")
    two = measured["W"]["2 workers"]
    seconds = f"{two['seconds']['iteration']:.1f} s"
    navigation = measured["navigation-2d"]["seconds"]["iteration"]
    memory = load("benchmarks/memory.json")["samples"][-1]["worker MB"]
    yield "speed.md", f"takes {seconds} on two cores"
    yield "speed.md", f"That is {two['to bare physics']:.2f} times what bare"
    yield "speed.md", f"An iteration of 2D navigation takes {navigation:.2f} s"
    yield "speed.md", f"stays flat, at {memory:.0f} MB"
    yield "comparison.md", f"Here as many environment steps take {seconds}"


def scaling():
    """docs/scaling.md: what a map costs, and what dealing tasks would bring."""
    for carried, ways in load("benchmarks/workers.json")["milliseconds"].items():
        yield "scaling.md", f"| {carried} | {listed(ways.values(), 2, ' | ')} |"
    for of_workers in load("benchmarks/dealing.json")["results"].values():
        for workers, ways in of_workers.items():
            shares = [ways["fixed"]["waiting"]]
            shares += [ways[way]["to fixed"] for way in ("shrinking", "single")]
            row = " | ".join(f"{share:.0%}" for share in shares)
            yield "scaling.md", f"| {workers} | {row} |"


def of_memory(experiment):
    """Give agents' results in an experiment of results/memory, and each run's reward by RL²."""
    agents = load(f"results/memory/{experiment}/summary.json")["agents"]
    return agents, [run["trial_return"] for run in agents.get("rl2", {"runs": []})["runs"]]


def of_seeds(experiment, decimals):
    """Write the rewards of three seeds of RL², and of all together."""
    agents, (first, second, third) = of_memory(experiment)
    together = agents["rl2"]["trial_return"], agents["rl2"]["trial_ci95"]
    return (
        f"{first:.{decimals}f}, {second:.{decimals}f} and {third:.{decimals}f}, together "
        f"{with_interval(*together, decimals)}"
    )


def beside(experiment, decimals, **names):
    """Write the rewards of classical methods, by what the page calls them."""
    agents, _ = of_memory(experiment)
    return ", ".join(
        f"{shown} {agents[agent]['trial_return']:.{decimals}f}" for agent, shown in names.items()
    )


def memory():
    """docs/memory.md: how well agents with a memory do."""
    grid, _ = of_memory("grid-navi-rl2")
    beliefs, _ = of_memory("grid-navi-varibad")
    optimal = listed(grid["bayes-optimal"]["mean_return"], 2)
    yield "memory.md", f"episodes 1 to 4 | {listed(grid['rl2']['mean_return'], 2)};"
    yield "memory.md", f"Bayes-optimal, computed exactly: {optimal} |"
    yield "memory.md", f"7.7 M steps | {listed(beliefs['varibad']['mean_return'], 2)};"
    yield "memory.md", f"{of_seeds('mdp-10-episodes', 1)} on 1,000 MDPs"
    names = {"ucrl2": "UCRL2", "beb": "BEB", "greedy": "greedy", "opsrl": "OPSRL"}
    yield "memory.md", beside("mdp-10-episodes", 1, **names, thompson="PSRL")
    long, _ = of_memory("mdp-25-episodes")
    total = with_interval(long["rl2"]["trial_return"], long["rl2"]["trial_ci95"], 1)
    yield "memory.md", f"{total} on 1,000 MDPs"
    order = {name: names[name] for name in ("beb", "ucrl2", "greedy", "opsrl")}
    yield "memory.md", beside("mdp-25-episodes", 1, **order, thompson="PSRL")
    bandits = [of_memory(f"bandit-{arms}-arms-10-pulls")[0] for arms in (5, 10, 50)]
    own = [with_interval(it["rl2"]["trial_return"], it["rl2"]["trial_ci95"], 2) for it in bandits]
    yield "memory.md", f"{'; '.join(own)}, on 10,000 bandits each"
    methods = {"bayes-optimal": "Bayes-optimal", "ucb1": "UCB1", "greedy": "greedy"}
    of_arms = {
        shown: [f"{it[agent]['trial_return']:.2f}" for it in bandits]
        for agent, shown in {**methods, "thompson": "Thompson"}.items()
    }
    yield (
        "memory.md",
        ", ".join(
            f"{shown} {five}, {ten} and {fifty}" for shown, (five, ten, fifty) in of_arms.items()
        ),
    )
    semicircle = {
        agent: of_memory(f"semicircle-sparse-{agent}")[0][agent]["mean_return"]
        for agent in ("rl2", "varibad")
    }
    each = "; ".join(f"`{agent}` {listed(found, 1)}" for agent, found in semicircle.items())
    yield "memory.md", f"| {each}, of which"
    yield "memory.md", f"{of_seeds('bandit-5-arms-100-pulls', 1)} on 10,000 bandits"
    names = {"gittins": "Gittins", "ucb1": "UCB1", "ots": "optimistic Thompson"}
    names |= {"thompson": "Thompson", "greedy": "greedy"}
    yield "memory.md", beside("bandit-5-arms-100-pulls", 2, **names)
    ten, fifty = (of_memory(f"bandit-{arms}-arms-100-pulls")[0] for arms in (10, 50))
    own = [
        with_interval(it["rl2"]["trial_return"], it["rl2"]["trial_ci95"], 1) for it in (ten, fifty)
    ]
    yield "memory.md", f"{' and '.join(own)} on 10,000 bandits each"
    del names["thompson"]
    both = [
        f"{shown} {ten[it]['trial_return']:.2f} and {fifty[it]['trial_return']:.2f}"
        for it, shown in names.items()
    ]
    yield "memory.md", ", ".join(both)


def memories():
    """docs/memory.md: a transformer beside the recurrent unit."""
    cell = "results/memories/cells/{}/transformer/seed-1/evaluation.json"
    bandit, grid = (
        load(cell.format(name))["mean_return"] for name in ("bandit-5-arms-100-pulls", "grid-navi")
    )
    yield "memory.md", f"has {bandit[0]:.1f} on the bandit of 5 arms and 100 pulls"
    yield "memory.md", f"and {listed(grid, 1)} on GridNavi, one seed of each"


def choosing():
    """docs/choosing.md: multitask beside MAML, and PEARL beside MAML."""
    seeds = load("results/multitask/summary.json").values()
    stopped = np.array([of_seed["30"] for of_seed in seeds])
    before, first, second, third = (
        sorted({f"{it:.0f}" for it in stopped[:, step]}, key=float, reverse=True)
        for step in range(4)
    )
    maml = load("results/paper/navigation-2d/evaluation.json")["curves"]["maml-trpo"]
    yield (
        "choosing.md",
        f"{before[0]} / {first[0]} to {first[-1]} / {second[0]} to {second[-1]} / {third[0]} "
        f"beside {listed(maml['mean_return'], 0)} after 0 to 3 steps",
    )
    curves = load("results/inference/semicircle-dense/evaluation.json")["curves"]
    pearl, gradient = (curves[name]["mean_return"] for name in ("pearl", "maml-trpo"))
    yield "choosing.md", f"is at {pearl[2]:.1f} after two episodes in a new task (40 env steps)"
    yield "choosing.md", f"(40 env steps), {pearl[9]:.1f} after nine"
    yield "choosing.md", f"at {gradient[1]:.1f} after one gradient step"
    yield "choosing.md", f"goes to the middle ({gradient[0]:.1f})"
    yield "choosing.md", f"to where a sample says ({pearl[0]:.1f})"
    yield "inference.md", f"and {pearl[9]:.1f} on held-out goals"
    curves = load("results/inference/semicircle-sparse/evaluation.json")["curves"]
    sparse = {name: curve["mean_return"] for name, curve in curves.items()}
    both = f"{sparse['rl2'][2]:.1f} and {sparse['varibad'][2]:.1f}"
    yield "choosing.md", f"are at {both} after two episodes (40 env steps)"
    yield "choosing.md", f"is at {sparse['pearl'][5]:.1f} after five episodes"
    yield "choosing.md", f"is at {sparse['maml-trpo'][3]:.1f} after three steps of twenty episodes"
    few = load("results/inference/semicircle-dense/few_episodes.json")["maml-trpo"]
    one, two, five, ten = (f"{few[it]['mean_return'][1]:.1f}" for it in ("1", "2", "5", "10"))
    yield "choosing.md", f"is at {one} (one episode), {two} (two), {five} (five) and {ten} (ten)"
    cheetah = load("results/inference/half-cheetah-vel/evaluation.json")["curves"]
    pearl, memory = (cheetah[name]["mean_return"] for name in ("pearl", "rl2"))
    yield "choosing.md", f"and is at {pearl[1]:.0f} after one episode in a new task"
    yield "choosing.md", f"`pearl`: {pearl[1]:.0f} on half-cheetah velocity"
    yield "choosing.md", f"where `rl2` is at {memory[1]:.0f} after"
    field = load("results/field/results.json")["comparisons"]["semicircle-sparse"]["agents"]
    yield "choosing.md", f"gets nothing ({field['multitask']['mean_return']:.1f})"


PUBLISHED = {
    "2D navigation,": ("navigation-2d", ["maml-trpo"], 1),
    "half-cheetah direction,": ("half-cheetah-dir-finn2017", ["maml-trpo"], 1),
    "half-cheetah velocity,": ("half-cheetah-vel-finn2017", ["maml-trpo"], 1),
    "ant velocity,": ("ant-vel-finn2017", ["maml-trpo"], 1),
    "ant direction,": ("ant-dir-finn2017", ["maml-trpo"], 1),
    "bandit of 5 arms,": ("bandit-5-arms-100-pulls", ["rl2"], 1),
    "sinusoid": ("sinusoid", ["5", "maml", "measures"], 2),
}
"""Rows of the README's results whose published numbers a preset has: where, and decimals."""
WRITTEN = {
    "half-cheetah direction in": ("paper", "half-cheetah-dir-promp-protocol-maml"),
    "the same by ProMP": ("paper", "half-cheetah-dir-promp-protocol-promp"),
    "random MDP,": ("memory", "mdp-10-episodes"),
}
"""Rows whose published numbers stand in the page of results that a script has written: which, and
what the first row there begins with."""


def cells(row):
    """Give the cells of a row of the README's results."""
    lines = (ROOT / "README.md").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"| {row}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


SENTENCES = [*speed(), *scaling(), *memory(), *memories(), *choosing()]


@pytest.mark.parametrize(("document", "sentence"), SENTENCES)
def test_a_number_in_the_documents_is_that_of_its_file(document, sentence):
    text = " ".join((ROOT / "docs" / document).read_text().split()).replace("−", "-")
    assert sentence in text


@pytest.mark.parametrize("row", sorted(PUBLISHED))
def test_what_the_readme_calls_published_is_what_the_preset_has(row):
    preset, path, decimals = PUBLISHED[row]
    found = load_preset(preset).published
    for key in path:
        found = found[key]
    assert cells(row)[2].replace("−", "-") == listed(found, decimals)


@pytest.mark.parametrize("row", sorted(WRITTEN))
def test_what_the_readme_calls_published_is_what_the_page_of_results_has(row):
    folder, experiment = WRITTEN[row]
    lines = (ROOT / "results" / folder / "README.md").read_text().splitlines()
    first = next(line for line in lines if line.startswith(f"| {experiment} |"))
    assert f"| {cells(row)[2]} " in first


@pytest.mark.parametrize("row", ["2D navigation,", "ant velocity,", "ant direction,"])
def test_the_readme_counts_seeds_and_iterations_of_the_runs(row):
    preset, _, _ = PUBLISHED[row]
    runs = list((ROOT / "results" / "paper" / preset.removesuffix("-finn2017")).glob("seed-*"))
    (counted,) = {len((run / "metrics.jsonl").read_text().splitlines()) for run in runs}
    seeds = "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"
    assert f"{seeds}, {counted} iterations" in cells(row)[0]


def test_the_readmes_figure_is_of_the_run_that_it_names():
    run = load("results/navigation-2d/config.json")
    evaluation = load("results/navigation-2d/evaluation.json")
    said = f"seed {run['seed']}, {evaluation['iteration']} iterations"
    assert f"preset `{run['preset']}`, {said}." in (ROOT / "README.md").read_text()
    assert f"Right: {len(evaluation['tasks'])} held-out goals" in (ROOT / "README.md").read_text()


def test_the_page_of_commands_shows_what_watch_prints(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    main(["watch", "results/navigation-2d", "--once"])
    page = (ROOT / "docs" / "command-line.md").read_text()
    printed = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert printed[-4].startswith("return before adaptation")
    for line in (*printed[:2], *printed[-4:]):
        assert f"    {line}\n" in page
