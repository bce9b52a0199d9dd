"""Looking at a source before it is taken in: what it could be, and why.

``run`` is the code of jobs of kind ``recognise``. It reads and writes nothing of a project.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.contracts.datasets import ImportOffer, LabelKind
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
    """Give one offer for each task and format; pictures without labels only when there is nothing else."""
    for one in found:
        recognition = one.recognition
        common = {
            "format": one.format.name,
            "format_title": one.format.title,
            "reason": recognition.reason,
            "classes": recognition.classes,
            "images": recognition.images,
        }
        if "none" in recognition.kinds:
            if len(found) == 1:
                for task in tasks.values():
                    yield ImportOffer(task=task, **common)
            continue
        for kind in recognition.kinds:
            if kind not in tasks:
                continue
            schemas = [one for one in recognition.schemas if kind == "points" or not one.points]
            if len(schemas) > 1:
                for schema in schemas:
                    yield ImportOffer(
                        task=tasks[kind],
                        **{**common, "images": schema.images},
                        schema_name=schema.name,
                        schema_title=schema.title,
                    )
            else:
                yield ImportOffer(task=tasks[kind], **common)
