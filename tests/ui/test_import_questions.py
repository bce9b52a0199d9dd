"""What an import asks, and its report."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from app.components.import_order import ImportOrder, order_of
from app.components.import_questions import QUESTIONS, question_of
from app.components.import_report import count_reasons, matching, same_reason
from engine.contracts.datasets import ImportChoices, ImportIssue, Outcome
from engine.contracts.jobs import Problem
from tests.ui.conftest import Open, words
from tests.ui.fake_facade import FakeFacade
from tests.ui.sets import ask, dialog, imports, press, said, world

# -- questions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "key", "says"),
    [
        ("--accept-skips", "answer", {"accept_skips": True}),
        ("--merge-classes", "answer", {"merge_classes": True}),
        ("--swap-boxes", "answer", {"swap_boxes": True}),
        ("--swap-boxes", "answer-1", {"accept_skips": True}),
        ("--format", "answer", {"format": "loose_images"}),
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


@pytest.mark.parametrize(
    ("flag", "primary"),
    [
        ("--accept-skips", []),
        ("--merge-classes", ["Merge these classes"]),
        ("--swap-boxes", ["Exchange the corners"]),
        ("--rescale", ["Rescale the labels with their pictures"]),
        ("--void", ["Pixels of 255 do not count"]),
        ("--schema", []),
        ("--format", ["Choose again what it is"]),
        ("--channels", ["Import with these"]),
    ],
)
def test_a_question_stands_alone_with_the_name_of_its_set(
    open_screen: Open, flag: str, primary: list[str]
) -> None:
    facade = world()
    ask(facade, flag, choices=("person", "hand") if flag == "--schema" else ())
    test = open_screen("new", facade, job="import1", **{"import": said()})
    assert "A question about “my_set.zip”" in words(test).replace("\\", "")
    assert not [field for field in test.text_input if field.key == "folder-path"]
    assert [b.label for b in test.button if b.proto.type == "primary"] == primary
    assert [b.label for b in test.button].count("Choose again what it is") == 1
    press(test, "Other pictures")
    assert test.text_input(key="folder-path")
    assert "What now?" not in words(test)


def test_labels_of_another_task_lead_back_to_what_was_recommended(open_screen: Open) -> None:
    facade = world()
    ask(facade, "--format", choices=("loose_images",))
    wrong = said(choice=-1, other="classification", answers={"task": "classification"})
    test = open_screen("new", facade, job="import1", **{"import": wrong})
    assert "loose_images" not in words(test)
    press(test, "Choose again what it is")
    assert test.radio(key="offer").value == 0
    assert not imports(facade)
    press(test, "Import")
    assert imports(facade)[-1][2] == ("u1", "u2"), "what was uploaded is taken"
    assert imports(facade)[-1][-1]["task"] == "instance"


def test_labels_of_another_task_become_a_project_of_their_own(open_screen: Open) -> None:
    facade = world()
    ask(facade, "--format", choices=("loose_images",))
    added = said(looked="")
    test = open_screen("new", facade, project="p1", job="import1", **{"import": added})
    assert [b.label for b in test.button if b.proto.type == "primary"] == ["Make a new project of it"]
    assert "Choose again what it is" not in [b.label for b in test.button]
    press(test, "Make a new project of it")
    assert ("start_recognition", None, ("u1", "u2")) in facade.calls
    assert "project" not in test.query_params
    assert test.text_input(key="import-name").value == "My set"
    press(test, "Import")
    assert imports(facade)[-1][3:5] == (None, "My set")


def test_pictures_of_another_task_are_added_without_labels(open_screen: Open) -> None:
    facade = world()
    ask(facade, "--format", choices=("loose_images",))
    test = open_screen("new", facade, project="p1", job="import1", **{"import": said(looked="")})
    press(test, "Add the pictures without labels")
    assert imports(facade)[-1][3] == "p1"
    assert imports(facade)[-1][-1] == {"mode": "add", "format": "loose_images"}


def test_a_question_about_what_is_gone_asks_for_it_again(open_screen: Open) -> None:
    facade = world()
    facade.datasets.there = False
    ask(facade, "--void")
    test = open_screen("new", facade, job="import1", **{"import": said()})
    assert "drop it once more" in words(test)
    assert test.text_input(key="folder-path")
    assert not [b for b in test.button if b.key == "answer"]


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


def test_what_was_found_is_listed_beside_a_question_and_a_refusal(open_screen: Open) -> None:
    found = (
        issue("box 3 px wide", "=a.jpg"),
        ImportIssue(file="labels.csv", line=7, outcome=Outcome.REPAIRED, reason="turned upright"),
    )
    told = {"issues": found, "issues_total": 1200, "issues_file": "runs/import1/issues.csv"}
    for flag, more in (("--accept-skips", {}), ("", {"of_input": True})):
        facade = world()
        ask(facade, flag, **told, **more)
        test = open_screen("new", facade, job="import1", **{"import": said()})
        press(test, "See each (1,200)")
        assert not test.exception and len(test.dataframe) == 1
        ask(facade, flag)
        assert not [b for b in test.run().button if b.label.startswith("See each")]
    test = dialog("import_report", "found_dialog", "import1", Problem(message="What now?", **told))
    assert not test.exception
    shown = test.dataframe[0].value
    assert [tuple(row) for row in shown[["file", "line", "outcome", "reason"]].to_numpy()] == [
        ("'=a.jpg", "", "skipped", "box 3 px wide"), ("labels.csv", "7", "repaired", "turned upright"),
    ]  # fmt: skip
    assert "The first 2 of 1,200; the CSV has them all" in words(test)
    (link,) = test.get("link_button")
    assert (link.proto.label, link.proto.url) == ("Download as CSV", "/download/import/import1/issues.csv")


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
