"""The workspace's database as people ask it: one that another process holds for long becomes a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from engine.errors import UnavailableError
from engine.storage.database import Database, held


class AskedDatabase(Database):
    """Raises ``UnavailableError`` where it cannot be read or written for as long as a person waits."""

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session for reading; nothing is committed."""
        with _in_words(), super().read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a session that holds the write lock and commits at the end, or rolls back."""
        with _in_words(), super().write() as session:
            yield session


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if not held(error):
            raise
        raise UnavailableError(
            "The workspace is busy: something large is being written into it, such as an import.",
            "What you asked for was not done. Try again in a minute.",
        ) from error
