"""Lists of images: classes by name and by number, splits, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.datasets import Outcome
from engine.datasets.archive import open_source
from engine.datasets.formats import split_lists
from engine.datasets.formats.base import ExportSet, ReadOptions, SourceView
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.errors import InputError, QuestionError
from engine.settings import Limits
from tests.unit.format_cases import taken, view_of

CLASS = ReadOptions("class")


def said(folder: Path, files: Mapping[str, str | bytes]) -> dict[str, tuple[str, ...]]:
    """The classes of each image, when nothing is wrong."""
    images, issues = taken(split_lists.read(view_of(folder, files), CLASS))
    assert not issues
    return {path: row.names for path, row in images.items()}


@pytest.mark.parametrize("between", [" ", "\t", ",", ", ", "  ", ";"])
def test_lists_by_split_with_any_separator(tmp_path: Path, between: str) -> None:
    files = {
        "r/train.txt": f"\ufeffpics/a b.jpg{between}cat\r\npics/b, c.jpg{between}dog\r\n",
        "r/my_val-list.txt": f"/home/me/r/pics/C.JPG{between}cat\n\n",
        "r/pics/a b.jpg": "",
        "r/pics/b, c.jpg": "",
        "r/pics/C.JPG": "",
        "r/pics/d.jpg": "",
    }
    view = view_of(tmp_path, files)
    found = split_lists.recognise(view)
    assert found is not None and found.kinds == ("class",) and found.classes == ("cat", "dog")
    images, issues = taken(split_lists.read(view, CLASS))
    assert not issues
    assert {path[7:]: (row.names, row.split) for path, row in images.items()} == {
        "a b.jpg": (("cat",), "train"),
        "b, c.jpg": (("dog",), "train"),
        "C.JPG": (("cat",), "val"),
        "d.jpg": ((), None),
    }
    label = images["r/pics/b, c.jpg"].labels[0]
    assert (label.file, label.line) == ("r/train.txt", 2)


def test_several_labels_are_tags(tmp_path: Path) -> None:
    files = {"list.txt": "a.jpg\tred\tbig\nb.jpg\tbig\n", "a.jpg": "", "b.jpg": ""}
    view = view_of(tmp_path, files)
    found = split_lists.recognise(view)
    assert found is not None and found.kinds == ("tags",)
    assert said(tmp_path, {})["a.jpg"] == ("red", "big")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("red\nbig\n", ("red", "big")),  # each word is a class
        ("red big\nbig\n", ("red big",)),  # the whole is one
        ("", ("red big",)),
    ],
)
def test_words_parted_by_spaces(tmp_path: Path, names: str, expected: tuple[str, ...]) -> None:
    files = {"list.txt": "a.jpg red big\nb.jpg big\n", "a.jpg": "", "b.jpg": ""}
    assert said(tmp_path, files | ({"classes.txt": names} if names else {}))["a.jpg"] == expected


# -- numbers -------------------------------------------------------------------------------------------

TWO = {"a.jpg": "", "b.jpg": ""}


@pytest.mark.parametrize(
    ("listed", "names", "expected"),
    [
        ("a.jpg 0\nb.jpg 1\n", "cat\ndog\n", ("cat", "dog")),
        ("a.jpg 1\nb.jpg 2\n", "cat\ndog\n", ("cat", "dog")),
        ("a.jpg 01\nb.jpg 02\n", "cat\ndog\n\n", ("cat", "dog")),
        ("a.jpg 1\nb.jpg 2\n", "0 cat\n1 dog\n2 cow\n", ("dog", "cow")),
        ("a.jpg 1\nb.jpg 2\n", "1 cat\n2 dog\n3 cow\n", ("cat", "dog")),
        ("a.jpg 2\nb.jpg 1\n", "1\n2\n3\n", ("2", "1")),  # the names themselves
    ],
)
def test_numbers_by_a_list_of_names(
    tmp_path: Path, listed: str, names: str, expected: tuple[str, ...]
) -> None:
    found = said(tmp_path, TWO | {"list.txt": listed, "classes.txt": names})
    assert (found["a.jpg"], found["b.jpg"]) == ((expected[0],), (expected[1],))


def test_numbers_that_fit_twice_are_never_guessed(tmp_path: Path) -> None:
    files = TWO | {"list.txt": "a.jpg 1\nb.jpg 2\n", "classes.txt": "cat\ndog\ncow\n"}
    with pytest.raises(InputError, match="could be counted from 0 or from 1"):
        split_lists.read(view_of(tmp_path, files), CLASS)
    assert split_lists.recognise(view_of(tmp_path, {})) is not None


def test_folders_settle_numbers_that_fit_twice(tmp_path: Path) -> None:
    files = {"list.txt": "dog/a.jpg 1\ncow/b.jpg 2\n", "classes.txt": "cat\ndog\ncow\n"}
    assert said(tmp_path, files | {"dog/a.jpg": "", "cow/b.jpg": ""}) == {
        "dog/a.jpg": ("dog",),
        "cow/b.jpg": ("cow",),
    }


def test_numbers_outside_the_list_are_refused(tmp_path: Path) -> None:
    files = TWO | {"list.txt": "a.jpg 1\nb.jpg 7\n", "classes.txt": "cat\ndog\n"}
    with pytest.raises(InputError, match=r"use the classes 7, but “classes\.txt” has 2"):
        split_lists.read(view_of(tmp_path, files), CLASS)


def test_numbers_by_the_folders_of_the_images(tmp_path: Path) -> None:
    files = {
        "l/zero-indexed.txt": "a.jpg 0\nb.jpg 1\nc.jpg 1",
        "l/one-indexed_train.txt": "b.jpg 2",
        "l/one-indexed_test.txt": "a.jpg 1\nc.jpg 2",
    }
    pictures = {"p/glass/a.jpg": "", "p/paper/b.jpg": "", "p/paper/c.jpg": ""}
    reading = split_lists.read(view_of(tmp_path, files | pictures), CLASS)
    images, issues = taken(reading)
    assert not issues and [head.name for head in reading.classes] == ["glass", "paper"]
    assert [(row.names, row.split) for row in images.values()] == [
        (("glass",), "test"),
        (("paper",), "train"),
        (("paper",), "test"),
    ]
    assert any("folders" in note for note in reading.notes)
    assert "Not counted, since further lists say the same again: 3 lines." in reading.notes


def test_numbers_that_nothing_names_stay_numbers(tmp_path: Path) -> None:
    reading = split_lists.read(view_of(tmp_path, TWO | {"list.txt": "a.jpg 10\nb.jpg 2\n"}), CLASS)
    assert [head.name for head in reading.classes] == ["2", "10"] and "Nothing names" in reading.notes[0]


def test_a_table_of_yes_and_no_is_refused(tmp_path: Path) -> None:
    files = TWO | {"list.txt": "a.jpg 1 0 1\nb.jpg 0 0 1\n"}
    with pytest.raises(InputError, match="yes and no for each class"):
        split_lists.read(view_of(tmp_path, files), CLASS)


def test_classes_from_folders_when_the_lists_give_only_paths(tmp_path: Path) -> None:
    files = {
        "train.txt": "cat/a.jpg\ndog/b.jpg\n",
        "test.txt": "dog/c.jpg",
        "cat/a.jpg": "",
        "dog/b.jpg": "",
        "dog/c.jpg": "",
    }
    view = view_of(tmp_path, files)
    found = split_lists.recognise(view)
    assert found is not None and found.classes == ("cat", "dog")
    images, _ = taken(split_lists.read(view, CLASS))
    assert [(row.names, row.split) for row in images.values()] == [
        (("cat",), "train"),
        (("dog",), "train"),
        (("dog",), "test"),
    ]


@pytest.mark.parametrize("folder", ["", "images/", "train2017/"])
def test_lists_of_paths_without_class_folders_are_nothing(tmp_path: Path, folder: str) -> None:
    files = {"train.txt": f"{folder}a.jpg\nval/b.jpg", f"{folder}a.jpg": "", "val/b.jpg": ""}
    assert split_lists.recognise(view_of(tmp_path, files)) is None


@pytest.mark.parametrize(
    "text", ["nothing here", "see 1.jpg and 2.jpg\nand more\nof this\n", "000001\n000002\n", ""]
)
def test_other_texts_are_no_lists(tmp_path: Path, text: str) -> None:
    assert (
        split_lists.recognise(view_of(tmp_path, {"readme.txt": text, "a.jpg": "", "000001.jpg": ""})) is None
    )


def test_texts_of_single_images_are_no_lists(tmp_path: Path) -> None:
    files = {"a.jpg": "", "a.txt": "a.jpg cat\n", "train.jpg": "", "train.txt": "train.jpg cat\n"}
    assert said(tmp_path, files) == {"a.jpg": (), "train.jpg": ("cat",)}


# -- bad input -----------------------------------------------------------------------------------------


def test_missing_images_are_skipped_with_their_line(tmp_path: Path) -> None:
    listed = "a.jpg cat\n/etc/passwd.jpg cat\nfile:///x.png dog\nhttp://127.0.0.1/a.jpg dog\n"
    listed += "..\\..\\z.jpg cat\nno picture\n"
    images, issues = taken(split_lists.read(view_of(tmp_path, {"list.txt": listed, "a.jpg": ""}), CLASS))
    assert images["a.jpg"].names == ("cat",)
    assert [(i.line, i.outcome) for i in issues] == [(n, Outcome.SKIPPED) for n in range(2, 7)]
    assert [i.reason.startswith("missing image") for i in issues] == [True] * 4 + [False]


def test_the_same_name_in_two_folders_needs_its_path(tmp_path: Path) -> None:
    files = {"list.txt": "a.jpg cat\nx/a.jpg dog\n", "x/a.jpg": "", "y/a.jpg": ""}
    with pytest.raises(InputError, match=r"x/a\.jpg.*y/a\.jpg"):
        split_lists.read(view_of(tmp_path, files), CLASS)


def test_contradictions_and_doubles(tmp_path: Path) -> None:
    files = {
        "train.txt": "a.jpg cat\nb.jpg cat\nb.jpg dog\n",
        "test.txt": "a.jpg cat\n",
        "a.jpg": "",
        "b.jpg": "",
    }
    images, issues = taken(split_lists.read(view_of(tmp_path, files), CLASS))
    assert images["a.jpg"].names == ("cat",) and images["a.jpg"].split == "train"
    assert images["a.jpg"].repairs == ("it is listed in several splits (test, train)",)
    assert images["b.jpg"].names == () and images["b.jpg"].split == "train"
    assert [(i.file, i.line, i.outcome.value) for i in issues] == [
        ("test.txt" if images["a.jpg"].file == "train.txt" else "train.txt", 1, "repaired"),
        ("train.txt", 2, "skipped"),
        ("train.txt", 3, "skipped"),
    ]


def test_two_divisions_are_refused(tmp_path: Path) -> None:
    files = TWO | {
        "fold1_train.txt": "a.jpg x\nb.jpg y",
        "fold2_train.txt": "a.jpg x",
        "fold2_test.txt": "b.jpg y",
    }
    with pytest.raises(InputError, match="divide the images in several ways"):
        split_lists.read(view_of(tmp_path, files), CLASS)


def test_class_names_with_gaps_and_doubles(tmp_path: Path) -> None:
    files = TWO | {"list.txt": "a.jpg 0\nb.jpg 1\n", "classes.txt": "cat\n\ndog\n"}
    with pytest.raises(InputError, match="Class name 2 of 3"):
        split_lists.read(view_of(tmp_path, files), CLASS)
    with pytest.raises(QuestionError, match="“cat” more than once"):
        split_lists.read(view_of(tmp_path, {"classes.txt": "cat\ncat\n"}), CLASS)
    reading = split_lists.read(view_of(tmp_path, {}), ReadOptions("class", merge_classes=True))
    assert [head.name for head in reading.classes] == ["cat"]


# -- writing -------------------------------------------------------------------------------------------

NAMES = (
    "a b.jpg",
    "ü/日本.jpg",
    "=cmd.jpg",
    "x/=cmd.png",
    "“q”,'s.jpg",
    "😀.jpg",
    ".h.jpg",
    "x.jpg cat.jpg",
    "n" * 230 + ".jpg",
)
CLASSES = ("cat", "1", "0", "=HYPERLINK()", "a, b", "c d", "x.jpg", "😀", "“q”")


def round_trip(folder: Path, rows: Iterable[ImageLabels], classes: Iterable[str]) -> dict[str, ImageLabels]:
    (folder / "out").mkdir()

    def placed() -> Iterable[tuple[ImageLabels, Path]]:
        for row in rows:
            (folder / "picture").write_text(row.path)
            yield row, folder / "picture"

    split_lists.write(ExportSet("tags", tuple(map(ClassHead, classes)), placed()), folder / "out")
    reading = split_lists.read(SourceView(open_source((("out", folder / "out"),), Limits())), CLASS)
    assert [head.name for head in reading.classes] == list(classes)
    images, issues = taken(reading)
    assert not issues
    return {(folder / "out" / path).read_text(): row for path, row in images.items()}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    splits = ("train", "val", "test", None)
    rows = [
        ImageLabels(name, (Label(CLASSES[n]), Label(CLASSES[-1])), split=splits[n % 4])  # type: ignore[arg-type]
        for n, name in enumerate(NAMES[:-1])
    ]
    rows += [ImageLabels(NAMES[-1]), ImageLabels("deep/same.jpg", (Label("cat"),)), ImageLabels("same.jpg")]
    rows += [ImageLabels("same.png", (Label("c d"),)), ImageLabels("x y.jpg", split="train")]
    found = round_trip(tmp_path, rows, CLASSES)
    assert {path: (row.names, row.split) for path, row in found.items()} == {
        row.path: (row.names, row.split) for row in rows
    }


def test_numbers_as_names_stay_names(tmp_path: Path) -> None:
    rows = [ImageLabels("a.jpg", (Label("7"),)), ImageLabels("b.jpg", (Label("3"),))]
    found = round_trip(tmp_path, rows, ["7", "3"])
    assert found["a.jpg"].names == ("7",) and found["b.jpg"].names == ("3",)


@given(
    st.lists(
        st.sampled_from(["a.jpg 0", "b.jpg\t1", "a.jpg", "\x00", "b.jpg,cat dog", "é.jpg 1", "x"])
        | st.text(max_size=12),
        max_size=8,
    )
)
@settings(max_examples=80, deadline=None)
def test_each_line_is_accounted_for(tmp_path_factory: pytest.TempPathFactory, listed: list[str]) -> None:
    text = "\n".join(listed).encode("utf-8", "replace")
    view = view_of(tmp_path_factory.mktemp("set"), {"list.txt": text, "a.jpg": "", "b.jpg": ""})
    found = split_lists.recognise(view)
    try:
        images, issues = taken(split_lists.read(view, CLASS))
    except InputError:
        return
    assert set(images) == {"a.jpg", "b.jpg"}
    if found is not None:
        said_lines = [i.line for i in issues] + [row.line for row in images.values() if row.labels]
        assert len(set(said_lines)) == len(said_lines)
        plain = text.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        without = [n for n, line in enumerate(plain, 1) if line.strip() and n not in said_lines]
        # What is left are lines that give an image and no class, each image's first.
        assert all(plain[n - 1].strip().strip("\"'") in images for n in without)
