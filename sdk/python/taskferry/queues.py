"""How a worker shares its slots out among its queues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MOST_WEIGHT = 100
MOST_SLOTS = 1024


@dataclass(frozen=True)
class Share:
    """How many turns a queue has where another has one, and how many slots its jobs take at most."""

    weight: int = 1
    slots: int | None = None


def read(given: Mapping[str, object] | None, queues: list[str]) -> dict[str, Share]:
    """What is said of queues. Raises `ValueError` with all that cannot be."""
    shares, faults = {}, []
    for queue, said in (given or {}).items():
        about = dict(said) if isinstance(said, Mapping) else {"weight": said}
        weight, slots = about.pop("weight", 1), about.pop("slots", None)
        if about:
            faults.append(f"queues: {queue}: {', '.join(map(repr, about))}: there are weight and slots")
        if type(weight) is not int or not 1 <= weight <= MOST_WEIGHT:
            faults.append(f"queues: {queue}: weight must be a whole number from 1 to {MOST_WEIGHT}")
        elif slots is not None and (type(slots) is not int or not 1 <= slots <= MOST_SLOTS):
            faults.append(f"queues: {queue}: slots must be a whole number from 1 to {MOST_SLOTS}")
        else:
            shares[queue] = Share(weight, slots)
        if queue not in queues:
            faults.append(f"queues: {queue}: no tool of this worker is on that queue; there are {', '.join(queues)}")
    if faults:
        raise ValueError("\n".join(faults))
    return shares


class Turns:
    """Gives out turns by weight. Of as many turns in a row as all weights make, each queue has as many as its own, spread
    evenly. A turn that its queue cannot use goes to the next at once, and counts as had."""

    def __init__(self, queues: list[str], shares: Mapping[str, Share]):
        self._weights = {queue: shares.get(queue, Share()).weight for queue in queues}
        self._behind = dict.fromkeys(queues, 0)

    def share(self, turns: int, room: Callable[[str], float]) -> dict[str, int]:
        """So many turns, for queues that have room for them: how many each has got, in the order of their first turns."""
        shares: dict[str, int] = {}
        for _ in range(turns):
            usable = {queue for queue in self._weights if shares.get(queue, 0) < room(queue)}
            if not usable:
                break
            queue = self._next()
            while queue not in usable:
                queue = self._next()
            shares[queue] = shares.get(queue, 0) + 1
        return shares

    def _next(self) -> str:
        for queue, weight in self._weights.items():
            self._behind[queue] += weight
        queue = max(self._behind, key=lambda queue: self._behind[queue])
        self._behind[queue] -= sum(self._weights.values())
        return queue


class Bounds:
    """How many slots the jobs of each queue have taken."""

    def __init__(self, shares: Mapping[str, Share]):
        self._most = {queue: share.slots for queue, share in shares.items() if share.slots}
        self._taken = dict.fromkeys(self._most, 0)
        self._waiting: dict[str, list[asyncio.Future[None]]] = {queue: [] for queue in self._most}

    def room(self, queue: str) -> float:
        """How many more they may take."""
        if queue not in self._most:
            return float("inf")
        return max(0, self._most[queue] - self._taken[queue])

    def try_take(self, queue: str) -> bool:
        if self.room(queue) < 1:
            return False
        if queue in self._taken:
            self._taken[queue] += 1
        return True

    async def take(self, queue: str) -> None:
        """Waits for room. Who waits is served before a fetcher reads the queue again."""
        if self.try_take(queue):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[queue].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(queue)
            raise

    def give(self, queue: str) -> None:
        waiting = self._waiting.get(queue)
        while waiting:
            turn = waiting.pop(0)
            if not turn.done():
                # It takes the place.
                turn.set_result(None)
                return
        if queue in self._taken:
            self._taken[queue] -= 1
