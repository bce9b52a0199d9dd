"""Where things stand in a Pascal VOC set: which XML is which image's, the masks, the splits."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from engine.contracts.datasets import Split
from engine.datasets.archive import IMAGE_SUFFIXES, Member
from engine.datasets.formats.base import SourceView, number_of, split_of
from engine.datasets.formats.conventions import folder_splits
from engine.datasets.formats.xml_files import DamagedXmlError, read_xml
from engine.datasets.paths import stem_of, without_suffix
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

    images: Sequence[str]
    by_end: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for image in self.images:
            end = without_suffix(image)
            self.by_end[end].append(image)
            while "/" in end:
                end = end[end.index("/") + 1 :]
                self.by_end[end].append(image)

    def find(self, name: str, root: str) -> list[str]:
        """Return the images that ``name`` can mean; those below ``root`` come before others.

        ``root`` ends in a slash, if it is not empty.
        """
        found = self.by_end.get(name, [])
        if not root or len(found) < 2:
            return found
        # They stand in path order. Behind "/" comes "0": all below the root lies between.
        near = found[bisect_left(found, root) : bisect_left(found, f"{root[:-1]}0")]
        return near or found

    def closest(self, path: str) -> list[str]:
        """Return the images of this path without its ending, or else those one of whose folders differs."""
        bare = without_suffix(path)
        same = [image for image in self.by_end.get(bare, ()) if without_suffix(image) == bare]
        return same or sorted(image for key in _one_left_out(bare) for image in self._apart.get(key, ()))

    @cached_property
    def _apart(self) -> dict[tuple[int, str], list[str]]:
        """The images by their path without one of its folders, and the place of that."""
        found: dict[tuple[int, str], list[str]] = defaultdict(list)
        for image in self.images:
            for key in _one_left_out(without_suffix(image)):
                found[key].append(image)
        return found


def _one_left_out(path: str) -> Iterator[tuple[int, str]]:
    parts = path.split("/")
    for place in range(len(parts) - 1):
        yield place, "/".join([*parts[:place], *parts[place + 1 :]])


def masks_in(view: SourceView, folder: str) -> list[str]:
    """Return the pictures below folders of this name (lower case; endings such as ``Aug`` too)."""
    homes = {path[: path.rfind("/") + 1] for path in view.image_paths}
    below = {home for home in homes if _folder_at(home, folder) is not None}
    return [path for path in view.image_paths if path[: path.rfind("/") + 1] in below] if below else []


def lay_out(view: SourceView, xmls: Iterable[Member], prefer: str) -> Layout:
    """Match XML files, masks and splits to images; ``prefer`` is the folder of lists to look at first.

    Raises ``InputError`` when it cannot be told which image an XML file, a mask or a list means.
    """
    classes, objects = masks_in(view, CLASS_MASKS), masks_in(view, OBJECT_MASKS)
    drawn = {*classes, *objects}
    images = tuple(path for path in view.image_paths if path not in drawn)
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
    found = keys.find(stem_of(member.path), "")
    if len(found) > 1:
        # The whole relative path is the key: one folder (Annotations, JPEGImages) may be another.
        found = keys.closest(member.path) or found
    if len(found) > 1:
        name = _filename(view, member)
        found = [image for image in found if image.rpartition("/")[2] == name] or found
    if len(found) > 1:
        raise InputError(
            f"“{member.path}” can mean “{found[0]}” or “{found[1]}”.",
            "Give the pictures different names, or put the XML files into folders like the pictures'.",
        )
    return found[0] if found else None


def _by_name(view: SourceView, member: Member) -> str:
    """Return the image that the XML file names, where none has its stem (``a.jpg.xml``), or ""."""
    for name in (stem_of(member.path), _filename(view, member)):
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
        found = keys.find(stem_of(mask), "")
        if len(found) > 1:
            found = keys.closest(mask) or found
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
        stem = stem_of(member.path).lower()
        for entry in view.text(member).split("\n"):
            found = _entry(entry.rstrip("\r"), root, keys)
            missing += not found and bool(entry.strip())
            if len(found) > 1:
                raise InputError(
                    f"“{entry.strip()}” in “{member.path}” can mean “{found[0]}” or “{found[1]}”.",
                    "Give the pictures different names.",
                )
            if found:
                named[found[0]].append(stem)
        if missing:
            notes.append(
                f"“{member.path}” names {number_of(missing, 'image')} that the source does not hold."
            )
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


def tells_splits(view: SourceView) -> bool:
    """Whether lists below ImageSets, or the folders of the pictures, say which split each is in."""
    return bool(_lists(view, "main") or folder_splits(view.image_paths))


def _lists(view: SourceView, prefer: str) -> list[Member]:
    """Return the split lists of one folder below ImageSets: the preferred one, or the next that has some."""
    found: dict[str, list[Member]] = defaultdict(list)
    for member in view.named(".txt"):
        if stem_of(member.path).lower() in SPLIT_FILES and _folder_at(member.path, LISTS) is not None:
            found[PurePosixPath(member.path).parent.name.lower()].append(member)
    order = [prefer, "main", "segmentation", "layout", "action", *sorted(found)]
    lists = next((found[name] for name in order if name in found), [])
    return sorted(lists, key=lambda member: SPLIT_FILES.index(PurePosixPath(member.path).stem.lower()))


def _entry(entry: str, root: str, keys: _Keys) -> list[str]:
    """Return what a line of a list can mean: a name as it stands, without spaces, flag or ending."""
    return next((found for name in _spelt(entry) if name and (found := keys.find(name, root))), [])


def _spelt(entry: str) -> Iterator[str]:
    yield entry
    plain = entry.strip()
    yield plain
    yield plain.rpartition(" ")[0].rstrip()
    if PurePosixPath(plain).suffix.lower() in IMAGE_SUFFIXES:
        yield str(PurePosixPath(plain).with_suffix(""))


def _folder_at(path: str, name: str) -> int | None:
    """Return where the folder ``name`` (lower case; as a beginning) starts in a path, or None."""
    start = 0
    for part in path.split("/")[:-1]:
        if part.lower().startswith(name):
            return start
        start += len(part) + 1
    return None
