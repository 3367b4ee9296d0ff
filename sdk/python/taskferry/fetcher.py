"""Takes the entries of one shard off the queues of a worker."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping
from typing import Protocol

from redis.asyncio import Redis

from . import logs
from .queues import Bounds, Share, Turns
from .settings import Settings
from .wire import FAULTS, GROUP, Calls, CannotWork, Keys, command, is_no_group, may_pass, text

LONGEST_BLOCK = 5.0
"""As long as other workers: Redis serves first who has waited longest, so who asks anew more often gets nothing."""
SHORT_BLOCK = 0.5
"""Of several shards, since a read holds slots that another one may need; and of some of the queues, while others have no room."""


class Host(Protocol):
    """What it needs of its worker."""

    id: str
    calls: Calls
    keys: Keys
    settings: Settings
    shares: dict[str, Share]
    bounds: Bounds
    slots: asyncio.Semaphore
    stopping: asyncio.Event
    loop: asyncio.AbstractEventLoop
    left: int | None
    last_busy: float

    @property
    def queues(self) -> list[str]: ...
    @property
    def running(self) -> Mapping[str, object]: ...
    def connect(self, timeout: float) -> Redis: ...
    def give_up(self, fault: CannotWork) -> None: ...
    def take_up(self, found: Iterable[tuple[str, str, dict[str, str]]], shard: int, permits: int) -> int: ...
    async def pause(self, seconds: float) -> None: ...
    async def ensure_groups(self, shard: int) -> None: ...
    async def register(self, *, lost: bool) -> None: ...


class Fetcher:
    """Reads the entries of one shard, over a connection of its own, since that blocks. It takes slots before it reads."""

    def __init__(self, worker: Host, shard: int):
        self.worker, self.shard = worker, shard
        self.queues = worker.queues
        self.turns = Turns(self.queues, worker.shares)
        settings = worker.settings
        self.client = worker.connect(self._longest(self.queues) + settings.redis_timeout)
        self.connection: Redis | None = None
        self.client_id: int | None = None
        self.permits = 0
        self.reading = False
        self.blocks = False
        self.unseen = False
        """Whether Redis may have given this worker entries that it never saw: a connection broke."""

    def start(self) -> None:
        self.task = asyncio.create_task(self._run())

    async def end(self) -> None:
        """Ends it, once a read that blocks has ended: it may have been given an entry."""
        while not self.task.done():
            if not self.reading:
                self.task.cancel()
            else:
                await self.unblock()
            await asyncio.wait({self.task}, timeout=0.05)
        if self.connection:
            await self.connection.aclose()
        await self.client.aclose()
        if not self.task.cancelled() and self.task.exception():
            fault = self.task.exception()
            self.worker.give_up(CannotWork(f"the reader of a shard died: {fault!r}"))

    async def unblock(self) -> None:
        """Ends a read that blocks."""
        if self.client_id is not None:
            try:
                await command(self.worker.calls.client, "CLIENT UNBLOCK", self.client_id)
            except FAULTS:
                # Without the right to it, the read ends by its time.
                self.client_id = None

    async def _run(self) -> None:
        worker, pause = self.worker, 0.1
        while not worker.stopping.is_set():
            try:
                await self._round()
                pause = 0.1
            except FAULTS as fault:
                if not may_pass(fault):
                    logs.say(logs.WORKER, logging.ERROR, "a queue cannot be read", error=str(fault))
                else:
                    logs.say(logs.WORKER, logging.WARNING, "reading failed; trying again", error=str(fault))
                self.reading, self.unseen, self.client_id = False, True, None
                worker.last_busy = worker.loop.time()
                await worker.pause(pause * random.uniform(0.5, 1))
                pause = min(pause * 2, 2)

    async def _round(self) -> None:
        worker = self.worker
        if self.connection is None:
            self.connection = self.client.client()
        if self.client_id is None:
            self.reading = True
            self.client_id = int(await command(self.connection, "CLIENT ID"))
            self.reading = False
        if self.unseen:
            await self._see_unseen()
        if worker.left is not None and worker.left <= 0:
            await asyncio.sleep(0.05)
            return
        if not self._open():
            # All are at their bounds.
            await asyncio.sleep(0.05)
            return
        await worker.slots.acquire()
        self.permits = 1
        try:
            await self._read_with_permits()
        finally:
            self.reading = False
            for _ in range(self.permits):
                worker.slots.release()
            self.permits = 0

    async def _read_with_permits(self) -> None:
        worker = self.worker
        most = worker.settings.slots if worker.left is None else max(1, worker.left)
        while self.permits < most and not worker.slots.locked():
            await worker.slots.acquire()
            self.permits += 1
        self.reading = True
        if worker.stopping.is_set():
            return
        self.queues = self.queues[1:] + self.queues[:1]
        if len(self.queues) > 1 and await self._read_in_turn():
            return
        # A read of several queues may bring one entry of each; those without a slot wait for one.
        queues = self._open() if worker.left is None else self._open()[:1]
        if not queues:
            return
        count = int(min(self.permits, worker.bounds.room(queues[0]))) if len(queues) == 1 else 1
        self._begin(await self._read(queues, count, self._longest(queues)))

    def _longest(self, queues: list[str]) -> float:
        """How long a read of these queues blocks."""
        settings = self.worker.settings
        longest = LONGEST_BLOCK if settings.shards == 1 and len(queues) == len(self.queues) else SHORT_BLOCK
        return min(longest, settings.idle_exit or longest)

    def _open(self) -> list[str]:
        """The queues that are not at their bounds."""
        return [queue for queue in self.queues if self.worker.bounds.room(queue) >= 1]

    async def _read_in_turn(self) -> bool:
        """Reads what is there, each queue in its turn, until the slots are used up or all are empty; whether there was anything."""
        empty: set[str] = set()
        found_any = False
        while self.permits > 0:
            shares = self.turns.share(
                self.permits, lambda queue: 0 if queue in empty else self.worker.bounds.room(queue)
            )
            if not shares:
                break
            for queue, count in shares.items():
                found = await self._read([queue], count, None)
                if len(found) < count:
                    empty.add(queue)
                found_any = self._begin(found) or found_any
        return found_any

    def _begin(self, found: list[tuple[str, str, dict[str, str]]]) -> bool:
        if self.worker.left is not None:
            self.worker.left -= len(found)
        self.permits = self.worker.take_up(found, self.shard, self.permits)
        return bool(found)

    async def _read(
        self, queues: list[str], count: int, block: float | None, after: str = ">"
    ) -> list[tuple[str, str, dict[str, str]]]:
        assert self.connection is not None
        streams = {self.worker.keys.queue(self.shard, queue): queue for queue in queues}
        blocking = [] if block is None else ["BLOCK", max(1, round(block * 1000))]
        self.blocks = block is not None
        try:
            reply = await command(self.connection, 
                "XREADGROUP", "GROUP", GROUP, self.worker.id, "COUNT", count, *blocking,
                "STREAMS", *streams, *([after] * len(streams)),
            )  # fmt: skip
        except FAULTS as fault:
            if is_no_group(fault):
                await self.worker.ensure_groups(self.shard)
                await self.worker.register(lost=True)
                return []
            raise
        finally:
            self.blocks = False
        found = []
        for stream, entries in reply.items() if isinstance(reply, dict) else reply or []:
            if entries and isinstance(entries[0], list) and entries[0] and isinstance(entries[0][0], (list, tuple)):
                entries = [entry for part in entries for entry in part]
            for entry, fields in entries:
                named = {text(name): text(value) for name, value in (fields or {}).items()}
                found.append((streams[text(stream)], text(entry), named))
        return found

    async def _see_unseen(self) -> None:
        """Begins the work on entries that Redis gave this worker over a connection that broke, and that it never saw."""
        worker = self.worker
        self.reading = True
        await worker.ensure_groups(self.shard)
        # If Redis lost its data, it lost the tools, too.
        await worker.register(lost=True)
        count = len(worker.running) + worker.settings.slots
        found = await self._read(self.queues, count, None, "0")
        new = [item for item in found if item[1] not in worker.running]
        self._begin(new)
        self.unseen = self.reading = False
