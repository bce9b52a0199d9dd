"""The migrations build exactly the tables that the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Column, String, Table, text

from engine.settings import Settings
from engine.storage.database import Database, newest_revision
from engine.storage.migrate import alembic_config
from engine.storage.tables import Base

ROWS_OF_THE_FIRST_VERSION = (
    "projects (id, name, task, created_at, preprocessing, edit_seq) "
    "VALUES ('p', 'P', 't', '2026-01-01', '{}', 1)",
    "classes (id, project_id, name, position) VALUES ('c', 'p', 'C', 0)",
    "files VALUES ('f', 1, 'PNG', 'RGB', 1, 1)",
    "images (id, project_id, path, sha256, width, height, left_out, revision, added_at) "
    "VALUES ('i', 'p', 'a.png', 'f', 1, 1, 0, 0, '2026-01-01')",
    "annotations (id, project_id, image_id, class_id, kind, on_head, created_at) "
    "VALUES ('a', 'p', 'i', 'c', 'class', 1, '2026-01-01')",
    "edits (project_id, seq, batch, kind, image_id, removed, added, description, at) "
    "VALUES ('p', 1, 'b', 'k', 'i', '[\"a\"]', '[]', '', '2026-01-01')",
)


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


def test_a_workspace_of_the_first_version_keeps_its_rows(tmp_path: Path) -> None:
    database = _database(tmp_path)
    config = alembic_config()
    engine = database.engine
    with engine.execution_options(lensmith_write=True).connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        connection.commit()
    with engine.begin() as connection:
        for row in ROWS_OF_THE_FIRST_VERSION:
            connection.execute(text(f"INSERT INTO {row}"))
    database.close()
    engine = _database(tmp_path).engine  # migrates
    with engine.begin() as connection:
        edit = connection.execute(text("SELECT id, image_id, removed, before FROM edits")).one()
        assert tuple(edit) == (1, "i", '["a"]', None)
        assert connection.execute(text("SELECT path, negative FROM images")).one() == ("a.png", 0)
        assert connection.execute(text("SELECT count(*) FROM annotations")).scalar() == 1
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []


def test_the_newest_revision_is_alembics() -> None:
    assert newest_revision() == ScriptDirectory.from_config(alembic_config()).get_current_head()


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
