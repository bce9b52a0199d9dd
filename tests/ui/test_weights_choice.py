"""The choice of starting weights on Train and after a run that found no hub: named, said, refused."""

from __future__ import annotations

from typing import Any

import pytest

from engine.contracts.jobs import JobState, Problem
from engine.contracts.models import WeightsPlan
from engine.contracts.weights import HubAnswer
from engine.errors import InputError
from tests.ui.conftest import Open
from tests.ui.fake_facade import FakeFacade
from tests.ui.test_settings import press, read


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


@pytest.mark.parametrize(
    ("project", "weights", "said"),
    [
        ("p2", "run:run1", "Go on from run 1 of Recycling line: Balanced, 87.4 %, mobilenetv2_100"),
        ("p1", "run:run9", "Go on from run run9 (not here)"),
        ("p1", "weights:spring", "Yours: spring (not here)"),
    ],
)
def test_a_start_that_the_list_leaves_out_is_named(
    open_screen: Open, monkeypatch: pytest.MonkeyPatch, project: str, weights: str, said: str
) -> None:
    facade = FakeFacade()
    opened = facade.projects.get("p1")
    monkeypatch.setattr(
        facade.projects, "get",
        lambda id: opened.model_copy(update={"id": id, "name": facade.project_names[id]}),
    )  # fmt: skip
    test = open_screen("train", facade, project=project, set=f'{{"weights":"{weights}"}}')
    select = test.selectbox(key="weights-choice")
    assert select.value == weights
    assert select.options[-1] == said


def test_an_older_run_is_named_as_those_of_the_list(
    open_screen: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.components.weights_choice.RUNS", 0)
    test = open_screen("train", FakeFacade(), project="p1", set='{"weights":"run:run1"}')
    assert test.selectbox(key="weights-choice").options[-1].startswith("Go on from run 1: Balanced, 87.4 %")


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


@pytest.fixture
def without_hub(monkeypatch: pytest.MonkeyPatch) -> FakeFacade:
    """Return a facade whose runs all ended because the hub did not answer."""
    facade = FakeFacade()
    get = facade.runs.get
    config = {
        "preset": "best", "backbone": "resnet50", "model_args": {"x": 1}, "mean": [0.5] * 3, "std": [0.5] * 3,
        "image_size": 384, "epochs": 3,
    }  # fmt: skip
    problem = Problem(message="The hub does not answer.", hint="Choose.", flag="no-hub")

    def failed(run: str) -> Any:
        return get(run).model_copy(update={"problem": problem, "state": JobState.FAILED, "config": config})

    monkeypatch.setattr(facade.runs, "get", failed)
    return facade


def test_a_run_that_found_no_hub_goes_on_with_the_shipped_weights_as_they_are(
    open_screen: Open, without_hub: FakeFacade
) -> None:
    test = open_screen("run", without_hub, project="p1", run="run1")
    test.button(key="again-bundled").click().run()
    wanted = {
        "preset": "best", "weights": "bundled", "backbone": "auto", "model_args": {}, "mean": None,
        "std": None, "image_size": None, "epochs": 3,
    }  # fmt: skip
    assert ("start", "p1", wanted) in without_hub.calls


def test_a_refused_start_is_said_on_the_screen_of_the_run(
    open_screen: Open, without_hub: FakeFacade, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise InputError("The training part has 1 labelled image.", "Label more on Data.")

    monkeypatch.setattr(without_hub.runs, "start", refuse)
    test = open_screen("run", without_hub, project="p1", run="run1")
    test.button(key="again-random").click().run()
    assert "The training part has 1 labelled image" in read(test)
    assert "Exact settings" in [part.label for part in test.expander], "the screen goes on below it"
