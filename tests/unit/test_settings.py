"""Settings: what is read from the environment, and which folders the pages may import from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.settings import Settings, allowed_folder


def made(folders: str = "", hosts: str = "") -> Settings:
    return Settings.from_environment(
        {"LENSMITH_HOME": "/h", "LENSMITH_IMPORT_FOLDERS": folders, "LENSMITH_ALLOWED_HOSTS": hosts}
    )


def test_import_folders_are_read_and_handed_on() -> None:
    settings = made(os.pathsep.join(["/data/a b", " /srv/sets ", "", "~/pictures"]))
    assert settings.import_folders == (Path("/data/a b"), Path("/srv/sets"), Path.home() / "pictures")
    assert Settings.from_environment(settings.environment()) == settings
    assert made().import_folders == () and Settings.from_environment(made().environment()) == made()


def test_without_folders_only_who_sits_here_may_name_any(tmp_path: Path) -> None:
    assert allowed_folder(tmp_path, made())
    assert not allowed_folder(tmp_path, made(hosts="lab.example"))


@pytest.mark.parametrize("hosts", ["", "lab.example"])
def test_with_folders_only_what_lies_in_them(tmp_path: Path, hosts: str) -> None:
    (tmp_path / "sets" / "one").mkdir(parents=True)
    (tmp_path / "sets-of-others").mkdir()
    (tmp_path / "sets" / "out").symlink_to(tmp_path / "sets-of-others")
    (tmp_path / "in").symlink_to(tmp_path / "sets" / "one")
    settings = made(str(tmp_path / "sets"), hosts)
    may = {
        name: allowed_folder(tmp_path / name, settings)
        for name in (
            "sets",
            "sets/one",
            "sets/one/a.zip",
            "in",
            "sets/out",
            "sets-of-others",
            "sets/../x",
            ".",
        )
    }
    assert [name for name, yes in may.items() if yes] == ["sets", "sets/one", "sets/one/a.zip", "in"]


def test_a_folder_that_is_a_link_counts_as_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert allowed_folder(tmp_path / "real" / "x", made(str(tmp_path / "link")))


def test_nonsense_is_not_allowed(tmp_path: Path) -> None:
    (tmp_path / "ring").symlink_to(tmp_path / "ring")
    settings = made(str(tmp_path / "sets"))
    assert not any(
        allowed_folder(path, settings) for path in (tmp_path / "ring", Path("a\0b"), Path("~nobody-here/x"))
    )
