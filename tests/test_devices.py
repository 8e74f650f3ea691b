"""The policy on another device than the CPU."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from building import run, tiny_config

from metarl.experiments.build import build_experiment
from metarl.foundation.errors import ConfigError
from metarl.runs import provenance


@pytest.mark.parametrize("device", ["cuda:99", "meta", "nonsense"])
def test_a_device_that_is_not_there_gives_one_clear_line(device):
    with pytest.raises(ConfigError, match=f"device = '{device}' is not to be had here") as failure:
        build_experiment(tiny_config(device=device))
    assert "\n" not in str(failure.value)


NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")
GRADIENTS = ("pre_adaptation_return", "post_adaptation_return", "gradient_norm")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
@pytest.mark.parametrize("preset", ["navigation-2d", "half-cheetah-dir", "bernoulli-bandit"])
def test_a_device_gives_the_numbers_of_the_cpu(preset, device):
    """In float64 θ itself; in float32 what float32 can tell.

    Ten iterations of conjugate gradient on a metric of few samples amplify rounding: on one and the
    same CPU, an iteration of `navigation-2d` at this size moves an element of θ by up to 0.065, and
    0.037 of that depends on the type. The gradient has the same seven digits in both.
    """

    def after(dtype, on):
        state, (record,) = run(tiny_config(preset, iterations=1, dtype=dtype, device=on))
        return state.agent.theta, record

    exact, expected = after("float64", "cpu")
    theta, record = after("float64", device)
    np.testing.assert_allclose(theta, exact, rtol=1e-6, atol=1e-8)
    for name in (*GRADIENTS, "loss", "kl"):
        assert record[name] == pytest.approx(expected[name], rel=1e-6, abs=1e-9)

    rounded, _ = after("float32", "cpu")
    theta, record = after("float32", device)
    noise = np.linalg.norm(rounded - exact)
    assert np.linalg.norm(theta - exact) <= 3 * noise + 1e-6
    for name in GRADIENTS:
        assert record[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6)


def test_a_session_says_a_gpus_model_memory_driver_and_cuda(monkeypatch, tmp_path):
    card = SimpleNamespace(name="NVIDIA H100 80GB HBM3", total_memory=80 * 2**30)
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Module  580.95\nGCC version: 12\n")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    monkeypatch.setattr(provenance, "_DRIVER", driver)
    described = provenance.describe_device("cuda:1")
    assert (described["name"], described["model"]) == ("cuda:1", card.name)
    assert described["memory_mebibytes"] == 80 * 1024
    assert described["driver"] == "NVRM version: NVIDIA UNIX x86_64 Module  580.95"
    monkeypatch.setattr(provenance, "_DRIVER", tmp_path / "nothing")
    assert provenance.describe_device("cuda")["driver"] is None
