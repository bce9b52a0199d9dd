"""Records about files that the web server hands out."""

from __future__ import annotations

from pathlib import Path

from engine.contracts.base import Record


class ServedFile(Record):
    """A file to send: where it lies, what it is, the name to save it under, and its validator."""

    path: Path
    media_type: str
    name: str
    etag: str
