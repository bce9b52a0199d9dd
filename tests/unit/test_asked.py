"""A workspace that something large is being written into answers with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from engine.api.asked import AskedDatabase
from engine.errors import UnavailableError
from engine.settings import Settings
from engine.storage.database import Database


def test_a_held_database_becomes_a_sentence(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'a.db'}")
    writer, asked = Database(settings), AskedDatabase(settings, patience=0.0)
    change = text("UPDATE people SET name = 'x'")
    with writer.write() as holder:
        holder.execute(change)
        with pytest.raises(UnavailableError, match="busy"), asked.write() as session:
            session.execute(change)
    with asked.write() as session:
        session.execute(change)
    for database in (writer, asked):
        database.close()
