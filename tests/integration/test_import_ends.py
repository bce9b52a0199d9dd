"""How an import ends: what it leaves behind when it is stopped, killed, refused or out of room."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from engine.contracts.datasets import ImportReport
from engine.datasets import importer
from engine.datasets.staging import sweep_staging
from engine.datasets.thumbnails import thumbnail_path
from engine.errors import InputError, JobCancelledError, LeaseLostError, QuestionError
from engine.storage.blobs import BlobStore
from engine.storage.tables import JobRow
from tests.integration.importing import Workspace, folder, picture, two_classes, zipped


def test_staged_files_keep_their_names_and_go_away(space: Workspace, tmp_path: Path) -> None:
    staging = folder(space.settings.staging, {f"u{n}": picture(n) for n in range(3)})
    listed = staging / "k.files.json"
    listed.write_text(
        json.dumps([{"path": f"{'ab'[n % 2]}/{n}.png", "file": str(staging / f"u{n}")} for n in range(3)])
    )
    report = space.run(listed, staged=True)
    assert report.classes == ("a", "b") and list(staging.iterdir()) == []


def staged_zip(space: Workspace, tmp_path: Path, files: dict[str, bytes]) -> Path:
    """A list of one uploaded archive, as the web server leaves it."""
    content = space.settings.staging / "uploads" / "u1" / "content"
    content.parent.mkdir(parents=True)
    zipped(folder(tmp_path / "staged", files), content)
    listed = space.settings.staging / "k.files.json"
    listed.write_text(json.dumps([{"path": "set.zip", "file": str(content)}]))
    return listed


def left(space: Workspace) -> list[str]:
    return sorted(path.name for path in space.settings.staging.rglob("*") if path.is_file())


def test_uploads_of_a_refused_import_wait_for_another_choice(space: Workspace, tmp_path: Path) -> None:
    work = space.work(staged_zip(space, tmp_path, {"a.txt": b"x"}), staged=True)
    for _ in range(2):
        with pytest.raises(InputError, match="no pictures"):
            importer.run(work)
    sweep_staging(space.settings, older_than_seconds=-1)
    assert left(space) == [] and list((space.settings.staging / "uploads").iterdir()) == []
    with pytest.raises(InputError, match="Upload it again"):
        importer.run(work)


def test_uploads_wait_for_a_person_s_answer(space: Workspace, tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": picture(n) for n, name in enumerate(["cat", "Cat", "dog"])}
    source = staged_zip(space, tmp_path, files)
    with pytest.raises(QuestionError):
        space.run(source, staged=True)
    assert left(space) == ["content", "k.files.json"]
    assert space.run(source, staged=True, merge_classes=True).images == 3
    assert left(space) == []


class Terminated(BaseException):
    """What a TERM raises in a job's process."""


@pytest.mark.parametrize(
    ("error", "stop", "kept"),
    [
        (JobCancelledError("stopped"), "cancel", True),
        (JobCancelledError("stopped"), "pause", True),
        (Terminated(), "cancel", True),
        (Terminated(), None, True),
        (LeaseLostError("lost"), None, True),
        (OSError(errno.ENOSPC, "No space left"), None, True),
        (OSError(errno.EIO, "broken"), None, False),
        (RuntimeError("a bug"), None, False),
    ],
)
def test_uploads_stay_as_long_as_the_job_may_go_on(
    space: Workspace, tmp_path: Path, error: BaseException, stop: str | None, kept: bool
) -> None:
    source = staged_zip(space, tmp_path, {"a/1.png": picture(1), "b/2.png": picture(2)})
    work = space.work(source, staged=True)

    def end() -> None:
        work.stop = stop
        raise error

    work.on_check = end
    with pytest.raises(type(error)):
        importer.run(work)
    assert left(space) == (["content", "k.files.json"] if kept else [])


def test_uploads_go_when_an_earlier_attempt_was_done(space: Workspace, tmp_path: Path) -> None:
    files = {"a/1.png": picture(1), "b/2.png": picture(2)}
    work = space.work(staged_zip(space, tmp_path, files), staged=True)
    report = importer.run(work)
    staged_zip(space, tmp_path / "again", files)
    assert importer.run(work) == report and left(space) == []


def test_old_uploads_are_swept_unless_an_import_waits_for_them(space: Workspace, tmp_path: Path) -> None:
    waiting = space.work(
        staged_zip(space, tmp_path, {"a/1.png": picture(1), "b/2.png": picture(2)}), staged=True
    )
    folder(space.settings.staging / "uploads", {"u2/content": b"old", "u3/content": b"new"})
    folder(space.settings.staging, {"old.files.json": b"[]"})
    for path in space.settings.staging.rglob("*"):
        if path.is_file() and path.parent.name != "u3":
            os.utime(path, (0, 0))
    space.run(two_classes(tmp_path / "set", 4))
    assert left(space) == ["content", "content", "k.files.json"]
    assert not (space.settings.staging / "uploads" / "u2").exists()
    with space.db.write() as session:
        session.get_one(JobRow, waiting.job_id).state = "cancelled"
    space.run(two_classes(tmp_path / "set", 4), mode="add")
    assert left(space) == ["content"]


def test_only_staged_files_are_removed(space: Workspace, tmp_path: Path) -> None:
    source = two_classes(tmp_path / "set")
    space.run(source, staged=True)
    assert len(list(source.rglob("*.png"))) == 20


