"""Labels on the pictures of a gallery: in words on the tiles, drawn over them, and in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.components.gallery.labels import drawn_tiles, label_tiles
from app.theme import class_color
from engine.contracts.datasets import ClassInfo, ImageItem, LabelItem
from engine.contracts.overlays import ImageTile
from tests.ui.conftest import Open, words
from tests.ui.fake_facade import HOSTILE, FakeFacade
from tests.web import Served, serving

CLASSES = tuple(
    ClassInfo(id=f"c{n}", name=name, position=n) for n, name in enumerate(("RBC", "WBC", "x", "y"))
)
BOX = {"box": (1.0, 1.0, 9.0, 9.0)}


def item(*labels: tuple[str, dict[str, Any]], **fields: Any) -> ImageItem:
    """An image with labels: class id and what else they say."""
    made = tuple(LabelItem(id=f"l{n}", class_id=c, **more) for n, (c, more) in enumerate(labels))
    usual = {"id": "i", "path": "a.png", "sha256": "0" * 64, "width": 40, "height": 30, "split": "train"}
    return ImageItem(**{**usual, "labels": made, **fields})


class TestWords:
    def test_one_class_is_its_name(self) -> None:
        (tile,) = label_tiles([item(("c1", {}))], CLASSES)
        assert (tile.label, tile.parts, tile.more) == ("WBC", (("WBC", class_color(1)),), 0)
        assert tile.about.replace("\u00a0", " ") == "a.png · 40 × 30 px · train"

    def test_several_classes_are_the_first_two_and_how_many_more(self) -> None:
        (tile,) = label_tiles([item(*((c.id, {}) for c in reversed(CLASSES)))], CLASSES)
        assert tile.parts == (("RBC", class_color(0)), ("WBC", class_color(1)))
        assert tile.more == 2
        assert tile.label == "RBC, WBC, x, y", "whoever hears it hears all"

    def test_objects_are_counted_by_class(self) -> None:
        (tile,) = label_tiles([item(*[("c0", BOX)] * 3, ("c1", BOX))], CLASSES)
        assert [text for text, _ in tile.parts] == ["3 × RBC", "1 × WBC"]

    def test_what_is_ignored_does_not_count(self) -> None:
        ignored = ("", {**BOX, "ignored": True})
        (some,) = label_tiles([item(("c0", BOX), ignored)], CLASSES)
        assert some.label == "RBC"
        (only,) = drawn_tiles([ImageTile(image=item(), classes=(), ignored=2, look="x")])
        assert (only.label, only.overlay) == ("only ignored regions", "x")

    def test_an_image_with_nothing_on_it_is_not_one_without_a_label(self) -> None:
        nothing, unlabelled = label_tiles([item(negative=True), item()], CLASSES)
        assert (nothing.label, unlabelled.label) == ("nothing on it", "no label")


class TestData:
    def test_drawn_labels_are_not_replaced_by_one_class(self, open_screen: Open) -> None:
        assert open_screen("data", FakeFacade(), project="p1").selectbox(key="data-class").label
        test = open_screen("data", FakeFacade(drawn=True), project="p1")
        assert not test.exception
        assert "data-class" not in {box.key for box in test.selectbox}
        assert any(button.label == "Leave out" for button in test.button)

    def test_classes_say_images_and_objects(self, open_screen: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        facade = FakeFacade()
        assert "objects" not in words(open_screen("data", facade, project="p1"))
        usual = facade.datasets.summary

        def with_objects(project: str) -> Any:
            found = usual(project)
            counted = tuple(c.model_copy(update={"objects": 3 * c.images}) for c in found.classes)
            return found.model_copy(update={"classes": counted})

        monkeypatch.setattr(facade.datasets, "summary", with_objects)
        assert "images · objects" in words(open_screen("data", facade, project="p1"))


PAGE = f"""
import streamlit as st
from app import engine_client, theme
from app.components.gallery import Tile, gallery
from app.engine_client import client
from engine.contracts.datasets import ClassCount
from engine.contracts.overlays import LabelName, Legend
from engine.contracts.files import ServedFile
from pathlib import Path

NAME = {HOSTILE[0]!r}
world = client()
for i in ("a", "b", "c"):
    path = Path({{folder!r}}) / "picture.png"
    world.datasets.files["p", i] = ServedFile(path=path, media_type="image/png", name="a.png", etag=i)
