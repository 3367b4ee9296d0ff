"""Tools that are functions of RQ: `tool(worker, queue, "shop.jobs.report", input_schema={…})`.

The id of the MCP task is that of the RQ job, so a second attempt follows the job that the first one queued, and queues no other.
While it follows, an attempt holds a slot and a thread of the worker, and does no work: give such a worker many slots.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rq import Queue
from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job

from .context import Context, Stopped
from .following import FINAL_STOPS, follower, returned, watch
from .results import ToolError
from .worker import Worker

_SAID = {
    "created": "waits in RQ",
    "queued": "waits in RQ",
    "scheduled": "waits until RQ runs it",
    "deferred": "waits for another job of RQ",
    "started": "runs",
}
_ENDED = ("finished", "failed", "stopped", "canceled")


def tool(
    worker: Worker,
    queue: Queue,
    function: str | Callable[..., Any],
    /,
    *,
    poll: float = 0.5,
    terminate: bool = True,
    enqueue: dict[str, Any] | None = None,
    **options: Any,
) -> None:
    """Makes a function of RQ a tool: its arguments are the function's keyword arguments.

    `queue` by name is, as for all tools, the queue of Taskferry; the second argument is that of RQ.

    `poll` is how often its status is looked at, seconds. Without `terminate`, a job that has begun goes on when its call is
    cancelled. `enqueue` are more arguments of `Queue.enqueue_call` (`timeout`, `retry`, `result_ttl`, …). The other options are
    those of `worker.tool`; `input_schema` is required, since the function need not be here."""
    named = function if isinstance(function, str) else f"{function.__module__}.{function.__qualname__}"

    def follow(job: Context, **arguments: Any) -> Any:
        queued = _queue_once(queue, function, job, arguments, enqueue or {})

        def look() -> tuple[bool, str, Any]:
            # Its value is what it says; RQ's own type says the class, too.
            status = getattr(found := queued.get_status(), "value", found)
            return status is None or status in _ENDED, _SAID.get(status or "", str(status)), queued.get_meta()

        try:
            watch(job, poll, look)
        except Stopped as stopped:
            if stopped.reason in FINAL_STOPS:
                _stop(queue, queued, terminate)
            raise
        except NoSuchJobError:
            raise ToolError("RQ has forgotten the job") from None
        last = queued.latest_result()
        status = queued.get_status()
        if status == "finished" and last is not None:
            return returned(last.return_value)
        if status == "failed":
            raise ToolError((last and last.exc_string) or "the job failed in RQ")
        raise ToolError(f"the job was {status or 'forgotten'} in RQ")

    follower(worker, follow, named, "function", options)


def _queue_once(
    queue: Queue, function: str | Callable[..., Any], job: Context, arguments: dict[str, Any], enqueue: dict[str, Any]
) -> Job:
    """Queues the job, unless an earlier attempt did."""
    if job.attempt > 1:
        try:
            found = Job.fetch(job.task_id, connection=queue.connection, serializer=queue.serializer)
            # That attempt may have died between making the job and queueing it.
            if found.get_status() not in (None, "created"):
                return found
        except NoSuchJobError:
            pass
    return queue.enqueue_call(function, kwargs=arguments, job_id=job.task_id, **enqueue)


def _stop(queue: Queue, queued: Job, terminate: bool) -> None:
    try:
        if queued.get_status() != "started":
            queued.cancel()
        elif terminate:
            send_stop_job_command(queue.connection, queued.id)
    except (InvalidJobOperation, NoSuchJobError):
        pass  # It has just ended.
