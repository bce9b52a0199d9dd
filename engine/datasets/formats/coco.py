"""COCO JSON: boxes, outlines, run lengths and keypoints (cocodataset.org, "Data format").

A file is streamed: images, then categories, each past the annotations, then these. What is kept of an
annotation is packed at once, so that a file of hundreds of megabytes stays within memory. A picture that
no file names is not labelled, unless it looks like a mask; one that is named and has no annotation has
nothing on it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final

from engine.contracts.datasets import LabelKind, Split
from engine.datasets.archive import Member
from engine.datasets.formats.base import (
    ALL_FEATURES,
    DatasetFormat,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    clean_class,
    missing_image,
    number_of,
    skipped,
    split_of,
)
from engine.datasets.formats.coco_labels import Category, label_of
from engine.datasets.formats.coco_sorts import File, Image, described, heads, of_schema, schemas
from engine.datasets.formats.coco_write import GROUP, LABELLED, write
from engine.datasets.formats.json_stream import elements, sort_of
from engine.datasets.formats.own_kind import stated_first, stated_kind
from engine.datasets.labels import ImageLabels
from engine.errors import InputError, QuestionError

HEAD = re.compile(rb'"(images|annotations|categories|info|licenses)"\s*:')
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
KEPT = "coco"
SHOWN = 5
KINDS: tuple[tuple[str, LabelKind], ...] = (
    ("points", "points"), ("masks", "masks"), ("boxes", "boxes"), ("bare", "tags"), ("masks", "regions"),
)  # fmt: skip
"""Which kinds of label a shape serves, the one that most people want first."""
FEW: Final = 0.5
"""Share of the annotations; a shape that fewer have comes after those that more have."""


def recognise(view: SourceView) -> Recognition | None:
    """Recognise JSON with images and annotations; the kinds are those that occur."""
    files = _files(view)
    if not files:
        return None
    found = sum((one.found for one in files), Counter[str]())
    served = [(found[word] < FEW * found["all"], kind) for word, kind in KINDS if found[word]]
    kinds = [kind for _, kind in sorted(served, key=lambda one: one[0])]
    names = tuple(head.name for head in heads(files))
    images = sum(len(one.images) for one in files)
    reason = described([one.path for one in files], images, found["all"], len(names))
    said = (stated_kind(view.head(view.by_path[one.path])) for one in files)
    return Recognition(reason, stated_first(kinds, said) or ("boxes",), names, images, schemas(files))


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read all files whose labels are of the kind that is wanted.

    Raises ``InputError`` when two files describe the same picture, ``QuestionError`` when categories of
    one name stand for two.
    """
    files = _files(view)
    if not files:
        raise InputError("There is no COCO JSON in the source.", "It has the keys images and annotations.")
    kept = of_schema(files, options.schema)
    _refuse_doubled(kept, options)
    places = [_places(view, one) for one in kept]
    ahead = tuple(dict.fromkeys(path for found in places for path in found.values()))
    if kept is files:
        return Reading(_rows(view, kept, places, unlisted=True), heads(kept), ahead=ahead)
    notes = _left_out(_count(files) - _count(kept), len(view.images) - len(ahead))
    return Reading(_rows(view, kept, places, unlisted=False), heads(kept), notes=notes, ahead=ahead)


def _left_out(labels: int, pictures: int) -> tuple[str, ...]:
    """Say how much of the set the chosen sort of labels does not concern."""
    parts = [number_of(*one) for one in ((pictures, "picture"), (labels, "label")) if one[0]]
    if not parts:
        return ()
    one = "belongs" if (pictures, labels) in ((0, 1), (1, 0)) else "belong"
    return (
        f"{' and '.join(parts)} {one} to other sorts of labels or to none; "
        "what is left out here goes into a project of its own.",
    )


def _places(view: SourceView, one: File) -> dict[int | str, str]:
    """Find the pictures of a file, by id; those that cannot be found are told of among the rows."""
    found = {}
    for image_id, image in one.images.items():
        with suppress(LookupError):
            found[image_id] = _find(view, one, image.name)
    return found


