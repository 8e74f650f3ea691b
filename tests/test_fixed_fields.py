"""What makes an agent what it is: fields of the configuration that its specification sets."""

import numpy as np

from metarl.api.starting_point import starting_point
from metarl.experiments.build import build_experiment
from metarl.tasks.action_map import ActionMap


def test_pearls_largest_actions_reach_the_bounds_whatever_scale_a_preset_has():
    config = starting_point("navigation-corners", agent="pearl").config
    space = build_experiment(config).environment.action_space
    largest = np.ones((1, *space.shape))  # of a hyperbolic tangent
    own = ActionMap(space, config.action_scale)
    np.testing.assert_array_equal(own(largest)[0], space.high)
    np.testing.assert_array_equal(own(-largest)[0], space.low)