def test_a_stopped_import_leaves_only_what_was_uploaded(space: Workspace, tmp_path: Path) -> None:
    space.settings.staging.mkdir(parents=True)
    staged = zipped(two_classes(tmp_path / "set", 200), space.settings.staging / "u.zip")
    work = space.work(staged, staged=True)

    def stop() -> None:
        if any("images" in message for _, message in work.said):
            raise JobCancelledError("stopped")

    work.on_check = stop
    with pytest.raises(JobCancelledError):
        importer.run(work)
    assert space.is_empty() and staged.exists()
    assert not [child for child in psutil.Process().children() if "intake" in " ".join(child.cmdline())]


def at_start(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every Python process that starts from now on run ``code`` first: those that decode, here."""
    folder(tmp_path / "start", {"sitecustomize.py": code.encode()})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "start"))


def test_a_decoder_that_crashes_costs_one_image(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Python runs at its start kills the intake processes only, and at one picture only.
    code = (
        "import hashlib, os, signal\n"
        "whole = hashlib.sha256\n"
        "def deadly(content=b'', **more):\n"
        "    if content.endswith(b'crash here'): os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    return whole(content, **more)\n"
        "hashlib.sha256 = deadly\n"
    )
    at_start(code, tmp_path, monkeypatch)
    source = two_classes(tmp_path / "set", 150, **{"cat/0deadly.png": picture(999) + b"crash here"})
    report = space.run(source)
    assert report.images == 150 and report.skipped == 2
    assert report.issues[0].file == "cat/0deadly.png" and "crashed (signal 11)" in report.issues[0].reason


def test_a_killed_import_leaves_nothing_and_can_be_repeated(space: Workspace, tmp_path: Path) -> None:
    work = space.work(two_classes(tmp_path / "set", 300))
    code = (
        "import json, sys, time\n"
        "from pathlib import Path\n"
        "from tests.integration import importing as t\n"
        "class Slow(t.FakeWork):\n"
        "    def progress(self, fraction, message=''):\n"
        "        print(message, flush=True)\n"
        "        time.sleep(0.5)\n"
        "home = Path(sys.argv[1])\n"
        "s = t.Settings(home=home, database_url=f'sqlite:///{home / \"test.db\"}')\n"
        "payload = json.loads(sys.argv[2])\n"
        "t.importer.run(Slow(s, t.Database(s), sys.argv[3], Path(sys.argv[4]), t.PROJECT, payload=payload))"
    )
    arguments = [str(space.settings.home), json.dumps(work.payload), work.job_id, str(work.folder)]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while " of 300 images" not in process.stdout.readline():
        assert process.poll() is None
    children = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    assert space.is_empty()
    # Its decoding processes end by themselves when the pipe closes.
    assert not psutil.wait_procs(children, timeout=30)[1]
    report = ImportReport.model_validate(importer.run(work))
    assert report.images == 300
    assert importer.run(work) == report.model_dump(mode="json"), "a second attempt only reads the account"


def test_the_issues_file_holds_no_formulas(space: Workspace, tmp_path: Path) -> None:
    source = folder(two_classes(tmp_path / "set"), {"cat/x.png": b"nonsense", "=cmd.png": b"nonsense"})
    report = space.run(source, accept_skips=True)
    text = (space.settings.home / report.issues_file).read_text("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["file", "line", "outcome", "reason"] and len(rows) == 1 + report.issues_total
    assert "'=cmd.png" in {row[0] for row in rows}


def test_flipped_bytes_never_stop_an_import(space: Workspace, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    files = {}
    for number, image_format in enumerate(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"] * 25):
        content = bytearray(picture(number, (24, 24), image_format))
        for place in random.integers(0, len(content), 4):
            content[place] = random.integers(0, 256)
        files[f"{'ab'[number % 2]}/{number}.{image_format.lower()}"] = bytes(content)
    files |= {"a/whole.png": picture(1000), "b/whole.png": picture(1001)}
    report = space.run(folder(tmp_path / "set", files), accept_skips=True)
    assert report.read == 304 and report.skipped > 0 and report.images == len(space.labels())


def test_no_import_starts_before_the_project_exists(space: Workspace, tmp_path: Path) -> None:
    work = space.work(two_classes(tmp_path / "set"))
    work.payload["project_id"] = "gone"
    with pytest.raises(InputError, match="does not exist"):
        importer.run(work)
    assert space.is_empty()


def test_a_stored_file_that_was_torn_is_mended_by_the_next_import(space: Workspace, tmp_path: Path) -> None:
    content = picture(7, (64, 48), "JPEG")
    store = BlobStore(space.settings.files)
    digest = store.put(content)
    small = thumbnail_path(space.settings, digest)
    small.parent.mkdir(parents=True)
    os.link(store.path(digest), small)
    store.path(digest).write_bytes(content[:100])
    space.run(two_classes(tmp_path / "set", 4, **{"cat/torn.jpg": content}))
    assert store.read(digest) == content == small.read_bytes()


def test_a_full_disk_ends_the_import_and_skips_nothing(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Python runs at its start fills the disk of the intake processes only.
    code = (
        "import errno, os, pathlib\n"
        "def full(*_): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "pathlib.Path.replace = full\n"
    )
    at_start(code, tmp_path, monkeypatch)
    with pytest.raises(OSError, match="No space left") as caught:
        space.run(two_classes(tmp_path / "set"), accept_skips=True)
    assert caught.value.errno == errno.ENOSPC
    assert space.is_empty() and not list(space.settings.files.rglob("*.part"))
