#!/usr/bin/env python3
"""Archive a directory as .tar.gz, with a SHA-256 checksum of every file.

Arguments: path, compression (1 to 9, optional), exclude (patterns, optional).
Environment: BACKUP_ROOT, the folder that may be read (default: the examples);
BACKUP_DIR, the folder for the archives (default: taskferry-backups-<uid> below
the system's temporary folder).

The archive holds the directory and, beside it, <name>.sha256, which
`sha256sum -c` reads. It is named by the origin task id, so a second attempt, and
the retry of a dead letter, replace the archive of the first. It is written under
a temporary name that tells task and attempt, and renamed when it is whole.
"""

import contextlib
import glob
import gzip
import hashlib
import io
import os
import stat
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from exec_protocol import (
    Arguments,
    ProgressMeter,
    ToolError,
    TryAgain,
    attempt,
    log,
    message,
    origin_task_id,
    print_json,
    printable,
    run,
    task_id,
)
from folders import is_within, matches, private_folder, resolve_below

DEFAULT_ROOT = Path(__file__).resolve().parent.parent
DEFAULT_COMPRESSION = 6
READ_BYTES = 256 * 1024
# The result names only so many entries that were left out, and counts the others.
MOST_SKIPPED_NAMED = 50


@dataclass
class Plan:
    """What goes into the archive: paths relative to the source, in order."""

    folders: list = field(default_factory=list)
    links: list = field(default_factory=list)
    files: list = field(default_factory=list)
    bytes: int = 0
    skipped: list = field(default_factory=list)

    def skip(self, path, reason):
        self.skipped.append({"path": printable(path), "reason": reason})


def make_plan(source, root, exclude):
    """Walk the source. Links are kept as links and never followed."""
    plan = Plan()

    def unreadable(error):
        plan.skip(os.path.relpath(error.filename, source), f"cannot be read: {error.strerror}")

    def wanted(path):
        return not any(matches(pattern, path) for pattern in exclude)

    for folder, folder_names, file_names in os.walk(source, onerror=unreadable):
        relative = os.path.relpath(folder, source)
        below = "" if relative == "." else relative
        plan.folders.append(below)
        # os.walk lists a link to a folder as a folder, but does not go down it.
        links = [name for name in folder_names if os.path.islink(os.path.join(folder, name))]
        for name in sorted(file_names + links):
            path = os.path.join(below, name)
            if wanted(path):
                plan_entry(plan, source, root, path)
        # os.walk goes down what is left in this list, in its order.
        folder_names[:] = sorted(
            name for name in set(folder_names) - set(links) if wanted(os.path.join(below, name))
        )
    return plan


def plan_entry(plan, source, root, path):
    full = os.path.join(source, path)
    try:
        found = os.lstat(full)
    except FileNotFoundError:
        return  # Deleted while we walked.
    if stat.S_ISREG(found.st_mode):
        plan.files.append(path)
        plan.bytes += found.st_size
    elif not stat.S_ISLNK(found.st_mode):
        plan.skip(path, "not a file, folder or link")
    elif is_within(root, os.path.realpath(full)):
        plan.links.append(path)
    else:
        # Whoever unpacks the archive must not get a way out of it.
        plan.skip(path, "link that leads out of the allowed folder")


class MeteredReader:
    """Reads one file for the archive, and hashes and counts what passes."""

    def __init__(self, file, size, on_bytes):
        self._file = file
        self._left = size
        self._on_bytes = on_bytes
        self.sha256 = hashlib.sha256()

    def read(self, count):
        data = self._file.read(count)
        if len(data) < min(count, self._left):
            raise TryAgain("a file became shorter while it was read; the backup starts again")
        self._left -= len(data)
        self.sha256.update(data)
        self._on_bytes(len(data))
        return data