def _rows(
    view: SourceView, files: Sequence[File], places: Sequence[dict[int | str, str]], *, unlisted: bool
) -> Iterator[Row]:
    """Yield what the files say; ``unlisted``: and the pictures that none of them names."""
    seen: dict[str, str] = {}
    for one, found in zip(files, places, strict=True):
        yield from one.issues
        for image_id, image in one.images.items():
            labels = tuple(one.labels.pop(image_id, ()))
            try:
                path = found.get(image_id) or _find(view, one, image.name)
            except LookupError as error:
                yield from (missing_image(one.path, None, image.name, error) for _ in labels or (None,))
                continue
            if path in seen:
                twice = (
                    f"“{one.path}” lists “{path}” under two ids."
                    if seen[path] == one.path
                    else f"“{path}” is described twice, in “{seen[path]}” and “{one.path}”."
                )
                raise InputError(twice, "Keep one of them.")
            seen[path] = one.path
            negative = image.labelled and not labels
            yield ImageLabels(
                path, labels, one.split, one.path, negative=negative, size=image.size, group=image.group
            )
    if unlisted:
        yield from map(ImageLabels, _unlisted(view, seen))


def _unlisted(view: SourceView, listed: Collection[str]) -> Iterator[str]:
    """Give the pictures that no file lists, but for folders of masks beside the pictures.

    Such a folder holds nothing but lossless pictures that are called like listed ones elsewhere.
    """
    folders = {PurePosixPath(path).parent for path in listed}
    stems = {PurePosixPath(path).stem for path in listed}
    others: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for member in view.images:
        if member.path not in listed:
            path = PurePosixPath(member.path)
            others[path.parent].append(path)
    for folder, paths in others.items():
        masks = all(path.stem in stems and path.suffix.lower() in MASK_SUFFIXES for path in paths)
        if folder in folders or not masks:
            yield from map(str, paths)


