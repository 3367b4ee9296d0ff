#!/usr/bin/env python3
"""Scan a tree of files: checksums, line counts, entropy, duplicates, likely secrets.

Arguments: path; pattern (optional); seconds (default 25), over which the reading
is spread so that storage shared with others stays quick; kib_per_second
(optional), a bound on the reading rate. The rate does not fall below 4 KiB a
second, so a small tree takes less than `seconds`.
Environment: SCAN_ROOT, the folder that may be read (default: the examples);
SCAN_STATE_DIR, where a running scan notes what it has read (default:
taskferry-scans-<uid> below the system's temporary folder).

Each file that has been read is noted under the origin task id. An attempt that
follows a killed one on the same storage goes on from there. The note is removed
at the end and on SIGTERM.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import stat
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from exec_protocol import (
    Arguments,
    ProgressMeter,
    ToolError,
    log,
    message,
    origin_task_id,
    print_json,
    printable,
    run,
    seconds_left,
)
from folders import matches, private_folder, resolve_below

DEFAULT_ROOT = Path(__file__).resolve().parent.parent
DEFAULT_SECONDS = 25
# Storage reads whole blocks: a file of one byte costs as much as one of 4096.
BLOCK_BYTES = 4096
MOST_READ_BYTES = 64 * BLOCK_BYTES
# One block a second: slower than that, a scan would show no progress for seconds.
SLOWEST_BYTES_PER_SECOND = BLOCK_BYTES
# Reads a second while the reading is slowed down: enough for a smooth progress.
READS_PER_SECOND = 4
MESSAGE_INTERVAL_SECONDS = 1.0
# A line longer than this is searched in pieces of this length.
LONGEST_LINE_BYTES = 64 * 1024
# Bits per byte. Text has 4 to 5; compressed or encrypted data comes close to 8.
HIGH_ENTROPY = 7.5
# Entropy of a smaller file tells nothing: it cannot have many different bytes.
ENTROPY_NEEDS_BYTES = 1024

# The result is bounded: these many entries are listed, all are counted.
MOST_FILES = 500
MOST_LIKELY_SECRETS = 200
MOST_DUPLICATES = 100
MOST_PATHS_OF_ONE = 20
MOST_EXTENSIONS = 100
MOST_UNREADABLE = 50

# What a likely secret looks like. Only the place is reported, never the secret.
SECRET_RULES = {
    "private key": re.compile(rb"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY-----"),
    "cloud access key id": re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "forge token": re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
    "password in a URL": re.compile(
        rb"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@'\"]{1,64}:[^\s/@'\"]{4,128}@"
    ),
    "assigned password": re.compile(
        rb"(?i)\b[a-z_]{0,32}(?:password|passwd|secret|api_?key|token)[\"']?\s{0,4}[:=]\s{0,4}"
        rb"([\"'])[^\"'\s]{8,128}\1"
    ),
}


@dataclass
class Candidate:
    """A file to scan. The size and the time of change tell whether a note still holds."""

    full: str
    path: str
    size: int
    modified_ns: int

    @property
    def cost(self):
        """The bytes that storage reads for it."""
        return max(1, math.ceil(self.size / BLOCK_BYTES)) * BLOCK_BYTES


def total_cost(candidates):
    return sum(candidate.cost for candidate in candidates)


def find_files(source, pattern):
    """The regular files below `source`, in a fixed order, and the folders that cannot be listed."""
    files, unreadable = [], []
    for folder, folder_names, file_names in os.walk(
        source, onerror=lambda error: unreadable.append(os.path.relpath(error.filename, source))
    ):
        folder_names.sort()
        for name in sorted(file_names):
            full = os.path.join(folder, name)
            path = os.path.relpath(full, source)
            if pattern is not None and not matches(pattern, path):
                continue
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(full)
                if stat.S_ISREG(found.st_mode):
                    files.append(Candidate(full, path, found.st_size, found.st_mtime_ns))
    return files, unreadable


class Throttle:
    """Keeps the reading at or below a rate, by sleeping when it is ahead."""

    def __init__(self, bytes_per_second):
        self._rate = bytes_per_second
        self._start = time.monotonic()
        self._passed = 0

    @property
    def read_bytes(self):
        """How much to read at a time."""
        if math.isinf(self._rate):
            return MOST_READ_BYTES
        blocks = int(self._rate / READS_PER_SECOND) // BLOCK_BYTES
        return min(max(1, blocks) * BLOCK_BYTES, MOST_READ_BYTES)

    def passed(self, count):
        """Count bytes, and sleep until the clock has caught up with them."""
        self._passed += count
        ahead = self._passed / self._rate - (time.monotonic() - self._start)
        if ahead > 0:
            time.sleep(ahead)


def rate_for(total, seconds, kib_per_second):
    """The lower of the rate that takes `seconds` and the bound; infinite without both."""
    spread = total / seconds if seconds else math.inf
    bound = kib_per_second * 1024 if kib_per_second else math.inf
    return max(min(spread, bound), SLOWEST_BYTES_PER_SECOND)


def refuse_if_too_slow(total, rate):
    """Fail at once rather than at the deadline."""
    needed, left = total / rate, seconds_left()
    if needed > left:
        raise ToolError(
            f"the scan would take {needed:.0f} s at this rate, but must end in "
            f"{max(left, 0):.0f} s: raise kib_per_second or scan less"
        )


class LineSearch:
    """Counts the lines of a file and searches each for likely secrets."""

    def __init__(self):
        self.breaks = 0
        self.found = []
        self._rest = b""

    def feed(self, data):
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._search(line)
            self.breaks += 1
        while len(self._rest) > LONGEST_LINE_BYTES:
            self._search(self._rest[:LONGEST_LINE_BYTES])
            self._rest = self._rest[LONGEST_LINE_BYTES:]

    def finish(self):
        """The number of lines; a last line without a line break counts."""
        last = 1 if self._rest else 0
        self._search(self._rest)
        return self.breaks + last

    def _search(self, line):
        for rule, pattern in SECRET_RULES.items():
            if pattern.search(line):
                self.found.append([self.breaks + 1, rule])


def entropy(counts):
    """Bits per byte, 0 to 8."""
    total = sum(counts.values())
    if not total:
        return 0.0
    bits = -sum(count / total * math.log2(count / total) for count in counts.values())
    return round(max(bits, 0.0), 3)


def scan_file(full, throttle, on_bytes):
    """Read one file once and return what is noted about it."""
    sha256, counts, search, size = hashlib.sha256(), Counter(), LineSearch(), 0
    is_text = True
    number = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(number, "rb", buffering=0) as file:
        while True:
            data = file.read(throttle.read_bytes)
            if not data and size:
                break
            # A file without content costs a block too.
            cost = max(1, math.ceil(len(data) / BLOCK_BYTES)) * BLOCK_BYTES
            throttle.passed(cost)
            on_bytes(cost)
            if not data:
                break
            size += len(data)
            sha256.update(data)
            counts.update(data)
            is_text = is_text and b"\0" not in data
            if is_text:
                search.feed(data)
    lines = search.finish() if is_text else None
    return {
        "bytes": size,
        "lines": lines,
        "entropy": entropy(counts),
        "sha256": sha256.hexdigest(),
        "likely_secrets": search.found if is_text else [],
    }


class Notes:
    """What earlier attempts of this job have read: one JSON line a file."""

    def __init__(self, path):
        self._path = path
        self._known = {}
        self._file = None

    def __enter__(self):
        with contextlib.suppress(FileNotFoundError):
            with open(self._path, "rb") as file:
                for line in file:
                    self._recall(line)
        self._file = open(self._path, "ab", buffering=0)
        return self

    def __exit__(self, *_error):
        # Also after SIGTERM: the task is cancelled or moves to another worker.
        # Only a kill leaves the notes for the next attempt.
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def _recall(self, line):
        # The last line of a killed attempt may be cut off.
        with contextlib.suppress(ValueError, KeyError, TypeError):
            note = json.loads(line)
            self._known[note["full"]] = (note["size"], note["modified_ns"], note["entry"])

    def find(self, candidate):
        """The entry of an unchanged file, or None."""
        size, modified_ns, entry = self._known.get(candidate.full, (None, None, None))
        is_same = size == candidate.size and modified_ns == candidate.modified_ns
        return entry if is_same else None

    def not_read(self, candidates):
        return [candidate for candidate in candidates if self.find(candidate) is None]

    def add(self, candidate, entry):
        note = {
            "full": candidate.full,
            "size": candidate.size,
            "modified_ns": candidate.modified_ns,
            "entry": entry,
        }
        # ASCII, so that a name that is not UTF-8 comes back as it was.
        self._file.write(json.dumps(note).encode() + b"\n")


@dataclass
class Findings:
    """What the scan has found so far."""

    entries: list = field(default_factory=list)
    likely_secrets: list = field(default_factory=list)
    paths_by_content: dict = field(default_factory=lambda: defaultdict(list))
    unreadable: list = field(default_factory=list)
    resumed: int = 0

    def add(self, path, entry):
        shown = printable(path)
        self.entries.append(
            {
                "path": shown,
                **{key: value for key, value in entry.items() if key != "likely_secrets"},
            }
        )
        self.likely_secrets += [
            {"path": shown, "line": line, "rule": rule} for line, rule in entry["likely_secrets"]
        ]
        if entry["bytes"]:
            self.paths_by_content[entry["bytes"], entry["sha256"]].append(shown)

    def duplicates(self):
        """Groups of files of the same content, most wasted bytes first."""
        groups = [
            {
                "sha256": sha256,
                "bytes": size,
                "files": len(paths),
                "paths": paths[:MOST_PATHS_OF_ONE],
            }
            for (size, sha256), paths in self.paths_by_content.items()
            if len(paths) > 1
        ]
        return sorted(
            groups, key=lambda group: (-group["bytes"] * (group["files"] - 1), group["sha256"])
        )

    def by_extension(self):
        totals = defaultdict(lambda: {"files": 0, "bytes": 0})
        for entry in self.entries:
            total = totals[os.path.splitext(entry["path"])[1].lower()]
            total["files"] += 1
            total["bytes"] += entry["bytes"]
        ranked = sorted(totals.items(), key=lambda item: (-item[1]["bytes"], item[0]))
        return [{"extension": extension, **total} for extension, total in ranked[:MOST_EXTENSIONS]]

    def result(self):
        """The structured content, apart from what was asked and how long it took."""
        duplicates = self.duplicates()
        return {
            "files": len(self.entries),
            "bytes": sum(entry["bytes"] for entry in self.entries),
            "lines": sum(entry["lines"] or 0 for entry in self.entries),
            "resumed_files": self.resumed,
            "likely_secrets_total": len(self.likely_secrets),
            "likely_secrets": self.likely_secrets[:MOST_LIKELY_SECRETS],
            "duplicate_groups_total": len(duplicates),
            "duplicate_groups": duplicates[:MOST_DUPLICATES],
            "high_entropy_paths": [
                entry["path"]
                for entry in self.entries
                if entry["entropy"] > HIGH_ENTROPY and entry["bytes"] >= ENTROPY_NEEDS_BYTES
            ][:MOST_FILES],
            "by_extension": self.by_extension(),
            "unreadable_total": len(self.unreadable),
            "unreadable": self.unreadable[:MOST_UNREADABLE],
            "entries": self.entries[:MOST_FILES],
        }


class Scan:
    """Goes through the files, with progress."""

    def __init__(self, candidates, notes):
        self._candidates = candidates
        self._notes = notes
        self._done = 0
        self._total = total_cost(candidates)
        self._meter = ProgressMeter(self._total)
        self._last_message = time.monotonic()
        self._text = ""
        self.findings = Findings()

    def run(self, throttle):
        for number, candidate in enumerate(self._candidates, 1):
            self._text = f"file {number} of {len(self._candidates)}: {printable(candidate.path)}"
            entry = self._notes.find(candidate)
            if entry is not None:
                self.findings.resumed += 1
                self._advance(candidate.cost)
            else:
                entry = self._read(candidate, throttle)
            if entry is not None:
                self.findings.add(candidate.path, entry)

    def _read(self, candidate, throttle):
        try:
            entry = scan_file(candidate.full, throttle, self._advance)
        except OSError as error:
            path = printable(candidate.path)
            self.findings.unreadable.append(path)
            log("warning", f"cannot read {path}: {error.strerror}")
            return None
        self._notes.add(candidate, entry)
        return entry

    def _advance(self, count):
        # A file may have grown since it was listed; progress never passes the total.
        self._done = min(self._done + count, self._total)
        self._meter.update(self._done, self._text)
        now = time.monotonic()
        if now - self._last_message >= MESSAGE_INTERVAL_SECONDS:
            self._last_message = now
            message(f"Reading {self._text}")


def notes_path():
    folder = os.environ.get("SCAN_STATE_DIR")
    if folder:
        os.makedirs(folder, exist_ok=True)
    else:
        folder = private_folder("taskferry-scans")
    return os.path.join(folder, f"{origin_task_id()}.jsonl")


def main():
    args = Arguments.read({"path", "pattern", "seconds", "kib_per_second"})
    path = args.text("path", required=True)
    pattern = args.text("pattern", longest=200)
    seconds = args.number("seconds", 0, 300, default=DEFAULT_SECONDS)
    kib_per_second = args.number("kib_per_second", 4, 1_048_576)
    source = resolve_below(os.environ.get("SCAN_ROOT") or DEFAULT_ROOT, path)

    message(f"Listing {path}")
    started = time.monotonic()
    candidates, unreadable = find_files(source, pattern)
    with Notes(notes_path()) as notes:
        scan = Scan(candidates, notes)
        scan.findings.unreadable += [printable(folder) for folder in unreadable]
        rate = rate_for(total_cost(candidates), seconds, kib_per_second)
        refuse_if_too_slow(total_cost(notes.not_read(candidates)), rate)
        message(f"Scanning {len(candidates)} files")
        scan.run(Throttle(rate))
        result = scan.findings.result()
        print_json(
            {
                "path": path,
                "pattern": pattern,
                "seconds": round(time.monotonic() - started, 2),
                **result,
            }
        )
    message(
        f"Scanned {result['files']} files: {result['likely_secrets_total']} likely secrets, "
        f"{result['duplicate_groups_total']} groups of duplicates"
    )


if __name__ == "__main__":
    run(main)
