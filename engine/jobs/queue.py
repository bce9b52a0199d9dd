"""The queue: one table, one statement to claim, and a fence around every later write.

Each function takes a session of ``Database.write`` (or ``read`` for those that only look), so that a
caller can put its own rows and the job into one transaction. A change of state names the state that it
leaves and must change exactly one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from engine.contracts.base import utc_now
from engine.contracts.jobs import ENDED, JobInfo, JobState, Problem
from engine.errors import ConflictError, NotFoundError
from engine.jobs.kinds import LANES, kind_named
from engine.jobs.problems import DISK_FULL
from engine.jobs.states import LEASE_SECONDS, Lease, change_one, is_in, lost, move, note_attempt
from engine.storage.database import new_id
from engine.storage.tables import AttemptRow, JobRow

Stop = Literal["cancel", "keep_best", "pause"]

WAITING = (JobState.QUEUED, JobState.INTERRUPTED)
"""States that a worker may claim."""


# --- putting in and looking -------------------------------------------------------------------------


def enqueue(
    session: Session,
    kind: str,
    payload: Mapping[str, Any],
    project_id: str | None = None,
    key: str | None = None,
    job_id: str | None = None,
) -> JobRow:
    """Queue a job and return its row; with a ``key`` that was used before, return that earlier job.

    Raises ``InputError`` for an unknown kind.
    """
    if key is not None:
        earlier = session.scalar(select(JobRow).where(JobRow.idempotency_key == key))
        if earlier is not None:
            return earlier
    row = JobRow(
        id=job_id or new_id(),
        kind=kind,
        lane=kind_named(kind).lane,
        project_id=project_id,
        state=JobState.QUEUED,
        payload=dict(payload),
        idempotency_key=key,
        attempt=0,
        idle_attempts=0,
        message="",
        created_at=utc_now(),
    )
    session.add(row)
    session.flush()
    return row


def enqueue_single(session: Session, kind: str, payload: Mapping[str, Any] | None = None) -> JobRow:
    """Queue a job of ``kind`` unless one is waiting or running; return whichever there is."""
    current = session.scalar(
        select(JobRow).where(JobRow.kind == kind, JobRow.state.in_((*WAITING, JobState.RUNNING))).limit(1)
    )
    return current if current is not None else enqueue(session, kind, payload or {})


def get(session: Session, job_id: str) -> JobRow:
    """Return the row of a job as it is stored now; raises ``NotFoundError``."""
    row = session.get(JobRow, job_id, populate_existing=True)
    if row is None:
        raise NotFoundError(f"There is no job '{job_id}'.")
    return row


def info(session: Session, job_id: str) -> JobInfo:
    """Return a job as screens see it; ``ahead`` counts the jobs that its lane takes first."""
    return _info(session, get(session, job_id))


def active(session: Session, project_id: str | None = None) -> tuple[JobInfo, ...]:
    """Return the jobs that have not ended, oldest first; of one project, or of all."""
    wanted = select(JobRow).where(JobRow.state.not_in(ENDED)).order_by(JobRow.created_at, JobRow.id)
    if project_id is not None:
        wanted = wanted.where(JobRow.project_id == project_id)
    return tuple(_info(session, row) for row in session.scalars(wanted))


def _info(session: Session, row: JobRow) -> JobInfo:
    return JobInfo(
        id=row.id,
        kind=row.kind,
        project=row.project_id,
        state=JobState(row.state),
        progress=row.progress,
        message=row.message,
        problem=Problem.model_validate(row.problem) if row.problem else None,
        result=row.result,
        attempt=row.attempt,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        ahead=_ahead(session, row),
    )


def _ahead(session: Session, row: JobRow) -> int:
    if row.state not in WAITING:
        return 0
    earlier = or_(
        JobRow.created_at < row.created_at,
        and_(JobRow.created_at == row.created_at, JobRow.id < row.id),
    )
    before = or_(JobRow.state == JobState.RUNNING, and_(JobRow.state.in_(WAITING), earlier))
    counted = select(func.count()).select_from(JobRow).where(JobRow.lane == row.lane, before)
    return session.scalar(counted) or 0


# --- a worker takes a job ---------------------------------------------------------------------------


def claimable(session: Session, lanes: Mapping[str, int] = LANES) -> bool:
    """Say whether ``claim`` would find a job now; reads only, so that polling takes no write lock."""
    return session.scalar(_next_job(lanes)) is not None


def claim(
    session: Session,
    worker_id: str,
    lanes: Mapping[str, int] = LANES,
    lease: float = LEASE_SECONDS,
) -> JobRow | None:
    """Take the oldest waiting job of a lane with a free slot, or return None.

    One UPDATE finds it, raises its attempt number and sets worker and lease (s), so that no two workers
    get the same attempt. ``lanes`` gives the slots of each lane that this worker serves.
    """
    now = utc_now()
    taken = session.scalars(
        update(JobRow)
        .where(JobRow.id == _next_job(lanes).scalar_subquery(), JobRow.state.in_(WAITING))
        .values(
            state=JobState.RUNNING,
            attempt=JobRow.attempt + 1,
            idle_attempts=JobRow.idle_attempts + 1,
            worker_id=worker_id,
            lease_until=now + timedelta(seconds=lease),
            started_at=func.coalesce(JobRow.started_at, now),
            problem=None,
        )
        .returning(JobRow),
        execution_options={"synchronize_session": False, "populate_existing": True},
    ).one_or_none()
    if taken is not None:
        session.add(
            AttemptRow(job_id=taken.id, number=taken.attempt, worker_id=worker_id, started_at=now, exit="")
        )
        session.flush()
    return taken


def _next_job(lanes: Mapping[str, int]) -> Any:
    running = aliased(JobRow)
    busy = (
        select(func.count())
        .select_from(running)
        .where(running.state == JobState.RUNNING, running.lane == JobRow.lane)
        .correlate(JobRow)
        .scalar_subquery()
    )
    free = or_(*(and_(JobRow.lane == lane, busy < slots) for lane, slots in lanes.items()))
    return (
        select(JobRow.id)
        .where(JobRow.state.in_(WAITING), free)
        .order_by(JobRow.created_at, JobRow.id)
        .limit(1)
    )


# --- the attempt reports, fenced --------------------------------------------------------------------


def heartbeat(session: Session, lease: Lease, **values: Any) -> None:
    """Extend the lease and set ``values`` (columns of the job) in the same breath.

    Raises ``LeaseLostError`` when another attempt owns the job, or none.
    """
    now = utc_now()
    change_one(
        session,
        update(JobRow)
        .where(lease.holds())
        .values(lease_until=now + timedelta(seconds=lease.seconds), **values),
        lost(lease),
    )
    note_attempt(session, lease, heartbeat_at=now)


def started(session: Session, lease: Lease, pid: int, pid_started: float) -> None:
    """Note which process works on the attempt (process id and its start time, s since the epoch)."""
    heartbeat(session, lease)
    note_attempt(session, lease, pid=pid, pid_started=pid_started)


def finish(
    session: Session,
    lease: Lease,
    state: JobState,
    result: Mapping[str, Any] | None = None,
    problem: Problem | None = None,
    exit_note: str = "",
) -> None:
    """End the attempt and leave ``running`` for ``state``; raises ``LeaseLostError`` when stale."""
    now = utc_now()
    values: dict[str, Any] = {
        "worker_id": None,
        "lease_until": None,
        "problem": problem.model_dump() if problem else None,
    }
    if state in ENDED:
        values |= {"finished_at": now, "result": dict(result) if result is not None else None}
    if state == JobState.SUCCEEDED:
        values |= {"progress": 1.0}
    move(session, JobState.RUNNING, state, lease.holds(), values, lost(lease))
    note_attempt(session, lease, ended_at=now, exit=exit_note or state.value)


def interrupt(session: Session, lease: Lease, reason: str, *, counted: bool = True) -> JobState:
    """End an attempt whose process went away, and return the state that the job is in now.

    It becomes ``interrupted`` and is claimed again, unless a person had asked to stop, or this was the
    last attempt of its kind without a new checkpoint. ``counted=False`` is for ends that are not the
    job's own doing (its worker was stopped): they use up no attempt.
    """
    row = get(session, lease.job_id)
    retries = kind_named(row.kind).retries
    if row.stop == "cancel":
        state, problem = JobState.CANCELLED, None
    elif row.stop == "pause":
        state, problem = JobState.PAUSED, None
    elif counted and row.idle_attempts >= retries:
        state, problem = JobState.FAILED, _gave_up(row, reason, retries)
    elif retries == 0:
        state, problem = JobState.CANCELLED, None
    else:
        state, problem = JobState.INTERRUPTED, Problem(message=reason, hint="It goes on by itself.")
    finish(session, lease, state, problem=problem, exit_note=reason)
    if not counted:
        session.execute(
            update(JobRow)
            .where(JobRow.id == lease.job_id, JobRow.idle_attempts > 0)
            .values(idle_attempts=JobRow.idle_attempts - 1)
        )
    return state


def _gave_up(row: JobRow, reason: str, retries: int) -> Problem:
    title = kind_named(row.kind).title
    if retries == 0:
        return Problem(message=f"{title} ended: {reason}", hint="Start it again.")
    return Problem(
        message=f"{title} was started {row.idle_attempts} times and got no further. Last time: {reason}",
        hint="See the log of the job. For a training, try a smaller batch size, image size or backbone.",
    )


# --- a person decides -------------------------------------------------------------------------------


def request_stop(session: Session, job_id: str, how: Stop) -> JobState:
    """Ask a job to stop and return its state now.

    What waits is cancelled (or paused) at once. What runs gets a flag that its code looks at: "cancel"
    throws the work away, "keep_best" ends the training early with a result, "pause" puts it aside. A
    paused job that was under way is queued again for "keep_best": it has to run to write its result.
    A job that has ended is left as it is, because it may end while a person reaches for the button.
    """
    row = get(session, job_id)
    state = JobState(row.state)
    if state in ENDED:
        return state
    if state == JobState.RUNNING or (how == "keep_best" and row.attempt > 0):
        return _flag(session, row, state, how)
    target = JobState.PAUSED if how == "pause" else JobState.CANCELLED
    if state == target:
        return state
    ended = {"finished_at": utc_now()} if target in ENDED else {}
    move(session, state, target, is_in(row, state), {"stop": how, **ended})
    return target


def _flag(session: Session, row: JobRow, state: JobState, how: Stop) -> JobState:
    if row.stop == "cancel":  # nothing is weaker than a cancel that was asked for before
        return state
    wish = {"stop": how, "stop_at": utc_now()}
    if state == JobState.PAUSED:
        fresh = {"problem": None, "idle_attempts": 0, "message": ""}
        move(session, state, JobState.QUEUED, is_in(row, state), {**wish, **fresh})
        return JobState.QUEUED
    change_one(
        session,
        update(JobRow).where(is_in(row, state)).values(**wish),
        ConflictError("The job changed meanwhile.", "Look again."),
    )
    return state


def resume(session: Session, job_id: str) -> JobState:
    """Queue a paused, failed or cancelled job again; it goes on from its last checkpoint.

    A job that waits or runs is left as it is. Raises ``ConflictError`` for one that has succeeded, or
    that is still busy stopping.
    """
    row = get(session, job_id)
    state = JobState(row.state)
    if state == JobState.RUNNING and row.stop in ("cancel", "pause"):
        raise ConflictError("This job is still stopping.", "Try again in a few seconds.")
    if state in (JobState.RUNNING, *WAITING):
        return state
    fresh = {
        "stop": None,
        "stop_at": None,
        "problem": None,
        "result": None,
        "finished_at": None,
        "idle_attempts": 0,
        "message": "",
    }
    move(session, state, JobState.QUEUED, is_in(row, state), fresh)
    return JobState.QUEUED


# --- what a worker looks after ----------------------------------------------------------------------


def running(session: Session) -> list[JobRow]:
    """Return the rows of all running jobs, oldest first."""
    wanted = select(JobRow).where(JobRow.state == JobState.RUNNING).order_by(JobRow.created_at)
    return list(session.scalars(wanted.execution_options(populate_existing=True)))


def attempt_of(session: Session, row: JobRow) -> AttemptRow | None:
    """Return the present attempt of a job, or None before the first."""
    return session.get(AttemptRow, (row.id, row.attempt), populate_existing=True)


def put_aside(session: Session) -> list[JobRow]:
    """Return the jobs that were put aside because the disk was full.

    Without those that got nowhere several times in a row: they stay aside until a person resumes them.
    """
    paused = session.scalars(select(JobRow).where(JobRow.state == JobState.PAUSED)).all()
    return [
        row
        for row in paused
        if (row.problem or {}).get("flag") == DISK_FULL and row.idle_attempts < kind_named(row.kind).retries
    ]


def requeue_roomy(session: Session) -> int:
    """Queue the jobs of ``put_aside`` again, and return how many."""
    again = put_aside(session)
    for row in again:
        move(session, JobState.PAUSED, JobState.QUEUED, is_in(row, JobState.PAUSED), {"problem": None})
    return len(again)
