"""Versions, and taking the set home."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from engine.contracts.datasets import VersionDiff
from engine.contracts.jobs import JobState
from engine.errors import ConflictError
from tests.ui.conftest import Open, words
from tests.ui.fake_facade import HOSTILE, FakeFacade
from tests.ui.sets import Use, assert_escaped, dialog, press

# -- versions ----------------------------------------------------------------------------------------


@pytest.fixture
def versions(use_facade: Use) -> Callable[[FakeFacade], AppTest]:
    """Open the dialog of the versions."""

    def show(facade: FakeFacade) -> AppTest:
        use_facade(facade)
        return dialog("versions", "versions_dialog", "p1")

    return show


def test_data_names_the_latest_version_and_opens_the_others(open_screen: Open) -> None:
    test = open_screen("data", FakeFacade(), project="p1")
    assert "frozen after an import, 2,527 images; 2 changes since" in words(test)
    test.button(key="see-versions").click().run()
    assert test.button(key="freeze-now")


def test_versions_are_listed_with_why_what_and_which_runs(versions: Callable[[FakeFacade], AppTest]) -> None:
    facade = FakeFacade()
    facade.versions_made = 14
    test = versions(facade)
    shown = words(test).replace("\\", "")
    assert not test.exception
    assert "Version 14" in shown and "Version 4" not in shown.replace("Version 14", "")
    assert "3 labels changed, 2 images left out" in shown
    test.button(key="older").click().run()
    shown = words(test).replace("\\", "")
    assert "Used by runs #1, #2" in shown
    assert "local" not in shown, "one person needs no name"
    assert not [b for b in test.button if b.key == "restore-14"], "the latest is there already"


def test_going_back_asks_first(versions: Callable[[FakeFacade], AppTest]) -> None:
    facade = FakeFacade()
    test = versions(facade)
    test.button(key="restore-2").click().run()
    assert "Make the data what they were in version 2?" in words(test).replace("\\", "")
    assert not [call for call in facade.calls if call[0] == "restore"]
    test.button(key="do-restore").click().run()
    assert ("restore", "p1", 2) in facade.calls
    assert test.session_state["told"] == "Version 2 restored"


def test_going_back_is_taken_back_beside_the_card(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("data", facade, project="p1")
    assert not [b for b in test.button if b.key == "take-back-versions"]
    facade.versions.restore("p1", 2)
    test.session_state["versions-done"] = "Version 2 restored"
    test.run()
    assert "Version 2 restored" in words(test)
    test.button(key="take-back-versions").click().run()
    assert ("undo", "p1") in facade.calls
    assert test.toast[0].value == "Taken back\\."
    assert not [b for b in test.button if b.key == "take-back-versions"]


def test_an_undo_of_something_else_is_not_offered_beside_a_card(open_screen: Open) -> None:
    facade = FakeFacade()
    facade.datasets.undo_text = "2 images left out"
    test = open_screen("data", facade, project="p1")
    test.session_state["split-done"] = "Splits drawn again: 38 images moved"
    test.run()
    assert not [b for b in test.button if b.key == "take-back-split"]
    assert "split-done" not in test.session_state


def test_a_version_that_cannot_be_restored_says_why(versions: Callable[[FakeFacade], AppTest]) -> None:
    facade = FakeFacade()

    def gone(project: str, number: int, key: str | None = None) -> None:
        raise ConflictError("3 of its images are no longer there.", "Import that set again.")

    facade.versions.restore = gone  # type: ignore[assignment]
    test = versions(facade)
    test.button(key="restore-1").click().run()
    test.button(key="do-restore").click().run()
    assert "no longer there" in words(test)


def test_two_versions_are_compared(versions: Callable[[FakeFacade], AppTest]) -> None:
    facade = FakeFacade(classes=(*HOSTILE, "plastic", "trash"))
    test = versions(facade)
    shown = words(test).replace("\\", "")
    assert ("compare", 2, 3) in facade.calls
    assert "30 labels changed, 2 images added" in shown
    assert "Labels changed: 30 images, of which 24 are shown" in shown
    assert_escaped(test, "<img")
    test.selectbox(key="compare-from").set_value(1).run()
    assert ("compare", 1, 3) in facade.calls
    facade.versions.diff = VersionDiff(before=1, after=3)
    test.run()
    test = versions(facade)
    assert "hold the same" in words(test)


def test_one_version_has_nothing_to_compare_with(versions: Callable[[FakeFacade], AppTest]) -> None:
    facade = FakeFacade()
    facade.versions_made = 1
    test = versions(facade)
    assert not test.exception
    assert "one version so far" in words(test)


def test_the_data_are_frozen_by_hand(versions: Callable[[FakeFacade], AppTest]) -> None:
    facade = FakeFacade()
    test = versions(facade)
    test.button(key="freeze-now").click().run()
    assert ("freeze", "p1") in facade.calls
    assert test.session_state["told"] == "Nothing has changed since version 3."


# -- taking the set home -----------------------------------------------------------------------------


def test_a_set_is_exported_in_a_format_with_its_losses(open_screen: Open) -> None:
    facade = FakeFacade()
    assert press(open_screen("data", facade, project="p1"), "Export set").radio(key="export-format")
    test = dialog("set_export", "export_dialog", "p1")
    formats = test.radio(key="export-format")
    assert formats.options == ["COCO JSON", "YOLO"]
    assert list(formats.proto.captions) == ["Nothing is lost.", "Attributes of labels are left out\\."]
    formats.set_value("yolo").run()
    test.selectbox(key="export-version").set_value(2).run()
    test.button(key="do-export").click().run()
    assert ("export_set", "p1", "yolo", 2) in facade.calls
    assert test.query_params["job"] in ("set1", ["set1"])


def test_an_export_under_way_is_shown_and_can_be_stopped(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("data", facade, project="p1", job="set1")
    assert "Exporting the set" in words(test)
    press(test, "Stop the export")
    assert ("cancel", "set1") in facade.calls


def test_what_was_just_done_is_said_once(open_screen: Open) -> None:
    test = open_screen("data", FakeFacade(), project="p1")
    test.session_state["told"] = "Version 2 restored"
    test.run()
    assert test.toast[0].value == "Version 2 restored"
    assert "told" not in test.session_state


def test_an_exported_set_can_be_downloaded_after_a_refresh(open_screen: Open) -> None:
    facade = FakeFacade()
    facade.set_state = JobState.SUCCEEDED
    test = open_screen("data", facade, project="p1", job="set1")
    links = {link.proto.label: link.proto.url for link in test.get("link_button")}
    assert links["Download 31.0 MB"] == "/download/p1/set/set1.zip"
    assert "YOLO · version 3 · 1,204 images" in words(test).replace("\\", "")
    test.button(key="set-close").click().run()
    assert "job" not in test.query_params


@pytest.mark.parametrize("job", ["import1", "look1"])
def test_data_shows_no_other_job(open_screen: Open, job: str) -> None:
    test = open_screen("data", FakeFacade(), project="p1", job=job)
    assert not test.exception
    assert "The set is ready" not in words(test)


def test_an_export_that_failed_says_so(open_screen: Open) -> None:
    facade = FakeFacade()
    facade.set_state = JobState.CANCELLED
    test = open_screen("data", facade, project="p1", job="set1")
    assert "The export was stopped" in words(test)
