"""Where things stand in a Pascal VOC set: which XML is which image's, the masks, the splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from engine.contracts.datasets import Split
from engine.datasets.archive import IMAGE_SUFFIXES, Member
from engine.datasets.formats.base import SourceView, split_of
from engine.datasets.formats.conventions import folder_splits
from engine.datasets.formats.xml_files import DamagedXmlError, read_xml
from engine.errors import InputError

CLASS_MASKS = "segmentationclass"
OBJECT_MASKS = "segmentationobject"
LISTS = "imagesets"
SPLIT_FILES = ("train", "val", "test", "trainval")


@dataclass(frozen=True)
class Layout:
    """What belongs together; all by the path of the image.

    ``strays`` are XML files without an image. ``torn`` says of images that several splits name them.
    """

    images: tuple[str, ...]
    xml: dict[str, Member]
    strays: tuple[Member, ...]
    class_masks: dict[str, str]
    object_masks: dict[str, str]
    splits: dict[str, Split]
    torn: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass
class _Keys:
    """Images by what a list or a label file calls them: the path without its ending, or its end."""

    images: Iterable[str]
    by_end: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for image in self.images:
            parts = str(PurePosixPath(image).with_suffix("")).split("/")
            for start in range(len(parts)):
                self.by_end["/".join(parts[start:])].append(image)

    def find(self, name: str, root: str) -> list[str]:
        """Return the images that ``name`` can mean; those below ``root`` come before others."""
        found = self.by_end.get(name, [])
        near = [image for image in found if image.startswith(root)]
        return near or found


def masks_in(view: SourceView, folder: str) -> list[str]:
    """Return the pictures below folders of this name (lower case; endings such as ``Aug`` too)."""
    return [member.path for member in view.images if _folder_at(member.path, folder) is not None]


def lay_out(view: SourceView, xmls: Iterable[Member], prefer: str) -> Layout:
    """Match XML files, masks and splits to images; ``prefer`` is the folder of lists to look at first.

    Raises ``InputError`` when it cannot be told which image an XML file, a mask or a list means.
    """
    classes, objects = masks_in(view, CLASS_MASKS), masks_in(view, OBJECT_MASKS)
    drawn = {*classes, *objects}
    images = tuple(member.path for member in view.images if member.path not in drawn)
    keys = _Keys(images)
    pairs, strays = _pair(view, list(xmls), keys)
    splits, torn, notes = _splits(view, keys, images, prefer)
    return Layout(
        images, pairs, strays, _mask_pairs(classes, keys), _mask_pairs(objects, keys), splits, torn, notes
    )


def _pair(view: SourceView, xmls: list[Member], keys: _Keys) -> tuple[dict[str, Member], tuple[Member, ...]]:
    pairs: dict[str, Member] = {}
    left: list[Member] = []
    for member in xmls:
        image = _by_stem(view, member, keys)
        if image is None:
            left.append(member)
        else:
            _claim(pairs, image, member)
    strays = []
    known = set(keys.images)
    for member in left:
        image = _by_name(view, member)
        if image not in known or image in pairs:
            strays.append(member)
        else:
            _claim(pairs, image, member)
    return pairs, tuple(strays)


def _claim(pairs: dict[str, Member], image: str, member: Member) -> None:
    other = pairs.setdefault(image, member)
    if other is not member:
        raise InputError(
            f"“{other.path}” and “{member.path}” both describe “{image}”.", "Take one of them out."
        )


def _by_stem(view: SourceView, member: Member, keys: _Keys) -> str | None:
    """Return the image that has the XML file's name, or None."""
    path = PurePosixPath(member.path)
    found = keys.find(path.stem, "")
    if len(found) > 1:
        # The whole relative path is the key: one folder (Annotations, JPEGImages) may be another.
        found = _closest(str(path.with_suffix("")), found)
    if len(found) > 1:
        name = _filename(view, member)
        found = [image for image in found if PurePosixPath(image).name == name] or found
    if len(found) > 1:
        raise InputError(
            f"“{member.path}” can mean “{found[0]}” or “{found[1]}”.",
            "Give the pictures different names, or put the XML files into folders like the pictures'.",
        )
    return found[0] if found else None


def _closest(key: str, images: list[str]) -> list[str]:
    """Keep the images whose path without ending differs from ``key`` in one folder at most, if any."""
    parts = key.split("/")
    other = {image: str(PurePosixPath(image).with_suffix("")).split("/") for image in images}
    same = [image for image in images if other[image] == parts]
    swapped = [image for image in images if _one_apart(parts, other[image])]
    return same or swapped or images


