"""Screens run against a fake facade, in Streamlit's own test runner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app import engine_client
from tests.ui.fake_facade import FakeFacade

MAIN = Path(__file__).parents[2] / "app" / "main.py"
Open = Callable[..., AppTest]


@pytest.fixture
def use_facade() -> Iterator[Callable[[Any], FakeFacade]]:
    """Give ``client()`` a fake; everything is taken back at the end."""
    contexts = []

    def put(facade: Any) -> FakeFacade:
        contexts.append(engine_client.use(facade))
        return facade

    yield put
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture
def open_screen(use_facade: Callable[[Any], FakeFacade]) -> Open:
    """Return a function that opens a screen through the entry, with an address."""

    def show(screen: str, facade: FakeFacade, **query: str) -> AppTest:
        use_facade(facade)
        test = AppTest.from_file(str(MAIN), default_timeout=30).run()
        if screen != "home":
            test.switch_page(f"views/{screen}.py")
        for name, value in query.items():
            test.query_params[name] = value
        return test.run()

    return show


def words(test: AppTest) -> str:
    """All that a person reads in the main part and the side bar, as one text."""
    kinds = ("markdown", "caption", "header", "subheader", "title", "button", "text")
    found = [str(getattr(e, "value", "")) + str(getattr(e, "label", "")) for k in kinds for e in test.get(k)]
    found += [str(e.label) for e in test.get("page_link") if hasattr(e, "label")]
    found += [option for e in test.radio for option in e.options]
    return "\n".join(found)
