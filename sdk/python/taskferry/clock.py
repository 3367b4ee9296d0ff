"""How much time an attempt has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Clock:
    """The time that an attempt has left. It stands still while the tool waits for an answer."""

    def __init__(self, seconds: float, up: Callable[[], None]):
        self._loop = asyncio.get_running_loop()
        self._up = up
        self._left = seconds
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.go()

    @property
    def left(self) -> float:
        ran = 0.0 if self._since is None else time.monotonic() - self._since
        return max(0.0, self._left - ran)

    def stand(self) -> None:
        self._left, self._since = self.left, None
        if self._timer:
            self._timer.cancel()

    def go(self) -> None:
        self._since = time.monotonic()
        self._timer = self._loop.call_later(min(self._left, 86_400 * 365), self._up)
