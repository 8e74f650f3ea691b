"""Checks of an agent: its settings, its outer step, and the promises of a run that it must keep."""

import dataclasses
import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from metarl.agent.protocol import Agent, AgentState, Family, Record, TrainingState
from metarl.config.fields import read_fields
from metarl.config.plugins import AgentSpec
from metarl.config.reinforcement import Config
from metarl.experiments.build import build_experiment
from metarl.experiments.environment_experiment import TEST_KEY, EnvironmentExperiment
from metarl.foundation.errors import ConfigError
from metarl.runs.checkpoints import Checkpoints
from metarl.tasks.action_map import ActionMap
from metarl.testing.playing import Failure
from metarl.training import train
from metarl.workers.process_pool import Supervision
from metarl.workers.shards import Shard, Workers, to_vector

ENVIRONMENT = "metarl.testing.tiny_tasks:metarl/FindNumber-v0"
ITERATIONS = 3
ITERATIONS_TO_LEARN = 15
FORKED = Supervision(start_method="forkserver", preload=(__name__,))
"""The kit's workers live for a moment, in which spawned ones would still import torch."""


@dataclasses.dataclass(frozen=True)
class AgentSubject:
    """The agent under test, and what it is tried with."""

    name: str
    spec: AgentSpec
    settings: Mapping[str, Any]
    seed: int
    _runs: dict[int, list[tuple[TrainingState, Record]]] = dataclasses.field(default_factory=dict)

    def run(self, steps: int) -> Iterator[tuple[TrainingState, Record]]:
        """Train for ITERATIONS with so many inner steps; only once for all checks."""
        if steps not in self._runs:
            run = []
            for each in _train(self.experiment(adaptation_steps=steps)):
                run.append(each)
                yield each
            self._runs[steps] = run
        else:
            yield from self._runs[steps]

    def experiment(self, **changes: Any) -> EnvironmentExperiment:
        """Build a tiny experiment for the agent; what its specification fixes stays so."""
        config = Config(
            preset="conformance",
            description="find a hidden number",
            source="the conformance kit",
            env_id=ENVIRONMENT,
            horizon=6,
            iterations=ITERATIONS,
            agent=self.name,
            agent_settings=dict(self.settings),
            seed=self.seed,
            tasks_per_batch=4,
            episodes_per_task=5,
            hidden_sizes=(8,),
        )
        if "training_tasks" in self.spec.defaults:
            config = dataclasses.replace(config, training_tasks=config.tasks_per_batch)
        free = {name: value for name, value in changes.items() if name not in self.spec.fixes}
        config = dataclasses.replace(self.spec.completed(config), **free)
        return build_experiment(config, self.spec)


@contextmanager
def _pool(experiment: EnvironmentExperiment, workers: int = 0) -> Iterator[Workers]:
    with closing(experiment.start_workers(workers, FORKED)) as pool:
        yield pool


def _train(
    experiment: EnvironmentExperiment, workers: int = 0, start: TrainingState | None = None
) -> Iterator[tuple[TrainingState, Record]]:
    """Train to the experiment's last iteration; records come without what a clock measured."""
    with _pool(experiment, workers) as pool:
        for state, record in train(experiment, pool, start or experiment.first_state()):
            yield state, {name: v for name, v in record.items() if not name.endswith("_seconds")}


