"""Which picture is the mask of which image: by the words in folders and names, and by the stem."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import PurePosixPath

from engine.contracts.datasets import Split
from engine.datasets import masks
from engine.datasets.archive import reading
from engine.datasets.formats.base import SPLIT_NAMES, Row, SourceView, number_of, skipped, split_of
from engine.datasets.formats.text_lists import FolderSplits, some
from engine.datasets.labels import ImageLabels, MaskFile, MaskMeaning, MaskValues
from engine.datasets.mask_pictures import MOST_CLASSES, MaskPicture, read_mask
from engine.datasets.paths import stem_of
from engine.datasets.preprocessing import UnreadableImageError

MASK_WORDS = frozenset(
    {"mask", "masks", "label", "labels", "gt", "groundtruth", "truth", "target", "targets", "manual"}
    | {"annotation", "annotations", "annot", "annots", "anno", "matte", "mattes", "labelids"}
    | {"seg", "segmentation", "segmentations", "segmentationclass", "segmentationobject"}
    | {"instance", "instances", "gtfine", "gtcoarse"}
)
IMAGE_WORDS = frozenset(
    {"image", "images", "img", "imgs", "jpegimages", "input", "inputs", "photo", "photos", "raw"}
    | {"picture", "pictures", "rgb", "leftimg8bit"}
)
MASK_END = re.compile(
    r"[-_. ](?:gt(?:Fine|Coarse)[-_])?(mask|masks|gt|groundtruth|labelIds|labelTrainIds|instanceIds|label|"
    r"labels|seg|segmentation|annotation|annot|anno|color|L|matte)$",
    re.IGNORECASE,
)
MASK_START = re.compile(r"^(mask|label|gt|seg|annotation)[-_. ]", re.IGNORECASE)
IMAGE_END = re.compile(r"[-_. ](leftImg8bit|image|img|rgb|sat)$", re.IGNORECASE)
IMAGE_START = re.compile(r"^(image|img)[-_. ]", re.IGNORECASE)
OUTPUT_END = re.compile(
    r"[-_. ](predict|prediction|predicted|pred|result|output|out|overlay|vis)$", re.IGNORECASE
)
LEAST_LIKED = re.compile(r"colou?r|rgb|vis|instance|object", re.IGNORECASE)
LOOKED_AT = 12
LOOK_BYTES = 8 * 2**20
NUMBERED = 20  # values of one mask above which they rather number objects
SMALL_SHARE = 0.05  # of the picture that the box around an object takes, in the median
MOST_COMPARED = 64  # images of one name; a name that stands in more folders must be found in its own
NO_IMAGE = "no image of this name is in the source"
PHOTO = 0.5  # characters of run lengths per pixel
PAIRS, PLACES = "mask pairs", "mask places"
"""What is found once for all formats that look at a source."""


@dataclass(frozen=True)
class Pairs:
    """Images and their masks: ``masks`` is the path by image, ``images`` are all of the set, in order.

    ``strays``: masks that are not used, with the reason. ``notes``: sentences about other pictures.
    """

    masks: dict[str, str]
    images: tuple[str, ...]
    strays: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a picture stands.

    ``role``: "mask", "image" or "" by the folder ``word``; ``around`` are the other folders (not those
    that all pictures share), ``below`` those of them that stand below ``word``.
    """

    path: str
    stem: str
    role: str
    word: str
    around: tuple[str, ...]
    below: tuple[str, ...]
    split: Split | None


def find_pairs(view: SourceView) -> Pairs:
    """Pair masks with images by stem, the closest folder first.

    A mask that several images could mean, or of which there are two for one image, is not used.
    """
    pairs: Pairs | None = view.source.kept.get(PAIRS)
    if pairs is None:
        pairs = view.source.kept[PAIRS] = _find_pairs(places_in(view))
    return pairs


def places_in(view: SourceView) -> list[Place]:
    """Say of each picture of a source where it stands."""
    places: list[Place] | None = view.source.kept.get(PLACES)
    if places is None:
        places = view.source.kept[PLACES] = places_of(view.image_paths)
    return places


