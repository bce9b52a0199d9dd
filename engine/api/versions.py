"""Versions of a dataset: list, compare, restore, freeze."""

from __future__ import annotations

from engine.api.people import local_person
from engine.api.projects import find_project
from engine.contracts.datasets import EditReceipt, VersionDiff, VersionInfo
from engine.datasets import queries, versions
from engine.storage.database import Database, new_id


class Versions:
    """The frozen versions of a project's dataset."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def list(self, project: str) -> tuple[VersionInfo, ...]:
        """Return the frozen versions, newest first, with the runs made from each."""
        with self.database.read() as session:
            return queries.versions(session, find_project(session, project).id)

    def compare(self, project: str, before: int, after: int) -> VersionDiff:
        """Say what differs between two versions by number; raises ``NotFoundError``."""
        with self.database.read() as session:
            row = find_project(session, project)
            return versions.compare(session, self.database.settings, row.id, before, after)

    def restore(self, project: str, number: int, key: str | None = None) -> EditReceipt:
        """Make the dataset what it was in a version; one undoable step, and a new version.

        Raises ``NotFoundError`` for an unknown version and ``ConflictError`` when something that it
        holds is no longer there.
        """
        with self.database.write() as session:
            row, person = find_project(session, project), local_person(session)
            settings = self.database.settings
            return versions.restore(session, settings, row.id, number, key or new_id(), person)

    def freeze(self, project: str) -> VersionInfo:
        """Freeze the dataset as it is; the last version when nothing changed since.

        Raises ``InputError`` when there are no images.
        """
        with self.database.write() as session:
            row, person = find_project(session, project), local_person(session)
            made = versions.freeze(session, self.database.settings, row.id, "manual", person)
            return queries.version_info(made)
