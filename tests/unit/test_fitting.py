"""Fitting: each label of an image is kept, merged or left out with its reason, for every kind."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.contracts.datasets import LabelItem, LabelKind
from engine.datasets import masks
from engine.datasets.fitting import Fitted, fit
from engine.datasets.geometry import box_around, geometry_of, kind_of, label_of
from engine.datasets.labels import Label, Polygons, Rle

# pycocotools asks NumPy 2 for arrays in a way that it will stop to understand.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SIZE = (10, 8)
KINDS: tuple[LabelKind, ...] = get_args(LabelKind)


def drawn(x1: int, y1: int, x2: int, y2: int) -> NDArray[np.bool_]:
    pixels = np.zeros((SIZE[1], SIZE[0]), np.bool_)
    pixels[y1:y2, x1:x2] = True
    return pixels


def region(name: str, x1: int, y1: int, x2: int, y2: int, ignored: bool = False) -> Label:
    return Label(name, mask=masks.encode(drawn(x1, y1, x2, y2)), ignored=ignored)


def outline(name: str, *ring: float) -> Label:
    return Label(name, mask=Polygons.of([ring]))


def pixels_by_class(fitted: Fitted) -> dict[str, NDArray[np.bool_]]:
    return {
        label.name: masks.decode(masks.to_runs(label.mask, 8, 10)) for label in fitted.labels if label.mask
    }


BOX = Label("cat", (1.0, 1.0, 5.0, 5.0), attributes=(("a", "1"),))
POSED = Label("cat", points=((1.0, 2.0, 2), (4.0, 6.0, 1), (9.0, 9.0, 0)))


# -- classes of images -----------------------------------------------------------------------------------


def test_one_class_said_several_times_is_one_label() -> None:
    fitted = fit([Label("cat", line=1), Label("cat", line=2), Label("cat", line=3)], "class", SIZE)
    assert [label.line for label in fitted.labels] == [1] and [one.line for one in fitted.merged] == [2, 3]


def test_two_classes_of_one_image_are_left_out() -> None:
    fitted = fit([Label("cat"), Label("dog"), Label("cat")], "class", SIZE)
    assert fitted.labels == () and len(fitted.skipped) == 3 and "cat, dog; which" in fitted.skipped[0][1]


def test_tags_are_the_classes_of_all_labels_each_once() -> None:
    fitted = fit([BOX, Label("dog"), POSED, Label("dog")], "tags", SIZE)
    assert fitted.labels == (Label("cat", attributes=BOX.attributes), Label("dog"))
    assert len(fitted.merged) == 2


# -- boxes -----------------------------------------------------------------------------------------------


def test_a_box_comes_from_what_there_is() -> None:
    labels = [BOX, region("dog", 2, 3, 6, 7), outline("cow", 1, 1, 4, 2, 3, 6), POSED]
    boxes = [label.box for label in fit(labels, "boxes", SIZE).labels]
    assert boxes == [(1, 1, 5, 5), (2, 3, 6, 7), (1, 1, 4, 6), (1, 2, 4, 6)]
    assert all(one.mask is None and one.points is None for one in fit(labels, "boxes", SIZE).labels)


def test_the_sets_own_box_goes_before_that_of_the_mask() -> None:
    label = Label("cat", (0.0, 0.0, 9.0, 8.0), masks.encode(drawn(2, 2, 4, 4)))
    assert fit([label], "boxes", SIZE).labels[0].box == label.box == fit([label], "masks", SIZE).labels[0].box


@pytest.mark.parametrize(
    "label",
    [
        Label("cat"),
        Label("cat", points=((1.0, 1.0, 2),)),
        Label("cat", points=((1.0, 1.0, 2), (5.0, 1.0, 2))),
        Label("cat", points=((1.0, 1.0, 0), (5.0, 4.0, 0))),
    ],
)
def test_what_has_no_box_is_left_out(label: Label) -> None:
    assert box_around(label) is None
    assert fit([label], "boxes", SIZE).skipped == ((label, "it has no box"),)


def test_one_box_means_one() -> None:
    assert fit([BOX], "box", SIZE).labels[0].box == BOX.box
    fitted = fit([BOX, BOX, Label("cat")], "box", SIZE)
    assert fitted.labels == () and len(fitted.skipped) == 3
    assert fitted.skipped[-1][1] == "the image has 2 boxes where the task has one"


# -- masks and regions -----------------------------------------------------------------------------------


def test_masks_keep_their_outline_and_gain_a_box() -> None:
    label = outline("cow", 1, 1, 4, 2, 3, 6)
    fitted = fit([label, BOX], "masks", SIZE)
    assert fitted.labels[0].mask == label.mask and fitted.labels[0].box == (1.0, 1.0, 4.0, 6.0)
    assert fitted.skipped == ((BOX, "it has no outline and no mask"),)


def test_regions_of_a_class_are_one() -> None:
    labels = [region("cat", 0, 0, 2, 2), outline("cat", 4, 4, 8, 4, 8, 8, 4, 8), region("dog", 3, 0, 5, 2)]
    fitted = fit(labels, "regions", SIZE)
    found = pixels_by_class(fitted)
    assert np.array_equal(found["cat"], drawn(0, 0, 2, 2) | drawn(4, 4, 8, 8))
    assert np.array_equal(found["dog"], drawn(3, 0, 5, 2))
    assert len(fitted.merged) == 1 and fitted.skipped == ()
    assert all(label.repairs == () for label in fitted.labels)


def test_a_pixel_belongs_to_the_last_region_that_claims_it() -> None:
    fitted = fit([region("cat", 0, 0, 6, 6), region("dog", 3, 3, 8, 8)], "regions", SIZE)
    found = pixels_by_class(fitted)
    assert np.array_equal(found["dog"], drawn(3, 3, 8, 8))
    assert np.array_equal(found["cat"], drawn(0, 0, 6, 6) & ~drawn(3, 3, 8, 8))
    assert [bool(label.repairs) for label in fitted.labels] == [True, False]


def test_a_region_that_is_covered_whole_is_accounted_for() -> None:
    labels = [region("cat", 1, 1, 3, 3), region("cat", 2, 2, 4, 4), region("dog", 0, 0, 8, 8)]
    fitted = fit(labels, "regions", SIZE)
    assert [label.name for label in fitted.labels] == ["dog"]
    assert [label for label, _ in fitted.skipped] == labels[:2] and fitted.merged == ()


def test_void_and_a_class_of_the_same_name_stay_apart() -> None:
    fitted = fit([region("cat", 0, 0, 2, 2), region("cat", 4, 4, 6, 6, ignored=True)], "regions", SIZE)
    assert [label.ignored for label in fitted.labels] == [False, True]


def test_of_both_sorts_of_masks_each_kind_takes_its_own() -> None:
    thing = Label("cat", mask=masks.encode(drawn(1, 1, 3, 3)), attributes=(("source", "objects"), ("b", "2")))
    area = Label("sky", mask=masks.encode(drawn(0, 5, 9, 8)), attributes=(("source", "classes"),))
    assert [one.name for one in fit([thing, area], "masks", SIZE).labels] == ["cat"]
    assert fit([thing, area], "masks", SIZE).labels[0].attributes == (("b", "2"),)
    assert [one.name for one in fit([thing, area], "regions", SIZE).labels] == ["sky"]
    assert [one.name for one in fit([thing], "regions", SIZE).labels] == ["cat"]


def test_an_attribute_called_source_of_the_sets_own_means_nothing() -> None:
    label = Label("cat", (1.0, 1.0, 2.0, 2.0), attributes=(("source", "camera"),))
    assert fit([label, BOX], "boxes", SIZE).labels == (label, BOX)


# -- points ----------------------------------------------------------------------------------------------


def test_points_need_one_that_is_labelled() -> None:
    nothing = Label("cat", points=((0.0, 0.0, 0),))
    fitted = fit([POSED, nothing, BOX, Label("cat", points=())], "points", SIZE)
    assert fitted.labels == (POSED,)
    assert [reason for _, reason in fitted.skipped] == [
        "none of its points is labelled",
        "it has no points",
        "it has no points",
    ]


def test_an_object_with_a_box_and_no_labelled_point_does_not_count() -> None:
    hidden = Label("cat", (1.0, 1.0, 2.0, 2.0), points=((0.0, 0.0, 0), (0.0, 0.0, 0)))
    (kept,) = fit([hidden], "points", SIZE).labels
    assert kept.ignored and kept.points is None and kept.box == hidden.box
    assert fit([kept], "points", SIZE).labels == (kept,)


def test_a_task_without_labels_takes_none() -> None:
    assert fit([BOX], "none", SIZE).skipped == ((BOX, "this task has no labels"),)


# -- all of them -----------------------------------------------------------------------------------------

corner = st.tuples(st.integers(0, 9), st.integers(0, 7), st.integers(1, 10), st.integers(1, 8))
names = st.sampled_from(["cat", "dog", ""])
several = st.lists(
    st.one_of(
        st.builds(Label, names),
        st.builds(lambda n, c, i: region(n, c[0], c[1], c[2], c[3], i), names, corner, st.booleans()),
        st.builds(lambda n, c: Label(n, (float(c[0]), float(c[1]), c[0] + 1.0, c[1] + 1.0)), names, corner),
        st.builds(lambda n, c: outline(n, c[0], c[1], c[2], c[3], c[0] + 1, c[3]), names, corner),
        st.builds(
            lambda n, seen: Label(n, points=((1.0, 2.0, seen), (3.0, 4.0, 2))), names, st.integers(0, 2)
        ),
    ),
    max_size=6,
)


@given(several, st.sampled_from(KINDS))
def test_every_label_is_kept_merged_or_left_out(labels: list[Label], kind: LabelKind) -> None:
    numbered = [
        Label(one.name, one.box, one.mask, one.points, one.ignored, line=line)
        for line, one in enumerate(labels)
    ]
    fitted = fit(numbered, kind, SIZE)
    told = Counter(
        label.line for label in (*fitted.labels, *fitted.merged, *(label for label, _ in fitted.skipped))
    )
    assert told == Counter(range(len(labels)))
    assert all(reason for _, reason in fitted.skipped)


@given(several)
def test_regions_never_overlap_and_lose_no_pixel(labels: list[Label]) -> None:
    masked = [label for label in labels if label.mask is not None]
    before = np.zeros((8, 10), int)
    for label in masked:
        assert label.mask is not None
        before += masks.decode(masks.to_runs(label.mask, 8, 10))
    after = np.zeros((8, 10), int)
    for label in fit(labels, "regions", SIZE).labels:
        assert isinstance(label.mask, Rle)
        after += masks.decode(label.mask)
    assert after.max(initial=0) <= 1 and np.array_equal(after > 0, before > 0)


# -- as they are stored ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "label",
    [
        BOX,
        POSED,
        region("cat", 1, 1, 4, 4, ignored=True),
        outline("cat", 1, 1, 4, 2, 3, 6),
        Label("cat", (1.0, 1.0, 4.0, 6.0), Polygons.of([[1, 1, 4, 2, 3, 6], [5, 5, 6, 5, 6, 6.5]])),
        Label(
            "cat", (1.0, 1.0, 4.0, 6.0), masks.encode(drawn(1, 1, 4, 6)), POSED.points, True, (("é", "=1"),)
        ),
        Label("cat"),
    ],
)
def test_what_is_stored_gives_the_same_label(label: Label) -> None:
    item = LabelItem(id="1", class_id="1", **geometry_of(label))
    assert label_of(item, "cat", *SIZE) == label
    assert LabelItem.model_validate_json(item.model_dump_json()) == item


def test_what_a_label_is_made_of() -> None:
    assert list(map(kind_of, [Label("cat"), BOX, region("cat", 1, 1, 2, 2), POSED])) == [
        "class",
        "box",
        "mask",
        "points",
    ]
