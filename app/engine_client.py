"""The one place of the web server that holds the facade; screens and routes ask it, tests replace it."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.api import Lensmith

_replacement: list[Lensmith] = []


@lru_cache(maxsize=1)
def _workspace() -> Lensmith:
    # Imported on first use, so that screens can be tested against a stand-in without the engine.
    from engine.api import open_workspace

    return open_workspace()


def client() -> Lensmith:
    """Return the facade of this process's workspace, opened on first use."""
    return _replacement[-1] if _replacement else _workspace()


def use(facade: Lensmith) -> AbstractContextManager[None]:
    """Make ``client()`` return ``facade`` from now on, for tests; leaving the context takes it back.

    May be called as a plain function or in a ``with`` statement.
    """
    _replacement.append(facade)
    stack = ExitStack()
    stack.callback(_replacement.remove, facade)
    return _Discard(stack)


class _Discard(AbstractContextManager[None]):
    """A context that gives nothing to its body and unwinds ``stack`` at its end."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
