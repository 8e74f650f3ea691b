"""The presets on MuJoCo: each names a protocol and holds its numbers."""

import pytest

from metarl.config.plugins import load_preset, preset_names
from metarl.tasks.distribution import make_environment

FINN = [origin.name for origin in preset_names() if origin.name.endswith("-finn2017")]


@pytest.mark.parametrize("name", FINN)
def test_finn2017_presets_hold_the_authors_protocol(name):
    config, ant_dir = load_preset(name), name == "ant-dir-finn2017"
    assert (config.horizon, config.tasks_per_batch, config.iterations) == (200, 40, 500)
    assert config.episodes_per_task == (40 if ant_dir else 20)
    assert (config.hidden_sizes, config.activation, config.action_scale) == ((100, 100), "relu", 1)
    assert config.learning_rates == (0.1,)
    # The authors' test script of ant direction scales all steps but the first by 0.01, not by 0.5.
    later = 0.001 if ant_dir else 0.05
    assert config.learning_rates_at_test(3) == (0.1, later, later)
    expected_kl = 0.02 if name == "half-cheetah-dir-finn2017" else 0.01
    assert config.agent_settings == {"max_kl": expected_kl}
    # 4,000 transitions for each of 40 tasks and each step, of ant direction 8,000
    transitions = 8000 if ant_dir else 4000
    assert (config.test_tasks, config.test_episodes_per_task * config.horizon) == (40, transitions)
    assert "authors' code" in config.source


@pytest.mark.parametrize(
    ("name", "control_step", "observed", "horizon", "alpha", "hidden_sizes"),
    [
        ("half-cheetah-dir-finn2017", 0.01, 20, 200, 0.1, (100, 100)),
        ("half-cheetah-vel-finn2017", 0.01, 20, 200, 0.1, (100, 100)),
        ("ant-dir-finn2017", 0.02, 125, 200, 0.1, (100, 100)),
        ("ant-vel-finn2017", 0.02, 125, 200, 0.1, (100, 100)),
        ("ant-goal-finn2017", 0.02, 125, 200, 0.1, (100, 100)),
        ("half-cheetah-dir", 0.05, 17, 100, 0.1, (64, 64)),
        ("half-cheetah-vel", 0.05, 17, 100, 0.1, (64, 64)),
        ("ant-dir", 0.05, 111, 100, 0.1, (64, 64)),
        ("ant-dir-2d", 0.05, 111, 100, 0.1, (64, 64)),
        ("ant-goal", 0.05, 113, 200, 0.1, (64, 64)),
        ("ant-vel", 0.05, 111, 200, 0.1, (64, 64)),
        ("walker2d-dir", 0.016, 17, 200, 0.1, (64, 64)),
        ("walker2d-vel", 0.016, 17, 200, 0.1, (64, 64)),
        ("walker2d-rand-params", 0.01, 17, 200, 0.05, (64, 64)),
        ("hopper-rand-params", 0.008, 11, 200, 0.05, (64, 64)),
        ("humanoid-dir-2d", 0.015, 335, 200, 0.1, (128, 128)),
        ("swimmer-vel", 0.04, 8, 200, 0.1, (64, 64)),
        ("reacher-goal", 0.02, 6, 50, 0.1, (64, 64)),
    ],
)
def test_a_preset_makes_the_environment_of_its_protocol(
    name, control_step, observed, horizon, alpha, hidden_sizes
):
    config = load_preset(name)
    environment = make_environment(config.env_id, config.env_kwargs, config.horizon)
    assert environment.unwrapped.dt == pytest.approx(control_step)
    assert environment.observation_space.shape == (observed,)
    assert (config.horizon, config.inner_learning_rate) == (horizon, alpha)
    assert config.hidden_sizes == hidden_sizes
    environment.close()
