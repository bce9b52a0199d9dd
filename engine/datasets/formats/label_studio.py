"""Label Studio's JSON export: tasks with annotations in shares of a hundred.

Of several annotations of one image, the ground truth or else the latest is taken, and the row says so;
cancelled ones are none. An annotation without results makes a negative. Keypoints belong to the region
that is their parent. Choices about the whole image are classes; about a region, attributes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from engine.contracts.datasets import LabelKind
from engine.datasets.archive import IMAGE_SUFFIXES, Member
from engine.datasets.formats.base import (
    SMALL_FILE_BYTES,
    AmbiguousNameError,
    DatasetFormat,
    Reading,
    ReadOptions,
    Recognition,
    Row,
    SourceView,
    skipped,
    split_of,
)
from engine.datasets.formats.conventions import weave
from engine.datasets.formats.json_files import DamagedJsonError, items, load_json, record, words
from engine.datasets.formats.label_studio_results import Found, Regions, class_names
from engine.datasets.formats.label_studio_write import write
from engine.datasets.formats.own_kind import stated_first, stated_kind
from engine.datasets.labels import ClassHead, ImageLabels
from engine.errors import InputError

TASKS = re.compile(rb'^(?:\xef\xbb\xbf)?\s*\[\s*\{.*"(annotations|completions)"\s*:\s*\[', re.DOTALL)
OF_STUDIO = re.compile(rb'"(completed_by|was_cancelled|file_upload|to_name|data)"\s*:')
PREFIX = re.compile(r"^[0-9a-f]{8}-")
UPLOAD_PREFIX = re.compile(r"^[0-9a-f]+-")
"""What Label Studio puts before the name of an uploaded file; elsewhere only the full form is one."""
TAG_KINDS: tuple[LabelKind, ...] = ("class", "tags")
LOOKED_AT = 500  # tasks that are looked at to recognise a set


def recognise(view: SourceView) -> Recognition | None:
    """Recognise a JSON list of tasks with annotations."""
    files = _files(view)
    if not files:
        return None
    kinds: dict[str, None] = {}
    names: dict[str, None] = {}
    for member in files:
        if member.size > SMALL_FILE_BYTES:
            continue  # reading says so
        try:
            tasks = items(load_json(view, member))
        except DamagedJsonError:
            continue
        for task in tasks[:LOOKED_AT]:
            for result in _chosen(record(task))[0]:
                kinds[words(result.get("type")).removesuffix("labels")] = None
                names |= dict.fromkeys(class_names(result))
    found: list[LabelKind] = ["points"] if "keypoint" in kinds else []
    found += ["masks", "regions"] if kinds.keys() & {"polygon", "brush", "ellipse"} else []
    found += ["boxes"] if kinds.keys() & {"rectangle", "polygon", "brush", "ellipse"} else []
    found += ["class", "tags"] if "choices" in kinds and not found else []
    shown = ", ".join(f"“{member.path}”" for member in files[:3])
    own = stated_first(found, (stated_kind(view.head(member)) for member in files))
    return Recognition(f"Label Studio's JSON: {shown}", own or ("boxes",), tuple(names), len(view.images))


def read(view: SourceView, options: ReadOptions) -> Reading:
    """Read choices where classes of whole images are wanted, else the regions.

    Raises ``InputError`` for damaged JSON and when two tasks are about one image.
    """
    files = _files(view)
    heads: dict[str, ClassHead] = {}
    if options.kind == "points":
        heads = _point_heads(view, files)
    rows = _rows(view, files, options.kind in TAG_KINDS, heads)
    return Reading(rows, tuple(heads.values()))


def _files(view: SourceView) -> list[Member]:
    found = []
    for member in view.named(".json"):
        head = view.head(member)
        if TASKS.search(head) and OF_STUDIO.search(head):
            found.append(member)
    return found


def _point_heads(view: SourceView, files: list[Member]) -> dict[str, ClassHead]:
    found: dict[str, list[str]] = {}
    for member in files:
        for task in items(load_json(view, member)):
            regions = Regions(_chosen(record(task))[0])
            for name, points in regions.points_by_class():
                weave(found.setdefault(name, []), points)
    return {name: ClassHead(name, tuple(points)) for name, points in found.items()}


def _chosen(task: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Return the results of the annotation that counts, and how many there are (0: not labelled)."""
    given = [record(one) for one in items(task.get("annotations") or task.get("completions"))]
    valid = [
        one for one in given if one.get("was_cancelled") is not True and isinstance(one.get("result"), list)
    ]
    if not valid:
        return [], 0
    best = max(valid, key=lambda one: (one.get("ground_truth") is True, _when(one)))
    return [record(result) for result in best["result"]], len(valid)


