"""Checks of spaces and observations."""

from typing import Any

import gymnasium as gym
import numpy as np

from metarl.conformance.playing import TASKS, Failure, Subject, declaration, play, same

EPISODES_TO_VARY = 12


def spaces_fit(subject: Subject) -> str:
    """Policies take a flat Box of observations and act in a flat Box or a Discrete space."""
    with subject.environment() as environment:
        observations, actions = environment.observation_space, environment.action_space
    if not isinstance(observations, gym.spaces.Box) or len(observations.shape) != 1:
        raise Failure(
            f"observation space {observations} is not a one-dimensional Box; flatten it with "
            "gymnasium.wrappers.FlattenObservation"
        )
    if isinstance(actions, gym.spaces.Box) and len(actions.shape) == 1:
        return f"observations {observations}, actions {actions}"
    if isinstance(actions, gym.spaces.Discrete) and int(actions.start) == 0:
        return f"observations {observations}, actions {actions}"
    raise Failure(
        f"action space {actions} is neither a one-dimensional Box nor a Discrete space from 0"
    )


def observations_are_members(subject: Subject) -> str:
    """Observations lie in their space, with its shape and dtype; they and rewards are finite."""
    count = 0
    with subject.environment() as environment:
        space = environment.observation_space
        for episode, task in enumerate(subject.tasks(environment)):
            seed, actions = subject.reset_seed(episode), subject.actions(environment, episode)
            first, steps = play(environment, task, seed, actions)
            for time, observation in enumerate([first, *(step.observation for step in steps)]):
                _require_member(space, observation, f"at time {time}")
            for time, step in enumerate(steps):
                if not np.isfinite(step.reward):
                    raise Failure(f"the reward of step {time} is {step.reward}")
            count += 1 + len(steps)
    return f"{count} observations have the space's shape, dtype and bounds; all is finite"


def _require_member(space: gym.Space[Any], observation: Any, when: str) -> None:
    for name in ("shape", "dtype"):
        given, expected = getattr(observation, name, None), getattr(space, name)
        if given != expected:
            raise Failure(
                f"the observation {when} has {name} {given} where observation_space says {expected}"
            )
    if not np.isfinite(observation).all():
        raise Failure(f"the observation {when} is not finite: {observation}")
    if not space.contains(observation):
        raise Failure(f"the observation {when} is outside observation_space: {observation}")


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
    """Every observation element says something."""
    with subject.environment() as environment:
        space = environment.observation_space
        assert isinstance(space, gym.spaces.Box)
        tasks = subject.tasks(environment)
        seen = []
        for episode in range(EPISODES_TO_VARY):
            seed, actions = subject.reset_seed(episode), subject.actions(environment, episode)
            first, steps = play(environment, tasks[episode % TASKS], seed, actions)
            seen += [first, *(step.observation for step in steps)]
        meant = declaration(environment, "constant_observation") or ()
    constant = set(map(int, np.flatnonzero(np.ptp(np.stack(seen), axis=0) == 0)))
    pinned = set(map(int, np.flatnonzero(space.low == space.high)))
    expected = pinned | set(range(space.shape[0]) if meant is True else meant)
    if unexpected := sorted(constant - expected):
        raise Failure(
            f"observation elements {unexpected} never changed in {EPISODES_TO_VARY} episodes of "
            "different tasks; leave them out, or declare their indices in constant_observation"
        )
    if constant:
        return f"elements {sorted(constant)} never changed, as declared; the others did"
    return f"all {space.shape[0]} elements changed"