def _find(view: SourceView, one: File, name: str) -> str:
    """Find a picture: beside the file, by its name in the source, or in the folder of the file's split."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    beside = view.by_path.get("/".join([*one.path.split("/")[:-1], *parts]))
    if beside is not None and beside.is_image:
        return beside.path
    try:
        return view.resolve(name)
    except LookupError:
        folders = _of_split(view, one.split, PurePosixPath(name.replace("\\", "/")).name) if one.split else ()
        if len(folders) != 1:
            raise
        return folders[0]


def _of_split(view: SourceView, split: Split, name: str) -> Sequence[str]:
    """Return the pictures of one file name that lie in a folder of a split."""
    known: dict[tuple[str, str], Sequence[str]] = view.kept.setdefault("pictures of splits", {})
    if (split, name) not in known:
        found = (path for path in view.resolve.of_stem(PurePosixPath(name).stem) if path.endswith(f"/{name}"))
        known[split, name] = [path for path in found if split in map(split_of, path.split("/")[:-1])]
    return known[split, name]


def _files(view: SourceView) -> list[File]:
    """Read all COCO files of a source, once."""
    if KEPT not in view.kept:
        members = [member for member in view.named(".json") if HEAD.search(view.head(member))]
        read_files = (_file(view, member) for member in members)
        view.kept[KEPT] = [one for one in read_files if one is not None]
    files: list[File] = view.kept[KEPT]
    return files


def _file(view: SourceView, member: Member) -> File | None:
    images = _images(view, member)
    if not images:
        # Damage is told of even so, wherever it stands.
        deque(elements(view, member, "images.item"), maxlen=0)
        return None
    categories = _categories(view, member)
    one = File(member.path, split_in(member.path), categories, images)
    ids: set[Any] = set()
    unknown: Counter[str] = Counter()
    for entry in elements(view, member, "annotations.item"):
        if not isinstance(entry, dict) or ("image_id" not in entry and "category_id" not in entry):
            one.issues.append(skipped(member.path, None, "an annotation without image and category"))
            continue
        one.found["all"] += 1
        image_id, number = _id(entry.get("image_id")), entry.get("id")
        if image_id not in images:
            reason = f"annotation {number}: its image {entry.get('image_id')} is not listed"
            one.issues.append(skipped(member.path, None, reason))
            continue
        category = categories.get(_id(entry.get("category_id")))
        if category is None:
            unknown[str(entry.get("category_id"))] += 1
            continue
        _take(one, entry, image_id, category, ids)
    if not one.found and not one.issues:
        _look_why(view, member, one)
    if unknown:
        listed = ", ".join(list(unknown)[:SHOWN])
        raise InputError(
            f"“{member.path}” has {number_of(unknown.total(), 'annotation')} with category ids that it does "
            f"not list: {listed}.",
            "Add them to its categories.",
        )
    return one


def _look_why(view: SourceView, member: Member, one: File) -> None:
    """Tell a file that says that nothing is on its images from one that says nothing of them."""
    sort = sort_of(view, member, "annotations")
    if sort == "other":
        raise InputError(f"The annotations of “{member.path}” are no list.", "Export it again.")
    if sort != "list":
        one.images.update({key: replace(image, labelled=False) for key, image in one.images.items()})


def _take(one: File, entry: dict[str, Any], image_id: int | str, category: Category, ids: set[Any]) -> None:
    """Add the label of one annotation, or the issue that it is."""
    number = entry.get("id")
    try:
        label, kinds = label_of(entry, category)
    except ValueError as error:
        one.issues.append(skipped(one.path, None, f"annotation {number}: {error}"))
        return
    if isinstance(number, int | str):
        if number in ids:
            again = f"annotation id {number} stands twice; it got a number of its own"
            label = replace(label, repairs=(*label.repairs, again))
        ids.add(number)
    for kind in kinds:
        one.found[kind] += 1
    one.labels.setdefault(image_id, []).append(label)


def _images(view: SourceView, member: Member) -> dict[int | str, Image]:
    images: dict[int | str, Image] = {}
    nameless = 0
    for entry in elements(view, member, "images.item", without="annotations"):
        if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
            nameless += 1
            continue
        width, height = entry.get("width"), entry.get("height")
        size = (width, height) if isinstance(width, int) and isinstance(height, int) else None
        size = size if size and min(size) > 0 else None
        group = entry.get(GROUP)
        labelled = entry.get(LABELLED, True) is not False
        image = Image(entry["file_name"], size, labelled, group if group and isinstance(group, str) else None)
        number = _id(entry.get("id"))
        if images.setdefault(number, image) != image:
            raise InputError(
                f"“{member.path}” gives the image id {entry.get('id')} to “{images[number].name}” and to "
                f"“{image.name}”.",
                "Give each image an id of its own.",
            )
    if images and nameless:
        raise InputError(
            f"“{member.path}” lists {number_of(nameless, 'image')} without a file_name.", "Export it again."
        )
    return images


def _categories(view: SourceView, member: Member) -> dict[int | str, Category]:
    found: dict[int | str, Category] = {}
    for entry in elements(view, member, "categories.item", without="annotations"):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str | int):
            raise InputError(f"“{member.path}” lists a category without a name.", "Give each one a name.")
        number, category = _id(entry.get("id")), Category.of(entry, clean_class(str(entry["name"])))
        if found.setdefault(number, category) != category:
            raise InputError(
                f"“{member.path}” gives the category id {entry.get('id')} to “{found[number].name}” and to "
                f"“{category.name}”.",
                "Give each category an id of its own.",
            )
    return found


def _id(value: Any) -> int | str:
    """Give an id as it can be compared: some tools write the number as text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = "" if value is None else str(value).strip()
    return int(text) if re.fullmatch(r"\d{1,18}", text) else text


def split_in(path: str) -> Split | None:
    """Return the split that a label file's name, or else a folder of it, speaks of."""
    for part in reversed(path.split("/")):
        stem = part.rsplit(".", 1)[0] if part.endswith(".json") else part
        words = re.findall(r"[a-z]+", stem.casefold())
        found = [split for word in words if (split := split_of(word))]
        if found:
            return found[-1]
    return None


def _count(files: Sequence[File]) -> int:
    return sum(len(labels) for one in files for labels in one.labels.values())


def _refuse_doubled(files: Sequence[File], options: ReadOptions) -> None:
    """Ask when two categories of one file have the same name."""
    for one in files:
        names = Counter(category.name for category in one.categories.values())
        doubled = [name for name, count in names.items() if count > 1]
        if doubled and not options.merge_classes:
            keys = [str(key) for key, known in one.categories.items() if known.name == doubled[0]]
            ids = ", ".join(keys[:SHOWN])
            raise QuestionError(
                f"“{one.path}” lists several categories called “{doubled[0]}” (ids {ids}).",
                "Merge them, or give them names of their own.",
                flag="--merge-classes",
            )


FORMAT = DatasetFormat(
    name="coco",
    title="COCO JSON",
    carries=frozenset({"boxes", "masks", "points", "regions", "tags", "box"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=ALL_FEATURES,
)
