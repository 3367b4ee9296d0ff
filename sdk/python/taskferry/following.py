"""What tools share that follow a job of another queue."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from .context import Context
from .worker import Worker

FINAL_STOPS = ("CANCELLED", "GONE", "DONE", "timed out")
"""Why an attempt stops so that nobody will follow its job again. After all others, another attempt goes on."""

GLANCE = 0.05


def watch(job: Context, poll: float, look: Callable[[], tuple[bool, str, Any]]) -> None:
    """Looks every so many seconds until there is an end: `look` says whether, in which state the job is, and what it says of
    itself. Reports what changes. Raises `Stopped` if the attempt must stop."""
    shown: Any = None
    while True:
        ended, state, meta = look()
        if ended:
            return
        if (state, meta) != shown:
            shown = (state, meta)
            report(job, state, meta)
        until = time.monotonic() + poll
        while time.monotonic() < until:
            job.check()
            time.sleep(min(GLANCE, poll))


def report(job: Context, state: str, meta: Any) -> None:
    """A state is the message, what a job says of itself its progress: `current` or `progress`, `total`, and `message`,
    `status` or `description` in place of the state."""
    meta = meta if isinstance(meta, dict) else {}

    def first(*names: str) -> Any:
        return next((meta[name] for name in names if meta.get(name) is not None), None)

    said = str(first("message", "status", "description") or state)
    current, total = first("current", "progress"), first("total")
    if isinstance(current, (int, float)):
        job.progress(current, total if isinstance(total, (int, float)) else None, said)
    else:
        job.message(said)


def returned(value: Any) -> Any:
    """What the other queue's job returned, as a tool may return it."""
    if value is None or isinstance(value, (str, dict)):
        return value
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return repr(value)
    return {"result": value}


def follower(worker: Worker, follow: Callable[..., Any], name: str, kind: str, options: dict[str, Any]) -> None:
    """Adds the tool. An attempt does no work, so any number may die; and the other queue says how often work is tried."""
    if "input_schema" not in options:
        raise ValueError(f"{name}: give input_schema=, the JSON Schema of the {kind}'s keyword arguments")
    options.setdefault("name", name)
    options.setdefault("description", f"The {kind} {name}.")
    options.setdefault("crash_limit", 100)
    worker.tool(**options)(follow)
