"""A tool: a function, and its definition as front ends read it."""

from __future__ import annotations

import inspect
import json
import random
import re
from collections.abc import Callable
from typing import Any

from .context import Context
from .rate import rate_of
from .schema import Signature

NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
QUEUE = re.compile(r"[A-Za-z0-9_.-]{1,64}")

# What else a definition may have, by its name in docs/CONTRACT.md.
MORE = {
    "keep_ms", "poll_interval_ms", "poll_interval_max_ms", "rank", "scopes", "task_scopes", "ask_first",
    "required_capabilities", "share_identical", "immediate_response", "icons", "annotations", "ttl",
}  # fmt: skip


class Tool:
    """A tool of a worker."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        input_schema: dict[str, Any] | None = None,
        output_schema: dict[str, Any] | None = None,
        queue: str = "default",
        timeout: float = 600.0,
        attempts: int = 3,
        crash_limit: int = 3,
        backoff: tuple[float, float] = (1.0, 60.0),
        concurrency: int | None = None,
        rate: str | None = None,
        rate_excess: str = "wait",
        task_support: str = "optional",
        stop_grace: float = 3.0,
        **more: Any,
    ):
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.name = name or function.__name__
        self.queue = queue
        self.stop_grace = stop_grace
        self.signature = Signature(function, Context)
        self._backoff = backoff
        bound = self._check(timeout, attempts, crash_limit, concurrency, (rate, rate_excess), more)
        output_schema = output_schema or self.signature.output_schema()
        self.has_output = output_schema is not None
        said = {
            "title": title,
            "description": description or inspect.getdoc(function),
            "output_schema": output_schema,
            "concurrency": concurrency,
            "rate": bound,
            **more,
        }
        self.definition = {
            "name": self.name,
            "queue": queue,
            "input_schema": input_schema or self.signature.input_schema(),
            "task_support": task_support,
            "timeout_ms": round(timeout * 1000),
            "attempts": attempts,
            "crash_limit": crash_limit,
            "backoff": {"initial_ms": round(backoff[0] * 1000), "max_ms": round(backoff[1] * 1000)},
            **{field: value for field, value in said.items() if value is not None},
        }
        self.definition_json = json.dumps(self.definition, ensure_ascii=False, allow_nan=False)

    def _check(
        self,
        timeout: float,
        attempts: int,
        crash_limit: int,
        concurrency: int | None,
        rate: tuple[str | None, str],
        more: dict[str, Any],
    ) -> dict[str, Any] | None:
        """Raises ValueError with all that is wrong. Returns the rate as a definition has it."""
        faults = [f"{field} is no part of a definition" for field in more.keys() - MORE]
        if not NAME.fullmatch(self.name):
            faults.append("a name is 1 to 128 ASCII letters, digits, underscores, hyphens and dots")
        if not QUEUE.fullmatch(self.queue):
            faults.append("a queue is 1 to 64 ASCII letters, digits, underscores, hyphens and dots")
        if not timeout > 0:
            faults.append("timeout must be more than 0 seconds")
        if min(attempts, crash_limit, 1 if concurrency is None else concurrency) < 1:
            faults.append("attempts, crash_limit and concurrency must be 1 or more")
        if not 0 <= self._backoff[0] <= self._backoff[1]:
            faults.append("backoff must be (initial, max), seconds")
        bound = None
        try:
            bound = rate_of(*rate)
        except ValueError as fault:
            faults.append(str(fault))
        if faults:
            raise ValueError(f"tool {self.name!r}: {'; '.join(faults)}")
        return bound

    def backoff(self, retries: int) -> float:
        """How long the next attempt waits, seconds. A random part of it is taken off, so that what failed together does not
        come back together."""
        initial, most = self._backoff
        return min(initial * 2.0 ** min(retries, 32), most) * random.uniform(0.5, 1)
