"""How a worker shares its slots out among its queues."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import unittest
from unittest import mock

from rig import HERE, Fleet, Process, eventually

sys.path.insert(0, str(HERE.parent))
from taskferry.queues import Share, Turns, read  # noqa: E402 - the package beside these tests

TOOLS = HERE / "queued_tools.py"


class Shares(unittest.TestCase):
    def test_of_any_turns_in_a_row_each_queue_has_its_share(self) -> None:
        for weights in ((3, 1, 1), (1, 100, 1), (5, 3, 2), (1, 1, 1)):
            shares = {name: Share(weight) for name, weight in zip("abc", weights, strict=True)}
            turns, all_of_them = Turns(list("abc"), shares), sum(weights)
            taken = [next(iter(turns.share(1, lambda _: 1))) for _ in range(3 * all_of_them)]
            for begin in range(2 * all_of_them):
                window = taken[begin : begin + all_of_them]
                self.assertEqual(tuple(window.count(name) for name in "abc"), weights)

    def test_a_queue_without_room_passes_its_turn_on_and_saves_nothing_up(self) -> None:
        turns = Turns(["a", "b"], {"a": Share(3)})
        self.assertEqual([turns.share(1, lambda queue: queue == "b") for _ in range(9)], [{"b": 1}] * 9)
        self.assertEqual(turns.share(8, lambda _: float("inf")), {"a": 6, "b": 2})
        self.assertEqual(turns.share(8, lambda _: 2), {"a": 2, "b": 2})
        self.assertEqual(turns.share(8, lambda _: 0), {})

    def test_what_is_said_of_queues_is_checked(self) -> None:
        given = {"a": 8, "b": {"slots": 2}, "c": {"weight": 100, "slots": 1024}}
        shares = read(given, ["a", "b", "c"])
        self.assertEqual(shares, {"a": Share(8), "b": Share(1, 2), "c": Share(100, 1024)})
        for said, why in (
            ({"x": 1}, "x: no tool of this worker is on that queue; there are a"),
            ({"a": 0}, "a: weight must be a whole number from 1 to 100"),
            ({"a": 101}, "a: weight must"), ({"a": True}, "a: weight must"), ({"a": "high"}, "a: weight must"),
            ({"a": {"slots": 0}}, "a: slots must be a whole number from 1 to 1024"),
            ({"a": {"slots": 1025}}, "a: slots must"), ({"a": {"slot": 1}}, "a: 'slot': there are weight and slots"),
        ):  # fmt: skip
            with self.assertRaisesRegex(ValueError, why):
                read(said, ["a"])


class Queues(unittest.TestCase):
    fleet: Fleet

    @classmethod
    def setUpClass(cls) -> None:
        cls.fleet = Fleet()
        cls.addClassCleanup(cls.fleet.close)
        cls.worker().ready().close()
        eventually("the tools are listed", lambda: cls.fleet.tool("bulk") and cls.fleet.tool("asks"))

    @classmethod
    def worker(cls, queues: object = None, *, hold: bool = False, slots: int = 1) -> Process:
        own = {"QUEUES": json.dumps(queues or {}), "HOLD": "1" if hold else ""}
        with mock.patch.dict(os.environ, own):
            return Process(cls.fleet, TOOLS, slots=str(slots))

    def begun(self, worker: Process) -> list[str]:
        path = worker.notes / "begun"
        return path.read_text().split() if path.exists() else []

    def test_jobs_that_wait_begin_in_the_shares_of_their_queues(self) -> None:
        tasks = [self.fleet.call(tool) for tool in ("bulk", "urgent") for _ in range(12)]
        worker = self.worker({"urgent": 3})
        self.addCleanup(worker.close)
        for task in tasks:
            self.fleet.ended(task)
        begun = self.begun(worker)
        for start in range(0, 16, 4):
            four = begun[start : start + 4]
            self.assertEqual(four.count("urgent"), 3, begun)
        self.assertEqual(begun[:16].count("urgent"), 12, begun)

    def test_a_queue_takes_no_more_slots_than_its_bound_and_leaves_the_rest(self) -> None:
        tasks = [self.fleet.call(tool) for tool in ("bulk", "urgent") for _ in range(5)]
        worker = self.worker({"bulk": {"slots": 2}}, hold=True, slots=4)
        self.addCleanup(worker.close)
        eventually("four run", lambda: len(self.begun(worker)) == 4)
        self.assertEqual(self.begun(worker).count("bulk"), 2)
        self.assertEqual(self.fleet.redis.xpending("tf:{0}:queue:bulk", "workers")["pending"], 2)
        (worker.notes / "urgent").touch()
        eventually("all urgent ones ran", lambda: self.begun(worker).count("urgent") == 5)
        self.assertEqual(self.begun(worker).count("bulk"), 2)
        (worker.notes / "bulk").touch()
        for task in tasks:
            self.fleet.ended(task)

    def test_a_job_that_waits_for_an_answer_leaves_its_queues_slot_too(self) -> None:
        worker = self.worker({"bulk": {"slots": 1}}, hold=True, slots=4)
        self.addCleanup(worker.close)
        asking = self.fleet.call("asks")
        eventually("it asks", lambda: self.fleet.task(asking)["status"] == "input_required")
        other = self.fleet.call("bulk")
        eventually("the other one runs", lambda: len(self.begun(worker)) == 1)
        self.fleet.answer(asking)
        urgent = self.fleet.call("urgent")
        eventually("a free slot is used", lambda: "urgent" in self.begun(worker))
        self.assertEqual(self.begun(worker).count("bulk"), 1)
        for queue in ("bulk", "urgent"):
            (worker.notes / queue).touch()
        for task in (asking, other, urgent):
            self.fleet.ended(task)

    def reads(self) -> int:
        """How often Redis was asked for entries."""
        return int(self.fleet.redis.info("commandstats").get("cmdstat_xreadgroup", {"calls": 0})["calls"])

    def blocked(self) -> bool:
        """Whether somebody waits for entries."""
        clients = self.fleet.redis.client_list()
        return any(client["cmd"] == "xreadgroup" and "b" in client["flags"] for client in clients)

    def test_an_idle_worker_of_several_queues_blocks_as_long_as_one_of_a_single_queue(self) -> None:
        worker = self.worker(slots=2).ready()
        self.addCleanup(worker.close)
        eventually("a read blocks", self.blocked)
        before = self.reads()
        time.sleep(3)
        # A read that ends is followed by one of each queue, and one that blocks.
        self.assertLessEqual(self.reads() - before, 3)
        began = time.monotonic()
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)
        self.assertLess(time.monotonic() - began, 2)

    def test_a_read_that_blocks_gives_its_slot_to_a_job_that_has_its_answer(self) -> None:
        worker = self.worker().ready()
        self.addCleanup(worker.close)
        asking = self.fleet.call("asks")
        eventually("it asks", lambda: self.fleet.task(asking)["status"] == "input_required")
        eventually("a read blocks", self.blocked)
        began = time.monotonic()
        self.fleet.answer(asking)
        self.fleet.ended(asking)
        self.assertLess(time.monotonic() - began, 2.5)

    def test_a_worker_is_full_while_it_is_busy_and_not_because_it_reads(self) -> None:
        worker = self.worker(hold=True).ready()
        self.addCleanup(worker.close)

        def said() -> list[str | None]:
            key = next(iter(self.fleet.redis.keys("tf:{fleet}:worker:*")), "none")
            return list(self.fleet.redis.hmget(key, "busy", "doing"))

        task = self.fleet.call("bulk")
        eventually("it is full", lambda: said() == ["1", "full"])
        (worker.notes / "bulk").touch()
        self.fleet.ended(task)
        eventually("it reads again", lambda: said() == ["0", "fetching"])

    def test_a_queue_that_no_tool_is_on_is_refused(self) -> None:
        worker = self.worker({"bulky": 2})
        self.assertEqual(worker.wait(), 2, worker.log())
        self.assertIn("queues: bulky: no tool of this worker is on that queue", worker.log())


if __name__ == "__main__":
    unittest.main()
