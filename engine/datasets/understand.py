"""Before the pixels: what was asked for, what the source is, and which labels it holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.contracts.datasets import LabelKind
from engine.datasets.account import Account
from engine.datasets.archive import Source
from engine.datasets.commit import Mode
from engine.datasets.edits import CLASS_NAME_LENGTH
from engine.datasets.formats.base import DatasetFormat, ImageLabels, LabelIssue, SourceView
from engine.datasets.formats.registry import get_format, recognise
from engine.datasets.staging import listed_files, staged_files
from engine.errors import InputError, LimitError, QuestionError
from engine.settings import Limits

MINIMUM_CLASSES = 2
SHOWN_CLASSES = 5  # names in a sentence


@dataclass(frozen=True)
class Order:
    """What a person asked for; from the job's payload."""

    paths: tuple[tuple[str, Path], ...]
    name: str
    project_id: str
    task: str
    labels: LabelKind
    format: str | None = None
    mode: Mode = "new"
    accept_skips: bool = False
    merge_classes: bool = False

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Order:
        """Read the payload; ``source`` is a ZIP, a folder, a picture, or a staged list of files."""
        source, name = Path(payload["source"]), str(payload.get("source_name") or "")
        staged = staged_files(payload)
        if not all(path.exists() for path in staged):
            raise InputError("What was uploaded for this import is not there any more.", "Upload it again.")
        return cls(
            paths=(listed_files(source) if staged else ()) or ((name or source.name, source),),
            name=name or source.name,
            project_id=payload["project_id"],
            task=payload["task"],
            labels=payload["labels"],
            format=payload.get("format") or None,
            mode=payload.get("mode") or "new",
            accept_skips=bool(payload.get("accept_skips")),
            merge_classes=bool(payload.get("merge_classes")),
        )


@dataclass(frozen=True)
class Known:
    """What the project holds before the import; ``names`` are those of its classes."""

    preprocessing: dict[str, Any]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Understood:
    """A source with the format that it is read as, why, and what was read."""

    source: Source
    format: DatasetFormat
    reason: str
    rows: Sequence[ImageLabels]
    account: Account


def understand(source: Source, order: Order, known: Known, limits: Limits) -> Understood:
    """Recognise the format of a source and read its labels.

    Raises ``QuestionError`` when a person must decide, other ``InputError`` when it cannot be used.
    """
    chosen, reason = _choose_format(source, order)
    account = Account()
    rows = _read_rows(source, chosen, account, limits)
    rows = _merge_classes(rows, known.names, order.merge_classes)
    _refuse_too_few(rows, known.names, chosen, order)
    return Understood(source, chosen, reason, rows, account)


def _choose_format(source: Source, order: Order) -> tuple[DatasetFormat, str]:
    if not source.images:
        skipped = f" The first that was not taken: {': '.join(source.skipped[0])}." if source.skipped else ""
        raise InputError(
            f"There are no pictures in “{source.name}”.{skipped}",
            "JPEG, PNG, BMP, WEBP, TIFF and GIF are read.",
        )
    if order.format is not None:
        return get_format(order.format, order.labels), "chosen by hand"
    guess = recognise(source, order.labels)[0]
    return get_format(guess.format, order.labels), guess.reason


def _read_rows(source: Source, chosen: DatasetFormat, account: Account, limits: Limits) -> list[ImageLabels]:
    """Read all rows, counting what is no image's; refuse overlong and too many class names."""
    rows: list[ImageLabels] = []
    names: set[str] = set()
    for path, reason in source.skipped:
        account.skip_image(path, reason)
    for row in chosen.read(SourceView(source)):
        if isinstance(row, LabelIssue):
            account.label_issue(row.issue)
            continue
        names.update(row.labels)
        if len(names) > limits.classes:
            raise LimitError(f"The set has more than {limits.classes:,} classes.")
        rows.append(row)
    overlong = next((name for name in names if len(name) > CLASS_NAME_LENGTH), None)
    if overlong is not None:
        raise InputError(
            f"The class name “{overlong[:40]}…” is longer than {CLASS_NAME_LENGTH} characters.",
            "Is this the column of the classes?",
        )
    return rows


def _merge_classes(rows: Sequence[ImageLabels], known: Sequence[str], confirmed: bool) -> list[ImageLabels]:
    """Merge classes whose names differ only in case, when a person has confirmed it.

    A name that the project has (``known``) stays as it is; others become the most frequent.
    """
    counts = Counter(name for row in rows for name in row.labels)
    groups: dict[str, list[str]] = defaultdict(list)
    for name in (*known, *sorted(counts.keys() - set(known), key=lambda name: (-counts[name], name))):
        groups[name.casefold()].append(name)
    into = {name: names[0] for names in groups.values() for name in names[1:] if name not in known}
    if into and not confirmed:
        doubled = [groups[name.casefold()] for name in dict.fromkeys(into.values())][:SHOWN_CLASSES]
        listed = "; ".join(" and ".join(f"“{name}”" for name in names) for names in doubled)
        raise QuestionError(
            f"Some classes differ only in upper and lower case: {listed}.",
            "Merge them, or rename them in the set.",
            flag="--merge-classes",
        )
    return [_renamed(row, into) for row in rows]


def _renamed(row: ImageLabels, into: dict[str, str]) -> ImageLabels:
    old = row.labels[0] if row.labels else None
    if old not in into:
        return row
    repair = f"class “{old}” merged into “{into[old]}”"
    return replace(row, labels=(into[old],), repairs=(*row.repairs, repair))


def _refuse_too_few(
    rows: Sequence[ImageLabels], known: Sequence[str], chosen: DatasetFormat, order: Order
) -> None:
    """Refuse a labelled set of fewer than two classes, together with those of the project."""
    if chosen.labels == "none":
        return
    names = {*known, *(name for row in rows for name in row.labels)}
    if len(names) < MINIMUM_CLASSES:
        found = f"only one class, “{next(iter(names))}”" if names else "no class"
        raise InputError(
            f"“{order.name}” holds {found}; two are needed to tell apart.",
            "Put the pictures of each class into a folder of its own, or list them in a CSV table.",
        )
