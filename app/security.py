"""Who may talk to the web server: one check in front of every route, ours and Streamlit's.

A browser page gets a session cookie when it is opened; scripts send the workspace's bearer token. What
is refused, in this order:

1. a connection from another machine, unless host names were allowed (``LENSMITH_ALLOWED_HOSTS``);
2. a ``Host`` that is neither loopback nor allowed: DNS rebinding;
3. an ``Origin`` other than this server, and any request that the browser marks as coming from another
   site, save for following a link: cross-site requests and cross-site WebSocket hijacking;
4. a method that can change something, or the WebSocket, without cookie or token: other programs.

The ideas are those of the OWASP cheat sheet on cross-site request forgery and of Fetch Metadata
(W3C); the page's Content-Security-Policy keeps scripts to Streamlit's own and its components.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE: Final = "lensmith_session"
STOCK_UPLOADS: Final = "/_stcore/upload_file/"
STOCK_UPLOAD_BYTES: Final = 32 * 2**20
"""Streamlit's uploader keeps files in memory, so only small ones (a picture to try) may pass."""

_HOST: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_FOREIGN_HEADERS: Final = (
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
)
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
}
"""On every answer, whatever made it."""


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered: HTTP status, a sentence, and what to do."""

    status: int
    error: str
    hint: str = ""


@dataclass(frozen=True)
class Access:
    """What one workspace lets in; ``token`` is its bearer token, ``allowed_hosts`` lower-case names."""

    token: str = field(repr=False)
    allowed_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.token:
            raise ValueError("The workspace has no token.")

    @cached_property
    def cookie_name(self) -> str:
        """Name of the session cookie.

        Cookies are shared by all ports of a host; the suffix keeps two workspaces side by side apart.
        """
        return f"{COOKIE}_{self._derive('name')[:8]}"

    @cached_property
    def cookie_value(self) -> str:
        """Value of the session cookie: derived from the token, so that it does not give it away."""
        return self._derive("session")

    def _derive(self, purpose: str) -> str:
        return hmac.new(self.token.encode(), f"lensmith:{purpose}".encode(), hashlib.sha256).hexdigest()

    def has_session(self, connection: HTTPConnection) -> bool:
        """Say whether the request carries this workspace's session cookie."""
        return _equal(connection.cookies.get(self.cookie_name, ""), self.cookie_value)

    def has_token(self, headers: Headers) -> bool:
        """Say whether the request carries this workspace's bearer token."""
        scheme, _, value = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and _equal(value.strip(), self.token)

    def knows_host(self, host: str) -> bool:
        """Say whether a ``Host`` header names this machine's loopback or an allowed host, at any port."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].lower()
        return name == "localhost" or name in self.allowed_hosts or _is_loopback(name.strip("[]"))

    def refusal(self, scope: Scope) -> Refusal | None:
        """Check one HTTP or WebSocket request; None means that it may pass."""
        connection = HTTPConnection(scope)
        return (
            self._refuse_address(scope, connection.headers)
            or _refuse_foreign(scope, connection.headers)
            or self._refuse_stranger(scope, connection)
            or _refuse_large_stock_upload(scope, connection.headers)
        )

    def _refuse_address(self, scope: Scope, headers: Headers) -> Refusal | None:
        peer = scope.get("client")
        if peer and not self.allowed_hosts and not _is_loopback(peer[0]):
            return Refusal(
                403,
                "Lensmith answers only this computer.",
                "To open it to others, name the hosts in LENSMITH_ALLOWED_HOSTS.",
            )
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.knows_host(hosts[0]):
            return Refusal(
                421,
                "Lensmith does not answer under this host name.",
                "Open it as http://localhost, or name the host in LENSMITH_ALLOWED_HOSTS.",
            )
        return None

    def _refuse_stranger(self, scope: Scope, connection: HTTPConnection) -> Refusal | None:
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return None
        if self.has_session(connection) or self.has_token(connection.headers):
            return None
        return Refusal(
            403,
            "This request carries no valid session.",
            "In a browser, reload the page; in a script, send the token as “Authorization: Bearer …”.",
        )


def _refuse_foreign(scope: Scope, headers: Headers) -> Refusal | None:
    websocket = scope["type"] == "websocket"
    refusal = Refusal(403, "This request comes from another site.", "Open Lensmith in a tab of its own.")
    origin = headers.get("origin")
    if origin is None and websocket:
        return refusal
    if origin is not None and not _same_origin(origin, headers["host"]):
        return refusal
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        opens_page = (
            headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        )
        if websocket or scope["method"] != "GET" or not opens_page:
            return refusal
    return None


def _refuse_large_stock_upload(scope: Scope, headers: Headers) -> Refusal | None:
    if scope["type"] != "http" or scope["method"] != "PUT" or not scope["path"].startswith(STOCK_UPLOADS):
        return None
    length = headers.get("content-length", "")
    if not length.isdecimal():
        return Refusal(411, "The size of this file was not given.", "Send a Content-Length.")
    if int(length) > STOCK_UPLOAD_BYTES:
        limit = STOCK_UPLOAD_BYTES // 2**20
        return Refusal(413, f"Only files up to {limit} MB can be tried here.", "Import it as data instead.")
    return None


def _same_origin(origin: str, host: str) -> bool:
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _is_loopback(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def content_security_policy(page: str) -> str:
    """Return the policy for the HTML ``page``: its own inline scripts by hash, component modules as blobs."""
    inline = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    hashes = " ".join(f"'sha256-{_sha256_base64(script)}'" for script in inline)
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' blob: 'wasm-unsafe-eval' {hashes}".rstrip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def _sha256_base64(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class SecurityMiddleware:
    """Asks ``Access`` about every request and puts the security headers on every answer.

    Args:
        app: the ASGI application behind it.
        access: gives what is let in; called per request, so it should be cheap.
        page_policy: Content-Security-Policy of answers that bring none of their own.
    """

    def __init__(self, app: ASGIApp, access: Callable[[], Access], page_policy: str) -> None:
        self.app = app
        self.access = access
        self.page_policy = page_policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with the refusal."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        access = self.access()
        refusal = access.refusal(scope)
        if scope["type"] == "websocket":
            if refusal is None:
                await self.app(scope, receive, send)
            else:  # closing before accepting makes the server answer 403
                await send({"type": "websocket.close", "code": 1008, "reason": refusal.error})
            return
        guarded = self._guarded(scope, send, access, welcome=refusal is None)
        if refusal is None:
            await self.app(scope, receive, guarded)
            return
        answer = JSONResponse({"error": refusal.error, "hint": refusal.hint}, status_code=refusal.status)
        await answer(scope, receive, guarded)

    def _guarded(self, scope: Scope, send: Send, access: Access, *, welcome: bool) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in _FOREIGN_HEADERS:
                    del headers[name]
                headers.update(HEADERS)
                headers.setdefault("Content-Security-Policy", self.page_policy)
                if welcome and _opens_session(scope, message["status"], headers):
                    _give_session(scope, headers, access)
            await send(message)

        return send_with_headers


def _opens_session(scope: Scope, status: int, headers: Headers) -> bool:
    """Pages open a session; so does Streamlit's reconnect probe, which heals a page that outlived its."""
    if scope["method"] != "GET" or status >= 400:
        return False
    wants_page = "text/html" in Headers(scope=scope).get("accept", "")
    is_page = headers.get("content-type", "").startswith("text/html") or status == 304
    return (wants_page and is_page) or scope["path"] == "/_stcore/host-config"


def _give_session(scope: Scope, headers: MutableHeaders, access: Access) -> None:
    if access.has_session(HTTPConnection(scope)):
        return
    cookie = f"{access.cookie_name}={access.cookie_value}; HttpOnly; SameSite=Strict; Path=/"
    headers.append("Set-Cookie", cookie + ("; Secure" if scope.get("scheme") == "https" else ""))