def settings_are_a_record(subject: AgentSubject) -> str:
    """Settings are a frozen dataclass with defaults that comes back from JSON, as run folders do.

    Raises:
        Failure: they are not.

    """
    kind = subject.spec.settings
    if not (dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        raise Failure(f"settings {kind.__name__} is not a frozen dataclass")
    for item in dataclasses.fields(kind):
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise Failure(f"settings field {item.name!r} has no default")
    subject.spec.refuse_taken_names(subject.name)
    given = read_fields(kind, subject.settings, "settings")
    written = json.dumps(dataclasses.asdict(given))
    if read_fields(kind, json.loads(written), "settings") != given:
        raise Failure(f"settings {given}, written as {written}, came back different")
    return f"{kind.__name__}: {len(dataclasses.fields(kind))} fields, which come back from JSON"


def protocol_is_there(subject: AgentSubject) -> str:
    """The class has the members of `metarl.agent.protocol.Agent`, and starts from the given θ."""
    experiment = subject.experiment()
    agent = experiment.agent
    if not isinstance(agent, Agent) or not isinstance(agent.family, Family):
        raise Failure(
            f"{type(agent).__name__} has no family, initial_state and improve as "
            "metarl.agent.protocol.Agent says"
        )
    if agent.family.name != subject.spec.family:
        raise Failure(
            f"its AgentSpec says family {subject.spec.family!r}, its class {agent.family.name!r}"
        )
    if not agent.family.collects_in_shards:
        raise Failure("the kit checks no agent that steps environments of its own")
    theta = to_vector(experiment.initial)
    state = agent.initial_state(theta)
    if not isinstance(state, AgentState):
        raise Failure(f"initial_state gave {type(state).__name__}, no AgentState")
    if not np.array_equal(state.theta, theta):
        raise Failure("initial_state changed θ; --initial-policy would not be what it says")
    return f"of the {agent.family.name} family; initial_state keeps θ, improve is there"


def tasks_are_met(subject: AgentSubject) -> str:
    """Every unit of adaptation is counted, leaves a state behind, and that state acts."""
    experiment = subject.experiment(test_tasks=2, test_episodes_per_task=3, test_adaptation_steps=2)
    agent, start = experiment.agent, experiment.first_state().agent
    tasks = experiment.held_out_tasks({}, 2)
    with closing(Shard(experiment.test_shards())) as shard:
        met = agent.family.meet(shard, start.travelling, tasks, TEST_KEY)
        adapted = agent.family.adapted(shard, start.travelling)
    units = experiment.config.test_adaptation_steps + 1
    for statistics, states in zip(met, adapted, strict=True):
        counts = len(statistics.mean_returns), len(statistics.phase_env_steps), len(states)
        if set(counts) != {units}:
            raise Failure(
                f"{units - 1} units of adaptation gave {counts[0]} returns, {counts[1]} counts of "
                f"environment steps and {counts[2]} states; {units} of each are wanted"
            )
        for state in states:
            _require_action(experiment, state)
    return f"{units - 1} units ({agent.family.unit}s) leave {units} states, each of which acts"


def _require_action(experiment: EnvironmentExperiment, state: AgentState) -> None:
    actor, space = experiment.actor(state), experiment.environment.action_space
    action_map = ActionMap(space, experiment.config.action_scale)
    rows = np.zeros((2, *(experiment.environment.observation_space.shape or ())))
    memory = actor.begin(len(rows))
    for generator in (None, np.random.default_rng(0)):
        chosen, memory = actor.act(rows, memory, generator)
        memory = actor.observe(memory, np.zeros(len(rows)), np.zeros(len(rows), dtype=bool))
        for action in action_map(chosen):
            if not space.contains(action):
                raise Failure(f"the actor chose {action!r}, which is not in {space}")


def steps_are_sound(subject: AgentSubject) -> str:
    """θ stays finite and of its shape and type, metrics are plain and finite, for all policies."""
    refused = ""
    for steps in (1, 2):
        kinds = [("continuous", subject.experiment(), subject.run(steps))]
        try:
            discrete = subject.experiment(env_kwargs={"discrete": True}, adaptation_steps=steps)
            kinds.append(("discrete", discrete, _train(discrete)))
        except ConfigError as error:
            refused = f"; choices are refused: {error}"
        for actions, experiment, run in kinds:
            where = f"with {actions} actions and {steps} inner steps"
            before = experiment.first_state().agent.theta
            for state, record in run:
                _require_sound(before, state.agent, record, where)
            if np.array_equal(before, state.agent.theta):
                raise Failure(f"{ITERATIONS} iterations {where} left θ where it was")
    policies = "continuous actions" if refused else "continuous and discrete actions"
    return f"{policies}, one and two units: θ moves and stays finite{refused}"


def _require_sound(before: np.ndarray, after: AgentState, record: Record, where: str) -> None:
    theta = after.theta
    if theta.shape != before.shape or theta.dtype != before.dtype:
        raise Failure(
            f"{where}, θ came back as {theta.dtype}{theta.shape} instead of "
            f"{before.dtype}{before.shape}"
        )
    if not np.isfinite(theta).all():
        raise Failure(f"{where}, θ is not finite after iteration {record['iteration']}")
    for name, value in record.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise Failure(f"{where}, metric {name!r} is {value}")


def runs_repeat(subject: AgentSubject) -> str:
    """The same seed gives the same bits, whatever the number of workers."""
    once = list(subject.run(2))
    iteration = _first_difference(subject, once, workers=2)
    if not iteration:
        return "the same seed gives the same bits again, and with two worker processes"
    workers = "2 workers"
    hint = "sum contributions in task order, in float64, and compute each task alone"
    if alone := _first_difference(subject, once, workers=1):
        iteration, workers = alone, "1 worker"
        hint = "randomness must come from metarl.foundation.seeding"
    raise Failure(
        f"iteration {iteration} gave other numbers with {workers} than with one before; {hint}"
    )


def _first_difference(
    subject: AgentSubject, once: list[tuple[TrainingState, Record]], workers: int
) -> int:
    """Train again; give the first iteration with other numbers, 0 for none."""
    again = _train(subject.experiment(adaptation_steps=2), workers)
    for (state, record), (other, its) in zip(once, again, strict=True):
        if not _same(state.agent, other.agent) or record != its:
            return int(record["iteration"])
    return 0


def states_resume(subject: AgentSubject) -> str:
    """A run that goes on from a checkpoint equals one that was never interrupted."""
    experiment, whole = subject.experiment(), list(subject.run(1))
    with tempfile.TemporaryDirectory() as folder:
        carried = experiment.agent.family.carried_bytes
        checkpoints = Checkpoints(Path(folder), carried_bytes=carried)
        checkpoints.save(whole[0][0], experiment.initial, {})
        loaded, _, _ = checkpoints.load_newest(experiment.initial, experience=True)
    resumed = _train(subject.experiment(), start=loaded)
    for (state, record), (other, its) in zip(whole[1:], resumed, strict=True):
        if not _same(state.agent, other.agent) or record != its:
            raise Failure(
                f"iteration {record['iteration']} after a resume gave other numbers; what the next "
                "step needs must be in AgentState (theta, optimiser, others, experience), "
                "nothing in the agent itself"
            )
    return "a resumed run gives the bits of an uninterrupted one"


def states_are_kept(subject: AgentSubject) -> str:
    """An outer step gives a new state and leaves the old one, which may be needed again."""
    experiment = subject.experiment(iterations=1)
    start = experiment.first_state()
    before = _copy(start.agent)
    ((last, _),) = _train(experiment, start=start)
    if not _same(start.agent, before):
        raise Failure("improve wrote into the state that it was given; return a new one")
    if np.shares_memory(start.agent.theta, last.agent.theta):
        raise Failure("the new state's θ shares memory with the old one's")
    return "improve leaves the state that it is given"


def equal_rewards_do_no_harm(subject: AgentSubject) -> str:
    """A batch that says nothing is no error, and leaves θ finite."""
    experiment = subject.experiment(env_kwargs={"flat": True})
    before = experiment.first_state().agent.theta
    for state, record in _train(experiment):
        _require_sound(before, state.agent, record, "with all rewards equal")
    return "batches whose rewards are all equal leave θ finite"


def agents_learn(subject: AgentSubject) -> str:
    """After some iterations, adapted policies do better than at first."""
    experiment = subject.experiment(iterations=ITERATIONS_TO_LEARN)
    returns = [record["post_adaptation_return"] for _, record in _train(experiment)]
    first, last = float(np.mean(returns[:5])), float(np.mean(returns[-5:]))
    if last <= first:
        raise Failure(
            f"mean return after adaptation went from {first:.2f} to {last:.2f} in "
            f"{ITERATIONS_TO_LEARN} iterations of finding a hidden number; is the sign right?"
        )
    return (
        f"finding a hidden number, the return after adaptation rose from {first:.2f} to {last:.2f} "
        f"in {ITERATIONS_TO_LEARN} iterations"
    )


def _copy(state: AgentState) -> AgentState:
    return AgentState(
        state.theta.copy(),
        {name: np.copy(value) for name, value in state.optimiser.items()},
        {name: np.copy(value) for name, value in state.others.items()},
        {name: np.copy(value) for name, value in state.experience.items()},
    )


def _same(one: AgentState, other: AgentState) -> bool:
    def parts(state: AgentState) -> dict[tuple[str, str], np.ndarray]:
        named = {("", "theta"): state.theta}
        named |= {("optimiser", name): array for name, array in state.optimiser.items()}
        named |= {("others", name): array for name, array in state.others.items()}
        return named | {("experience", name): array for name, array in state.experience.items()}

    ours, theirs = parts(one), parts(other)
    return set(ours) == set(theirs) and all(np.array_equal(ours[k], theirs[k]) for k in ours)
