"""The database's copy before a migration."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from engine.storage.database import copy_sqlite

ROWS = 500


def test_a_copy_is_never_torn_by_a_writer(tmp_path: Path) -> None:
    path, target = tmp_path / "a.db", tmp_path / "a.db.before"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("PRAGMA cache_size=1")  # pages go to the file long before the commit
        writer.execute("CREATE TABLE t (x)")
        before = path.stat().st_size
        writer.execute("BEGIN IMMEDIATE")
        writer.executemany("INSERT INTO t VALUES (?)", [("x" * 100,)] * ROWS)
        assert path.stat().st_size > before, "the file holds half a transaction"
        committing = threading.Timer(0.2, writer.execute, ["COMMIT"])
        committing.start()
        copy_sqlite(path, target)
        committing.join()
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)
    assert sorted(tmp_path.iterdir()) == [path, target]
