"""What was last seen of the weights hub: whether it answers, and how large its files are.

The web process never waits for a network, so a light job (``look``) asks and writes it down here; what is
older than ``FRESH`` no longer counts against the hub. No torch here.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from pydantic import Field, ValidationError

from engine.contracts.base import Record, utc_now
from engine.settings import Settings
from engine.storage.blobs import write_atomic

FRESH = timedelta(minutes=10)


class HubState(Record):
    """``problem`` is "" when the hub answered; ``sizes`` are bytes by repository or file name."""

    asked_at: datetime | None = None
    problem: str = ""
    sizes: dict[str, int] = Field(default_factory=dict)


def _path(settings: Settings) -> Path:
    return settings.cache / "hub.json"


def hub_state(settings: Settings) -> HubState:
    """Return what is known now; a problem is forgotten after ``FRESH``."""
    path = _path(settings)
    if not path.is_file():
        return HubState()
    try:
        state = HubState.model_validate_json(path.read_bytes())
    except ValidationError:
        return HubState()  # of another version; it is asked again
    old = state.asked_at is None or utc_now() - state.asked_at > FRESH
    return state.model_copy(update={"problem": "", "asked_at": None}) if old else state


def remember_hub(settings: Settings, problem: str, sizes: dict[str, int] | None = None) -> None:
    """Write down how the hub answered."""
    known = hub_state(settings).sizes
    state = HubState(asked_at=utc_now(), problem=problem, sizes={**known, **(sizes or {})})
    write_atomic(_path(settings), state.model_dump_json().encode())
