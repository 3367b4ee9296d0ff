"""A worker: it takes entries off its queues, has attempts run, says that it lives, and stops in order."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import re
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, Protocol, TypeVar, overload

from redis.asyncio import Redis
from redis.asyncio.retry import Retry as RedisRetry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as Disconnected

from . import logs
from .attempt import HALTED, REFUSALS, Attempt, Claimed, persist
from .fetcher import Fetcher
from .queues import Bounds
from .queues import read as shares_of_queues
from .settings import SettingsError, read
from .tool import Tool
from .wire import (
    FAULTS,
    Calls,
    CannotWork,
    Keys,
    NoLibrary,
    UnknownReply,
    command,
    is_denied,
    may_pass,
    remedy,
    text,
)

Function = TypeVar("Function", bound=Callable[..., Any])

VERSION = "0.1.0"
BEAT = 5.0
KEPT_MS = 60_000
LIBRARY_WAIT = 5.0
"""So long a worker that starts waits for the library of functions: front ends bring it back to a Redis that lost its data."""


class Connect(Protocol):
    """Makes a client of Redis, for instance `lambda **options: Sentinel(…).master_for("primary", **options)`."""

    def __call__(self, **options: Any) -> Redis: ...


class Worker:
    """A worker. Each setting that is not given is taken from the environment (`TASKFERRY_SLOTS` and so on), or is the default.

    `redis` is a URL, or a function that makes a client. Times are seconds, or text such as "30s". `queues` shares the slots out:
    `{"urgent": 8, "heavy": {"weight": 1, "slots": 2}}`."""

    def __init__(
        self,
        redis: str | Connect | None = None,
        *,
        slots: int | None = None,
        lease: float | str | None = None,
        drain_timeout: float | str | None = None,
        max_jobs: int | None = None,
        idle_exit: float | str | None = None,
        once: bool | None = None,
        max_result: int | str | None = None,
        park_after: float | str | None = None,
        redis_prefix: str | None = None,
        redis_shards: int | None = None,
        role: str | None = None,
        scripts: str | os.PathLike[str] | None = None,
        queues: Mapping[str, int | Mapping[str, int]] | None = None,
    ):
        given = {
            "redis_url": redis if isinstance(redis, str) else None, "slots": slots, "lease": lease,
            "drain_timeout": drain_timeout, "max_jobs": max_jobs, "idle_exit": idle_exit, "once": once,
            "max_result": max_result, "park_after": park_after, "redis_prefix": redis_prefix,
            "redis_shards": redis_shards, "role": role, "scripts": scripts,
        }  # fmt: skip
        self._given = given
        self._queues_given = queues
        self._connect_with = None if redis is None or isinstance(redis, str) else redis
        self.tools: dict[str, Tool] = {}
        host = re.sub(r"[^A-Za-z0-9-]", "", socket.gethostname())[:40] or "worker"
        self.id = f"{host}-{secrets.token_hex(4)}"
        """A new one at each start: what an earlier process left is not its own."""

    @overload
    def tool(self, function: Function) -> Function: ...
    @overload
    def tool(self, **options: Any) -> Callable[[Function], Function]: ...
    def tool(self, function: Function | None = None, **options: Any) -> Function | Callable[[Function], Function]:
        """Makes a function a tool. The options are those of `taskferry.tool.Tool`."""

        def add(function: Function) -> Function:
            made = Tool(function, **options)
            if made.name in self.tools:
                raise ValueError(f"there are two tools of the name {made.name!r}")
            self.tools[made.name] = made
            return function

        return add if function is None else add(function)

    # -- running

    def run(self) -> NoReturn:
        """Works until it is told to stop, or has nothing left to do, and ends the process: with code 0; 1 if Redis cannot be
        used, or a second signal ended the drain; 2 if the settings cannot be used."""
        try:
            asyncio.run(self.serve(signals=True))
            code = 0
        except SettingsError as fault:
            print(f"taskferry: {fault}", file=sys.stderr)
            code = 2
        except CannotWork as fault:
            print(f"taskferry: {fault}", file=sys.stderr)
            code = 1
        # Tools that did not stop may still block threads.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    async def serve(self, *, signals: bool = False) -> None:
        """The same in a program that is more than a worker; `stop` ends it. Raises `CannotWork` and `SettingsError`."""
        self.settings = read(self._given)
        if not self.tools:
            raise SettingsError("there is no tool: decorate a function with @worker.tool")
        try:
            self.shares = shares_of_queues(self._queues_given, self.queues)
        except ValueError as fault:
            raise SettingsError(str(fault)) from None
        self.bounds = Bounds(self.shares)
        logs.begin(self.settings.log)
        self.keys = Keys(self.settings.prefix)
        self.loop = asyncio.get_running_loop()
        self.slots = asyncio.Semaphore(self.settings.slots)
        self.stopping = asyncio.Event()
        self.killed = asyncio.Event()
        self._deaf = set(range(self.settings.shards))
        self.left = self.settings.max_jobs
        self.running: dict[str, Attempt | None] = {}
        """By entry: what was read and has not ended; None until its attempt begins."""
        self.last_busy = self.loop.time()
        self._jobs: set[asyncio.Task[None]] = set()
        self.fetchers: list[Fetcher] = []
        self._waiting = 0
        self._freeing: asyncio.Task[None] | None = None
        self._said: dict[str, str | int] = {}
        self._beats = 0
        self._deliveries = itertools.count(1)
        self._fault: CannotWork | None = None
        self._drains = True
        client = self.connect(self.settings.redis_timeout)
        large = self.connect(self.settings.redis_timeout + 30)
        self.calls = Calls(client, large, self.settings.scripts)
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
                self.loop.add_signal_handler(number, self._signalled)
        try:
            await self._introduce()
            await self._work()
        finally:
            if signals:
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
                    self.loop.remove_signal_handler(number)
            await client.aclose()
            await large.aclose()
        if self._fault:
            raise self._fault

    def stop(self) -> None:
        """Begins the drain: nothing more is read; what runs may go on for `drain_timeout`."""
        if not self.stopping.is_set():
            self.stopping.set()

    def give_up(self, fault: CannotWork) -> None:
        """Stops because this worker cannot go on."""
        if self._fault is None:
            self._fault = fault
            logs.say(logs.WORKER, logging.ERROR, "this worker cannot go on", error=str(fault))
        self.stop()

    def _signalled(self) -> None:
        if self.stopping.is_set() and self._drains:
            self._fault = self._fault or CannotWork("a second signal ended the drain")
            self.killed.set()
        self._drains = True
        self.stop()

    def connect(self, timeout: float) -> Redis:
        """A client whose calls fail after this time. It repeats none: whoever calls knows what may be repeated."""
        options: dict[str, Any] = {
            "protocol": 2,
            "socket_timeout": timeout,
            "socket_connect_timeout": self.settings.redis_timeout,
            "retry": RedisRetry(NoBackoff(), 0),
        }
        if self._connect_with:
            return self._connect_with(**options)
        try:
            return Redis.from_url(self.settings.redis_url, **self.settings.redis_options, **options)
        except ValueError as fault:
            raise SettingsError(f"redis_url: {fault}") from fault

    @property
    def is_listening(self) -> bool:
        """Whether it hears messages of all shards."""
        return not self._deaf

    # -- start

    @property
    def queues(self) -> list[str]:
        return sorted({tool.queue for tool in self.tools.values()})

    @property
    def _foreign(self) -> bool:
        return self.settings.role == "foreign-worker"

    async def _introduce(self) -> None:
        """Makes sure that this worker can work here, and makes it known. If Redis is not there yet, waits for it."""
        pause = 0.2
        missing_until: float | None = None
        while not self.stopping.is_set():
            try:
                await self.calls.check(self.keys, self.id, self.queues, self._foreign)
                for shard in range(self.settings.shards):
                    await self.ensure_groups(shard)
                await self.register(lost=False)
                await self._beat()
                return
            except NoLibrary as fault:
                missing_until = missing_until or self.loop.time() + LIBRARY_WAIT
                if self.loop.time() + pause > missing_until:
                    raise
                logs.say(logs.WORKER, logging.WARNING, "Redis cannot be used yet; trying again", error=str(fault))
            except (Disconnected, TimeoutError, *FAULTS) as fault:
                if isinstance(fault, AuthenticationError) or is_denied(fault) or not may_pass(fault):
                    raise CannotWork(f"Redis cannot be used: {fault}{remedy(fault)}") from fault
                logs.say(logs.WORKER, logging.WARNING, "Redis cannot be used yet; trying again", error=str(fault))
            await self.pause(pause)
            pause = min(pause * 2, 5)

    async def pause(self, seconds: float) -> None:
        """Waits so long, or until the worker stops."""
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            pass

    async def ensure_groups(self, shard: int) -> None:
        for queue in self.queues:
            await self.calls("ensure_group", [self.keys.queue(shard, queue)])

    async def register(self, *, lost: bool) -> None:
        """Registers the tools; with `lost` those alone that are gone, since a newer worker may have registered another form."""
        if self._foreign:
            return
        fleet = self.keys.fleet
        for queue in self.queues:
            pairs: list[str] = []
            for tool in self.tools.values():
                if tool.queue != queue:
                    continue
                if lost and await command(self.calls.client, "HGET", fleet(f"tools:{queue}"), tool.name):
                    continue
                pairs += [tool.name, tool.definition_json]
            if not pairs:
                continue
            keys = [fleet(f"tools:{queue}"), fleet("queues"), fleet("homes")]
            args = [fleet("tools:changed"), queue, *pairs]
            try:
                await self.calls("register_tools", keys, *args)
            except FAULTS as fault:
                if not is_denied(fault):
                    raise
                # A worker of some queues alone may not take over tools of others.
                await self.calls("register_tools", keys[:2], *args)

    async def _beat(self) -> None:
        """Says that the worker lives, if it said so a while ago, or what it says of itself has changed."""
        if self._foreign:
            return
        fleet, busy = self.keys.fleet, len(self._jobs)
        # Slots with which a fetcher reads are free for jobs.
        full = self.slots.locked() and not any(fetcher.permits for fetcher in self.fetchers)
        doing = "draining" if self.stopping.is_set() else "full" if full else "fetching"
        said: dict[str, str | int] = {
            "host": socket.gethostname(), "pid": os.getpid(), "version": f"python-{VERSION}",
            "slots": self.settings.slots, "busy": busy, "tools": ",".join(sorted(self.tools)),
            "queues": ",".join(self.queues), "doing": doing, "listens": 1,
        }  # fmt: skip
        beat = self._beats = self._beats + 1
        if said == self._said and beat % 2:
            return
        fields = [part for pair in said.items() for part in pair]
        keys = [fleet(f"worker:{self.id}"), fleet("workers"), fleet("definitions")]
        await self.calls("beat", keys, self.id, KEPT_MS, 0, *fields)
        self._said, self._beats = said, 0

    # -- work

    async def _work(self) -> None:
        listening = asyncio.Event()
        ears = [asyncio.create_task(self._listen(shard, listening)) for shard in range(self.settings.shards)]
        # Nothing is read before messages are heard, so that no cancel of what was just begun is missed.
        try:
            await asyncio.wait_for(listening.wait(), self.settings.redis_timeout)
        except TimeoutError:
            pass
        self.fetchers = [Fetcher(self, shard) for shard in range(self.settings.shards)]
        for fetcher in self.fetchers:
            fetcher.start()
        tidy = asyncio.create_task(self._tidy())
        watch = asyncio.create_task(self._end_by_itself())
        logs.say(logs.WORKER, logging.INFO, "working", worker=self.id, tools=",".join(sorted(self.tools)))
        try:
            await self.stopping.wait()
            await asyncio.gather(*(fetcher.end() for fetcher in self.fetchers))
            await self._drain()
        finally:
            for task in (tidy, watch, *ears):
                task.cancel()
            await asyncio.gather(tidy, watch, *ears, return_exceptions=True)
        await self._leave()

    async def _drain(self) -> None:
        """Lets what runs go on for a while, and gives back what does not end. A worker that ends by itself waits for all."""
        try:
            await self._beat()
        except FAULTS:
            pass
        killed = asyncio.create_task(self.killed.wait())
        until = self.loop.time() + self.settings.drain_timeout
        while self._jobs and not self.killed.is_set():
            left = until - self.loop.time() if self._drains else None
            if left is not None and left <= 0:
                break
            await asyncio.wait(
                {*self._jobs, killed}, timeout=min(left or 0.5, 0.5), return_when=asyncio.FIRST_COMPLETED
            )
            if not self._drains:
                until = self.loop.time() + self.settings.drain_timeout
        killed.cancel()
        for attempt in self.running.values():
            if attempt:
                attempt.stop(HALTED)
        if self._jobs:
            longest = max(tool.stop_grace for tool in self.tools.values())
            await asyncio.wait(self._jobs, timeout=longest + 2 if not self.killed.is_set() else 1)

    async def _leave(self) -> None:
        """Takes this worker off the lists. Whatever fails here is forgotten by itself a minute later."""
        if not self._foreign:
            try:
                for shard in range(self.settings.shards):
                    for queue in self.queues:
                        await self.calls("forget_worker", [self.keys.queue(shard, queue)], self.id)
                fleet = self.keys.fleet
                await command(self.calls.client, "DEL", fleet(f"worker:{self.id}"))
                await command(self.calls.client, "ZREM", fleet("workers"), self.id)
            except FAULTS as fault:
                logs.say(logs.WORKER, logging.DEBUG, "this worker could not be taken off", error=str(fault))
        logs.say(logs.WORKER, logging.INFO, "stopped", worker=self.id, left=len(self._jobs) or None)

    async def _tidy(self) -> None:
        """Says that the worker lives, and brings back what Redis lost."""
        for number in itertools.count(1):
            pause = BEAT * random.uniform(0.8, 1)
            due = self.loop.time() + pause
            await asyncio.sleep(pause)
            late = self.loop.time() - due
            if late > self.settings.lease / 3:
                logs.say(
                    logs.WORKER, logging.ERROR,
                    "the event loop stood still, so that leases were not renewed: an async tool blocks it; write it with def",
                    seconds=round(late, 1),
                )  # fmt: skip
            try:
                if number % 3 == 0 and not self.stopping.is_set():
                    if not self._foreign:
                        await self.calls.check_version(self.keys)
                    await self.register(lost=True)
                await self._beat()
            except CannotWork as fault:
                self.give_up(fault)
                return
            except FAULTS as fault:
                logs.say(logs.WORKER, logging.WARNING, "this worker could not be made known", error=str(fault))

    async def _listen(self, shard: int, listening: asyncio.Event) -> None:
        """Hears of answers and cancels. A message says nothing but: renew now."""
        channel, first = f"{self.keys.base(shard)}inbox:{self.id}", True
        while True:
            try:
                client = self.connect(self.settings.redis_timeout)
                async with client, client.pubsub() as inbox:
                    await inbox.subscribe(channel)
                    silent = 0
                    while silent < 3:
                        message = await inbox.get_message(timeout=10.0)
                        silent = 0 if message else silent + 1
                        if not message:
                            # Said again, so that a connection which leads nowhere is noticed; not every role may PING.
                            await inbox.subscribe(channel)
                        elif message["type"] == "subscribe" and shard in self._deaf:
                            first = False
                            self._deaf.discard(shard)
                            if self.is_listening:
                                listening.set()
                            self._ring(None)
                        elif message["type"] == "message":
                            self._ring(text(message["data"]))
            except FAULTS as fault:
                level = logging.DEBUG if shard in self._deaf and not first else logging.WARNING
                logs.say(logs.WORKER, level, "messages are not heard; trying again", error=str(fault))
            first = False
            self._deaf.add(shard)
            # Who is not heard to listen is taken for dead, unless it renews.
            self._ring(None)
            await asyncio.sleep(random.uniform(0.2, 1))

    def _ring(self, job: str | None) -> None:
        for attempt in self.running.values():
            if attempt and job in (None, attempt.id):
                attempt.bell.set()

    async def _end_by_itself(self) -> None:
        """Ends the worker once it had nothing to do for `idle_exit`, or has begun `max_jobs`."""
        idle = self.settings.idle_exit
        while True:
            await asyncio.sleep(0.05)
            if self._jobs:
                self.last_busy = self.loop.time()
            bored = idle is not None and self.loop.time() - self.last_busy >= idle
            if bored or (self.left is not None and self.left <= 0 and not self._jobs):
                logs.say(logs.WORKER, logging.INFO, "there is nothing left to do")
                self._drains = False
                self.stop()
                return

    # -- entries

    def take_up(self, found: Iterable[tuple[str, str, dict[str, str]]], shard: int, permits: int) -> int:
        """Begins the work on entries, each with a slot of these, or it waits for one. Returns how many slots are left."""
        for queue, entry, fields in found:
            if entry in self.running:
                continue
            self.last_busy = self.loop.time()
            self.running[entry] = None
            # A slot, and room in its queue, or neither.
            begins = permits > 0 and self.bounds.try_take(queue)
            task = asyncio.create_task(self._take(shard, queue, entry, fields, begins))
            permits -= begins
            self._jobs.add(task)
            task.add_done_callback(self._jobs.discard)
        return permits

    async def _take(self, shard: int, queue: str, entry: str, fields: dict[str, str], has_slot: bool) -> None:
        begun = False
        try:
            has_slot = has_slot or await self._slot_or_stop(queue)
            claimed = await self._claim(shard, queue, entry, fields)
            if claimed is None:
                return
            tool = self.tools.get(claimed.job["tool"])
            if tool is None or self.stopping.is_set():
                await self._give_back(claimed, known=tool is not None)
                return
            begun = True
            attempt = Attempt(self, tool, claimed, queue)
            self.running[entry] = attempt
            await attempt.run()
        except CannotWork as fault:
            self.give_up(fault)
        except FAULTS as fault:
            # It stays with this worker until its lease ends; then somebody else gets it.
            logs.say(logs.WORKER, logging.ERROR, "an entry could not be claimed", error=str(fault))
        except Exception:  # noqa: BLE001 - a fault of this package must not be lost with its task
            logs.WORKER.exception("an attempt died; its job is run again once its lease ends")
        finally:
            self.running.pop(entry, None)
            if not begun:
                if self.left is not None:
                    self.left += 1
                if has_slot:
                    self.give_slot(queue)

    async def take_slot(self, queue: str) -> None:
        """Waits for room in a queue, then for a slot: who waits for the first must not hold the second."""
        await self.bounds.take(queue)
        self._waiting += 1
        try:
            if self.slots.locked() and (self._freeing is None or self._freeing.done()):
                self._freeing = asyncio.create_task(self._free_slots())
            await self.slots.acquire()
        except asyncio.CancelledError:
            self.bounds.give(queue)
            raise
        finally:
            self._waiting -= 1

    async def _free_slots(self) -> None:
        """Ends reads that block, and so hold slots, as long as a job waits for one."""
        while self._waiting and not self.stopping.is_set():
            for fetcher in self.fetchers:
                if fetcher.blocks:
                    await fetcher.unblock()
            await asyncio.sleep(0.05)

    def give_slot(self, queue: str) -> None:
        self.slots.release()
        self.bounds.give(queue)

    async def _slot_or_stop(self, queue: str) -> bool:
        """Waits for a slot; False if the worker stops before: what was read is given back then, without one."""
        slot, stop = asyncio.create_task(self.take_slot(queue)), asyncio.create_task(self.stopping.wait())
        await asyncio.wait({slot, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not slot.done():
            slot.cancel()
        return (await asyncio.gather(slot, return_exceptions=True))[0] is None

    async def _claim(self, shard: int, queue: str, entry: str, fields: dict[str, str]) -> Claimed | None:
        base, stream, job = self.keys.base(shard), self.keys.queue(shard, queue), fields.get("id", "")
        until = self.loop.time() + self.settings.lease
        if not job.startswith(f"{shard}-"):
            args = (base, entry, job, fields.get("tool", ""), "unreadable")
            await persist(lambda: self.calls("dead_letter", [stream], *args), until)
            logs.say(logs.WORKER, logging.ERROR, "an entry that is no job's is a dead letter", entry=entry)
            return None
        record = f"{base}task:{job}"
        call = (base, job, entry, self.id, round(self.settings.lease * 1000), next(self._deliveries))
        reply, _ = await persist(lambda: self.calls("claim", [record, stream], *call), until)
        if reply.tag == "OK":
            return Claimed(base, record, stream, entry, job, reply.rest[0], reply.pairs(1))
        about = {"task": logs.digest(job), "entry": entry}
        if reply.tag == "UNREADABLE":
            args = (base, entry, job, fields.get("tool", ""), "unreadable")
            await persist(lambda: self.calls("dead_letter", [stream], *args), until)
            logs.say(logs.WORKER, logging.ERROR, "a record cannot be read; its job is a dead letter", **about)
        elif reply.tag in ("GONE", "STALE", "DONE", "WAITS", "POISON", "BUSY"):
            logs.say(logs.WORKER, logging.DEBUG, "an entry was not begun", said=reply.tag, **about)
        else:
            raise UnknownReply("claim", reply.tag)
        return None

    async def _give_back(self, claimed: Claimed, *, known: bool) -> None:
        """Gives back a job that this worker cannot run, or not any more. It has used up no attempt."""
        delay = 0
        if not known:
            tries = max(0, min(int(claimed.attempt) - 8, 4))
            delay = round(min(2000 * 2**tries, 30_000) * random.uniform(1, 1.5))
            logs.say(
                logs.WORKER, logging.WARNING, "this worker does not have the tool; the job is given back",
                task=logs.digest(claimed.id), tool=claimed.job["tool"],
            )  # fmt: skip
        args = (claimed.base, claimed.id, claimed.attempt, claimed.entry, delay, "", "0")
        until = self.loop.time() + self.settings.lease
        reply, _ = await persist(lambda: self.calls("release", [claimed.record, claimed.queue], *args), until)
        if reply.tag not in ("OK", *REFUSALS):
            raise UnknownReply("release", reply.tag)
