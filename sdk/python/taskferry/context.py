"""What a tool knows of its job, and what it can report and ask."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
from typing import Any, Literal, Protocol

from . import logs
from .clock import Clock
from .questions import AskError, Question, answer, check
from .reports import Reports

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
Level = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]


class Stopped(asyncio.CancelledError):
    """The attempt must stop: its reason says why. An `async` tool is cancelled at its next await, as asyncio does it; a tool
    that blocks meets this where it calls its context. Clean up, and let it pass."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Running(Protocol):
    """What a context needs of its attempt."""

    id: str
    number: str
    job: dict[str, str]
    arguments: dict[str, Any]
    clock: Clock
    reports: Reports
    loop: asyncio.AbstractEventLoop

    @property
    def stop_reason(self) -> str | None: ...
    def say(self, logger: logging.Logger, level: int, message: str, **fields: Any) -> None: ...
    async def answers_to(self, requests: dict[str, str]) -> dict[str, str]: ...


class Context:
    """One attempt of one job. All but `ask` and `ask_all` can be called in any thread, and none of it waits."""

    def __init__(self, attempt: Running):
        self._attempt = attempt
        job = attempt.job
        self.task_id = attempt.id
        """The same in every attempt."""
        self.origin = job.get("origin") or attempt.id
        """The key under which to do things once: the task's id, also if an operator has the job run again as a new task."""
        self.attempt = int(attempt.number)
        """From 1."""
        self.tool: str = job["tool"]
        self.queue: str = job["queue"]
        self.owner: str = job.get("owner", "")
        """Who called; empty if callers are not told apart."""
        self.retries = int(job.get("retries") or 0)
        self.traceparent: str | None = job.get("trace")
        """The caller's W3C trace context."""
        self.tracestate: str | None = job.get("tracestate")
        self.baggage: str | None = job.get("baggage")
        self.arguments: dict[str, Any] = attempt.arguments
        """As the caller sent them."""
        try:
            capabilities = json.loads(job.get("capabilities") or "{}")
        except ValueError:
            capabilities = None
        self.capabilities: dict[str, Any] = capabilities if isinstance(capabilities, dict) else {}
        """What the client can be asked."""

    @property
    def trace(self) -> dict[str, str]:
        """The caller's trace context as headers of HTTP, for requests that the tool makes."""
        headers = {"traceparent": self.traceparent, "tracestate": self.tracestate, "baggage": self.baggage}
        return {name: value for name, value in headers.items() if value}

    @property
    def deadline(self) -> datetime.datetime:
        """When this attempt times out. While it waits for an answer, its time stands still."""
        return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self.time_left)

    @property
    def time_left(self) -> float:
        """Until then, seconds."""
        return self._attempt.clock.left

    @property
    def stopping(self) -> str | None:
        """Why the attempt must stop, if it must."""
        return self._attempt.stop_reason

    def check(self) -> None:
        """Raises `Stopped` if the attempt must stop. For tools that block; all else here does it, too."""
        reason = self._attempt.stop_reason
        if reason is not None:
            raise Stopped(reason)

    def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Shows the client how far the work is. Call it as often as you like: the newest goes out, 20 times a second."""
        self.check()
        self._attempt.reports.progress(progress, total, message)

    def message(self, text: str) -> None:
        """The status message of the task."""
        self.check()
        self._attempt.reports.progress(None, None, text)

    def log(self, level: Level, text: str) -> None:
        """A line for the client, if it wants lines of this level, and for the worker's log."""
        self.check()
        least = self._attempt.job.get("log_level")
        if least in LEVELS and LEVELS.index(level) >= LEVELS.index(least):
            self._attempt.reports.line(level, text)
        number = (10, 20, 20, 30, 40, 40, 40, 40)[LEVELS.index(level)]
        self._attempt.say(logs.TOOL, number, "log", line=text)

    async def ask(self, key: str, question: Question) -> Any:
        """Puts a question to the client, and waits for its answer, the JSON of the response's `result`.

        The key stands for this question for the job's whole life: an answer that an earlier attempt got comes at once. The
        slot is free for another job meanwhile. After a while (`park_after` of the worker) the attempt ends here with
        `Stopped`; once the answer is there, the tool runs again **from its start**, asks again, and has it.
        """
        return (await self.ask_all({key: question}))[key]

    async def ask_all(self, questions: dict[str, Question]) -> dict[str, Any]:
        """Puts several questions together, and waits for all answers."""
        self.check()
        for key, question in questions.items():
            check(key, question, self.capabilities)
        try:
            requests = {key: question.to_json() for key, question in questions.items()}
        except (TypeError, ValueError) as fault:
            raise AskError(f"a question cannot be put: {fault}") from fault
        stored = await self._attempt.answers_to(requests)
        return {key: answer(stored[key]) for key in questions}

    def ask_blocking(self, key: str, question: Question) -> Any:
        """As `ask`, for tools that block."""
        self.check()
        waiting = asyncio.run_coroutine_threadsafe(self.ask(key, question), self._attempt.loop)
        try:
            return waiting.result()
        except Stopped:
            raise
        except BaseException:
            self.check()
            raise
