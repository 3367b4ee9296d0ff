"""The tools of a chaos run in Python: what `chaos-worker` (worker.rs) does, so that both can serve one queue."""

import asyncio
import json
import os
from typing import Any

from taskferry import Context, Retry, RpcError, ToolError, Worker, elicitation

STEP = 0.06
"""Between two progress messages, seconds."""

SCHEMA = {"type": "object", "required": ["label"], "properties": {"label": {"type": "string"}}}
SHARED: dict[str, Any] = {
    "input_schema": SCHEMA,
    "backoff": (0.1, 0.5),
    "ttl": {"default_ms": 600_000, "min_ms": 1_000, "max_ms": 86_400_000},
    "poll_interval_ms": 100,
}

worker = Worker()


def note(job: Context, event: str, label: str) -> None:
    """Adds a line to what every attempt did; one write, so that lines of several processes do not mix."""
    line = {
        "event": event, "task": job.task_id, "attempt": job.attempt, "label": label, "worker": f"pid {os.getpid()}"
    }  # fmt: skip
    file = os.open("attempts.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    try:
        os.write(file, f"{json.dumps(line)}\n".encode())
    finally:
        os.close(file)


async def work(
    job: Context,
    label: str,
    work_ms: int = 0,
    crash_below: int = 0,
    retry_below: int = 0,
    ask: bool = False,
    fail: str | None = None,
) -> dict[str, Any]:
    note(job, "start", label)
    if ask:
        await job.ask("go", elicitation("Go on?", {"type": "object", "properties": {}}))
    steps = work_ms // 60 + 1
    for step in range(steps):
        if job.attempt < crash_below and step >= steps // 2:
            note(job, "crash", label)
            os.abort()
        job.message(f"attempt {job.attempt} step {step}")
        await asyncio.sleep(STEP)
    if job.attempt < retry_below:
        note(job, "retry", label)
        raise Retry(f"attempt {job.attempt} wants another")
    note(job, "end", label)
    outcome = {"task": job.task_id, "attempt": job.attempt, "label": label}
    if fail == "tool":
        raise ToolError(json.dumps(outcome))
    if fail:
        raise RpcError(-32050, json.dumps(outcome))
    return outcome


def add(name: str, crash_limit: int, attempts: int = 20, **more: Any) -> None:
    worker.tool(name=name, crash_limit=crash_limit, attempts=attempts, **SHARED, **more)(work)


add("work", 100)
add("crasher", 3)
add("once", 1, attempts=1)
# As `plan::NARROW` has it.
add("narrow", 100, concurrency=2)

worker.run()
