"""Weights of one's own through the page: dropped, recognised, listed, taken along, removed."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.models.catalog import write_catalog
from tests.e2e.house import running
from tests.work import FakeWork
from tests.workspace import settings_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
ARCHITECTURE = "test_resnet"
KNOWN = (ARCHITECTURE, "test_vit", "test_efficientnet", "resnet18")


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace with a catalog of a few: listing and comparing all would take the test's time."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setattr("timm.list_models", lambda *_, **__: list(KNOWN))
    monkeypatch.setattr("engine.models.calibration.calibrate", lambda settings: None)
    write_catalog(FakeWork(settings_in(folder), None, "catalog", folder / "catalog"))  # type: ignore[arg-type]
    return folder


def test_a_file_is_dropped_and_recognised(browser_page: Page, tmp_path: Path, home: Path) -> None:
    import timm
    from safetensors.torch import save_file

    file = tmp_path / "from_the_line.safetensors"
    tensors = timm.create_model(ARCHITECTURE, num_classes=7).state_dict()
    save_file({f"module.{name}": tensor for name, tensor in tensors.items()}, file)
    page = browser_page
    with running(home) as house:
        page.goto(house.url)
        page.get_by_role("link", name="Settings").click()
        page.get_by_text("Only those that come with Lensmith are here.").wait_for()
        page.get_by_test_id("upload-files").set_input_files(file)
        page.get_by_label("Licence").fill("MIT")
        page.get_by_role("button", name="Import weights").click()
        page.get_by_text(f"from_the_line is here: {ARCHITECTURE}").wait_for(timeout=120_000)
        page.get_by_text(f"{ARCHITECTURE} · yours · MIT").first.wait_for()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        download.value.save_as(tmp_path / "along.zip")
        with zipfile.ZipFile(tmp_path / "along.zip") as archive:
            assert {Path(name).name for name in archive.namelist()} == {"model.safetensors", "config.json"}
        page.get_by_role("button", name="Remove").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        page.get_by_text("from_the_line is gone").wait_for()
        page.get_by_text("Only those that come with Lensmith are here.").wait_for()
    assert [line for line in page.problems if "404" not in line] == []  # type: ignore[attr-defined]
