"""Checks of spaces and observations."""

import operator
from typing import Any

import gymnasium as gym
import numpy as np

from metarl.tasks.observations import (
    WHOLE,
    FlatObservations,
    observation_layout,
    raw_parts,
    unflattened,
)
from metarl.testing.playing import TASKS, Failure, Subject, declaration, play, same

EPISODES_TO_VARY = 12


def spaces_fit(subject: Subject) -> str:
    """Policies take observations with numbers in them and act in a Box or a Discrete space."""
    with subject.environment() as environment:
        observations, actions = environment.observation_space, environment.action_space
        seen: Any = observations
        if isinstance(environment, FlatObservations):
            seen = environment.observation_layout.describe()
    if isinstance(actions, gym.spaces.Box | gym.spaces.Discrete):
        return f"observations {seen}, actions {actions}"
    raise Failure(f"action space {actions} is neither a Box nor a Discrete space")


def observations_are_members(subject: Subject) -> str:
    """Observations lie in their space, with its shape and dtype; they and rewards are finite."""
    count = 0
    with subject.environment() as flat:
        environment = unflattened(flat)
        space = environment.observation_space
        for episode, task in enumerate(subject.tasks(environment)):
            seed, actions = subject.reset_seed(episode), subject.actions(environment, episode)
            first, steps = play(environment, task, seed, actions)
            for time, observation in enumerate([first, *(step.observation for step in steps)]):
                for name, part_space, part in raw_parts(space, observation):
                    what = f"the {WHOLE} " if name == WHOLE else f"part {name} of the {WHOLE} "
                    _require_member(part_space, part, f"{what}at time {time}")
            for time, step in enumerate(steps):
                if not np.isfinite(step.reward):
                    raise Failure(f"the reward of step {time} is {step.reward}")
            count += 1 + len(steps)
    return f"{count} observations have the space's shape, dtype and bounds; all is finite"


def _require_member(space: gym.Space[Any], value: Any, what: str) -> None:
    for name in ("shape", "dtype") if isinstance(space, gym.spaces.Box) else ():
        given, expected = getattr(value, name, None), getattr(space, name)
        if given != expected:
            raise Failure(f"{what} has {name} {given} where observation_space says {expected}")
    if not np.isfinite(value).all():
        raise Failure(f"{what} is not finite: {value}")
    if not space.contains(value):
        raise Failure(f"{what} is outside observation_space: {value}")


def observations_are_fresh(subject: Subject) -> str:
    """An observation is the caller's: later steps leave it alone, and writing into it does no harm.

    Raises:
        Failure: they share memory with each other or with the environment's state.

    """
    with subject.environment() as environment, subject.environment() as control:
        task, *_ = subject.tasks(environment)
        seed, actions = subject.reset_seed(0), subject.actions(environment, 0)
        _, expected = play(control, task, seed, actions)
        held, _ = environment.reset(seed=seed, options={"task": task})
        for time, (action, step) in enumerate(zip(actions, expected, strict=False)):
            if held.flags.writeable:
                held[...] = held + 1
            kept = held.copy()
            observation, *_ = environment.step(action)
            if not same(held, kept):
                raise Failure(
                    f"the observation of time {time} changed in the next step: the environment "
                    "writes into an array it has given away; return a copy"
                )
            if not same(observation, step.observation):
                raise Failure(
                    f"writing into the observation of time {time} changed the next one: the "
                    "environment goes on using an array it has given away; return a copy"
                )
            held = observation
    return "each observation is an array of its own"


def elements_vary(subject: Subject) -> str:
    """Every observation element says something; an image, or a choice, as a whole."""
    with subject.environment() as environment:
        space = environment.observation_space
        assert isinstance(space, gym.spaces.Box)
        layout = observation_layout(environment)
        tasks = subject.tasks(environment)
        seen = []
        for episode in range(EPISODES_TO_VARY):
            seed, actions = subject.reset_seed(episode), subject.actions(environment, episode)
            first, steps = play(environment, tasks[episode % TASKS], seed, actions)
            seen += [first, *(step.observation for step in steps)]
        meant = _declared_constant(environment, space.shape[0])
    varies = np.ptp(np.stack(seen), axis=0) > 0
    for part, place in layout.slices():
        if part.image or part.one_hot:  # a picture has a background
            varies[place] = varies[place].any()
    constant = set(map(int, np.flatnonzero(~varies)))
    pinned = set(map(int, np.flatnonzero(space.low == space.high)))
    expected = pinned | meant
    if unexpected := sorted(constant - expected):
        raise Failure(
            f"observation elements {layout.name_elements(unexpected)} never changed in "
            f"{EPISODES_TO_VARY} episodes of different tasks; leave them out, or declare "
            f"constant_observation = {tuple(sorted(meant | set(unexpected)))}, their places in "
            "the flattened observation"
        )
    if constant:
        named = layout.name_elements(sorted(constant))
        return f"elements {named} never changed, as declared; the others did"
    return f"all {space.shape[0]} elements changed"


def _declared_constant(environment: gym.Env[Any, Any], count: int) -> set[int]:
    """Give the places, among so many in the flattened observation, that may stay constant."""
    meant = declaration(environment, "constant_observation") or ()
    if meant is True:
        return set(range(count))
    try:
        places = {operator.index(place) for place in meant}
    except TypeError:
        places = {-1}
    if not places <= set(range(count)):
        raise Failure(
            f"constant_observation = {meant!r} must be True, or a list of numbers from 0 to "
            f"{count - 1}: places in the flattened observation"
        )
    return places
