"""The workspace: one folder, one database, and the areas of the facade over them."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from engine.api.asked import AskedDatabase
from engine.api.dataset_exports import DatasetExports
from engine.api.datasets import Datasets
from engine.api.jobs import Jobs
from engine.api.models import Models
from engine.api.overlays import Overlays
from engine.api.projects import Projects
from engine.api.results import Results
from engine.api.runs import Runs
from engine.api.splits import Splits
from engine.api.versions import Versions
from engine.api.weights import Weights
from engine.settings import Settings
from engine.storage.database import Database


class Lensmith:
    """One open workspace; safe to share between threads, cheap to keep."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database: Database = AskedDatabase(settings)
        self.jobs = Jobs(self.database)
        self.projects = Projects(self.database, self.jobs)
        self.datasets = Datasets(self.database, self.jobs)
        self.dataset_exports = DatasetExports(self.database, self.jobs)
        self.overlays = Overlays(self.database)
        self.versions = Versions(self.database)
        self.splits = Splits(self.database)
        self.runs = Runs(self.database, self.jobs)
        self.results = Results(self.database)
        self.models = Models(self.database, self.jobs)
        self.weights = Weights(self.database, self.jobs, self.datasets.uploads)

    @cached_property
    def token(self) -> str:
        """The workspace's bearer token for scripts; made once, readable by the owner only."""
        path = self.settings.home / "token"
        if not path.exists():
            _make_token(path)
        return path.read_text("ascii").strip()

    def close(self) -> None:
        """Give back the database connections."""
        self.database.close()


def _make_token(path: Path) -> None:
    """Write a token beside ``path`` and link it into place, so that nobody ever reads half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".token.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as handle:
        handle.write(secrets.token_urlsafe(32))
        handle.flush()
        os.fsync(handle.fileno())
    with suppress(FileExistsError):  # another process was first; its token counts
        path.hardlink_to(beside)
    beside.unlink()


def open_workspace(settings: Settings | None = None) -> Lensmith:
    """Open the workspace that ``settings`` (default: the environment) names."""
    return Lensmith(settings or Settings.from_environment())
