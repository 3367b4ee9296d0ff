#!/usr/bin/env python3
"""Tests of the example tools, started as a worker starts them.

    python3 -m unittest test_examples      (in this folder)

They need nothing but Python 3.9 and a POSIX shell; with Python 3.11 or later
the manifest is checked too.
"""

import csv
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
from collections import defaultdict
from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.9 and 3.10
    tomllib = None

HERE = Path(__file__).resolve().parent
ORDERS = HERE / "data" / "orders.csv"
EXIT_ERROR, EXIT_TRY_AGAIN, EXIT_ASKED, EXIT_STOPPED = 1, 75, 76, 143
DEADLOCK_SECONDS = 20

MONTHS = (
    "January February March April May June July August September October November December"
).split()
REGIONS = ("North", "South", "East", "West")

EVENT = re.compile(
    r"::(progress [0-9.]+/[0-9.]+( .*)?|message .+"
    r"|log (debug|info|notice|warning|error|critical|alert|emergency) .+"
    r"|ask [A-Za-z0-9_.-]{1,64} (elicitation|sampling|roots)( \{.*\})?)"
)


def manifest_tools():
    with open(HERE / "tools.toml", "rb") as file:
        return {tool["name"]: tool for tool in tomllib.load(file)["tool"]}


def schema_of(tool, key):
    schema = tool[key]
    return json.loads(schema) if isinstance(schema, str) else schema


