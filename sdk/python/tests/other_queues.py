"""Work of Celery and RQ, and the worker that offers it as tools; the tests run this in five roles."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from celery import Celery
from redis import Redis
from rq import Queue, Retry, get_current_job
from rq import Worker as RqWorker

URL = os.environ["TASKFERRY_REDIS_URL"]
NOTES = Path(os.environ["QUEUE_NOTES"])
app = Celery("other_queues", broker=URL.replace("/0", "/1"), backend=URL.replace("/0", "/1"))
app.conf.update(task_track_started=True, broker_connection_retry_on_startup=True)
queue = Queue("other", connection=Redis.from_url(URL.replace("/0", "/2")))


def runs(name: str) -> int:
    """Notes that this runs; how often it did."""
    with (NOTES / name).open("a") as notes:
        notes.write("x")
    return len((NOTES / name).read_text())


@app.task(bind=True, name="count")
def count(self: Any, name: str, seconds: float = 0.0) -> dict[str, Any]:
    number = runs(name)
    self.update_state(state="PROGRESS", meta={"current": 1, "total": 2, "message": "half way"})
    time.sleep(seconds)
    return {"runs": number}


@app.task(bind=True, name="fail", max_retries=1)
def fail(self: Any, name: str) -> None:
    runs(name)
    try:
        raise ValueError("no such month")
    except ValueError as fault:
        raise self.retry(exc=fault, countdown=0) from fault


def rq_count(name: str, seconds: float = 0.0) -> list[int]:
    number = runs(name)
    job = get_current_job()
    assert job
    job.meta.update(current=1, total=2, message="half way")
    job.save_meta()
    time.sleep(seconds)
    return [number]


def rq_fail(name: str) -> None:
    runs(name)
    raise ValueError("no such month")


def tools() -> None:
    import taskferry.celery
    import taskferry.rq
    from taskferry import Worker

    worker = Worker()
    schema = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "seconds": {"type": "number"}},
    }
    for task in ("count", "fail"):
        taskferry.celery.tool(worker, app, task, name=f"celery_{task}", input_schema=schema, poll=0.1)
    name = "other_queues.rq_count"
    taskferry.rq.tool(worker, queue, name, name="rq_count", input_schema=schema, poll=0.1, queue="bridge")
    retry = {"retry": Retry(max=1)}
    taskferry.rq.tool(worker, queue, rq_fail, name="rq_fail", input_schema=schema, poll=0.1, enqueue=retry)
    worker.run()


if __name__ == "__main__":
    role = os.environ.get("ROLE", "tools")
    sys.modules["other_queues"] = sys.modules["__main__"]
    rq_fail.__module__ = "other_queues"
    if role == "celery":
        app.worker_main(["worker", "--loglevel=warning", "--concurrency=2", "--pool=prefork"])
    elif role == "rq":
        RqWorker([queue], connection=queue.connection).work(logging_level="WARNING")
    else:
        tools()
