"""Taking pictures in beside the reading of labels: orders go out as rows come, answers are waited for.

The processes of an ``Intake`` decode while the import's own process reads labels; a thread feeds them and
collects what they answer. Whoever needs a picture asks for it by its path and waits until it is there.
"""

from __future__ import annotations

import os
import selectors
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from engine.datasets.archive import Member
from engine.datasets.intake import CHUNK, Intake, Taken, Wanted
from engine.datasets.labels import ImageLabels
from engine.datasets.mask_pictures import Colors, MaskPicture
from engine.datasets.pictures import ChannelsError

TICK_SECONDS = 0.25
ROWS_PER_TICK = 64

Read = MaskPicture | str
"""A decoded mask picture, or the reason why it cannot be used."""

_Answer = TypeVar("_Answer")


class Taking:
    """What one import has the processes of ``intake`` take in, from ``with`` to its end.

    ``tick`` gets the numbers of files done and ordered, and whether there are mask pictures among them, at
    least four times a second while a file is waited for, and every few rows while these are ordered; what
    it raises ends the work. Files are written without
    syncing; the caller syncs once before it commits rows that name them.

    Every method that orders or waits raises ``OSError`` when files cannot be stored, as on a full disk;
    ``picture`` raises ``QuestionError`` when it has channels that nobody chose from.
    """

    def __init__(self, intake: Intake, tick: Callable[[int, int, bool], None]) -> None:
        self._intake = intake
        self._tick = tick
        self._members: Mapping[str, Member] = {}
        self._ordered: set[tuple[str, bool]] = set()
        self._with_masks = False
        self._gathered: list[Wanted] = []
        self._orders: deque[Sequence[Wanted]] = deque()
        self._pictures: dict[str, Taken] = {}
        self._masks: dict[str, Read] = {}
        self._news = threading.Condition()
        self._error: BaseException | None = None
        self._ended = False
        self._rows = 0
        self._expected = 0
        self._bell, self._ring = os.pipe()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread that feeds the processes."""
        self._intake.selector.register(self._bell, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End the thread; what was ordered and not answered is left to the end of the processes."""
        self._ended = True
        os.write(self._ring, b".")
        self._thread.join()
        self._intake.selector.unregister(self._bell)
        os.close(self._bell)
        os.close(self._ring)

    def begin(self, members: Sequence[Member], colors: Colors, expected: int) -> None:
        """Say which files there are to order from, and which value a colour of a mask has.

        ``expected`` is how many files may come, for the progress until ``complete``.
        """
        self._members = {member.path: member for member in members}
        self._expected = expected
        self._intake.tell(colors)

    def complete(self) -> None:
        """Say that everything has been ordered."""
        self._expected = 0
        self._send()
        self._look()

    def order(self, paths: Iterable[str], *, masks: bool = False) -> None:
        """Have files taken in; those that are ordered already count once."""
        for path in paths:
            key = (path, masks)
            if key not in self._ordered:
                self._ordered.add(key)
                self._with_masks |= masks
                self._gathered.append(Wanted(self._members[path], masks))
                if len(self._gathered) >= CHUNK:
                    self._send()

    def order_row(self, row: ImageLabels) -> None:
        """Have the picture of a row taken in, and its mask pictures read."""
        self.order((row.path,))
        self.order((mask.path for mask in row.masks), masks=True)
        self._rows += 1
        if self._rows % ROWS_PER_TICK == 0:
            self._look()

    def picture(self, path: str) -> Taken:
        """Wait for a picture that was ordered; another is a ``KeyError``."""
        taken = self._wait(self._pictures, path, is_mask=False)
        if taken.channels:
            raise ChannelsError.question(path, taken.channels)
        return taken

    def mask(self, path: str) -> Read:
        """Wait for a mask picture that was ordered; another is a ``KeyError``."""
        return self._wait(self._masks, path, is_mask=True)

    def _wait(self, answers: Mapping[str, _Answer], path: str, *, is_mask: bool) -> _Answer:
        if path in answers:
            return answers[path]
        if (path, is_mask) not in self._ordered:
            raise KeyError(path)
        self._send()
        self._look()
        while path not in answers:
            with self._news:
                self._news.wait_for(lambda: path in answers or self._error is not None, TICK_SECONDS)
            self._look()
        return answers[path]

    def _send(self) -> None:
        """Hand over what was gathered; the processes get as many files at a time as hide the pipe."""
        if self._gathered:
            self._orders.append(self._gathered)
            self._gathered = []
            os.write(self._ring, b".")

    def _look(self) -> None:
        if self._error is not None:
            raise self._error
        total = max(len(self._ordered), self._expected)
        if total:
            self._tick(len(self._pictures) + len(self._masks), total, self._with_masks)

    # --- the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ended:
                self._turn()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the import's own thread raises it
            with self._news:
                self._error = error
                self._news.notify()

    def _turn(self) -> None:
        """Feed all processes, and wait for an answer or for more to do."""
        for worker in self._intake.workers:
            worker.feed(self._orders)
        for key, ready in self._intake.selector.select():
            if key.data is None:
                os.read(self._bell, 1 << 10)
                continue
            if ready & selectors.EVENT_WRITE:
                key.data.write()
                continue
            for answer in key.data.collect(self._orders):
                with self._news:
                    if isinstance(answer, Taken):
                        self._pictures[answer.path] = answer
                    else:
                        self._masks[answer.path] = answer.picture
                    self._news.notify()
