"""Defaults for an environment without a preset, chosen from its spaces; which are guesses.

=====================  =============  ============================================================
field                  value          why
=====================  =============  ============================================================
horizon                registered     `max_episode_steps`; where there is none 200, as long as the
                                      classic tasks of control
hidden_sizes           64, 64         the usual two layers (Rothfuss et al. 2019)
activation             tanh           bounded, and smooth for second derivatives
… with images          128 and relu   one layer: convolutions come before it
(`metarl.learning.torsos`), and
                                      their nonlinearity is that of Mnih et al. 2015
action_scale           1              [-1, 1] means the bounds; with initial_std = 1 a new policy
                                      tries all of the actions
initial_std            1              the same
inner_learning_rate    0.1            Finn et al. 2017 for locomotion; it depends on the rewards'
                                      structure more than on the spaces
… of discrete actions  1              between that and the 10 of this project's bandits: one step
                                      has to move probabilities, not means
tasks_per_batch,       20, 20         Finn et al. 2017, 2D navigation
episodes_per_task
… with images          10, 10         a step costs more, and every observation is kept until the
                                      outer step is made
curvature_fraction     0.1 with       second derivatives of convolutions would take most of an
(agent's setting)      images         iteration; the gradient still uses every step
iterations             100            enough to see whether it learns; `--resume` goes on
=====================  =============  ============================================================

Everything else is the default of `metarl.config.reinforcement`. Light: no torch here, so that help
comes at once.
"""

import contextlib
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from metarl.config.plugins import load_agent
from metarl.config.reinforcement import Config, environment_name
from metarl.tasks.distribution import make_environment, registered
from metarl.tasks.observations import Layout, observation_layout

_HORIZON = 200
_BYTE = 255
_SMALL_IMAGE = 36
"""Sides below this are a grid's rather than a camera's."""


@dataclass(frozen=True)
class Guess:
    """Fields of a configuration that the spaces do not decide."""

    fields: tuple[str, ...]
    reason: str

    def describe(self, config: Config, given: Collection[str]) -> str:
        """Say in a line what was guessed, without the fields that were given; empty: nothing."""
        names = [name for name in self.fields if name not in given]
        if not names:
            return ""
        values = ", ".join(f"{name} = {getattr(config, name)}" for name in names)
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        verb = "is a guess" if len(names) == 1 else "are guesses"
        return f"{values} {verb} ({self.reason}); set by {flags}"


def environment_defaults(env_id: str, agent: str = Config.agent) -> tuple[Config, list[Guess]]:
    """Choose the configuration of a run on an environment without a preset.

    Args:
        env_id: a Gymnasium id with its module, `package:namespace/Name-v0`.
        agent: who will learn; a step size is a guess for one that takes gradient steps.

    Returns:
        The configuration, and what in it is a guess.

    Raises:
        ConfigError: there is no such environment or agent, or it is not task-distributed.

    """
    with contextlib.closing(make_environment(env_id, {})) as environment:
        layout, actions = observation_layout(environment), environment.action_space
    limit = registered(env_id).max_episode_steps
    name = environment_name(env_id)
    tasks = episodes = 10 if layout.has_images else 20
    of_images: dict[str, Any] = (
        {
            "hidden_sizes": (128,),
            "activation": "relu",
            "agent_settings": {"curvature_fraction": 0.1},
        }
        if layout.has_images
        else {}
    )
    config = Config(
        preset="",
        description=f"{name}, with defaults chosen from its spaces",
        source="no preset: defaults of metarl.tasks.environment_defaults",
        env_id=env_id,
        horizon=limit or _HORIZON,
        iterations=100,
        tasks_per_batch=tasks,
        episodes_per_task=episodes,
        inner_learning_rate=1.0 if isinstance(actions, gym.spaces.Discrete) else 0.1,
        **of_images,
    )
    takes_steps = load_agent(agent).family == "gradient"
    return config, _guesses(limit, layout, actions, takes_steps)


def _guesses(
    limit: int | None, layout: Layout, actions: gym.Space[Any], takes_steps: bool
) -> list[Guess]:
    guesses = []
    if takes_steps:
        guesses.append(Guess(("inner_learning_rate",), "the best one depends on the environment"))
    guesses.append(
        Guess(
            ("tasks_per_batch", "episodes_per_task", "iterations"),
            "how much experience is needed depends on the environment",
        )
    )
    if limit is None:
        guesses.append(Guess(("horizon",), "the environment registers no max_episode_steps"))
    if isinstance(actions, gym.spaces.Box):
        bounded = np.isfinite(actions.low) & np.isfinite(actions.high)
        if not bounded.all():
            guesses.append(Guess(("initial_std",), "not all actions have bounds to measure it by"))
    for part in layout.parts:
        if (image := part.image) is None:
            continue
        if math.isinf(image.bound):
            guesses.append(
                Guess(("image_scale",), f"0 leaves {part.name}, which has no bound, as it is")
            )
        elif image.bound == _BYTE and min(image.height, image.width) < _SMALL_IMAGE:
            reason = f"0 divides {part.name} by 255; small images are often codes far below that"
            guesses.append(Guess(("image_scale",), reason))
    return guesses
