"""Log lines as JSON on standard error, of the same shape as those of the worker in Rust with `log_format = "json"`.

They hold no argument, no result and no text that a tool gives its caller, and of a task's id a digest alone."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import sys
from typing import Any

WORKER = logging.getLogger("taskferry.worker")
ATTEMPT = logging.getLogger("taskferry.attempt")
"""One line for each attempt that ended."""
TOOL = logging.getLogger("taskferry.tool")
"""What tools log, and at debug what they raised."""

_LEVELS = {"WARNING": "WARN", "CRITICAL": "ERROR"}


def digest(task_id: str) -> str:
    """A task's id as logs name it: whoever has the id itself has the task."""
    return hashlib.sha256(task_id.encode()).hexdigest()[:16]


def say(logger: logging.Logger, level: int, message: str, **fields: Any) -> None:
    """Writes a line with fields; those that are None are left out."""
    fields = {name: value for name, value in fields.items() if value is not None}
    if logger.isEnabledFor(level):
        logger.log(level, message, extra={"fields": fields})


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        fields = {"message": record.getMessage(), **getattr(record, "fields", {})}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        line = {
            "timestamp": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": _LEVELS.get(record.levelname, record.levelname),
            "target": record.name,
            "fields": fields,
        }
        return json.dumps(line, default=str)


def begin(level: str) -> None:
    """Writes lines as JSON, unless the program has set up its logging itself."""
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        root.addHandler(handler)
        logging.getLogger("taskferry").setLevel(getattr(logging, level.upper(), logging.INFO))
