"""Fixtures that several rooms share: a real Chromium, with a screenshot when a test fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from engine.api.machine import find_browser
from tests.browser import FLAGS, HOW_TO_GET_ONE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# The same commit gives the same answer; with LENSMITH_EXPLORE=1 the tests look for new examples.
settings.register_profile("repeatable", derandomize=True)
if not os.environ.get("LENSMITH_EXPLORE"):
    settings.load_profile("repeatable")

FAILURES = Path(__file__).parents[1] / "build" / "failures"
_report = pytest.StashKey[pytest.TestReport]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.stash[_report] = report
    return report


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One real Chromium for the whole session."""
    path = find_browser(os.environ)
    if path is None and os.environ.get("LENSMITH_REQUIRE_BROWSER"):
        pytest.fail(HOW_TO_GET_ONE)
    if path is None:
        pytest.skip(HOW_TO_GET_ONE)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def browser_page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh page; ``page.problems`` lists what the browser complained about.

    When the test fails, a screenshot is left in ``build/failures``.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.problems = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.problems.append(str(error)))  # type: ignore[attr-defined]
    page.on(
        "console",
        lambda message: page.problems.append(message.text) if message.type == "error" else None,  # type: ignore[attr-defined]
    )
    yield page
    report = request.node.stash.get(_report, None)
    if report is not None and report.failed:
        FAILURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=FAILURES / f"{request.node.name}.png".replace("/", "_"), full_page=True)
    context.close()