def _find_pairs(places: Sequence[Place]) -> Pairs:
    outputs = _outputs(places)
    places = [place for place in places if place.path not in outputs]
    in_folders = [place for place in places if place.role == "mask"]
    images = [place for place in places if place.role != "mask"]
    found, strays = _match(in_folders, images)
    if not found:
        # No folder says so: masks beside their images, told by an ending such as "_mask".
        known = {key for image in images for key in _image_keys(image.stem)}
        beside = [place for place in images if any(key in known for key in _stripped(place.stem))]
        aside = {place.path for place in beside}
        rest = [place for place in images if place.path not in aside]
        found, more = _match(beside, rest)
        if found:
            paired = {mask.path for several in found.values() for mask in several}
            images = [place for place in images if place.path not in paired]
            strays = more
    chosen, left, doubles = _one_each(found)
    sorts = {_sort(mask) for mask in chosen.values()}
    # Masks of another sort that pair with nothing are another set's business, told in one sentence.
    kept = [
        (mask.path, reason)
        for mask, reason in [*strays, *doubles]
        if _sort(mask) in sorts or reason != NO_IMAGE
    ]
    others = [mask.path for mask, reason in strays if _sort(mask) not in sorts and reason == NO_IMAGE]
    notes = [*_left_note(left), *_output_note(outputs), *(_others_note(others) if found else ())]
    return Pairs(
        {image: mask.path for image, mask in chosen.items()},
        tuple(image.path for image in images),
        tuple(sorted(kept)),
        tuple(notes),
    )


def rows_of(pairs: Pairs, meaning: MaskMeaning) -> Iterator[Row]:
    """Yield each image with its mask, and why other masks are not used."""
    splits = FolderSplits(pairs.images, IMAGE_WORDS)
    for image in pairs.images:
        mask = pairs.masks.get(image)
        files = (MaskFile(mask, meaning),) if mask else ()
        yield ImageLabels(image, split=splits(image), masks=files)
    for path, reason in pairs.strays:
        yield skipped(path, None, reason)


