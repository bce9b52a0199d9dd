"""The bar over a gallery: what becomes of the selected pictures."""

from __future__ import annotations

from typing import Any

import pytest

from app.components import selection
from engine.contracts.datasets import EditReceipt
from engine.errors import NotFoundError
from tests.ui.conftest import Open, words
from tests.ui.fake_facade import FakeFacade


@pytest.fixture
def selected(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Select two pictures, which only a browser can do."""
    chosen = ("i1", "i4")
    monkeypatch.setattr(selection, "gallery", lambda *_, **__: chosen)
    monkeypatch.setattr(selection, "chosen_in", lambda *_: chosen)
    return chosen


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_selected_pictures_move_to_a_split_and_back(
    open_screen: Open, selected: tuple[str, ...], split: str
) -> None:
    facade = FakeFacade()
    test = open_screen("data", facade, project="p1")
    menu = test.menu_button(key="data-move")
    assert menu.options == ["train", "validation", "test"]
    assert not menu.proto.disabled
    menu.click(split).run()
    assert not test.exception
    assert [call for call in facade.calls if call[0] == "move"] == [("move", selected, split)]
    assert "2 images moved" in test.toast[0].value
    test.button(key="data-undo").click().run()
    assert ("undo", "p1") in facade.calls


def test_each_move_is_a_write_of_its_own(open_screen: Open, selected: tuple[str, ...]) -> None:
    facade = FakeFacade()
    keys: list[str | None] = []

    def move(project: str, ids: Any, split: str, key: str | None = None) -> EditReceipt:
        keys.append(key)
        if len(keys) == 1:
            raise NotFoundError("1 of these images is not there any more.", "Select others.")
        return EditReceipt(batch="b", changed=2, message="")

    facade.splits.move = move  # type: ignore[assignment]
    test = open_screen("data", facade, project="p1")
    test.menu_button(key="data-move").click("val").run()
    assert "not there any more" in words(test)
    test.menu_button(key="data-move").click("val").run()
    test.menu_button(key="data-move").click("val").run()
    assert keys[0] == keys[1] != keys[2], "asked again under the same key until it went through"


def test_nothing_moves_without_a_selection_and_not_from_results(open_screen: Open) -> None:
    facade = FakeFacade()
    assert open_screen("data", facade, project="p1").menu_button(key="data-move").proto.disabled
    test = open_screen("results", facade, project="p1", run="run1", cell="1,4")
    assert any(button.key == "behind-out" for button in test.button)
    assert not test.menu_button
