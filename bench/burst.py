"""How much memory the front end and a worker keep after a burst of large tasks, MiB: idle, at most, at the end, 20 s later.

    python3 bench/burst.py FOLDER [LIBRARY]

FOLDER has the programs taskferry and taskferry-worker; LIBRARY is preloaded into both, such as an allocator. It needs a
redis-server on PATH. 1,500 tasks, 100 at once, each with 200 KB of arguments and of result.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TASKS, AT_ONCE, BYTES = 1500, 100, 200_000
MANIFEST = """[[tool]]
name = "echo"
description = "Returns its arguments"
command = ["cat"]
output = "text"
poll_interval = "100ms"
input_schema = { type = "object" }
"""
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "burst", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}},
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kept(process: subprocess.Popen, field: str) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(field))


async def post(port: int, method: str, name: str, params: dict) -> dict:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
        f"Mcp-Method: {method}\r\nMcp-Name: {name}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])["result"]


async def task(port: int, turns: asyncio.Semaphore) -> None:
    async with turns:
        arguments = {"text": "x" * BYTES}
        created = await post(port, "tools/call", "echo", {"name": "echo", "arguments": arguments})
        while True:
            found = await post(port, "tasks/get", created["taskId"], {"taskId": created["taskId"]})
            if found["status"] == "completed":
                return
            if found["status"] != "working":
                raise SystemExit(f"a task ended otherwise: {found}")
            await asyncio.sleep(0.1)


async def burst(port: int) -> None:
    turns = asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(task(port, turns) for _ in range(TASKS)))


def main(folder: str, library: str = "") -> None:
    environment = os.environ | ({"LD_PRELOAD": library} if library else {})
    redis_port, port = free_port(), free_port()
    redis_url = f"redis://127.0.0.1:{redis_port}/0"
    with tempfile.TemporaryDirectory() as place, open(f"{place}/log", "w") as log:
        Path(place, "tools.toml").write_text(MANIFEST)
        redis = ["redis-server", "--port", str(redis_port), "--dir", place, "--save", ""]
        serve = [f"{folder}/taskferry", "serve", "--listen", f"127.0.0.1:{port}", "--redis-url", redis_url]
        work = [f"{folder}/taskferry-worker", "--redis-url", redis_url, "--manifest", f"{place}/tools.toml", "--slots", "16"]
        started = [subprocess.Popen(redis, stdout=subprocess.DEVNULL)]
        try:
            started += [subprocess.Popen(command, env=environment, stderr=log) for command in (serve, work)]
            both = started[1:]
            time.sleep(4)
            figures = [("idle", [kept(process, "VmRSS") for process in both])]
            asyncio.run(burst(port))
            figures.append(("at most", [kept(process, "VmHWM") for process in both]))
            figures.append(("at the end", [kept(process, "VmRSS") for process in both]))
            time.sleep(20)
            figures.append(("20 s later", [kept(process, "VmRSS") for process in both]))
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()
    print(f"{'MiB':12}{'front end':>10}{'worker':>10}")
    for when, (front_end, worker) in figures:
        print(f"{when:12}{front_end:10}{worker:10}")


if __name__ == "__main__":
    main(*sys.argv[1:])
