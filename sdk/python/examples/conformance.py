"""The worker of docs/WORKER-CONFORMANCE.md in Python.

scripts/worker-conformance -- python3 sdk/python/examples/conformance.py
"""

import asyncio
import json
import time
from typing import Any

from taskferry import Context, Result, Retry, ToolError, Worker, elicitation

worker = Worker()
QUEUE = "conformance"


@worker.tool(queue=QUEUE)
def echo(text: str) -> str:
    """Gives the text back"""
    return text


@worker.tool(queue=QUEUE, attempts=3, crash_limit=2)
def sleep(job: Context, seconds: float) -> str:
    """Blocks for so long, and tells its attempt"""
    time.sleep(seconds)
    return f"attempt {job.attempt}"


@worker.tool(queue=QUEUE)
async def wait(seconds: float) -> str:
    """Waits for so long, and can be stopped meanwhile"""
    await asyncio.sleep(seconds)
    return "waited"


@worker.tool(queue=QUEUE, timeout=1)
async def late() -> str:
    """Waits for longer than its timeout"""
    await asyncio.sleep(30)
    return "too late"


@worker.tool(queue=QUEUE)
async def progress(job: Context) -> str:
    """Reports in three steps"""
    for number, name in enumerate(["one", "two", "three"], 1):
        job.progress(number, 3, name)
        await asyncio.sleep(0.3)
    return "done"


@worker.tool(queue=QUEUE)
def log(job: Context) -> str:
    """Logs a line"""
    job.log("info", "a line of the tool")
    return "logged"


@worker.tool(queue=QUEUE)
def ask(job: Context, seconds: float = 0) -> str:
    """Asks for a name, blocks for so long, and greets"""
    form = {"type": "object", "properties": {"name": {"type": "string"}}}
    answer = job.ask_blocking("name", elicitation("Your name?", form))
    time.sleep(seconds)
    if answer["action"] != "accept":
        raise ToolError("nobody said a name")
    return f"Hello, {answer['content']['name']}"


@worker.tool(queue=QUEUE)
def fail(text: str) -> None:
    """Fails, for the caller to read"""
    raise ToolError(text)


@worker.tool(queue=QUEUE, attempts=3, backoff=(0.2, 1))
def retry(job: Context, times: int) -> str:
    """Fails in a way that another attempt may mend, so many times"""
    if job.attempt <= times:
        raise Retry(f"attempt {job.attempt} failed")
    return f"attempt {job.attempt}"


@worker.tool(queue=QUEUE)
def big(letters: int) -> str:
    """Gives a text of so many letters"""
    return "x" * letters


@worker.tool(queue=QUEUE)
def empty() -> Result:
    """Gives nothing"""
    return Result(content=[])


@worker.tool(queue=QUEUE)
def context(job: Context) -> str:
    """Tells what it knows of its call"""
    told: dict[str, Any] = {
        "task_id": job.task_id,
        "origin_task_id": job.origin,
        "attempt": job.attempt,
        "owner": job.owner,
        "traceparent": job.traceparent,
    }
    return json.dumps(told)


worker.run()
