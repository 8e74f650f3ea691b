"""Every preset's environment, with the preset's own arguments, keeps the promises."""

import pytest

from metarl.plugins import load_preset, preset_names
from metarl.tasks import make_environment
from metarl.testing import check_task_env


@pytest.mark.parametrize("name", [origin.name for origin in preset_names()])
def test_a_presets_environment_conforms(name: str) -> None:
    config = load_preset(name)
    assert config.source
    verdicts = check_task_env(config.env_id, config.env_kwargs, horizon=min(config.horizon, 20))
    assert [verdict for verdict in verdicts if not verdict.passed] == []


@pytest.mark.parametrize(
    ("name", "arms"),
    [("bernoulli-bandit", 5), ("bernoulli-bandit-10", 10), ("bernoulli-bandit-50", 50)],
)
def test_the_bandits_have_their_arms(name: str, arms: int) -> None:
    config = load_preset(name)
    environment = make_environment(config.env_id, config.env_kwargs)
    assert environment.action_space.n == arms  # type: ignore[attr-defined]
