"""What torch allocates on the CPU while something runs."""

import contextlib
import gc
from collections.abc import Iterator

from building import first_state, pool
from torch.profiler import ProfilerActivity, profile

from metarl.experiments.environment_experiment import EnvironmentExperiment
from metarl.training import train


class Allocated:
    """What was held at once, at most."""

    bytes = 0


@contextlib.contextmanager
def allocations() -> Iterator[Allocated]:
    """Watch what torch holds of what is allocated inside."""
    found = Allocated()
    gc.collect()  # what earlier tests left would be given back inside, and count against it
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        yield found
    events = [
        event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    held = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        found.bytes = max(found.bytes, held)


def allocated_to_train(experiment: EnvironmentExperiment) -> int:
    """Train all iterations; give what the last one held at most."""
    with pool(experiment) as workers:
        loop = train(experiment, workers, first_state(experiment))
        for _ in range(experiment.config.iterations - 1):
            next(loop)
        with allocations() as found:
            next(loop)
    return found.bytes


def allocated_to_evaluate(experiment: EnvironmentExperiment) -> int:
    """Evaluate the agent as it is before training; give what that held at most."""
    state = first_state(experiment).agent
    (case,) = experiment.evaluation_sheets()[0].cases
    with contextlib.closing(experiment.start_test_workers(0)) as workers, allocations() as found:
        experiment.evaluate(workers, state, case)
    return found.bytes