JSON_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def mismatches(value, schema, place="result"):
    """Where `value` breaks `schema`: the part of JSON Schema that the manifest uses."""
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(
        isinstance(value, JSON_TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
        for name in types
    ):
        return [f"{place}: not {types}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place}: not one of {schema['enum']}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{place}: does not match {schema['pattern']}")
    if "minimum" in schema and value < schema["minimum"]:
        found.append(f"{place}: below {schema['minimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        found.append(f"{place}: above {schema['maximum']}")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        found += [
            f"{place}: {name} is missing"
            for name in schema.get("required", ())
            if name not in value
        ]
        for name, part in value.items():
            if name in properties:
                found += mismatches(part, properties[name], f"{place}.{name}")
            elif schema.get("additionalProperties") is False:
                found.append(f"{place}: {name} is not in the schema")
    if isinstance(value, list):
        for index, part in enumerate(value):
            found += mismatches(part, schema["items"], f"{place}[{index}]")
    return found


class Outcome:
    """What a finished command left."""

    def __init__(self, code, stdout, stderr):
        self.code = code
        self.stdout = stdout
        self.stderr = stderr

    @property
    def json(self):
        return json.loads(self.stdout)

    @property
    def progress(self):
        """The (done, total) pairs in order."""
        return [
            tuple(map(float, pair))
            for pair in re.findall(r"^::progress ([0-9.]+)/([0-9.]+)", self.stderr, re.MULTILINE)
        ]


class ToolCase(unittest.TestCase):
    """A temporary folder, and ways to start a tool in it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="taskferry-examples-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()

    def environment(self, extra):
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TASKFERRY_", "BACKUP_", "SCAN_", "REPORT_", "ORDERS_"))
        }
        return {
            **own,
            "TASKFERRY_TASK_ID": "0-test",
            "TASKFERRY_ORIGIN_TASK_ID": "0-test",
            "TASKFERRY_ATTEMPT": "1",
            "TASKFERRY_TOOL": self.script.split(".")[0],
            "TASKFERRY_OWNER": "tester",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self.temporary),
            **{name: str(value) for name, value in extra.items()},
        }

    def command(self, options):
        interpreter = "sh" if self.script.endswith(".sh") else sys.executable
        return [interpreter, str(HERE / "scripts" / self.script), *options]

    def start(self, arguments=None, options=(), **extra):
        """Start the tool as leader of its own process group."""
        process = subprocess.Popen(
            self.command(options),
            cwd=HERE,
            env=self.environment(extra),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.addCleanup(self.end, process)
        process.stdin.write(json.dumps(arguments or {}) + "\n")
        process.stdin.close()
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
        process.stderr.close()

    def call(self, arguments=None, options=(), stdin=None, **extra):
        """Run the tool to its end."""
        if stdin is None:
            stdin = (json.dumps(arguments or {}) + "\n").encode()
        done = subprocess.run(
            self.command(options),
            cwd=HERE,
            env=self.environment(extra),
            input=stdin,
            capture_output=True,
            timeout=DEADLOCK_SECONDS,
            check=False,
        )
        outcome = Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
        self.assertNotIn("Traceback", outcome.stdout + outcome.stderr)
        return outcome

    def succeed(self, *args, **kwargs):
        outcome = self.call(*args, **kwargs)
        self.assertEqual((0, ""), (outcome.code, outcome.stdout if outcome.code else ""))
        for line in outcome.stderr.splitlines():
            self.assertRegex(line, f"^{EVENT.pattern}$")
        self.assertEqual(sorted(outcome.progress), outcome.progress)
        return outcome

    def fail_with(self, text, *args, code=EXIT_ERROR, **kwargs):
        outcome = self.call(*args, **kwargs)
        self.assertEqual(code, outcome.code, outcome.stdout)
        self.assertIn(text, outcome.stdout)
        self.assertEqual(1, len(outcome.stdout.splitlines()), "the error text is one line")

    def wait_for_line(self, process, pattern):
        """Read standard error up to the first line that fits."""
        for line in process.stderr:
            if re.search(pattern, line):
                return
        self.fail(f"the tool ended without {pattern}: {process.stdout.read()}")

    def stop(self, process):
        """SIGTERM to the group, as the worker does; the seconds until the tool had ended."""
        started = time.monotonic()
        os.killpg(process.pid, signal.SIGTERM)
        self.assertEqual(EXIT_STOPPED, process.wait(DEADLOCK_SECONDS))
        return time.monotonic() - started

    def assert_fits_manifest(self, tool_name, key, value):
        if tomllib is not None:
            self.assertEqual([], mismatches(value, schema_of(manifest_tools()[tool_name], key)))


def read_orders():
    with open(ORDERS, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class DataSet(unittest.TestCase):
    def test_is_what_its_script_makes(self):
        done = subprocess.run(
            [sys.executable, HERE / "data" / "make_orders.py", "--check"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stdout)

    def test_has_every_month_of_2025_in_every_region(self):
        found = {(order["date"][:7], order["region"]) for order in read_orders()}
        for month in range(1, 13):
            for region in REGIONS:
                self.assertIn((f"2025-{month:02d}", region), found)


class BadArguments(ToolCase):
    """Input that no Python tool accepts."""

    script = "generate_report.py"

    def test_standard_input_that_is_no_json_object_is_refused(self):
        for stdin in (b"{", b"[]", b'"text"', b"\xff{}", b'{"month":"\\ud800"}', b"[" * 100_000):
            self.fail_with("not a JSON object", stdin=stdin)

    def test_a_task_id_that_is_a_path_is_refused(self):
        for script, arguments in (
            ("backup_directory.py", {"path": "data"}),
            ("scan_files.py", {"path": "data"}),
        ):
            self.script = script
            name = "TASKFERRY_ORIGIN_TASK_ID"
            self.fail_with(name, arguments, **{name: "../../x"})


class GenerateReport(ToolCase):
    script = "generate_report.py"

    def test_figures_agree_with_the_data(self):
        lines = [line for line in read_orders() if line["date"].startswith("2025-01")]
        revenue = (
            sum(int(line["quantity"]) * round(float(line["unit_price"]) * 100) for line in lines)
            / 100
        )
        figures = self.succeed({"month": "January"}).json["structuredContent"]
        self.assertEqual(revenue, figures["revenue"])
        self.assertEqual(len({line["order_id"] for line in lines}), figures["orders"])
        self.assertEqual(sum(int(line["quantity"]) for line in lines), figures["units"])
        for split in ("by_region", "by_category", "by_channel"):
            self.assertAlmostEqual(revenue, sum(part["revenue"] for part in figures[split]), 2)

    def test_every_month_gives_a_result_that_fits_its_schema(self):
        for month in MONTHS:
            result = self.succeed({"month": month, "year": 2025}).json
            self.assertEqual({"content", "structuredContent", "isError"}, set(result))
            self.assertIs(result["isError"], False)
            self.assertEqual("text", result["content"][0]["type"])
            self.assertIn(f"# Sales report: {month} 2025", result["content"][0]["text"])
            self.assert_fits_manifest(
                "generate_report", "output_schema", result["structuredContent"]
            )

    def test_compares_with_the_month_before(self):
        january = self.succeed({"month": "January"}).json["structuredContent"]
        self.assertEqual(
            ("December", 2024),
            (january["previous_month"]["month"], january["previous_month"]["year"]),
        )
        february = self.succeed({"month": "February"}).json["structuredContent"]
        self.assertEqual(january["revenue"], february["previous_month"]["revenue"])

    def test_a_first_month_has_nothing_to_compare_with(self):
        result = self.succeed({"month": "December", "year": 2024}).json
        self.assertIsNone(result["structuredContent"]["previous_month"])
        self.assertIn("no orders of the month before", result["content"][0]["text"])

    def test_a_region_counts_only_its_orders(self):
        whole = self.succeed({"month": "May"}).json["structuredContent"]
        west = self.succeed({"month": "May", "region": "West"}).json["structuredContent"]
        part = next(part for part in whole["by_region"] if part["region"] == "West")
        self.assertEqual(part["revenue"], west["revenue"])

    def test_reports_progress_to_the_end(self):
        outcome = self.succeed({"month": "May"})
        done, total = outcome.progress[-1]
        self.assertEqual(done, total)
        self.assertIn("::message ", outcome.stderr)

    def test_takes_no_time_worth_mentioning(self):
        started = time.monotonic()
        self.succeed({"month": "December"})
        self.assertLess(time.monotonic() - started, 10)

    def test_bad_arguments_are_refused(self):
        self.fail_with("argument month is missing", {})
        self.fail_with("argument month must be one of", {"month": "january"})
        self.fail_with("argument month must be a string", {"month": 1})
        self.fail_with("argument region must be one of", {"month": "May", "region": "Mars"})
        self.fail_with("argument year must be", {"month": "May", "year": True})
        self.fail_with("unknown argument: months", {"month": "May", "months": 1})
        self.fail_with("no orders of May 2030", {"month": "May", "year": 2030})

    def test_bad_data_is_refused_with_its_line(self):
        header, first = ORDERS.read_text(encoding="utf-8").splitlines()[:2]
        data = self.folder / "orders.csv"
        for bad, text in (
            (first.rpartition(",")[0], "line 3: wrong number of fields"),
            (first + "x", "line 3: quantity or unit_price"),
            (first.replace("2024-12-01", "2024-12-41"), "line 3: date"),
        ):
            data.write_text(f"{header}\n{first}\n{bad}\n", encoding="utf-8")
            self.fail_with(text, {"month": "December", "year": 2024}, REPORT_DATA=data)
        data.write_text("a,b\n1,2\n", encoding="utf-8")
        self.fail_with("no column order_id", {"month": "May"}, REPORT_DATA=data)
        data.write_bytes(b"\xff\xfe\n")
        self.fail_with("not a CSV file", {"month": "May"}, REPORT_DATA=data)
        self.fail_with("cannot be read", {"month": "May"}, REPORT_DATA=self.folder / "none")


class BackupDirectory(ToolCase):
    script = "backup_directory.py"

    def setUp(self):
        super().setUp()
        self.root = self.folder / "root"
        self.source = self.root / "project"
        (self.source / "sub").mkdir(parents=True)
        (self.source / "sub" / "b.txt").write_text("beta\n" * 1000)
        (self.source / "a.txt").write_text("alpha\n")
        (self.source / "a.log").write_text("noise\n")
        self.output = self.folder / "backups"
        self.roots = {"BACKUP_ROOT": self.root, "BACKUP_DIR": self.output}

    def back_up(self, arguments, **extra):
        result = self.succeed(arguments, **self.roots, **extra).json
        self.assert_fits_manifest("backup_directory", "output_schema", result)
        return result

    def add_slow_file(self):
        # Sparse: no disk is used, but reading and hashing it takes seconds.
        with open(self.source / "slow.bin", "wb") as file:
            file.truncate(2 * 1024**3)

    def leftovers(self):
        return sorted(path.name for path in self.output.iterdir())

    def test_archive_holds_every_file_and_its_checksum(self):
        os.link(self.source / "a.txt", self.source / "sub" / "hard.txt")
        (self.source / "line\nbreak").write_text("x")
        result = self.back_up({"path": "project"})
        archive = Path(result["archive"])
        self.assertEqual(result["archive_sha256"], hashlib.sha256(archive.read_bytes()).hexdigest())
        self.assertEqual((5, 0), (result["files"], result["skipped_total"]))
        with tarfile.open(archive) as tar:
            sums = tar.extractfile(result["checksums_file"]).read().decode()
            for path in ("project/a.txt", "project/sub/b.txt", "project/sub/hard.txt"):
                content = tar.extractfile(path).read()
                self.assertEqual((self.root / path).read_bytes(), content)
                self.assertIn(f"{hashlib.sha256(content).hexdigest()}  {path}\n", sums)
            self.assertIn("  project/line\\nbreak\n", sums)

    def test_progress_ends_at_the_size_of_the_source(self):
        outcome = self.succeed({"path": "project"}, **self.roots)
        size = sum(path.stat().st_size for path in self.source.rglob("*") if path.is_file())
        self.assertEqual((size, size), outcome.progress[-1])

    def test_excluded_names_and_folders_are_left_out(self):
        result = self.back_up({"path": "project", "exclude": ["*.log", "sub"], "compression": 1})
        with tarfile.open(result["archive"]) as tar:
            self.assertEqual(["project", "project/a.txt", "project.sha256"], tar.getnames())

    def test_an_absolute_path_and_the_root_itself_are_allowed(self):
        self.assertEqual(3, self.back_up({"path": str(self.source)})["files"])
        self.assertEqual(3, self.back_up({"path": "."})["files"])

    def test_an_empty_directory_gives_an_archive(self):
        (self.root / "empty").mkdir()
        self.assertEqual(0, self.back_up({"path": "empty"})["files"])

    def test_paths_out_of_the_root_are_refused(self):
        (self.root / "link").symlink_to("/")
        for path, text in (
            ("../elsewhere/project", "must not contain '..'"),
            ("/etc", "outside"),
            ("/nowhere", "outside"),
            ("link", "outside"),
            ("link/etc", "outside"),
            ("none", "does not exist"),
            ("project/a.txt", "not a directory"),
            ("x" * 900, "does not exist"),
            ("a\0b", "must be a string"),
        ):
            with self.subTest(path=path):
                self.fail_with(text, {"path": path}, **self.roots)

    def test_bad_arguments_are_refused(self):
        for arguments, text in (
            ({}, "path is missing"),
            ({"path": ""}, "path must be"),
            ({"path": 5}, "path must be"),
            ({"path": ".", "compression": 0}, "from 1 to 9"),
            ({"path": ".", "compression": 1.5}, "from 1 to 9"),
            ({"path": ".", "exclude": "x"}, "exclude must be a list"),
            ({"path": ".", "exclude": [""]}, "exclude must be a string"),
            ({"path": ".", "depth": 1}, "unknown argument: depth"),
        ):
            with self.subTest(arguments=arguments):
                self.fail_with(text, arguments, **self.roots)

    def test_an_output_folder_inside_the_source_is_refused(self):
        self.fail_with(
            "lies in the directory to archive",
            {"path": "project"},
            BACKUP_ROOT=self.root,
            BACKUP_DIR=self.source / "backups",
        )

    def test_a_link_is_kept_as_a_link_unless_it_leads_out(self):
        (self.source / "inside").symlink_to("a.txt")
        (self.source / "folder").symlink_to("sub")
        (self.source / "outside").symlink_to("/etc/passwd")
        os.mkfifo(self.source / "pipe")
        result = self.back_up({"path": "project"})
        with tarfile.open(result["archive"]) as tar:
            self.assertTrue(tar.getmember("project/inside").issym())
            self.assertTrue(tar.getmember("project/folder").issym())
            self.assertNotIn("project/outside", tar.getnames())
        self.assertEqual(["outside", "pipe"], [entry["path"] for entry in result["skipped"]])

    def test_a_second_attempt_replaces_the_archive_and_removes_what_the_first_left(self):
        first = self.back_up({"path": "project"})
        (self.output / "0-test.tar.gz.0-test.attempt-1").write_text("half an archive")
        second = self.back_up({"path": "project"}, TASKFERRY_ATTEMPT=2)
        self.assertEqual(first, second)
        self.assertEqual(["0-test.tar.gz"], self.leftovers())

    def test_sigterm_leaves_no_partial_file(self):
        self.add_slow_file()
        process = self.start({"path": "project"}, **self.roots)
        self.wait_for_line(process, r"^::progress [1-9]")
        self.assertEqual(["0-test.tar.gz.0-test.attempt-1"], self.leftovers())
        self.assertLess(self.stop(process), 10)
        self.assertEqual([], self.leftovers())
        self.assertEqual("", process.stdout.read())

    def test_what_a_killed_attempt_left_is_removed_by_the_next(self):
        self.add_slow_file()
        process = self.start({"path": "project"}, **self.roots)
        self.wait_for_line(process, r"^::progress [1-9]")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.assertEqual(["0-test.tar.gz.0-test.attempt-1"], self.leftovers())
        (self.source / "slow.bin").unlink()
        self.back_up({"path": "project"}, TASKFERRY_ATTEMPT=2)
        self.assertEqual(["0-test.tar.gz"], self.leftovers())

    def test_a_retried_dead_letter_makes_no_second_archive(self):
        first = self.back_up({"path": "project"})
        (self.output / "0-test.tar.gz.0-test.attempt-1").write_text("half an archive")
        # A new task, which counts its attempts from 1 again.
        retried = self.back_up({"path": "project"}, TASKFERRY_TASK_ID="0-retried")
        self.assertEqual(first, retried)
        self.assertEqual(["0-test.tar.gz"], self.leftovers())

    def test_an_attempt_that_was_frozen_gives_way_to_the_next(self):
        with open(self.source / "slow.bin", "wb") as file:
            file.truncate(256 * 1024**2)
        process = self.start({"path": "project"}, **self.roots)
        self.wait_for_line(process, r"^::progress [1-9]")
        os.killpg(process.pid, signal.SIGSTOP)
        result = self.back_up({"path": "project", "exclude": ["*.bin"]}, TASKFERRY_ATTEMPT=2)
        os.killpg(process.pid, signal.SIGCONT)
        self.assertEqual(EXIT_ERROR, process.wait(DEADLOCK_SECONDS))
        self.assertIn("a later attempt of this job has taken over", process.stdout.read())
        self.assertEqual(["0-test.tar.gz"], self.leftovers())
        content = Path(result["archive"]).read_bytes()
        self.assertEqual(result["archive_sha256"], hashlib.sha256(content).hexdigest())

    def test_the_default_output_folder_is_private(self):
        result = self.succeed({"path": "project"}, BACKUP_ROOT=self.root).json
        folder = Path(result["archive"]).parent
        self.assertEqual(self.temporary, folder.parent)
        self.assertEqual(0o700, folder.stat().st_mode & 0o777)
        self.assertEqual(0o600, Path(result["archive"]).stat().st_mode & 0o777)
        folder.chmod(0o777)
        self.fail_with("belongs to someone else", {"path": "project"}, BACKUP_ROOT=self.root)


class ScanFiles(ToolCase):
    script = "scan_files.py"

    def setUp(self):
        super().setUp()
        self.root = self.folder / "root"
        (self.root / "sub").mkdir(parents=True)
        self.state = self.folder / "state"
        self.roots = {"SCAN_ROOT": self.root, "SCAN_STATE_DIR": self.state}

    def scan(self, arguments, **extra):
        outcome = self.succeed({"path": ".", **arguments}, **self.roots, **extra)
        self.assert_fits_manifest("scan_files", "output_schema", outcome.json)
        self.assertEqual([], list(self.state.iterdir()), "the notes are removed")
        return outcome

    def fill(self, files, size):
        for number in range(files):
            (self.root / f"{number:02d}.txt").write_bytes(b"%07d\n" % number * (size // 8))

    def test_measures_each_file(self):
        content = "one\ntwo\nthree"
        (self.root / "a.txt").write_text(content)
        (self.root / "sub" / "b.bin").write_bytes(bytes(range(256)) * 8)
        (self.root / "empty").touch()
        result = self.scan({"seconds": 0}).json
        self.assertEqual((3, 13 + 2048, 3), (result["files"], result["bytes"], result["lines"]))
        entries = {entry["path"]: entry for entry in result["entries"]}
        self.assertEqual(hashlib.sha256(content.encode()).hexdigest(), entries["a.txt"]["sha256"])
        self.assertEqual(3, entries["a.txt"]["lines"])
        self.assertIsNone(entries["sub/b.bin"]["lines"])
        self.assertEqual(8, entries["sub/b.bin"]["entropy"])
        self.assertEqual(["sub/b.bin"], result["high_entropy_paths"])
        self.assertEqual((0, 0), (entries["empty"]["lines"], entries["empty"]["entropy"]))

    def test_finds_duplicates_but_not_among_empty_files(self):
        for name in ("a", "sub/b", "c"):
            (self.root / name).write_text("the same")
        (self.root / "x").touch()
        (self.root / "y").touch()
        groups = self.scan({"seconds": 0}).json["duplicate_groups"]
        self.assertEqual([["a", "c", "sub/b"]], [group["paths"] for group in groups])

    def test_tells_the_place_of_a_likely_secret_but_not_the_secret(self):
        # Put together here, so that a scan of this file finds nothing.
        key, password = "AKIA" + "Q" * 16, "correct-" + "horse"
        (self.root / "conf.ini").write_text(
            f"# nothing\nid = {key}\npassword" + f" = '{password}'\n"
            f"url = redis://user:{password}" + "@db\n" + "-----BEGIN RSA " + "PRIVATE KEY-----\n"
        )
        outcome = self.scan({"seconds": 0})
        self.assertEqual(
            [
                (2, "cloud access key id"),
                (3, "assigned password"),
                (4, "password in a URL"),
                (5, "private key"),
            ],
            [(entry["line"], entry["rule"]) for entry in outcome.json["likely_secrets"]],
        )
        self.assertNotIn(key, outcome.stdout + outcome.stderr)
        self.assertNotIn(password, outcome.stdout + outcome.stderr)

    def test_a_pattern_selects_files(self):
        for name in ("a.csv", "b.txt", "sub/c.csv"):
            (self.root / name).write_text(name)
        for pattern, paths in (
            ("*.csv", ["a.csv", "sub/c.csv"]),
            ("sub/*", ["sub/c.csv"]),
            ("none", []),
        ):
            result = self.scan({"seconds": 0, "pattern": pattern}).json
            self.assertEqual(paths, [entry["path"] for entry in result["entries"]])

    def test_links_and_pipes_are_not_read(self):
        (self.root / "link").symlink_to("/etc/passwd")
        (self.root / "folder").symlink_to("/etc")
        os.mkfifo(self.root / "pipe")
        self.assertEqual(0, self.scan({"seconds": 0}).json["files"])

    def test_reading_is_spread_over_the_seconds(self):
        self.fill(files=8, size=32 * 1024)
        outcome = self.scan({"seconds": 2})
        self.assertTrue(1.9 <= outcome.json["seconds"] <= 12, outcome.json["seconds"])
        self.assertGreaterEqual(len(outcome.progress), 5)
        self.assertEqual((8 * 32 * 1024,) * 2, outcome.progress[-1])

    def test_reading_keeps_below_the_rate(self):
        self.fill(files=2, size=64 * 1024)
        self.assertGreaterEqual(
            self.scan({"seconds": 0, "kib_per_second": 128}).json["seconds"], 0.95
        )

    def test_a_scan_that_cannot_meet_its_deadline_fails_at_once(self):
        self.fill(files=2, size=64 * 1024)
        deadline_ms = int((time.time() + 5) * 1000)
        self.fail_with(
            "must end in",
            {"path": ".", "kib_per_second": 4},
            **self.roots,
            TASKFERRY_DEADLINE_MS=deadline_ms,
        )

    def test_sigterm_stops_it_promptly_and_removes_the_notes(self):
        self.fill(files=20, size=32 * 1024)
        process = self.start({"path": ".", "seconds": 120}, **self.roots)
        self.wait_for_line(process, r"^::progress [1-9]")
        self.assertEqual(1, len(list(self.state.iterdir())))
        self.assertLess(self.stop(process), 10)
        self.assertEqual([], list(self.state.iterdir()))
        self.assertEqual("", process.stdout.read())

    def test_an_attempt_after_a_kill_goes_on_where_that_one_was(self):
        self.fill(files=20, size=8 * 1024)
        process = self.start({"path": ".", "seconds": 4}, **self.roots)
        self.wait_for_line(process, r"^::progress .* file ([5-9]|1[0-9]) of 20")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with open(self.state / "0-test.jsonl", "ab") as notes:
            notes.write(b'{"full": "cut o')
        (self.root / "01.txt").write_text("changed since")
        # A retry of its dead letter goes on there too.
        result = self.scan({"seconds": 0}, TASKFERRY_TASK_ID="0-retried").json
        self.assertEqual(20, result["files"])
        self.assertGreaterEqual(result["resumed_files"], 3)
        changed = next(entry for entry in result["entries"] if entry["path"] == "01.txt")
        self.assertEqual(13, changed["bytes"])

    def test_paths_out_of_the_root_are_refused(self):
        (self.root / "link").symlink_to("/etc")
        for path, text in (
            ("..", "must not contain '..'"),
            ("/etc", "outside"),
            ("link", "outside"),
            ("none", "does not exist"),
        ):
            self.fail_with(text, {"path": path}, **self.roots)

    def test_bad_arguments_are_refused(self):
        for arguments, text in (
            ({"seconds": -1}, "from 0 to 300"),
            ({"seconds": "1"}, "from 0 to 300"),
            ({"kib_per_second": 1}, "from 4 to"),
            ({"pattern": ""}, "pattern must be"),
            ({"deep": True}, "unknown argument: deep"),
        ):
            self.fail_with(text, {"path": ".", **arguments}, **self.roots)


class ConvertOrders(ToolCase):
    script = "convert_orders.sh"

    def write_orders(self, *lines):
        path = self.folder / "orders.csv"
        header = ORDERS.read_text(encoding="utf-8").splitlines()[0]
        path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
        return path

    def convert(self, *options, **extra):
        outcome = self.succeed(options=options, **extra)
        self.assertEqual([], list(self.temporary.iterdir()), "the work folder is removed")
        return outcome

    def test_totals_agree_with_the_data(self):
        expected = defaultdict(lambda: [set(), 0, 0])
        for line in read_orders():
            if line["region"] == "West":
                day = expected[line["date"]]
                day[0].add(line["order_id"])
                day[1] += int(line["quantity"])
                day[2] += int(line["quantity"]) * round(float(line["unit_price"]) * 100)
        rows = [
            f"{day},{len(ids)},{units},{cents // 100}.{cents % 100:02d}"
            for day, (ids, units, cents) in sorted(expected.items())
        ]
        outcome = self.convert("--region", "West")
        self.assertEqual(["date,orders,units,revenue", *rows], outcome.stdout.splitlines())
        done, total = outcome.progress[-1]
        self.assertEqual(done, total)

    def test_a_month_selects_days(self):
        rows = self.convert("--region", "North", "--month", "2025-02").stdout.splitlines()[1:]
        self.assertTrue(rows)
        self.assertEqual({"2025-02"}, {row[:7] for row in rows})

    def test_no_orders_give_the_head_alone(self):
        outcome = self.convert("--region", "North", "--month", "1999-01")
        self.assertEqual("date,orders,units,revenue\n", outcome.stdout)

    def test_an_export_that_is_running_asks_for_another_attempt(self):
        orders = self.write_orders("1,2025-01-01,North,web,Tea,Sencha,2,1.50")
        lock = Path(f"{orders}.lock")
        lock.touch()
        self.fail_with(
            "being exported", options=("--region", "North"), code=EXIT_TRY_AGAIN, ORDERS_FILE=orders
        )
        lock.unlink()
        outcome = self.convert("--region", "North", ORDERS_FILE=orders)
        self.assertEqual("2025-01-01,1,2,3.00", outcome.stdout.splitlines()[1])

    def test_a_missing_file_asks_for_another_attempt(self):
        self.fail_with(
            "not been exported yet",
            options=("--region", "North"),
            code=EXIT_TRY_AGAIN,
            ORDERS_FILE=self.folder / "none.csv",
        )

    def test_bad_data_is_refused_with_its_line(self):
        good = "1,2025-01-01,North,web,Tea,Sencha,2,1.50"
        for bad, text in (
            ("1,2", "line 3: wrong number of fields"),
            (good.replace("2,1.50", "two,1.50"), "line 3: quantity or unit_price"),
            (good.replace("2025-01-01", "today"), "line 3: date"),
        ):
            self.fail_with(
                text, options=("--region", "North"), ORDERS_FILE=self.write_orders(good, bad)
            )
        other = self.folder / "other.csv"
        other.write_text("a,b\n1,2\n")
        self.fail_with("no column order_id", options=("--region", "North"), ORDERS_FILE=other)
        other.write_text("")
        self.fail_with("empty", options=("--region", "North"), ORDERS_FILE=other)
        self.fail_with("cannot be read", options=("--region", "North"), ORDERS_FILE=self.folder)
        self.assertEqual([], list(self.temporary.iterdir()))

    def test_bad_options_are_refused(self):
        for options, text in (
            ((), "--region is missing"),
            (("--region",), "has no value"),
            (("--region", "Mars"), "must be one of"),
            (("--region", "North", "--month", "May"), "must be YYYY-MM"),
            (("--region", "$(id)"), "must be one of"),
            (("--deep", "1"), "unknown option"),
        ):
            self.fail_with(text, options=options)

    def test_sigterm_removes_the_work_folder(self):
        # A sort that never ends stands for a large file.
        commands = self.folder / "bin"
        commands.mkdir()
        (commands / "sort").write_text("#!/bin/sh\necho sorting >&2\nexec sleep 60\n")
        (commands / "sort").chmod(0o755)
        process = self.start(
            options=("--region", "North"), PATH=f"{commands}{os.pathsep}{os.environ['PATH']}"
        )
        self.wait_for_line(process, "^sorting$")
        self.assertEqual(1, len(list(self.temporary.iterdir())))
        self.assertLess(self.stop(process), 10)
        self.assertEqual([], list(self.temporary.iterdir()))


def asked_in(text):
    """The key and the params of the only question that is asked."""
    questions = re.findall(r"^::ask (\S+) elicitation (.*)$", text, re.MULTILINE)
    ((key, params),) = questions
    return key, json.loads(params)


class PlanPromotion(ToolCase):
    script = "plan_promotion.py"

    def told(self, answer):
        """Run the tool with this answer to its question."""
        lines = [{"region": "North"}, {"key": "other", "result": {}}, {"key": "discount", **answer}]
        return "".join(json.dumps(line) + "\n" for line in lines).encode()

    def plan(self, answer):
        outcome = self.succeed(stdin=self.told(answer))
        self.assert_fits_manifest("plan_promotion", "output_schema", outcome.json)
        return outcome

    def test_waits_for_the_answer_with_its_standard_input_open(self):
        process = subprocess.Popen(
            self.command(()),
            cwd=HERE,
            env=self.environment({}),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.addCleanup(self.end, process)
        self.addCleanup(process.stdin.close)
        process.stdin.write('{"region":"West"}\n')
        process.stdin.flush()
        self.wait_for_line(process, "^::ask discount ")
        answer = {"key": "discount", "result": {"action": "accept", "content": {"percent": 20}}}
        process.stdin.write(json.dumps(answer) + "\n")
        process.stdin.flush()
        self.assertEqual(0, process.wait(DEADLOCK_SECONDS))
        self.assertEqual(20, json.loads(process.stdout.read())["discount_percent"])

    def test_the_product_sold_the_fewest_units(self):
        units = defaultdict(int)
        for line in read_orders():
            if line["region"] == "North":
                units[line["product"]] += int(line["quantity"])
        outcome = self.plan({"result": {"action": "accept", "content": {"percent": 15}}})
        plan = outcome.json
        self.assertEqual(min(units.values()), plan["units"])
        self.assertEqual(plan["units"], units[plan["product"]])
        self.assertEqual((15, "person"), (plan["discount_percent"], plan["decided_by"]))
        _key, question = asked_in(outcome.stderr)
        self.assertIn(plan["product"], question["message"])
        self.assertEqual("object", question["requestedSchema"]["type"])

    def test_where_nobody_can_be_asked_it_is_the_usual_discount(self):
        error = {"reason": "not_declared", "message": "the client cannot be asked"}
        plan = self.plan({"error": error}).json
        self.assertEqual((10, "default"), (plan["discount_percent"], plan["decided_by"]))

    def test_another_error_and_a_no_are_errors(self):
        error = {"reason": "client", "code": -1, "message": "nobody is here"}
        self.fail_with("nobody is here", stdin=self.told({"error": error}))
        self.fail_with("not chosen", stdin=self.told({"result": {"action": "decline"}}))
        too_much = {"result": {"action": "accept", "content": {"percent": 99}}}
        self.fail_with("out of range", stdin=self.told(too_much))

    def test_a_worker_that_does_not_know_that_it_asks_is_told(self):
        self.fail_with("asks = true", {"region": "North"})


class PruneBackups(ToolCase):
    script = "prune_backups.sh"

    def archives(self, *names):
        """Archives, from the newest to the oldest."""
        for age, name in enumerate(names):
            path = self.folder / f"{name}.tar.gz"
            path.touch()
            os.utime(path, (1_000_000 - age, 1_000_000 - age))

    def left(self):
        return sorted(path.name.split(".")[0] for path in self.folder.glob("*.tar.gz"))

    def prune(self, keep, answers=None, **extra):
        return self.call(
            options=("--keep", str(keep)),
            BACKUP_DIR=self.folder,
            TASKFERRY_ANSWERS=json.dumps(answers or {}, separators=(",", ":")),
            **extra,
        )

    def ask(self, keep, answers=None):
        outcome = self.prune(keep, answers)
        self.assertEqual((EXIT_ASKED, ""), (outcome.code, outcome.stdout))
        return asked_in(outcome.stderr)

    def test_asks_and_exits_and_deletes_with_a_yes(self):
        self.archives("a", "b", "c", "d")
        key, question = self.ask(2)
        self.assertIn("Delete 2 archives", question["message"])
        self.assertEqual(["a", "b", "c", "d"], self.left())
        outcome = self.prune(2, {key: {"result": {"action": "accept", "content": {}}}})
        self.assertEqual(0, outcome.code, outcome.stdout)
        self.assertEqual(["a", "b"], self.left())
        self.assertIn("Deleted 2", outcome.stdout)

    def test_deletes_nothing_without_a_yes(self):
        self.archives("a", "b")
        key, _question = self.ask(1)
        for answer, text in (
            ({"result": {"action": "decline"}}, "not wanted"),
            ({"result": {"action": "cancel", "content": {"x": '"action":"accept"'}}}, "not wanted"),
            ({"error": {"reason": "client", "message": "no"}}, "no answer"),
        ):
            outcome = self.prune(1, {key: answer})
            self.assertEqual(EXIT_ERROR, outcome.code)
            self.assertIn(text, outcome.stdout)
        self.assertEqual(["a", "b"], self.left())

    def test_other_archives_are_another_question(self):
        self.archives("a", "b")
        key, _question = self.ask(1)
        self.archives("c", "a", "b")
        yes = {"result": {"action": "accept"}}
        other, _question = self.ask(1, {key: yes})
        self.assertNotEqual(key, other)
        no = {"result": {"action": "decline"}}
        for answers in ({key: yes, other: no}, {other: no, key: yes}):
            self.assertEqual(EXIT_ERROR, self.prune(1, answers).code)
        self.assertEqual(["a", "b", "c"], self.left())

    def test_without_old_archives_nobody_is_asked(self):
        for _ in range(2):
            outcome = self.prune(1)
            self.assertEqual((0, ""), (outcome.code, outcome.stderr))
            self.assertIn("nothing to delete", outcome.stdout)
            self.archives("a")

    def test_bad_options_are_refused(self):
        for options in ((), ("--keep",), ("--keep", "0"), ("--keep", "x"), ("--drop", "1")):
            self.fail_with("--keep", options=options)


@unittest.skipIf(tomllib is None, "tomllib came with Python 3.11")
class Manifest(unittest.TestCase):
    def test_every_command_is_there(self):
        for tool in manifest_tools().values():
            interpreter, script = tool["command"][:2]
            self.assertIn(interpreter, ("python3", "sh"))
            self.assertTrue(os.access(HERE / script, os.X_OK), script)

    def test_every_file_in_the_environment_is_there(self):
        for tool in manifest_tools().values():
            for value in tool.get("env", {}).values():
                self.assertTrue((HERE / value).exists(), value)

    def test_input_schemas_are_closed_and_described(self):
        for name, tool in manifest_tools().items():
            schema = schema_of(tool, "input_schema")
            self.assertIs(False, schema["additionalProperties"], name)
            self.assertLessEqual(set(schema["required"]), set(schema["properties"]))
            for argument, part in schema["properties"].items():
                self.assertIn("description", part, f"{name}.{argument}")
                if "default" in part:
                    self.assertEqual([], mismatches(part["default"], part))

    def test_example_arguments_fit(self):
        tools = manifest_tools()
        for name, arguments in (
            ("generate_report", {"month": "January"}),
            ("backup_directory", {"path": "data", "exclude": ["*.py"]}),
            ("scan_files", {"path": ".", "seconds": 5}),
            ("convert_orders", {"region": "West", "month": "2025-12"}),
            ("plan_promotion", {"region": "East"}),
            ("prune_backups", {"keep": 3}),
        ):
            self.assertEqual([], mismatches(arguments, schema_of(tools[name], "input_schema")))

    def test_a_call_outside_the_schema_is_noticed(self):
        schema = schema_of(manifest_tools()["generate_report"], "input_schema")
        for arguments in (
            {},
            {"month": "Jan"},
            {"month": "May", "year": 2024},
            {"month": "May", "x": 1},
        ):
            self.assertNotEqual([], mismatches(arguments, schema))

    def test_schemas_and_scripts_name_the_same_regions_and_months(self):
        tools = manifest_tools()
        report = schema_of(tools["generate_report"], "input_schema")["properties"]
        convert = schema_of(tools["convert_orders"], "input_schema")["properties"]
        self.assertEqual(MONTHS, report["month"]["enum"])
        self.assertEqual(list(REGIONS), report["region"]["enum"])
        self.assertEqual(list(REGIONS), convert["region"]["enum"])
        promotion = schema_of(tools["plan_promotion"], "input_schema")["properties"]
        self.assertEqual(list(REGIONS), promotion["region"]["enum"])


if __name__ == "__main__":
    unittest.main()
