"""Tools that are tasks of Celery and functions of RQ, with real workers of both."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

from redis import Redis
from rig import HERE, Fleet, Process, eventually
from test_documents import blocks

SCRIPT = HERE / "other_queues.py"
KINDS = ("celery", "rq")
MISSING = [name for name in KINDS if importlib.util.find_spec(name) is None]
if MISSING and os.environ.get("NEEDS_OTHER_QUEUES"):
    raise ImportError(f"there is no {MISSING}: install it into the folder that PYTHONPATH names")


@unittest.skipIf(MISSING, f"there is no {MISSING}: only one of the folders in target/python has them")
class OtherQueues(unittest.TestCase):
    def setUp(self) -> None:
        self.fleet = Fleet()
        self.addCleanup(self.fleet.close)
        self.notes = os.environ["QUEUE_NOTES"] = self.fleet.folder.name
        self.addCleanup(os.environ.pop, "QUEUE_NOTES")
        for role in KINDS:
            environment = {**os.environ, "ROLE": role, "TASKFERRY_REDIS_URL": self.fleet.url}
            paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(paths)
            with open(f"{self.notes}/{role}.log", "wb") as log:
                process = subprocess.Popen([sys.executable, str(SCRIPT)], env=environment, stdout=log, stderr=log)
            self.addCleanup(process.wait, 20)
            self.addCleanup(process.kill if role == "rq" else process.terminate)
        self.worker = self.start()
        eventually("the tools are listed", lambda: self.fleet.tool("celery_count") and self.fleet.tool("rq_fail"))

    def start(self) -> Process:
        worker = Process(self.fleet, SCRIPT, slots="20", lease="1s")
        self.addCleanup(worker.close)
        return worker.ready()

    def runs(self, name: str) -> int:
        try:
            with open(f"{self.notes}/{name}") as notes:
                return len(notes.read())
        except FileNotFoundError:
            return 0

    def each(self, tool: str, **arguments: Any) -> dict[str, str]:
        return {kind: self.fleet.call(f"{kind}_{tool}", name=f"{kind}_{tool}", **arguments) for kind in KINDS}

    def test_they_run_once_report_fail_stop_and_are_followed_by_another_worker(self) -> None:
        fleet = self.fleet
        long = self.each("count", seconds=4)
        for task in long.values():
            eventually("progress", lambda task=task: fleet.record(task).get("message") == "half way")
            self.assertEqual((fleet.record(task)["progress"], fleet.record(task)["total"]), ("1", "2"))
        # Another worker follows what this one has sent.
        self.worker.signal(signal.SIGKILL)
        self.start()
        failed = self.each("fail")
        found = {kind: fleet.ended(task) for kind, task in long.items()}
        self.assertEqual(found["celery"]["result"]["structuredContent"], {"runs": 1})
        self.assertEqual(found["rq"]["result"]["structuredContent"], {"result": [1]})
        for kind, task in long.items():
            self.assertEqual((fleet.record(task)["attempt"], self.runs(f"{kind}_count")), ("2", 1))
        for kind, task in failed.items():
            result = fleet.ended(task)["result"]
            self.assertTrue(result["isError"])
            self.assertIn("no such month", result["content"][0]["text"])
            self.assertEqual(self.runs(f"{kind}_fail"), 2, "its own queue tries it again, and nobody else does")
        for kind in KINDS:
            task = fleet.call(f"{kind}_count", name=f"{kind}_stopped", seconds=60)
            eventually("it runs", lambda kind=kind: self.runs(f"{kind}_stopped"))
            fleet.cancel(task)
            # Its one worker is free again.
            after = fleet.ended(fleet.call(f"{kind}_count", name=f"{kind}_after"), 10)
            self.assertEqual(after["status"], "completed")

    def test_the_documented_worker_offers_its_tools(self) -> None:
        text = blocks("docs/WORKERS.md", "Workers in Python")[1]
        script = Path(self.notes) / "documented.py"
        script.write_text(text.replace("127.0.0.1:6379", self.fleet.url.split("/")[2]))
        worker = Process(self.fleet, script)
        self.addCleanup(worker.close)
        worker.ready()
        eventually("the tools are listed", lambda: self.fleet.tool("report") and self.fleet.tool("totals"))
        queue = Redis.from_url(self.fleet.url.replace("/0", "/2"))
        self.addCleanup(queue.close)
        for tool in ("report", "totals"):
            self.assertTrue(self.fleet.redis.hexists("tf:{fleet}:tools:bridge", tool), tool)
        task = self.fleet.call("totals", month="January")
        eventually("the job is in RQ's queue", lambda: queue.lrange("rq:queue:reports", 0, -1) == [task.encode()])
        self.fleet.cancel(task)
        eventually("it is out of RQ's queue", lambda: not queue.llen("rq:queue:reports"))


if __name__ == "__main__":
    unittest.main()
