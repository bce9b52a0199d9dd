"""What a set could be: recognised, chosen, taken in; and places on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.contracts.jobs import JobState
from tests.ui.conftest import Open, words
from tests.ui.fake_facade import HOSTILE
from tests.ui.fake_sets import offer
from tests.ui.sets import ask, assert_escaped, give_path, imports, press, said, world

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


def test_an_offer_says_its_number_of_images_once(open_screen: Open) -> None:
    facade = world(offer(schema_name="a.json", schema_title="a.json: 2 images", images=2), offer())
    test = open_screen("new", facade, job="look1", **{"import": said()})
    assert test.radio(key="offer").options[0].count("2 images") == 1
    assert "18 images" in test.radio(key="offer").options[1]


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
