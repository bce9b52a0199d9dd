"""What went wrong, in a sentence for a person and with a next step."""

from __future__ import annotations

import errno
import sqlite3

from sqlalchemy.exc import OperationalError

from engine.contracts.jobs import Problem
from engine.errors import HubError, InputError, LensmithError, QuestionError
from engine.jobs.kinds import JobKind

DISK_FULL = "disk_full"
"""Flag of a problem that ends by itself when there is room again."""

NO_ROOM = Problem(
    message="The disk is full.", hint="Make room; it goes on by itself when there is some.", flag=DISK_FULL
)


def no_room(error: BaseException) -> bool:
    """Say whether a full disk (or a spent quota) is the reason, for files and for the database alike."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OperationalError) and isinstance(error.orig, sqlite3.OperationalError):
        return error.orig.sqlite_errorcode == sqlite3.SQLITE_FULL
    return False


def problem_of(error: Exception, kind: JobKind) -> Problem:
    """Say for a person what an error of a job means and what to do about it."""
    if isinstance(error, LensmithError):
        flag = error.flag if isinstance(error, QuestionError | HubError) else ""
        choices = error.choices if isinstance(error, QuestionError) else ()
        problem = Problem(message=error.message, hint=error.hint, flag=flag, choices=choices)
        return _of_input(problem, error) if isinstance(error, InputError) else problem
    if isinstance(error, MemoryError):
        return Problem(
            message=f"{kind.title} needed more memory than there is.",
            hint="Close other programs, or make the work smaller (images, batch size, image size).",
        )
    if no_room(error):
        return NO_ROOM
    return Problem(
        message=f"{kind.title} met an error that Lensmith did not expect: {type(error).__name__}: {error}",
        hint="The log of the job has the details; please report them.",
    )


def _of_input(problem: Problem, error: InputError) -> Problem:
    issues = {name: getattr(error, name) for name in ("issues_total", "issues", "issues_file")}
    return problem.model_copy(update={"of_input": True, **issues})
