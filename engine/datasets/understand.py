"""Before the pixels: what was asked for, what the source is, and which labels it holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from engine.contracts.datasets import LabelKind
from engine.datasets.account import Account
from engine.datasets.archive import Source
from engine.datasets.commit import Mode
from engine.datasets.edits import CLASS_NAME_LENGTH
from engine.datasets.formats.base import (
    LabelIssue,
    Reading,
    ReadOptions,
    Recognition,
    SourceView,
    number_of,
)
from engine.datasets.formats.registry import Found, get_format, is_explicit, recognise, serving
from engine.datasets.labels import ClassHead, ImageLabels
from engine.datasets.staging import listed_files, staged_files
from engine.datasets.taking import Taking
from engine.errors import InputError, LimitError, QuestionError
from engine.settings import Limits

MINIMUM_CLASSES: Mapping[LabelKind, int] = {"class": 2, "none": 0}
"""How many classes a labelled set has at least; of the others, one."""
SHOWN_CLASSES = 5  # names in a sentence
BARE = "loose_images"
"""The format that reads pictures alone, whatever lies beside them."""


@dataclass(frozen=True)
class Order:
    """What a person asked for; from the job's payload.

    ``tasks`` says which task learns which kind of label; ``task`` is None when nobody has chosen one;
    ``titles`` are the names of tasks for a person.
    """

    paths: tuple[tuple[str, Path], ...]
    name: str
    project_id: str
    task: str | None
    tasks: Mapping[LabelKind, str]
    format: str | None = None
    schema: str = ""
    mode: Mode = "new"
    accept_skips: bool = False
    merge_classes: bool = False
    swap_boxes: bool = False
    rescale: bool = False
    void: Literal["", "class", "ignore"] = ""
    channels: str = ""
    titles: Mapping[str, str] = field(default_factory=dict)

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
            task=payload.get("task") or None,
            # An order that was queued before there were several tasks names the one kind of its own.
            tasks=payload.get("tasks") or {payload["labels"]: payload["task"]},
            format=payload.get("format") or None,
            schema=payload.get("schema") or "",
            mode=payload.get("mode") or "new",
            void=payload.get("void") or "",
            channels=payload.get("channels") or "",
            titles=payload.get("titles") or {},
            **{name: bool(payload.get(name)) for name in YES_OR_NO},
        )

    @property
    def kind(self) -> LabelKind | None:
        """The kind of label that the chosen task learns; None when no task is chosen."""
        found = [kind for kind, task in self.tasks.items() if task == self.task]
        return found[0] if found else None


YES_OR_NO = ("accept_skips", "merge_classes", "swap_boxes", "rescale")


@dataclass(frozen=True)
class Known:
    """What the project holds before the import; ``names`` are those of its classes."""

    preprocessing: dict[str, Any]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Understood:
    """A source with the format and kind of label that it is read as, why, and what was read."""

    source: Source
    found: Found
    kind: LabelKind
    task: str
    reading: Reading
    rows: Sequence[ImageLabels]
    account: Account
    heads: list[ClassHead] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """Why it is read so, for a person."""
        return self.found.recognition.reason


def understand(
    source: Source,
    order: Order,
    known: Known,
    limits: Limits,
    scratch: Path,
    taking: Taking,
    *,
    account: Account,
) -> Understood:
    """Recognise the format of a source and read its labels, while ``taking`` takes in their pictures.

    ``scratch`` is a folder for what a format must unpack; it stays as long as the pictures are read. What
    is no image's goes to ``account``.

    Raises ``QuestionError`` when a person must decide, other ``InputError`` when it cannot be used.
    """
    found, kind, notes = choose(source, order)
    options = ReadOptions(kind, order.schema, order.merge_classes, order.swap_boxes)
    _ask_schema(found.recognition, kind, order)
    found = replace(found, recognition=found.recognition.of_schema(order.schema))
    if found.format.expand is not None:
        inside = found.format.expand(found.view, scratch)
        source = replace(source, members=(*source.members, *inside))
        found = replace(found, view=SourceView(source, found.view.opened, found.view.kept))
    reading = found.format.read(found.view, options)
    taking.begin(source.members, reading.mask_values.colors, len(source.images))
    taking.order(reading.ahead)
    rows = _read_rows(source, reading, account, limits, taking)
    taking.complete()
    rows = _merge_classes(rows, known.names, order.merge_classes)
    _refuse_too_few(rows, reading, known.names, found, order, kind)
    task = order.task or order.tasks[kind]
    notes = [*reading.notes, *found.beside, *notes]
    return Understood(source, found, kind, task, reading, rows, account, list(reading.classes), notes)


def choose(source: Source, order: Order) -> tuple[Found, LabelKind, list[str]]:
    """Choose format and kind of label, and say what else the source could be.

    Raises ``InputError`` when it holds no pictures, or not what was asked for.
    """
    wanted = order.kind
    if order.format is not None and wanted is not None:
        chosen = get_format(order.format, wanted)
        view = SourceView(source)
        known = chosen.recognise(view)
        found = Found(chosen, known or Recognition("chosen by hand", (wanted,)), view)
        return found, wanted, []
    all_found = [one for one in recognise(source) if order.format in (None, one.format.name)]
    fitting = serving(all_found, wanted)
    _refuse_other_labels(source, order, all_found, fitting)
    if not fitting:
        raise nothing_found(source, order)
    best = fitting[0]
    # What is recognised first; pictures without labels serve any task.
    kind = next(one for one in (*best.recognition.kinds, *order.tasks) if one in order.tasks)
    if wanted is not None:
        kind = wanted
    return best, kind, [*_others(fitting, kind, order), *_unused(fitting, kind)]


def _refuse_other_labels(
    source: Source, order: Order, found: Sequence[Found], fitting: Sequence[Found]
) -> None:
    """Ask about a set whose labels are for another task: taken as bare pictures, it would lose them."""
    other = next((one for one in found if is_explicit(one)), None)
    if other is None or any(is_explicit(one) for one in fitting) or order.format is not None:
        return
    if fitting and "none" not in fitting[0].recognition.kinds:
        return
    known = [order.tasks[kind] for kind in other.recognition.kinds if kind in order.tasks]
    tasks = [order.titles.get(task, task) for task in known]
    wanted = order.titles.get(order.task or "", order.task)
    raise QuestionError(
        f"“{source.name}” holds labels for {' or '.join(tasks)} ({other.format.title}), not for {wanted}.",
        "Take it into a project of its own, or its pictures without their labels.",
        flag="--format",
        choices=(BARE,),
    )


def _others(found: Sequence[Found], kind: LabelKind, order: Order) -> list[str]:
    """Say what else the set could be taken as, where nobody has chosen."""
    if order.task is not None:
        return []
    names = [
        f"{order.tasks[other]} ({one.format.title})"
        for one in found
        for other in one.recognition.kinds
        if other in order.tasks and other != kind
    ]
    return [f"It could also be taken as {', '.join(dict.fromkeys(names))}."] if names else []


def _unused(found: Sequence[Found], kind: LabelKind) -> list[str]:
    """Say which other labels of the same kind lie beside those that are read."""
    return [
        f"Not read: {one.format.title}, {one.recognition.reason}."
        for one in found[1:]
        if is_explicit(one) and kind in one.recognition.kinds
    ]


def nothing_found(source: Source, order: Order) -> InputError:
    """Say why a source cannot be used as what was asked for."""
    if not source.images:
        skipped = f" The first that was not taken: {': '.join(source.skipped[0])}." if source.skipped else ""
        return InputError(
            f"There are no pictures in “{source.name}”.{skipped}",
            "JPEG, PNG, BMP, WEBP, TIFF, HEIC and GIF are read.",
        )
    task = order.titles.get(order.task or "", order.task)
    what = f"the format “{order.format}”" if order.format else f"the task “{task}”"
    return InputError(
        f"“{source.name}” does not look like a set for {what}.",
        "Leave the choice open to see what it looks like.",
    )


def _ask_schema(recognition: Recognition, kind: LabelKind, order: Order) -> None:
    """Ask which sort of labels, where the set has several that do not fit into one project."""
    schemas = recognition.schemas_for(kind)
    names = [schema.name for schema in schemas]
    if len(names) < 2 or order.schema in names:
        return
    listed = "; ".join(one.title for one in schemas[:SHOWN_CLASSES])
    raise QuestionError(
        f"The set has {len(names)} sorts of labels: {listed}.",
        "Choose one; the others go into projects of their own.",
        flag="--schema",
        choices=tuple(names),
    )


def _read_rows(
    source: Source, reading: Reading, account: Account, limits: Limits, taking: Taking
) -> list[ImageLabels]:
    """Read all rows, counting what is no image's; refuse overlong and too many class names."""
    rows: list[ImageLabels] = []
    names = {head.name for head in reading.classes}
    for path, reason in source.skipped:
        account.skip_image(path, reason)
    for row in reading.rows:
        if isinstance(row, LabelIssue):
            account.label_issue(row.issue)
            continue
        names.update(row.names)
        if len(names) > limits.classes:
            raise LimitError(f"The set has more than {limits.classes:,} classes.")
        rows.append(row)
        taking.order_row(row)
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
    counts = Counter(label.name for row in rows for label in row.labels if label.name)
    groups: dict[str, list[str]] = defaultdict(list)
    for name in (*known, *sorted(counts.keys() - set(known), key=lambda name: (-counts[name], name))):
        groups[name.casefold()].append(name)
    into = {name: names[0] for names in groups.values() for name in names[1:] if name not in known}
    if into and not confirmed:
        doubled = [groups[name.casefold()] for name in dict.fromkeys(into.values())][:SHOWN_CLASSES]
        told = {name: number_of(counts[name], "label") for names in doubled for name in names}
        told.update({name: "in the project" for name in known if not counts[name]})
        listed = "; ".join(" and ".join(f"“{name}” ({told[name]})" for name in names) for names in doubled)
        raise QuestionError(
            f"Some classes differ only in upper and lower case: {listed}.",
            "Merge them, or rename them in the set.",
            flag="--merge-classes",
        )
    return [_renamed(row, into) for row in rows] if into else list(rows)


