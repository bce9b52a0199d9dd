"""COCO JSON: what is read, refused, repaired and skipped, and that pycocotools sees what we wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.contracts.datasets import ImportIssue, LabelKind
from engine.datasets import masks
from engine.datasets.formats import coco
from engine.datasets.formats.base import LabelIssue, Reading, ReadOptions
from engine.datasets.labels import ClassHead, ImageLabels, Label, Polygons
from engine.errors import InputError, QuestionError
from tests.formats import read_set
from tests.unit.format_cases import look, picture, put, recognised, rows_of

# pycocotools asks NumPy 2 for arrays in a way that it will stop to understand.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
CATS = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
IMAGES = [
    {"id": 1, "file_name": "a.png", "width": 8, "height": 8},
    {"id": 2, "file_name": "b.png", "width": 8, "height": 8},
]


def note(**more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]} | more


def store(folder: Path, *notes: dict[str, Any], name: str = "labels.json", **more: Any) -> Path:
    """Write a set with the images a.png, b.png and c.png, of which the file lists two."""
    for image in ("a.png", "b.png", "c.png"):
        picture(folder / image)
    content = {"images": IMAGES, "categories": CATS, "annotations": list(notes)} | more
    put(folder, **{name: json.dumps({key: value for key, value in content.items() if value is not ...})})
    return folder


def read(
    folder: Path, kind: LabelKind = "boxes", schema: str = "", merge: bool = False
) -> tuple[dict[str, ImageLabels], list[ImportIssue], Reading]:
    if not merge:
        return rows_of(coco.FORMAT, folder, kind, schema)
    reading = coco.read(look(folder), ReadOptions(kind, merge_classes=True))
    rows = [row for row in reading.rows if isinstance(row, ImageLabels)]
    return {row.path: row for row in rows}, [], reading


def one_label(folder: Path, **more: Any) -> Label | str:
    """The label of a set with this one annotation, or the reason why it is skipped."""
    images, issues, _ = read(store(folder, note(**more)))
    labels = images["a.png"].labels
    assert len(labels) + len(issues) == 1
    return labels[0] if labels else issues[0].reason


# -- what is read ----------------------------------------------------------------------------------------


def test_labels_negatives_and_pictures_that_are_not_listed(tmp_path: Path) -> None:
    images, issues, reading = read(store(tmp_path, note(id=5), note(id=6, category_id=2, iscrowd=1)))
    assert issues == [] and [head.name for head in reading.classes] == ["cat", "dog"]
    assert images["a.png"].labels == (
        Label("cat", (1.0, 2.0, 4.0, 6.0)),
        Label("dog", (1.0, 2.0, 4.0, 6.0), ignored=True),
    )
    assert images["a.png"].size == (8, 8) and not images["a.png"].negative
    assert images["b.png"].negative and not images["c.png"].negative
    found = recognised(coco.FORMAT, tmp_path)
    assert found is not None and found.kinds == ("boxes",) and found.classes == ("cat", "dog")
    assert "2 images with 2 annotations in 2 classes" in found.reason


@pytest.mark.parametrize("annotations", [..., None])
def test_without_annotations_the_pictures_are_not_labelled(tmp_path: Path, annotations: Any) -> None:
    """As in COCO's own lists of test images."""
    images, issues, _ = read(store(tmp_path, annotations=annotations))
    assert issues == [] and not any(row.negative for row in images.values())


def test_annotations_that_are_no_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="annotations"):
        read(store(tmp_path, annotations={"1": note()}))


def test_an_empty_list_of_annotations_says_that_nothing_is_there(tmp_path: Path) -> None:
    images, _, _ = read(store(tmp_path))
    assert images["a.png"].negative and images["b.png"].negative and not images["c.png"].negative


def test_several_files_are_splits(tmp_path: Path) -> None:
    store(tmp_path, note(), name="annotations__instances_train2017.json", images=IMAGES[:1])
    store(tmp_path, note(image_id=2), name="annotations__instances_val2017.json", images=IMAGES[1:])
    images, issues, _ = read(tmp_path)
    assert issues == [] and [images[name].split for name in ("a.png", "b.png", "c.png")] == [
        "train",
        "val",
        None,
    ]


def test_roboflow_keeps_each_file_beside_its_images(tmp_path: Path) -> None:
    """The same file name in every split; images are named without their folder."""
    for split in ("train", "valid", "test"):
        picture(tmp_path / split / "a.png")
        put(tmp_path, **{f"{split}___annotations.coco.json": json.dumps(
            {"images": IMAGES[:1], "categories": CATS, "annotations": [note()]})})  # fmt: skip
    images, issues, _ = read(tmp_path)
    assert issues == [] and recognised(coco.FORMAT, tmp_path) is not None
    assert {path: (row.split, len(row.labels)) for path, row in images.items()} == {
        "train/a.png": ("train", 1),
        "valid/a.png": ("val", 1),
        "test/a.png": ("test", 1),
    }


