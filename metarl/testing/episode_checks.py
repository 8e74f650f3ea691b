"""Checks of how episodes start, run and end, alone and in a native batch."""

from contextlib import closing
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from metarl.config.reinforcement import Config
from metarl.tasks.distribution import registered
from metarl.tasks.environment_batches import NativeBatch, make_batch
from metarl.testing.playing import TASKS, Failure, Subject, declaration, play, same


def episodes_repeat(subject: Subject) -> str:
    """Seed, task and actions decide the episode, in a fresh environment and in a used one."""
    with subject.environment() as used, subject.environment() as fresh:
        tasks = subject.tasks(used)
        for episode in range(2):
            seed, actions = subject.reset_seed(episode), subject.actions(used, episode)
            reference = play(fresh, tasks[episode], seed, actions)
            with subject.environment() as another:
                if not same(reference, play(another, tasks[episode], seed, actions)):
                    raise Failure(
                        "the same seed, task and actions gave two different episodes; all "
                        "randomness must come from self.np_random, which reset(seed=…) seeds"
                    )
            play(used, tasks[-1], seed + 1, actions)
            play(used, tasks[-2], seed + 2, actions[: subject.horizon // 2])
            if not same(reference, play(used, tasks[episode], seed, actions)):
                raise Failure(
                    "a used environment gave another episode than a fresh one for the same seed, "
                    "task and actions; reset must set back everything that an episode changes"
                )
    return "the same seed, task and actions give the same episode, in a used environment too"


def starts_are_random(subject: Subject) -> str:
    """Episodes start in different states, so that a policy cannot learn one trajectory by heart."""
    with subject.environment() as environment:
        task, *_ = subject.tasks(environment)
        starts = [
            deepcopy(environment.reset(seed=subject.reset_seed(n), options={"task": task})[0])
            for n in range(5)
        ]
        fixed = declaration(environment, "fixed_start")
    random = not all(same(starts[0], start) for start in starts)
    if fixed and random:
        raise Failure("fixed_start is declared, yet starts differ between reset seeds")
    if not fixed and not random:
        raise Failure(
            "five reset seeds gave the same start; draw it from self.np_random, or declare "
            "fixed_start = True if that is the task"
        )
    return "starts differ between reset seeds" if random else "the start is declared fixed"


def time_limit_is_apart(subject: Subject) -> str:
    """The clock truncates and never terminates."""
    ends = {"terminated": 0, "truncated": 0}
    with subject.environment() as environment:
        for episode, task in enumerate(subject.tasks(environment)):
            seed, actions = subject.reset_seed(episode), subject.actions(environment, episode)
            _, steps = play(environment, task, seed, actions)
            if steps[-1].truncated and len(steps) < subject.horizon:
                raise Failure(
                    f"truncated at step {len(steps)}, before the time limit of {subject.horizon}; "
                    "register the environment's own limit as max_episode_steps"
                )
            ends["terminated" if steps[-1].terminated else "truncated"] += 1
    _require_no_clock(subject)
    return (
        f"{ends['truncated']} of {TASKS} episodes were truncated at {subject.horizon} steps, "
        f"{ends['terminated']} terminated by themselves"
    )


def _require_no_clock(subject: Subject) -> None:
    """Fail where every episode terminates just when the registered time is up."""
    limit = registered(subject.env_id).max_episode_steps
    if limit is None or limit == 1:  # one step and the end is a task of its own kind
        return
    longer = replace(subject, horizon=limit + 1)
    with longer.environment() as environment:
        for episode, task in enumerate(longer.tasks(environment)):
            seed, actions = longer.reset_seed(episode), longer.actions(environment, episode)
            _, steps = play(environment, task, seed, actions)
            if not (steps[-1].terminated and len(steps) == limit):
                return
    raise Failure(
        f"every episode terminated at step {limit}, which is the registered time limit: leave the "
        "clock to max_episode_steps, so that it sets truncated instead"
    )


def native_batch_agrees(subject: Subject) -> str:
    """Environments side by side, in a native batch or each alone, leave each other's bits alone."""
    config = Config(
        preset="conformance",
        description="",
        source="",
        env_id=subject.env_id,
        horizon=subject.horizon,
        iterations=1,
        env_kwargs=subject.env_kwargs,
    )
    with closing(make_batch(config, 2, TASKS)) as batch, subject.environment() as single:
        native = isinstance(batch, NativeBatch)
        side = "in the native batch" if native else "beside others"
        tasks = [task for task in subject.tasks(single) for _ in range(2)]
        slots = range(min(len(tasks), 2 * batch.tasks_at_once))
        for round_number in range(2):
            tasks = tasks[round_number:] + tasks[:round_number]
            episodes = [round_number * len(slots) + slot for slot in slots]
            seeds = [subject.reset_seed(episode) for episode in episodes]
            actions = [subject.actions(single, episode) for episode in episodes]
            expected = [play(single, tasks[i], seeds[i], actions[i]) for i in slots]
            observations = batch.reset(tasks[: len(slots)], seeds)
            active = np.ones(len(slots), dtype=bool)
            for i in slots:
                _require_equal(
                    observations[i], expected[i][0], f"first observation of slot {i}", side
                )
            for time in range(subject.horizon):
                chosen = np.stack([actions[i][time] for i in slots])
                observations, rewards, ended = batch.step(chosen, active)
                for i in map(int, np.flatnonzero(active)):
                    step = expected[i][1][time]
                    where = f"of slot {i} in step {time}"
                    _require_equal(observations[i], step.observation, f"observation {where}", side)
                    _require_equal(rewards[i], step.reward, f"reward {where}", side)
                    # A rollout itself counts the steps of single environments.
                    if native or time + 1 < subject.horizon:
                        over = step.terminated or step.truncated
                        _require_equal(ended[i], over, f"end {where}", side)
                active = active & ~ended
                if not active.any():
                    break
    if native:
        return f"{len(tasks)} slots with {TASKS} tasks have the bits of single environments"
    return (
        f"there is no native batch; {len(tasks)} single environments with {TASKS} tasks side by "
        "side have the bits of one alone"
    )


def _require_equal(given: Any, expected: Any, what: str, side: str) -> None:
    if not np.array_equal(given, expected):
        raise Failure(
            f"{what} {side} is {given}, in an environment alone {expected}; tasks and states must "
            "belong to the environment, not to its class or module"
        )
