"""A worker in Python does what docs/CONTRACT.md says, against a real front end and a real Redis."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import unittest
from pathlib import Path
from typing import Any

from rig import BINARY, HERE, Fleet, Process, eventually

fleet: Fleet
empty: Fleet
"""One without a worker of its own."""
shared: Process
TOOLS = HERE / "tools.py"


def setUpModule() -> None:
    global fleet, empty, shared
    fleet, empty = Fleet(), Fleet()
    unittest.addModuleCleanup(fleet.close)
    unittest.addModuleCleanup(empty.close)
    shared = Process(fleet, TOOLS, slots="8", lease="1s", park_after="300ms", max_result="2MiB").ready()
    unittest.addModuleCleanup(shared.close)
    eventually("the tools are listed", lambda: fleet.tool("greet") and fleet.tool("context"))


class Definitions(unittest.TestCase):
    def test_a_schema_is_made_of_type_hints(self) -> None:
        greet = fleet.tool("greet") or {}
        schema = greet["inputSchema"]
        self.assertEqual((greet["title"], greet["description"]), ("A greeting", "Greets somebody."))
        self.assertEqual(schema["properties"]["name"], {"type": "string", "description": "Who is greeted."})
        self.assertEqual((schema["required"], schema["additionalProperties"]), (["name"], False))
        add = fleet.tool("add") or {}
        point = add["inputSchema"]["properties"]["points"]["items"]
        self.assertEqual((point["required"], sorted(point["properties"])), (["x"], ["x", "y"]))
        self.assertEqual(add["outputSchema"]["required"], ["total", "colour"])


class Rates(unittest.TestCase):
    def test_no_more_attempts_begin_in_a_time_than_a_tool_says(self) -> None:
        tasks = [fleet.call("paced") for _ in range(5)]
        for task in tasks:
            self.assertEqual(fleet.ended(task)["status"], "completed")
        began = sorted(int(fleet.record(task)["started_ms"]) for task in tasks)
        for first, third in zip(began, began[2:]):
            self.assertGreater(third - first, 1000, began)

    def test_a_call_beyond_the_rate_is_refused(self) -> None:
        fleet.result("scarce")
        refused = fleet.post("tools/call", "scarce", name="scarce", arguments={})
        self.assertIn("no more calls of scarce are taken now: its rate is 1/1h", refused["error"]["message"])


class Results(unittest.TestCase):
    def test_each_kind_of_result_arrives(self) -> None:
        self.assertEqual(fleet.result("greet", name="Ada", loud=True)["content"][0]["text"], "HELLO, ADA.")
        added = fleet.result("add", points=[{"x": 1}, {"x": 2, "y": 3}], colour="blue")
        self.assertEqual(added["structuredContent"], {"total": 6.5, "colour": "BLUE m"})
        tasks = {
            shape: fleet.call("shapes", shape=shape) for shape in ("nothing", "odd", "dict", "image", "list", "whole")
        }
        found = {shape: fleet.ended(task)["result"] for shape, task in tasks.items()}
        self.assertEqual(found["nothing"]["content"], [])
        self.assertEqual(found["odd"]["content"][0]["text"], "\x00 ünï 🚢   🚢")
        self.assertEqual(found["dict"]["structuredContent"], {"deep": [1, 2.5, None, "ü"]})
        self.assertEqual(json.loads(found["dict"]["content"][0]["text"]), found["dict"]["structuredContent"])
        self.assertEqual(found["image"]["content"], [{"type": "image", "data": "iVBORw==", "mimeType": "image/png"}])
        self.assertEqual([item["type"] for item in found["list"]["content"]], ["text", "image"])
        self.assertEqual((found["whole"]["structuredContent"], found["whole"]["_meta"]["a"]), ({"n": 2}, 1))

    def test_large_arguments_and_results_arrive_and_too_large_ones_are_errors(self) -> None:
        self.assertEqual(len(fleet.result("shapes", shape="big", size=1 << 20)["content"][0]["text"]), 1 << 20)
        self.assertEqual(
            fleet.result("shapes", shape="arguments", text="é" * 300_000)["structuredContent"], {"bytes": 300_000}
        )
        large = fleet.result("shapes", shape="big", size=3 << 20)
        self.assertTrue(large["isError"] and "max_result" in large["content"][0]["text"], large)

    def test_what_cannot_be_a_result_is_an_error_that_says_why(self) -> None:
        for shape, why in (("half", "surrogate"), ("nan", "JSON"), ("number", "type int"), ("bad", "not a list")):
            result = fleet.result("shapes", shape=shape)
            self.assertTrue(result["isError"] and why in result["content"][0]["text"], result)

    def test_failures_end_as_they_are_raised(self) -> None:
        tasks = {how: fleet.call("fails", how=how) for how in ("tool", "rpc", "zero", "exit", "once", "always")}
        found = {how: fleet.ended(task) for how, task in tasks.items()}
        for how, said in (
            ("tool", "there is no such report"), ("zero", "ZeroDivisionError: division by zero"),
            ("exit", "SystemExit"), ("always", "the file is locked"),
        ):  # fmt: skip
            self.assertTrue(found[how]["result"]["isError"], found[how])
            self.assertIn(said, found[how]["result"]["content"][0]["text"])
        self.assertEqual(found["rpc"]["error"], {"code": -32602, "message": "the month is wrong"})
        self.assertEqual(found["once"]["result"]["content"][0]["text"], "attempt 2")
        self.assertEqual(fleet.record(tasks["always"])["attempt"], "3")
        self.assertIn(tasks["always"], [letter["id"] for _, letter in fleet.redis.xrange("tf:{0}:dead")])


class Reports(unittest.TestCase):
    def test_a_tool_knows_its_job(self) -> None:
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        sent = {"traceparent": trace, "tracestate": "vendor=1", "baggage": "user=7"}
        task = fleet.call("context", sent)
        said = fleet.ended(task)["result"]["structuredContent"]
        self.assertEqual([said[name] for name in ("task_id", "origin")], [task, task])
        self.assertEqual((said["attempt"], said["tool"], said["queue"], said["owner"]), (1, "context", "other", ""))
        self.assertEqual(said["trace"], sent)
        self.assertTrue(599 < said["left"] <= 600, said)

    def test_progress_and_the_log_tell_without_arguments_and_ids(self) -> None:
        task = fleet.call("greet", name="a secret name")
        fleet.ended(task)
        record = fleet.record(task)
        self.assertEqual((record["progress"], record["total"], record["message"]), ("1", "3", "looking for the name"))
        fleet.ended(fleet.call("logs"))
        eventually("the line of the log", lambda: "odd parts" in shared.log())
        ended = [line for line in shared.lines("ended") if line["tool"] == "greet"][-1]
        self.assertEqual((ended["outcome"], ended["attempt"]), ("completed", "1"))
        self.assertNotIn("a secret name", shared.log())
        self.assertNotIn(task, shared.log())
        digest = subprocess.run([BINARY, "digest", task], capture_output=True, text=True, check=True).stdout
        self.assertIn(ended["task"], digest)

    def test_operators_see_the_worker(self) -> None:
        worker = fleet.redis.zrange("tf:{fleet}:workers", 0, -1)[0]
        said = fleet.redis.hgetall(f"tf:{{fleet}}:worker:{worker}")
        self.assertEqual((said["slots"], said["queues"]), ("8", "default,other"))
        self.assertEqual(fleet.redis.pubsub_numsub(f"tf:{{0}}:inbox:{worker}")[0][1], 1)


class Stops(unittest.TestCase):
    def test_a_cancel_reaches_async_and_blocking_tools_at_once(self) -> None:
        tasks = {tool: fleet.call(tool, seconds=30, name=f"c-{tool}") for tool in ("nap", "block")}
        for tool, task in tasks.items():
            shared.note(f"c-{tool}.began")
            began = time.monotonic()
            fleet.cancel(task)
            self.assertEqual(shared.note(f"c-{tool}.cancelled"), "CANCELLED")
            self.assertLess(time.monotonic() - began, 0.3, "the channel tells, not the next renewal")
            self.assertEqual(fleet.ended(task)["status"], "cancelled")

    def test_a_timeout_is_an_error(self) -> None:
        result = fleet.result("slow")
        self.assertIn("timed out after 0.3s", result["content"][0]["text"])

    def test_the_lease_is_kept_beside_blocking_code(self) -> None:
        result = fleet.result("deaf", seconds=3)
        self.assertEqual(result["content"][0]["text"], "slept")
        self.assertNotIn("lost lease", shared.log())


class Questions(unittest.TestCase):
    def test_an_answer_comes_while_the_tool_waits_or_after_it_was_parked(self) -> None:
        for tool in ("ask", "ask_from_a_thread"):
            task = fleet.call(tool)
            fleet.answer(task)
            self.assertEqual(fleet.ended(task)["result"]["structuredContent"], {"to": "Bob", "attempt": 1})
        for tool in ("ask", "ask_from_a_thread"):
            task = fleet.call(tool)
            eventually("a parked job", lambda task=task: fleet.record(task).get("worker") == "")
            fleet.answer(task)
            self.assertEqual(fleet.ended(task)["result"]["structuredContent"], {"to": "Bob", "attempt": 2})

    def test_what_a_client_does_not_declare_is_not_asked(self) -> None:
        result = fleet.result("ask_a_model")
        self.assertTrue(result["isError"] and "capability sampling" in result["content"][0]["text"], result)


class Alone(unittest.TestCase):
    """Each with a worker of its own, in a fleet where no other is."""

    def start(self, **settings: str) -> Process:
        worker = Process(empty, TOOLS, **{"slots": "2", "lease": "1s", **settings})
        self.addCleanup(worker.close)
        return worker.ready()

    def test_a_stale_attempt_is_refused_and_told(self) -> None:
        worker = self.start()
        task = empty.call("nap", seconds=0.8)
        worker.note("nap.began")
        worker.signal(signal.SIGSTOP)
        base, queue = "tf:{0}:", "tf:{0}:queue:default"
        keys = (f"{base}task:{task}", queue)

        entry = ""

        def claim() -> Any:
            # Housekeeping may give it another entry meanwhile.
            nonlocal entry
            entry = empty.record(task)["entry"]
            reply = empty.redis.execute_command("FCALL", "tf3_claim", 2, *keys, base, task, entry, "other", 60000, 1)
            return reply[0] == "OK" and reply[1]

        attempt = eventually("the lease is over", claim)
        worker.signal(signal.SIGCONT)
        eventually("the line", lambda: [line for line in worker.lines("ended") if line["outcome"] == "lost lease"])
        self.assertEqual((attempt, empty.record(task)["worker"]), ("2", "other"))
        empty.redis.execute_command(
            "FCALL", "tf3_finish", 2, *keys, base, task, attempt, entry, "completed", "result",
            '{"content":[]}', "0", "",
        )  # fmt: skip

    def test_sigterm_drains_and_gives_back(self) -> None:
        worker = self.start(drain_timeout="500ms")
        short, long = empty.call("nap", seconds=0.4, name="short"), empty.call("nap", seconds=30, name="long")
        worker.note("short.began"), worker.note("long.began")
        waiting = empty.call("nap", seconds=0.01, name="waiting")
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)
        self.assertEqual(worker.note("long.cancelled"), "the worker stops")
        self.assertEqual(empty.task(short)["status"], "completed")
        self.assertEqual([empty.record(task)["status"] for task in (long, waiting)], ["queued", "queued"])
        self.assertEqual(empty.record(long)["crashes"], "0")
        again = self.start()
        again.note("long.began")
        self.assertEqual(empty.ended(waiting)["result"]["content"][0]["text"], "slept in attempt 1")
        empty.cancel(long)

    def test_a_tool_that_blocks_and_may_run_once_only_fails_when_its_worker_stops(self) -> None:
        worker = self.start(drain_timeout="0s")
        task = empty.call("once_only", seconds=30)
        worker.note("once_only.began")
        worker.signal(signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)
        ended = empty.ended(task)
        self.assertEqual(ended["status"], "failed")
        self.assertIn("its work may be partly done", ended["error"]["message"])

    def test_workers_end_by_themselves(self) -> None:
        tasks = [empty.call("nap", seconds=0.3, name=f"j{number}") for number in range(3)]
        worker = self.start(max_jobs="2", slots="4")
        self.assertEqual(worker.wait(), 0)
        self.assertEqual(sorted(empty.record(task)["status"] for task in tasks), ["completed", "completed", "queued"])
        self.assertEqual(self.start(once="true").wait(), 0)
        self.assertEqual(empty.ended(tasks[2])["status"], "completed")
        began = time.monotonic()
        self.assertEqual(self.start(idle_exit="1s").wait(), 0)
        self.assertLess(time.monotonic() - began, 4)

    def test_a_tool_of_another_worker_goes_back_and_a_foreign_entry_is_buried(self) -> None:
        empty.redis.execute_command(
            "FCALL", "tf3_register_tools", 3, "tf:{fleet}:tools:other", "tf:{fleet}:queues", "tf:{fleet}:homes",
            "tf:{fleet}:tools:changed", "other", "unknown", '{"name":"unknown","queue":"other","input_schema":{"type":"object"}}',
        )  # fmt: skip
        eventually("the tool is listed", lambda: empty.tool("unknown"))
        worker = self.start()
        task = empty.call("unknown")
        eventually("a release", lambda: empty.record(task).get("waits", "").startswith("time"))
        self.assertEqual(empty.record(task)["status"], "queued")
        empty.cancel(task)
        empty.redis.xadd("tf:{0}:queue:default", {"what": "ever"})
        eventually("the line", lambda: worker.lines("an entry that is no job's is a dead letter"))
        empty.redis.xtrim("tf:{0}:dead", maxlen=0)

    def test_scripts_do_where_functions_cannot_be(self) -> None:
        printed = subprocess.run([BINARY, "contract", "print", "--eval"], capture_output=True, text=True, check=True)
        scripts = Path(empty.folder.name) / "scripts.json"
        scripts.write_text(printed.stdout)
        empty.redis.script_flush()
        worker = self.start(scripts=str(scripts), once="true")
        task = empty.call("nap", seconds=0)
        self.assertEqual(worker.wait(), 0)
        self.assertEqual(empty.task(task)["status"], "completed")

    def test_connections_that_break_and_data_that_is_lost_stop_nothing(self) -> None:
        worker = self.start()
        task = empty.call("nap", seconds=1.2)
        worker.note("nap.began")
        for kind in ("normal", "pubsub"):
            empty.redis.execute_command("CLIENT", "KILL", "TYPE", kind)
        self.assertEqual(empty.ended(task)["result"]["content"][0]["text"], "slept in attempt 1")
        eventually("it listens again", lambda: empty.redis.pubsub_channels("tf:{0}:inbox:*"))
        cancelled = empty.call("nap", seconds=30, name="again")
        worker.note("again.began")
        began = time.monotonic()
        empty.cancel(cancelled)
        self.assertEqual(worker.note("again.cancelled"), "CANCELLED")
        self.assertLess(time.monotonic() - began, 0.3)
        empty.redis.flushall()
        eventually("the tools are listed again", lambda: empty.tool("greet"))
        self.assertEqual(empty.result("greet", name="Ada")["content"][0]["text"], "Hello, Ada.")

    def test_the_roles_of_redis_are_enough(self) -> None:
        for role in ("worker", "foreign-worker"):
            rules = subprocess.run([BINARY, "acl", role, "--file"], capture_output=True, text=True, check=True).stdout
            _, name, *rights = rules.replace("PASSWORD", "pw").split()
            empty.redis.execute_command("ACL", "SETUSER", name, "reset", *rights)
            url = empty.url.replace("redis://", f"redis://{name}:pw@")
            worker = self.start(redis_url=url, role=role, park_after="0s", lease="1s")
            empty.answer(asked := empty.call("ask"))
            tasks = [empty.call("fails", how="once"), empty.call("nap", seconds=0.5)]
            large = empty.call("shapes", shape="arguments", text="x" * 100_000)
            cancelled = empty.call("block", seconds=30)
            worker.note("block.began")
            empty.cancel(cancelled)
            self.assertEqual(worker.note("block.cancelled"), "CANCELLED")
            for task in (asked, *tasks, large):
                self.assertFalse(empty.ended(task)["result"].get("isError"), empty.task(task))
            worker.signal(signal.SIGTERM)
            self.assertEqual(worker.wait(), 0)
            self.assertNotIn("NOPERM", worker.log().upper())
            self.assertNotIn("no permissions", worker.log())


class Refusals(unittest.TestCase):
    """What makes a worker end with a text that says what to do, before it takes anything."""

    def refused(self, code: int, **settings: str) -> str:
        worker = Process(empty, TOOLS, **settings)
        self.assertEqual(worker.wait(), code, worker.log())
        return worker.log()

    def user(self, *rules: str) -> str:
        empty.redis.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">pw", *rules)
        return empty.url.replace("redis://", "redis://limited:pw@")

    def test_settings(self) -> None:
        said = self.refused(2, slots="many", lease="1h", role="king")
        for part in ("slots: must be a whole number", "lease: must be from 1 to 600", "role: "):
            self.assertIn(part, said)

    def test_a_missing_library_another_contract_and_missing_rights(self) -> None:
        self.assertIn("uses contract 9.1", self.refused_with_version("9.1"))
        said = self.refused(1, redis_url=self.user("~*", "&*", "+@all", "-fcall"))
        self.assertIn("taskferry contract print --eval", said)
        said = self.refused(1, redis_url=self.user("~tf:contract", "&*", "+@all"))
        self.assertIn("taskferry doctor --role worker", said)
        wrong = empty.url.replace("redis://", "redis://nobody:pw@")
        said = self.refused(1, redis_url=wrong)
        self.assertIn("invalid username-password", said)
        self.assertIn(": give the right user and password, in TASKFERRY_REDIS_PASSWORD_FILE", said)
        empty.redis.execute_command("FUNCTION", "FLUSH")
        other = "#!lua name=taskferry_4\nredis.register_function('tf4_version', function() return {'OK', '4.0'} end)"
        try:
            self.assertIn("run `taskferry contract install`", self.refused(1))
            late = Process(empty, TOOLS)
            eventually("the worker waits", lambda: "trying again" in late.log())
            subprocess.run([BINARY, "contract", "install", "--redis-url", empty.url], check=True, capture_output=True)
            late.ready().close()
            empty.redis.execute_command("FUNCTION", "FLUSH")
            empty.redis.execute_command("FUNCTION", "LOAD", other)
            self.assertIn("there is taskferry_4", self.refused(1))
            newer = "#!lua name=taskferry_3\nredis.register_function('tf3_version', function() return {'NEW'} end)"
            empty.redis.execute_command("FUNCTION", "LOAD", newer)
            self.assertIn("this worker needs 3.x", self.refused(1))
        finally:
            subprocess.run(
                [BINARY, "contract", "install", "--force", "--redis-url", empty.url], check=True, capture_output=True
            )

    def test_a_redis_that_asks_for_a_password(self) -> None:
        empty.redis.execute_command("ACL", "SETUSER", "default", "resetpass", ">pw")
        self.addCleanup(empty.redis.execute_command, "ACL", "SETUSER", "default", "nopass")
        said = self.refused(1)
        for part in ("Redis cannot be used: ", ": give a password, in TASKFERRY_REDIS_PASSWORD_FILE", "user:password@"):
            self.assertIn(part, said)
        password = Path(empty.folder.name) / "password"
        password.write_text("pw\n")
        worker = Process(empty, TOOLS, redis_password_file=str(password))
        self.addCleanup(worker.close)
        worker.ready()

    def refused_with_version(self, version: str) -> str:
        before = empty.redis.get("tf:contract")
        empty.redis.set("tf:contract", version)
        try:
            return self.refused(1)
        finally:
            empty.redis.set("tf:contract", before)


if __name__ == "__main__":
    unittest.main()
