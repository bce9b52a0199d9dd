"""Our routes over HTTP: uploads that resume, files that are safe to open, predictions, errors."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from app import engine_client
from app.routes import ROUTES, urls
from app.routes import uploads as upload_routes
from app.routes.errors import HANDLERS
from app.security import Access, SecurityMiddleware
from engine.contracts.datasets import ClassCount
from engine.contracts.files import ServedFile
from engine.contracts.overlays import LabelName, Legend
from engine.contracts.palette import class_color
from tests.web import BEARER, TOKEN, StandIn, run_async

Client = httpx.AsyncClient
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[StandIn]:
    stand_in = StandIn(tmp_path)
    with engine_client.use(stand_in):  # type: ignore[arg-type]
        yield stand_in


def over_http(talk: Callable[[Client], Awaitable[Any]], headers: dict[str, str] = BEARER) -> Any:
    """Run ``talk`` with a client of the routes behind the check."""
    guard = Middleware(SecurityMiddleware, access=lambda: Access(TOKEN), page_policy="default-src 'self'")
    app = Starlette(routes=ROUTES, middleware=[guard], exception_handlers=HANDLERS)

    async def run() -> Any:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with Client(transport=transport, base_url="http://localhost:8501", headers=headers) as client:
            return await talk(client)

    return run_async(run())


def get(path: str, **headers: str) -> httpx.Response:
    return over_http(lambda client: client.get(path, headers=headers))  # type: ignore[no-any-return]


def served(folder: Path, name: str, media_type: str, data: bytes = b"\xff\xd8 bytes") -> ServedFile:
    path = folder / hashlib.sha256(name.encode()).hexdigest()
    path.write_bytes(data)
    return ServedFile(path=path, media_type=media_type, name=name, etag=hashlib.sha256(data).hexdigest())


def test_the_server_says_that_it_is_up() -> None:
    response = get("/healthz")
    assert (response.status_code, response.json()) == (200, {"ok": True})


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    "path", ["/api/uploads", "/api/uploads/u0?offset=0", "/api/predict/r", "/image/p/i/thumb", "/overlay/p/i"]
)
def test_no_route_can_be_written_to_by_a_stranger(world: StandIn, method: str, path: str) -> None:
    response = over_http(lambda client: client.request(method, path, content=b"x"), headers={})
    assert response.status_code == 403
    assert world.datasets.uploads == {}


class TestUploads:
    DATA = random.Random(7).randbytes(3 * 2**20 + 17)

    @staticmethod
    async def begin(client: Client, size: int, **more: str) -> httpx.Response:
        return await client.post("/api/uploads", json={"name": "set/cat.jpg", "size": size, **more})

    def test_bytes_arrive_as_they_are(self, world: StandIn) -> None:
        async def talk(client: Client) -> None:
            begun = await self.begin(client, len(self.DATA))
            assert begun.status_code == 201
            upload = begun.json()["id"]
            assert begun.json() | {"id": ""} == {
                "id": "", "name": "set/cat.jpg", "size": len(self.DATA), "received": 0, "complete": False,
            }  # fmt: skip
            done = await client.put(f"/api/uploads/{upload}?offset=0", content=self.DATA)
            assert (done.status_code, done.json()["complete"]) == (200, True)
            assert world.datasets.upload_path(upload).read_bytes() == self.DATA

        over_http(talk)

    def test_an_upload_goes_on_where_it_broke_off(self, world: StandIn) -> None:
        async def broken() -> Any:
            yield self.DATA[:700_000]
            raise ConnectionError

        async def talk(client: Client) -> None:
            upload = (await self.begin(client, len(self.DATA))).json()["id"]
            failed = await client.put(f"/api/uploads/{upload}?offset=0", content=broken())
            assert failed.status_code == 500
            # A server that was killed may leave bytes that it never counted; they must not stay.
            world.datasets.upload_path(upload).write_bytes(self.DATA[:1000] + b"never counted" * 9)
            world.datasets.record_upload(upload, 1000)
            state = (await client.get(f"/api/uploads/{upload}")).json()
            assert (state["received"], state["complete"]) == (1000, False)
            wrong = await client.put(f"/api/uploads/{upload}?offset=7", content=self.DATA[7:])
            assert wrong.status_code == 409
            rest = await client.put(f"/api/uploads/{upload}?offset=1000", content=self.DATA[1000:])
            assert rest.json()["complete"]
            assert world.datasets.upload_path(upload).read_bytes() == self.DATA

        over_http(talk)

    def test_what_came_before_a_break_is_kept(self, world: StandIn) -> None:
        """The browser goes away in the middle: the server sees a disconnect, and keeps what it has."""
        info = world.datasets.begin_upload("a.zip", len(self.DATA))
        chunks = iter([self.DATA[: 2**20], self.DATA[2**20 : 2**20 + 500]])

        async def receive() -> dict[str, Any]:
            chunk = next(chunks, None)
            if chunk is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunk, "more_body": True}

        async def send(_message: Any) -> None:
            pass

        scope = {
            "type": "http", "method": "PUT", "path": f"/api/uploads/{info.id}", "query_string": b"offset=0",
            "headers": [], "root_path": "", "http_version": "1.1", "scheme": "http",
        }  # fmt: skip
        run_async(Starlette(routes=ROUTES, exception_handlers=HANDLERS)(scope, receive, send))
        assert world.datasets.upload(info.id).received == 2**20 + 500
        assert world.datasets.upload_path(info.id).read_bytes() == self.DATA[: 2**20 + 500]

    def test_progress_is_recorded_on_the_way(self, world: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upload_routes, "RECORD_BYTES", 2**20)
        seen: list[int] = []
        record = world.datasets.record_upload

        def note(upload: str, received: int) -> Any:
            seen.append(received)
            assert world.datasets.upload_path(upload).stat().st_size >= received
            return record(upload, received)

        monkeypatch.setattr(world.datasets, "record_upload", note)

        async def body() -> Any:
            for start in range(0, len(self.DATA), 2**16):
                yield self.DATA[start : start + 2**16]

        async def talk(client: Client) -> None:
            upload = (await self.begin(client, len(self.DATA))).json()["id"]
            await client.put(f"/api/uploads/{upload}?offset=0", content=body())

        over_http(talk)
        assert seen == [2**20, 2 * 2**20, 3 * 2**20, len(self.DATA)]

    def test_more_than_was_announced_is_refused(self, world: StandIn) -> None:
        async def talk(client: Client) -> None:
            upload = (await self.begin(client, 10)).json()["id"]
            response = await client.put(f"/api/uploads/{upload}?offset=0", content=b"x" * 11)
            assert response.status_code == 413
            assert world.datasets.upload(upload).received == 0
            again = await client.put(f"/api/uploads/{upload}?offset=0", content=b"y" * 10)
            assert again.json()["complete"]
            assert world.datasets.upload_path(upload).read_bytes() == b"y" * 10

        over_http(talk)

    def test_two_writers_at_once_do_not_mix(self, world: StandIn) -> None:
        async def talk(client: Client) -> None:
            upload = (await self.begin(client, 10)).json()["id"]
            first_is_in, may_end = asyncio.Event(), asyncio.Event()

            async def slow() -> Any:
                yield b"aaaaa"
                first_is_in.set()
                await may_end.wait()
                yield b"aaaaa"

            first = asyncio.create_task(client.put(f"/api/uploads/{upload}?offset=0", content=slow()))
            await first_is_in.wait()
            second = await client.put(f"/api/uploads/{upload}?offset=0", content=b"b" * 10)
            may_end.set()
            assert second.status_code == 409
            assert (await first).json()["complete"]
            assert world.datasets.upload_path(upload).read_bytes() == b"a" * 10

        over_http(talk)

    def test_the_same_key_opens_one_upload(self, world: StandIn) -> None:
        async def talk(client: Client) -> list[str]:
            return [(await self.begin(client, 5, key=key)).json()["id"] for key in ("k", "k", "other")]

        first, again, other = over_http(talk)
        assert first == again != other

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400),
            (b"[]", 400),
            (b'{"name": "a"}', 400),
            (b'{"name": "a", "size": -1}', 400),
            (b'{"name": "a", "size": 1e999}', 400),
            (b'{"name": "", "size": 1}', 400),
            (b'{"name": "a", "size": 0}', 400),
            (b'{"name": "a", "size": 1, "path": "/etc"}', 400),
            (b'{"name": "a", "size": 99999999999}', 413),
            (b" " * 100_000, 413),
        ],
    )
    def test_a_bad_beginning_is_a_sentence(self, world: StandIn, body: bytes, status: int) -> None:
        response = over_http(lambda client: client.post("/api/uploads", content=body))
        assert response.status_code == status
        assert response.json()["error"].endswith(".")

    @pytest.mark.parametrize("offset", ["", "?offset=", "?offset=-1", "?offset=1.5", "?offset=x"])
    def test_the_offset_must_be_a_number(self, world: StandIn, offset: str) -> None:
        info = world.datasets.begin_upload("a.zip", 5)
        response = over_http(lambda client: client.put(f"/api/uploads/{info.id}{offset}", content=b"12345"))
        assert response.status_code == 400

    def test_an_unknown_upload_is_not_found(self, world: StandIn) -> None:
        assert get("/api/uploads/nope").status_code == 404
        put = over_http(lambda client: client.put("/api/uploads/nope?offset=0", content=b"x"))
        assert put.status_code == 404


class TestOverlays:
    LEGEND = Legend(
        width=640,
        height=480,
        classes=(ClassCount(name="<b>RBC", position=0, count=3), ClassCount(name="WBC", position=1, count=1)),
        names=(LabelName(name="WBC", position=1, x=0.25, y=0.5),),
        ignored=2,
    )

    @pytest.mark.parametrize("size", ["thumb", "small", "full"])
    def test_labels_come_as_a_picture_that_is_kept_by_its_revision(self, world: StandIn, size: str) -> None:
        world.overlays.labels["p", "i"] = self.LEGEND
        response = get(f"{urls.overlay_url('p', 'i')}?size={size}&r=3a")
        assert response.content == world.overlays.overlay("p", "i", size)  # type: ignore[arg-type]
        assert response.headers["content-type"] == "image/png"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in response.headers["content-security-policy"]
        assert "immutable" in response.headers["cache-control"]
        # Without a revision in its address, an answer would outlive the labels.
        assert "no-cache" in get(f"{urls.overlay_url('p', 'i')}?size={size}").headers["cache-control"]

    def test_labels_come_in_words_with_their_colours(self, world: StandIn) -> None:
        world.overlays.labels["p", "i"] = self.LEGEND
        response = get(f"{urls.legend_url('p', 'i')}?r=3a")
        assert response.headers["content-type"] == "application/json"
        assert "immutable" in response.headers["cache-control"]
        assert response.json() == {
            "width": 640,
            "height": 480,
            "classes": [["<b>RBC", class_color(0), 3], ["WBC", class_color(1), 1]],
            "names": [["WBC", class_color(1), 0.25, 0.5]],
            "ignored": 2,
        }

    def test_the_image_of_another_project_is_not_found(self, world: StandIn) -> None:
        world.overlays.labels["p", "i"] = self.LEGEND
        for url in (urls.overlay_url("q", "i"), urls.legend_url("q", "i"), "/overlay/p", "/overlay/p/i/x"):
            response = get(url)
            assert response.status_code == 404
            assert response.json()["error"].endswith(".")

    def test_a_size_that_there_is_not_is_a_sentence(self, world: StandIn) -> None:
        world.overlays.labels["p", "i"] = self.LEGEND
        response = get(f"{urls.overlay_url('p', 'i')}?size=9999999")
        assert (response.status_code, response.json()["hint"]) == (400, "Change “size”.")


class TestFiles:
    def test_a_picture_opens_in_the_page_and_is_kept(self, world: StandIn, tmp_path: Path) -> None:
        file = served(tmp_path, 'Kätzchen "1".jpg', "image/jpeg")
        world.datasets.files["p", "i"] = file
        for url in (urls.thumbnail_url("p", "i"), urls.image_url("p", "i")):
            response = get(url)
            assert response.content == file.path.read_bytes()
            assert response.headers["content-type"] == "image/jpeg"
            assert response.headers["content-disposition"].startswith("inline")
            assert "immutable" in response.headers["cache-control"]
            assert response.headers["x-content-type-options"] == "nosniff"
            assert "sandbox" in response.headers["content-security-policy"]

    def test_a_picture_that_the_browser_has_is_not_sent_again(self, world: StandIn, tmp_path: Path) -> None:
        file = served(tmp_path, "a.jpg", "image/jpeg")
        world.datasets.files["p", "i"] = file
        etag = get("/image/p/i/thumb").headers["etag"]
        for candidates in (etag, f'"other", {etag}', f"W/{etag}", "*"):
            again = get("/image/p/i/thumb", if_none_match=candidates, **{"If-None-Match": candidates})
            assert (again.status_code, again.content) == (304, b"")
        assert get("/image/p/i/thumb", **{"If-None-Match": '"other"'}).status_code == 200

    @pytest.mark.parametrize(
        "media_type", ["image/svg+xml", "text/html", "application/xhtml+xml", "image/JPEG; x"]
    )
    def test_what_could_run_script_is_only_saved(
        self, world: StandIn, tmp_path: Path, media_type: str
    ) -> None:
        world.datasets.files["p", "i"] = served(tmp_path, "a.svg", media_type, b"<svg onload='alert(1)'/>")
        response = get("/image/p/i/full")
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["content-disposition"].startswith("attachment")

    def test_downloads_are_attachments(self, world: StandIn, tmp_path: Path) -> None:
        world.models.bundle = served(tmp_path, "recycling.zip", "application/zip", b"PK")
        world.datasets.issues = served(tmp_path, "issues.csv", "text/csv", b"file,reason\n")
        world.datasets.found["j"] = served(tmp_path, "found.csv", "text/csv", b"file,line\n")
        world.weights.archive = served(tmp_path, "mine.zip", "application/zip", b"PK weights")
        world.dataset_exports.archives["p", "j"] = served(tmp_path, "set.zip", "application/zip", b"PK set")
        for url, name in (
            (urls.bundle_url("r"), "recycling.zip"),
            (urls.set_url("p", "j"), "set.zip"),
            (urls.issues_url("p"), "issues.csv"),
            (urls.job_issues_url("j"), "found.csv"),
            (urls.weights_url("mine"), "mine.zip"),
            (urls.weights_url("bundle"), "mine.zip"),
        ):
            response = get(url)
            assert response.status_code == 200
            assert response.headers["content-disposition"] == f'attachment; filename="{name}"'
            assert "no-cache" in response.headers["cache-control"]

    def test_a_set_goes_to_its_own_project_and_to_no_other_site(self, world: StandIn, tmp_path: Path) -> None:
        world.dataset_exports.archives["p", "j"] = served(tmp_path, "set.zip", "application/zip", b"PK set")
        url = urls.set_url("p", "j")
        for stranger in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            asked = over_http(lambda client, given=stranger: client.get(url, headers=given), headers={})
            assert asked.status_code == 403
        assert over_http(lambda client: client.post(url), headers={}).status_code == 403
        assert get(urls.set_url("other", "j")).status_code == 404
        assert get(url).content == b"PK set"

    def test_a_file_name_cannot_add_headers(self, world: StandIn, tmp_path: Path) -> None:
        world.models.bundle = served(tmp_path, 'a"\r\nSet-Cookie: x=1;.zip', "application/zip", b"PK")
        response = get("/download/r/bundle.zip")
        assert "set-cookie" not in response.headers

    def test_parts_of_a_large_file_can_be_asked_for(self, world: StandIn, tmp_path: Path) -> None:
        world.models.bundle = served(tmp_path, "a.zip", "application/zip", bytes(range(100)))
        part = get("/download/r/bundle.zip", Range="bytes=10-19")
        assert (part.status_code, part.content) == (206, bytes(range(10, 20)))

    def test_what_is_missing_is_a_sentence(self, world: StandIn, tmp_path: Path) -> None:
        gone = served(tmp_path, "gone.jpg", "image/jpeg")
        gone.path.unlink()
        world.datasets.files["p", "gone"] = gone
        for url in (
            "/image/p/gone/full", "/image/p/i/thumb", "/image/p/i/other", "/download/r/bundle.zip",
            "/download/p/issues.csv", "/download/weights/x/weights.zip", "/download/p/set/j.zip",
            "/download/import/j/issues.csv", "/download/import/..%2fj/issues.csv",
            "/download/p/set/j", "/download/p/set/..%2fj.zip",
            "/download/..%2f..%2fetc/issues.csv", "/api/nothing", "/image/x",
        ):  # fmt: skip
            response = get(url)
            assert response.status_code == 404, url
            assert response.json()["error"].endswith(".")

    def test_addresses_escape_their_parts(self) -> None:
        assert urls.image_url("a/b", "c?d#e") == "/image/a%2Fb/c%3Fd%23e/full"


class TestPredict:
    def test_one_picture_as_the_body(self, world: StandIn) -> None:
        response = over_http(lambda client: client.post("/api/predict/r?name=a.jpg", content=b"12345"))
        assert response.json() == [
            {"file": "a.jpg", "predictions": [{"label": "5 bytes", "score": 1.0}], "error": ""}
        ]

    def test_several_in_a_form(self, world: StandIn) -> None:
        files = [("file", ("a.jpg", b"1")), ("file", ("b.jpg", b"22")), ("other", ("c.jpg", b"333"))]
        response = over_http(lambda client: client.post("/api/predict/r", files=files))
        assert [(one["file"], one["predictions"][0]["label"]) for one in response.json()] == [
            ("a.jpg", "1 bytes"), ("b.jpg", "2 bytes"), ("c.jpg", "3 bytes"),
        ]  # fmt: skip

    def test_nothing_to_predict_is_a_sentence(self, world: StandIn) -> None:
        empty = over_http(lambda client: client.post("/api/predict/r", content=b""))
        fields = over_http(
            lambda client: client.post("/api/predict/r", data={"a": "b"}, files={"c": ("", b"")})
        )
        broken = over_http(
            lambda client: client.post(
                "/api/predict/r", content=b"no form", headers={"content-type": "multipart/form-data"}
            )
        )
        for response in (empty, fields, broken):
            assert response.status_code == 400
            assert response.json()["error"].endswith(".")

    def test_too_much_is_refused(self, world: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.routes.predict.BODY_BYTES", 1000)
        raw = over_http(lambda client: client.post("/api/predict/r", content=b"x" * 1001))
        form = over_http(lambda client: client.post("/api/predict/r", files={"f": ("a.jpg", b"x" * 1001)}))
        assert (raw.status_code, form.status_code) == (413, 413)

    def test_a_bug_tells_nothing_of_the_server(self, world: StandIn) -> None:
        response = over_http(lambda client: client.post("/api/predict/bug", content=b"x"))
        assert response.status_code == 500
        assert "secret" not in response.text
        assert response.json()["hint"]
        assert response.headers["x-content-type-options"] == "nosniff"
