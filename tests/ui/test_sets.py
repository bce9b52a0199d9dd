"""What a set could be, what an import asks, its report, versions, splits, and taking the set home."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.components.import_order import ImportOrder, order_of
from app.components.import_questions import QUESTIONS, question_of
from app.components.import_report import count_reasons, matching, same_reason
from engine.contracts.datasets import ImportChoices, ImportIssue, Outcome, SplitRule, VersionDiff
from engine.contracts.jobs import JobState, Problem
from engine.contracts.projects import TaskInfo
from engine.errors import ConflictError, InputError
from tests.ui.conftest import Open, words
from tests.ui.fake_facade import HOSTILE, FakeFacade
from tests.ui.fake_sets import offer

Use = Callable[[Any], FakeFacade]
TASKS = ("classification", "detection", "instance", "keypoints")


def world(*offers: Any, **more: Any) -> FakeFacade:
    """A facade that knows some tasks and recognises a set as ``offers``."""
    facade = FakeFacade(**more)
    facade.offers = offers or (offer("instance"), offer("detection"))
    facade.projects.tasks = lambda: tuple(  # type: ignore[method-assign]
        TaskInfo(name=name, title=name.capitalize(), labels=f"labels of {name}", metrics=(), presets=())
        for name in TASKS
    )
    return facade


def said(**values: Any) -> str:
    """The part of an address that says what is imported."""
    return json.dumps({"uploads": ["u1", "u2"], "name": "my_set.zip", "looked": "look1", **values})


def imports(facade: FakeFacade) -> list[tuple[Any, ...]]:
    return [call for call in facade.calls if call[0] == "start_import"]


def dialog(module: str, name: str, *args: Any) -> AppTest:
    """Run one dialog on its own: the runner does not keep it open on a screen."""

    def script(module: str, name: str, args: tuple) -> None:
        import importlib

        getattr(importlib.import_module(f"app.components.{module}"), name)(*args)

    return AppTest.from_function(script, args=(module, name, args), default_timeout=30).run()


def assert_escaped(test: AppTest, *names: str) -> None:
    """Names are letters: what would open markup has a backslash before it."""
    shown = "\n".join([words(test), *(c for radio in test.radio for c in radio.proto.captions)])
    for raw in names:
        assert raw in shown.replace("\\", "").replace("\u2060", "")
        assert not re.search(rf"(?<!\\){re.escape(raw)}", shown)


def press(test: AppTest, label: str) -> AppTest:
    return next(b for b in test.button if b.label == label).click().run()


def give_path(test: AppTest, path: str = "/data/photos") -> AppTest:
    test.text_input(key="folder-path").input(path)
    return press(test, "Import")


# -- recognising ------------------------------------------------------------------------------------


def test_one_offer_is_taken_without_a_click(open_screen: Open) -> None:
    facade = world(offer("detection", "yolo"))
    test = give_path(open_screen("new", facade))
    assert not test.exception
    ((_, source, _, project, name, choices),) = imports(facade)
    assert (source, project, name) == (Path("/data/photos"), None, "Photos")
    assert choices == {"mode": "new", "task": "detection", "format": "yolo"}
    assert test.query_params["job"] in ("import1", ["import1"])


def test_several_offers_are_sentences_of_which_the_first_is_chosen(open_screen: Open) -> None:
    sorts = [offer("keypoints", schema_name=n, schema_title=f"{n}, 17 points", images=9) for n in ("a", "b")]
    facade = world(offer("instance"), *sorts)
    test = give_path(open_screen("new", facade))
    assert not imports(facade), "a person is asked first"
    options = test.radio(key="offer").options
    assert options[0] == "**Instance** · COCO JSON · 3 classes · 18 images :primary-badge[recommended]"
    assert options[1] == "**Keypoints** · COCO JSON · a\\, 17 points · 9 images"
    assert options[-1] == "Something else"
    assert test.radio(key="offer").value == 0
    assert "images, annotations and categories" in words(test).replace("\\", "")
    assert [b.label for b in test.button if b.proto.type == "primary"] == ["Import"]
    test.radio(key="offer").set_value(2).run()
    test.text_input(key="import-name").input("Other name").run()
    press(test, "Import")
    assert imports(facade)[-1][4:] == (
        "Other name", {"mode": "new", "task": "keypoints", "format": "coco", "schema": "b"},
    )  # fmt: skip


def test_the_choice_stands_in_the_address(open_screen: Open) -> None:
    facade = world()
    test = open_screen("new", facade, job="look1", **{"import": said()})
    test.radio(key="offer").set_value(1).run()
    address = test.query_params["import"]
    again = open_screen(
        "new", facade, job="look1", **{"import": address if isinstance(address, str) else address[0]}
    )
    assert again.radio(key="offer").value == 1
    assert again.text_input(key="import-name").value == "My set"
    press(again, "Import")
    assert imports(facade)[-1][2] == ("u1", "u2")
    assert imports(facade)[-1][-1]["task"] == "detection"


def test_a_name_that_is_left_by_a_click_on_another_offer_stays(open_screen: Open) -> None:
    facade = world()
    test = open_screen("new", facade, job="look1", **{"import": said()})
    test.text_input(key="import-name").input("My own name")
    test.radio(key="offer").set_value(1).run()
    assert (test.text_input(key="import-name").value, test.radio(key="offer").value) == ("My own name", 1)
    press(test, "Import")
    assert imports(facade)[-1][4] == "My own name"
    assert imports(facade)[-1][-1]["task"] == "detection"


def test_a_link_starts_nothing(open_screen: Open) -> None:
    facade = world(offer("detection"))
    test = open_screen("new", facade, job="look1", **{"import": said()})
    assert not imports(facade)
    assert len(test.radio(key="offer").options) == 2
    press(test, "Import")
    assert len(imports(facade)) == 1


def test_coming_back_to_a_choice_does_not_make_it_again(open_screen: Open) -> None:
    facade = world(offer("detection"))
    test = give_path(open_screen("new", facade))
    assert len(imports(facade)) == 1
    test.query_params["job"] = "look1"
    test.run()
    assert test.radio(key="offer")
    assert len(imports(facade)) == 1


def test_going_back_to_an_import_that_went_through_is_not_sent_forward(open_screen: Open) -> None:
    facade = world()
    facade.import_state = JobState.SUCCEEDED
    test = open_screen("new", facade, job="import1")
    assert test.title[0].value == "Data"
    test.switch_page("views/new.py")
    test.query_params["job"] = "import1"
    del test.query_params["project"]
    test.run()
    assert test.title[0].value == "New project"
    assert "This import went through" in words(test)
    facade.offers = (offer("detection"),)
    give_path(test)
    assert imports(facade)[-1][3] is None, "the next set is a project of its own"


def test_an_import_that_was_watched_ends_its_timer_before_data_appears(open_screen: Open) -> None:
    facade = world()
    test = open_screen("new", facade, job="import1")
    assert "Stop the import" in words(test)
    facade.import_state = JobState.SUCCEEDED
    test.run()
    assert test.title[0].value == "New project"
    assert "This import went through" in words(test)
    test.run()  # what the browser asks for as soon as it has drawn the run before
    assert test.title[0].value == "Data"


def test_stopping_takes_a_moment_and_says_so(open_screen: Open) -> None:
    facade = world()
    test = press(open_screen("new", facade, job="import1"), "Stop the import")
    assert ("cancel", "import1") in facade.calls
    (button,) = [b for b in test.button if b.key == "stop-import"]
    assert (button.label, button.disabled) == ("Stopping…", True)


def test_waiting_says_for_what(open_screen: Open) -> None:
    facade = world()
    facade.look_state = JobState.QUEUED
    test = open_screen("new", facade, job="look1", **{"import": said()})
    assert "Stop looking" in words(test)
    assert test.get("progress")[0].proto.text == "Starting"


def test_a_set_after_a_stopped_import_is_a_project_of_its_own(open_screen: Open) -> None:
    facade = world()
    facade.import_state = JobState.CANCELLED
    test = open_screen("new", facade, job="import1", **{"import": said()})
    assert "was stopped" in words(test)
    give_path(test)
    assert test.text_input(key="import-name").value == "Photos"
    assert test.title[0].value == "New project"
    press(test, "Import")
    assert imports(facade)[-1][3:5] == (None, "Photos")


def test_a_project_that_an_import_left_empty_is_none_to_add_to(open_screen: Open) -> None:
    facade = world()
    facade.projects.list = lambda: ()  # type: ignore[method-assign]
    test = open_screen("new", facade, project="p2")
    assert test.title[0].value == "New project"
    give_path(test)
    assert test.text_input(key="import-name").value == "Photos"


def test_an_answer_fills_the_project_of_its_import(open_screen: Open) -> None:
    facade = world()
    ask(facade, "--void")
    test = open_screen("new", facade, job="import1", **{"import": said()})
    test.button(key="answer").click().run()
    assert imports(facade)[-1][3] == "p1"
    assert "project" not in test.query_params


def test_something_else_is_any_other_task(open_screen: Open) -> None:
    facade = world()
    test = open_screen("new", facade, job="look1", **{"import": said(choice=-1)})
    assert next(b for b in test.button if b.label == "Import").disabled
    test.selectbox(key="other-task").set_value("keypoints").run()
    press(test, "Import")
    assert imports(facade)[-1][-1] == {"mode": "new", "task": "keypoints"}


def test_a_set_that_fits_no_task_can_be_given_one(open_screen: Open) -> None:
    facade = world()
    facade.offers = ()
    test = open_screen("new", facade, job="look1", **{"import": said()})
    assert not test.exception
    assert test.radio(key="offer").options == ["Something else"]
    test.selectbox(key="other-task").set_value("detection").run()
    press(test, "Import")
    assert imports(facade)[-1][-1] == {"mode": "new", "task": "detection"}


@pytest.mark.parametrize(("choice", "shown"), [(1, 1), (2, 2), (99, 0)])
def test_offers_that_read_the_same_stay_apart(open_screen: Open, choice: int, shown: int) -> None:
    facade = world(offer(), offer(), offer())
    test = open_screen("new", facade, job="look1", **{"import": said(choice=choice)})
    assert test.radio(key="offer").value == shown


def test_a_project_with_images_takes_more_at_once(open_screen: Open) -> None:
    facade = world()
    give_path(open_screen("new", facade, project="p1"))
    assert not [call for call in facade.calls if call[0] == "start_recognition"]
    assert imports(facade)[-1][3:] == ("p1", None, {"mode": "add"})


def test_an_empty_project_is_asked_what_its_first_set_is(open_screen: Open) -> None:
    facade = world()
    test = give_path(open_screen("new", facade, project="p2"))
    assert test.radio(key="offer")
    assert not [field for field in test.text_input if field.key == "import-name"], "it has a name"
    press(test, "Import")
    assert imports(facade)[-1][3:5] == ("p2", None)


def test_a_look_that_fails_is_a_sentence_beside_the_drop_zone(open_screen: Open) -> None:
    facade = world()
    facade.look_state = JobState.FAILED
    test = open_screen("new", facade, job="look1")
    assert not test.exception
    assert test.text_input(key="folder-path")


@pytest.mark.parametrize(
    "address", ["", "{", "[]", '{"uploads": 5}', '{"uploads": ["a"], "answers": {"void": "other"}}', "{}"]
)
def test_an_address_that_says_nothing_asks_for_the_pictures_again(open_screen: Open, address: str) -> None:
    facade = world()
    test = open_screen("new", facade, job="look1", **{"import": address})
    assert not test.exception
    assert test.text_input(key="folder-path")
    assert not imports(facade)


def test_hostile_names_in_offers_stay_letters(open_screen: Open) -> None:
    facade = world(offer("detection", classes=HOSTILE, reason=HOSTILE[0]), offer("other", HOSTILE[3]))
    test = open_screen("new", facade, job="look1", **{"import": said()})
    assert not test.exception
    assert_escaped(test, "<img", "[a](", ":red[")


# -- places on this machine --------------------------------------------------------------------------


def test_paths_are_offered_only_where_they_are_allowed(open_screen: Open, tmp_path: Path) -> None:
    facade = world()
    facade.settings.allowed_hosts = ("lab.example",)
    test = open_screen("new", facade)
    assert not test.text_input
    facade.settings.import_folders = (tmp_path,)
    test = open_screen("new", facade)
    assert str(tmp_path) in words(test)
    give_path(test, "/etc")
    assert "Nothing may be imported from “/etc”" in words(test).replace("\\", "")
    assert not [call for call in facade.calls if call[0] == "start_recognition"]
    give_path(test, str(tmp_path / "set"))
    assert ("start_recognition", tmp_path / "set", ()) in facade.calls


def test_a_path_in_the_address_is_held_to_the_same_rule(open_screen: Open, tmp_path: Path) -> None:
    facade = world()
    facade.settings.import_folders = (tmp_path,)
    address = json.dumps({"source": "/etc", "looked": "look1"})
    test = open_screen("new", facade, job="look1", **{"import": address})
    press(test, "Import")
    assert not imports(facade)
    assert "Nothing may be imported" in words(test)


# -- questions ---------------------------------------------------------------------------------------


def ask(facade: FakeFacade, flag: str, **more: Any) -> None:
    facade.import_state = JobState.FAILED
    facade.import_problem = Problem(message="What now?", hint="Say.", flag=flag, **more)


@pytest.mark.parametrize(
    ("flag", "key", "says"),
    [
        ("--accept-skips", "answer", {"accept_skips": True}),
        ("--merge-classes", "answer", {"merge_classes": True}),
        ("--swap-boxes", "answer", {"swap_boxes": True}),
        ("--rescale", "answer", {"rescale": True}),
        ("--rescale", "answer-1", {"accept_skips": True}),
        ("--void", "answer", {"void": "ignore"}),
        ("--void", "answer-1", {"void": "class"}),
        ("--schema", "answer-1", {"schema": "hand"}),
        ("--add", "answer", {"mode": "add"}),
        ("--replace", "answer-1", {"mode": "replace"}),
    ],
)
def test_a_question_is_answered_by_a_button(open_screen: Open, flag: str, key: str, says: dict) -> None:
    facade = world()
    ask(facade, flag, choices=("person", "hand") if flag == "--schema" else ())
    test = open_screen("new", facade, job="import1", **{"import": said()})
    assert "--" not in "".join(b.label for b in test.button)
    test.button(key=key).click().run()
    assert not test.exception
    assert imports(facade)[-1][-1] == {"mode": "add", **says}


def test_channels_are_typed(open_screen: Open) -> None:
    facade = world()
    ask(facade, "--channels")
    test = open_screen("new", facade, job="import1", **{"import": said()})
    test.text_input(key="answer-typed").input("3,2,1")
    press(test, "Import with these")
    assert imports(facade)[-1][-1] == {"mode": "add", "channels": "3,2,1"}


def test_answers_add_up(open_screen: Open) -> None:
    facade = world()
    ask(facade, "--void")
    test = open_screen("new", facade, job="import1", **{"import": said(answers={"task": "detection"})})
    test.button(key="answer").click().run()
    ask(facade, "--accept-skips")
    test.run()
    test.button(key="answer").click().run()
    assert imports(facade)[-1][-1] == {
        "mode": "add", "task": "detection", "void": "ignore", "accept_skips": True,
    }  # fmt: skip


def test_what_it_is_can_be_chosen_again_after_a_question(open_screen: Open) -> None:
    facade = world()
    ask(facade, "--void")
    test = open_screen("new", facade, job="import1", **{"import": said(answers={"task": "instance"})})
    press(test, "Choose again what it is")
    assert test.radio(key="offer")
    assert not imports(facade)


def test_every_answer_is_one_that_an_import_takes() -> None:
    names = set(ImportChoices.__annotations__)
    for flag in QUESTIONS:
        for answer in question_of(Problem(message="", flag=flag)).answers:
            assert set(answer.says) <= names
            assert ImportOrder().answered(**answer.says).choices() == answer.says
    unknown = question_of(Problem(message="", flag="--new-thing", hint="Say.", choices=("x",)))
    assert (unknown.hint, unknown.answers[0].says) == ("Say.", {"new_thing": "x"})


def test_an_order_is_the_same_after_the_address() -> None:
    order = ImportOrder(uploads=("a",), name="x.zip", choice=2, title="T").answered(schema="p", void="class")
    assert ImportOrder.model_validate(json.loads(json.dumps(order.in_address()))) == order
    assert ImportOrder(uploads=tuple(f"{n:012}" for n in range(9000))).in_address() == {}
    assert ImportOrder(name="a/b/My_set-2.tar.gz").suggestion == "My set 2"


def test_an_order_of_another_tab_is_known_by_its_address() -> None:
    def script() -> None:
        import streamlit as st

        from app.components.import_order import ImportOrder, keep, order_of

        keep("mine", ImportOrder(source="/a"))
        st.text(f"{order_of('mine')[1]} {order_of('other')}")

    test = AppTest.from_function(script).run()
    assert test.text[0].value == "True (None, False)"
    assert order_of.__doc__


# -- the report --------------------------------------------------------------------------------------


def issue(reason: str, file: str = "a.jpg", outcome: Outcome = Outcome.SKIPPED) -> ImportIssue:
    return ImportIssue(file=file, outcome=outcome, reason=reason)


def test_reasons_are_counted_up_to_their_numbers_and_names() -> None:
    issues = [
        issue("box 3 px wide"), issue("box 12.5 px wide"), issue("box -1 px wide"),
        issue("missing image “a 1.png”: not there"), issue("missing image “b.png”: not there"),
        issue("8-bit is not enough"),
    ]  # fmt: skip
    assert count_reasons(issues) == {
        "box … px wide": 3, "missing image “…”: not there".replace("“…”", "…"): 2, "…-bit is not enough": 1,
    }  # fmt: skip
    assert same_reason("no numbers") == "no numbers"
    assert [i.reason for i in matching(issues, " WIDE ")] == [i.reason for i in issues[:3]]
    assert len(matching(issues, "")) == 6


def test_the_report_is_filtered(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("data", facade, project="p1")
    test.button(key="see-issues").click().run()
    assert len(test.dataframe) == 1
    test = dialog("import_report", "issues_dialog", facade.datasets.import_report("p1"))
    assert not test.exception
    assert len(test.dataframe[0].value) == 3
    test.button_group(key="issue-outcome").set_value("skipped").run()
    assert set(test.dataframe[0].value["outcome"]) == {"skipped"}
    test.text_input(key="issue-text").input("CUT OFF").run()
    (row,) = test.dataframe[0].value.itertuples()
    assert row.file == "trash/=cmd.jpg"
    test.text_input(key="issue-text").input("nowhere").run()
    assert "Nothing fits" in words(test)


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