def look(view: SourceView, paths: Sequence[str], values: MaskValues) -> list[MaskPicture]:
    """Decode a few masks, spread over all; those that cannot be decoded, and photos, are left out."""
    step = max(1, len(paths) // LOOKED_AT)
    found = []
    for path in paths[::step][:LOOKED_AT]:
        member = view.by_path[path]
        if member.size > LOOK_BYTES:
            continue
        with reading(member) as stream:
            content = stream.read(LOOK_BYTES + 1)
        try:
            picture = read_mask(content, values.colors)
        except UnreadableImageError:
            continue
        if not _is_photo(picture):
            found.append(picture)
    return found


def are_masks(view: SourceView, paths: Sequence[str], values: MaskValues) -> bool:
    """Whether most of the pictures that are looked at are no photos."""
    step = max(1, len(paths) // LOOKED_AT)
    return 2 * len(look(view, paths, values)) > len(paths[::step][:LOOKED_AT])


def are_single(view: SourceView, paths: Sequence[str]) -> bool:
    """Whether most of the pictures that are looked at show one object: no more than two values."""
    step = max(1, len(paths) // LOOKED_AT)
    found = [picture for picture in look(view, paths, MaskValues()) if len(picture.regions) <= 2]
    return 2 * len(found) > len(paths[::step][:LOOKED_AT])


def are_numbered(pictures: Iterable[MaskPicture]) -> bool:
    """Whether the values of a mask number objects: there are many, and each lies in a small place."""
    return any(_is_numbered(picture) for picture in pictures)


def _is_photo(picture: MaskPicture) -> bool:
    runs = sum(len(counts) for _, counts in picture.regions)
    return len(picture.regions) > NUMBERED and runs > PHOTO * picture.width * picture.height


def _is_numbered(picture: MaskPicture) -> bool:
    objects = [at for at, (value, _) in enumerate(picture.regions) if value != 0]
    if picture.lossy or len(objects) <= NUMBERED:
        return False
    shares = []
    for at in objects:
        box = masks.box_of(picture.region(at))
        assert box is not None  # each region has a pixel
        shares.append((box[2] - box[0]) * (box[3] - box[1]) / (picture.width * picture.height))
    return len(objects) >= MOST_CLASSES or sorted(shares)[len(shares) // 2] <= SMALL_SHARE


def places_of(paths: Sequence[str]) -> list[Place]:
    """Say of each picture where it stands among all."""
    folders = [path.rpartition("/")[0] for path in paths]
    parts = {folder: folder.split("/") if folder else [] for folder in folders}
    shared = len(list(takewhile(lambda level: len(set(level)) == 1, zip(*parts.values(), strict=False))))
    told = {folder: _told(own, shared) for folder, own in parts.items()}
    return [Place(path, stem_of(path), *told[folder]) for path, folder in zip(paths, folders, strict=True)]


def _told(folders: list[str], shared: int) -> tuple[str, str, tuple[str, ...], tuple[str, ...], Split | None]:
    """Tell what pictures are by the deepest folder that says it, of those that not all share."""
    splits = [split for part in folders if (split := split_of(part) or split_of(_bare(part)[1]))]
    split = splits[-1] if splits else None
    for at in range(len(folders) - 1, shared - 1, -1):
        bare, before = _bare(folders[at])
        role = _role(bare)
        if role:
            around = (*folders[shared:at], *([before] if before else []), *folders[at + 1 :])
            return role, bare, around, tuple(folders[at + 1 :]), split
    return "", "", tuple(folders[shared:]), (), split


@lru_cache(maxsize=4096)
def _bare(folder: str) -> tuple[str, str]:
    """Part a folder such as ``trainannot`` or ``train_masks`` into its word and the split before it."""
    name = folder.casefold()
    for word in sorted(SPLIT_NAMES, key=len, reverse=True):
        rest = name.removeprefix(word).lstrip("-_ ")
        if name.startswith(word) and _role(rest):
            return rest, word
    return name, ""


def _role(folder: str) -> str:
    """Return "mask", "image" or "" for the words of a folder; masks of images are masks."""
    words = set(re.split(r"[^a-z0-9]+", folder))
    if words & MASK_WORDS:
        return "mask"
    return "image" if words & IMAGE_WORDS else ""


def _outputs(places: Sequence[Place]) -> set[str]:
    """Return pictures that a model made: named like another one with ``_predict`` behind, and no mask's."""
    stems = Counter(place.stem for place in places)
    return {
        place.path
        for place in places
        if stems[place.stem] == 1 and (bare := OUTPUT_END.sub("", place.stem)) != place.stem and bare in stems
    }


def _stripped(stem: str) -> Iterator[str]:
    """Yield what is left of a mask's stem without the word that says so; "" when it is that word."""
    if stem.casefold() in MASK_WORDS:
        yield ""
    for pattern in (MASK_END, MASK_START):
        bare = pattern.sub("", stem)
        if bare not in (stem, ""):
            yield bare


def _image_keys(stem: str) -> Iterator[str]:
    yield stem
    if stem.casefold() in IMAGE_WORDS:
        yield ""
    for pattern in (IMAGE_END, IMAGE_START):
        bare = pattern.sub("", stem)
        if bare not in (stem, ""):
            yield bare


class Index:
    """Images by a name, of which the one whose folders are most like a mask's is looked for."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[Place]] = defaultdict(list)
        self._by_place: dict[tuple[str, tuple[str, ...]], list[Place]] = defaultdict(list)

    def add(self, name: str, image: Place) -> None:
        """Take an image in under a name."""
        self._by_name[name].append(image)
        self._by_place[name, image.around].append(image)

    def __contains__(self, name: str) -> bool:
        """Whether any image goes by this name."""
        return name in self._by_name

    def closest(self, mask: Place, name: str) -> list[Place]:
        """Return the images that a mask may belong to: of no other split, in the most similar folders."""
        here, anywhere = self._by_place.get((name, mask.around), []), self._by_name.get(name, [])
        fitting = [image for image in here if image.path != mask.path and _same_split(mask, image)]
        if not fitting and len(anywhere) > MOST_COMPARED:
            return anywhere[:MOST_COMPARED]
        if not fitting:
            fitting = [image for image in anywhere if image.path != mask.path and _same_split(mask, image)]
        if len(fitting) < 2:
            return fitting
        scores = [_overlap(image.around, mask.around) for image in fitting]
        return [image for image, score in zip(fitting, scores, strict=True) if score == max(scores)]


def _same_split(mask: Place, image: Place) -> bool:
    return image.split is None or mask.split in (None, image.split)


def _match(
    pictures: Sequence[Place], images: Sequence[Place]
) -> tuple[dict[str, list[Place]], list[tuple[Place, str]]]:
    """Find the image of each mask; returns masks by image, and masks without one with the reason."""
    if not pictures:
        return {}, []
    exact, loose = Index(), Index()
    for image in images:
        exact.add(image.stem, image)
        for key in _image_keys(image.stem):
            loose.add(key, image)
    found: dict[str, list[Place]] = defaultdict(list)
    strays = []
    for mask in pictures:
        tries = ((exact, mask.stem), (loose, mask.stem), *((loose, key) for key in _stripped(mask.stem)))
        best = next((near for index, key in tries if (near := index.closest(mask, key))), [])
        if len(best) == 1:
            found[best[0].path].append(mask)
        elif best:
            strays.append((mask, f"it could belong to {some(image.path for image in best)}"))
        else:
            strays.append((mask, NO_IMAGE))
    return found, strays


def _overlap(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    ends = takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False))
    return len(list(pairs)) + len(list(ends))


def _sort(mask: Place) -> tuple[str, str]:
    """Return what masks of one sort have in common: the word of their folder and their ending."""
    end = MASK_END.search(mask.stem)
    return mask.word, end.group(1).casefold() if end else ""


def _one_each(
    found: dict[str, list[Place]],
) -> tuple[dict[str, Place], Counter[str], list[tuple[Place, str]]]:
    """Choose one sort of masks where there are several; two of one sort for one image are not used."""
    by_sort: dict[tuple[str, str], set[str]] = defaultdict(set)
    for image, several in found.items():
        for mask in several:
            by_sort[_sort(mask)].add(image)
    order = sorted(by_sort, key=lambda s: (bool(LEAST_LIKED.search(" ".join(s))), -len(by_sort[s]), s))
    sorts: list[tuple[str, str]] = []
    for sort in order:
        # Another sort is taken only for images that have none yet, as when splits name theirs otherwise.
        if all(by_sort[sort].isdisjoint(by_sort[taken]) for taken in sorts):
            sorts.append(sort)
    chosen, left, doubles = {}, Counter[str](), []
    for image, several in found.items():
        fitting = [mask for mask in several if _sort(mask) in sorts]
        left.update(mask.word or _sort(mask)[1] for mask in several if _sort(mask) not in sorts)
        if len(fitting) == 1:
            chosen[image] = fitting[0]
        doubles += [(mask, f"another mask belongs to “{image}” too") for mask in fitting[1:] and fitting]
    return chosen, left, doubles


def _left_note(left: Counter[str]) -> Iterator[str]:
    for word, number in sorted(left.items()):
        masks_left = number_of(number, "mask")
        yield f"Not used: {masks_left} of another sort (“{word}”); the images have other masks."


def _others_note(others: Sequence[str]) -> Iterator[str]:
    if others:
        example = some(sorted(others), 1)
        yield (
            f"Not used, since they belong to no image by their names: {number_of(len(others), 'picture')} in "
            f"other folders of masks ({example})."
        )


def _output_note(outputs: set[str]) -> Iterator[str]:
    if outputs:
        example = some(sorted(outputs), 1)
        yield f"Left out as predictions by their names: {number_of(len(outputs), 'picture')} ({example})."


def export_path(path: str) -> str:
    """Return a path whose name ``find_pairs`` takes for an image's: "a_mask.png" becomes "a_mask-1.png"."""
    place = PurePosixPath(path)
    odd = any(pattern.search(place.stem) for pattern in (OUTPUT_END, MASK_END))
    return str(place.with_name(f"{place.stem}-1{place.suffix}")) if odd else path
