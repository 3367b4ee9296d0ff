"""MCP tasks of 2026-07-28 for the Python SDK, whose version 2.3 has no client for them: copy it into your own program.

    async with Client(url, extensions=[Tasks()]) as client:
        result = await client.call_tool("generate_report", {"month": "January"})

A call that became a task is polled until it ends, and `call_tool` returns what the tool returned. Whoever cancels the
waiting call cancels the task.

Run as a program, it makes one call: python3 tasks.py http://127.0.0.1:8080/mcp generate_report '{"month":"January"}'
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import anyio
from mcp import MCPError
from mcp.client import Client
from mcp.client.context import ClientRequestContext
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp_types import CallToolResult, ErrorData, InputRequest, Request, RequestParams, Result


class CreatedTask(Result):
    """What `tools/call` answers instead of a result."""

    result_type: Literal["task"]
    task_id: str
    status: str
    status_message: str | None = None
    poll_interval_ms: int = 1000


class Task(Result):
    """What `tasks/get` answers; times are in ms."""

    result_type: Literal["complete"]
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]
    status_message: str | None = None
    poll_interval_ms: int = 1000
    input_requests: dict[str, InputRequest] = {}
    result: dict[str, Any] | None = None
    error: ErrorData | None = None


class OfTask(RequestParams):
    task_id: str


class Answers(OfTask):
    input_responses: dict[str, Any]


class GetTask(Request[OfTask, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    name_param = "taskId"


class CancelTask(Request[OfTask, Literal["tasks/cancel"]]):
    method: Literal["tasks/cancel"] = "tasks/cancel"
    name_param = "taskId"


class UpdateTask(Request[Answers, Literal["tasks/update"]]):
    method: Literal["tasks/update"] = "tasks/update"
    name_param = "taskId"


class Tasks(ClientExtension):
    """Declares the tasks extension, and turns each task into the result of its call.

    `on_status` hears of each poll: the task's id, its status and its message. The answers to a task's questions come from
    the client's own callbacks for elicitation, sampling and roots.
    """

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self, on_status: Callable[[str, str, str | None], None] | None = None) -> None:
        self._on_status = on_status or (lambda task_id, status, message: None)

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return (ResultClaim(result_type="task", model=CreatedTask, resolve=self._finish),)

    async def _finish(self, created: CreatedTask, context: ClaimContext) -> CallToolResult:
        this = OfTask(task_id=created.task_id)
        self._on_status(created.task_id, created.status, created.status_message)
        try:
            return await self._poll(this, created.poll_interval_ms, context)
        except BaseException:
            # Nobody waits for the result any more. Of a task that has ended, nothing is cancelled.
            with anyio.move_on_after(5, shield=True):
                await context.session.send_request(CancelTask(params=this), Result)
            raise

    async def _poll(self, this: OfTask, interval_ms: int, context: ClaimContext) -> CallToolResult:
        answered: set[str] = set()
        while True:
            await anyio.sleep(interval_ms / 1000)
            task = await context.session.send_request(GetTask(params=this), Task)
            self._on_status(this.task_id, task.status, task.status_message)
            interval_ms = task.poll_interval_ms
            if task.result is not None:
                return CallToolResult.model_validate(task.result)
            if task.error is not None:
                raise MCPError.from_error_data(task.error)
            if task.status == "cancelled":
                raise RuntimeError(f"task {this.task_id} was cancelled: {task.status_message}")
            answers = {}
            for key, request in task.input_requests.items():
                if key not in answered:
                    answers[key] = await self._ask(key, request, context)
            if answers:
                answered.update(answers)
                update = Answers(task_id=this.task_id, input_responses=answers)
                await context.session.send_request(UpdateTask(params=update), Result)

    async def _ask(self, key: str, request: InputRequest, context: ClaimContext) -> Any:
        asked = ClientRequestContext(session=context.session, request_id=key)
        answer = await context.session.dispatch_input_request(asked, request)
        if isinstance(answer, ErrorData):
            raise MCPError.from_error_data(answer)
        return answer


async def main(url: str, tool: str, arguments: str) -> None:
    def tell(task_id: str, status: str, message: str | None) -> None:
        print(f"{task_id}: {status}: {message or ''}", file=sys.stderr)

    async with Client(url, extensions=[Tasks(tell)]) as client:
        result = await client.call_tool(tool, json.loads(arguments))
        print(result.model_dump_json(by_alias=True, exclude_none=True))


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
