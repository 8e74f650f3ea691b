"""How much memory of a GPU an iteration takes, told from its sizes.

The estimate is of MAML-TRPO, with a policy of fully connected layers, and serves its relatives. Its
factors were fitted to what torch allocates on the CPU, where the same tensors are made; it is
within 1.5 times of that (`tests/test_device_memory.py`).
"""

PROCESS_BYTES = 500 * 2**20
"""What CUDA and torch take on a card for each process, before it has computed anything. Cards and
versions differ; this is a usual amount."""

_FOR_ROWS = 2.5
"""Tensors of the size of all activations, kept for the products with the curvature."""
_FOR_GRADIENT = 1
"""Likewise for the meta-gradient, of the tasks that it takes at once."""
_FOR_PARAMETERS = 6
"""Vectors in parameter space, for each task and each phase."""


def iteration_bytes(
    *,
    tasks: int,
    longest: int,
    phases: int,
    curvature_rows: int,
    step: int,
    hidden_units: int,
    parameters: int,
    number: int,
    at_once: int,
    workers: int,
) -> int:
    """Estimate the bytes of an iteration on a GPU.

    Args:
        tasks: of the meta-batch.
        longest: most steps of a task in one phase: episodes × horizon.
        phases: of collecting: adaptation steps + 1.
        curvature_rows: steps of a task that the curvature is taken from.
        step: numbers of one observation and one action.
        hidden_units: of all hidden layers.
        parameters: of the policy.
        number: bytes of one, in the policy.
        at_once: tasks whose gradients are taken at once, in all workers together.
        workers: processes that share the card, beside the one that asks; 0: it computes itself.

    """
    activations = number * (hidden_units + step)
    experience = tasks * longest * phases * (number * step + 8 * 2)
    curvature = _FOR_ROWS * tasks * curvature_rows * phases * activations
    gradient = _FOR_GRADIENT * at_once * longest * phases * activations
    vectors = _FOR_PARAMETERS * tasks * phases * parameters * number
    return round(experience + curvature + gradient + vectors) + workers * PROCESS_BYTES