def _renamed(row: ImageLabels, into: Mapping[str, str]) -> ImageLabels:
    if not into.keys() & set(row.names):
        return row
    labels = tuple(
        replace(
            label,
            name=into[label.name],
            repairs=(*label.repairs, f"class “{label.name}” merged into “{into[label.name]}”"),
        )
        if label.name in into
        else label
        for label in row.labels
    )
    return replace(row, labels=labels)


def _refuse_too_few(
    rows: Sequence[ImageLabels],
    reading: Reading,
    known: Sequence[str],
    found: Found,
    order: Order,
    kind: LabelKind,
) -> None:
    """Refuse a labelled set of fewer classes than its kind needs, together with those of the project."""
    if "none" in found.format.carries or any(row.masks for row in rows):
        return
    names = {*known, *(head.name for head in reading.classes), *(name for row in rows for name in row.names)}
    least = MINIMUM_CLASSES.get(kind, 1)
    if len(names - {""}) >= least:
        return
    count = f"only one class, “{next(iter(names))}”" if names else "no class"
    needed = "two are needed to tell apart" if least > 1 else "one is needed"
    raise InputError(
        f"“{order.name}” holds {count}; {needed}.",
        "Put the pictures of each class into a folder of its own, or list them in a CSV table."
        if kind == "class"
        else "Label something first, or import the pictures alone.",
    )
