"""A part of a page in which a reader chooses the goal of 2D navigation and sees policies adapt.

The browser plays the episodes and takes the gradient steps itself (`choose_goal/adaptation.js`), so
the page needs no server and no network.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from metarl.config.reinforcement import Config

ALPHAS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Step sizes that the page offers, beside that of training."""
MOST_STEPS = 3
MOST_EPISODES = 40
GOAL = (0.4, 0.3)
"""Where the goal is at first."""

Layers = Sequence[tuple[Float[np.ndarray, "_ _"], Float[np.ndarray, " _"]]]
"""Weights, by outputs and inputs, and biases of each layer."""
Policies = Mapping[str, tuple[Config, Float[np.ndarray, " act"], Layers]]
"""By label: the configuration, log σ, and the layers of the network."""


def page_part(policies: Policies, notes: Mapping[str, str] | None = None) -> str:
    """Give a part of a page, as HTML.

    Args:
        policies: Gaussian. The step sizes and the number of episodes that the page begins with are
            the first one's. Those of layers without ReLU, which the page cannot compute, are left
            out; if none remains, the part is empty.
        notes: a line under a policy, by label.

    """
    policies = {label: it for label, it in policies.items() if it[0].activation == "relu"}
    if not policies:
        return ""
    return _render("part.html", _content(policies, notes or {}))


def whole_page(policies: Policies, notes: Mapping[str, str]) -> str:
    """Give a whole page, as HTML, about a meta-trained, a multitask and an untrained policy."""
    return _render("page.html", {"part": page_part(policies, notes)})


def _content(policies: Policies, notes: Mapping[str, str]) -> dict[str, Any]:
    first, *_ = next(iter(policies.values()))
    rates = first.learning_rates_at_test(MOST_STEPS)
    alpha = first.inner_learning_rate
    proportions = [rate / rates[0] for rate in rates]
    shown = [
        {"label": label, "note": notes.get(label, ""), **_policy(*policy)}
        for label, policy in policies.items()
    ]
    halved = proportions[1:] == [0.5] * (MOST_STEPS - 1)
    return {
        "horizon": max(config.horizon for config, *_ in policies.values()),
        "most_episodes": MOST_EPISODES,
        "later_steps": ", the second and third with half of α" if halved else "",
        "data": {
            "alpha": alpha,
            "alphas": sorted({*ALPHAS, alpha}),
            "proportions": proportions,
            "episodes": min(first.episodes_per_task, MOST_EPISODES),
            "steps": 1,
            "goal": GOAL,
            "policies": shown,
        },
    }


def _policy(config: Config, log_std: Float[np.ndarray, " act"], layers: Layers) -> dict[str, Any]:
    # In the order in which `layersOf` of `choose_goal/adaptation.js` finds them.
    numbers = np.concatenate([log_std, *(part.ravel() for layer in layers for part in layer)])
    return {
        "hiddenSizes": config.hidden_sizes,
        "minimumStd": config.minimum_std,
        "actionScale": config.action_scale,
        "horizon": config.horizon,
        "discount": config.discount,
        "gaeLambda": config.gae_lambda,
        "theta": base64.b64encode(numbers.astype("<f4").tobytes()).decode(),
    }


def _render(name: str, content: Mapping[str, Any]) -> str:
    import jinja2  # workers, which import the environments, render nothing

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("metarl_envs", "choose_goal"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(content)