def test_ids_written_as_text_or_with_a_point_are_the_same(tmp_path: Path) -> None:
    images, issues, _ = read(store(tmp_path, note(image_id="1", category_id="2"), note(id=2, image_id=1.0)))
    assert issues == [] and images["a.png"].names == ("dog", "cat")


@pytest.mark.parametrize("number", [0, -7, 2**62, "a7f", "1e9"])
def test_ids_may_be_sparse_huge_or_words(tmp_path: Path, number: Any) -> None:
    entry: dict[str, Any] = {
        "images": [IMAGES[0] | {"id": number}],
        "categories": [{"id": number, "name": "cat"}],
    }
    images, issues, _ = read(store(tmp_path, note(id=number, image_id=number, category_id=number), **entry))
    assert issues == [] and images["a.png"].names == ("cat",)


def test_images_may_lie_in_folders_and_be_named_from_anywhere(tmp_path: Path) -> None:
    picture(tmp_path / "data" / "x" / "d.png")
    names = ["/home/me/data/x/d.png", "x\\d.png", "..\\x\\d.png", "d.png"]
    for name in names:
        store(tmp_path, note(), images=[IMAGES[0] | {"file_name": name}])
        assert read(tmp_path)[0]["data/x/d.png"].names == ("cat",)


def test_attributes_are_words(tmp_path: Path) -> None:
    label = one_label(tmp_path, attributes={"b": 1, "a": True, "c": None, "d": "é"})
    assert isinstance(label, Label)
    assert label.attributes == (("a", "true"), ("b", "1"), ("c", ""), ("d", "é"))


# -- ids and categories ----------------------------------------------------------------------------------


def test_unknown_categories_are_refused_and_listed(tmp_path: Path) -> None:
    store(tmp_path, note(category_id=7), note(id=2, category_id=99), note(id=3, category_id=None))
    with pytest.raises(InputError, match=r"3 annotations with category ids .* list: 7, 99, None"):
        read(tmp_path)


def test_categories_of_one_name_are_a_question(tmp_path: Path) -> None:
    store(tmp_path, note(), note(id=2, category_id=2), categories=[CATS[0], {"id": 2, "name": " cat"}])
    with pytest.raises(QuestionError, match="several categories called “cat”") as raised:
        read(tmp_path)
    assert raised.value.flag == "--merge-classes"
    images, _, reading = read(tmp_path, merge=True)
    assert images["a.png"].names == ("cat",) and len(images["a.png"].labels) == 2
    assert [head.name for head in reading.classes] == ["cat"]


def test_annotation_ids_that_stand_twice_are_repaired(tmp_path: Path) -> None:
    images, issues, _ = read(store(tmp_path, note(id=4), note(id=4, category_id=2), note(id=5)))
    assert issues == [] and [len(label.repairs) for label in images["a.png"].labels] == [0, 1, 0]
    assert images["a.png"].labels[1].repairs == ("annotation id 4 stands twice; it got a number of its own",)


def test_image_ids_that_stand_twice_are_refused_unless_they_say_the_same(tmp_path: Path) -> None:
    images, issues, _ = read(store(tmp_path, note(), images=[*IMAGES, IMAGES[0]]))
    assert issues == [] and len(images["a.png"].labels) == 1
    with pytest.raises(InputError, match=r"image id 1 to “a\.png” and to “b\.png”"):
        read(store(tmp_path, note(), images=[IMAGES[0], IMAGES[1] | {"id": 1}]))


def test_category_ids_that_stand_twice_are_refused_unless_they_say_the_same(tmp_path: Path) -> None:
    assert read(store(tmp_path, note(), categories=[*CATS, CATS[0]]))[0]["a.png"].names == ("cat",)
    with pytest.raises(InputError, match="category id 1 to “cat” and to “dog”"):
        read(store(tmp_path, note(), categories=[CATS[0], {"id": 1, "name": "dog"}]))


