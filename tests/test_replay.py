"""The replay of PEARL: transitions, what is kept of them, and draws."""

import numpy as np

from metarl.learning.trajectories import Trials
from metarl_agents.replay import TaskIndex, transitions_of, with_transitions


def trials_of(steps, ended, episodes=2, terminated=()):
    """One trial of given steps, whose observation is its number."""
    time = np.arange(steps, dtype=np.float32)
    column = np.stack([time, time], axis=-1)[:, None]
    ends, by_themselves = np.zeros((2, steps, 1), dtype=bool)
    ends[ended] = True
    by_themselves[list(terminated)] = True
    last = np.full((episodes, 1, 2), -1.0)
    last[:, 0, 0] = [100 + end for end in ended]
    rewards, mask = time[:, None].astype(float), np.ones((steps, 1), bool)
    return Trials(column, column, rewards, ends, by_themselves, mask, last)


def test_transitions_say_what_came_after_and_whether_an_episode_ended_by_itself():
    # Episodes of 3 steps (cut off at the horizon) and of 2 (ended by itself).
    trials = trials_of(5, [2, 4], terminated=[4])
    log = transitions_of(trials, 7, horizon=3, context_episodes=1)
    assert log["following"][:, 0].tolist() == [1, 2, 102, 4, 104]
    assert log["terminal"].tolist() == [False, False, False, False, True]
    assert log["context"].tolist() == [True, True, True, False, False]
    assert log["task"].tolist() == [7] * 5
    assert log["rewards"].tolist() == [0, 1, 2, 3, 4]


def test_new_context_takes_the_place_of_the_old_and_the_oldest_go_first():
    first = transitions_of(trials_of(4, [1, 3]), 0, 2, 2)
    other = transitions_of(trials_of(4, [1, 3]), 1, 2, 2)
    again = transitions_of(trials_of(4, [1, 3]), 0, 2, 1)
    replay = with_transitions({}, [first, other], 10**6)
    assert replay["context"].all()
    replay = with_transitions(replay, [again], 10**6)
    assert replay["task"].tolist() == [0] * 4 + [1] * 4 + [0] * 4
    assert replay["context"].tolist() == [False] * 4 + [True] * 4 + [True, True, False, False]
    of_one = sum(column[:1].nbytes for column in replay.values())
    short = with_transitions(replay, [other], 6 * of_one)
    assert short["task"].tolist() == [0, 0, 1, 1, 1, 1]


def test_draws_are_of_each_task_and_context_is_of_its_latest_prior_episodes_alone():
    logs = [transitions_of(trials_of(6, [2, 5]), task, 3, 1) for task in range(3)]
    replay = with_transitions({}, logs, 10**6)
    steps, context = TaskIndex(replay).draw(40, 9, 8, np.random.default_rng(0))
    owner = replay["task"][steps]
    assert (owner == owner[:, :1]).all()
    assert (replay["task"][context] == owner[:, :1]).all()
    assert replay["context"][context].all()
    assert set(owner[:, 0].tolist()) == {0, 1, 2}
    assert len(np.unique(steps)) == 18  # all transitions come, context or not
