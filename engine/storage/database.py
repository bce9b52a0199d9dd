"""Opening the workspace's database, its transactions and its migrations."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from engine.settings import Settings
from engine.storage.blobs import sync_folder

PATIENCE = 30.0
"""Seconds that a request waits for a database that another process holds."""

WRITE_CACHE = 256 * 1024
"""KiB of changed pages that a transaction keeps to itself. What is more goes to the file before the commit,
and from then on nobody can read."""

READ_CACHE = 2000
"""KiB of pages otherwise: SQLite's default."""

MIGRATIONS = Path(__file__).parent / "migrations"
REVISION_DIGITS = 4


def new_id() -> str:
    """Return a fresh id of 12 hexadecimal digits (48 bits), safe in addresses and file names."""
    return secrets.token_hex(6)


class Database:
    """Transactions over one database address.

    SQLite runs with the rollback journal and ``synchronous=FULL``: WAL has a reset bug before 3.51.3,
    and an acknowledged write must survive a power cut. Writers begin IMMEDIATE, so that two of them
    wait for each other instead of failing half-way. Others read on while one writes, until it commits.
    """

    def __init__(self, settings: Settings, patience: float = PATIENCE) -> None:
        """Prepare; ``patience`` is for how many seconds to wait while another process holds it."""
        self.settings = settings
        self.patience = patience
        self.url = make_url(settings.database_url)

    @cached_property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, made at first use, with the schema up to date."""
        self.settings.home.mkdir(parents=True, exist_ok=True)
        engine = _create_engine(self.settings.database_url, self.patience)
        with FileLock(str(self.settings.home / "migrate.lock")):
            _bring_up_to_date(engine, self._sqlite_path)
        return engine

    @property
    def _sqlite_path(self) -> Path | None:
        if self.url.get_backend_name() != "sqlite" or not self.url.database:
            return None
        return Path(self.url.database)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session for reading; nothing is committed."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a session that holds the write lock and commits at the end, or rolls back."""
        engine = self.engine.execution_options(lensmith_write=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()


def _create_engine(url: str, patience: float) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", partial(_configure_sqlite, patience))
        event.listen(engine, "begin", _begin_sqlite)
        event.listen(engine, "checkin", _give_back_sqlite)
    return engine


def _configure_sqlite(patience: float, connection: Any, _record: Any) -> None:
    # Transactions are begun by us (see _begin_sqlite), not by the driver.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={round(patience * 1000)}")
    cursor.execute("PRAGMA journal_mode=DELETE")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    write = connection.get_execution_options().get("lensmith_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
    if write:
        connection.info["wrote"] = True
        connection.exec_driver_sql(f"PRAGMA cache_size=-{WRITE_CACHE}")


def _give_back_sqlite(connection: Any, record: Any) -> None:
    # Whoever reads with this connection next, however much, needs no such cache.
    if record.info.pop("wrote", False) and connection is not None:
        connection.execute(f"PRAGMA cache_size=-{READ_CACHE}")


def _bring_up_to_date(engine: Engine, sqlite_path: Path | None) -> None:
    """Migrate where the schema is another one than the newest."""
    with engine.connect() as connection:
        known = inspect(connection).has_table("alembic_version")
        current = connection.scalar(text("SELECT version_num FROM alembic_version")) if known else None
    if current == newest_revision():
        return
    # Loading alembic takes longer than most commands do, and nearly none needs it.
    from engine.storage.migrate import migrate

    if current is not None and sqlite_path is not None:
        copy_sqlite(sqlite_path, sqlite_path.with_name(f"{sqlite_path.name}.before-{newest_revision()}"))
    migrate(engine.execution_options(lensmith_write=True))


def newest_revision() -> str:
    """Return the revision that the code needs: the newest of ``migrations/versions``, by the files' names."""
    return max(path.name[:REVISION_DIGITS] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def held(error: OperationalError) -> bool:
    """Say whether the reason is that another process held the database for longer than we waited."""
    # The lowest byte: the others tell apart the ways to be busy.
    return isinstance(error.orig, sqlite3.Error) and error.orig.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def copy_sqlite(path: Path, target: Path) -> None:
    """Copy a database as it was committed last, waiting for whoever is writing; whole or not at all."""
    beside = target.with_name(f".{target.name}.part")
    beside.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(path, timeout=PATIENCE)) as source,
        closing(sqlite3.connect(beside)) as copy,
    ):
        source.backup(copy)
    beside.replace(target)
    sync_folder(target.parent)
