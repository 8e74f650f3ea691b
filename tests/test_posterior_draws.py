"""Draws from posteriors, by keys: they have the distributions that they should."""

import numpy as np
import pytest

from metarl_agents import posterior_draws


def test_draws_have_their_distributions() -> None:
    keys = np.random.default_rng(1).random(20_000)
    uniform = posterior_draws.uniforms(keys, 3)
    assert uniform.mean(axis=0) == pytest.approx([0.5] * 3, abs=0.01)
    normal = posterior_draws.normals(keys, 3)
    assert normal.mean(axis=0) == pytest.approx([0] * 3, abs=0.03)
    assert normal.std(axis=0) == pytest.approx([1] * 3, abs=0.03)
    assert np.abs(np.corrcoef(normal.T) - np.eye(3)).max() < 0.03
    shape = np.tile([1.0, 2.0, 30.0], (20_000, 1))
    gamma = posterior_draws.gammas(keys, shape)
    assert gamma.mean(axis=0) == pytest.approx(shape[0], rel=0.03)
    assert gamma.var(axis=0) == pytest.approx(shape[0], rel=0.06)
    other = posterior_draws.gammas(keys, shape, first=1)
    assert abs(np.corrcoef(gamma[:, 0], other[:, 0])[0, 1]) < 0.03
