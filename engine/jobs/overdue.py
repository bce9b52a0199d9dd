"""When a running job counts as hung: its lease ran out although it could have been renewed.

A long transaction, such as an import's last one, has SQLite's one write lock to itself. Meanwhile nobody
renews a lease: neither the job that writes nor any job beside it. So a lease that ran out says something
only about the time in which the database was free.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from engine.settings import Timing

LONGEST_WRITE = 1800.0
"""Seconds after which whoever still holds the database counts as hung."""

PROMPT = 1.0
"""Seconds within which a free database is had; a longer wait means that it was held."""

HEARTBEATS = 2
"""Heartbeats that a job may miss on a free database, once its lease has run out."""

Key = tuple[str, int]
"""A job and its attempt."""


class Overdue:
    """What one worker knows about leases that ran out, from turn to turn."""

    def __init__(self, timing: Timing) -> None:
        self._grace = HEARTBEATS * timing.heartbeat
        self._since: dict[Key, float] = {}  # on a free database, s of the monotonic clock
        self._held_since: float | None = None

    def held(self) -> bool:
        """Note that the database was not to be had; say whether that lasts too long for any write."""
        now = time.monotonic()
        self._since.clear()
        if self._held_since is None:
            self._held_since = now
        return now - self._held_since > LONGEST_WRITE

    def free(self) -> None:
        """Note that a whole turn found the database free."""
        self._held_since = None

    def missed(self, late: Iterable[Key], waited: float) -> set[Key]:
        """Return those of ``late`` that had time enough to renew their leases and did not.

        Args:
            late: The jobs whose leases have run out, as read while holding the database.
            waited: Seconds that it took to get hold of the database for that.
        """
        now = time.monotonic()
        earlier = self._since if waited <= PROMPT else {}
        self._since = {key: earlier.get(key, now) for key in late}
        return {key for key, since in self._since.items() if now - since >= self._grace}
