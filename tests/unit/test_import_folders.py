"""From where on this machine an import may be started: the pages only where the settings allow it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.api import Lensmith, open_workspace
from engine.cli import app
from engine.errors import InputError
from engine.settings import Settings
from engine.storage.tables import JobRow


@contextmanager
def workspace(home: Path, **more: str) -> Iterator[Lensmith]:
    made = open_workspace(Settings.from_environment({"LENSMITH_HOME": str(home), **more}))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A folder with an allowed and a private set, and ways that lead out of the allowed one."""
    for name in ("allowed/set", "private/set", "allowed-too/set"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "allowed" / "out").symlink_to(tmp_path / "private")
    (tmp_path / "allowed" / "ring").symlink_to(tmp_path / "allowed" / "ring")
    (tmp_path / "in").symlink_to(tmp_path / "allowed")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["private/set", "allowed-too/set", "allowed/../private/set", "allowed/out/set", "private/absent", "."],
)
def test_the_pages_may_not_import_from_elsewhere(places: Path, name: str) -> None:
    with workspace(places / "home", LENSMITH_IMPORT_FOLDERS=str(places / "allowed")) as lensmith:
        for start in (lensmith.datasets.start_import, lensmith.datasets.start_recognition):
            with pytest.raises(InputError, match="Nothing may be imported") as refused:
                start(places / name)
            assert str(places / "allowed") in refused.value.hint
        assert not lensmith.projects.list() and not lensmith.jobs.active()


def test_what_is_allowed_is_followed_once_and_keeps_its_name(places: Path) -> None:
    (places / "allowed" / "newest").symlink_to(places / "allowed" / "set")
    with workspace(places / "home", LENSMITH_IMPORT_FOLDERS=str(places / "allowed")) as lensmith:
        for source in (places / "in" / "newest", places / "in" / ".." / "in" / "newest"):
            job = lensmith.datasets.start_import(source)
            assert job.project is not None
            with lensmith.database.read() as session:
                payload = session.get_one(JobRow, job.id).payload
            assert payload["source"] == str(places / "allowed" / "set")
            assert payload["source_name"] == "newest"
        with pytest.raises(InputError, match="no file or folder"):
            lensmith.datasets.start_import(places / "allowed" / "absent")
        for odd in (places / "allowed" / "ring", Path("a\0b"), Path("~nobody-of-this-name/x")):
            with pytest.raises(InputError):
                lensmith.datasets.start_recognition(odd)


def test_once_other_hosts_are_allowed_none_is(places: Path) -> None:
    with workspace(places / "home") as lensmith:
        lensmith.datasets.start_recognition(places / "private" / "set")
    with workspace(places / "home", LENSMITH_ALLOWED_HOSTS="lab.example") as lensmith:
        with pytest.raises(InputError, match="Nothing may be imported") as refused:
            lensmith.datasets.start_import(places / "private" / "set")
        assert "LENSMITH_IMPORT_FOLDERS" in refused.value.hint


def test_the_command_line_may_name_any(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LENSMITH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LENSMITH_HOME", str(places / "home"))
    monkeypatch.setenv("LENSMITH_IMPORT_FOLDERS", str(places / "allowed"))
    arguments = ["import", str(places / "private" / "set"), "--project", "P", "--no-worker"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "Queued" in done.output
