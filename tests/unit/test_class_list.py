"""Points of a set held against those of the project, by their names."""

from __future__ import annotations

import pytest

from engine.datasets.class_list import align_points
from engine.datasets.intake import Taken
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.datasets.newcomers import Incoming
from engine.errors import InputError


def incoming(*labels: Label) -> list[Incoming]:
    return [Incoming(ImageLabels("a.png"), Taken("a.png"), labels)]


def points(name: str, *places: float) -> Label:
    return Label(name, points=tuple((place, 0.0, 2) for place in places))


def test_points_and_skeleton_follow_the_project() -> None:
    heads = [ClassHead("p", ("c", "a", "b"), ((0, 1), (1, 2))), ClassHead("q", ("x",))]
    aligned = align_points({"p": ("a", "b", "c")}, incoming(points("p", 3, 1, 2), points("q", 9)), heads)
    assert [label.points for label in aligned.incoming[0].labels] == [
        points("p", 1, 2, 3).points,
        points("q", 9).points,
    ]
    # c to a and a to b, by name.
    assert aligned.heads[0] == ClassHead("p", ("a", "b", "c"), ((2, 0), (0, 1)))
    assert len(aligned.notes) == 1 and aligned.heads[1] == heads[1]


@pytest.mark.parametrize("theirs", [("a", "b"), ("a", "b", "d"), ("a", "a", "b")])
def test_other_points_are_refused(theirs: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="in the project"):
        align_points({"p": theirs}, incoming(points("p", 1, 2, 3)), [ClassHead("p", ("a", "b", "c"))])


def test_points_without_names_are_numbered_and_held_against_numbers() -> None:
    aligned = align_points({"p": ("1", "2")}, incoming(points("p", 5, 6)), [])
    assert aligned.heads == [ClassHead("p", ("1", "2"))] and not aligned.notes
    with pytest.raises(InputError, match=r"1, 2, 3 in the set"):
        align_points({"p": ("1", "2")}, incoming(points("p", 5, 6, 7)), [])


def test_a_class_that_the_set_only_lists_stands_in_nobody_s_way() -> None:
    heads = [ClassHead("p", ("x", "y"))]
    assert align_points({"p": ("a", "b")}, incoming(Label("p", box=(0, 0, 1, 1))), heads).heads == heads


def test_points_are_found_under_a_name_that_was_merged() -> None:
    aligned = align_points({"p": ("a", "b")}, incoming(points("p", 2, 1)), [ClassHead("P", ("b", "a"))])
    assert aligned.incoming[0].labels == (points("p", 1, 2),)


def test_a_listed_class_that_was_merged_is_no_class_of_its_own() -> None:
    heads = [ClassHead("CAT"), ClassHead("dog"), ClassHead("Cat"), ClassHead("fox")]
    labels = (Label("cat"), Label("dog"))
    names = [head.name for head in align_points({}, incoming(*labels), heads).heads]
    assert names == ["cat", "dog", "fox"]
    both = [ClassHead("CAT"), ClassHead("cat")]
    assert align_points({}, incoming(Label("cat"), Label("CAT")), both).heads == both
