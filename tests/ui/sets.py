"""What tests of the screens of a set share: a world with offers, dialogs on their own, short ways to act."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from streamlit.testing.v1 import AppTest

from engine.contracts.jobs import JobState, Problem
from engine.contracts.projects import TaskInfo
from tests.ui.conftest import words
from tests.ui.fake_facade import FakeFacade
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


def ask(facade: FakeFacade, flag: str, **more: Any) -> None:
    facade.import_state = JobState.FAILED
    facade.import_problem = Problem(message="What now?", hint="Say.", flag=flag, **more)
