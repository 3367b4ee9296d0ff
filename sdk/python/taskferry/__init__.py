"""Workers in Python for Taskferry: functions become tools that MCP clients call.

from taskferry import Context, Worker

worker = Worker()

@worker.tool
async def greet(job: Context, name: str) -> str:
    "Greets somebody."
    job.message("looking for the name")
    return f"Hello, {name}."

worker.run()
"""

from .context import Context, Stopped
from .questions import AskError, Question, elicitation, open_page, roots, sampling
from .results import Content, Result, Retry, RpcError, ToolError, audio, blob, image, text
from .settings import SettingsError
from .wire import CannotWork
from .worker import VERSION as __version__
from .worker import Worker

__all__ = [
    "AskError", "CannotWork", "Content", "Context", "Question", "Result", "Retry", "RpcError", "SettingsError", "Stopped",
    "ToolError", "Worker", "__version__", "audio", "blob", "elicitation", "image", "open_page", "roots", "sampling", "text",
]  # fmt: skip
