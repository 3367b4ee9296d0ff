"""The worker that the tests run."""

from __future__ import annotations

import asyncio
import enum
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from taskferry import Context, Result, Retry, RpcError, ToolError, Worker, elicitation, image, text

worker = Worker()
NOTES = Path(os.environ["NOTES"])
ADDRESS = {"type": "object", "properties": {"to": {"type": "string"}}}


def note(name: str, said: str) -> None:
    (NOTES / name).write_text(said)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: float
    y: float = 0.5


@dataclass
class Sum:
    total: float
    colour: str


@worker.tool(title="A greeting")
async def greet(job: Context, name: Annotated[str, "Who is greeted."], loud: bool = False) -> str:
    """Greets somebody."""
    job.progress(1, 3, "looking for the name")
    said = f"Hello, {name}."
    return said.upper() if loud else said


@worker.tool
def add(points: list[Point], colour: Colour, unit: Literal["m", "km"] = "m", most: float | None = None) -> Sum:
    total = sum(point.x + point.y for point in points)
    return Sum(total if most is None else min(total, most), f"{colour.name} {unit}")


@worker.tool(input_schema={"type": "object", "additionalProperties": True})
def shapes(**arguments: Any) -> Any:
    """What a tool may return, by name."""
    whole = Result(content=[text("one"), text("two")], structuredContent={"n": 2}, _meta={"a": 1})
    return {
        "nothing": None,
        "odd": "\x00 ünï 🚢   " + "\ud83d\udea2".encode("utf-16", "surrogatepass").decode("utf-16"),
        "big": "x" * int(arguments.get("size", 0)),
        "dict": {"deep": [1, 2.5, None, "ü"]},
        "image": image(b"\x89PNG"),
        "list": [text("a"), image(b"b")],
        "whole": whole,
        "failed": Result(content=[text("it failed")], isError=True),
        "half": "half \ud83d",
        "nan": {"n": float("nan")},
        "number": 7,
        "arguments": {"bytes": len(str(arguments.get("text", "")))},
        "bad": Result(content="no list"),
    }[arguments["shape"]]


@worker.tool(backoff=(0.05, 0.1))
def fails(job: Context, how: str) -> str:
    """Fails as it is told."""
    if how == "tool":
        raise ToolError("there is no such report")
    if how == "rpc":
        raise RpcError(-32602, "the month is wrong")
    if how == "once":
        if job.attempt == 1:
            raise Retry("the file is locked", after=0.05)
        return f"attempt {job.attempt}"
    if how == "always":
        raise Retry("the file is locked")
    if how == "exit":
        raise SystemExit(3)
    return str(1 / 0)


@worker.tool(timeout=0.3, stop_grace=0.2)
def slow(job: Context) -> str:
    while True:
        time.sleep(0.02)
        job.check()


@worker.tool(rate="2/1s")
def paced() -> str:
    return "ran"


@worker.tool(rate="1/1h", rate_excess="refuse")
def scarce() -> str:
    return "ran"


@worker.tool
async def nap(job: Context, seconds: float, name: str = "nap") -> str:
    note(f"{name}.began", str(job.attempt))
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note(f"{name}.cancelled", str(job.stopping))
        raise
    return f"slept in attempt {job.attempt}"


@worker.tool
def block(job: Context, seconds: float, name: str = "block") -> str:
    """Blocks, and looks up from time to time whether it must stop."""
    note(f"{name}.began", str(job.attempt))
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            time.sleep(0.02)
            job.check()
    except asyncio.CancelledError:
        note(f"{name}.cancelled", str(job.stopping))
        raise
    return f"slept in attempt {job.attempt}"


@worker.tool
def deaf(seconds: float) -> str:
    """Blocks, and never looks up."""
    note("deaf.began", "yes")
    time.sleep(seconds)
    return "slept"


@worker.tool(attempts=1, crash_limit=1, stop_grace=0.2)
def once_only(seconds: float) -> str:
    note("once_only.began", "yes")
    time.sleep(seconds)
    return "done"


@worker.tool
async def ask(job: Context) -> dict[str, Any]:
    first = await job.ask("to", elicitation("To whom?", ADDRESS))
    return {"to": first["content"]["to"], "attempt": job.attempt}


@worker.tool
def ask_from_a_thread(job: Context) -> dict[str, Any]:
    first = job.ask_blocking("to", elicitation("To whom?", ADDRESS))
    return {"to": first["content"]["to"], "attempt": job.attempt}


@worker.tool
async def ask_a_model(job: Context) -> str:
    from taskferry import sampling

    return str(await job.ask("model", sampling(messages=[], maxTokens=5)))


@worker.tool(queue="other")
def context(job: Context) -> dict[str, Any]:
    return {
        "task_id": job.task_id, "origin": job.origin, "attempt": job.attempt, "tool": job.tool, "queue": job.queue,
        "owner": job.owner, "trace": job.trace, "left": job.time_left, "arguments": job.arguments,
        "deadline": job.deadline.isoformat(),
    }  # fmt: skip


@worker.tool
def logs(job: Context) -> None:
    job.log("info", "told to nobody")
    job.log("error", "line \u2028 with odd parts")


if __name__ == "__main__":
    worker.run()
