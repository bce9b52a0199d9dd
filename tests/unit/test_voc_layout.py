"""Which XML file is which picture's: one name in many folders, told apart by the rest of the path."""

from __future__ import annotations

import time
from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from engine.datasets.archive import Member, Source
from engine.datasets.formats.base import SourceView
from engine.datasets.formats.voc_layout import _Keys, lay_out

FOLDERS = st.lists(st.sampled_from(["a", "b", "JPEGImages"]), max_size=3).map("/".join)
PATHS = st.builds(
    lambda folder, name: f"{folder}/{name}".lstrip("/"), FOLDERS, st.sampled_from(["x.jpg", "x.png", "y.jpg"])
)


def one_folder_apart(path: str, other: str) -> bool:
    one, two = (PurePosixPath(text).with_suffix("").parts for text in (path, other))
    return len(one) == len(two) and sum(a != b for a, b in zip(one, two, strict=True)) == 1


@given(st.lists(PATHS, unique=True, max_size=12), PATHS)
def test_the_closest_pictures_are_those_of_one_other_folder(images: list[str], path: str) -> None:
    keys = _Keys(sorted(images))
    same = [
        one
        for one in sorted(images)
        if PurePosixPath(one).with_suffix("") == PurePosixPath(path).with_suffix("")
    ]
    stem = PurePosixPath(path).stem
    apart = [one for one in sorted(images) if PurePosixPath(one).stem == stem and one_folder_apart(path, one)]
    assert keys.closest(path) == (same or apart)


@given(st.lists(PATHS, unique=True, max_size=12), st.sampled_from(["", "a/", "b/", "a/b/"]))
def test_pictures_below_a_root_come_before_others(images: list[str], root: str) -> None:
    ending = [one for one in sorted(images) if PurePosixPath(one).stem == "x"]
    assert _Keys(sorted(images)).find("x", root) == (
        [one for one in ending if one.startswith(root)] or ending
    )


def test_one_name_in_thousands_of_folders() -> None:
    number = 5_000
    paths = [
        f"{folder}/{at:05d}/x.{end}"
        for at in range(number)
        for folder, end in (("Annotations", "xml"), ("JPEGImages", "jpg"))
    ]
    view = SourceView(Source("set", tuple(Member(path, 1, "") for path in paths)))
    start = time.process_time()
    layout = lay_out(view, view.named(".xml"), "main")
    # Each against all would be 25 million paths, a minute and more.
    assert time.process_time() - start < 5
    assert len(layout.xml) == number and layout.strays == ()
    assert all(
        member.path == image.replace("JPEGImages", "Annotations")[:-3] + "xml"
        for image, member in layout.xml.items()
    )
