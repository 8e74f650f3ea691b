"""The ring of remembered trials: who is forgotten, what is kept, what a checkpoint gives back."""

import numpy as np
import pytest
from building import tiny_config
from meeting_by_varibad import config_of, met

from metarl.agent.protocol import AgentState, TrainingState
from metarl.experiments.build import build_experiment
from metarl.foundation.errors import RunFolderError
from metarl.runs.checkpoints import Checkpoints
from metarl_agents.trial_buffer import compact, draw, reached, with_trials

ROOM = 2**20


def rows_of(numbers):
    """Trials of two steps, each with a number of its own."""
    numbers = np.array(numbers)
    return {
        "rewards": np.repeat(numbers[:, None], 2, axis=1).astype(np.float32),
        "steps": numbers.astype(np.int32),
    }


def test_it_is_a_ring_in_which_the_newest_takes_the_oldest_ones_place():
    generator = np.random.default_rng(1)
    buffer, all_of_them = {}, []
    for _ in range(30):
        new = list(range(len(all_of_them), len(all_of_them) + int(generator.integers(1, 10))))
        all_of_them += new
        before = {name: column.copy() for name, column in buffer.items()}
        after = with_trials(buffer, rows_of(new), 7, ROOM)
        for name, column in before.items():  # what was given is left as it was
            assert np.array_equal(column, buffer[name])
        buffer = after
        assert sorted(buffer["steps"].tolist()) == all_of_them[-7:]
        assert np.array_equal(buffer["rewards"], np.repeat(buffer["steps"][:, None], 2, axis=1))
        assert buffer["met"].tolist() == [len(all_of_them)]


def test_it_takes_no_more_memory_than_it_may():
    of_one = 2 * 4 + 4
    buffer = with_trials({}, rows_of(range(20)), 100, 6 * of_one + 3)
    assert buffer["steps"].tolist() != []
    assert sorted(buffer["steps"].tolist()) == list(range(14, 20))
    assert len(with_trials({}, rows_of(range(20)), 100, 1)["steps"]) == 1


def test_trials_are_drawn_without_any_twice():
    buffer = with_trials({}, rows_of(range(20)), 100, ROOM)
    generator = np.random.default_rng(1)
    drawn = draw(buffer, 12, generator)
    assert len(set(drawn["steps"].tolist())) == 12
    assert np.array_equal(drawn["rewards"][:, 0], drawn["steps"])
    assert sorted(draw(buffer, 50, generator)["steps"].tolist()) == list(range(20))


@pytest.mark.parametrize("discrete", [False, True], ids=["box", "discrete"])
def test_trials_lie_in_it_as_they_were_met(discrete):
    with met(config_of(discrete)) as (shard, _, _):
        trials = shard.trials
        parts = [trials.of(slice(first, first + 2)) for first in range(0, len(trials), 2)]
        rows = compact(parts, horizon=5, choices=3 if discrete else 0)
    assert rows["rewards"].shape == (14, 15)
    assert rows["actions"].dtype == (np.uint8 if discrete else np.float32)
    following = reached(rows)
    for trial in range(len(trials)):
        steps, episode = int(trials.mask[:, trial].sum()), 0
        assert rows["steps"][trial] == steps
        for name in ("observations", "actions", "rewards", "ended"):
            column, true = rows[name][trial], getattr(trials, name)[:steps, trial]
            assert np.array_equal(column[:steps], true.astype(column.dtype))
            assert not column[steps:].any()
        for time in range(steps):
            if trials.ended[time, trial]:
                seen = trials.last_observations[episode, trial]
                episode += 1
            else:
                seen = trials.observations[time + 1, trial]
            assert np.array_equal(following[trial, time], seen.astype(np.float32))
        assert episode == 3


def test_the_last_observation_of_an_episode_is_what_was_seen_after_its_last_step():
    """The second number that EarlyEnds shows is how many steps the episode has had."""
    with met(config_of()) as (shard, _, _):
        trials = shard.trials
        for trial in range(len(trials)):
            last_steps = np.flatnonzero(trials.ended[:, trial])
            lengths = np.diff(last_steps, prepend=-1)
            assert trials.last_observations[:, trial, 1].tolist() == lengths.tolist()
            assert set(lengths) != {1}  # the first observation of the next shows 0


def test_checkpoints_have_room_for_it(tmp_path):
    experiment = build_experiment(tiny_config(hidden_sizes=(4,)))
    theta = experiment.first_state().agent.theta
    large = {"buffer": np.arange(4 * 2**20, dtype=np.float32)}
    state = TrainingState(AgentState(theta, experience=large), 1, 0)
    roomy = Checkpoints(tmp_path, carried_bytes=2**24)
    roomy.save(state, experiment.initial, {})
    loaded, _, _ = roomy.load_newest(experiment.initial, experience=True)
    assert np.array_equal(loaded.agent.experience["buffer"], large["buffer"])
    with pytest.raises(RunFolderError, match="bytes"):  # the negative control
        Checkpoints(tmp_path).save(state, experiment.initial, {})
    with pytest.raises(RunFolderError):
        Checkpoints(tmp_path).load_newest(experiment.initial, experience=True)
