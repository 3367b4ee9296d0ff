"""Questions to the client: to a person, to its model, or for its roots."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from .results import ToolError, dump

_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class AskError(ToolError):
    """A question has no answer: the client cannot be asked this, or answered with an error. Uncaught, it is the job's
    result."""


@dataclass(frozen=True)
class Question:
    """An MCP request to the client. Each function below makes one."""

    method: str
    params: dict[str, Any]

    def to_json(self) -> str:
        return dump({"method": self.method, "params": self.params})


def elicitation(message: str, requested_schema: dict[str, Any]) -> Question:
    """Asks the person for values that fit a flat JSON Schema. The answer has `action` (accept, decline, cancel) and
    `content`."""
    params = {"mode": "form", "message": message, "requestedSchema": requested_schema}
    return Question("elicitation/create", params)


def open_page(message: str, url: str) -> Question:
    """Asks the person to open a web page."""
    return Question("elicitation/create", {"mode": "url", "message": message, "url": url})


def sampling(**params: Any) -> Question:
    """Asks the client's model; `messages` and `maxTokens` are required."""
    return Question("sampling/createMessage", params)


def roots() -> Question:
    """Asks for the client's roots."""
    return Question("roots/list", {})


def check(key: str, question: Question, capabilities: dict[str, Any]) -> None:
    """Raises `AskError` if this cannot be asked."""
    if not _KEY.fullmatch(key):
        raise AskError(f"the key {key[:80]!r} of a question is not 1 to 64 of A-Z a-z 0-9 _ . -")
    url = question.params.get("url")
    if question.params.get("mode") == "url" and not (isinstance(url, str) and url.startswith(("https://", "http://"))):
        raise AskError("the url of a page must begin with https:// or http://")
    lacking = _lacking(question, capabilities)
    if lacking:
        raise AskError(f"the client cannot be asked: it does not declare the capability {lacking}")


def _lacking(question: Question, capabilities: dict[str, Any]) -> str | None:
    kind = question.method.split("/")[0]
    if kind not in ("elicitation", "sampling", "roots"):
        raise AskError(f"{question.method[:80]!r} is not a question: use elicitation, open_page, sampling or roots")
    declared = capabilities.get(kind)
    if not isinstance(declared, dict):
        return kind
    if kind == "elicitation":
        mode = question.params.get("mode", "form")
        # A client that names no mode takes forms.
        if mode not in declared and not (mode == "form" and "url" not in declared):
            return f"elicitation.{mode}"
    if kind == "sampling" and ("tools" in question.params or "toolChoice" in question.params):
        return None if "tools" in declared else "sampling.tools"
    return None


def answer(stored: str) -> Any:
    """An answer as it was stored. Raises `AskError` if the client answered with an error."""
    value = json.loads(stored)
    if isinstance(value, dict) and list(value) == ["error"]:
        said = value["error"] if isinstance(value["error"], dict) else {}
        raise AskError(f"the client answered with error {said.get('code')}: {said.get('message', '')}")
    return value
