#!/usr/bin/env python3
"""A small spooler, to try external jobs without a cluster: a folder of jobs, and a server that runs them in turn.

spool.py FOLDER serve               runs what is submitted, until it is killed
spool.py FOLDER submit NAME CMD…    queues a command; a name can be used once
spool.py FOLDER status NAME         prints queued, running, succeeded, failed or cancelled; nothing if there is no such job
spool.py FOLDER cancel NAME         ends it; also before it began
spool.py FOLDER logs NAME           prints the end of what it wrote
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ENDED = ("succeeded", "failed", "cancelled")
LOG_BYTES = 16 * 1024


def write(path, text):
    """Readers see the old text or the new one, never half of it."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)


def read(path):
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def submit(folder, name, command):
    # The job is there with its command, or not at all.
    part = folder / f".{name}.{os.getpid()}"
    part.mkdir(parents=True)
    (part / "command").write_text(json.dumps(command))
    (part / "state").write_text("queued")
    try:
        part.rename(folder / name)
    except OSError:
        sys.exit(f"there is a job {name} already")


def cancel(job):
    if not job.is_dir():
        sys.exit(f"there is no job {job.name}")
    (job / "unwanted").touch()
    while read(job / "state") not in ENDED:
        time.sleep(0.05)


def logs(job):
    text = (job / "log").read_bytes() if (job / "log").exists() else b""
    sys.stdout.buffer.write(text[-LOG_BYTES:])


def run(job):
    """Runs one job to its end, or until it is unwanted."""
    write(job / "state", "running")
    with open(job / "log", "wb") as log:
        command = json.loads((job / "command").read_text())
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        except OSError as error:
            log.write(f"{error}\n".encode())
            return "failed"
        while process.poll() is None:
            if (job / "unwanted").exists():
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return "cancelled"
            time.sleep(0.05)
    return "succeeded" if process.returncode == 0 else "failed"


def serve(folder):
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        jobs = [job for job in folder.iterdir() if not job.name.startswith(".")]
        for job in sorted(jobs, key=lambda job: job.stat().st_mtime):
            if read(job / "state") == "queued":
                unwanted = (job / "unwanted").exists()
                write(job / "state", "cancelled" if unwanted else run(job))
        time.sleep(0.05)


def main(arguments):
    match arguments:
        case [folder, "serve"]:
            serve(Path(folder))
        case [folder, "submit", name, _, *_]:
            submit(Path(folder), name, arguments[3:])
        case [folder, "status", name]:
            print(read(Path(folder) / name / "state") or "", end="")
        case [folder, "cancel", name]:
            cancel(Path(folder) / name)
        case [folder, "logs", name]:
            logs(Path(folder) / name)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
