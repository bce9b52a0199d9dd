"""What was last seen of the weights hub: whether it answers, and how large its files are.

The web process never waits for a network, so a light job (``look``) asks and writes it down here; what is
older than ``FRESH`` no longer counts against the hub. What is wrong with one repository, or with this
machine's disk, never does. No torch here.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from engine.contracts.base import Record, utc_now
from engine.errors import HubSilentError, WeightsError
from engine.settings import Settings
from engine.storage.blobs import write_atomic

if TYPE_CHECKING:
    from engine.models.published import Published

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
    """Write down how the hub answered: ``problem`` is "" when it did, ``sizes`` in bytes by name."""
    known = hub_state(settings).sizes
    _write(settings, HubState(asked_at=utc_now(), problem=problem, sizes={**known, **(sizes or {})}))


def remember_answer(
    settings: Settings, known: Published, *, size: int | None = None, error: WeightsError | None = None
) -> None:
    """Write down what asking for ``known`` told: ``size`` in bytes, or the ``error`` that it ended with.

    Against the hub counts only that nobody answered or that it failed itself (``HubSilentError``). An answer
    clears that again; any other error, and whatever an address off the hub does, changes nothing.
    """
    sizes = {} if size is None else {known.name: size}
    if known.repository and (error is None or isinstance(error, HubSilentError)):
        remember_hub(settings, "" if error is None else error.message, sizes)
    elif sizes:
        state = hub_state(settings)
        _write(settings, state.model_copy(update={"sizes": {**state.sizes, **sizes}}))


def _write(settings: Settings, state: HubState) -> None:
    write_atomic(_path(settings), state.model_dump_json().encode())
