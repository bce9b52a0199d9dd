"""Settling: what the values of masks mean, by the rules for bad masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.contracts.datasets import ImportIssue
from engine.datasets import mask_values, masks
from engine.datasets.formats.base import LabelIssue
from engine.datasets.labels import ImageLabels, Label, MaskFile, MaskValues, Rle
from engine.datasets.mask_classes import Answer
from engine.datasets.mask_pictures import UNKNOWN_COLOR, MaskPicture, split_values
from engine.datasets.mask_values import Extent, Settled, told
from engine.errors import InputError, QuestionError

# pycocotools 2.0.11 warns so under numpy 2 (its arrays take no "copy").
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

LISTED = MaskValues({0: "background", 1: "cat", 2: "dog"})


def picture(values: Any, **facts: bool) -> MaskPicture:
    pixels = np.asarray(values)
    found, regions, counts = split_values(pixels)
    height, width = pixels.shape
    return MaskPicture(width, height, tuple(zip(found, regions, strict=True)), counts, **facts)


def settle(
    rows: list[ImageLabels],
    pictures: Mapping[str, MaskPicture | str],
    extents: Mapping[str, Extent],
    values: MaskValues,
    void: Answer = "",
) -> Settled:
    """Settle, with all rows made at once, so that a test can look at them twice."""
    settled = mask_values.settle(rows, pictures, extents, values, void)
    return replace(settled, rows=tuple(settled.rows))


def class_masks(
    *pictures: MaskPicture | str,
    values: MaskValues | None = None,
    void: Answer = "",
    extents: Mapping[str, Extent] | None = None,
) -> Settled:
    """Settle one class mask an image."""
    rows = [ImageLabels(f"{n}.jpg", masks=(MaskFile(f"{n}.png", "classes"),)) for n in range(len(pictures))]
    sizes = {
        f"{n}.jpg": Extent(p.width, p.height) for n, p in enumerate(pictures) if isinstance(p, MaskPicture)
    }
    read = {f"{n}.png": one for n, one in enumerate(pictures)}
    return settle(rows, read, {**sizes, **(extents or {})}, values or MaskValues(), void)


def images(settled: Settled) -> list[ImageLabels]:
    return [row for row in settled.rows if isinstance(row, ImageLabels)]


def issues(settled: Settled) -> list[ImportIssue]:
    return [row.issue for row in settled.rows if isinstance(row, LabelIssue)]


def pixels(label: Label) -> NDArray[np.bool_]:
    assert isinstance(label.mask, Rle)
    return masks.decode(label.mask)


def regions(settled: Settled, image: int = 0) -> dict[str, list[list[int]]]:
    """The labels of an image by name, drawn."""
    return {label.name: pixels(label).astype(int).tolist() for label in images(settled)[image].labels}


def names(settled: Settled) -> list[str]:
    return [head.name for head in settled.classes]


def test_values_of_a_list_become_its_classes() -> None:
    settled = class_masks(picture([[0, 1], [2, 2]]), picture([[0, 0], [0, 1]]), values=LISTED)
    assert names(settled) == ["cat", "dog"]
    assert regions(settled) == {"cat": [[0, 1], [0, 0]], "dog": [[0, 0], [1, 1]]}
    assert regions(settled, 1) == {"cat": [[0, 0], [0, 1]]}
    assert not settled.notes
    assert not issues(settled)
    label = images(settled)[0].labels[0]
    assert (label.file, label.ignored, images(settled)[0].masks) == ("0.png", False, ())


def test_0_and_255_only_is_the_one_class_and_said_so() -> None:
    alone = class_masks(picture([[0, 255]]), picture([[0, 0]]))
    assert names(alone) == ["foreground"]
    assert regions(alone) == {"foreground": [[0, 1]]}
    assert "255 is taken as the one class" in alone.notes[0]
    for listed in ({1: "cell"}, {0: "background", 1: "cell"}):
        named = class_masks(picture([[0, 255]]), values=MaskValues(listed))
        assert names(named) == ["cell"]
        assert regions(named) == {"cell": [[0, 1]]}
        assert "255 is taken as “cell”" in named.notes[0]


def test_255_does_not_count_beside_listed_classes() -> None:
    settled = class_masks(picture([[0, 1, 255]]), values=LISTED)
    assert names(settled) == ["cat", "dog"]
    void = next(label for label in images(settled)[0].labels if label.ignored)
    assert (void.name, pixels(void).tolist()) == ("", [[False, False, True]])
    assert "255 is not in the class list" in settled.notes[0]
    as_class = class_masks(picture([[0, 1, 255]]), values=LISTED, void="class")
    assert names(as_class) == ["cat", "dog", "class 255"]
    assert as_class.notes == ("255 (1 px in 1 mask) is a class, as you chose.",)
    chosen = class_masks(picture([[0, 1, 255]]), values=LISTED, void="ignore")
    assert chosen.notes == ("255 (1 px in 1 mask) does not count, as you chose.",)
    said = class_masks(picture([[0, 1, 255]]), values=MaskValues({1: "cat"}, void=frozenset({255})))
    assert not said.notes
    assert [label.ignored for label in images(said)[0].labels] == [False, True]


def test_255_beside_unnamed_values_is_asked() -> None:
    mask = picture([[0, 1, 255, 255]])
    with pytest.raises(QuestionError) as caught:
        class_masks(mask)
    assert caught.value.flag == "--void"
    assert "--void ignore" in caught.value.hint
    assert "--void class" in caught.value.hint
    assert caught.value.message.endswith("0: 1 px in 1 mask; 1: 1 px in 1 mask; 255: 2 px in 1 mask.")
    assert names(class_masks(mask, void="class")) == ["class 1", "class 255"]
    ignored = class_masks(mask, void="ignore")
    assert names(ignored) == ["foreground"]
    assert ignored.notes == ("255 (2 px in 1 mask) does not count, as you chose.",)
    assert regions(ignored) == {"foreground": [[0, 1, 0, 0]], "": [[0, 0, 1, 1]]}


def test_of_many_values_the_most_frequent_are_told_in_order_and_255_in_any_case() -> None:
    mask = picture([[*range(20), 255], [*range(1, 20), 0, 0]])
    with pytest.raises(QuestionError) as caught:
        class_masks(mask)
    told = caught.value.message.partition("what it is: ")[2]
    assert [part.split(":")[0] for part in told.split("; ")] == [*map(str, range(11)), "255", "and 9 more."]


def test_the_answer_ignore_holds_where_255_stands_alone() -> None:
    settled = class_masks(picture([[0, 255]]), void="ignore")
    assert settled.notes == ("255 (1 px in 1 mask) does not count, as you chose.",)
    assert names(settled) == []
    assert [label.ignored for label in images(settled)[0].labels] == [True]


def test_unnamed_classes_are_called_after_their_values() -> None:
    settled = class_masks(picture([[0, 1], [3, 3]]), picture([[0, 0], [0, 7]]))
    assert names(settled) == ["class 1", "class 3", "class 7"]
    assert names(class_masks(picture([[0, 4]]))) == ["foreground"]


def test_values_outside_the_list_are_refused_with_their_histogram() -> None:
    with pytest.raises(InputError, match=r"not in the class list: 5: 1 px in 1 mask; 9: 3 px in 2 masks\.$"):
        try:
            class_masks(picture([[1, 9, 9]]), picture([[5, 9, 2]]), values=LISTED)
        except InputError as error:
            raise InputError(error.message) from error


def test_colours_outside_the_table_are_refused_by_their_name() -> None:
    mask = picture([[0, 1, UNKNOWN_COLOR + 0xC80001]], colored=True)
    table = MaskValues({0: "background", 1: "cat"}, colors={(0, 0, 0): 0, (9, 9, 9): 1})
    with pytest.raises(InputError, match="colours that are not in the class list: #c80001: 1 px"):
        class_masks(mask, values=table)


def test_coloured_masks_without_a_table() -> None:
    one = class_masks(picture([[0, 0xFF0000]], colored=True), picture([[0, 0]]))
    assert names(one) == ["foreground"]
    with pytest.raises(InputError, match=r"#ff0000: 1 px in 1 mask.*class_dict\.csv"):
        class_masks(picture([[0, 0xFF0000, 0x00FF00]], colored=True))


def test_value_0_is_a_class_where_the_set_has_no_background() -> None:
    listed = {0: "sky", 1: "road"}
    settled = class_masks(picture([[0, 1]]), values=MaskValues(listed, background=None))
    assert regions(settled) == {"sky": [[1, 0]], "road": [[0, 1]]}
    assert names(settled) == ["sky", "road"]
    dropped = class_masks(picture([[0, 1]]), values=MaskValues(listed))
    assert names(dropped) == ["road"]
    assert "“sky”, which is listed for it, is no class" in dropped.notes[0]
    background = MaskValues({0: "Background", 1: "road"}, background=None)
    assert regions(class_masks(picture([[0, 1]]), values=background)) == {"road": [[0, 1]]}


def test_soft_edges_and_loss_are_split_in_the_middle() -> None:
    soft = np.zeros((40, 40), int)
    soft[:, 20:] = 255
    soft[0, :24] = range(110, 158, 2)
    settled = class_masks(picture(soft))
    assert names(settled) == ["foreground"]
    assert np.array_equal(regions(settled)["foreground"], soft >= 128)
    assert "soft edges" in settled.notes[0]
    loss = np.where(np.arange(400).reshape(20, 20) % 7 == 0, 3, 0)
    loss[:, 10:] += 250
    settled = class_masks(picture(loss, lossy=True), values=MaskValues({1: "polyp"}))
    assert np.array_equal(regions(settled)["polyp"], loss >= 128)
    assert "saved with loss" in settled.notes[0]


def test_classes_saved_with_loss_are_refused() -> None:
    with pytest.raises(InputError, match="saved with loss"):
        class_masks(picture([[0, 1, 2, 3, 90, 91, 93]], lossy=True))


def test_numbers_of_objects_are_not_taken_for_soft_edges() -> None:
    numbered = np.zeros((40, 40), int)
    numbered.flat[: 30 * 9 : 9] = range(1, 31)
    assert len(names(class_masks(picture(numbered)))) == 30


def test_a_mask_with_more_values_than_classes_is_skipped() -> None:
    settled = class_masks(picture(np.arange(400).reshape(20, 20)), picture([[0, 1]]))
    assert "400 different values" in issues(settled)[0].reason
    assert names(settled) == ["foreground"]
    assert images(settled)[0].labels == ()
    assert not images(settled)[0].negative


def test_a_mask_without_a_class_is_a_negative_and_an_unreadable_one_is_not() -> None:
    settled = class_masks(picture([[0, 0]]), "damaged or cut short", picture([[0, 1]]))
    assert [row.negative for row in images(settled)] == [True, False, False]
    assert [(issue.file, issue.reason) for issue in issues(settled)] == [("1.png", "damaged or cut short")]
    gone = settle([ImageLabels("a.jpg", masks=(MaskFile("m.png", "classes"),))], {}, {}, MaskValues())
    assert issues(gone)[0].reason == "the mask was not read"


def test_a_mask_of_the_same_shape_is_resized_by_nearest() -> None:
    mask = np.random.default_rng(1).integers(0, 3, (4, 6))
    settled = class_masks(picture(mask), values=LISTED, extents={"0.jpg": Extent(12, 8)})
    large = np.kron(mask, np.ones((2, 2), int))
    assert {k: np.array(v).sum() for k, v in regions(settled).items()} == {
        "cat": (large == 1).sum(),
        "dog": (large == 2).sum(),
    }
    assert np.array_equal(regions(settled)["cat"], large == 1)
    assert "resized from 6 x 4 to 12 x 8 px" in images(settled)[0].labels[0].repairs[0]


def test_a_mask_of_another_shape_is_skipped() -> None:
    settled = class_masks(picture([[0, 1], [2, 2]]), values=LISTED, extents={"0.jpg": Extent(8, 12)})
    assert "the mask has 2 x 2 px, its image 8 x 12" in issues(settled)[0].reason
    assert images(settled)[0].labels == ()


def test_what_resizing_leaves_nothing_of_is_accounted_for() -> None:
    mask = np.zeros((8, 8), int)
    mask[0, 0], mask[4:, :] = 1, 2
    settled = class_masks(picture(mask), values=LISTED, extents={"0.jpg": Extent(2, 2)})
    assert "nothing is left of value 1" in issues(settled)[0].reason
    assert regions(settled) == {"dog": [[0, 0], [1, 1]]}


@pytest.mark.parametrize("factor", [1, 2])
def test_a_mask_of_the_raw_size_is_turned_with_its_image(factor: int) -> None:
    raw = np.array([[1, 0, 0], [0, 0, 2]])
    extent = Extent(2 * factor, 3 * factor, orientation=6)
    settled = class_masks(picture(raw), values=LISTED, extents={"0.jpg": extent})
    upright = np.kron(np.rot90(raw, -1), np.ones((factor, factor), int))
    assert np.array_equal(regions(settled)["cat"], upright == 1)
    assert np.array_equal(regions(settled)["dog"], upright == 2)
    assert "turned" in images(settled)[0].labels[0].repairs[0]
    same = class_masks(picture(raw), values=LISTED, extents={"0.jpg": Extent(3, 2, orientation=6)})
    assert np.array_equal(regions(same)["cat"], raw == 1)
    assert "EXIF" in same.notes[0]


def test_numbered_objects_and_the_class_below_them() -> None:
    row = ImageLabels("a.jpg", masks=(MaskFile("c.png", "classes"), MaskFile("o.png", "objects")))
    pictures = {"c.png": picture([[1, 1, 2, 2, 0]]), "o.png": picture([[1, 1, 1, 2, 3]])}
    settled = settle([row], pictures, {"a.jpg": Extent(5, 1)}, LISTED)
    made = [(x.name, x.attributes, pixels(x).astype(int).tolist()[0]) for x in images(settled)[0].labels]
    things, areas = (("source", "objects"),), (("source", "classes"),)
    assert made == [
        ("cat", things, [1, 1, 1, 0, 0]),
        ("dog", things, [0, 0, 0, 1, 0]),
        ("object", things, [0, 0, 0, 0, 1]),
        ("cat", areas, [1, 1, 0, 0, 0]),
        ("dog", areas, [0, 0, 1, 1, 0]),
    ]
    assert names(settled) == ["cat", "dog"]


def test_void_is_no_object() -> None:
    """As in Pascal VOC, where outlines are 255 in both masks."""
    row = ImageLabels("a.jpg", masks=(MaskFile("c.png", "classes"), MaskFile("o.png", "objects")))
    pictures = {"c.png": picture([[1, 255, 255, 0]]), "o.png": picture([[1, 255, 255, 0]])}
    values = MaskValues({1: "cat"}, void=frozenset({255}))
    made = images(settle([row], pictures, {"a.jpg": Extent(4, 1)}, values))[0].labels
    assert [(label.name, label.ignored) for label in made] == [("cat", False), ("", True)] * 2
    alone = ImageLabels("a.jpg", masks=(MaskFile("o.png", "objects"),))
    made = images(settle([alone], pictures, {"a.jpg": Extent(4, 1)}, values))[0].labels
    assert [(label.name, label.ignored) for label in made] == [("object", False), ("", True)]


def test_one_object_per_picture() -> None:
    files = (MaskFile("1.png", "object", "cell"), MaskFile("2.png", "object"), MaskFile("3.png", "object"))
    pictures = {
        "1.png": picture([[0, 255, 128]]),
        "2.png": picture([[1, 0, 0]]),
        "3.png": picture([[0, 0, 0]]),
    }
    settled = settle([ImageLabels("a.jpg", masks=files)], pictures, {"a.jpg": Extent(3, 1)}, MaskValues())
    assert regions(settled) == {"cell": [[0, 1, 1]], "object": [[1, 0, 0]]}
    assert names(settled) == ["cell", "object"]
    assert [(issue.file, issue.reason) for issue in issues(settled)] == [("3.png", "the mask is empty")]


def test_a_table_names_the_objects_of_a_mask() -> None:
    labels = (
        Label("cat", ignored=True, attributes=(*told("o.png", 2), ("age", "3")), file="t.csv", line=2),
        Label("dog", attributes=told("o.png", 9), file="t.csv", line=3),
        Label("box", box=(0, 0, 1, 1)),
    )
    row = ImageLabels("a.jpg", labels, masks=(MaskFile("o.png", "objects"),))
    settled = settle([row], {"o.png": picture([[0, 1, 2]])}, {"a.jpg": Extent(3, 1)}, MaskValues())
    box, one, two = images(settled)[0].labels
    assert box.box
    assert (one.name, two.name, two.ignored, two.line) == ("object", "cat", True, 2)
    assert two.attributes == (("age", "3"),)
    assert pixels(two).tolist() == [[False, False, True]]
    (issue,) = issues(settled)
    assert (issue.file, issue.line, issue.reason) == ("t.csv", 3, "the mask “o.png” has no usable object 9")


def test_rows_without_masks_pass_unchanged() -> None:
    row = ImageLabels("a.jpg", (Label("x"),))
    assert images(settle([row], {}, {}, MaskValues())) == [row]
