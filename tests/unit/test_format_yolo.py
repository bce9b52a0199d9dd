"""YOLO: what is read, refused, repaired and skipped, and that what is written is read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.contracts.datasets import ImportIssue, LabelKind, Outcome
from engine.datasets import masks
from engine.datasets.archive import open_source
from engine.datasets.formats import yolo, yolo_write
from engine.datasets.formats.base import ExportSet, Reading, ReadOptions, SourceView
from engine.datasets.formats.yaml_files import parse
from engine.datasets.labels import ClassHead, ImageLabels, Label, Polygons
from engine.errors import InputError, LimitError, QuestionError
from engine.settings import Limits
from tests.unit.format_cases import taken, view_of

# pycocotools asks NumPy 2 for arrays in a way that it will stop to understand.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
YAML = "path: .\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n"
POSE = "names: [person]\nkpt_shape: [2, 3]\nflip_idx: [1, 0]\n"


def read(
    folder: Path, files: Mapping[str, str | bytes], kind: LabelKind = "boxes", merge: bool = False
) -> tuple[dict[str, ImageLabels], list[ImportIssue]]:
    return taken(yolo.read(view_of(folder, files), ReadOptions(kind, merge_classes=merge)))


def one_line(folder: Path, line: str | bytes, header: str = "names: [cat, dog]") -> ImageLabels | str:
    """The row of a set with this one line beside a good one, or the reason why it is skipped."""
    content = line if isinstance(line, bytes) else line.encode()
    images, issues = read(folder, {"a.jpg": "", "a.txt": content + b"\n", "data.yaml": header})
    return issues[0].reason if issues else images["a.jpg"]


# -- what is read --------------------------------------------------------------------------------------


def test_a_set_with_yaml_and_folders_of_splits(tmp_path: Path) -> None:
    view = view_of(
        tmp_path,
        {
            "ds/data.yaml": YAML + "download: rm -rf /\nnc: 2\n",
            "ds/images/train/a.jpg": "",
            "ds/labels/train/a.txt": "1 0.5 0.5 0.5 0.25\n0 .5 .5 1 1\n",
            "ds/images/val/b.png": "",
            "ds/labels/val/b.txt": "",
            "ds/images/val/c.png": "",
            "ds/images/rest/d.png": "",
        },
    )
    found = yolo.recognise(view)
    assert found is not None and found.kinds == ("boxes",) and found.classes == ("cat", "dog")
    reading = yolo.read(view, ReadOptions("boxes"))
    images, issues = taken(reading)
    assert not issues and [head.name for head in reading.classes] == ["cat", "dog"]
    row = images["ds/images/train/a.jpg"]
    assert row.relative and row.split == "train" and row.file == "ds/labels/train/a.txt"
    assert row.labels[0] == Label("dog", (0.25, 0.375, 0.75, 0.625), line=1)
    assert row.labels[1].box == (0.0, 0.0, 1.0, 1.0) and row.labels[1].line == 2
    empty, missing, rest = (images[f"ds/images/{n}"] for n in ("val/b.png", "val/c.png", "rest/d.png"))
    assert empty.negative and not missing.negative and not missing.labels
    assert (empty.split, missing.split, rest.split) == ("val", "val", None)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("train: ../train/images\nval: ../valid/images\nnames: [cat]", ["train", "val"]),
        ("path: /home/me/sets/pets\ntrain: train/images\nval: valid/images\nnames: [cat]", ["train", "val"]),
        ("train: [train/images, valid/images]\nnames: [cat]", ["train", "train"]),
        ("train: first.txt\ntest: 'lists/second.txt'\nnames: [cat]", ["train", "test"]),
        ("names: [cat]", ["train", "val"]),
    ],
)
def test_splits_as_the_yaml_says_them(tmp_path: Path, header: str, expected: list[str]) -> None:
    files = {
        "r/data.yaml": header,
        "r/train/images/a b.jpg": "",
        "r/train/labels/a b.txt": "0 .5 .5 .5 .5",
        "r/valid/images/b.jpg": "",
        "r/first.txt": "./train/images/a b.jpg\n",
        "r/lists/second.txt": "/somewhere/pets/r/valid/images/b.jpg\n",
    }
    images, issues = read(tmp_path, files)
    assert [row.split for row in images.values()] == expected and not issues


def test_an_image_in_two_splits_stays_out_of_the_test(tmp_path: Path) -> None:
    files = {"data.yaml": "train: images\ntest: images\nnames: [cat]", "images/a.jpg": "", "labels/a.txt": ""}
    images, _ = read(tmp_path, files)
    row = images["images/a.jpg"]
    assert row.split == "train" and row.repairs == ("it is listed in several splits (test, train)",)


def test_lists_that_name_missing_images_and_folders_that_are_not_there(tmp_path: Path) -> None:
    files = {
        "data.yaml": "train: t.txt\nval: nowhere/else\nnames: [cat]",
        "a.jpg": "",
        "a.txt": "0 .5 .5 1 1",
    }
    listed = "a.jpg\n/etc/passwd\nfile:///etc/passwd\nhttp://127.0.0.1/a.jpg\n..\\..\\b.jpg\n"
    reading = yolo.read(view_of(tmp_path, files | {"t.txt": listed}), ReadOptions("boxes"))
    images, issues = taken(reading)
    assert images["a.jpg"].split == "train"
    assert [(i.file, i.line, i.outcome) for i in issues] == [
        ("t.txt", n, Outcome.SKIPPED) for n in (2, 3, 4, 5)
    ]
    assert all(issue.reason.startswith("missing image") for issue in issues)
    assert "nowhere/else" in reading.notes[0]


def test_outlines_and_oriented_boxes(tmp_path: Path) -> None:
    files = {"a.jpg": "", "a.txt": "0 0 0 1 0 1 1\n1 0 0 .5 0 .5 .5 0 .5\n", "classes.txt": "cat\ndog\n"}
    view = view_of(tmp_path, files)
    found = yolo.recognise(view)
    assert found is not None and found.kinds == ("masks", "boxes")
    images, _ = taken(yolo.read(view, ReadOptions("masks")))
    first, second = images["a.jpg"].labels
    assert first.mask == Polygons.of([[0, 0, 1, 0, 1, 1]]) and first.box is None
    assert second.mask == Polygons.of([[0, 0, 0.5, 0, 0.5, 0.5, 0, 0.5]])


def test_keypoints_of_three_and_of_two_values(tmp_path: Path) -> None:
    view = view_of(
        tmp_path, {"data.yaml": POSE, "a.jpg": "", "a.txt": "0 .5 .5 1 1 .25 .5 2 0 0 0\n0 .5 .5 1 1\n"}
    )
    found = yolo.recognise(view)
    assert found is not None and found.kinds == ("points", "boxes")
    reading = yolo.read(view, ReadOptions("points"))
    images, issues = taken(reading)
    whole, bare = images["a.jpg"].labels
    assert (
        whole.points == ((0.25, 0.5, 2), (0.0, 0.0, 0)) and whole.box == (0.0, 0.0, 1.0, 1.0) and not issues
    )
    assert bare.points is None and bare.box == (0.0, 0.0, 1.0, 1.0)
    assert reading.classes == (ClassHead("person", ("point 1", "point 2")),)
    named = "names: [person]\nkpt_shape: [2, 2]\nkpt_names: {0: [nose, left eye]}"
    view = view_of(tmp_path, {"data.yaml": named, "a.txt": "0 .5 .5 1 1 .25 .5 0 0"})
    reading = yolo.read(view, ReadOptions("points"))
    assert taken(reading)[0]["a.jpg"].labels[0].points == ((0.25, 0.5, 2), (0.0, 0.0, 0))
    assert reading.classes[0].points == ("nose", "left eye")


@pytest.mark.parametrize(
    ("lines", "points"),
    [
        ("0 .5 .5 1 1 .2 .2 1\n", 1),  # eight columns can be no outline
        ("0 .5 .5 1 1 .2 .2 2 .3 .3 1\n", 2),  # nor can one that holds a 2
        ("0 .1 .1 .9 .1 .5 .9 1 .5 .5 0\n", 0),  # an outline of five corners could
        ("0 .5 .5 1 1 .2 .2 2 .3 .3 1\n0 .5 .5 1 1 .2 .2 2\n", 0),
    ],
)
def test_keypoints_without_a_word_about_them(tmp_path: Path, lines: str, points: int) -> None:
    reading = yolo.read(view_of(tmp_path, {"a.jpg": "", "a.txt": lines}), ReadOptions("points"))
    assert len(reading.classes[0].points) == points and bool(reading.notes) == bool(points)


def test_classes_without_names_are_numbered_not_allocated(tmp_path: Path) -> None:
    reading = yolo.read(
        view_of(tmp_path, {"a.jpg": "", "a.txt": "999999999 .5 .5 1 1\n7 .5 .5 1 1"}), ReadOptions("boxes")
    )
    assert [head.name for head in reading.classes] == ["class 7", "class 999999999"]


def test_label_texts_beside_other_texts(tmp_path: Path) -> None:
    files = {
        "a.jpg": "",
        "a.txt": "0 .5 .5 1 1",
        "README.txt": "A set of cats.",
        "gone.txt": "0 .5 .5 1 1\n\n0 1 1 1 1",
    }
    _, issues = read(tmp_path, files)
    assert [(i.file, i.line, i.reason) for i in issues] == [
        ("gone.txt", 1, "missing image “gone”"),
        ("gone.txt", 3, "missing image “gone”"),
    ]


def test_a_set_with_nothing_on_its_images_is_recognised_by_its_yaml(tmp_path: Path) -> None:
    files = {"data.yaml": "train: images/train\nnames: [cat]", "images/train/a.jpg": ""}
    found = yolo.recognise(view_of(tmp_path, files))
    assert found is not None and found.kinds == ("boxes",) and found.classes == ("cat",)
    assert yolo.recognise(view_of(tmp_path, {"data.yaml": "names: [cat]"})) is None


def test_an_image_called_classes_owns_its_labels(tmp_path: Path) -> None:
    images, _ = read(tmp_path, {"data.yaml": YAML, "classes.jpg": "", "classes.txt": "1 .5 .5 1 1"})
    assert images["classes.jpg"].names == ("dog",)


@pytest.mark.parametrize("text", ["a word", "Car 0 0 0 1 2 3 4", "1 2 3", ""])
def test_other_texts_are_no_labels(tmp_path: Path, text: str) -> None:
    assert yolo.recognise(view_of(tmp_path, {"a.jpg": "", "a.txt": text})) is None


# -- bad input -----------------------------------------------------------------------------------------


def test_pixels_refuse_the_set(tmp_path: Path) -> None:
    files = {"a.jpg": "", "a.txt": "0 .5 .5 1 1\n", "b.jpg": "", "b.txt": "0 .5 .5 1 1\n0 120 80 64 32\n"}
    with pytest.raises(InputError, match=r"1 line holds coordinates in px \(b\.txt, line 2\)") as caught:
        read(tmp_path, files)
    assert "Divide x and width" in caught.value.hint


def test_classes_that_are_not_listed_refuse_the_set(tmp_path: Path) -> None:
    files = {"data.yaml": YAML, "a.jpg": "", "a.txt": "0 .5 .5 1 1\n7 .5 .5 1 1\n2 .5 .5 1 1\n-1 .5 .5 1 1"}
    with pytest.raises(InputError, match=r"use -1, 2, 7, which is none of the 2 classes of “data\.yaml”"):
        read(tmp_path, files)
    assert yolo.recognise(view_of(tmp_path, {})) is not None


def test_names_files_with_empty_lines(tmp_path: Path) -> None:
    files = {"a.jpg": "", "a.txt": "1 .5 .5 1 1", "classes.txt": "\ufeffcat\r\ndog\r\n\r\n \r\n"}
    reading = yolo.read(view_of(tmp_path, files), ReadOptions("boxes"))
    assert [head.name for head in reading.classes] == ["cat", "dog"]
    assert reading.notes == ("2 empty lines at the end of “classes.txt” were left out.",)
    with pytest.raises(InputError, match=r"Class name 2 of 3 in “classes\.txt” is empty"):
        read(tmp_path, {"classes.txt": "cat\n\ndog\n"})


def test_a_pair_that_differs_in_its_ending_is_refused(tmp_path: Path) -> None:
    files = {"images/a.jpg": "", "images/a.png": "", "labels/a.txt": "0 .5 .5 1 1"}
    with pytest.raises(InputError, match=r"“labels/a\.txt” could belong to “images/a\.jpg”, “images/a\.png”"):
        read(tmp_path, files)


def test_a_pair_in_two_folders_is_none(tmp_path: Path) -> None:
    line = "0 .5 .5 1 1"
    files = {"x/images/a.jpg": "", "x/labels/a.txt": line, "y/images/a.png": "", "y/labels/a.txt": ""}
    images, issues = read(tmp_path, files)
    assert len(images["x/images/a.jpg"].labels) == 1 and images["y/images/a.png"].negative and not issues


@pytest.mark.parametrize("line", ["1,0.5,0.5,1,1", "1, 0.5, 0.5, 1, 1", "1;.5;.5;1;1", "1 0,5 0,5 1,0 1,0"])
def test_commas_are_repaired(tmp_path: Path, line: str) -> None:
    row = one_line(tmp_path, line)
    assert isinstance(row, ImageLabels)
    assert (
        row.labels[0].box == (0.0, 0.0, 1.0, 1.0)
        and len(row.labels[0].repairs) == 1
        and row.names == ("dog",)
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("cat .5 .5 1 1", "no number"),
        ("0 .5 .5 nan 1", "not finite"),
        ("0 .5 .5 1e999 1", "not finite"),
        ("0 .5 .5 1_0 1", "no number"),
        ("0 .5 .5 1 ١", "no number"),
        (b"0 .5 .5 1 \xff", "no number"),
        ("0.5 .5 .5 1 1", "no whole number"),
        ("1e300 .5 .5 1 1", "no whole number"),
        ("0 .5 .5 1e300 1", "far outside"),
        ("0 .5 .5 1", "4 columns"),
        ("0 .5 .5 1 1 .9", "6 columns"),
        ("0 .1 .1 .2 .2 .3 .3 .4", "8 columns"),
    ],
)
def test_other_damage_skips_the_line(tmp_path: Path, line: str | bytes, reason: str) -> None:
    found = one_line(tmp_path, line)
    assert isinstance(found, str) and reason in found


@pytest.mark.parametrize(
    ("line", "reason"), [("0 .5 .5 1 1 .2 .2 1", "8 columns"), ("0 .5 .5 1 1 0 0 0 0 0 .5", "visibility 0.5")]
)
def test_wrong_keypoints_skip_the_line(tmp_path: Path, line: str, reason: str) -> None:
    found = one_line(tmp_path, line, POSE)
    assert isinstance(found, str) and reason in found


def test_a_file_of_damaged_lines_is_no_negative(tmp_path: Path) -> None:
    images, issues = read(tmp_path, {"a.jpg": "", "a.txt": "x\n", "b.jpg": "", "b.txt": " \n\r\n"})
    assert len(issues) == 1 and not images["a.jpg"].negative and images["b.jpg"].negative


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("names: [cat, dog]\nnc: 3", "says nc: 3, but names 2"),
        ("names: [cat, '', dog]", "Class 1 in “data.yaml” has no name"),
        ("names: {0: cat, x: dog}", "no number of its own"),
        ("names: {0: cat, 00: dog}", "no number of its own"),
        ("names: cat", "no list of class names"),
        ("names: [[cat]]", "has no name"),
        ("names: [cat]\nkpt_shape: [0, 3]", "kpt_shape"),
        ("names: [cat]\nkpt_shape: [999999999, 3]", "kpt_shape"),
        ("nc: many", "no number of classes"),
        ("nc: 999999999", "more than 10,000"),
        ("names: [cat]\nnames: [dog]", "“names” stands twice"),
        ("names: &a [cat]\ntrain: *a", "an alias"),
        ("a: &a [x]\nb: &b {<<: [*a, *a]}\nnames: [cat]", "an alias"),
        ("names: !!python/object/apply:os.system ['touch x']", "tag"),
        ("names: " + "[" * 100_000, "16 deep"),
        ("names: [\0]", "cannot be read as YAML"),
        ("names: [cat", "cannot be read as YAML"),
        ("- names", "holds no keys"),
        ("names: [" + "x" * 300_000 + "]", "larger than 256 KiB"),
    ],
)
def test_headers_that_are_refused(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, {"data.yaml": header, "a.jpg": "", "a.txt": "0 .5 .5 1 1"})


def test_class_names_stay_what_the_file_says() -> None:
    assert parse('[no, 010, 1.0, 2020-01-01, "null", null]') == [
        "no",
        "010",
        "1.0",
        "2020-01-01",
        "null",
        None,
    ]


def test_a_class_that_is_listed_twice_asks(tmp_path: Path) -> None:
    files = {"data.yaml": "names: [cat, dog, cat]", "a.jpg": "", "a.txt": "2 .5 .5 1 1"}
    with pytest.raises(QuestionError, match="“cat” more than once") as caught:
        read(tmp_path, files)
    assert caught.value.flag == "--merge-classes"
    reading = yolo.read(view_of(tmp_path, {}), ReadOptions("boxes", merge_classes=True))
    assert [head.name for head in reading.classes] == ["cat", "dog"]
    assert taken(reading)[0]["a.jpg"].names == ("cat",)


def test_two_headers_that_disagree_are_refused_and_others_are_nothing(tmp_path: Path) -> None:
    files = {"a.jpg": "", "a.txt": "0 .5 .5 1 1", "data.yaml": "names: [cat]", "x/args.yaml": "epochs: *no"}
    assert read(tmp_path, files)[0]["a.jpg"].names == ("cat",)
    with pytest.raises(InputError, match="name different classes"):
        read(tmp_path, {"x/data.yaml": "names: [dog]"})


def test_more_classes_than_the_limit(tmp_path: Path) -> None:
    lines = "".join(f"{n} .5 .5 1 1\n" for n in range(Limits().classes + 1))
    with pytest.raises(LimitError, match="more than 10,000 classes"):
        read(tmp_path, {"a.jpg": "", "a.txt": lines})


# -- writing -------------------------------------------------------------------------------------------

NAMES = (
    "a b.jpg",
    "ü/日本.jpg",
    "=cmd.jpg",
    "x/=cmd.png",
    "“quoted”,'s.jpg",
    "😀.jpg",
    ".hidden.jpg",
    "classes.jpg",
)
LONG = "n" * 230 + ".jpg"
CLASSES = ("cat", "no", "null", "=HYPERLINK()", "ein „Wort“: #1", "- 5", "{a}", "😀")


def round_trip(
    folder: Path, kind: LabelKind, classes: Iterable[ClassHead], rows: Iterable[ImageLabels]
) -> Reading:
    """Write rows and read them; the bytes of each picture are its path, so that it can be told."""
    source, target = folder / "picture", folder / "out"
    target.mkdir()

    def placed() -> Iterable[tuple[ImageLabels, Path]]:
        for row in rows:
            source.write_text(row.path)
            yield row, source

    yolo_write.write(ExportSet(kind, tuple(classes), placed()), target)
    reading = yolo.read(SourceView(open_source((("out", target),), Limits())), ReadOptions(kind))
    return reading


def by_origin(folder: Path, reading: Reading) -> dict[str, ImageLabels]:
    images, issues = taken(reading)
    assert not issues
    return {(folder / "out" / path).read_text(): row for path, row in images.items()}


def test_boxes_are_read_back_with_hostile_names(tmp_path: Path) -> None:
    names = (*NAMES, LONG, "same.jpg", "same.png", "deep/same.jpg", "a/images/b.jpg")
    rows = [
        ImageLabels(
            name,
            (Label(CLASSES[n % 8], (1.5, 2, 30.25, 20 + n / 7)), Label("cat", (0, 0, 40, 30))),
            split=("train", "val", "test", None)[n % 4],
            size=(40, 30),
        )
        for n, name in enumerate(names)
    ]
    rows += [ImageLabels("nothing.jpg", negative=True, size=(8, 8)), ImageLabels("unknown.jpg", size=(8, 8))]
    reading = round_trip(tmp_path, "boxes", map(ClassHead, CLASSES), rows)
    assert [head.name for head in reading.classes] == list(CLASSES)
    found = by_origin(tmp_path, reading)
    assert set(found) == {row.path for row in rows}
    for row in rows:
        again = found[row.path]
        assert (again.split, again.negative, again.names) == (row.split, row.negative, row.names)
        for label, same in zip(row.labels, again.labels, strict=True):
            assert label.box is not None and same.box is not None
            assert np.allclose(np.array(same.box) * (40, 30, 40, 30), label.box, rtol=0, atol=1e-9)


def test_outlines_are_read_back_and_ignored_regions_left_out(tmp_path: Path) -> None:
    ring = [1.0, 1, 7.5, 1, 4, 6.25]
    labels = (Label("cat", mask=Polygons.of([ring])), Label("cat", mask=Polygons.of([ring]), ignored=True))
    reading = round_trip(tmp_path, "masks", [ClassHead("cat")], [ImageLabels("a.jpg", labels, size=(8, 16))])
    (label,) = by_origin(tmp_path, reading)["a.jpg"].labels
    assert isinstance(label.mask, Polygons)
    assert np.allclose(np.array(label.mask.rings[0]) * ([8, 16] * 3), ring)


def test_points_are_read_back(tmp_path: Path) -> None:
    head = ClassHead("face", ("left eye", "right eye", "nose"))
    points = ((4.0, 5.0, 2), (6.0, 5.0, 1), (0.0, 0.0, 0))
    row = ImageLabels("a.jpg", (Label("face", (0, 0, 10, 10), points=points),), size=(20, 10))
    reading = round_trip(tmp_path, "points", [head], [row])
    assert reading.classes == (head,)
    (label,) = by_origin(tmp_path, reading)["a.jpg"].labels
    assert label.points == ((0.2, 0.5, 2), (0.3, 0.5, 1), (0.0, 0.0, 0)) and label.box == (0.0, 0.0, 0.5, 1.0)
    assert "flip_idx:\n- 1\n- 0\n- 2\n" in (tmp_path / "out" / "data.yaml").read_text()


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.floats(0.1, 0.9))
@settings(max_examples=60, deadline=None)
def test_run_lengths_become_one_outline_of_the_same_pixels(
    seed: int, height: int, width: int, share: float
) -> None:
    pixels = np.random.default_rng(seed).random((height, width)) < share
    ring = yolo_write.one_ring(Label("x", mask=masks.encode(pixels)), (width, height))
    if not pixels.any():
        assert not ring
        return
    # pycocotools fills the outline; it knows nothing of how the outline was found.
    again = masks.decode(masks.to_runs(Polygons.of([ring]), height, width))
    assert np.array_equal(again, pixels)


def test_parts_that_cover_one_another_stay_covered() -> None:
    rings = [[0.0, 0, 6, 0, 6, 6, 0, 6], [3.0, 3, 9, 3, 9, 9, 3, 9]]
    ring = yolo_write.one_ring(Label("x", mask=Polygons.of(rings)), (10, 10))
    expected = np.zeros((10, 10), bool)
    expected[0:6, 0:6] = expected[3:9, 3:9] = True
    assert np.array_equal(masks.decode(masks.to_runs(Polygons.of([ring]), 10, 10)), expected)


def test_other_numbers_of_points_are_refused(tmp_path: Path) -> None:
    labels = tuple(Label("x", (0, 0, 1, 1), points=((0.5, 0.5, 2),) * count) for count in (1, 2))
    with pytest.raises(InputError, match="One object has 2 points, others have 1"):
        round_trip(tmp_path, "points", [ClassHead("x")], [ImageLabels("a.jpg", labels, size=(2, 2))])


# -- whatever the bytes are ----------------------------------------------------------------------------

GOOD = b"0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.9 0.1 0.5 0.9\n0 0.2 0.2 0.1 0.1\n1 0.5,0.5 .2 .2\n"


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """Bytes with some flipped, lines cut out, doubled or put in."""
    content = bytearray(good)
    for _ in range(draw(st.integers(0, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    found = bytes(content).split(b"\n")
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(found) - 1))
        words = st.sampled_from(
            [b"", b"\xff\xfe", b"0 1e309 0 0 0", b"names: [a]", b"5 .5 .5 1 1", b"0,0,0,0,0"]
        )
        found[place : place + draw(st.integers(0, 1))] = [draw(words | st.binary(max_size=20))]
    return b"\n".join(found)


def not_empty(content: bytes) -> int:
    """Count the lines that hold something, without the reader's help."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = content.decode(encoding, errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return sum(bool(line.strip()) for line in text.split("\n"))


