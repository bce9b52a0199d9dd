"""When a lease that ran out means that a job hangs."""

from __future__ import annotations

import pytest

from engine.jobs import overdue
from engine.jobs.overdue import LONGEST_WRITE, PROMPT, Overdue
from engine.settings import Timing

JOB, OTHER = ("a", 1), ("b", 1)
GRACE = 10.0


class Clock:
    """A monotonic clock that a test sets, in s."""

    now = 0.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(overdue, "time", made)
    return made


@pytest.fixture
def watch(clock: Clock) -> Overdue:
    return Overdue(Timing(heartbeat=GRACE / overdue.HEARTBEATS))


def test_on_a_free_database_a_silent_job_hangs_after_the_grace(clock: Clock, watch: Overdue) -> None:
    assert watch.missed([JOB], 0.0) == set()
    clock.now = 4.0
    assert watch.missed([JOB, OTHER], 0.0) == set()
    clock.now = GRACE
    assert watch.missed([JOB, OTHER], 0.0) == {JOB}
    clock.now = GRACE + 4.0
    assert watch.missed([JOB, OTHER], 0.0) == {JOB, OTHER}


def test_one_that_renewed_meanwhile_starts_anew(clock: Clock, watch: Overdue) -> None:
    watch.missed([JOB], 0.0)
    clock.now = 9.0
    assert watch.missed([], 0.0) == set()
    clock.now = 12.0
    assert watch.missed([JOB], 0.0) == set()


def test_while_the_database_is_held_no_time_passes(clock: Clock, watch: Overdue) -> None:
    watch.missed([JOB], 0.0)
    clock.now = 9.0
    assert not watch.held()
    clock.now = 1000.0
    assert watch.missed([JOB], 0.0) == set()
    clock.now = 1000.0 + GRACE
    assert watch.missed([JOB], 2 * PROMPT) == set(), "another held it until just now"
    clock.now = 1000.0 + 2 * GRACE
    assert watch.missed([JOB], 0.0) == {JOB}


def test_no_write_takes_for_ever(clock: Clock, watch: Overdue) -> None:
    assert not watch.held()
    clock.now = LONGEST_WRITE
    assert not watch.held()
    clock.now += 1.0
    assert watch.held()
    watch.free()
    assert not watch.held()
