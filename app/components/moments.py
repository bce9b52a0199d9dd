"""Times as a person at this browser reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from app.components.formats import when


def moment_here(moment: datetime) -> str:
    """Write a time in the time zone of the browser, such as "today, 12:56"."""
    try:
        zone = ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):  # an old browser may name what this machine does not know
        zone = ZoneInfo("UTC")
    return when(moment.astimezone(zone), datetime.now(UTC).astimezone(zone))
