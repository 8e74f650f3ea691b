"""Checks of what an environment does with its task."""

import json
from copy import deepcopy

import numpy as np

from metarl.tasks.distribution import Task, describe_task, task_space, to_json
from metarl.tasks.observations import observation_layout
from metarl.testing.playing import Env, Failure, Subject, advance, declaration, play, same

ATTEMPTS_TO_DIFFER = 100


def tasks_are_members(subject: Subject) -> str:
    """Sampled tasks lie in the task space, and the same seed draws the same ones."""
    with subject.environment() as environment, subject.environment() as other:
        space = task_space(environment)
        tasks, again = subject.tasks(environment, 20), subject.tasks(other, 20)
    for task in tasks:
        if not space.contains(task):
            raise Failure(f"sampled task {describe_task(task)} is not in task_space {space}")
    if not same(tasks, again):
        raise Failure(
            "the same seed drew other tasks; sample_task must draw from the generator it is given"
        )
    return f"20 sampled tasks lie in {space}, and the same seed draws them again"


def tasks_survive_json(subject: Subject) -> str:
    """Tasks come back from JSON as they went, as run folders need it."""
    with subject.environment() as environment:
        space, tasks = task_space(environment), subject.tasks(environment)
    written = json.dumps(to_json(space, tasks))
    read = space.from_jsonable(json.loads(written))
    if not same(tasks, read):
        raise Failure(f"tasks {tasks}, written as {written}, came back as {read}")
    return "tasks come back from JSON bit for bit"


def task_is_settable(subject: Subject) -> str:
    """A task goes in through reset or the attribute, and shows as the attribute."""
    with subject.environment() as environment:
        tasks = subject.tasks(environment)
        for task in tasks:
            environment.reset(seed=1, options={"task": task})
            _require_task(environment, task, "after reset(options={'task': task})")
        for task in tasks:
            environment.set_wrapper_attr("task", task)
            _require_task(environment, task, "after it was set as the attribute task")
    return "reset(options={'task': task}) and the attribute task both set it"


def task_persists(subject: Subject) -> str:
    """The task stays over steps and resets that name none."""
    with subject.environment() as environment:
        for task in subject.tasks(environment):
            play(environment, task, subject.reset_seed(0), subject.actions(environment, 0))
            _require_task(environment, task, "after an episode")
            environment.reset(seed=subject.reset_seed(1))
            _require_task(environment, task, "after reset(seed=…)")
            environment.reset()
            _require_task(environment, task, "after reset()")
    return "the task stays over episodes, and over resets that name none"


def _require_task(environment: Env, task: Task, when: str) -> None:
    shown = environment.get_wrapper_attr("task")
    if not same(task, shown):
        raise Failure(
            f"{when}, the attribute task is {describe_task(shown)} instead of {describe_task(task)}"
        )


def same_task_same_episode(subject: Subject) -> str:
    """The rewards are the task's, by whichever way it was set and whatever was set before."""
    with subject.environment() as environment, subject.environment() as fresh:
        first, second, *_ = subject.tasks(environment)
        seed, actions = subject.reset_seed(0), subject.actions(environment, 0)
        for before, task in ((first, second), (second, first)):
            reference = play(fresh, task, seed, actions)
            play(environment, before, seed, actions)
            if not same(reference, play(environment, task, seed, actions)):
                raise Failure(
                    f"task {describe_task(task)} played differently after task "
                    f"{describe_task(before)}: something of the earlier task was left"
                )
            play(environment, before, seed, actions)
            environment.set_wrapper_attr("task", task)
            start, _ = environment.reset(seed=seed)
            if not same(reference, (deepcopy(start), advance(environment, actions))):
                raise Failure(
                    f"task {describe_task(task)} played differently when set as the attribute task "
                    "than through reset(options={'task': task})"
                )
    return "a task gives the same episode by either way of setting it, whatever was set before"


def tasks_differ(subject: Subject) -> str:
    """Two tasks show somewhere, in rewards or dynamics."""
    with subject.environment() as environment:
        tasks = subject.tasks(environment, 10)
        for attempt in range(ATTEMPTS_TO_DIFFER):
            seed, actions = subject.reset_seed(attempt), subject.actions(environment, attempt)
            one, other = tasks[attempt % 10], tasks[(attempt + 1 + attempt // 10) % 10]
            _, steps = play(environment, one, seed, actions)
            _, others = play(environment, other, seed, actions)
            for time, (step, another) in enumerate(zip(steps, others, strict=False)):
                if step.reward != another.reward:
                    return f"two tasks gave different rewards in step {time} of the same actions"
                if not same(step, another):
                    return f"two tasks led elsewhere in step {time} of the same actions"
    raise Failure(
        f"{ATTEMPTS_TO_DIFFER} pairs of tasks gave the same episodes for the same actions: the "
        "task changes neither rewards nor dynamics"
    )


def task_is_hidden(subject: Subject) -> str:
    """The observation does not tell the task: that is what adaptation is to find out.

    Two signs of a leak: the first observation depends on the task while the reset seed is the same;
    an element that stays the same in every episode of a task differs between tasks.
    """
    with subject.environment() as environment:
        tasks = subject.tasks(environment, 6)
        meant = declaration(environment, "observes_task")
        layout = observation_layout(environment)
        firsts = {}
        constants = []
        for index, task in enumerate(tasks):
            seen = []
            for episode in range(2):
                seed, actions = subject.reset_seed(episode), subject.actions(environment, episode)
                first, steps = play(environment, task, seed, actions)
                firsts[index, episode] = first
                seen += [step.observation for step in steps]
            varies = np.ptp(np.stack(seen), axis=0) > 0
            constants.append(np.where(varies, np.nan, seen[0]))
    leaks = [
        np.stack([firsts[index, episode] for index in range(len(tasks))]) for episode in range(2)
    ]
    leaks.append(np.stack(constants))
    telling = sorted({int(i) for rows in leaks for i in np.flatnonzero(_differs(rows))})
    if meant:
        if not telling:
            raise Failure("observes_task is declared, yet no observation element tells the task")
        named = layout.name_elements(telling)
        if meant is True:
            return f"declared an oracle (observes_task): elements {named} tell the task"
        telling = sorted(set(telling) - set(meant))
        if not telling:
            return f"elements {named} show what observes_task says they may, the others nothing"
    if telling:
        raise Failure(
            f"observation elements {layout.name_elements(telling)} tell the task; leave them out, "
            "or declare observes_task = True if this is meant to be an oracle, or these indices "
            "if only a part of the task shows there, as where an object lies"
        )
    return "neither a first observation nor a constant element depends on the task"


def _differs(rows: np.ndarray) -> np.ndarray:
    """Tell which columns take more than one value, NaN being none."""
    known = ~np.isnan(rows).any(axis=0)
    differs: np.ndarray = known & (np.ptp(np.where(known, rows, 0.0), axis=0) > 0)
    return differs
