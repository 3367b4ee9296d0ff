"""A worker of two queues, which is let go by files."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from taskferry import Context, Worker, elicitation

worker = Worker(queues=json.loads(os.environ.get("QUEUES", "{}")))
NOTES = Path(os.environ["NOTES"])


async def ran(queue: str) -> str:
    with (NOTES / "begun").open("a") as begun:
        begun.write(f"{queue}\n")
    while os.environ.get("HOLD") and not (NOTES / queue).exists():
        await asyncio.sleep(0.02)
    return queue


@worker.tool(queue="urgent")
async def urgent() -> str:
    return await ran("urgent")


@worker.tool(queue="bulk")
async def bulk() -> str:
    return await ran("bulk")


@worker.tool(queue="bulk")
async def asks(job: Context) -> str:
    await job.ask("to", elicitation("To whom?", {"type": "object", "properties": {"to": {"type": "string"}}}))
    return await ran("bulk")


worker.run()
