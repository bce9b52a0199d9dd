"""The web server: ``uvicorn app.server:app`` serves the screens, our routes and the check before both.

One process, one port. It holds nothing that would be missed: it may be killed at any moment.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from streamlit import config, file_util

from app.engine_client import client
from app.routes import ROUTES
from app.routes.errors import HANDLERS
from app.security import Access, SecurityMiddleware, content_security_policy

ROOT: Final = Path(__file__).resolve().parents[1]
SCRIPT: Final = ROOT / "app" / "main.py"


def load_config() -> None:
    """Make Streamlit read ``.streamlit/config.toml`` of this project, whatever the working directory.

    Streamlit looks for the file only where the process was started and beside the script; it keeps what
    it read for the life of the process.
    """
    with contextlib.chdir(ROOT):
        config.get_config_options(force_reparse=True)


def access() -> Access:
    """Return what the workspace lets in."""
    workspace = client()
    hosts = tuple(host.lower() for host in workspace.settings.allowed_hosts)
    return Access(workspace.token, hosts)


@contextlib.asynccontextmanager
async def _open_workspace(_app: st.App) -> AsyncIterator[dict[str, Any]]:
    # A workspace that cannot be opened should stop the server at its start, with its sentence.
    await run_in_threadpool(access)
    yield {}


def _page_policy() -> str:
    index = Path(file_util.get_static_dir()) / "index.html"
    return content_security_policy(index.read_text("utf-8"))


def create_app(script: Path = SCRIPT) -> st.App:
    """Build the server around the Streamlit ``script``."""
    load_config()
    return st.App(
        script,
        lifespan=_open_workspace,
        routes=ROUTES,
        middleware=[Middleware(SecurityMiddleware, access=access, page_policy=_page_policy())],
        exception_handlers=HANDLERS,
    )


app = create_app()
