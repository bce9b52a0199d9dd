"""What a person types under "More" and which pictures a person tries: nothing is lost or cut in silence."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ui.conftest import Open, words
from tests.ui.fake_facade import FakeFacade

NORMAL = {"project": "p1", "run": "run1"}


def test_what_was_typed_survives_a_refresh(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("train", facade, project="p1", preset="quick")
    test.number_input(key="set-quick-time_budget").set_value(10.0).run()
    address = {n: v[0] if isinstance(v, list) else v for n, v in test.query_params.items()}
    assert address["set"] == '{"time_budget":10.0}'
    again = open_screen("train", facade, **address)
    assert again.number_input(key="set-quick-time_budget").value == 10.0
    assert "Time budget 10 min" in words(again)
    next(b for b in again.button if b.label == "Train model").click().run()
    assert ("start", "p1", {"preset": "quick", "time_budget": 600.0}) in facade.calls


def test_what_was_typed_can_be_put_back(open_screen: Open) -> None:
    test = open_screen("train", FakeFacade(), project="p1", set='{"epochs":3}')
    assert test.number_input(key="set-balanced-epochs").value == 3
    test.button(key="put-back").click().run()
    assert test.number_input(key="set-balanced-epochs").value is None
    assert "set" not in test.query_params


@pytest.mark.parametrize("typed", ["x", "[1]", '{"epochs":"x","optimizer":7,"lr":NaN,"nothing":1}', "{}"])
def test_an_address_that_types_nonsense_changes_nothing(open_screen: Open, typed: str) -> None:
    facade = FakeFacade()
    test = open_screen("train", facade, project="p1", set=typed)
    assert not test.exception
    next(b for b in test.button if b.label == "Train model").click().run()
    assert ("start", "p1", {"preset": "balanced"}) in facade.calls


def test_the_settings_a_person_looks_for_come_first(open_screen: Open) -> None:
    test = open_screen("train", FakeFacade(), project="p1")
    labels = [field.label for field in test.number_input]
    assert labels[:3] == ["Time budget (min)", "Epochs", "Image size (px)"]


def _upload(test: Any, number: int) -> None:
    files = [(f"{n}.png", b"picture", "image/png") for n in range(number)]
    test.file_uploader(key="try-files").set_value(files).run()


def test_an_answer_stays_while_other_pictures_are_looked_for(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("try_it", facade, **NORMAL)
    _upload(test, 1)
    assert "cardboard" in [heading.value for heading in test.header]
    test.button_group(key="way").set_value("set").run()
    assert "cardboard" in [heading.value for heading in test.header]
    assert [call for call in facade.calls if call[0] == "predict"] == [("predict", "run1", ("0.png",))]


def test_pictures_that_are_taken_away_take_their_answer_along(open_screen: Open) -> None:
    test = open_screen("try_it", FakeFacade(), **NORMAL)
    _upload(test, 1)
    test.file_uploader(key="try-files").set_value([]).run()
    assert "The answer stands here" in words(test)


def test_too_many_pictures_are_not_cut_silently(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("try_it", facade, **NORMAL)
    _upload(test, 33)
    assert "33 pictures are too many at once" in words(test)
    (asked,) = [call for call in facade.calls if call[0] == "predict"]
    assert len(asked[2]) == 32


def test_pictures_of_the_set_are_test_pictures_of_all_classes(open_screen: Open, monkeypatch) -> None:
    facade = FakeFacade(total=600)
    asked = []
    images = facade.datasets.images

    def watched(*given: Any, **named: Any) -> Any:
        asked.append((given[1].splits, given[3], named["order"]))
        return images(*given, **named)

    monkeypatch.setattr(facade.datasets, "images", watched)
    test = open_screen("try_it", facade, **NORMAL)
    test.button_group(key="way").set_value("set").run()
    assert asked == [(("test",), 60, "mixed")]
    assert "the model has not learned from them" in words(test)
    test.button(key="try-show-more").click().run()
    assert asked[-1] == (("test",), 180, "mixed")
