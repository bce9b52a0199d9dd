"""Migrations through alembic; loaded only when a database is not up to date."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from engine.storage.database import MIGRATIONS


def alembic_config(files: Path) -> Config:
    """Return alembic's configuration, made here so that no ini file is needed; ``files`` of the workspace."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["files"] = files
    return config


def migrate(engine: Engine, files: Path) -> None:
    """Bring the schema to its newest revision, and the workspace's ``files`` with it."""
    config = alembic_config(files)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
