"""Tools that are tasks of Celery: `tool(worker, app, "shop.tasks.report", input_schema={…})`.

The id of the MCP task is that of the Celery task, so a second attempt follows the task that the first one sent, and sends no other.
While it follows, an attempt holds a slot and a thread of the worker, and does no work: give such a worker many slots.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.backends.base import DisabledBackend, KeyValueStoreBackend
from celery.result import AsyncResult

from .context import Context, Stopped
from .following import FINAL_STOPS, follower, returned, watch
from .results import ToolError
from .worker import Worker

SENDING = "TASKFERRY_SENDING"
"""The state of a task from just before it is sent until Celery gives it one."""

_SAID = {
    "PENDING": "waits in Celery",
    SENDING: "waits in Celery",
    "RECEIVED": "waits in Celery",
    "STARTED": "runs",
    "RETRY": "waits until Celery tries it again",
}


def tool(
    worker: Worker,
    app: Celery,
    task: str,
    /,
    *,
    poll: float = 0.5,
    terminate: bool = True,
    send: dict[str, Any] | None = None,
    **options: Any,
) -> None:
    """Makes a Celery task a tool: its arguments are the task's keyword arguments.

    `poll` is how often its state is looked at, seconds. Without `terminate`, a task that has begun goes on when its call is
    cancelled. `send` are more arguments of `Celery.send_task` (`queue`, `priority`, …). The other options are those of
    `worker.tool`; `input_schema` is required, since the task's function need not be here."""
    if isinstance(app.backend, DisabledBackend) or app.conf.task_ignore_result:
        raise ValueError(
            "this Celery keeps no results (result_backend, task_ignore_result): nobody hears how a task ends"
        )

    def follow(job: Context, **arguments: Any) -> Any:
        _send_once(app, task, job, arguments, send or {})
        result = AsyncResult(job.task_id, app=app)

        def look() -> tuple[bool, str, Any]:
            state = result.state
            meta = None if state in _SAID else result.info
            return result.ready(), _SAID.get(state, state.lower()), meta

        try:
            watch(job, poll, look)
        except Stopped as stopped:
            if stopped.reason in FINAL_STOPS:
                app.control.revoke(job.task_id, terminate=terminate)
            raise
        if result.successful():
            return returned(result.result)
        if result.state == "REVOKED":
            raise ToolError("the task was revoked in Celery")
        raise ToolError(result.traceback or f"{type(result.result).__name__}: {result.result}")

    follower(worker, follow, task, "task", options)


def _send_once(app: Celery, task: str, job: Context, arguments: dict[str, Any], send: dict[str, Any]) -> None:
    """Sends the task, unless an earlier attempt did. If that one died just while it sent, it is sent again: all of this is done
    at least once."""
    backend, mark = app.backend, f"taskferry-sent-{job.task_id}"
    keeps_marks = isinstance(backend, KeyValueStoreBackend)
    if job.attempt > 1:
        was_sent = backend.get(mark) if keeps_marks else AsyncResult(job.task_id, app=app).state != "PENDING"
        if was_sent:
            return
    # Before it is sent: afterwards this could take the place of its end.
    backend.store_result(job.task_id, None, SENDING)
    app.send_task(task, kwargs=arguments, task_id=job.task_id, **send)
    if keeps_marks:
        backend.set(mark, "1")
