"""The machine that Lensmith runs on, in words, with what stands in the way of working."""

from __future__ import annotations

import streamlit as st

from app.components.formats import count, plain, size
from app.components.page import card, say
from app.engine_client import client
from engine.contracts.models import Machine


def machine_card() -> None:
    """Draw what there is to compute with, and where things are kept."""
    machine = client().models.machine()
    for n, problem in enumerate(machine.problems):
        say(problem, "look", key=f"machine-{n}")
    if not machine.worker:
        say("No worker is running, so nothing is trained, fetched or imported. “lensmith up” starts one.",
            "look", key="worker")  # fmt: skip
    with card("machine", "This machine"):
        for column, facts in zip(st.columns(3), _facts(machine), strict=True):
            with column:
                for name, text in facts.items():
                    st.markdown(f":gray[{name}]  \n{plain(text)}")


def _facts(machine: Machine) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return what there is to compute with, the room there is, and the rest of the house."""
    devices = [
        device.title + (f", {size(device.memory)}" if device.memory and device.name != "cpu" else "")
        for device in machine.devices
    ]
    return (
        {
            "Computes on": ", ".join(devices) or f"not measured yet, {count(machine.cores, 'core')}",
            "Worker": machine.worker or "not running",
        },
        {"Memory": size(machine.memory), "Free on the disk": size(machine.disk_free)},
        {
            "Workspace folder": machine.home,
            "Versions": f"Python {machine.python}, torch {machine.torch}",
            "Browser for tests": machine.browser or "none found",
        },
    )
