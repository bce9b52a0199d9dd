"""Migrations through alembic; loaded only when a database is not up to date."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from engine.storage.database import MIGRATIONS


def alembic_config() -> Config:
    """Return alembic's configuration, made here so that no ini file is needed."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def migrate(engine: Engine) -> None:
    """Bring the schema to its newest revision."""
    config = alembic_config()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