def test_one_picture_under_two_ids_is_refused(tmp_path: Path) -> None:
    store(tmp_path, note(), images=[IMAGES[0], IMAGES[0] | {"id": 3}])
    with pytest.raises(InputError, match=r"a\.png"):
        read(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["d.png", "/etc/passwd", "file:///a.png", "http://127.0.0.1/a.png", "../../../x.png", "C:\\x\\d.png", ""],
)
def test_labels_of_images_that_are_not_there_are_skipped(tmp_path: Path, name: str) -> None:
    listed = [IMAGES[0], {"id": 9, "file_name": name, "width": 8, "height": 8}]
    images, issues, _ = read(
        store(tmp_path, note(), note(id=2, image_id=9), note(id=3, image_id=5), images=listed)
    )
    assert len(images) == 3 and len(images["a.png"].labels) == 1
    assert [issue.reason[:30] for issue in issues] == [
        "annotation 3: its image 5 is n",
        f"missing image “{name}”"[:30] if len(name) > 20 else issues[1].reason[:30],
    ]
    assert issues[1].reason.startswith(f"missing image “{name}”")


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "x" / "d.png")
    picture(tmp_path / "y" / "d.png")
    with pytest.raises(InputError, match=r"can mean “x/d\.png” or “y/d\.png”"):
        read(store(tmp_path, note(), images=[IMAGES[0] | {"file_name": "d.png"}]))


# -- shapes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [[], None, {}, ...])
def test_an_empty_segmentation_is_none(tmp_path: Path, empty: Any) -> None:
    more = {} if empty is ... else {"segmentation": empty}
    assert one_label(tmp_path, **more) == Label("cat", (1.0, 2.0, 4.0, 6.0))


def test_a_bare_category_is_a_tag(tmp_path: Path) -> None:
    store(tmp_path, {"id": 1, "image_id": 1, "category_id": 2})
    assert read(tmp_path)[0]["a.png"].labels == (Label("dog"),)
    found = recognised(coco.FORMAT, tmp_path)
    assert found is not None and found.kinds == ("tags",)


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        ([1, 2, 3], "its bbox is not x, y, width, height"),
        ([1, 2, 3, "4"], "its bbox is not"),
        ([1, 2, 3, None], "its bbox is not"),
        ([1, 2, 3, True], "its bbox is not"),
        ("1 2 3 4", "its bbox is not"),
        ({"x": 1}, "its bbox is not"),
        ([[1, 2, 3, 4]], "its bbox is not"),
    ],
)
def test_boxes_that_are_none_are_skipped(tmp_path: Path, bbox: Any, reason: str) -> None:
    assert reason in str(one_label(tmp_path, bbox=bbox))


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [8, 8], "counts": [60]}, "its runs cover 60 pixels, not 8 x 8"),
        ({"size": [8, 8], "counts": [-1, 65]}, "its runs cover"),
        ({"size": [8, 8], "counts": [60.5, 3.5]}, "neither text nor numbers"),
        ({"size": [8, 8], "counts": 64}, "neither text nor numbers"),
        ({"size": [8, 8]}, "neither text nor numbers"),
        ({"size": [8], "counts": [64]}, "no size"),
        ({"counts": [64]}, "no size"),
        ({"size": [2**31, 2**31], "counts": "09"}, "its size is"),
        ({"size": [-8, -8], "counts": [64]}, "its size is"),
        ({"size": [0, 0], "counts": []}, "its size is"),
        ([["1", 2, 3, 4, 5, 6]], "its outline is not a list of numbers"),
        ([[1, 2, 3, 4, 5, 6], None], "its outline is not a list of numbers"),
        ("x", "its outline is not"),
        (7, "its outline is not"),
    ],
)
def test_a_mask_that_is_none_leaves_the_box(tmp_path: Path, segmentation: Any, reason: str) -> None:
    label = one_label(tmp_path, segmentation=segmentation)
    assert isinstance(label, Label) and label.box == (1.0, 2.0, 4.0, 6.0) and label.mask is None
    assert reason in label.repairs[0]
    assert reason in str(one_label(tmp_path, segmentation=segmentation, bbox=None))


def test_outlines_run_lengths_and_compressed_ones(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), bool)
    pixels[2:5, 1:4] = True
    rle = masks.encode(pixels)
    ring = [1, 2, 4, 2, 4, 5, 1, 5]
    plain = {"size": [8, 8], "counts": masks.run_lengths(rle.counts).tolist()}
    for segmentation, mask in (
        ([ring], Polygons.of([ring])),
        (ring, Polygons.of([ring])),  # not in a list of its own
        ([ring, [1, 1]], Polygons.of([ring, [1, 1]])),  # judged when it is placed
        (plain, rle),
        ({"size": [8, 8], "counts": rle.counts}, rle),
    ):
        label = one_label(tmp_path, segmentation=segmentation)
        assert isinstance(label, Label) and label.mask == mask and not label.repairs
    found = recognised(coco.FORMAT, tmp_path)
    assert found is not None and found.kinds == ("masks", "boxes", "regions")


