"""The queue's promises one by one: keys, order, fences, events, checkpoints, sentences."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.api.jobs import Jobs
from engine.contracts.jobs import JobState, Problem
from engine.errors import ConflictError, InputError, JobCancelledError, LeaseLostError, NotFoundError
from engine.jobs import events, queue
from engine.jobs.checkpoints import CheckpointStore
from engine.jobs.context import JobContext
from engine.jobs.kinds import KINDS, LANES, kind_named
from engine.jobs.problems import DISK_FULL
from engine.jobs.processes import exit_sentence
from engine.jobs.states import Lease
from engine.settings import Settings, Timing
from engine.storage.database import Database
from engine.storage.processes import is_alive, start_time
from engine.storage.tables import JobRow


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'q.db'}"))
    yield made
    made.close()


def running(database: Database, kind: str = "train") -> tuple[JobRow, Lease]:
    with database.write() as session:
        queue.enqueue(session, kind, {"n": 1})
        row = queue.claim(session, "w1")
    assert row is not None
    return row, Lease(row.id, row.attempt, "w1")


def context_of(database: Database) -> JobContext:
    row, lease = running(database)
    return JobContext(database.settings, database, row, lease)


def take_over(database: Database, lease: Lease) -> Lease:
    """Let another worker own the job, as after an expired lease."""
    with database.write() as session:
        queue.interrupt(session, lease, "It slept.")
        row = queue.claim(session, "w2")
    assert row is not None
    return Lease(row.id, row.attempt, "w2")


# --- putting in -----------------------------------------------------------------------------------


def test_the_same_key_gives_the_same_job(database: Database) -> None:
    with database.write() as session:
        first = queue.enqueue(session, "train", {"a": 1}, key="k").id
    with database.write() as session:
        assert queue.enqueue(session, "train", {"a": 2}, key="k").id == first
        assert queue.enqueue(session, "train", {"a": 3}).id != first
        assert queue.get(session, first).payload == {"a": 1}


def test_a_single_job_of_a_kind_until_it_has_ended(database: Database) -> None:
    with database.write() as session:
        first = queue.enqueue_single(session, "serve").id
        assert queue.enqueue_single(session, "serve").id == first
        queue.request_stop(session, first, "cancel")
        assert queue.enqueue_single(session, "serve").id != first


def test_unknown_kinds_and_jobs_are_named(database: Database) -> None:
    with database.write() as session:
        with pytest.raises(InputError, match="'bake'"):
            queue.enqueue(session, "bake", {})
        with pytest.raises(NotFoundError, match="'nope'"):
            queue.info(session, "nope")


def test_jobs_ahead_are_those_of_the_same_lane(database: Database) -> None:
    with database.write() as session:
        trains = [queue.enqueue(session, "train", {}).id for _ in range(3)]
        export = queue.enqueue(session, "export", {}).id
        assert queue.claim(session, "w", {"heavy": 1}) is not None
        assert [queue.info(session, job).ahead for job in trains] == [0, 1, 2]
        assert queue.info(session, export).ahead == 0
        assert [info.id for info in queue.active(session)] == [*trains, export]


def test_a_lane_with_full_slots_lets_the_others_pass(database: Database) -> None:
    with database.write() as session:
        first, second = (queue.enqueue(session, "train", {}).id for _ in range(2))
        light = queue.enqueue(session, "import", {}).id
        claimed = [queue.claim(session, "w"), queue.claim(session, "w"), queue.claim(session, "w")]
    assert [row.id if row else None for row in claimed] == [first, light, None]
    assert second not in {row.id for row in claimed if row}


def test_a_rolled_back_transaction_queues_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as session:
        queue.enqueue(session, "train", {}, key="k")
        raise RuntimeError
    with database.read() as session:
        assert queue.active(session) == ()


def test_kinds_name_lanes_that_exist() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert all(kind.lane in LANES and ":" in kind.handler for kind in KINDS)
    assert kind_named("train").lane == "heavy"


# --- fences ---------------------------------------------------------------------------------------


def test_a_transition_that_another_made_first_is_a_conflict(database: Database) -> None:
    row, lease = running(database)
    with database.write() as session:
        queue.finish(session, lease, JobState.SUCCEEDED, {"ok": 1})
    with database.write() as session:
        with pytest.raises(LeaseLostError):
            queue.finish(session, lease, JobState.FAILED, problem=Problem(message="late"))
        with pytest.raises(ConflictError, match="succeeded"):
            queue.resume(session, row.id)
        assert queue.info(session, row.id).result == {"ok": 1}


def test_all_writes_of_a_stale_context_are_rejected(database: Database) -> None:
    context = context_of(database)
    fresh = take_over(database, context.lease)
    with pytest.raises(LeaseLostError):
        context.save_checkpoint(b"old", 1)
    with pytest.raises(LeaseLostError):
        context.event("epoch", {"epoch": 1})
    with pytest.raises(LeaseLostError):
        context.progress(0.5)
    with pytest.raises(LeaseLostError), context.write() as session:
        session.add(JobRow())  # never reached
    with pytest.raises(LeaseLostError):
        CheckpointStore(database, context.lease, context.folder.parent).save(b"old", 1)
    with database.read() as session:
        assert events.read(session, context.job_id) == ()
        assert queue.info(session, context.job_id).attempt == fresh.attempt


# --- what a child reports -------------------------------------------------------------------------


def test_a_keyed_event_replaces_the_first_and_keeps_its_place(database: Database) -> None:
    context = context_of(database)
    context.event("epoch", {"epoch": 1, "loss": 3.0}, key="epoch:1")
    context.event("step", {"step": 1})
    context.flush()
    context.event("epoch", {"epoch": 1, "loss": 2.0}, key="epoch:1")
    context.flush()
    with database.read() as session:
        read = events.read(session, context.job_id)
        later = events.read(session, context.job_id, after=read[0].seq, kinds=["step"])
    assert [(event.kind, event.data) for event in read] == [
        ("epoch", {"epoch": 1, "loss": 2.0}),
        ("step", {"step": 1}),
    ]
    assert [event.kind for event in later] == ["step"]


def test_an_event_that_json_cannot_hold_is_refused_at_once(database: Database) -> None:
    with pytest.raises(TypeError):
        context_of(database).event("epoch", {"loss": object()})


def test_only_the_latest_progress_is_written(database: Database) -> None:
    context = context_of(database)
    for step in range(100):
        context.progress(step / 100, f"step {step}")
    with database.read() as session:
        assert queue.info(session, context.job_id).progress is None
    context.flush()
    with database.read() as session:
        info = queue.info(session, context.job_id)
    assert (info.progress, info.message) == (0.99, "step 99")


def test_two_checkpoints_are_kept_and_the_torn_one_is_passed_over(database: Database) -> None:
    context = context_of(database)
    for step in (1, 2, 3):
        context.save_checkpoint(f"state {step}".encode(), step)
    found = context.checkpoints()
    assert [(one.step, one.path.read_bytes()) for one in found] == [(3, b"state 3"), (2, b"state 2")]
    assert len(list(context.folder.iterdir())) == 2
    found[0].path.write_bytes(b"state X")
    assert [one.step for one in context.checkpoints()] == [2]
    found[1].path.unlink()
    assert context.checkpoints() == []
    context.flush()
    with database.read() as session:
        notes = [event.data["text"] for event in events.read(session, context.job_id, kinds=["note"])]
    assert "step 3 is damaged" in notes[0]


def test_a_checkpoint_forgives_earlier_attempts(database: Database) -> None:
    context = context_of(database)
    lease = take_over(database, context.lease)
    CheckpointStore(database, lease, context.folder.parent).save(b"x", 1)
    with database.read() as session:
        assert queue.get(session, context.job_id).idle_attempts == 0


def alive(context: JobContext, turns: int) -> list[str]:
    """Let the thread's loop turn this often, in this thread; return why it ended the process."""
    ended: list[str] = []
    left = iter([False] * turns)
    context.keep_alive(lambda _seconds: next(left, True), lambda error: ended.append(str(error)))
    return ended


