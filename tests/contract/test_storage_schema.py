"""The migrations build exactly the tables that the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Column, String, Table, text

from engine.settings import Settings
from engine.storage.database import Database
from engine.storage.tables import Base


def _database(home: Path) -> Database:
    return Database(Settings.from_environment({"LENSMITH_HOME": str(home)}))


def _differences(database: Database, metadata: object) -> list[object]:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))  # type: ignore[arg-type]


def test_migrations_and_tables_agree(tmp_path: Path) -> None:
    database = _database(tmp_path)
    assert _differences(database, Base.metadata) == []


def test_the_comparison_can_fail(tmp_path: Path) -> None:
    database = _database(tmp_path)
    planted = Base.metadata.__class__()
    for table in Base.metadata.tables.values():
        table.to_metadata(planted)
    Table("planted", planted, Column("id", String, primary_key=True))
    assert len(_differences(database, planted)) == 1


def test_acknowledged_writes_are_synchronous_and_use_the_rollback_journal(tmp_path: Path) -> None:
    with _database(tmp_path).engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "delete"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_the_database_is_copied_before_a_migration(tmp_path: Path) -> None:
    database = _database(tmp_path)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    database.close()
    copies = list(tmp_path.glob("lensmith.db.before-*"))
    assert copies == []
    # An unknown revision cannot be migrated; what matters is that the copy stood before the attempt.
    with pytest.raises(CommandError, match="0000"):
        assert _database(tmp_path).engine
    assert len(list(tmp_path.glob("lensmith.db.before-*"))) == 1