class ArchiveWriter:
    """Writes the planned entries into an open tar file."""

    def __init__(self, tar, source, plan):
        self._tar = tar
        self._source = source
        self._name = os.path.basename(source) or "root"
        self._plan = plan
        self._done = 0
        self._meter = ProgressMeter(plan.bytes)
        self._sums = []

    def write(self):
        """Write everything; return the name of the checksum file inside the archive."""
        if self._plan.bytes:
            self._meter.update(0)
        for path in self._plan.folders + self._plan.links:
            self._add_entry(path)
        for number, path in enumerate(self._plan.files, 1):
            self._add_file(path, f"file {number} of {len(self._plan.files)}: {printable(path)}")
        return self._add_sums()

    def _member(self, path):
        return os.path.join(self._name, path) if path else self._name

    def _add_entry(self, path):
        try:
            entry = self._tar.gettarinfo(os.path.join(self._source, path), self._member(path))
        except FileNotFoundError:
            self._plan.skip(path, "deleted while the backup ran")
            return
        self._tar.addfile(with_whole_seconds(entry))

    def _add_file(self, path, text):
        try:
            # Not through a link, and not waiting for the writer of a pipe, should
            # somebody have put one in place of the file since it was planned.
            number = os.open(
                os.path.join(self._source, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            )
        except OSError as error:
            self._plan.skip(path, f"cannot be read: {error.strerror}")
            return
        with os.fdopen(number, "rb") as file:
            entry = self._tar.gettarinfo(arcname=self._member(path), fileobj=file)
            if entry is not None and entry.islnk():
                # A hard link to a file that is in the archive already: store the
                # content again, so that every line of the checksum file stands alone.
                entry.type, entry.linkname = tarfile.REGTYPE, ""
                entry.size = os.fstat(number).st_size
            if entry is None or not entry.isreg():
                self._plan.skip(path, "no longer a file")
                return
            reader = MeteredReader(file, entry.size, lambda count: self._advance(count, text))
            self._tar.addfile(with_whole_seconds(entry), reader)
        self._sums.append(sums_line(reader.sha256.hexdigest(), self._member(path)))

    def _advance(self, count, text):
        # A file may have grown since it was planned; progress never passes the total.
        self._done = min(self._done + count, self._plan.bytes)
        self._meter.update(self._done, text)

    def _add_sums(self):
        data = b"".join(self._sums)
        entry = tarfile.TarInfo(f"{self._name}.sha256")
        entry.size = len(data)
        entry.mode = 0o644
        self._tar.addfile(entry, io.BytesIO(data))
        return printable(entry.name)

    @property
    def file_count(self):
        return len(self._sums)


def with_whole_seconds(entry):
    # A fraction of a second would need an extra header for every entry.
    entry.mtime = int(entry.mtime)
    return entry


def sums_line(digest, member):
    """One line as sha256sum writes it: a leading backslash tells that the name is escaped."""
    name = os.fsencode(member)
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    mark = b"\\" if escaped != name else b""
    return mark + digest.encode() + b"  " + escaped + b"\n"


class HashingFile:
    """Writes to a file and hashes what passes, so that the archive is not read again."""

    def __init__(self, file):
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data):
        self.sha256.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self):
        self._file.flush()


@contextlib.contextmanager
def replaced_when_whole(target, suffix):
    """A file that gets its name `target` at the end of the block, or is removed."""
    temporary = f"{target}{suffix}"
    try:
        with open(temporary, "wb", opener=for_owner_only) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            os.replace(temporary, target)
        except FileNotFoundError as error:
            raise ToolError("a later attempt of this job has taken over") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def for_owner_only(path, flags):
    # An archive may hold files that only their owner may read.
    return os.open(path, flags, 0o600)


def remove_leftovers(target):
    """Remove what killed attempts of this job left behind.

    Should an earlier attempt only have been frozen, its rename finds no file and
    it gives up. A later one is left alone: then this attempt is the frozen one.
    Another task with this origin is one whose dead letter was retried: it is over,
    and its attempts were counted from 1 too.
    """
    for path in glob.glob(f"{glob.escape(target)}.*.attempt-*"):
        number = path.rpartition("-")[2]
        is_ours = path.startswith(f"{target}.{task_id()}.attempt-")
        if number.isdigit() and not (is_ours and int(number) >= attempt()):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
                log("info", f"removed what attempt {number} left behind")


def write_archive(target, source, plan, compression):
    """Write the archive and return what the result tells about it."""
    with replaced_when_whole(target, f".{task_id()}.attempt-{attempt()}") as file:
        output = HashingFile(file)
        # No time stamp and no name in the gzip header: the same tree gives the same archive.
        with (
            gzip.GzipFile("", "wb", compression, output, mtime=0) as packed,
            tarfile.open(
                fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, copybufsize=READ_BYTES
            ) as tar,
        ):
            writer = ArchiveWriter(tar, source, plan)
            sums_file = writer.write()
    return {
        "archive": printable(target),
        "archive_bytes": output.size,
        "archive_sha256": output.sha256.hexdigest(),
        "checksums_file": sums_file,
        "files": writer.file_count,
        "source_bytes": plan.bytes,
    }


def output_folder():
    folder = os.environ.get("BACKUP_DIR")
    if not folder:
        return os.path.realpath(private_folder("taskferry-backups"))
    os.makedirs(folder, exist_ok=True)
    return os.path.realpath(folder)


def main():
    args = Arguments.read({"path", "compression", "exclude"})
    path = args.text("path", required=True)
    compression = args.number("compression", 1, 9, default=DEFAULT_COMPRESSION, whole=True)
    exclude = args.texts("exclude", most=50)
    root = os.path.realpath(os.environ.get("BACKUP_ROOT") or DEFAULT_ROOT)
    source = resolve_below(root, path)
    folder = output_folder()
    if is_within(source, folder):
        raise ToolError("the folder for archives lies in the directory to archive")
    target = os.path.join(folder, f"{origin_task_id()}.tar.gz")

    message(f"Listing {path}")
    remove_leftovers(target)
    plan = make_plan(source, root, exclude)
    message(f"Archiving {len(plan.files)} files, {plan.bytes} bytes")
    result = write_archive(target, source, plan, compression)
    for entry in plan.skipped[:MOST_SKIPPED_NAMED]:
        log("warning", f"left out {entry['path']}: {entry['reason']}")
    print_json(
        {
            **result,
            "compression": compression,
            "skipped_total": len(plan.skipped),
            "skipped": plan.skipped[:MOST_SKIPPED_NAMED],
        }
    )
    message(f"Archived {result['files']} files")


if __name__ == "__main__":
    run(main)
