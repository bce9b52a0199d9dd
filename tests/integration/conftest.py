"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.jobs.kinds import EXTRA_KINDS
from engine.settings import Limits
from tests.integration import importing
from tests.integration.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """An empty workspace whose processes all end with the test."""
    monkeypatch.setenv(EXTRA_KINDS, "tests.integration.job_kinds")
    made = Workspace(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def space(tmp_path: Path) -> Iterator[importing.Workspace]:
    """A workspace with one empty project, to import into."""
    workspace = importing.Workspace(tmp_path / "home", Limits())
    yield workspace
    workspace.db.close()
