"""Every preset's environment, with the preset's own arguments, keeps the promises."""

import pytest
from installed import presets_here

from metarl.config.plugins import load_preset
from metarl.foundation.seeding import Split
from metarl.tasks.distribution import make_environment, sample_tasks
from metarl.testing import check_task_env

PRESETS = {name: load_preset(name) for name in presets_here()}
# Without arguments the environment is the one that tests/test_testing.py checks.
WITH_ARGUMENTS = [name for name, config in PRESETS.items() if config.env_kwargs]


@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_a_presets_environment_conforms(name: str) -> None:
    config = PRESETS[name]
    verdicts = check_task_env(config.env_id, config.env_kwargs, horizon=min(config.horizon, 20))
    assert [verdict for verdict in verdicts if not verdict.passed] == []


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_its_source_and_its_environment_is_to_be_had(name: str) -> None:
    config = PRESETS[name]
    assert config.source
    make_environment(config.env_id, config.env_kwargs, config.horizon).close()


@pytest.mark.parametrize(
    ("name", "arms"),
    [("bernoulli-bandit", 5), ("bernoulli-bandit-10", 10), ("bernoulli-bandit-50", 50)],
)
def test_the_bandits_have_their_arms(name: str, arms: int) -> None:
    config = load_preset(name)
    environment = make_environment(config.env_id, config.env_kwargs)
    assert environment.action_space.n == arms  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name in PRESETS if "half-cheetah-dir" in name])
def test_an_evaluation_of_two_directions_meets_both(name: str) -> None:
    config = load_preset(name)
    environment = make_environment(config.env_id, config.env_kwargs)
    for seed in range(1, 6):
        tasks = sample_tasks(environment, seed, (Split.TEST, 0), config.test_tasks)
        assert {int(task) for task in tasks} == {0, 1}
