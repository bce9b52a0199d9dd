"""Which images train, validate and test: the dialog that draws splits, and what Data says of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from engine.contracts.datasets import SizeSummary, SplitRule
from engine.errors import InputError
from tests.ui.conftest import Open, words
from tests.ui.fake_facade import HOSTILE, FakeFacade
from tests.ui.sets import Use, assert_escaped, dialog, press


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


def test_data_says_how_many_were_moved_by_hand_and_one_size_once(open_screen: Open) -> None:
    facade = FakeFacade()
    facade.splits.by_hand = 3
    summary = facade.datasets.summary("p1")
    captions = [c.value for c in open_screen("data", facade, project="p1").caption]
    assert "drawn by Lensmith, even over the classes; 3 moved by hand since" in captions
    assert "512 × 384 px typical, 192 × 144 to 4032 × 3024" in [c.replace("\u00a0", " ") for c in captions]
    one = SizeSummary(smallest=(640, 480), largest=(640, 480), median=(640, 480))
    facade.datasets.summary = lambda project: summary.model_copy(update={"sizes": one})  # type: ignore[method-assign]
    captions = [c.value for c in open_screen("data", facade, project="p1").caption]
    assert "all 640 × 480 px" in [c.replace("\u00a0", " ") for c in captions]


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
    test.radio(key="split-part").set_value("pattern").run()
    assert not [b for b in test.button if b.key == "do-split"], "a pattern is needed first"
    test.text_input(key="split-pattern").input("^([^_]+)_").run()
    test.button(key="do-split").click().run()
    (rule,) = [call[2] for call in facade.calls if call[0] == "resplit"]
    assert (rule.by, rule.group_rule) == ("group", "^([^_]+)_")


def test_a_part_of_the_name_is_chosen_from_what_is_there(split: Callable[[FakeFacade], AppTest]) -> None:
    facade = FakeFacade(classes=(*HOSTILE, "plastic", "trash"))
    facade.splits.found = {"before:_": 1, "before:digit": 12}
    test = split(facade)
    assert test.radio(key="split-way").options == ["Image by image", "By a part of the name"]
    told = words(test).replace("\\", "")
    assert "cannot be split by folder (its pictures lie in none) or by the groups that the set names" in told
    test.radio(key="split-way").set_value("pattern").run()
    part = test.radio(key="split-part")
    assert part.options[:2] == ["What stands before the first “_”", "What stands before the first digit"]
    captions = [caption.replace("\\", "") for caption in part.proto.captions]
    assert captions[0] == "here p01 (all in one group)"
    assert captions[1].startswith("here p01, p02, ") and captions[1].endswith(", … (12 groups)")
    assert_escaped(test, "<img")
    assert part.value == "before:digit", "one group for all would split nothing"
    test.button(key="do-split").click().run()
    (rule,) = [call[2] for call in facade.calls if call[0] == "resplit"]
    assert (rule.by, rule.group_rule) == ("group", "before:digit")


def test_levels_of_folders_that_are_not_there_are_not_offered(split: Callable[[FakeFacade], AppTest]) -> None:
    test = split(FakeFacade())
    test.radio(key="split-way").set_value("folder").run()
    assert len(test.selectbox(key="split-level").options) == 3


@pytest.mark.parametrize(
    ("rule", "way"),
    [
        (SplitRule(seed=2**60), "image"),
        (SplitRule(by="group"), "own"),
        (SplitRule(by="group", group_rule="folder:2", fractions=(0.5, 0.25, 0.25)), "folder"),
        (SplitRule(by="group", group_rule="^(a)"), "pattern"),
        (SplitRule(by="group", group_rule="before:_"), "pattern"),
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
