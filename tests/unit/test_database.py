"""The database: its copy before a migration, and who waits for whom."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from engine.settings import Settings
from engine.storage.database import READ_CACHE, Database, copy_sqlite

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


def test_others_read_while_a_large_transaction_grows(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'a.db'}")
    writer, reader = Database(settings), Database(settings, patience=0.0)
    count = text("SELECT count(*) FROM people")
    with writer.write() as session:
        session.execute(text("CREATE TABLE t (x)"))
    with reader.read() as session:
        before = session.scalar(count)
    with writer.write() as session:
        for _ in range(10):  # five times the cache of a reader
            session.execute(text("INSERT INTO t VALUES (zeroblob(1000000))"))
        with reader.read() as other:
            assert other.scalar(count) == before
        with pytest.raises(OperationalError, match="locked"), reader.write() as other:
            other.scalar(count)
    with writer.read() as session:  # the same connection: it keeps no such cache
        assert session.scalar(text("PRAGMA cache_size")) == -READ_CACHE
    for database in (writer, reader):
        database.close()
