"""An import while it runs and after it ended without a set: what it is taken as, its pace, once more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.components.import_report import _doing
from engine.contracts.datasets import ImportOffer
from engine.contracts.jobs import JobInfo, JobState, Problem
from engine.errors import NotFoundError
from tests.ui.conftest import Open, words
from tests.ui.fake_sets import offer
from tests.ui.sets import give_path, imports, press, said, world


def test_the_card_of_an_import_says_what_it_is_taken_as_and_why(open_screen: Open) -> None:
    facade = world(offer("detection"))
    test = give_path(open_screen("new", facade))
    assert len(imports(facade)) == 1
    shown = words(test).replace("\\", "")
    assert "Taken as **Detection · COCO JSON**" in shown
    assert "Why: “train.json” has images, annotations and categories" in shown
    assert test.header[0].value == "photos"


def test_change_stops_the_import_and_then_opens_the_choice_as_it_was_made(open_screen: Open) -> None:
    facade = world(offer("instance"), offer("detection"))
    taken = {"task": "detection", "format": "coco"}
    test = open_screen("new", facade, job="import1", **{"import": said(answers=taken)})
    press(test, "Change")
    assert ("cancel", "import1") in facade.calls
    assert not test.radio, "it has not ended yet, and could still go through"
    assert next(b for b in test.button if b.key == "change").disabled
    facade.import_state = JobState.CANCELLED
    test.run()
    assert test.radio(key="offer").value == 1
    assert test.radio(key="offer").options[-1] == "Something else"
    assert not imports(facade)
    test.radio(key="offer").set_value(0).run()
    press(test, "Import")
    assert imports(facade)[-1][2] == ("u1", "u2")
    assert imports(facade)[-1][-1]["task"] == "instance"


def test_change_of_the_only_offer_does_not_take_it_again(open_screen: Open) -> None:
    facade = world(offer("detection"))
    test = press(give_path(open_screen("new", facade)), "Change")
    facade.import_state = JobState.CANCELLED
    test.run()
    assert (test.radio(key="offer").value, len(test.radio(key="offer").options)) == (0, 2)
    assert len(imports(facade)) == 1


def test_a_task_that_was_not_offered_stays_chosen_after_change(open_screen: Open) -> None:
    facade = world(offer("detection"))
    test = open_screen("new", facade, job="import1", **{"import": said(answers={"task": "keypoints"})})
    assert "Taken as **Keypoints**, as chosen." in words(test)
    press(test, "Change")
    facade.import_state = JobState.CANCELLED
    test.run()
    assert test.selectbox(key="other-task").value == "keypoints"


def test_a_look_of_which_nothing_is_known_says_nothing(open_screen: Open) -> None:
    facade = world()

    def unknown(job: str) -> tuple[ImportOffer, ...]:
        raise NotFoundError("This job does not exist.")

    facade.datasets.offers = unknown  # type: ignore[method-assign]
    test = open_screen("new", facade, job="import1", **{"import": said(answers={"task": "gone"})})
    assert not test.exception
    assert "Stop the import" in words(test)


# -- stopped and failed ------------------------------------------------------------------------------


def test_a_stopped_import_starts_again_from_what_was_uploaded(open_screen: Open) -> None:
    facade = world()
    facade.import_state = JobState.CANCELLED
    test = open_screen("new", facade, job="import1", **{"import": said(answers={"task": "detection"})})
    assert "The import of “my_set.zip” was stopped" in words(test).replace("\\", "")
    assert test.text_input(key="folder-path"), "another set can be given at once"
    press(test, "Start again")
    assert imports(facade)[-1][2:4] == (("u1", "u2"), "p1")
    assert imports(facade)[-1][-1]["task"] == "detection"


def test_a_stopped_import_can_be_chosen_again(open_screen: Open) -> None:
    facade = world()
    facade.import_state = JobState.CANCELLED
    test = open_screen("new", facade, job="import1", **{"import": said(answers={"task": "detection"})})
    press(test, "Choose again what it is")
    assert test.radio(key="offer")
    assert not imports(facade)


def test_a_stopped_look_starts_again(open_screen: Open) -> None:
    facade = world()
    facade.look_state = JobState.CANCELLED
    test = open_screen("new", facade, job="look1", **{"import": said()})
    assert "Choose again what it is" not in [b.label for b in test.button], "it has seen nothing yet"
    press(test, "Start again")
    assert ("start_recognition", None, ("u1", "u2")) in facade.calls


def test_nothing_is_offered_that_is_not_there_any_more(open_screen: Open) -> None:
    facade = world()
    facade.datasets.there = False
    facade.import_state = JobState.CANCELLED
    test = open_screen("new", facade, job="import1", **{"import": said()})
    assert "was stopped" in words(test)
    assert not {"Start again", "Choose again what it is"} & {b.label for b in test.button}


@pytest.mark.parametrize(
    ("given", "of_input", "again"),
    [
        ({}, False, True),  # something broke: the same set may go through
        ({}, True, False),  # the same bytes end as they did
        ({"uploads": [], "source": "/data/set"}, True, True),  # a folder may have been mended
    ],
)
def test_a_failed_import_starts_again_where_that_can_help(
    open_screen: Open, given: dict, of_input: bool, again: bool
) -> None:
    facade = world()
    facade.import_state = JobState.FAILED
    facade.import_problem = Problem(message="It broke.", hint="Mend it.", of_input=of_input)
    test = open_screen("new", facade, job="import1", **{"import": said(**given)})
    assert "It broke" in words(test)
    labels = [b.label for b in test.button]
    assert ("Start again" in labels, "Choose again what it is" in labels) == (again, True)
    assert test.text_input(key="folder-path")


# -- the pace ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "progress", "seconds", "attempt", "told"),
    [
        ("import", 0.25, 10, 1, " · 25 % · 30 s left"),
        ("import", 0.1, 60, 1, " · 10 % · 9 min left"),
        ("import", 0.02, 200, 1, " · 2 % · 2.7 h left"),
        ("import", 0.0, 60, 1, " · 0 %"),
        ("import", 0.5, 1, 1, " · 50 %"),
        ("import", 0.5, 60, 2, " · 50 %"),
        ("recognise", 0.2, 40, 1, " · 20 % · 40 s so far"),
    ],
)
def test_time_left_is_told_from_the_pace_so_far(
    kind: str, progress: float, seconds: float, attempt: int, told: str
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=seconds)
    for message in ("5 of 9 images", "5 of 9 images and masks"):
        job = JobInfo(
            id="j", kind=kind, project=None, state=JobState.RUNNING, progress=progress, message=message,
            attempt=attempt, created_at=began, started_at=began,
        )  # fmt: skip
        assert _doing(job) == f"{message}{told}"
        assert "left" not in _doing(job.model_copy(update={"state": JobState.PAUSED}))