def _one_apart(parts: list[str], other: list[str]) -> bool:
    return len(parts) == len(other) and sum(a != b for a, b in zip(parts, other, strict=True)) == 1


def _by_name(view: SourceView, member: Member) -> str:
    """Return the image that the XML file names, where none has its stem (``a.jpg.xml``), or ""."""
    for name in (PurePosixPath(member.path).stem, _filename(view, member)):
        try:
            return view.resolve(name)
        except LookupError:
            continue
    return ""


def _filename(view: SourceView, member: Member) -> str:
    try:
        return read_xml(view, member).word("filename")
    except DamagedXmlError:
        return ""


def _mask_pairs(masks: list[str], keys: _Keys) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for mask in masks:
        found = keys.find(PurePosixPath(mask).stem, "")
        if len(found) > 1:
            found = _closest(str(PurePosixPath(mask).with_suffix("")), found)
        if len(found) > 1:
            raise InputError(
                f"The mask “{mask}” can mean “{found[0]}” or “{found[1]}”.",
                "Give the pictures different names.",
            )
        for image in found:
            if pairs.setdefault(image, mask) != mask:
                raise InputError(
                    f"“{pairs[image]}” and “{mask}” are both masks of “{image}”.", "Take one of them out."
                )
    return pairs


def _splits(
    view: SourceView, keys: _Keys, images: tuple[str, ...], prefer: str
) -> tuple[dict[str, Split], dict[str, str], tuple[str, ...]]:
    """Read the lists of ImageSets, or else take splits from the names of folders."""
    lists = _lists(view, prefer)
    named: dict[str, list[str]] = defaultdict(list)
    notes = []
    for member in lists:
        missing = 0
        root = member.path[: _folder_at(member.path, LISTS) or 0]
        for entry in view.text(member).split("\n"):
            found = _entry(entry.rstrip("\r"), root, keys)
            missing += not found and bool(entry.strip())
            if len(found) > 1:
                raise InputError(
                    f"“{entry.strip()}” in “{member.path}” can mean “{found[0]}” or “{found[1]}”.",
                    "Give the pictures different names.",
                )
            if found:
                named[found[0]].append(PurePosixPath(member.path).stem.lower())
        if missing:
            notes.append(f"{missing:,} names in “{member.path}” belong to no image of the source.")
    if not named:
        return folder_splits(images), {}, tuple(notes)
    whole = {word for words in named.values() for word in words}
    return _settle(named, train_only=not whole & {"train", "val"}), _torn(named), tuple(notes)


def _settle(named: dict[str, list[str]], train_only: bool) -> dict[str, Split]:
    """Choose each image's split; "trainval" means train only where nothing divides it further."""
    splits: dict[str, Split] = {}
    for image, words in named.items():
        split = next((found for word in words if (found := split_of(word))), None)
        if split is not None:
            splits[image] = split
        elif train_only:
            splits[image] = "train"
    return splits


def _torn(named: dict[str, list[str]]) -> dict[str, str]:
    torn = {}
    for image, words in named.items():
        splits = list(dict.fromkeys(word for word in words if split_of(word)))
        if len(splits) > 1:
            torn[image] = f"it stands in the lists {', '.join(splits)}; {splits[0]} is taken"
    return torn


def _lists(view: SourceView, prefer: str) -> list[Member]:
    """Return the split lists of one folder below ImageSets: the preferred one, or the next that has some."""
    found: dict[str, list[Member]] = defaultdict(list)
    for member in view.named(".txt"):
        path = PurePosixPath(member.path)
        if path.stem.lower() in SPLIT_FILES and _folder_at(member.path, LISTS) is not None:
            found[path.parent.name.lower()].append(member)
    order = [prefer, "main", "segmentation", "layout", "action", *sorted(found)]
    lists = next((found[name] for name in order if name in found), [])
    return sorted(lists, key=lambda member: SPLIT_FILES.index(PurePosixPath(member.path).stem.lower()))


def _entry(entry: str, root: str, keys: _Keys) -> list[str]:
    """Return what a line of a list can mean: a name as it stands, without spaces, flag or ending."""
    plain = entry.strip()
    names = [entry, plain, plain.rpartition(" ")[0].rstrip()]
    if PurePosixPath(plain).suffix.lower() in IMAGE_SUFFIXES:
        names.append(str(PurePosixPath(plain).with_suffix("")))
    return next((found for name in names if name and (found := keys.find(name, root))), [])


def _folder_at(path: str, name: str) -> int | None:
    """Return where the folder ``name`` (lower case; as a beginning) starts in a path, or None."""
    start = 0
    for part in path.split("/")[:-1]:
        if part.lower().startswith(name):
            return start
        start += len(part) + 1
    return None