def test_outlines_with_few_or_odd_numbers_are_dropped_when_placed(tmp_path: Path) -> None:
    store(tmp_path, note(segmentation=[[1, 1, 5, 5], [1, 1, 5, 1, 5, 5, 3], [0, 0, 4, 0, 4, 4]]),
          note(id=2, segmentation=[[1, 1, 5, 5]]))  # fmt: skip
    found = read_set(coco.FORMAT, tmp_path, "masks")
    (label,) = found.rows["a.png"].labels
    assert label.mask == Polygons.of([[0, 0, 4, 0, 4, 4]])
    assert len(found.skipped) == 1 and "fewer than three points" in found.skipped[0][2]
    assert len(read_set(coco.FORMAT, tmp_path, "boxes").rows["a.png"].labels) == 2


# -- keypoints -------------------------------------------------------------------------------------------

POSE = {"id": 1, "name": "person", "keypoints": ["nose", "eye"], "skeleton": [[1, 2], [1, 9], [0, 1], "x"]}
HAND = {"id": 2, "name": "hand", "keypoints": ["thumb"]}


def test_keypoints_with_their_skeleton(tmp_path: Path) -> None:
    store(tmp_path, note(keypoints=[1, 2, 2, 0, 0, 0]), note(id=2, keypoints=[1.5, 2, 1, 3, 4, 7]),
          categories=[POSE])  # fmt: skip
    images, issues, reading = read(tmp_path, "points")
    assert issues == [] and reading.classes == (ClassHead("person", ("nose", "eye"), ((0, 1),)),)
    assert [label.points for label in images["a.png"].labels] == [
        ((1.0, 2.0, 2), (0.0, 0.0, 0)),
        ((1.5, 2.0, 1), (3.0, 4.0, 2)),
    ]


@pytest.mark.parametrize("points", [[1, 2, 2], [1, 2], "x", [1, 2, 2, 1, 2, "x"]])
def test_keypoints_that_do_not_fit_leave_the_box(tmp_path: Path, points: Any) -> None:
    images, _, _ = read(store(tmp_path, note(keypoints=points), categories=[POSE]), "points")
    (label,) = images["a.png"].labels
    assert label.points is None and "its keypoints are not 2 times x, y, visibility" in label.repairs[0]


def test_two_sorts_of_keypoints_are_a_choice(tmp_path: Path) -> None:
    hand = note(id=2, image_id=2, category_id=2, keypoints=[1, 2, 2])
    store(tmp_path, note(keypoints=[1, 2, 2, 3, 4, 2]), hand, categories=[POSE, HAND])
    found = recognised(coco.FORMAT, tmp_path)
    assert found is not None and [(one.name, one.points, one.images) for one in found.schemas] == [
        ("person", 2, 1),
        ("hand", 1, 1),
    ]
    images, _, reading = read(tmp_path, "points", "hand")
    assert images["b.png"].names == ("hand",) and list(images) == ["b.png"]
    assert [head.name for head in reading.classes] == ["hand"]
    assert "2 pictures and 1 label belong to other sorts of labels or to none" in reading.notes[0]
    assert [(one.reason, one.classes) for one in found.schemas] == [
        ("labels.json: 1 image with 1 annotation in 1 class", ("person",)),
        ("labels.json: 1 image with 1 annotation in 1 class", ("hand",)),
    ]


def test_files_that_describe_the_same_pictures_are_a_choice(tmp_path: Path) -> None:
    store(tmp_path, note(), name="boxes.json")
    store(tmp_path, note(category_id=2), name="captions.json")
    found = recognised(coco.FORMAT, tmp_path)
    assert found is not None and [one.name for one in found.schemas] == ["boxes.json", "captions.json"]
    assert [one.title for one in found.schemas] == ["boxes.json: 2 images", "captions.json: 2 images"]
    assert [one.classes for one in found.schemas] == [("cat", "dog")] * 2
    images, _, reading = read(tmp_path, schema="captions.json")
    assert images["a.png"].names == ("dog",) and list(images) == ["a.png", "b.png"]
    assert reading.notes[0].startswith("1 picture and 1 label belong to")
    with pytest.raises(InputError, match="described twice"):
        read(tmp_path)


# -- where it stands ----------------------------------------------------------------------------------


def test_a_label_issue_is_all_that_is_left_of_a_label(tmp_path: Path) -> None:
    rows = list(coco.read(look(store(tmp_path, note(bbox=[1], id="x"))), ReadOptions("boxes")).rows)
    (issue,) = [row.issue for row in rows if isinstance(row, LabelIssue)]
    assert issue.file == "labels.json" and issue.reason.startswith("annotation x: its bbox")