names = (LabelName(name=NAME, position=0, x=0.25, y=0.5), LabelName(name="hidden", position=1, x=0.25, y=0.5))
legend = Legend(width=400, height=300, classes=(ClassCount(name=NAME, position=0, count=2),), names=names)
world.overlays.labels["p", "a"] = world.overlays.labels["p", "b"] = legend
theme.apply()
st.title("Pictures")
tiles = [
    Tile("a", "2 " + NAME + ", 1 WBC", about="a.png", parts=(("2 " + NAME, "#0072B2"), ("1 WBC", "#E69F00")), more=3, overlay="r1"),
    Tile("b", "WBC", about="b.png", parts=(("WBC", "#E69F00"),), overlay="r2"),
    Tile("c", "no label", about="c.png"),
]
chosen = gallery("p", tiles, key="g", rows=2)
st.write("chosen: " + ",".join(chosen))
"""  # noqa: E501


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("labels")
    Image.new("RGB", (400, 300), (200, 200, 200)).save(folder / "picture.png")
    script: Path = folder / "page.py"
    script.write_text(PAGE.replace("{folder!r}", repr(str(folder))), "utf-8")
    with serving(script, folder) as served:
        yield served


@pytest.mark.browser
class TestBrowser:
    def open(self, page: Any, server: Served) -> Any:
        page.goto(server.url)
        page.locator(".tile img.over.there").first.wait_for()
        return page

    def test_labels_lie_over_the_pictures_and_can_be_taken_off(
        self, browser_page: Any, server: Served
    ) -> None:
        page = self.open(browser_page, server)
        overlays = page.locator(".tile img.over")
        assert overlays.count() == 2
        tile, over = page.locator(".tile").first, overlays.first
        assert tile.locator("img").first.bounding_box() == over.bounding_box()
        assert over.evaluate("e => getComputedStyle(e).objectFit") == "cover"
        assert "size=thumb&r=r1" in over.get_attribute("src")
        toggle = page.get_by_role("button", name="Labels on the pictures (L)")
        assert toggle.get_attribute("aria-pressed") == "true"
        toggle.click()
        assert overlays.count() == 0
        assert toggle.get_attribute("aria-pressed") == "false"
        page.reload()
        page.locator(".tile img.there").first.wait_for()
        assert overlays.count() == 0, "a browser remembers it"
        page.locator(".box").focus()
        page.keyboard.press("l")
        page.locator(".tile img.over.there").first.wait_for()

    def test_tiles_name_their_classes_as_text(self, browser_page: Any, server: Served) -> None:
        page = self.open(browser_page, server)
        first = page.locator(".tile").first
        assert first.locator(".part b").all_inner_texts() == [f"2 {HOSTILE[0]}", "1 WBC"]
        assert first.locator(".more").inner_text() == "+3"
        assert first.get_attribute("aria-label") == f"2 {HOSTILE[0]}, 1 WBC, a.png"
        assert page.evaluate("window.pwned") is None

    def test_selection_by_mouse_and_keys_is_as_before(self, browser_page: Any, server: Served) -> None:
        page = self.open(browser_page, server)
        page.locator(".tile").first.click()
        page.get_by_text("chosen: a", exact=True).wait_for()
        page.keyboard.press("ArrowRight")
        page.keyboard.press(" ")
        page.get_by_text("chosen: a,b", exact=True).wait_for()
        page.keyboard.press("l")
        assert page.locator(".tile.on").count() == 2
        page.keyboard.press("l")

    def test_the_opened_picture_has_them_too_with_a_legend_and_names(
        self, browser_page: Any, server: Served
    ) -> None:
        page = self.open(browser_page, server)
        page.locator(".tile").first.dblclick()
        over = page.locator("dialog .over")
        over.wait_for()
        assert "size=full&r=r1" in over.get_attribute("src")
        assert over.evaluate("e => getComputedStyle(e).objectFit") == "contain"
        assert page.get_by_role("list", name="Labels").inner_text().split("\n") == [HOSTILE[0], "2"]
        # The picture is 400 x 300 in the middle of the stage; the name stands on its corner.
        name = page.locator("dialog .name").first
        stage, tag = page.locator("dialog .stage").bounding_box(), name.bounding_box()
        scale = min(stage["width"] / 400, stage["height"] / 300)
        assert tag["x"] == pytest.approx((stage["width"] - 400 * scale) / 2 + 0.25 * 400 * scale, abs=1)
        assert tag["y"] + tag["height"] == pytest.approx(0.5 * stage["height"], abs=1)
        assert page.locator("dialog .name").nth(1).is_hidden(), "names do not lie on each other"
        self._zooming_keeps_names_readable(page, tag["height"])
        self._the_next_picture_has_its_own(page)

    def test_the_address_holds_the_opened_picture(self, browser_page: Any, server: Served) -> None:
        page = self.open(browser_page, server)
        page.locator(".tile").first.dblclick()
        page.locator("dialog[open]").wait_for()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("location.search === '?image=b'")
        page.reload()
        page.locator("dialog[open]").wait_for()
        assert "b.png" in page.locator("dialog .foot p").inner_text()
        page.keyboard.press("Escape")
        page.locator("dialog[open]").wait_for(state="detached")
        page.wait_for_function("!location.search")  # it follows the closing, which the browser tells of later
        page.goto(f"{server.url}?image=gone")
        page.locator(".tile img.there").first.wait_for()
        page.wait_for_function("!location.search")
        assert page.locator("dialog[open]").count() == 0

    def test_on_a_phone_the_caption_is_whole(self, browser_page: Any, server: Served) -> None:
        browser_page.set_viewport_size({"width": 390, "height": 844})
        page = self.open(browser_page, server)
        page.locator(".tile").first.dblclick()
        said = page.locator("dialog .foot p")
        said.wait_for()
        assert said.evaluate("e => e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight")
        stage, foot = (
            page.locator("dialog .stage").bounding_box(),
            page.locator("dialog .foot").bounding_box(),
        )
        assert stage["y"] + stage["height"] == pytest.approx(foot["y"], abs=1), "the foot hides no picture"
        assert foot["y"] + foot["height"] == pytest.approx(844, abs=1)

    def _zooming_keeps_names_readable(self, page: Any, height: float) -> None:
        page.keyboard.press("+")
        assert page.locator("dialog .name").first.bounding_box()["height"] == pytest.approx(height, abs=0.5)
        page.keyboard.press("0")

    def _the_next_picture_has_its_own(self, page: Any) -> None:
        page.keyboard.press("ArrowRight")
        page.locator("dialog .over[src*='r=r2']").wait_for()
        page.keyboard.press("l")
        page.locator("dialog .over").wait_for(state="detached")
        assert page.locator("dialog .legend li").count() == 0
        page.keyboard.press("l")
        page.locator("dialog .over").wait_for()
        page.keyboard.press("ArrowRight")
        page.locator("dialog .over").wait_for(state="detached")
        page.keyboard.press("Escape")
        assert page.locator(".tile img.over").count() == 2
