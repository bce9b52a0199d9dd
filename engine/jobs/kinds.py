"""The kinds of job: one tuple says for each its name, its lane and the code that a child loads.

Job code is named by a dotted string, so that whoever queues a job never imports it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import InputError

EXTRA_KINDS = "LENSMITH_EXTRA_KINDS"
"""Environment variable: a module with a tuple ``KINDS`` of further kinds, for tests and extensions."""

LANES: Mapping[str, int] = {"heavy": 1, "light": 2, "serving": 1, "network": 2}
"""Slots by lane; a probe never waits behind a training, nor an import behind a slow download.

The heavy lane is the machine's one device. With several devices it becomes one lane each
(``heavy:cuda:0``), and the lane of a training is chosen when it is queued, as the claim knows only lanes.
"""

GIB = 2**30
WEIGHTS_JOBS = "engine.models.weights_jobs"


@dataclass(frozen=True)
class JobKind:
    """One kind of job.

    ``retries`` is how many attempts in a row may end without a new checkpoint before the job counts as
    failed; 0 means that it does not go on by itself. ``memory`` limits the child's private memory, bytes.
    A training has no such limit, although it may read a weights file from outside: what it needs depends
    on backbone, batch and device, and drivers count their mappings as private memory. Such a file is bounded
    by ``Limits.weights_bytes`` and read with ``weights_only``.
    """

    name: str
    lane: str
    handler: str
    title: str
    retries: int = 3
    memory: int | None = None


KINDS: tuple[JobKind, ...] = (
    JobKind("import", "light", "engine.datasets.importer:run", "The import", memory=2 * GIB),
    JobKind("recognise", "light", "engine.datasets.offers:run", "The look at the set", memory=2 * GIB),
    JobKind("export-set", "light", "engine.datasets.exporter:run", "The export of the set", memory=2 * GIB),
    JobKind("train", "heavy", "engine.training.run:run", "The training"),
    JobKind("export", "light", "engine.export.job:run", "The export"),
    JobKind("serve", "serving", "engine.serving.server:run", "The prediction process", retries=0),
    JobKind("catalog", "light", "engine.models.catalog:write_catalog", "The model list"),
    JobKind("fetch-weights", "network", f"{WEIGHTS_JOBS}:fetch_weights", "The download", memory=2 * GIB),
    JobKind("import-weights", "light", f"{WEIGHTS_JOBS}:import_weights", "The import", memory=10 * GIB),
    JobKind("look", "light", f"{WEIGHTS_JOBS}:look", "The look at the hub", memory=2 * GIB),
)


def all_kinds() -> tuple[JobKind, ...]:
    """Return the built-in kinds and those of the module named in ``LENSMITH_EXTRA_KINDS``."""
    module = os.environ.get(EXTRA_KINDS)
    extra: tuple[JobKind, ...] = importlib.import_module(module).KINDS if module else ()
    return KINDS + extra


def kind_named(name: str) -> JobKind:
    """Return the kind with this name; raises ``InputError`` when there is none."""
    for kind in all_kinds():
        if kind.name == name:
            return kind
    raise InputError(f"There is no kind of job called '{name}'.")
