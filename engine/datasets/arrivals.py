"""What becomes of each image of an import, beside what the project holds already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.contracts.datasets import Split
from engine.datasets.account import Account
from engine.datasets.labels import ImageLabels, Label
from engine.datasets.newcomers import Incoming
from engine.datasets.present import Present
from engine.storage.database import new_id

Fate = Literal["new", "back", "labelled", "same", "bare", "other", "out", "path"]

SENTENCES: Mapping[Fate, tuple[str, str]] = {
    "back": ("1 image that was out of use is back.", "{:,} images that were out of use are back."),
    "labelled": (
        "1 image was in the project without labels, and has them now.",
        "{:,} images were in the project without labels, and have them now.",
    ),
    "same": (
        "1 image was in the project already, with the same labels.",
        "{:,} images were in the project already, with the same labels.",
    ),
    "bare": (
        "1 image was in the project already, and the set has no labels for it.",
        "{:,} images were in the project already, and the set has no labels for them.",
    ),
    "other": (
        "1 image was in the project already, with other labels; those stay.",
        "{:,} images were in the project already, with other labels; those stay.",
    ),
    "out": (
        "1 image was left out by a person, and stays out.",
        "{:,} images were left out by a person, and stay out.",
    ),
    "path": (
        "1 image was not added because another picture is in the project under its path.",
        "{:,} images were not added because other pictures are in the project under their paths.",
    ),
}
STAYS_OUT = "a person left the image out of the project; it stays out"


@dataclass(frozen=True)
class Target:
    """An image that the import writes: a new one, or one that is there and gets these labels."""

    id: str
    incoming: Incoming
    new: bool
    split: Split | None


def for_adding(
    item: Incoming, present: Mapping[str, Present], account: Account
) -> tuple[Target | None, Fate]:
    """Decide about one image when what is in use stays as it is.

    What an import that replaced, or the restoring of a version, took out of use comes back with the labels
    of the set; what a person left out stays out.
    """
    old = present.get(item.row.path)
    if old is None or (old.sha256 != item.taken.sha256 and old.idle):
        _count_used(item, account)
        return Target(new_id(), item, True, item.row.split), "new"
    if old.sha256 != item.taken.sha256:
        reason = "another picture is in the project under this path; rename it, or replace the set"
        account.skip_image(item.row.path, reason)
        _skip_labels(item, account, reason)
        return None, "path"
    account.image(item.row.path, item.row.repairs)
    if old.idle:
        _count_labels(item, account)
        return Target(old.id, item, False, old.split), "back"
    return _for_one_in_use(item, old, account)


def _for_one_in_use(item: Incoming, old: Present, account: Account) -> tuple[Target | None, Fate]:
    """Decide about an image that the project has, in use or left out by a person."""
    fresh = frozenset(zip((label.name for label in item.labels), item.geometry, strict=True))
    same = fresh == old.labels and item.negative == old.negative
    if old.left_out:
        if same or not item.labels:
            _count_labels(item, account)
        else:
            _skip_labels(item, account, STAYS_OUT)
        return None, "out"
    if not item.labels and not item.negative:
        _count_labels(item, account)
        return None, "bare"
    if same or not (old.labels or old.negative):
        _count_labels(item, account)
        return (None, "same") if same else (Target(old.id, item, False, old.split), "labelled")
    _skip_labels(item, account, f"the image is in the project {_told(old)}; that stays")
    return None, "other"


def _told(old: Present) -> str:
    if not old.labels:
        return "with nothing on it"
    return f"as “{old.names[0]}”" if len(old.labels) == 1 and old.names else "with other labels"


def for_replacing(item: Incoming, present: Mapping[str, Present], account: Account) -> tuple[Target, Fate]:
    """Decide about one image when the set takes the place of what is there."""
    _count_used(item, account)
    old = present.get(item.row.path)
    same = old is not None and old.sha256 == item.taken.sha256
    return Target(old.id if old is not None and same else new_id(), item, not same, item.row.split), "new"


def sentences(fates: Iterable[Fate]) -> list[str]:
    """Say how many images had which fate; those that are simply new are not spoken of."""
    counts = Counter(fates)
    return [
        one if counts[fate] == 1 else many.format(counts[fate])
        for fate, (one, many) in SENTENCES.items()
        if counts[fate]
    ]


def same_pixels(targets: Sequence[Target], present: Mapping[str, Present]) -> list[str]:
    """Say which new images hold the pixels of others, in the project or in the set itself."""
    new = [target.incoming.taken for target in targets if target.new]
    known = {image.sha256: image.path for image in present.values() if not image.left_out}
    old = [taken for taken in new if taken.sha256 in known]
    notes = []
    if old:
        notes.append(
            f"{len(old):,} of the new images are in the project already under another name, "
            f"such as “{old[0].path}”, which is “{known[old[0].sha256]}”."
        )
    counted = Counter(taken.sha256 for taken in new if taken.sha256 not in known)
    extra = sum(count - 1 for count in counted.values())
    if extra:
        notes.append(f"{extra:,} of the new images are exact copies of others in the set.")
    return notes


def _skip_labels(item: Incoming, account: Account, reason: str) -> None:
    for label in (*item.labels, *item.merged):
        account.skip_label(*_origin(item.row, label), reason)


def _count_used(item: Incoming, account: Account) -> None:
    account.image(item.row.path, (*item.row.repairs, *item.taken.repairs))
    _count_labels(item, account)


def _count_labels(item: Incoming, account: Account) -> None:
    labels = (*item.labels, *item.merged)
    repaired = [label for label in labels if label.repairs]
    account.labels.kept += len(labels) - len(repaired)
    for label in repaired:
        account.label(*_origin(item.row, label), label.repairs)


def _origin(row: ImageLabels, label: Label) -> tuple[str, int | None]:
    """Say where a label stands."""
    return (label.file or row.file or row.path), (label.line if label.line is not None else row.line)
