"""Where labels meet pixels: each row with what became of its picture, placed and fitted to the task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from engine.contracts.datasets import LabelKind
from engine.datasets import fitting, placing
from engine.datasets.account import Account
from engine.datasets.formats.base import LabelIssue, Row
from engine.datasets.intake import Taken
from engine.datasets.labels import ImageLabels, Label, Polygons
from engine.datasets.mask_values import Extent, settle
from engine.datasets.newcomers import Incoming
from engine.datasets.taking import Taking
from engine.datasets.understand import Order, Understood
from engine.errors import QuestionError


def assemble(understood: Understood, order: Order, taking: Taking) -> list[Incoming]:
    """Settle, place and fit the labels of all pictures that can be read; the rest goes to the account.

    Waits for each picture, so that labels are placed while the next pictures are decoded. Raises
    ``QuestionError`` when the set as a whole leaves something open, ``InputError`` when its masks would
    teach wrong labels.
    """
    account = understood.account
    _ask_swapped(understood.rows, order)
    incoming, pages, turned, unlearnt = [], understood.source.groups, 0, Counter[str]()
    for row in _settled(understood, order, taking):
        if isinstance(row, LabelIssue):
            account.label_issue(row.issue)
            continue
        one = taking.picture(row.path)
        if one.error:
            account.skip_image(row.path, one.error)
            _skip(row, row.labels, f"its image “{row.path}”: {one.error}", account)
            continue
        unlearnt.update(_unlearnt(row, understood.kind))
        turned += one.orientation != 1 and _unsaid(row)
        # Pages of one file are no independent pictures.
        whole = replace(row, group=row.group or pages[row.path]) if row.path in pages else row
        incoming.append(_one(whole, one, understood.kind, order, account))
    understood.notes.extend(
        f"The {shape} of {count:,} {'label' if count == 1 else 'labels'} are not kept: "
        "the task does not learn them."
        for shape, count in unlearnt.items()
    )
    if turned:
        understood.notes.append(
            "Labelled pictures that their EXIF data turns, while the set does not say which way up it saw "
            f"them: {turned:,}. The labels are taken as upright; look at some."
        )
    return incoming


def _unlearnt(row: ImageLabels, kind: LabelKind) -> Iterator[str]:
    """Name the shapes of a row that its task has no use for, once for each label."""
    for label in row.labels:
        if label.mask is not None and kind not in ("masks", "regions"):
            yield "outlines"
        if label.points is not None and kind != "points":
            yield "points"


def _unsaid(row: ImageLabels) -> bool:
    """Whether nothing tells which way up the coordinates of a row are."""
    drawn = any(label.box or label.points or isinstance(label.mask, Polygons) for label in row.labels)
    return drawn and (row.relative or row.size is None)


def _settled(understood: Understood, order: Order, taking: Taking) -> Iterable[Row]:
    """Ask about sizes that do not agree, and turn mask pictures into labels where there are any."""
    asked = _ask_sizes(understood.rows, order, taking)
    if not any(row.masks for row in understood.rows):
        return asked
    rows = list(asked)
    usable = {row.path: one for row in rows if not (one := taking.picture(row.path)).error}
    extents = {path: Extent(one.width, one.height, one.orientation) for path, one in usable.items()}
    # What a value means is only known when all masks have been seen.
    pictures = {mask.path: taking.mask(mask.path) for row in rows if row.path in usable for mask in row.masks}
    settled = settle(rows, pictures, extents, understood.reading.mask_values, order.void)
    understood.notes.extend(settled.notes)
    known = {head.name for head in understood.heads}
    understood.heads.extend(head for head in settled.classes if head.name not in known)
    return settled.rows


def _one(row: ImageLabels, taken: Taken, kind: LabelKind, order: Order, account: Account) -> Incoming:
    if not row.labels:
        return Incoming(row, taken, ())
    picture = placing.Picture(taken.width, taken.height, taken.orientation)
    placed = placing.place(row, picture, swap_boxes=order.swap_boxes, rescale=order.rescale)
    fitted = fitting.fit(placed.labels, kind, (taken.width, taken.height))
    for label, reason in (*placed.skipped, *fitted.skipped):
        _skip(row, (label,), f"{_place(row, label)}{reason}", account)
    # From here on the row's own labels are not needed; a large set would hold them twice.
    labels, merged = ([_located(row, one) for one in some] for some in (fitted.labels, fitted.merged))
    return Incoming(replace(row, labels=()), taken, tuple(labels), tuple(merged))


def _located(row: ImageLabels, label: Label) -> Label:
    """Name the image in what was repaired, where file and line do not lead to it."""
    if not label.repairs:
        return label
    first, *others = label.repairs
    return replace(label, repairs=(f"{_place(row, label)}{first}", *others))


def _place(row: ImageLabels, label: Label) -> str:
    if label.file or label.line is not None or row.line is not None or row.file in ("", row.path):
        return ""
    return f"“{row.path}”: "


def _skip(row: ImageLabels, labels: Sequence[Label], reason: str, account: Account) -> None:
    for label in labels:
        line = label.line if label.line is not None else row.line
        account.skip_label(label.file or row.file or row.path, line, reason)


def _ask_swapped(rows: Sequence[ImageLabels], order: Order) -> None:
    """Ask what only a person can know: a consistent mistake may be put right, a single one not."""
    agreed = order.swap_boxes or order.accept_skips
    boxes = [label for row in rows if not agreed for label in row.labels if label.box is not None]
    if boxes and all(map(placing.inverted, boxes)):
        row = next(row for row in rows if boxes[0] in row.labels)
        raise QuestionError(
            f"In each of the {len(boxes):,} boxes one end stands before its beginning, as in "
            f"{_example(row, boxes[0])}.",
            "If the corners were written the other way round throughout, exchange them; "
            "else skip these boxes (--accept-skips).",
            flag="--swap-boxes",
        )


def _example(row: ImageLabels, label: Label) -> str:
    """Name a box with the place where it stands."""
    file, line = label.file or row.file or row.path, label.line if label.line is not None else row.line
    place = f"{file}, line {line}" if line is not None else f"{file}, “{row.path}”"
    return f"{place}: {', '.join(f'{value:g}' for value in label.box or ())}"


def _ask_sizes(rows: Sequence[ImageLabels], order: Order, taking: Taking) -> Iterator[ImageLabels]:
    """Yield the rows; ask at the first whose labels are for another size than its picture has."""
    for row in rows:
        one = taking.picture(row.path)
        agreed = one.error or order.rescale or order.accept_skips
        if not agreed and placing.scaled_size(row, placing.Picture(one.width, one.height)):
            raise QuestionError(
                f"The labels of “{row.path}” are for {row.size[0]} x {row.size[1]} px"
                f", but the picture has {one.width} x {one.height}."
                if row.size
                else "",
                "Rescale such labels with their pictures, or skip them (--accept-skips).",
                flag="--rescale",
            )
        yield row
