"""KITTI: boxes with their other columns, regions that do not count, and what is written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.datasets import ImportIssue, Split
from engine.datasets.archive import open_source
from engine.datasets.formats import kitti
from engine.datasets.formats.base import ExportSet, ReadOptions, SourceView
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.errors import InputError
from engine.settings import Limits
from tests.unit.format_cases import taken, view_of

CAR = "Car 0.00 1 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56"
REST = "DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10"


def read(view: SourceView) -> tuple[dict[str, ImageLabels], list[ImportIssue]]:
    return taken(kitti.read(view, ReadOptions("boxes")))


def test_a_set_as_it_is_published(tmp_path: Path) -> None:
    files = {
        "k/training/image_2/000001.png": "",
        "k/training/label_2/000001.txt": f"{CAR}\r\n{REST}\r\n",
        "k/training/image_2/000002.png": "",
        "k/training/label_2/000002.txt": "",
        "k/testing/image_2/000001.png": "",
        "k/training/label_2/000009.txt": f"\n{CAR}\n",
    }
    view = view_of(tmp_path, files)
    found = kitti.recognise(view)
    assert found is not None and found.kinds == ("boxes",) and found.classes == ("Car",)
    images, issues = read(view)
    first = images["k/training/image_2/000001.png"]
    car, rest = first.labels
    assert car.box == (599.41, 156.40, 629.75, 189.25) and not car.ignored and car.line == 1
    assert dict(car.attributes) == {
        "truncated": "0.00",
        "occluded": "1",
        "alpha": "-1.57",
        "height": "2.85",
        "width": "2.63",
        "length": "12.34",
        "x": "0.47",
        "y": "1.49",
        "z": "69.44",
        "rotation_y": "-1.56",
    }
    assert rest.ignored and rest.name == "" and rest.attributes == () and first.split == "train"
    assert images["k/training/image_2/000002.png"].negative
    unlabelled = images["k/testing/image_2/000001.png"]
    assert not unlabelled.negative and not unlabelled.labels and unlabelled.split == "test"
    assert [(i.file[-10:], i.line, i.reason) for i in issues] == [("000009.txt", 2, "missing image “000009”")]


@pytest.mark.parametrize(
    ("line", "name", "score"),
    [
        (f"{CAR} 0.91", "Car", "0.91"),
        (CAR.replace("Car", "traffic light"), "traffic light", None),
        (CAR.replace("Car", "3"), "3", None),
    ],
)
def test_types_and_scores(line: str, name: str, score: str | None) -> None:
    label = kitti.parse_line(line)
    assert label.name == name and dict(label.attributes).get("score") == score and label.box is not None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Car 0 0 0 1 2 3 4", "8 columns"),
        (f"{CAR} 1 2", "17 columns"),
        (CAR.replace("599.41", "nan"), "not finite"),
        (CAR.replace("629.75", "1e999"), "not finite"),
        (CAR.replace("599.41", "left"), "15 columns"),
        (CAR.replace("599.41", "5_9"), "15 columns"),
        (CAR.replace(" ", ","), "1 column;"),
    ],
)
def test_damage_skips_the_line(tmp_path: Path, line: str, reason: str) -> None:
    images, issues = read(view_of(tmp_path, {"a.png": "", "a.txt": f"{line}\n{CAR}\n"}))
    assert len(images["a.png"].labels) == 1 and issues[0].line == 1 and reason in issues[0].reason


def test_ambiguous_pairs_are_refused(tmp_path: Path) -> None:
    view = view_of(tmp_path, {"image_2/a.png": "", "image_2/a.jpg": "", "label_2/a.txt": CAR})
    with pytest.raises(InputError, match="could belong to"):
        kitti.read(view, ReadOptions("boxes"))


@pytest.mark.parametrize("text", ["0 .5 .5 1 1", "0 " + ".5 " * 14, "hello", ""])
def test_other_texts_are_no_labels(tmp_path: Path, text: str) -> None:
    assert kitti.recognise(view_of(tmp_path, {"a.png": "", "a.txt": text})) is None


def round_trip(folder: Path, rows: Iterable[ImageLabels], classes: Iterable[str]) -> dict[str, ImageLabels]:
    (folder / "out").mkdir()

    def placed() -> Iterable[tuple[ImageLabels, Path]]:
        for row in rows:
            (folder / "picture").write_text(row.path)
            yield row, folder / "picture"

    kitti.write(ExportSet("boxes", tuple(map(ClassHead, classes)), placed()), folder / "out")
    images, issues = read(SourceView(open_source((("out", folder / "out"),), Limits())))
    assert not issues
    return {(folder / "out" / path).read_text(): row for path, row in images.items()}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    names = (
        "a b.jpg",
        "ü/日本.jpg",
        "=cmd.jpg",
        "“q”,'.jpg",
        "😀.jpg",
        ".h.jpg",
        "s.jpg",
        "s.png",
        "x/s.jpg",
    )
    classes = ("Car", "traffic light", "=HYPERLINK()", "7", "😀")
    splits: tuple[Split | None, ...] = ("train", "val", "test", None)
    rows = [
        ImageLabels(
            name,
            (
                Label(classes[n % 5], (0.1, n / 3, 7, 20.25), attributes=(("occluded", "2"), ("z", "6.10"))),
                Label("", (1.0, 2.0, 3.0, 4.0), ignored=True),
                Label("Car", (1.0, 2.0, 3.0, 4.0), attributes=(("score", "0.50"),)),
            ),
            split=splits[n % 4],
        )
        for n, name in enumerate([*names, "n" * 230 + ".jpg"])
    ]
    rows += [ImageLabels("nothing.jpg", negative=True), ImageLabels("unknown.jpg", split="val")]
    found = round_trip(tmp_path, rows, classes)
    assert set(found) == {row.path for row in rows}
    for row in rows:
        again = found[row.path]
        assert (again.split, again.negative) == (row.split, row.negative)
        for label, same in zip(row.labels, again.labels, strict=True):
            assert (label.name, label.ignored, label.attributes) == (same.name, same.ignored, same.attributes)
            assert label.box == pytest.approx(same.box, abs=1e-9)


@pytest.mark.parametrize("name", ["DontCare", "type 3", "a nan"])
def test_names_that_would_be_read_as_others_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be a type"):
        round_trip(tmp_path, [], [name])


@given(st.lists(st.sampled_from([CAR, REST, CAR[:-6], CAR + " .5", "x"]) | st.text(max_size=20), max_size=6))
@settings(max_examples=80, deadline=None)
def test_each_line_is_accounted_for(listed: list[str]) -> None:
    text = "\n".join(listed).encode("utf-8", "replace")
    with TemporaryDirectory() as folder:
        view = view_of(Path(folder), {"a.png": "", "a.txt": text})
        kitti.recognise(view)
        images, issues = read(view)
    plain = text.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    assert len(images["a.png"].labels) + len(issues) == sum(bool(line.strip()) for line in plain.split("\n"))