def test_a_stop_is_heard(database: Database) -> None:
    context = context_of(database)
    context.check_stop()
    for how in ("keep_best", "cancel"):
        with database.write() as session:
            queue.request_stop(session, context.job_id, how)  # type: ignore[arg-type]
        assert alive(context, 1) == []
        assert context.stop_requested() == how
    with pytest.raises(JobCancelledError):
        context.check_stop()


def test_a_weaker_wish_does_not_undo_a_cancel(database: Database) -> None:
    row, _ = running(database)
    with database.write() as session:
        queue.request_stop(session, row.id, "cancel")
        queue.request_stop(session, row.id, "keep_best")
        assert queue.get(session, row.id).stop == "cancel"


@pytest.mark.parametrize("end", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
@pytest.mark.parametrize("how", ["cancel", "keep_best", "pause"])
def test_a_stop_that_comes_after_the_end_changes_nothing(
    database: Database, end: JobState, how: queue.Stop
) -> None:
    row, lease = running(database)
    with database.write() as session:
        queue.finish(session, lease, end)
        before = queue.info(session, row.id)
        assert queue.request_stop(session, row.id, how) is end
        assert queue.info(session, row.id) == before


def test_keep_best_takes_a_paused_job_up_again_to_finish_it(database: Database) -> None:
    row, lease = running(database)
    with database.write() as session:
        queue.request_stop(session, row.id, "pause")
        queue.finish(session, lease, JobState.PAUSED)
        assert queue.request_stop(session, row.id, "keep_best") is JobState.QUEUED
        assert queue.request_stop(session, row.id, "keep_best") is JobState.QUEUED
        again = queue.claim(session, "w2")
    assert again is not None
    context = JobContext(database.settings, database, again, Lease(again.id, again.attempt, "w2"))
    context.check_stop()
    assert context.stop_requested() == "keep_best"


def test_keep_best_of_a_job_that_never_ran_cancels_it(database: Database) -> None:
    with database.write() as session:
        job = queue.enqueue(session, "train", {}).id
        queue.request_stop(session, job, "pause")
        assert queue.request_stop(session, job, "keep_best") is JobState.CANCELLED


def test_an_import_that_met_a_full_disk_too_often_goes_on_when_a_person_says_so(database: Database) -> None:
    full = Problem(message="The disk is full.", flag=DISK_FULL)
    with database.write() as session:
        job = queue.enqueue(session, "import", {}).id
        while (row := queue.claim(session, "w1")) is not None:
            queue.finish(session, Lease(job, row.attempt, "w1"), JobState.PAUSED, problem=full)
            queue.requeue_roomy(session)
        assert queue.get(session, job).attempt == kind_named("import").retries
    info = Jobs(database).resume(job)
    assert (info.state, info.problem) == (JobState.QUEUED, None)
    with database.read() as session:
        assert queue.get(session, job).idle_attempts == 0


def test_a_lost_lease_ends_the_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'q.db'}"
    database = Database(Settings(home=tmp_path, database_url=url, timing=Timing(heartbeat=0.0)))
    context = context_of(database)
    assert alive(context, 3) == []
    take_over(database, context.lease)
    assert "no longer owns" in alive(context, 3)[0]
    database.close()


