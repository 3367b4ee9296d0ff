"""The Python SDK with the extension of examples/clients/tasks.py: plain call, task, input, tool error, protocol error, cancel.

The arguments are the endpoint and a folder for notes.
"""

import sys
from pathlib import Path

import anyio
from mcp import MCPError
from mcp.client import Client
from mcp_types import ElicitResult

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "clients"))
from tasks import GetTask, OfTask, Task, Tasks  # noqa: E402


async def main(endpoint: str, folder: str) -> None:
    polls: list[tuple[str, str, str | None]] = []
    questions: list[str] = []

    async def answer(context, params):
        questions.append(params.message)
        return ElicitResult(action="accept", content={"confirm": True})

    tasks = Tasks(lambda *poll: polls.append(poll))
    async with Client(endpoint, extensions=[tasks], elicitation_callback=answer) as client:
        assert client.protocol_version == "2026-07-28", client.protocol_version
        listed = await client.list_tools()
        assert any(tool.name == "generate_report" for tool in listed.tools)

        plain = await client.call_tool("never_task", {})
        assert plain.content[0].text == "done" and not polls, plain

        report = await client.call_tool("generate_report", {"month": "January"})
        assert not report.is_error and "January" in report.content[0].text, report
        assert polls[0][1] == "working" and polls[-1][1] == "completed", polls

        deleted = await client.call_tool("confirm_delete", {"filename": "a.txt"})
        assert deleted.content[0].text == "Deleted a.txt", deleted
        assert questions == ["Delete a.txt?"], questions

        failed = await client.call_tool("fail", {})
        assert failed.is_error and polls[-1][1] == "completed", failed

        try:
            await client.call_tool("protocol_error_job", {})
        except MCPError as error:
            assert "on purpose" in str(error), error
        else:
            raise AssertionError("the task did not fail")
        assert polls[-1][1] == "failed", polls[-1]

        polls.clear()
        async with anyio.create_task_group() as calls:
            calls.start_soon(client.call_tool, "nap", {"seconds": 60, "folder": folder})
            with anyio.fail_after(20):
                while not polls:
                    await anyio.sleep(0.05)
            calls.cancel_scope.cancel()
        # The task was cancelled with its call.
        async with Client(endpoint, extensions=[tasks]) as other:
            request = GetTask(params=OfTask(task_id=polls[0][0]))
            napped = await other.session.send_request(request, Task)
            assert napped.status == "cancelled", napped
    print("ok")


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
