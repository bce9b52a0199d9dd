"""Ultralytics NDJSON: labels of all kinds, what is refused, and that what is written is read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.datasets import ImportIssue, LabelKind, Split
from engine.datasets.archive import open_source
from engine.datasets.formats import ndjson
from engine.datasets.formats.base import ExportSet, Reading, ReadOptions, SourceView
from engine.datasets.labels import ClassHead, ImageLabels, Label, Polygons
from engine.errors import InputError, QuestionError
from engine.settings import Limits
from tests.unit.format_cases import taken

HEAD = {
    "type": "dataset",
    "task": "detect",
    "class_names": {"0": "cat", "1": "dog"},
    "url": "https://x.test/",
}
Lines = Iterable[dict[str, Any] | str]


def image(file: str, annotations: object = None, **more: object) -> dict[str, Any]:
    said = {} if annotations is None else {"annotations": annotations}
    return {"type": "image", "file": file, "url": f"http://127.0.0.1/{file}"} | said | more


def view_of(folder: Path, lines: Lines, *images: str, head: Mapping[str, Any] | None = None) -> SourceView:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in [dict(head or HEAD), *lines]]
    (folder / "set.ndjson").write_text("\n".join(texts) + "\n", encoding="utf-8")
    for name in images or ("a.jpg",):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return SourceView(open_source((("set", folder),), Limits()))


def read(view: SourceView, kind: LabelKind = "boxes") -> tuple[dict[str, ImageLabels], list[ImportIssue]]:
    return taken(ndjson.read(view, ReadOptions(kind)))


def test_boxes_with_splits_and_sizes(tmp_path: Path) -> None:
    lines = [
        image("a.jpg", {"boxes": [[1, 0.5, 0.5, 0.5, 0.25]]}, split="train", width=640, height=480),
        image("b.jpg", {"boxes": []}, split="val"),
        image("c.jpg", {}, split="valid"),
        image("d.jpg", split="somewhere"),
    ]
    names = ("r/images/train/a.jpg", "r/images/val/a.jpg", "r/b.jpg", "r/c.jpg", "r/d.jpg", "r/e.jpg")
    view = view_of(tmp_path, lines, *names)
    found = ndjson.recognise(view)
    assert found is not None and found.kinds == ("boxes",) and found.classes == ("cat", "dog")
    images, issues = read(view)
    assert not issues and set(images) == set(names)
    row = images["r/images/train/a.jpg"]
    assert row.labels == (Label("dog", (0.25, 0.375, 0.75, 0.625), line=2),)
    assert (row.split, row.size, row.relative, row.file, row.line) == (
        "train",
        (640, 480),
        True,
        "set.ndjson",
        2,
    )
    assert not images["r/images/val/a.jpg"].labels and images["r/b.jpg"].negative
    assert not images["r/c.jpg"].negative and images["r/c.jpg"].split == "val"
    assert images["r/d.jpg"].repairs == ("the split “somewhere” is not known",)


@pytest.mark.parametrize(
    ("annotations", "kinds"),
    [
        ({"segments": [[0, 0, 0, 1, 0, 1, 1]]}, ("masks", "boxes")),
        ({"obb": [[0, 0, 0, 1, 0, 1, 1, 0, 1]]}, ("masks", "boxes")),
        ({"pose": [[0, 0.5, 0.5, 1, 1, 0.2, 0.2, 2]]}, ("points", "boxes")),
        ({"classification": [1]}, ("class",)),
        ({"classification": [0, 1]}, ("tags",)),
    ],
)
def test_kinds_by_content(tmp_path: Path, annotations: object, kinds: tuple[LabelKind, ...]) -> None:
    view = view_of(tmp_path, [image("a.jpg", annotations)])
    found = ndjson.recognise(view)
    assert found is not None and found.kinds == kinds
    images, issues = read(view, kinds[0])
    label = images["a.jpg"].labels[0]
    assert not issues
    assert (label.mask is not None, label.points is not None) == (kinds[0] == "masks", kinds[0] == "points")


def test_keypoints_by_their_shape(tmp_path: Path) -> None:
    head = HEAD | {"kpt_shape": [2, 2], "kpt_names": {"0": ["nose", "tail"]}}
    view = view_of(
        tmp_path,
        [image("a.jpg", {"pose": [[0, 0.5, 0.5, 1, 1, 0.2, 0.3, 0, 0], [0, 0.5, 0.5, 1, 1, 1]]})],
        head=head,
    )
    reading = ndjson.read(view, ReadOptions("points"))
    images, issues = taken(reading)
    assert images["a.jpg"].labels[0].points == ((0.2, 0.3, 2), (0.0, 0.0, 0))
    assert reading.classes[0] == ClassHead("cat", ("nose", "tail")) and len(issues) == 1


def test_two_shapes_of_one_object_become_one_label(tmp_path: Path) -> None:
    segments, boxes = [[0, 0, 0, 1, 0, 1, 1]], [[0, 0.5, 0.5, 1, 1]]
    view = view_of(tmp_path, [image("a.jpg", {"boxes": boxes, "segments": segments})])
    kinds: tuple[LabelKind, ...] = ("boxes", "masks")
    for kind in kinds:
        images, issues = read(view, kind)
        (label,) = images["a.jpg"].labels
        assert not issues and label.mask == Polygons.of([segments[0][1:]])
        assert label.box == (0, 0, 1, 1)


def test_other_objects_of_another_kind_are_said_to_be_left(tmp_path: Path) -> None:
    annotations = {"boxes": [[0, 0.5, 0.5, 1, 1]], "segments": [[1, 0, 0, 1, 0, 1, 1]], "skeletons": [1, 2]}
    images, issues = read(view_of(tmp_path, [image("a.jpg", annotations)]))
    assert images["a.jpg"].names == ("cat",)
    assert [issue.reason.split(":")[0] for issue in issues] == [
        "labels of the kind “skeletons” are not known"
    ] * 2 + ["segments"]


# -- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([0, 0.5, 0.5, 1], "4 columns"),
        ([0, 0.5, 0.5, 1, 1, 1, 1], "7 numbers"),
        ([0, 0.5, 0.5, 1, "1"], "no number"),
        ([0, 0.5, 0.5, 1, None], "no number"),
        ([0, 0.5, 0.5, 1, True], "no number"),
        ([0.5, 0.5, 0.5, 1, 1], "no whole number"),
        ([10**400, 0.5, 0.5, 1, 1], "no whole number"),
        ([0, 0.5, 0.5, 1, 10**400], "far outside"),
        ([], "no number"),
        ([0], "no coordinates"),
        ({"a": 1}, "no number"),
    ],
)
def test_damaged_labels_are_skipped(tmp_path: Path, row: object, reason: str) -> None:
    images, issues = read(view_of(tmp_path, [image("a.jpg", {"boxes": [row, [1, 0.5, 0.5, 1, 1]]})]))
    assert images["a.jpg"].names == ("dog",) and reason in issues[0].reason and issues[0].line == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"type": "image", "file": "a.jpg", "annotations": {"boxes": [[0, NaN, 1, 1, 1]]}}', "NaN"),
        ("[" * 100_000, "nested too deep"),
        ('{"type": "image"', "no JSON"),
        ('["a.jpg"]', "no object"),
        ('{"type": "image"}', "names no file"),
        (json.dumps(image("/etc/passwd")), "missing image"),
        (json.dumps(image("http://127.0.0.1/a.jpg")), "missing image"),
        (json.dumps(image("file:///a.jpg")), "missing image"),
        (json.dumps(image("..\\..\\z.jpg")), "missing image"),
    ],
)
def test_damaged_lines_are_skipped(tmp_path: Path, line: str, reason: str) -> None:
    images, issues = read(view_of(tmp_path, [line]))
    assert [issue.line for issue in issues] == [2] and reason in issues[0].reason
    assert images == {"a.jpg": ImageLabels("a.jpg")}


def test_each_label_of_a_missing_image_is_counted(tmp_path: Path) -> None:
    _, issues = read(view_of(tmp_path, [image("z.jpg", {"boxes": [[0, 0.5, 0.5, 1, 1]] * 3})]))
    assert [issue.line for issue in issues] == [2, 2, 2]


def test_an_infinite_number_is_skipped(tmp_path: Path) -> None:
    line = '{"type": "image", "file": "a.jpg", "annotations": {"boxes": [[0, 1e999, 1, 1, 1]]}}'
    assert "not finite" in read(view_of(tmp_path, [line]))[1][0].reason


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ({"boxes": [[5, 0.5, 0.5, 1, 1], [-1, 0.5, 0.5, 1, 1]]}, "use the classes -1, 5"),
        ({"boxes": [[0, 120, 80, 30, 30]]}, r"has 1 label in px \(line 2\)"),
    ],
)
def test_what_would_teach_wrong_labels_is_refused(tmp_path: Path, annotations: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(view_of(tmp_path, [image("a.jpg", annotations)]))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"class_names": {"x": "cat"}}, "has no number"),
        ({"class_names": {"0": "cat", "00": "dog"}}, "two classes one number"),
        ({"class_names": {"0": ""}}, "has no name"),
        ({"class_names": "cat"}, "no names by number"),
        ({"kpt_shape": [2, 4]}, "kpt_shape"),
        ({"kpt_shape": [10**12, 3]}, "kpt_shape"),
    ],
)
def test_heads_that_are_refused(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    view = view_of(tmp_path, [], head=HEAD | more)
    assert ndjson.recognise(view) is not None
    with pytest.raises(InputError, match=message):
        read(view)


def test_classes_listed_twice_ask(tmp_path: Path) -> None:
    view = view_of(
        tmp_path,
        [image("a.jpg", {"boxes": [[1, 0.5, 0.5, 1, 1]]})],
        head=HEAD | {"class_names": ["cat", "cat"]},
    )
    with pytest.raises(QuestionError, match="more than once"):
        read(view)
    reading = ndjson.read(view, ReadOptions("boxes", merge_classes=True))
    assert reading.classes == (ClassHead("cat"),)


def test_an_image_that_is_listed_twice(tmp_path: Path) -> None:
    line = image("a.jpg", {"boxes": [[0, 0.5, 0.5, 1, 1]]})
    images, issues = read(view_of(tmp_path, [line, line]))
    assert len(images["a.jpg"].labels) == 1 and issues[0].outcome.value == "repaired"
    with pytest.raises(InputError, match="stands twice"):
        read(view_of(tmp_path, [line, image("a.jpg", {"boxes": []})]))


def test_classes_without_names(tmp_path: Path) -> None:
    view = view_of(tmp_path, [image("a.jpg", {"boxes": [[7, 0.5, 0.5, 1, 1]]})], head={"type": "dataset"})
    assert ndjson.read(view, ReadOptions("boxes")).classes == (ClassHead("class 7"),)


@pytest.mark.parametrize("text", ["", "{}", '{"type": "image", "file": "a.jpg"}', "hello", "\xff", "[1]"])
def test_other_files_are_no_such_sets(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.jsonl").write_text(text, encoding="latin-1")
    assert ndjson.recognise(SourceView(open_source((("set", tmp_path),), Limits()))) is None


# -- writing -------------------------------------------------------------------------------------------

NAMES = (
    "a b.jpg",
    " lead.jpg",
    "ü/日本.jpg",
    "=cmd.jpg",
    "“q”,'.jpg",
    "😀.jpg",
    ".h.jpg",
    "s.jpg",
    "s.png",
    "x/s.jpg",
)
CLASSES = ("cat", "no", "=HYPERLINK()", '"quoted"\\', "😀")


def round_trip(
    folder: Path, kind: LabelKind, rows: Iterable[ImageLabels], classes: Iterable[ClassHead]
) -> tuple[Reading, dict[str, ImageLabels]]:
    (folder / "out").mkdir()

    def placed() -> Iterable[tuple[ImageLabels, Path]]:
        for row in rows:
            (folder / "picture").write_text(row.path)
            yield row, folder / "picture"

    ndjson.write(ExportSet(kind, tuple(classes), placed()), folder / "out")
    reading = ndjson.read(SourceView(open_source((("out", folder / "out"),), Limits())), ReadOptions(kind))
    images, issues = taken(reading)
    assert not issues
    return reading, {(folder / "out" / path).read_text(): row for path, row in images.items()}


def label_for(kind: LabelKind, name: str) -> Label:
    box = (1.5, 2.0, 30.25, 20.0)
    if kind == "masks":
        return Label(name, mask=Polygons.of([[1.0, 1, 7.5, 1, 4, 6.25]]))
    if kind == "points":
        return Label(name, box, points=((4.0, 5.0, 2), (6.0, 5.0, 1), (0.0, 0.0, 0)))
    return Label(name, box if kind == "boxes" else None)


@pytest.mark.parametrize("kind", ["boxes", "masks", "points", "class", "tags"])
def test_what_is_written_is_read_back(tmp_path: Path, kind: LabelKind) -> None:
    heads = [ClassHead(name, ("left", "right", "nose") if kind == "points" else ()) for name in CLASSES]
    splits: tuple[Split | None, ...] = ("train", "val", "test", None)
    rows = [
        ImageLabels(name, (label_for(kind, CLASSES[n % 5]),), split=splits[n % 4], size=(40, 30))
        for n, name in enumerate([*NAMES, "n" * 230 + ".jpg"])
    ]
    rows += [ImageLabels("nothing.jpg", negative=True, size=(8, 8)), ImageLabels("unknown.jpg", size=(8, 8))]
    reading, found = round_trip(tmp_path, kind, rows, heads)
    assert list(reading.classes) == heads and set(found) == {row.path for row in rows}
    for row in rows:
        again = found[row.path]
        assert (again.split, again.negative, again.names, again.size) == (
            row.split,
            row.negative,
            row.names,
            row.size,
        )
        for label, same in zip(row.labels, again.labels, strict=True):
            assert (same.box is None, same.mask is None) == (label.box is None, label.mask is None)
            if label.box and same.box:
                assert np.allclose(np.array(same.box) * (40, 30, 40, 30), label.box)
            if isinstance(same.mask, Polygons) and isinstance(label.mask, Polygons):
                assert np.allclose(np.array(same.mask.rings[0]) * ([40, 30] * 3), label.mask.rings[0])
            for one, two in zip(label.points or (), same.points or (), strict=True):
                assert two == pytest.approx((one[0] / 40, one[1] / 30, one[2]))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4), st.binary(max_size=30))
@settings(max_examples=100, deadline=None)
def test_damage_is_refused_or_accounted_for(flips: list[tuple[int, int]], extra: bytes) -> None:
    lines = [
        image("a.jpg", {"boxes": [[0, 0.5, 0.5, 1, 1], [1, 0.2, 0.2, 0.1, 0.1]]}),
        image("b.jpg", {"boxes": []}),
    ]
    head, *rest = [json.dumps(line).encode() for line in [HEAD, *lines]]
    content = bytearray(b"\n".join([*rest, extra]))
    for place, value in flips:
        content[place % len(content)] = value
    with TemporaryDirectory() as folder:
        view = view_of(Path(folder), [], "a.jpg", "b.jpg")
        (Path(folder) / "set.ndjson").write_bytes(head + b"\n" + bytes(content))
        view = SourceView(open_source((("set", Path(folder)),), Limits()))
        ndjson.recognise(view)
        try:
            images, issues = read(view)
        except InputError as error:
            assert error.message.endswith(".")
            return
    assert set(images) == {"a.jpg", "b.jpg"}
    told = {issue.line for issue in issues} | {row.line for row in images.values()}
    assert {n for n, line in enumerate(bytes(content).split(b"\n"), 2) if line.strip()} <= told
