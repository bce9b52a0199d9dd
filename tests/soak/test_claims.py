"""Several processes claim from one queue: nothing is taken twice, nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from engine.contracts.jobs import JobState
from engine.jobs import queue
from engine.settings import Settings
from engine.storage.database import Database

CLAIMER = """
import sys
from engine.contracts.jobs import JobState
from engine.jobs import queue
from engine.jobs.states import Lease
from engine.settings import Settings
from engine.storage.database import Database

database = Database(Settings.from_environment())
me = sys.argv[1]
while True:
    with database.write() as session:
        row = queue.claim(session, me, {"light": 10**9})
    if row is None:
        break
    print(row.id, row.attempt, flush=True)
    with database.write() as session:
        queue.finish(session, Lease(row.id, row.attempt, me), JobState.SUCCEEDED, {"by": me})
"""


@pytest.mark.parametrize(
    ("processes", "jobs"),
    [(4, 200), pytest.param(8, 10_000, marks=[pytest.mark.soak, pytest.mark.timeout(7200)])],
)
def test_no_claim_is_taken_twice_or_lost(tmp_path: Path, processes: int, jobs: int) -> None:
    settings = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'q.db'}")
    database = Database(settings)
    with database.write() as session:
        ids = {queue.enqueue(session, "import", {}).id for _ in range(jobs)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, f"w{n}"],
            env=settings.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(processes)
    ]
    taken: Counter[str] = Counter()
    by: dict[str, str] = {}
    for n, process in enumerate(started):
        output, _ = process.communicate()
        assert process.returncode == 0
        for line in output.splitlines():
            job, attempt = line.split()
            assert attempt == "1"
            taken[job] += 1
            by[job] = f"w{n}"
    assert taken == Counter(dict.fromkeys(ids, 1))
    assert len(set(by.values())) > 1  # else nobody competed and the test shows nothing
    with database.read() as session:
        assert queue.active(session) == ()
        for job in ids:
            info = queue.info(session, job)
            assert (info.state, info.attempt, info.result) == (JobState.SUCCEEDED, 1, {"by": by[job]})
    database.close()
