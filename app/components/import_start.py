"""Starting what an import order says: a look at the set, or the import itself."""

from __future__ import annotations

from app import state
from app.components.import_order import ImportOrder, open_order
from app.engine_client import client
from engine.errors import NotFoundError


def look(order: ImportOrder, project: str | None) -> None:
    """Start looking what a set could be taken in as, and watch that; raises as the facade does."""
    write = f"look-{project}-{order}"
    job = client().datasets.start_recognition(order.path, uploads=order.uploads, key=state.write_key(write))
    state.written(write)
    open_order(job.id, order.changed(looked=job.id), project)


def start(order: ImportOrder, project: str | None) -> None:
    """Start an import and watch it; raises as the facade does.

    The address keeps the project that a person came to, not the one that an import made: when that import
    fails, the next set is a project of its own.
    """
    write = f"import-{project}-{order}"  # another order is another import
    job = client().datasets.start_import(
        order.path,
        uploads=order.uploads,
        project=project,
        name=None if project else order.title.strip() or order.suggestion or None,
        key=state.write_key(write),
        **{"mode": "add" if project else "new", **order.choices()},
    )
    state.written(write)
    open_order(job.id, order, state.here().project)


def is_there(order: ImportOrder) -> bool:
    """Say whether what was uploaded for an order can be read once more.

    A place on this machine counts as there: whether it may be read, and is, is for the facade to say.
    """
    try:
        return all(client().datasets.upload_path(upload).exists() for upload in order.uploads)
    except NotFoundError:
        return False