@given(damaged(GOOD), damaged(b"train: images\nnames:\n  0: cat\n  1: dog\nnc: 2\n"))
@settings(max_examples=120, deadline=None)
def test_damage_is_refused_or_accounted_for(text: bytes, header: bytes) -> None:
    with TemporaryDirectory() as folder:
        files = {"images/a.jpg": b"", "labels/a.txt": text, "data.yaml": header, "labels/stray.txt": text}
        view = view_of(Path(folder), files)
        yolo.recognise(view)
        try:
            images, issues = taken(yolo.read(view, ReadOptions("boxes")))
        except InputError as error:
            assert error.message.endswith(".")
            return
        row = images["images/a.jpg"]
        own = [issue for issue in issues if issue.file == "labels/a.txt"]
        assert len(row.labels) + len(own) == not_empty(text)
        assert len(issues) - len(own) == not_empty(text)
        assert row.negative == (not_empty(text) == 0)
        for label in row.labels:
            numbers = label.mask.rings[0] if isinstance(label.mask, Polygons) else label.box
            assert numbers is not None and np.isfinite(numbers).all()


def test_pictures_are_copied_as_they_are(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "p.png")
    row = ImageLabels("p.png", (Label("x", (0, 0, 4, 4)),), size=(8, 8))
    (tmp_path / "out").mkdir()
    yolo_write.write(ExportSet("boxes", (ClassHead("x"),), [(row, tmp_path / "p.png")]), tmp_path / "out")
    assert (tmp_path / "out/images/p.png").read_bytes() == (tmp_path / "p.png").read_bytes()
    assert (tmp_path / "out/labels/p.txt").read_text() == "0 0.25 0.25 0.5 0.5\n"
