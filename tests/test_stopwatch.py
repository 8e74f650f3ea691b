"""The stopwatch and the profile, on a clock that the test moves."""

import pytest

from metarl.foundation import stopwatch
from metarl.foundation.stopwatch import Profile, Stopwatch


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])
    return now


def test_a_phase_inside_another_counts_for_the_inner_one_only(clock):
    watch = Stopwatch()
    clock[0] += 50  # in no phase
    with watch.phase("outer"):
        clock[0] += 1
        for _ in range(2):
            with watch.phase("inner"):
                clock[0] += 3
        clock[0] += 2
    assert watch.take() == {"outer": 3, "inner": 6}
    assert watch.take() == {}


def test_a_phase_ends_with_the_error_that_leaves_it(clock):
    watch = Stopwatch()

    def broken():
        clock[0] += 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"), watch.phase("outer"), watch.phase("inner"):
        broken()
    clock[0] += 7
    assert watch.take() == {"outer": 0, "inner": 1}


def test_a_profile_means_over_workers_and_leaves_the_rest_to_communication():
    profile = Profile()
    profile.add(10.0, [{"work": 4.0}, {"work": 6.0, "more": 2.0}])
    profile.add(1.0, [{"work": 1.0}, {"work": 1.0}])
    assert profile.take() == {"work": 6.0, "more": 1.0, "communication": 4.0}
    assert profile.take() == {}
