"""Where the page is served: which host is allowed, which port is free, and whether it answers."""

from __future__ import annotations

import http.client
import ipaddress
import socket

from engine.errors import InputError

DEFAULT_PORT = 8501
TRIED = 20


def check_host(host: str) -> None:
    """Raise ``InputError`` for a host that other machines could reach: there is no sign-in yet."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise InputError(
            f"Lensmith has no sign-in yet, so it does not open its page to others at '{host}'.",
            "Leave --host away, and reach it from elsewhere through an SSH tunnel.",
        )


def choose_port(host: str, wanted: int | None) -> int:
    """Return ``wanted`` if it is free, or without a wish the first free port from the default on.

    Raises ``InputError`` naming ``--port`` when there is none.
    """
    if wanted is not None:
        if not 1 <= wanted <= 65535:
            raise InputError(f"{wanted} is not a port.", "Give --port a number from 1 to 65535.")
        if not _is_free(host, wanted):
            raise InputError(
                f"Port {wanted} is used by another program.", "Choose another with --port, or leave it away."
            )
        return wanted
    for port in range(DEFAULT_PORT, DEFAULT_PORT + TRIED):
        if _is_free(host, port):
            return port
    last = DEFAULT_PORT + TRIED - 1
    raise InputError(f"The ports {DEFAULT_PORT} to {last} are all in use.", "Name a free one with --port.")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As uvicorn binds: a port that only waits for old connections to time out counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def url_of(host: str, port: int) -> str:
    """Return the address of the page."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def answers(host: str, port: int, timeout: float = 1.0) -> bool:
    """Say whether the web server answers its health address within ``timeout`` s."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
