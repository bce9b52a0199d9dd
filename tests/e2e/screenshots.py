"""Open every screen and write PNGs: light and dark, 1280 and 390 px wide (``make screenshots``).

``python -m tests.e2e.screenshots FOLDER`` makes a workspace of its own with the sample set and a trained
model. ``--url`` takes a running server instead; without ids its newest project and the newest finished run
are taken from the links on the screens.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

from engine.api import open_workspace
from engine.api.machine import find_browser
from tests.browser import FLAGS, HOW_TO_GET_ONE
from tests.e2e.house import running
from tests.workspace import settings_in, succeeded

SIZES = {"1280": (1280, 800), "390": (390, 844)}
SCREENS = ("home", "new", "data", "train", "runs", "run", "results", "try_it", "export", "settings")


def settle(page: Page) -> None:
    """Wait until the script has run, the charts stand and the pictures are there."""
    page.wait_for_selector("[data-testid=stMainBlockContainer] h1, [data-testid=stMainBlockContainer] h2")
    page.wait_for_function(
        "() => document.querySelector('.stApp')?.dataset.testScriptState !== 'running'"
        " && !document.querySelector('[data-testid=stSkeleton]')"
    )
    page.wait_for_timeout(1200)


def ids_from(page: Page, url: str) -> dict[str, str]:
    """Read project and run from the first links that name them."""
    found: dict[str, str] = {}
    for screen in ("", "runs"):
        page.goto(f"{url}/{screen}?{urlencode(found)}")
        settle(page)
        for link in page.locator("[data-testid=stMain] a[href*='?']").all():
            query = parse_qs(urlsplit(link.get_attribute("href") or "").query)
            for name in ("project", "run"):
                if name in query:
                    found.setdefault(name, query[name][0])
    return found


def query_of(screen: str, ids: dict[str, str]) -> dict[str, str]:
    """Say which ids a screen's address names; results and what follows take the newest finished run."""
    if screen in ("home", "new") or (screen == "settings" and "project" not in ids):
        return {}
    wanted = ("project", "run") if screen == "run" or "chosen" in ids else ("project",)
    return {name: ids[name] for name in wanted if name in ids}


def shoot(browser: Browser, url: str, folder: Path, ids: dict[str, str], screens: tuple[str, ...]) -> None:
    """Write ``SCREEN-THEME-WIDTH.png`` for each screen, as long as the page is."""
    for theme in ("light", "dark"):
        for width, (across, down) in SIZES.items():
            context = browser.new_context(
                viewport={"width": across, "height": down}, color_scheme=theme, device_scale_factor=1
            )
            page = context.new_page()
            for screen in screens:
                query = query_of(screen, ids)
                page.goto(f"{url}/{'' if screen == 'home' else screen}?{urlencode(query)}")
                settle(page)
                long = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
                page.set_viewport_size({"width": across, "height": min(max(down, int(long)), 3200)})
                page.wait_for_timeout(500)
                page.screenshot(path=folder / f"{screen}-{theme}-{width}.png")
                page.set_viewport_size({"width": across, "height": down})
            context.close()


def own_house(folder: Path, screens: tuple[str, ...]) -> None:
    """Take the pictures of a fresh workspace: the sample set, one Quick run and its bundle."""
    with tempfile.TemporaryDirectory() as home, running(Path(home)) as house:
        lensmith = open_workspace(settings_in(house.home))
        sample = lensmith.projects.samples()[0]
        project = str(succeeded(lensmith, lensmith.projects.create_sample(sample.name).id, 300).project)
        run = lensmith.runs.start(project, {"preset": "quick"}).id
        succeeded(lensmith, run, 900)
        succeeded(lensmith, lensmith.models.start_export(run).id, 300)
        take(house.url, folder, {"project": project, "run": run, "chosen": "run"}, screens)
        lensmith.close()


def take(url: str, folder: Path, ids: dict[str, str], screens: tuple[str, ...]) -> None:
    """Start a Chromium and write the pictures."""
    path = find_browser(os.environ)
    if path is None:
        raise SystemExit(HOW_TO_GET_ONE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        if not {"project", "run"} <= ids.keys():
            page = browser.new_page()
            ids = {**ids_from(page, url), **ids}
            page.close()
        shoot(browser, url, folder, ids, screens)
        browser.close()


def main() -> None:
    """Read the arguments and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url")
    parser.add_argument("--project")
    parser.add_argument("--run")
    parser.add_argument("--only", action="append", choices=SCREENS)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    screens = tuple(chosen.only or SCREENS)
    if chosen.url is None:
        own_house(chosen.folder, screens)
        return
    given = {"project": chosen.project, "run": chosen.run, "chosen": "run" if chosen.run else None}
    ids = {name: value for name, value in given.items() if value}
    take(chosen.url.rstrip("/"), chosen.folder, ids, screens)


if __name__ == "__main__":
    main()
