"""Versions, splits, and taking the set home."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from engine.contracts.datasets import SplitRule, VersionDiff
from engine.contracts.jobs import JobState
from engine.errors import ConflictError, InputError
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


# -- splits ------------------------------------------------------------------------------------------


@pytest.fixture
def split(use_facade: Use) -> Callable[[FakeFacade], AppTest]:
    """Open the dialog of the splits."""

    def show(facade: FakeFacade) -> AppTest:
        use_facade(facade)
        return dialog("split_dialog", "split_dialog", "p1")

    return show


def test_data_opens_the_splits(open_screen: Open) -> None:
    test = press(open_screen("data", FakeFacade(), project="p1"), "Split")
    assert test.button(key="do-split")


def test_splits_are_drawn_again_after_a_warning(split: Callable[[FakeFacade], AppTest]) -> None:
    facade = FakeFacade()
    test = split(facade)
    assert "38 images would change sides" in words(test)
    assert "“Undo” takes it back" in words(test)
    test.number_input(key="split-seed").set_value(7).run()
    test.button(key="do-split").click().run()
    rule = SplitRule(fractions=(0.7, 0.2, 0.1), seed=7)
    assert ("resplit", "p1", rule) in facade.calls
    assert "38 images moved" in test.session_state["told"]


def test_runs_are_named_only_where_there_are_any_and_an_empty_split_is_said(
    split: Callable[[FakeFacade], AppTest],
) -> None:
    facade = FakeFacade()
    assert "Runs from before" in words(split(facade))
    status = facade.projects.status("p1").model_copy(update={"runs": 0})
    facade.projects.status = lambda project: status  # type: ignore[method-assign]
    test = split(facade)
    assert "38 images would change sides" in words(test)
    assert "Runs from before" not in words(test)
    assert "There would be no image" not in words(test)
    test.number_input(key="split-train").set_value(100)
    test.number_input(key="split-val").set_value(0)
    test.number_input(key="split-test").set_value(0).run()
    assert "no image for validation and none for test" in words(test)


@pytest.mark.parametrize(
    ("notes", "rule", "says"),
    [
        ((), None, "as the set brings it"),
        (
            ("Read twice. The set has no validation images; 12 of its training images serve for that.",),
            None,
            "train and test as the set brings them, validation drawn from train",
        ),
        (("The set has no test images; it has none to spare.",), None, "as the set brings it"),
        ((), SplitRule(by="group"), "drawn by Lensmith, even over the classes; groups stay together"),
    ],
)
def test_data_says_where_the_splits_come_from(
    open_screen: Open, notes: tuple[str, ...], rule: SplitRule | None, says: str
) -> None:
    facade = FakeFacade()
    facade.splits.last = rule
    summary = facade.datasets.summary("p1").model_copy(update={"splits_of_set": True})
    report = facade.datasets.import_report("p1").model_copy(update={"notes": notes})  # type: ignore[union-attr]
    facade.datasets.summary = lambda project: summary  # type: ignore[method-assign]
    facade.datasets.import_report = lambda project: report  # type: ignore[method-assign]
    assert says in [c.value for c in open_screen("data", facade, project="p1").caption]


def test_a_task_that_cannot_be_trained_yet_has_no_loud_button(open_screen: Open) -> None:
    def kind(facade: FakeFacade) -> str:
        test = open_screen("data", facade, project="p1")
        return next(b.proto.type for b in test.button if b.label == "Train")

    facade = FakeFacade()
    assert kind(facade) == "primary"
    (known,) = facade.projects.tasks()
    facade.projects.tasks = lambda: (known.model_copy(update={"presets": ()}),)  # type: ignore[method-assign]
    assert kind(facade) == "secondary"


def test_shares_that_do_not_sum_are_a_sentence(split: Callable[[FakeFacade], AppTest]) -> None:
    test = split(FakeFacade())
    test.number_input(key="split-train").set_value(90).run()
    assert "sum to 100 %" in words(test).replace("\\", "")
    assert not [b for b in test.button if b.key == "do-split"]


def test_groups_are_shown_before_they_are_used(split: Callable[[FakeFacade], AppTest]) -> None:
    facade = FakeFacade(classes=(*HOSTILE, "plastic", "trash"))
    test = split(facade)
    test.radio(key="split-way").set_value("folder").run()
    test.selectbox(key="split-level").set_value("folder:2").run()
    assert "12 groups, the largest first: p01 (8), p02 (6)" in words(test).replace("\\", "")
    assert_escaped(test, "<img")
    test.radio(key="split-way").set_value("pattern").run()
    assert not [b for b in test.button if b.key == "do-split"], "a pattern is needed first"
    test.text_input(key="split-pattern").input("^([^_]+)_").run()
    test.button(key="do-split").click().run()
    (rule,) = [call[2] for call in facade.calls if call[0] == "resplit"]
    assert (rule.by, rule.group_rule) == ("group", "^([^_]+)_")


@pytest.mark.parametrize(
    ("rule", "way"),
    [
        (SplitRule(seed=2**60), "image"),
        (SplitRule(by="group"), "own"),
        (SplitRule(by="group", group_rule="folder:2", fractions=(0.5, 0.25, 0.25)), "folder"),
        (SplitRule(by="group", group_rule="^(a)"), "pattern"),
    ],
)
def test_the_rule_of_last_time_stands_there(
    split: Callable[[FakeFacade], AppTest], rule: SplitRule, way: str
) -> None:
    facade = FakeFacade()
    facade.splits.last = rule
    test = split(facade)
    assert not test.exception
    assert test.radio(key="split-way").value == way
    if rule.seed == 0:
        assert "already drawn so" in words(test)
        assert test.button(key="do-split").disabled


def test_one_fold_is_held_out(split: Callable[[FakeFacade], AppTest]) -> None:
    facade = FakeFacade(total=1000)
    test = split(facade)
    assert not [box for box in test.number_input if box.key == "split-folds"]
    test.button_group(key="split-cut").set_value("folds").run()
    assert not [box for box in test.number_input if box.key == "split-train"]
    assert "cut into 5 parts of one size. Fold 1 validates, the other 4 train, and test stays" in words(test)
    assert "**720** train · **180** validation · **100** test" in words(test)
    assert "Runs from before" not in words(test), "test is what they were measured on, and it stays"
    test.number_input(key="split-folds").set_value(4).run()
    test.selectbox(key="split-held-4").set_value(3).run()
    test.number_input(key="split-seed").set_value(7)
    test.radio(key="split-way").set_value("folder").run()
    assert "Fold 3 validates, the other 3 train" in words(test)
    press(test, "Hold out fold 3")
    wanted = SplitRule(seed=7, by="group", group_rule="folder", folds=4, held_out=3)
    assert ("resplit", "p1", wanted) in facade.calls


def test_the_next_fold_starts_from_the_last(
    split: Callable[[FakeFacade], AppTest], open_screen: Open
) -> None:
    facade = FakeFacade()
    facade.splits.last = SplitRule(fractions=(0.6, 0.2, 0.2), seed=3, folds=8, held_out=2)
    test = split(facade)
    assert test.number_input(key="split-folds").value == 8
    assert test.selectbox(key="split-held-8").value == 2
    assert "already drawn so" in words(test)
    test.selectbox(key="split-held-8").set_value(3).run()
    test.button(key="do-split").click().run()
    after = facade.splits.last.model_copy(update={"held_out": 3})
    assert ("resplit", "p1", after) in facade.calls
    facade.splits.last = after
    captions = [caption.value for caption in open_screen("data", facade, project="p1").caption]
    assert "fold 3 of 8 validates; even over the classes" in captions


def test_folds_that_are_not_possible_are_a_sentence(split: Callable[[FakeFacade], AppTest]) -> None:
    facade = FakeFacade()

    def few(project: str, rule: SplitRule) -> None:
        raise InputError("5 folds need at least 5 groups outside test; there are 3.", "Use fewer folds.")

    facade.splits.last = SplitRule(folds=5)
    facade.splits.preview = few  # type: ignore[assignment]
    test = split(facade)
    assert "Use fewer folds" in words(test)
    assert not [button for button in test.button if button.key == "do-split"]


def test_a_pattern_that_finds_nothing_is_a_sentence(split: Callable[[FakeFacade], AppTest]) -> None:
    facade = FakeFacade()

    def nothing(project: str, rule: SplitRule) -> None:
        raise InputError("The set names no groups.", "Say where the group stands.")

    facade.splits.preview = nothing  # type: ignore[assignment]
    test = split(facade)
    assert "names no groups" in words(test)


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
