"""The card of a run on the hub: what it says, and what it does not claim."""

import json
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from runs_on_hub import RUN, TINY

import metarl

pytestmark = [
    pytest.mark.whole_runs,
    # The library's own, of what carries its requests.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]

RESULTS = Path(__file__).parents[2] / "results"


def test_the_card_has_the_numbers_of_the_evaluation(hub, trained):
    card = ModelCard(metarl.push(trained, RUN, license="cc-by-4.0").card)
    found = json.loads((trained.run_dir / "evaluation.json").read_text())
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "metarl")
    assert {"reinforcement-learning", "meta-reinforcement-learning"} <= set(card.data.tags)
    assert {"maml-trpo", "Navigation2D-v0"} <= set(card.data.tags)
    assert [it.metric_value for it in card.data.eval_results] == np.round(
        found["mean_return"], 4
    ).tolist()
    assert [it.metric_args["ci95"] for it in card.data.eval_results] == np.round(
        found["ci95"], 4
    ).tolist()
    assert {it.metric_type for it in card.data.eval_results} == {"mean_reward"}
    for mean, (low, high) in zip(found["mean_return"], found["ci95"], strict=True):
        assert f"{mean:.2f} [{low:.2f}, {high:.2f}]" in card.text
    for line in (
        f"metarl evaluate hf://{RUN}",
        f"metarl pull hf://{RUN} --run-dir runs/nav",
        "metarl train --run-dir runs/nav --resume --iterations 4",
        f'run = metarl.load("hf://{RUN}")',
        "![Means against units of adaptation](evaluation.png)",
    ):
        assert line in card.text


def test_the_card_has_what_the_source_gives_beside_it():
    card = ModelCard(metarl.push(RESULTS / "navigation-2d", RUN, dry_run=True).card)
    assert "| maml-trpo | -41.09 [-44.81, -37.28] | -10.76 [-12.83, -8.80] |" in card.text
    assert "| maml-trpo, published | -40.41 | -11.68 | -3.33 | -3.23 |" in card.text
    assert [it.metric_value for it in card.data.eval_results][:2] == [-41.0921, -10.7616]


def test_the_card_claims_nothing_without_an_evaluation(run):
    (run.run_dir / "evaluation.json").unlink()
    card = ModelCard(metarl.push(run, RUN, dry_run=True).card)
    assert card.data.eval_results is None
    assert "Not evaluated on held-out tasks, so nothing is claimed here." in card.text
    assert f"`metarl evaluate hf://{RUN}` measures it" in card.text
    assert (
        "In training, on the tasks of the last meta-batch (iteration 2): mean return" in card.text
    )


def test_the_card_of_a_run_without_its_experience_promises_no_training(run):
    checkpoint = run.run_dir / "checkpoints" / "iteration-000002"
    (checkpoint / "experience.safetensors").write_bytes(b"much")
    upload = metarl.push(run, RUN, dry_run=True)
    assert upload.left_out["checkpoints/iteration-000002/experience.safetensors"] == 4
    assert "It cannot be trained further" in upload.card
    assert "--resume" not in upload.card


def test_the_card_says_what_has_to_be_trusted():
    run = metarl.train(env_id="early_ends:EarlyEnds-v0", iterations=1, **TINY)
    card = metarl.push(run, RUN, dry_run=True).card
    assert f"metarl pull hf://{RUN} --trust" in card
    assert "config.json names code of no installed plug-in: environment 'early_ends:" in card


@pytest.mark.parametrize(
    ("iterations", "doubt"),
    [
        ([1], "Measured after 1 iteration, while the checkpoint here is of 2."),
        ([2, 2, 2], "These are means over 3 seeds, of which this repository holds one."),
        ([], "The evaluation does not record of which checkpoint it is."),
    ],
)
def test_numbers_that_are_not_this_checkpoints_are_named_and_not_listed(run, iterations, doubt):
    file = run.run_dir / "evaluation.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "iterations": iterations}))
    card = ModelCard(metarl.push(run, RUN, dry_run=True).card)
    assert card.data.eval_results is None
    assert doubt in card.text


def test_a_supervised_problem_has_a_card_as_well(hub):
    options = {"tasks_per_batch": 3, "hidden_sizes": (4,), "record_interval": 1, "workers": 0}
    options |= {"checkpoint_interval": 1, "test_tasks": 4, "test_queries": 5}
    run = metarl.train("sinusoid", iterations=2, run_dir="sin", progress=False, **options)
    run.evaluate(workers=0)
    card = ModelCard(metarl.push(run, "alice/sin").card)
    assert {it.dataset_config for it in card.data.eval_results} == {"5-shot", "10-shot", "20-shot"}
    assert {it.metric_type for it in card.data.eval_results} == {"mse"}
    assert "run.adapt" not in card.text
    assert metarl.load("hf://alice/sin").iteration == 2
