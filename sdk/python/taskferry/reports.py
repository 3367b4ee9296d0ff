"""What a tool reports, until it is written to Redis."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

LINES_WAITING = 256
LONGEST_LINE = 8 << 10
LONGEST_MESSAGE = 1000


class Reports:
    """What a tool reported and Redis does not have yet. Of progress the newest counts; log lines are kept, up to a bound."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._lock = threading.Lock()
        self._progress: tuple[str, str] = ("", "")
        self._message = ""
        self._lines: deque[tuple[str, str]] = deque(maxlen=LINES_WAITING)
        self.added = asyncio.Event()

    def progress(self, progress: float | None, total: float | None, message: str | None) -> None:
        def number(value: float | None) -> str:
            finite = value is not None and abs(value) < float("inf")
            return repr(value) if finite else ""

        with self._lock:
            if progress is not None and number(progress):
                self._progress = (number(progress), number(total))
            if message:
                self._message = message.encode("utf-8", "replace").decode()[:LONGEST_MESSAGE]
        self._wake()

    def line(self, level: str, said: str) -> None:
        cut = said.encode("utf-8", "replace")[:LONGEST_LINE].decode("utf-8", "ignore")
        with self._lock:
            self._lines.append((level, cut))
        self._wake()

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self.added.set)

    def take(self) -> tuple[list[str], tuple[str, str, str]]:
        with self._lock:
            lines = [part for line in self._lines for part in line]
            report = (*self._progress, self._message)
            self._lines.clear()
            self._progress, self._message = ("", ""), ""
        return lines, report
