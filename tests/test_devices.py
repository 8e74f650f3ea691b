"""The policy on another device than the CPU."""

import numpy as np
import pytest
import torch
from building import run, tiny_config

from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError


@pytest.mark.parametrize("device", ["cuda:99", "meta", "nonsense"])
def test_a_device_that_is_not_there_gives_one_clear_line(device):
    with pytest.raises(ConfigError, match=f"device = '{device}' is not to be had here") as failure:
        build_experiment(tiny_config(device=device))
    assert "\n" not in str(failure.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("preset", ["navigation-2d", "half-cheetah-dir", "bernoulli-bandit"])
def test_a_gpu_gives_the_numbers_of_the_cpu(preset):
    config = tiny_config(preset, iterations=1)
    on_cpu, (cpu,) = run(config)
    on_gpu, (gpu,) = run(tiny_config(preset, iterations=1, device="cuda"))
    for name in ("pre_adaptation_return", "post_adaptation_return", "loss", "kl", "gradient_norm"):
        assert gpu[name] == pytest.approx(cpu[name], rel=1e-3, abs=1e-5)
    np.testing.assert_allclose(on_gpu.agent.theta, on_cpu.agent.theta, rtol=1e-3, atol=1e-4)
