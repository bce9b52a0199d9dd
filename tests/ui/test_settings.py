"""Settings: which weights are listed, what is asked before they go or come, what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from engine.contracts.jobs import Problem
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


def test_what_was_said_about_a_file_is_not_said_about_another(open_screen: Open) -> None:
    facade = FakeFacade()
    test = choose_file(open_screen("settings", facade))
    test.text_input(key="weights-licence").input("MIT")
    press(test, "Import weights")
    end(facade, "weights0", problem=Problem(message="It fits nothing.", hint="Name an architecture."))
    test.run()
    assert test.text_input(key="weights-licence").value == "MIT"
    test.button(key="weights-other").click().run()
    assert choose_file(test).text_input(key="weights-licence").value == ""


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
