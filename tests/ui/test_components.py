"""Components one by one: what they draw, what they return, and that data stays data."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from app import theme
from app.components.charts import _name_ends, spread
from app.components.formats import brief, count, duration, interval, plain, size, value, when
from app.components.gallery import verdict_tiles
from app.components.import_report import for_people
from app.components.panels import behind
from app.components.params_form import Field
from app.state import ViewState
from engine.contracts.results import CurvePanel, GridItem, MatrixPanel, MetricValue, Series, TablePanel
from engine.tasks.classification.spec import ClassificationConfig
from tests.ui.conftest import Open, words
from tests.ui.fake_facade import FakeFacade


def dialog_of(name: str) -> AppTest:
    """Run one dialog of a project card on its own."""

    def script(name: str) -> None:
        from app.components import project_card
        from app.engine_client import client

        getattr(project_card, name)(client().projects.get("p1"))

    return AppTest.from_function(script, args=(name,), default_timeout=30).run()


def test_unknown_html_never_passes_the_escape() -> None:
    assert plain("<img src=x onerror=y>") == r"\<img src\=x onerror\=y\>"
    assert plain("[a](javascript:1)") == r"\[a\]\(javascript\:1\)"
    assert plain("a\n\n# b") == r"a \# b"
    assert ":smile:" not in plain(":smile:").replace("\\", "")


@given(st.text())
def test_escaped_text_reads_the_same(text: str) -> None:
    from re import sub

    shown = sub(r"\\([!-/:-@\[-`{-~])", r"\1", plain(text)).replace("\u2060", "")
    assert shown == " ".join(text.split()).replace("\u2060", "")


@given(st.builds(
    ViewState, project=st.text("abc09", min_size=1), run=st.none() | st.text("xyz", min_size=1),
    cell=st.none() | st.tuples(st.integers(0, 99), st.integers(0, 99)),
    image=st.none() | st.text("abc09", min_size=1),
    part=st.none() | st.lists(st.integers(0, 99), min_size=1, max_size=3).map(tuple),
    settings=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()),
))  # fmt: skip
def test_an_address_brings_back_its_view(view: ViewState) -> None:
    assert ViewState.from_query(view.to_query()) == view


def test_an_address_opens_the_images_of_a_point() -> None:
    lines = (
        Series(name="plain", x=(0.0, 1.0), y=(0.0, 1.0)),
        Series(name="car", x=(0.1, 0.9), y=(0.2, 0.8), images=(("a",), ("b", "c"))),
    )
    panel = CurvePanel(title="ROC", x_label="rate", y_label="found", series=lines)
    opened = behind((panel,), ViewState(project="p", part=(0, 1, 1)))
    assert opened is not None
    assert (opened.image_ids, opened.total, opened.part) == (("b", "c"), 2, (0, 1, 1))
    assert opened.title == "ROC: car, rate 0.9"
    for part in ((0, 0, 0), (0, 1, 2), (0, 2, 0)):
        assert behind((panel,), ViewState(project="p", part=part)) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (372, "6 min 12 s"), (660, "11 min"), (11400, "3 h 10 min"), (7200, "2 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("30 images, as a/label/0.png", "30 images, as a/label/0.png"),
        (
            "as stage1_train/0280fa8f60f6bcae0f97d93c28f6/masks/00ccba8c4ccdf241ab3e447326fe.png.",
            "as stage1_train…cdf241ab3e447326fe.png.",
        ),
        ("“a/x 1.json”, “b/y.json”", "“a/x 1.json”, “b/y.json”"),
        ("“a/x 1.json”, “b/y.json”, “c.json” and “d/z.json” fit", "“a/x 1.json”, “b/y.json” and 2 more fit"),
        ("a/x.json, b/y.json, c/z.json: 3 files", "a/x.json, b/y.json and 1 more: 3 files"),
        ("tests/data/coco/test_coco.json: 4 images", "tests/data/coco/test_coco.json: 4 images"),
        ("cardboard, glass, metal, paper", "cardboard, glass, metal, paper"),
        ("train/val/test in 70, 20, 10", "train/val/test in 70, 20, 10"),
    ],
)
def test_paths_are_shortened_and_counted(text: str, short: str) -> None:
    assert brief(text) == short
    assert brief(short) == short


def test_numbers_have_units_and_intervals() -> None:
    assert count(1204, "image") == "1,204 images"
    assert count(1, "class", "classes") == "1 class"
    assert size(18_400_000) == "18.4 MB"
    top1 = MetricValue(name="top1", value=0.874, low=0.842, high=0.903, n=431)
    assert value(top1.value, top1.unit) == "87.4 %"
    assert interval(top1) == "likely 84.2 to 90.3 % · on 431 images"
    gain = MetricValue(name="gain", value=9.7, low=6.1, high=13.4, n=431, unit="points")
    assert interval(gain) == "likely +6.1 to +13.4 points · on 431 images"
    assert value(0.0, "share") == "0.0 %"
    assert interval(MetricValue(name="top5", value=None, reason="Only four classes.")) == "Only four classes."


@pytest.mark.parametrize("cell", ['=HYPERLINK("x")', "+1", "-1", "@x", "\t=1"])
def test_formulas_are_disarmed_for_people(cell: str) -> None:
    assert for_people(cell) == "'" + cell
    assert for_people("a=b") == "a=b"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_labels_keep_apart_and_in_order(places: list[float]) -> None:
    moved = spread(places, 0.05)
    order = sorted(range(len(places)), key=places.__getitem__)
    for before, now in pairwise(order):
        assert moved[now] - moved[before] >= 0.05 - 1e-9
    assert max(moved) <= max(1.0, *places) + 1e-9


def test_every_class_has_a_colour_of_its_own() -> None:
    colors = [theme.class_color(n) for n in range(60)]
    assert len(set(colors)) == 60
    assert all(len(c) == 7 and c[0] == "#" for c in colors)


@pytest.mark.parametrize("tones", [theme.LIGHT, theme.DARK])
def test_text_can_be_read(tones: theme.Tones) -> None:
    """WCAG 2.2 contrast of at least 4.5 for text on a card."""
    for name in ("accent", "ink", "muted", "good", "look", "wrong"):
        assert _contrast(getattr(tones, name), tones.card) >= 4.5, name


def _contrast(first: str, second: str) -> float:
    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_style_sheet_holds_no_data_and_both_themes() -> None:
    sheet = theme._style_sheet()
    assert theme.LIGHT.accent in sheet
    assert theme.DARK.accent in sheet
    assert "</" not in sheet


def test_a_form_refuses_text_that_is_no_object() -> None:
    def script() -> None:
        import streamlit as st

        from app.components.params_form import params_form
        from engine.tasks.classification.spec import ClassificationConfig

        values, problems, _ = params_form(ClassificationConfig.model_json_schema(), {}, key="f")
        st.json(values)
        st.text(" ".join(problems))

    test = AppTest.from_function(script, default_timeout=30).run()
    assert test.json[0].value == "{}"
    test.text_input(key="f-model_args").input("[1]").run()
    assert "not a JSON object" in test.text[0].value
    test.text_input(key="f-model_args").input('{"pad_type": "same"}').run()
    assert "pad_type" in test.json[0].value


def test_a_form_takes_from_an_address_only_what_its_fields_can_hold() -> None:
    schema = ClassificationConfig.model_json_schema()["properties"]
    budget, epochs, optimizer = (Field(n, schema[n]) for n in ("time_budget", "epochs", "optimizer"))
    flip, weights = Field("flip_vertical", schema["flip_vertical"]), Field("weights", schema["weights"])
    for field, right, wrong in (
        (budget, (None, 10, 2.5), ("10", True, -1, float("nan"), float("inf"), [1], 10**400)),
        (epochs, (None, 3), (3.5, 0, 10**9, "3", True)),
        (optimizer, ("sgd",), ("other", None, 1)),
        (flip, (True, False), (1, "on", None)),
        (weights, ("auto", ""), (None, 1, "x" * 10_000)),
    ):
        assert all(field.takes(content) for content in right), field.name
        assert not any(field.takes(content) for content in wrong), field.name


def test_a_time_is_shown_in_minutes_and_kept_in_seconds() -> None:
    field = Field("time_budget", ClassificationConfig.model_json_schema()["properties"]["time_budget"])
    assert (field.unit, field.shown(600.0), field.shown(None)) == ("min", 10.0, None)
    assert field.read(2.5, None) == 150.0
    assert field.read(field.shown(40.0), 40.0) == 40.0
    assert field.read(None, 40.0) is None


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 20, 9, 5, tzinfo=UTC), "today, 09:05"),
        (datetime(2026, 11, 19, 23, 59, tzinfo=UTC), "yesterday, 23:59"),
        (datetime(2026, 11, 3, 12, 56, tzinfo=UTC), "3 Nov 2026, 12:56"),
    ],
)
def test_moments(moment: datetime, text: str) -> None:
    assert when(moment, datetime(2026, 11, 20, 10, 0, tzinfo=UTC)) == text


def test_images_open_under_the_panel_that_was_touched() -> None:
    cells = ((("a",), ("b",)), ((), ("c",)))
    matrix = MatrixPanel(
        title="Confusion",
        row_labels=("x", "y"),
        column_labels=("x", "y"),
        counts=((1, 1), (0, 1)),
        images=cells,
    )
    table = TablePanel(title="Per class", columns=("class",), rows=(("x",), ("y",)), images=(("a",), ("c",)))
    panels = (table, matrix)
    opened = behind(panels, ViewState(cell=(0, 1)))
    assert opened is not None
    assert (opened.panel, opened.image_ids) == (1, ("b",))
    opened = behind(panels, ViewState(part=(0, 1)))
    assert opened is not None
    assert (opened.panel, opened.image_ids) == (0, ("c",))


def test_a_wrong_answer_says_so_without_colours() -> None:
    item = GridItem(
        image_id="i", caption="paper 0.95", truth="metal", predicted="paper", score=0.95, tone="wrong"
    )
    (tile,) = verdict_tiles((item,))
    assert tile.label == "✗ paper 0.95\nlabel: metal"
    assert tile.about == "paper 0.95 · labelled metal"
    (right,) = verdict_tiles((item.model_copy(update={"truth": "paper", "tone": "neutral"}),))
    assert right.label == "paper 0.95"


def test_names_at_line_ends_are_ink() -> None:
    """Class colours fall below a contrast of 4.5; they colour a dot instead."""
    figure = go.Figure()
    line = Series(name="cardboard", x=(0.0, 1.0), y=(0.0, 1.0), color=4)
    panel = CurvePanel(title="ROC", x_label="x", y_label="y", series=(line,))
    _name_ends(figure, panel, [theme.class_color(4)], 300)
    (note,) = figure.layout.annotations
    assert note.font.color == theme.tones().ink
    assert note.text == f'<span style="color:{theme.class_color(4)}">●</span> cardboard'


def test_the_largest_confusion_is_found_beside_the_diagonal() -> None:
    labels = ("x", "y", "z")
    counts = ((9, 2, 0), (4, 30, 0), (0, 0, 0))
    panel = MatrixPanel(title="Confusion", row_labels=labels, column_labels=labels, counts=counts)
    assert panel.largest_confusion() == (1, 0)
    assert panel.share_of_row(1, 0) == pytest.approx(4 / 34)
    assert panel.share_of_row(2, 0) == 0
    right = panel.model_copy(update={"counts": ((9, 0, 0), (0, 30, 0), (0, 0, 0))})
    assert right.largest_confusion() is None


def test_a_gain_is_sure_only_with_its_whole_interval() -> None:
    gain = MetricValue(name="gain", value=9.7, low=0.1, high=13.4, unit="points")
    assert gain.surely_above(0)
    assert not gain.model_copy(update={"low": -0.1}).surely_above(0)
    assert not gain.model_copy(update={"low": None}).surely_above(0)


def test_look_here_first_opens_its_cell(open_screen: Open) -> None:
    test = open_screen("results", FakeFacade(), project="p1", run="run1", part="4,1")
    assert "See these images" in words(test)
    test.button(key="look-first").click().run()
    assert "glass → plastic · 9 images" in words(test)
    assert test.query_params["cell"] == "1,4"
    assert "part" not in test.query_params
