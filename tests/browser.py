"""How tests start a Chromium; without one, browser tests are skipped and say how to get one."""

from __future__ import annotations

HOW_TO_GET_ONE = (
    "No Chromium found: install one (`apt install chromium`, `brew install --cask chromium`, or "
    "`.venv/bin/playwright install chromium`) or name it in CHROMIUM_PATH."
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
