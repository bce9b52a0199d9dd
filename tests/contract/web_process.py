"""Run the real server in this process, open every screen, and print what it has loaded by then.

``python -m tests.contract.web_process SCRIPT [PROJECT RUN]`` ends with JSON ``{screens, problems, loaded}``.
The screens are those that the script itself announces; they are opened over the WebSocket, as a browser
does it. With a project and a run, pictures, report and a prediction are asked for, too.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import httpx
import uvicorn
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from app.engine_client import client
from app.routes import urls
from app.server import create_app
from engine.contracts.datasets import ImageFilter
from tests.web import free_port

HEAVY = ("torch", "timm", "torchvision", "onnxruntime", "sklearn")
SECONDS = 150


class Visitor:
    """A browser without a screen: one session on the server's WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.problems: list[str] = []
        self.pages: list[str] = []

    def open(self, page: str, query: str) -> int:
        """Run the script for one screen; return how many elements it drew."""
        request = BackMsg()
        request.rerun_script.page_name = page
        request.rerun_script.query_string = query
        self.socket.send(request.SerializeToString())
        drawn = 0
        while True:
            message = ForwardMsg.FromString(self.socket.recv(timeout=SECONDS))  # type: ignore[arg-type]
            kind = message.WhichOneof("type")
            if kind == "script_finished":
                return drawn
            if kind == "navigation":
                self.pages = [one.url_pathname for one in message.navigation.app_pages]
            elif kind == "page_not_found":
                self.problems.append(f"{page}: not found")
            elif kind == "delta":
                drawn += 1
                if message.delta.new_element.WhichOneof("type") == "exception":
                    trouble = message.delta.new_element.exception
                    self.problems.append(f"{page}: {trouble.type} {trouble.message}")


@contextmanager
def serving_here(script: Path) -> Iterator[str]:
    """Run the server in a thread of this process; gives its host and port."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_app(script), host="127.0.0.1", port=port, log_level="warning")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("The server did not start.")
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def open_screens(host: str, query: str) -> tuple[dict[str, int], list[str]]:
    """Open every screen; return how much each drew, and what went wrong."""
    page = httpx.get(f"http://{host}/", headers={"Accept": "text/html"})
    name, value = next(iter(page.cookies.items()))
    with connect(
        f"ws://{host}/_stcore/stream",
        origin=Origin(f"http://{host}"),
        additional_headers={"Cookie": f"{name}={value}"},
        subprotocols=[Subprotocol("streamlit")],
        max_size=None,
    ) as socket:
        visitor = Visitor(socket)
        visitor.open("", "")
        screens = {page: visitor.open(page, query) for page in visitor.pages}
    return screens, visitor.problems


def ask_routes(host: str, project: str, run: str) -> list[str]:
    """Ask the routes for what a finished run offers; return what went wrong."""
    workspace = client()
    image = workspace.datasets.images(project, ImageFilter()).items[0].id
    picture = workspace.datasets.image_file(project, image).path.read_bytes()
    with httpx.Client(
        base_url=f"http://{host}", headers={"Authorization": f"Bearer {workspace.token}"}, timeout=SECONDS
    ) as http:
        answers = [
            http.get(urls.thumbnail_url(project, image)),
            http.get(urls.image_url(project, image)),
            http.get(urls.overlay_url(project, image)),
            http.get(urls.legend_url(project, image)),
            http.get(urls.issues_url(project)),
            http.post(urls.predict_url(run), content=picture),
        ]
    return [f"{answer.url}: {answer.text}" for answer in answers if answer.status_code != 200]


def main(script: Path, project: str = "", run: str = "") -> None:
    """Serve, visit, tell."""
    query = urlencode({"project": project, "run": run}) if run else ""
    with serving_here(script) as host:
        screens, problems = open_screens(host, query)
        if run:
            problems += ask_routes(host, project, run)
    loaded = [name for name in HEAVY if name in sys.modules]
    sys.stdout.write("\n" + json.dumps({"screens": screens, "problems": problems, "loaded": loaded}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
