"""What a tool may return or raise, and what becomes of it."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

DEEPEST = 96
"""How many levels JSON of a tool may have: front ends wrap it in a few more, and clients read 100."""

SUMMARY = 500
"""So many characters of an error's text are the status message of its task."""


class Content(dict[str, Any]):
    """One entry of a result's `content`, by any name that MCP knows."""


class Result(dict[str, Any]):
    """A whole CallToolResult, which goes to the client as it is: `Result(content=[text("…")], isError=True)`."""


def text(said: str) -> Content:
    """A text."""
    return Content(type="text", text=said)


def image(data: bytes, mime_type: str = "image/png") -> Content:
    """An image."""
    return Content(type="image", data=base64.b64encode(data).decode(), mimeType=mime_type)


def audio(data: bytes, mime_type: str = "audio/wav") -> Content:
    """A sound."""
    return Content(type="audio", data=base64.b64encode(data).decode(), mimeType=mime_type)


def blob(uri: str, data: bytes, mime_type: str = "application/octet-stream") -> Content:
    """Bytes of any kind: an embedded resource of MCP, which must have a URI."""
    resource = {"uri": uri, "mimeType": mime_type, "blob": base64.b64encode(data).decode()}
    return Content(type="resource", resource=resource)


class ToolError(Exception):
    """The tool did its work and it failed; the caller's model reads the text (`isError`). It is not attempted again."""


class Retry(Exception):
    """The attempt failed, and another one may succeed: after `after` seconds, or else after the tool's backoff. If no attempt
    is left, the job ends with this text as an error."""

    def __init__(self, message: str, *, after: float | None = None):
        super().__init__(message)
        self.after = after


class RpcError(Exception):
    """The call itself was wrong: it ends with this JSON-RPC error."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a job ends, as `finish` stores it."""

    status: str
    field: str
    payload: str
    is_error: str = ""
    message: str = ""

    @property
    def word(self) -> str:
        """In the words of the log."""
        return "tool error" if self.is_error == "1" else self.status

    def arguments(self) -> tuple[str, str, str, str]:
        return (self.status, self.field, self.payload, self.is_error)


def failed(message: str, code: int = -32603) -> Outcome:
    """It ends with a JSON-RPC error."""
    return Outcome("failed", "error", json.dumps({"code": code, "message": _readable(message)}), "", _readable(message))


def error(said: str) -> Outcome:
    """It ends with a result that is an error, which the caller's model reads."""
    said = _readable(said)
    payload = dump({"content": [text(said)], "isError": True})
    return Outcome("completed", "result", payload, "1", summary(said))


def summary(said: str) -> str:
    """The end of a text, where tools say what went wrong."""
    said = said.strip()
    return said if len(said) <= SUMMARY else "…" + said[1 - SUMMARY :]


def outcome_of(value: Any, *, structured: bool, most: int) -> Outcome:
    """What a tool returned, as an outcome. What cannot be one is an error that says why."""
    try:
        outcome = _outcome_of(value, structured)
    except (TypeError, ValueError, RecursionError) as fault:
        return error(f"the tool's result cannot be used: {fault}")
    return bounded(outcome, most)


def bounded(outcome: Outcome, most: int) -> Outcome:
    """The same, or an error that says that it is too large."""
    size = len(outcome.payload.encode())
    if size <= most:
        return outcome
    return error(
        f"the result is too large: {size} bytes of JSON, and the worker stores up to {most} (its setting max_result)"
    )


def _outcome_of(value: Any, structured: bool) -> Outcome:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if value is None:
        result: dict[str, Any] = {"content": []}
    elif isinstance(value, str):
        result = {"content": [text(value)]}
    elif isinstance(value, Content):
        result = {"content": [value]}
    elif isinstance(value, Result):
        result = value
        _check(result)
    elif isinstance(value, Mapping):
        result = {"content": [text(dump(value))], "structuredContent": value}
    elif isinstance(value, (list, tuple)) and value and all(isinstance(item, Content) for item in value):
        result = {"content": list(value)}
    else:
        raise TypeError(
            f"it is of type {type(value).__name__}; return a str, a dict, a dataclass, None, a Content such as "
            "taskferry.image(…), a list of these, or a taskferry.Result"
        )
    is_error = result.get("isError") is True
    if structured and not is_error and "structuredContent" not in result:
        raise TypeError("its tool has an output schema, so it must be a dict or a dataclass")
    said = "\n".join(item["text"] for item in result["content"] if item.get("type") == "text") if is_error else ""
    return Outcome("completed", "result", dump(result), "1" if is_error else "0", summary(said))


def _check(result: Result) -> None:
    content = result.get("content")
    if not isinstance(content, list):
        raise TypeError("its content is not a list")
    for item in content:
        if not isinstance(item, dict) or not isinstance(item.get("type"), str):
            raise TypeError("an entry of its content is not an object with a string type")
        if item["type"] == "text" and not isinstance(item.get("text"), str):
            raise TypeError("a text entry of its content has no string text")
    for name in ("structuredContent", "_meta"):
        if name in result and not isinstance(result[name], dict):
            raise TypeError(f"its {name} is not an object")
    if not isinstance(result.get("isError", False), bool):
        raise TypeError("its isError is neither true nor false")


def dump(value: Any) -> str:
    """JSON that every client can read. Raises `TypeError` or `ValueError` for what is none."""
    if _levels(value) > DEEPEST + 2:
        raise ValueError(f"it has values nested deeper than {DEEPEST} levels")
    said = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        said.encode()
    except UnicodeEncodeError as fault:
        raise ValueError("a text in it has half of a surrogate pair") from fault
    return said


def _levels(value: Any) -> int:
    """How deep a value is nested; not more than it takes to say that it is too deep."""
    deep, level = [value], 0
    while deep and level <= DEEPEST + 2:
        children: list[Any] = []
        for item in deep:
            if isinstance(item, Mapping):
                children.extend(item.values())
            elif isinstance(item, (list, tuple)):
                children.extend(item)
        deep, level = children, level + 1
    return level


def _readable(said: str) -> str:
    """A text without halves of surrogate pairs."""
    return said.encode("utf-8", "replace").decode()
