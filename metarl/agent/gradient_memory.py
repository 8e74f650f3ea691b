"""What agents that adapt by gradient steps take of a device's memory, told from their sizes.

The factors were fitted to what torch allocates on the CPU where all tasks are computed in one call,
as on a device; estimates are within 1.5 times of that (`tests/test_device_memory.py`).
"""

from metarl.agent.device_memory import Need, Sizes
from metarl.agent.stacked_experience import tasks_at_once
from metarl.agent.task_stacks import rows_of_a_task
from metarl.config.settings import TrustRegionSettings
from metarl.workers.shards import tasks_in_one_call

_FEWER = "take fewer tasks, episodes, steps or workers"
_FOR_ROWS = 2.5
"""Tensors of the size of all activations, kept for the products with the curvature."""
_FOR_GRADIENT = 1
"""Likewise for the meta-gradient, of the tasks that it takes at once."""
_FOR_PARAMETERS, _FOR_LEARNED_RATES = 6, 10
"""Vectors in parameter space, for each task and phase; with learned step sizes."""
_MET, _FOR_MET_PARAMETERS = 1.25, 3
"""The experience while it is collected; vectors likewise."""
_FOR_PLAIN_PARAMETERS = 5
"""Likewise where no curvature is kept."""
_FOR_AUTOGRAD, _FOR_AUTOGRAD_PARAMETERS = 2.4, 4
"""Likewise for a gradient through the inner loop by plain autograd."""


def bytes_to_meet(sizes: Sizes) -> int:
    """Estimate what collecting and the inner steps take, with the experience."""
    vectors = _FOR_MET_PARAMETERS * _vectors(sizes)
    return round(_MET * _experience(sizes) + _plain_gradient(sizes) + vectors)


def trust_region_need(
    sizes: Sizes,
    settings: TrustRegionSettings,
    *,
    first_order: bool = False,
    learned_rates: bool = False,
) -> Need:
    """Estimate what an outer step by meta-gradient and curvature takes.

    Args:
        sizes: of the iteration.
        settings: of the step.
        first_order: no curvature of the inner loop is kept.
        learned_rates: a step size for each parameter is learned as well.

    """
    rows = rows_of_a_task(settings.curvature_fraction, sizes.longest)
    phases = 1 if first_order else sizes.phases
    activations = _activations(sizes)
    vectors = _FOR_LEARNED_RATES if learned_rates else _FOR_PARAMETERS
    count = (
        _experience(sizes)
        + _FOR_ROWS * sizes.tasks * rows * phases * activations
        + _FOR_GRADIENT * _at_once(sizes) * sizes.longest * sizes.phases * activations
        + vectors * _vectors(sizes)
    )
    advice = f"{_FEWER}, or a smaller curvature_fraction"
    return Need(round(count), advice)


def plain_gradient_need(sizes: Sizes) -> Need:
    """Estimate what an outer step by the gradient at θ takes, without an inner loop."""
    vectors = _FOR_PLAIN_PARAMETERS * _vectors(sizes)
    return Need(round(_experience(sizes) + _plain_gradient(sizes) + vectors), _FEWER)


def autograd_need(sizes: Sizes) -> Need:
    """Estimate what an outer step by plain autograd through the inner loop takes."""
    steps = _at_once(sizes) * sizes.longest * sizes.phases
    count = (
        _MET * _experience(sizes)
        + _FOR_AUTOGRAD * steps * _activations(sizes)
        + _FOR_AUTOGRAD_PARAMETERS * _vectors(sizes)
    )
    return Need(round(count), _FEWER)


def inner_steps_need(sizes: Sizes) -> Need:
    """Estimate what an outer step takes that is made of inner steps: no more than meeting does."""
    return Need(bytes_to_meet(sizes), _FEWER)


def _experience(sizes: Sizes) -> int:
    steps = sizes.tasks * sizes.longest * sizes.phases
    return steps * (sizes.number * (sizes.seen + sizes.done) + 8 * 2)


def _activations(sizes: Sizes) -> int:
    """Give the bytes of what a policy computes at one step."""
    return sizes.number * (sum(sizes.policy.hidden_sizes) + sizes.seen + sizes.done)


def _plain_gradient(sizes: Sizes) -> int:
    """Give the bytes of a gradient on the steps of one phase, of the tasks computed at once."""
    hidden = sizes.policy.hidden_sizes
    of_a_step = sum(hidden) + 2 * max((*hidden, 0)) + 2 * (sizes.seen + sizes.done)
    return _at_once(sizes) * sizes.longest * sizes.number * of_a_step


def _vectors(sizes: Sizes) -> int:
    return sizes.tasks * sizes.phases * sizes.parameters * sizes.number


def _at_once(sizes: Sizes) -> int:
    """Say how many tasks are computed at the same time, in all workers together."""
    layout = sizes.policy.layout
    together = tasks_in_one_call(sizes.config.device) and not (layout and layout.has_images)
    in_a_call = tasks_at_once(sizes.longest) if together else 1
    return min(sizes.tasks, in_a_call * sizes.processes)
