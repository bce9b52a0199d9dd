"""The queue against a model: whatever people, workers and dying processes do, in any order."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import func, select

from engine.contracts.jobs import ENDED, TRANSITIONS, JobState, Problem
from engine.errors import ConflictError, LeaseLostError
from engine.jobs import queue
from engine.jobs.kinds import LANES, kind_named
from engine.jobs.states import Lease
from engine.settings import Settings
from engine.storage.database import Database
from engine.storage.tables import AttemptRow, JobRow

KINDS = ("import", "train", "export", "serve")


@dataclass
class Model:
    """What the test knows about one job, by its own reckoning."""

    kind: str
    state: JobState = JobState.QUEUED
    attempt: int = 0
    idle: int = 0
    stop: str | None = None
    leases: list[Lease] = field(default_factory=list)


class Queue(RuleBasedStateMachine):
    """Rules are what the actors may do; the model says what must come of it."""

    jobs = Bundle("jobs")

    @initialize()
    def open(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.database = Database(Settings(home=self.home, database_url=f"sqlite:///{self.home / 'q.db'}"))
        self.known: dict[str, Model] = {}
        self.seen: dict[str, JobState] = {}

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.home)

    @rule(target=jobs, kind=st.sampled_from(KINDS))
    def enqueue(self, kind: str) -> str:
        with self.database.write() as session:
            job = queue.enqueue(session, kind, {}).id
        self.known[job] = Model(kind)
        return job

    @rule(worker=st.sampled_from(["w1", "w2"]))
    def claim(self, worker: str) -> None:
        busy = [kind_named(m.kind).lane for m in self.known.values() if m.state is JobState.RUNNING]
        waiting = [
            job
            for job, model in self.known.items()
            if model.state in queue.WAITING
            and busy.count(kind_named(model.kind).lane) < LANES[kind_named(model.kind).lane]
        ]
        with self.database.read() as session:
            assert queue.claimable(session) == bool(waiting)
        with self.database.write() as session:
            row = queue.claim(session, worker)
        if not waiting:
            assert row is None
            return
        assert row is not None
        assert row.id == waiting[0]  # the oldest; known keeps the order of queueing
        model = self.known[row.id]
        model.state, model.attempt, model.idle = JobState.RUNNING, model.attempt + 1, model.idle + 1
        assert row.attempt == model.attempt
        model.leases.append(Lease(row.id, row.attempt, worker))

    @rule(job=jobs, to=st.sampled_from(["succeeded", "failed", "cancelled", "paused"]))
    def finish(self, job: str, to: str) -> None:
        model = self.known[job]
        if model.state is not JobState.RUNNING:
            return
        with self.database.write() as session:
            queue.finish(session, model.leases[-1], JobState(to), problem=Problem(message="why"))
        model.state = JobState(to)

    @rule(job=jobs, counted=st.booleans())
    def die(self, job: str, counted: bool) -> None:
        model = self.known[job]
        if model.state is not JobState.RUNNING:
            return
        with self.database.write() as session:
            state = queue.interrupt(session, model.leases[-1], "It died.", counted=counted)
        retries = kind_named(model.kind).retries
        if model.stop in ("cancel", "pause"):
            expected = JobState.CANCELLED if model.stop == "cancel" else JobState.PAUSED
        elif counted and model.idle >= retries:
            expected = JobState.FAILED
        else:
            expected = JobState.INTERRUPTED if retries else JobState.CANCELLED
        assert state is expected
        model.state = state
        model.idle -= not counted and model.idle > 0  # a checkpoint has taken it back to 0 already

    @rule(job=jobs)
    def checkpoint(self, job: str) -> None:
        model = self.known[job]
        if model.state is JobState.RUNNING:
            with self.database.write() as session:
                queue.heartbeat(session, model.leases[-1], idle_attempts=0)
            model.idle = 0

    @rule(job=jobs, how=st.sampled_from(["cancel", "keep_best", "pause"]))
    def ask_to_stop(self, job: str, how: queue.Stop) -> None:
        model = self.known[job]
        flagged = model.state is JobState.RUNNING or (how == "keep_best" and model.attempt > 0)
        target = JobState.PAUSED if how == "pause" else JobState.CANCELLED
        with self.database.write() as session:
            state = queue.request_stop(session, job, how)
        if model.state in ENDED or (flagged and model.stop == "cancel"):
            assert state is model.state
        elif flagged:
            if model.state is JobState.PAUSED:
                model.state, model.idle = JobState.QUEUED, 0
            assert state is model.state
            model.stop = how
        else:
            assert state is target
            model.stop = model.stop if model.state is target else how
            model.state = target

    @rule(job=jobs)
    def resume(self, job: str) -> None:
        model = self.known[job]
        stopping = model.state is JobState.RUNNING and model.stop in ("cancel", "pause")
        if model.state is JobState.SUCCEEDED or stopping:
            with pytest.raises(ConflictError), self.database.write() as session:
                queue.resume(session, job)
            return
        with self.database.write() as session:
            state = queue.resume(session, job)
        if model.state in ENDED | {JobState.PAUSED}:
            model.state, model.idle, model.stop = JobState.QUEUED, 0, None
        assert state is model.state

    @precondition(lambda self: any(m.leases for m in self.known.values()))
    @rule(data=st.data(), to=st.sampled_from(["succeeded", "failed", "interrupted"]))
    def write_late(self, data: st.DataObject, to: str) -> None:
        held = [
            (model, lease)
            for model in self.known.values()
            for lease in model.leases
            if model.state is not JobState.RUNNING or lease is not model.leases[-1]
        ]
        if not held:
            return
        _, lease = data.draw(st.sampled_from(held))
        with pytest.raises(LeaseLostError), self.database.write() as session:
            queue.heartbeat(session, lease, progress=0.9)
        with pytest.raises(LeaseLostError), self.database.write() as session:
            queue.finish(session, lease, JobState(to), result={"late": True})

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        if not hasattr(self, "database"):
            return
        with self.database.read() as session:
            rows = {row.id: row for row in session.scalars(select(JobRow))}
            attempts = dict(
                session.execute(select(AttemptRow.job_id, func.count()).group_by(AttemptRow.job_id)).all()
            )
        assert rows.keys() == self.known.keys()
        for job, model in self.known.items():
            row = rows[job]
            assert (row.state, row.attempt, row.idle_attempts) == (model.state, model.attempt, model.idle)
            assert attempts.get(job, 0) == model.attempt
            assert (row.worker_id is None) == (model.state is not JobState.RUNNING)
            assert (row.finished_at is not None) == (model.state in ENDED)
            assert row.result is None or "late" not in row.result

    @invariant()
    def no_lane_holds_more_than_its_slots(self) -> None:
        running = [kind_named(m.kind).lane for m in self.known.values() if m.state is JobState.RUNNING]
        assert all(running.count(lane) <= slots for lane, slots in LANES.items())


Queue.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestQueue = Queue.TestCase


def test_every_state_can_be_left_as_the_table_says_and_no_other_way() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert TRANSITIONS[JobState.SUCCEEDED] == frozenset()
    for state in (JobState.QUEUED, JobState.INTERRUPTED):
        assert JobState.RUNNING in TRANSITIONS[state]
        assert JobState.SUCCEEDED not in TRANSITIONS[state]
