"""Settings and the choice of starting weights: what is listed, what is asked before, what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from engine.contracts.jobs import JobState, Problem
from engine.contracts.models import WeightsPlan
from engine.contracts.weights import HubAnswer
from engine.errors import ConflictError
from tests.ui.conftest import Open, words
from tests.ui.fake_facade import HOSTILE, FakeFacade
from tests.ui.fake_weights import end, items

PATH = "/data/camera.pth"


def read(test: AppTest) -> str:
    return words(test).replace("\\", "")


def press(test: AppTest, label: str) -> AppTest:
    return next(b for b in test.button if b.label == label).click().run()


def choose_file(test: AppTest) -> AppTest:
    test.text_input(key="weights-source").input(PATH)
    return press(test, "Take this")


def removal() -> AppTest:
    """Run the dialog on its own: in a test, a click inside it would run the screen without it."""

    def script() -> None:
        import streamlit as st

        from app.components.weights_list import remove_dialog
        from app.engine_client import client

        if "weights-removed" not in st.session_state:
            remove_dialog(client().weights.get("line-camera"))

    return AppTest.from_function(script, default_timeout=30).run()


def test_all_weights_are_listed_with_source_licence_and_use(open_screen: Open) -> None:
    test = open_screen("settings", FakeFacade(), project="p1")
    text = read(test)
    for part in (
        "mobilenetv3_small_050 · comes with Lensmith · Apache-2.0",
        "tf_mobilenetv3_large_100 · yours · MIT",
        "mobilenetv2_100 · fetched · apache-2.0",
        "3 sets, 39.2 MB in all",
        "its classifier of 12 classes is left out",
        "and 1 more",
    ):
        assert part in text
    assert [b.key for b in test.button if b.label == "Remove"] == [
        "remove-imported-line-camera", "remove-cache-timm/mobilenetv2_100.ra_in1k",
    ]  # fmt: skip


def test_a_run_of_another_project_is_named_with_it(open_screen: Open) -> None:
    assert "Recycling line, run 1" in read(open_screen("settings", FakeFacade(), project="p2"))
    assert "Recycling line, run 1" not in read(open_screen("settings", FakeFacade(), project="p1"))


def test_an_empty_machine_says_what_to_do(open_screen: Open) -> None:
    test = open_screen("settings", FakeFacade("empty"))
    assert not test.exception
    assert "Fetch some while there is a network, or import a file of your own" in read(test)


def test_a_fresh_machine_lists_what_comes_with_lensmith(open_screen: Open) -> None:
    facade = FakeFacade()
    facade.weights.found = items()[:1]
    text = read(open_screen("settings", facade))
    assert "Only those that come with Lensmith are here." in text
    assert "1 set, 3.1 MB in all" in text
    assert "There are none yet." not in text
    assert "Only those that come with Lensmith" not in read(open_screen("settings", FakeFacade()))


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("start-imported-line-camera", '{"weights":"weights:line-camera"}'),
        ("start-cache-timm/mobilenetv2_100.ra_in1k", '{"backbone":"mobilenetv2_100"}'),
        ("start-bundled-lensmith_small", '{"weights":"bundled","backbone":"mobilenetv3_small_050"}'),
    ],
)
def test_a_run_starts_from_weights_of_the_list(open_screen: Open, key: str, settings: str) -> None:
    test = open_screen("settings", FakeFacade(), project="p1")
    test.button(key=key).click().run()
    assert test.title[0].value == "Train"
    assert test.query_params["set"] in (settings, [settings])


def test_without_a_project_a_run_cannot_start_and_it_is_said(open_screen: Open) -> None:
    test = open_screen("settings", FakeFacade())
    assert "Open a project on Home" in read(test)
    assert test.button(key="start-imported-line-camera").disabled


def test_weights_go_away_only_after_a_second_word(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("settings", facade, project="p1")
    test.button(key="remove-imported-line-camera").click().run()
    assert "21.9 MB are free again" in read(test)
    assert not any(call[0] == "remove" for call in facade.calls)
    test = removal()
    test.button(key="do-remove").click().run()
    assert ("remove", "line-camera") in facade.calls


def test_a_refused_removal_is_a_sentence(
    use_facade: Callable[[Any], FakeFacade], monkeypatch: pytest.MonkeyPatch
) -> None:
    facade = use_facade(FakeFacade())

    def busy(item: str) -> int:
        raise ConflictError("These weights are being fetched right now.", "Wait until it has ended.")

    monkeypatch.setattr(facade.weights, "remove", busy)
    test = removal()
    test.button(key="do-remove").click().run()
    assert "being fetched right now" in read(test)


def test_a_backbone_is_fetched_with_its_progress_and_can_be_stopped(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("settings", facade)
    test.text_input(key="weights-query").input("resnet").run()
    assert "102 MB · apache-2.0" in read(test)
    test.button(key="fetch-timm-resnet50").click().run()
    assert ("start_fetch", "resnet50") in facade.calls
    assert "41.0 of 102.5 MB · 40 %" in test.get("progress")[0].proto.text.replace("\\", "")
    test.button(key="cancel-weights0").click().run()
    assert ("cancel", "weights0") in facade.calls
    end(facade, "weights0", result={"name": "timm/resnet50.a1_in1k", "bytes": 102_500_000})
    test.run()
    assert "timm/resnet50.a1_in1k: 102 MB are here." in read(test)


def test_a_hub_that_does_not_answer_is_a_sentence_with_a_next_step(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("settings", facade)
    test.text_input(key="weights-query").input("resnet").run()
    test.button(key="fetch-timm-resnet50").click().run()
    end(facade, "weights0", problem=Problem(message="The hub does not answer.", hint="Try later."))
    test.run()
    assert "The hub does not answer." in read(test)
    test.button(key="again-weights0").click().run()
    assert ("resume_job", "weights0") in facade.calls


def test_offline_nothing_can_be_fetched_and_it_is_said(open_screen: Open) -> None:
    facade = FakeFacade()
    facade.weights.answer = HubAnswer(offline=True, asking=False)
    test = open_screen("settings", facade)
    assert "LENSMITH_OFFLINE" in read(test)
    assert test.button(key="fetch-timm-resnet50").disabled


def test_a_file_is_imported_with_what_is_said_about_it(open_screen: Open) -> None:
    facade = FakeFacade()
    test = choose_file(open_screen("settings", facade, project="p1"))
    test.text_input(key="weights-title").input("Line camera")
    test.text_input(key="weights-model_args").input('{"pad_type": "same"}')
    test.text_input(key="weights-mean").input("0.5, 0.5, 0.5")
    test.number_input(key="weights-size").set_value(224)
    press(test, "Import weights")
    _, source, upload, choices = next(c for c in facade.calls if c[0] == "start_import")
    assert (str(source), upload) == (PATH, None)
    assert choices == {
        "title": "Line camera", "model_args": {"pad_type": "same"}, "mean": (0.5, 0.5, 0.5),
        "input_size": 224,
    }  # fmt: skip
    assert next(b for b in test.button if b.label == "Import weights").disabled
    end(facade, "weights0", result={"id": "line-camera"})
    test.run().run()
    assert "Line camera, spring is here: tf_mobilenetv3_large_100, 21.9 MB" in read(test)
    labels = [e.label for e in test.expander]
    assert labels.count("2 tensors missing in the file") == 2, "in the report and in the list"
    assert "conv_head.bias" in test.code[0].value
    assert not any(b.label == "Import weights" for b in test.button)


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("weights-model_args", "same", "not a JSON object"),
        ("weights-mean", "a, b", "not a list of numbers"),
    ],
)
def test_what_cannot_be_understood_is_not_sent(open_screen: Open, field: str, typed: str, said: str) -> None:
    facade = FakeFacade()
    test = choose_file(open_screen("settings", facade))
    test.text_input(key=field).input(typed)
    press(test, "Import weights")
    assert said in read(test)
    assert not any(call[0] == "start_import" for call in facade.calls)


def test_a_failing_import_says_why_and_keeps_the_form(open_screen: Open) -> None:
    facade = FakeFacade()
    test = choose_file(open_screen("settings", facade))
    test.text_input(key="weights-architecture").input("resnet50")
    press(test, "Import weights")
    end(facade, "weights0", problem=Problem(message="It fits nothing.", hint="Name an architecture."))
    test.run()
    assert "It fits nothing.**  \nName an architecture." in read(test)
    assert test.text_input(key="weights-architecture").value == "resnet50"
    press(test, "Import weights")
    assert len([call for call in facade.calls if call[0] == "start_import"]) == 2
    assert "It fits nothing" not in read(test), "the new try answers the old one"


def test_after_a_refusal_an_upload_is_dropped_again_and_the_words_stay(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("settings", facade)
    test.session_state["weights-file"] = {"name": "mine.pth", "upload": "u0", "bytes": 9}
    test.run().text_input(key="weights-licence").input("MIT")
    press(test, "Import weights")
    end(facade, "weights0", problem=Problem(message="It fits nothing.", hint="Name an architecture."))
    test.run().run()
    assert "It fits nothing" in read(test)
    assert not any(b.label == "Import weights" for b in test.button), "the upload went away"
    test.session_state["weights-file"] = {"name": "mine.pth", "upload": "u1", "bytes": 9}
    assert test.run().text_input(key="weights-licence").value == "MIT"


def test_damaged_weights_can_only_be_removed(open_screen: Open) -> None:
    facade = FakeFacade()
    hurt = {"id": "hurt", "title": "hurt (damaged)", "start": "", "backbone": "", "fit": None}
    facade.weights.found = (items()[1].model_copy(update=hurt),)
    test = open_screen("settings", facade, project="p1")
    assert test.button(key="start-imported-hurt").disabled
    assert not test.get("link_button")
    assert test.button(key="remove-imported-hurt")
    train = open_screen("train", facade, project="p1")
    assert not any("hurt" in option for option in train.selectbox(key="weights-choice").options)


def test_a_refused_import_is_a_sentence(open_screen: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    facade = FakeFacade()

    def refuse(*_: Any, **__: Any) -> None:
        raise ConflictError("These weights are here already.", "Name them as weights:line-camera.")

    monkeypatch.setattr(facade.weights, "start_import", refuse)
    test = choose_file(open_screen("settings", facade))
    press(test, "Import weights")
    assert "here already" in read(test)


def test_an_address_brings_back_an_import_after_a_refresh(open_screen: Open) -> None:
    facade = FakeFacade()
    facade.weights.start_import(upload="u")
    end(facade, "weights0", result={"id": "line-camera"})
    test = open_screen("settings", facade, job="weights0", project="p1")
    assert "Line camera, spring is here" in read(test)
    test.button(key="close-weights0").click().run()
    assert "is here" not in read(test)


def test_hostile_titles_stay_letters(open_screen: Open) -> None:
    facade = FakeFacade()
    for title in HOSTILE:
        facade.weights.found = items(title)
        test = open_screen("settings", facade, project="p1")
        assert not test.exception
        for element in (*test.markdown, *test.caption):
            assert not element.allow_html
            assert not re.search(r"(?<!\\)(<img|\[a\]|:red\[)", element.value)


# -- the choice on Train ---------------------------------------------------------------------------


def test_train_offers_every_start_in_plain_words(open_screen: Open) -> None:
    test = open_screen("train", FakeFacade(), project="p1")
    assert test.selectbox(key="weights-choice").options == [
        "Automatic: trained weights on this machine",
        "Come with Lensmith: mobilenetv3_small_050, 3.1 MB",
        "Yours: Line camera, spring, tf_mobilenetv3_large_100, 21.9 MB",
        "Go on from run 1: Balanced, 87.4 %, mobilenetv2_100",
        "Random numbers: learns everything from your pictures",
        "A file on this machine",
    ]


@pytest.mark.parametrize("weights", ["bundled", "weights:line-camera", "run:run1", "random"])
def test_a_choice_is_said_and_started(open_screen: Open, weights: str) -> None:
    facade = FakeFacade()
    test = open_screen("train", facade, project="p1")
    test.selectbox(key="weights-choice").set_value(weights).run()
    assert ("weights_plan", weights, "auto") in facade.calls
    press(test, "Train model")
    assert ("start", "p1", {"preset": "balanced", "weights": weights}) in facade.calls


def test_a_choice_of_weights_is_no_change_under_more(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("train", facade, project="p1")
    test.selectbox(key="weights-choice").set_value("weights:line-camera").run()
    assert "Changed under More" not in read(test)
    test.number_input(key="set-balanced-epochs").set_value(3).run()
    assert "Changed under More: Epochs 3" in read(test)
    test.button(key="put-back").click().run()
    assert test.selectbox(key="weights-choice").value == "weights:line-camera", "chosen above, so it stays"
    assert "Changed under More" not in read(test)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ('{"weights":"bundled","backbone":"mobilenetv3_small_050"}', False),
        ('{"weights":"random","backbone":"mobilenetv3_small_050"}', True),
    ],
)
def test_a_backbone_is_a_change_unless_it_came_with_the_weights(
    open_screen: Open, typed: str, said: bool
) -> None:
    text = read(open_screen("train", FakeFacade(), project="p1", set=typed))
    assert ("Changed under More: Backbone mobilenetv3_small_050" in text) is said


def test_a_path_is_typed_and_one_that_is_not_there_cannot_be_started(open_screen: Open) -> None:
    test = open_screen("train", FakeFacade(), project="p1")
    test.selectbox(key="weights-choice").set_value("file").run()
    test.text_input(key="weights-path-typed").input("/nothing.pth").run()
    assert "There is no weights file “/nothing.pth”" in read(test)
    assert next(b for b in test.button if b.label == "Train model").disabled
    test.selectbox(key="weights-choice").set_value("auto").run()
    assert not next(b for b in test.button if b.label == "Train model").disabled
    assert "set" not in test.query_params


def test_a_misspelt_backbone_is_said_above_its_field(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("train", facade, project="p1")
    test.text_input(key="set-balanced-backbone").input("resnet5O").run()
    assert "“resnet5O” is not in the catalog.**  \nDid you mean resnet50?" in read(test)
    assert next(b for b in test.button if b.label == "Train model").disabled
    test.text_input(key="set-balanced-backbone").input("resnet50").run()
    press(test, "Train model")
    assert ("start", "p1", {"preset": "balanced", "backbone": "resnet50"}) in facade.calls


def _hub_plan(facade: FakeFacade, monkeypatch: pytest.MonkeyPatch, plan: WeightsPlan) -> None:
    options = facade.runs.options

    def planned(project: str, **_: str) -> Any:
        found = options(project)
        presets = tuple(preset.model_copy(update={"weights": plan}) for preset in found.presets)
        return found.model_copy(update={"presets": presets})

    monkeypatch.setattr(facade.runs, "options", planned)


def test_the_hub_is_asked_once_before_the_start(open_screen: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    facade = FakeFacade()
    facade.weights.answer = HubAnswer(offline=False, asking=True)
    _hub_plan(facade, monkeypatch, WeightsPlan(source="hub", name="x", sentence="Would be fetched (14 MB)."))
    test = open_screen("train", facade, project="p1")
    assert "Would be fetched (14 MB). Asking now whether it answers" in read(test)
    facade.weights.answer = HubAnswer(offline=False, asking=False)
    test.run()
    assert "Asking now" not in read(test)
    assert [call for call in facade.calls if call[0] == "look"] == [("look", "mobilenetv2_100")]


def test_a_silent_hub_is_a_choice_in_place(open_screen: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    facade = FakeFacade()
    facade.weights.answer = HubAnswer(offline=False, asking=False, problem="The hub does not answer.")
    said = WeightsPlan(source="random", name="random", sentence="The hub is silent: starts from random.")
    _hub_plan(facade, monkeypatch, said)
    test = open_screen("train", facade, project="p1")
    assert "The hub is silent: starts from random" in read(test)
    test.button(key="hub-again").click().run()
    assert ("look", "mobilenetv2_100") in facade.calls
    test.button(key="hub-bundled").click().run()
    press(test, "Train model")
    assert ("start", "p1", {"preset": "balanced", "weights": "bundled"}) in facade.calls


def test_a_run_that_found_no_hub_offers_the_same_ways(
    open_screen: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    facade = FakeFacade()
    get = facade.runs.get
    problem = Problem(message="The hub does not answer.", hint="Choose.", flag="no-hub")

    def failed(run: str) -> Any:
        return get(run).model_copy(update={"problem": problem, "state": JobState.FAILED})

    monkeypatch.setattr(facade.runs, "get", failed)
    test = open_screen("run", facade, project="p1", run="run1")
    test.button(key="again-bundled").click().run()
    wanted = {"preset": "balanced", "weights": "bundled", "backbone": "auto"}
    assert ("start", "p1", wanted) in facade.calls
