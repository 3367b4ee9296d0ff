"""What the documents show is a worker that works, as it stands there."""

from __future__ import annotations

import unittest
from pathlib import Path

from rig import ROOT, Fleet, Process, eventually


def blocks(page: str, heading: str) -> list[str]:
    text = (ROOT / page).read_text("utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0] if heading else text
    return [part.split("```")[0] for part in section.split("```python\n")[1:]]


class Documents(unittest.TestCase):
    def setUp(self) -> None:
        self.fleet = Fleet()
        self.addCleanup(self.fleet.close)

    def start(self, page: str, heading: str, tool: str) -> Process:
        script = Path(self.fleet.folder.name) / "worker.py"
        script.write_text(blocks(page, heading)[0])
        worker = Process(self.fleet, script).ready()
        self.addCleanup(worker.close)
        eventually("the tool is listed", lambda: self.fleet.tool(tool))
        return worker

    def test_the_first_worker_of_each_page_works(self) -> None:
        fleet = self.fleet
        worker = self.start("sdk/python/README.md", "", "greet")
        self.assertEqual(fleet.result("greet", name="Ada")["content"][0]["text"], "Hello, Ada.")
        worker.close()
        self.start("docs/WORKERS.md", "Workers in Python", "word_count")
        self.assertEqual(fleet.result("word_count", text="one two three")["structuredContent"], {"words": 3})
        task = fleet.call("send_letter", to="Bob")
        eventually("a question", lambda: fleet.task(task)["status"] == "input_required")
        answer = {"agreed": {"action": "accept", "content": {}}}
        fleet.post("tasks/update", task, taskId=task, inputResponses=answer)
        self.assertEqual(fleet.ended(task)["result"]["content"][0]["text"], "A letter is on its way to Bob.")
        retried = fleet.call("word_count", text="x" * 30)
        eventually("a retry", lambda: fleet.record(retried).get("retries") == "1")
        self.assertEqual(fleet.record(retried)["message"], "word 1 is too long for now")
        fleet.post("tasks/cancel", retried, taskId=retried)


if __name__ == "__main__":
    unittest.main()
