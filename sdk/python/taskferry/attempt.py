"""One attempt of one job, from its claim to its end: its lease, its reports, its questions, and how its end is written."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import random
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from . import logs
from .clock import Clock
from .context import Context, Stopped
from .reports import Reports
from .results import Outcome, Retry, RpcError, ToolError, bounded, error, failed, outcome_of, summary
from .settings import Settings
from .tool import Tool
from .wire import FAULTS, Calls, CannotWork, Reply, UnknownReply, command, may_pass, text

# What Redis says to an attempt that may not write any more, and what that is in the log.
REFUSALS = {"CANCELLED": "cancelled", "DONE": "not needed", "GONE": "expired", "STALE": "lost lease"}

TIMED_OUT = "timed out"
HALTED = "the worker stops"
PARKED = "parked"
BROKEN = "the worker cannot go on"

REPORT_PACE = 0.05


T = TypeVar("T")


async def persist(call: Callable[[], Awaitable[T]], until: float) -> tuple[T, bool]:
    """Makes a call again until Redis answers, or until this time of the loop. Says also whether it took more than one try:
    then a refusal means that an earlier one was done. It is not over with the lease: until another worker claims the job,
    this attempt has it."""
    loop = asyncio.get_running_loop()
    pause, repeated = 0.05, False
    while True:
        try:
            return await call(), repeated
        except FAULTS as fault:
            if not may_pass(fault) or loop.time() > until:
                raise
            logs.say(logs.WORKER, logging.WARNING, "a call to Redis failed; trying again", error=str(fault))
        repeated = True
        await asyncio.sleep(pause * random.uniform(0.5, 1))
        pause = min(pause * 2, 2)


class Host(Protocol):
    """What an attempt needs of the worker that runs it."""

    id: str
    calls: Calls
    settings: Settings
    stopping: asyncio.Event

    @property
    def is_listening(self) -> bool: ...
    def give_up(self, fault: CannotWork) -> None: ...
    async def take_slot(self, queue: str) -> None: ...
    def give_slot(self, queue: str) -> None: ...


@dataclass(frozen=True)
class Settlement:
    """How an attempt ends: `finish`, `retry`, `release`, `park`, or nothing is written."""

    how: str
    outcome: Outcome | None = None
    delay: float = 0.0
    message: str = ""
    reason: str | None = None


class Attempt:
    """One attempt that runs."""

    def __init__(self, worker: Host, tool: Tool, claimed: Claimed, queue: str):
        self.worker, self.tool, self.claimed, self.queue = worker, tool, claimed, queue
        self.id, self.number, self.job = claimed.id, claimed.attempt, claimed.job
        self.loop = asyncio.get_running_loop()
        self.arguments: dict[str, Any] = {}
        self.began = self.loop.time()
        self.expires = self.began + int(self.job["ttl_ms"]) / 1000
        self.reports = Reports(self.loop)
        self.answers = claimed.answers
        self.answered = asyncio.Event()
        self.bell = asyncio.Event()
        self.stop_reason: str | None = None
        self.stopped = asyncio.Event()
        self._waits = 0
        self._has_slot = True
        self._begun = self._handler_gone = False

    # -- what is said about it

    def say(self, logger: logging.Logger, level: int, message: str, **fields: Any) -> None:
        logs.say(logger, level, message, task=logs.digest(self.id), tool=self.tool.name, attempt=self.number, **fields)

    def stop(self, reason: str) -> None:
        """Tells the tool to stop. The first reason counts."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self.stopped.set()

    # -- calls

    async def call(self, name: str, *args: str | int, queue: bool = False) -> Reply:
        """A call that names this attempt. A refusal stops the tool."""
        keys = [self.claimed.record] + ([self.claimed.queue] if queue else [])
        reply = await self.worker.calls(name, keys, self.claimed.base, self.id, self.number, *args)
        if reply.tag in REFUSALS and name not in ("finish", "schedule_retry", "release", "park"):
            self.stop(reply.tag)
        return reply

    def unknown(self, name: str, reply: Reply) -> UnknownReply:
        fault = UnknownReply(name, reply.tag)
        self.worker.give_up(fault)
        self.stop(BROKEN)
        return fault

    # -- its life

    async def run(self) -> None:
        """Runs the tool, and writes how the attempt ended."""
        lease = asyncio.create_task(self.keep_lease())
        try:
            settlement = await self.supervise()
            if self.stop_reason not in (*REFUSALS, BROKEN, PARKED):
                await self.send_reports()
            ran = self.loop.time() - self.began
            # A write that was refused meanwhile: nothing more counts.
            word = await self.settle(settlement)
        finally:
            lease.cancel()
            if not self._begun:
                self._handler_ended(None)
        level = logging.WARNING if word in ("lost lease", "left to its lease", "dead letter") else logging.INFO
        self.say(
            logs.ATTEMPT, level, "ended", outcome=word, reason=settlement.reason, ran_ms=round(ran * 1000),
            retry_in_ms=round(settlement.delay * 1000) if word == "will be retried" else None,
        )  # fmt: skip

    async def supervise(self) -> Settlement:
        """Runs the tool until it ends, or must be stopped."""
        try:
            self.arguments = json.loads(await self.claimed.read_arguments(self.worker, self.expires))
        except (ValueError, RecursionError) as fault:
            return self.judge(None, ToolError(f"the arguments cannot be read: {fault}"))
        except FAULTS as fault:
            return Settlement("nothing", reason=f"its arguments could not be read: {fault}")
        self.clock = Clock(int(self.job["timeout_ms"]) / 1000, lambda: self.stop(TIMED_OUT))
        self._begun = True
        handler = asyncio.ensure_future(self.invoke())
        handler.add_done_callback(self._handler_ended)
        helpers = [asyncio.create_task(self.stopped.wait()), asyncio.create_task(self.keep_reporting())]
        await asyncio.wait({handler, helpers[0]}, return_when=asyncio.FIRST_COMPLETED)
        if not handler.done():
            if self.tool.is_async:
                handler.cancel(self.stop_reason)
            # One that waits in `ask` has nothing to clean up; it is told there.
            await asyncio.wait({handler}, timeout=self.tool.stop_grace)
        self.clock.stand()
        for helper in helpers:
            helper.cancel()
        if not handler.done():
            self.say(
                logs.ATTEMPT, logging.WARNING, "the tool does not stop; its slot stays taken until it ends",
                reason=self.stop_reason,
            )  # fmt: skip
            handler.add_done_callback(lambda late: late.cancelled() or late.exception())
            return self.judge(None, Stopped(self.stop_reason or HALTED))
        if handler.cancelled():
            return self.judge(None, asyncio.CancelledError())
        raised = handler.exception()
        return self.judge(None if raised else handler.result(), raised)

    async def invoke(self) -> Any:
        """Calls the tool: in this loop if it is `async`, else in a thread of its own, so that the loop goes on."""
        context = Context(self)
        arguments = self.tool.signature.bind(context, self.arguments)
        if self.tool.is_async:
            try:
                return await self.tool.function(**arguments)
            except (SystemExit, KeyboardInterrupt) as fault:
                raise RuntimeError(f"it raised {type(fault).__name__}") from fault
        ended: asyncio.Future[Any] = self.loop.create_future()

        def work() -> None:
            result, raised = None, None
            try:
                result = self.tool.function(**arguments)
            except BaseException as fault:  # noqa: BLE001
                raised = fault
            self.loop.call_soon_threadsafe(finish, result, raised)

        def finish(result: Any, raised: BaseException | None) -> None:
            if ended.done():
                return
            if raised is None:
                ended.set_result(result)
            elif isinstance(raised, (asyncio.CancelledError, Exception)) and not isinstance(raised, StopIteration):
                ended.set_exception(_Raised(raised))
            else:
                # What ends a program must not end the worker, and a future takes no StopIteration.
                ended.set_exception(_Raised(RuntimeError(f"it raised {type(raised).__name__}")))

        # A daemon: a thread cannot be ended, and must not keep a worker that stops from ending.
        threading.Thread(target=work, name=f"{self.tool.name} {logs.digest(self.id)}", daemon=True).start()
        try:
            result = await ended
        except _Raised as wrapped:
            raise wrapped.fault from None
        if inspect.isawaitable(result):
            raise TypeError("it returned an awaitable; declare it with async def")
        return result

    def _handler_ended(self, _handler: object) -> None:
        self._handler_gone = True
        if self._has_slot:
            self._has_slot = False
            self.worker.give_slot(self.queue)

    def judge(self, value: Any, raised: BaseException | None) -> Settlement:
        """What the end of a tool means for its job."""
        reason, most = self.stop_reason, self.worker.settings.max_result
        if reason in REFUSALS or reason == BROKEN:
            return Settlement("nothing", reason=REFUSALS.get(reason or "", BROKEN))
        if reason == PARKED:
            return Settlement("park")
        if reason == TIMED_OUT:
            seconds = int(self.job["timeout_ms"]) / 1000
            said = f"timed out after {seconds:g}s (the tool's timeout)"
            return Settlement("finish", error(said), reason=said)
        if raised is None:
            return Settlement("finish", outcome_of(value, structured=self.tool.has_output, most=most))
        if reason == HALTED:
            # What it raises as it is stopped may be anything.
            return self.halted()
        if isinstance(raised, asyncio.CancelledError):
            raised = Retry("the tool was cancelled from within")
        place = _place(raised)
        logs.TOOL.debug("a tool raised", exc_info=raised, extra={"fields": {"task": logs.digest(self.id)}})
        if isinstance(raised, Retry):
            delay = self.tool.backoff(int(self.job.get("retries") or 0)) if raised.after is None else raised.after
            said = summary(str(raised)) or "the tool asks for another attempt"
            return Settlement("retry", bounded(error(said), most), max(0.0, delay), said, reason=place)
        if isinstance(raised, RpcError):
            outcome = bounded(failed(str(raised), raised.code), most)
            return Settlement("finish", outcome, reason=f"JSON-RPC error {raised.code}")
        if isinstance(raised, ToolError):
            said = str(raised)
        else:
            said = f"{type(raised).__name__}: {raised}" if str(raised) else type(raised).__name__
        return Settlement("finish", bounded(error(said), most), reason=place)

    def halted(self) -> Settlement:
        """The tool was stopped because its worker ends: another runs it, unless it may be run only once."""
        if int(self.job.get("max_attempts") or 2) > 1 or int(self.job.get("max_crashes") or 2) > 1:
            return Settlement("release", reason=HALTED)
        said = f"the worker was stopped during attempt {self.number}: the job is not run again, and its work may be partly done"
        return Settlement("retry", failed(said), 0.0, said, reason=HALTED)

    # -- its end

    async def settle(self, settlement: Settlement) -> str:
        """Writes how the attempt ended. Returns a word for the log."""
        try:
            if settlement.how == "nothing":
                return settlement.reason or BROKEN
            if settlement.how == "park":
                return "parked"
            try:
                return await self._write(settlement)
            except FAULTS as fault:
                if may_pass(fault) or settlement.how == "release":
                    raise
                self.say(logs.WORKER, logging.ERROR, "Redis refuses the end of an attempt", error=str(fault))
                instead = error("the result could not be stored: Redis refused it")
                return await self._write(
                    Settlement(settlement.how, instead, settlement.delay, settlement.message[:1000])
                )
        except (*FAULTS, CannotWork) as fault:
            self.say(logs.WORKER, logging.ERROR, "the end of an attempt could not be written", error=str(fault))
            return "left to its lease"

    async def _write(self, settlement: Settlement) -> str:
        entry, outcome = self.claimed.entry, settlement.outcome
        delay = round(settlement.delay * 1000)
        if settlement.how == "finish" and outcome:
            name, done = "finish", {"OK": outcome.word}
            args: tuple[str | int, ...] = (entry, *outcome.arguments(), outcome.message)
        elif settlement.how == "retry" and outcome:
            name, done = "schedule_retry", {"RETRY": "will be retried", "DEAD": "dead letter"}
            args = (entry, delay, settlement.message, *outcome.arguments())
        else:
            name, done = "release", {"OK": "given back"}
            args = (entry, delay, settlement.message, "1")
        reply, repeated = await persist(lambda: self.call(name, *args, queue=True), self.expires)
        if reply.tag in done:
            return done[reply.tag]
        if reply.tag not in REFUSALS:
            raise self.unknown(name, reply)
        if repeated and reply.tag == ("DONE" if name == "finish" else "STALE"):
            return next(iter(done.values()))
        return "cancelled" if name == "finish" and reply.tag == "DONE" else REFUSALS[reply.tag]

    # -- its lease

    async def keep_lease(self) -> None:
        """Renews every third of the lease, and at once when the bell rings. While Redis is away the tool goes on."""
        lease = self.worker.settings.lease
        pause, failing = lease / 3, 0.2
        while True:
            try:
                await asyncio.wait_for(self.bell.wait(), pause)
            except TimeoutError:
                pass
            self.bell.clear()
            try:
                reply = await self.call(
                    "renew_lease", self.worker.id, self.claimed.entry, round(lease * 1000), queue=True
                )
            except FAULTS as fault:
                self.say(
                    logs.WORKER, logging.WARNING, "a lease could not be renewed; the tool goes on", error=str(fault)
                )
                pause = failing = min(failing * 2, lease / 3)
                continue
            except CannotWork as fault:
                self.worker.give_up(fault)
                return
            if reply.tag != "OK":
                if reply.tag not in REFUSALS:
                    self.unknown("renew_lease", reply)
                return
            failing = 0.2
            # Redis drops the subscription of a process that dies. Who has lost it for another reason shows that it lives.
            pause = lease / 3 * random.uniform(0.5, 1) if self.worker.is_listening else min(1, lease / 3)
            self._learn(reply.pairs())

    def _learn(self, answers: dict[str, str]) -> None:
        if len(answers) > len(self.answers):
            self.answers.update(answers)
            self.answered.set()

    # -- its reports

    async def keep_reporting(self) -> None:
        while True:
            await self.reports.added.wait()
            await self.send_reports()
            await asyncio.sleep(REPORT_PACE)

    async def send_reports(self) -> None:
        """Sends what waits. Reports are for people who watch: one that fails is dropped, the next will do."""
        self.reports.added.clear()
        lines, report = self.reports.take()
        try:
            if lines:
                await self.call("report_log", *lines)
            if any(report):
                await self.call("report_progress", *report)
        except (*FAULTS, CannotWork) as fault:
            self.say(logs.WORKER, logging.DEBUG, "a report could not be sent", error=str(fault))

    # -- its questions

    async def answers_to(self, requests: dict[str, str]) -> dict[str, str]:
        """The answers to these questions, as they are stored."""
        missing = {key: request for key, request in requests.items() if key not in self.answers}
        if missing:
            pairs = [part for pair in missing.items() for part in pair]
            reply, _ = await persist(lambda: self.call("ask_input", *pairs), self.expires)
            if reply.tag in REFUSALS:
                raise Stopped(reply.tag)
            if reply.tag not in ("ASKED", "ANSWERED"):
                raise self.unknown("ask_input", reply)
            self.answers.update(reply.pairs())
            await self._wait_for(missing.keys())
        return {key: self.answers[key] for key in requests}

    async def _wait_for(self, keys: Any) -> None:
        """Waits until all answers came; without the slot, and while the clock stands still."""
        until = self.loop.time() + self.worker.settings.park_after
        if all(key in self.answers for key in keys):
            return
        self._waits += 1
        if self._waits == 1:
            self.clock.stand()
            self._has_slot = False
            self.worker.give_slot(self.queue)
        try:
            while not all(key in self.answers for key in keys):
                self.answered.clear()
                await self._next_answer(until)
        finally:
            self._waits -= 1
        if self._waits == 0:
            await self.worker.take_slot(self.queue)
            if self._handler_gone:
                self.worker.give_slot(self.queue)
                return
            self._has_slot = True
            self.clock.go()

    async def _next_answer(self, until: float) -> None:
        """Waits for an answer. Parks the job if that takes too long, or if the worker stops."""
        if self.worker.stopping.is_set():
            until = 0.0
        waits = [asyncio.create_task(event.wait()) for event in (self.answered, self.stopped, self.worker.stopping)]
        try:
            timeout = max(0.0, until - self.loop.time())
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self.stop_reason is not None:
            raise Stopped(self.stop_reason)
        if self.answered.is_set() or (self.loop.time() < until and not self.worker.stopping.is_set()):
            return
        reply, repeated = await persist(lambda: self.call("park", queue=True), self.expires)
        if reply.tag == "ANSWERED":
            self.bell.set()
            await asyncio.sleep(0.1)
            return
        if reply.tag not in ("OK", *REFUSALS):
            raise self.unknown("park", reply)
        # Of a park that was done before and is repeated, the job is nobody's.
        parked = reply.tag == "OK" or (repeated and reply.tag == "STALE")
        self.stop(PARKED if parked else reply.tag)
        raise Stopped(self.stop_reason or PARKED)


class _Raised(Exception):
    """What a tool raised in its thread: a future does not carry every exception as it is."""

    def __init__(self, fault: BaseException):
        super().__init__()
        self.fault = fault


def _place(fault: BaseException) -> str:
    """Where a tool raised what, for the log, which has no word of the tool."""
    frame = fault.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f" at {frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else ""
    return f"{type(fault).__name__}{where}"


@dataclass
class Claimed:
    """An entry that this worker has claimed, with the record of its job."""

    base: str
    record: str
    queue: str
    entry: str
    id: str
    attempt: str
    job: dict[str, str]

    @property
    def answers(self) -> dict[str, str]:
        found = self.job.items()
        return {name[len("answer:") :]: value for name, value in found if name.startswith("answer:")}

    async def read_arguments(self, worker: Host, until: float) -> str:
        """The arguments. Large ones are read for themselves."""
        if "arguments_bytes" not in self.job:
            return self.job.get("arguments", "{}")
        client = worker.calls.large
        value, _ = await persist(lambda: command(client, "HGET", self.record, "arguments"), until)
        return text(value or b"")
