"""What the tests run against: a Redis and a front end of their own, a client of MCP, and workers as processes."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
BINARY = Path(os.environ.get("TASKFERRY_BINARY", ROOT / "target/debug/taskferry"))
CAPABILITIES: dict[str, Any] = {"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}
ENDED = ("completed", "failed", "cancelled")


def free_port() -> int:
    """A port that nothing listens on now, below those that outgoing connections are given."""
    while True:
        port = random.randrange(12000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def eventually(what: str, found: Callable[[], Any], seconds: float = 15) -> Any:
    """Waits until something is found, and returns it."""
    until = time.monotonic() + seconds
    while True:
        value = found()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"{what} is not so after {seconds} s")
        time.sleep(0.02)


class Fleet:
    """A Redis and a front end."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        port, http = free_port(), free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self.endpoint = f"http://127.0.0.1:{http}"
        self._own: list[subprocess.Popen[Any]] = []
        self._start("redis-server", "--port", str(port), "--save", "", "--dir", self.folder.name)
        self.redis = redis.Redis.from_url(self.url, protocol=2, decode_responses=True)
        eventually("Redis", self._answers)
        listen = f"127.0.0.1:{http}"
        self._start(str(BINARY), "serve", "--redis-url", self.url, "--listen", listen, "--log-format", "json")
        eventually("the front end", self._ready)
        self._end = threading.Event()
        self._forwarder = threading.Thread(target=self._forward, daemon=True)
        self._forwarder.start()

    def _start(self, *command: str) -> None:
        with (Path(self.folder.name) / f"{Path(command[0]).name}.log").open("wb") as log:
            self._own.append(subprocess.Popen(command, stdout=log, stderr=log))

    def _answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except redis.RedisError:
            return False

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/readyz", timeout=1) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def _forward(self) -> None:
        """Puts due jobs on their streams at once: the tests do not wait for a round of housekeeping."""
        client = redis.Redis.from_url(self.url)
        while not self._end.wait(0.05):
            try:
                for key in client.keys("tf:{0}:due:*"):
                    queue = key.decode().rsplit(":", 1)[1]
                    client.execute_command("FCALL", "tf3_forward", 1, key, "tf:{0}:", queue, 10)
            except redis.RedisError:
                continue

    def close(self) -> None:
        self._end.set()
        self._forwarder.join()
        self.redis.close()
        for process in reversed(self._own):
            process.terminate()
            process.wait(20)
        self.folder.cleanup()

    # -- a client

    def post(self, method: str, name: str = "", /, **params: Any) -> dict[str, Any]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": CAPABILITIES,
        }
        params["_meta"] = {**meta, **params.get("_meta", {})}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": method,
            **({"Mcp-Name": name} if name else {}),
        }
        request = urllib.request.Request(f"{self.endpoint}/mcp", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                said = response.read()
        except urllib.error.HTTPError as fault:
            said = fault.read()
        return dict(json.loads(said))

    def tool(self, name: str) -> dict[str, Any] | None:
        listed = self.post("tools/list")["result"]["tools"]
        return next((tool for tool in listed if tool["name"] == name), None)

    def call(self, tool: str, _meta: dict[str, Any] | None = None, /, **arguments: Any) -> str:
        """Calls a tool, and returns the id of its task."""
        more = {"_meta": _meta} if _meta else {}
        reply = self.post("tools/call", tool, name=tool, arguments=arguments, **more)
        assert "taskId" in reply.get("result", {}), reply
        return str(reply["result"]["taskId"])

    def task(self, task: str) -> dict[str, Any]:
        return dict(self.post("tasks/get", task, taskId=task)["result"])

    def ended(self, task: str, seconds: float = 15) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            # A front end that has just lost Redis answers with an error.
            now = self.post("tasks/get", task, taskId=task).get("result", {})
            return now if now.get("status") in ENDED else None

        return dict(eventually("the end of the task", found, seconds))

    def result(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        ended = self.ended(self.call(tool, **arguments))
        assert ended["status"] == "completed", ended
        return dict(ended["result"])

    def cancel(self, task: str) -> None:
        self.post("tasks/cancel", task, taskId=task)

    def answer(self, task: str) -> None:
        eventually("a question", lambda: self.task(task)["status"] == "input_required")
        response = {"to": {"action": "accept", "content": {"to": "Bob"}}}
        self.post("tasks/update", task, taskId=task, inputResponses=response)

    def record(self, task: str) -> dict[str, str]:
        return dict(self.redis.hgetall(f"tf:{{0}}:task:{task}"))


class Process:
    """A worker as a process of its own."""

    def __init__(self, fleet: Fleet, script: Path, **settings: str):
        self.notes = Path(tempfile.mkdtemp(dir=fleet.folder.name))
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
            "TASKFERRY_REDIS_URL": fleet.url,
            "NOTES": str(self.notes),
            **{f"TASKFERRY_{name.upper()}": value for name, value in settings.items()},
        }
        self._log = self.notes / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, str(script)], env=environment, stderr=log)

    def ready(self) -> Process:
        eventually("a worker that works", lambda: self.lines("working") or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()
        return self

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def lines(self, message: str) -> list[dict[str, Any]]:
        """The fields of the log lines with this message."""
        found = [json.loads(line)["fields"] for line in self.log().splitlines() if line.startswith("{")]
        return [fields for fields in found if fields["message"] == message]

    def note(self, name: str) -> str:
        """What a tool wrote to a file of this name."""
        path = self.notes / name
        eventually(f"the note {name}", lambda: path.exists() and path.read_text())
        return path.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 15) -> int:
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(20)