def _when(annotation: dict[str, Any]) -> str:
    # All times are written in one zone and one way, so their order is that of the text.
    return words(annotation.get("updated_at")) or words(annotation.get("created_at"))


def _rows(view: SourceView, files: list[Member], tags: bool, heads: dict[str, ClassHead]) -> Iterator[Row]:
    taken: dict[str, str] = {}
    for member in files:
        for number, task in enumerate(map(record, items(load_json(view, member))), 1):
            results, annotations = _chosen(task)
            where = f"task {task.get('id', number)}"
            found = Regions(results).labels(tags, heads)
            try:
                path = find_image(view, task)
            except AmbiguousNameError as error:
                raise error.refusal(member.path) from error
            except LookupError as error:
                for _ in [*found.labels, *found.faults] or [None]:
                    yield skipped(member.path, None, f"{where}: missing image {error}")
                continue
            if path in taken:
                raise InputError(
                    f"Two tasks are about “{path}”: {taken[path]} and {where}.", "Take one of them out."
                )
            taken[path] = where
            for reason in found.faults:
                yield skipped(member.path, None, f"{where}: {reason}")
            yield _row(path, member, task, found, annotations, not results)
    for image in view.images:
        if image.path not in taken:
            yield ImageLabels(image.path)


def _row(
    path: str, member: Member, task: dict[str, Any], found: Found, annotations: int, empty: bool
) -> ImageLabels:
    repairs = (f"{annotations} annotations; the latest is taken",) if annotations > 1 else ()
    labels = tuple(replace(label, file=member.path) for label in found.labels)
    split = split_of(words(record(task.get("data")).get("split")))
    return ImageLabels(
        path,
        labels,
        split,
        member.path,
        negative=empty and annotations > 0,
        relative=True,
        size=found.size,
        repairs=repairs,
    )


# -- images -------------------------------------------------------------------------------------------


def find_image(view: SourceView, task: dict[str, Any]) -> str:
    """Return the path of the image that a task is about.

    Raises ``LookupError`` with name and reason, ``AmbiguousNameError`` when several could be meant.

    Nothing is fetched. Tried in turn: the name as it stands, the name behind ``?d=`` (local files), the
    file's name alone, and that without the sign that Label Studio puts before uploads; each must be unique.
    """
    name = _name_in(record(task.get("data"))) or words(task.get("file_upload"))
    if "://" in name:
        raise LookupError(f"“{name}”: it is an address, and nothing is fetched")
    behind = name.rpartition("?d=")[2]
    reason: Exception | str = "it has no name"
    for wanted in dict.fromkeys([name, behind, unquote(name), unquote(behind)]):
        try:
            return view.resolve(wanted)
        except LookupError as error:
            reason = error
    last = PurePosixPath(unquote(behind).replace("\\", "/")).name
    uploaded = "file_upload" in task or "upload/" in name.replace("\\", "/")
    plain = (UPLOAD_PREFIX if uploaded else PREFIX).sub("", last)
    for wanted in dict.fromkeys([last, plain]):
        try:
            return view.resolve(wanted)
        except LookupError as error:
            reason = error
    if isinstance(reason, AmbiguousNameError):
        raise reason
    raise LookupError(f"“{name}”: {reason}")


def _name_in(data: dict[str, Any]) -> str:
    """Return the text of a task's data that names an image: under "image", or with the ending of one."""
    texts = [words(data.get("image")), *(words(value) for value in data.values())]
    named = [
        text for text in texts if PurePosixPath(text.partition("?X-")[0]).suffix.lower() in IMAGE_SUFFIXES
    ]
    return (named or texts)[0]


FORMAT = DatasetFormat(
    name="label_studio",
    title="Label Studio",
    carries=frozenset({"class", "tags", "box", "boxes", "regions", "masks", "points"}),
    recognise=recognise,
    read=read,
    write=write,
    keeps=frozenset({"splits", "negatives", "runs", "ignored", "attributes"}),
)
