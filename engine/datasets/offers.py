"""Looking at a source before it is taken in: what it could be, and why.

``run`` is the code of jobs of kind ``recognise``. It reads and writes nothing of a project.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.contracts.datasets import ImportOffer, LabelKind, LabelSchema
from engine.contracts.jobs import Work
from engine.datasets.archive import open_source
from engine.datasets.formats.registry import Found, recognise, serving
from engine.datasets.staging import scratch_folder
from engine.datasets.understand import Order, nothing_found


def run(work: Work) -> dict[str, Any]:
    """Return the offers for a source, the recommended one first, as plain values under ``offers``.

    Raises ``InputError`` when it holds no pictures.
    """
    order = Order.from_payload(work.payload)
    work.progress(0.0, "Reading the list of files")
    with scratch_folder(work) as scratch:
        source = open_source(order.paths, work.settings.limits, scratch)
        work.progress(0.2, "Looking what it is")
        found = serving(recognise(source), None)
        if not found:
            raise nothing_found(source, order)
        offers = list(_offers(found, order.tasks))
    return {"offers": [offer.model_dump(mode="json") for offer in offers]}


def _offers(found: list[Found], tasks: Mapping[LabelKind, str]) -> Iterator[ImportOffer]:
    """Give one offer for each task, format and sort of labels.

    Pictures without labels are offered only when there is nothing else.
    """
    for one in found:
        if "none" in one.recognition.kinds:
            if len(found) == 1:
                yield from (_offer(one, task) for task in tasks.values())
            continue
        for kind in one.recognition.kinds:
            if kind not in tasks:
                continue
            schemas = one.recognition.schemas_for(kind)
            for schema in schemas if len(schemas) > 1 else (None,):
                yield _offer(one, tasks[kind], schema)


def _offer(found: Found, task: str, schema: LabelSchema | None = None) -> ImportOffer:
    """Give the offer of one format; reason, classes and images are those of the sort of labels."""
    recognition = found.recognition.of_schema(schema.name if schema else "")
    return ImportOffer(
        task=task,
        format=found.format.name,
        format_title=found.format.title,
        reason=recognition.reason,
        classes=recognition.classes,
        images=recognition.images,
        schema_name=schema.name if schema else "",
        schema_title=schema.title if schema else "",
    )