def test_events_of_many_threads_all_arrive(database: Database) -> None:
    context = context_of(database)
    done = threading.Event()
    keeper = threading.Thread(target=context.keep_alive, args=(lambda s: done.wait(0.01), [].append))
    keeper.start()
    writers = [
        threading.Thread(target=lambda t=t: [context.event("e", {"t": t, "i": i}) for i in range(50)])
        for t in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    keeper.join()
    context.flush()
    with database.read() as session:
        read = events.read(session, context.job_id)
    for t in range(4):
        assert [event.data["i"] for event in read if event.data["t"] == t] == list(range(50))


# --- processes ------------------------------------------------------------------------------------


def test_identity_is_more_than_a_number() -> None:
    started = start_time(os.getpid())
    assert started is not None
    assert is_alive(os.getpid(), started)
    assert not is_alive(os.getpid(), started - 3600)
    assert not is_alive(None, started)
    child = subprocess.Popen([sys.executable, "-c", ""])
    born = start_time(child.pid)
    child.wait()
    assert not is_alive(child.pid, born)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGUSR1])
def test_each_signal_is_a_sentence(number: signal.Signals) -> None:
    sentence = exit_sentence(-number)
    assert sentence.startswith("Its process ")
    assert sentence.endswith(f"(signal {int(number)}).")
    assert "exit code 7" in exit_sentence(7)


def test_the_web_process_can_queue_without_loading_torch() -> None:
    modules = "engine.jobs.queue, engine.jobs.kinds, engine.jobs.worker, engine.jobs.supervisor"
    heavy = "{'torch', 'timm', 'onnxruntime', 'torchvision', 'sklearn', 'streamlit'}"
    code = f"import sys, {modules}; found = {heavy} & set(sys.modules); sys.exit(str(found) if found else 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
