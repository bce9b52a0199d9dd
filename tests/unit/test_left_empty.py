"""A project that was made for an import which then failed is not shown, and is there for another try."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from engine.api import Lensmith, open_workspace
from engine.contracts.jobs import JobState
from engine.settings import Settings
from engine.storage.tables import JobRow


@pytest.fixture
def lensmith(tmp_path: Path) -> Lensmith:
    home = tmp_path / "home"
    home.mkdir()
    return open_workspace(Settings(home=home, database_url=f"sqlite:///{home / 'lensmith.db'}"))


def _names(lensmith: Lensmith) -> list[str]:
    return [project.name for project in lensmith.projects.list()]


def _end(lensmith: Lensmith, job: str, state: JobState) -> None:
    with lensmith.database.write() as session:
        session.execute(update(JobRow).where(JobRow.id == job).values(state=state))


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_what_a_failed_import_left_is_not_listed(lensmith: Lensmith, tmp_path: Path, state: JobState) -> None:
    kept = lensmith.projects.create("Mine")
    job = lensmith.datasets.start_import(tmp_path, name="Photos", any_folder=True)
    assert sorted(_names(lensmith)) == ["Mine", "Photos"]
    _end(lensmith, job.id, state)
    assert _names(lensmith) == ["Mine"]
    again = lensmith.datasets.start_import(tmp_path, project="Photos", any_folder=True)
    assert again.project == job.project and "Photos" in _names(lensmith)
    # What a person made stays, whatever becomes of an import into it.
    other = lensmith.datasets.start_import(tmp_path, project=kept.id, any_folder=True)
    _end(lensmith, other.id, state)
    assert "Mine" in _names(lensmith)


def test_its_name_is_free_for_another_try(lensmith: Lensmith, tmp_path: Path) -> None:
    job = lensmith.datasets.start_import(tmp_path, name="Photos", any_folder=True)
    _end(lensmith, job.id, JobState.FAILED)
    made = lensmith.projects.create("Photos")
    assert made.name == "Photos" and lensmith.projects.get("Photos").id == made.id
