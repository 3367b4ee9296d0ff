"""The tool's half of the exec protocol: arguments in, events and a result out.

A worker starts a tool's command, writes the arguments as one JSON object to
standard input, reads events from standard error and the result from standard
output. This module is that contract for tools written in Python:

    def main():
        args = Arguments.read({"month"})
        month = args.text("month", required=True)
        message(f"Working on {month}")
        progress(1, 2)
        print_json({"month": month})

    if __name__ == "__main__":
        run(main)

Exit codes: 0 success, 1 error, 75 an error that may pass (the attempt is
retried), 143 stopped by SIGTERM.
"""

import contextlib
import json
import math
import os
import re
import signal
import sys
import time

EXIT_ERROR = 1
EXIT_TRY_AGAIN = 75
EXIT_STOPPED = 128 + signal.SIGTERM

# A worker needs no more than a few events a second; a busy loop could send thousands.
PROGRESS_INTERVAL_SECONDS = 0.25


class ToolError(Exception):
    """The call cannot succeed; its text goes to the caller."""


class TryAgain(ToolError):
    """The call failed for a reason that may pass; the worker retries it."""


class Unanswered(ToolError):
    """A question has no answer; `reason` is a word that says why."""

    def __init__(self, error):
        super().__init__(error.get("message", "a question has no answer"))
        self.reason = error.get("reason")


class Stopped(BaseException):
    """SIGTERM or SIGINT arrived. Not an Exception, so that no handler swallows it."""


# What the worker tells about this attempt


def origin_task_id():
    """The name for what must be there once, however often the job is run.

    The same in every attempt, and in every retry of a dead letter, which is a new task. A
    run by hand has none and gets one from the clock.
    """
    return named_by("TASKFERRY_ORIGIN_TASK_ID")


def task_id():
    """The id of this task: with attempt(), a name that no other run of the job has."""
    return named_by("TASKFERRY_TASK_ID")


def named_by(variable):
    value = os.environ.get(variable) or f"manual-{time.time_ns() // 1_000_000}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", value):
        raise ToolError(f"{variable} is not usable in a file name")
    return value


def attempt():
    """The number of this attempt, from 1."""
    value = os.environ.get("TASKFERRY_ATTEMPT") or "1"
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ToolError("TASKFERRY_ATTEMPT is not a number")
    return int(value)


def seconds_left():
    """The seconds until the worker stops this attempt; infinite in a run by hand."""
    value = os.environ.get("TASKFERRY_DEADLINE_MS") or ""
    if not value:
        return math.inf
    if not re.fullmatch(r"[0-9]{1,15}", value):
        raise ToolError("TASKFERRY_DEADLINE_MS is not a number")
    return int(value) / 1000 - time.time()


# Arguments


class Arguments:
    """The arguments of the call.

    The front end has checked them against the input schema already. They are
    checked again because a script is also run by hand, and because the schema
    may change without the script.
    """

    def __init__(self, values, known):
        unknown = sorted(set(values) - known)
        if unknown:
            raise ToolError(f"unknown argument: {', '.join(unknown)}")
        self._values = values

    @classmethod
    def read(cls, known):
        """Read them from standard input; `known` is the set of allowed names."""
        # Python sets a standard stream to None if it was closed at the start.
        return cls._parse(sys.stdin.buffer.read() if sys.stdin else b"", known)

    @classmethod
    def read_line(cls, known):
        """The same of a tool that asks: its standard input goes on after the arguments."""
        return cls._parse(sys.stdin.buffer.readline() if sys.stdin else b"", known)

    @classmethod
    def _parse(cls, data, known):
        try:
            text = data.decode("utf-8")
            values = json.loads(text) if text.strip() else {}
            # JSON can spell half of a surrogate pair, which no file name or output can hold.
            json.dumps(values, ensure_ascii=False).encode("utf-8")
        except (ValueError, RecursionError) as error:
            raise ToolError("standard input is not a JSON object in UTF-8") from error
        if not isinstance(values, dict):
            raise ToolError("standard input is not a JSON object in UTF-8")
        return cls(values, known)

    def text(self, name, default=None, required=False, choices=None, longest=1024):
        """A string, or `default` if the argument is absent or null."""
        value = self._values.get(name)
        if value is None:
            if required:
                raise ToolError(f"argument {name} is missing")
            return default
        if not isinstance(value, str) or not value or len(value) > longest or "\0" in value:
            raise ToolError(f"argument {name} must be a string of 1 to {longest} characters")
        if choices is not None and value not in choices:
            raise ToolError(f"argument {name} must be one of: {', '.join(choices)}")
        return value

    def number(self, name, low, high, default=None, whole=False):
        """A number from `low` to `high`, or `default` if the argument is absent or null."""
        value = self._values.get(name)
        if value is None:
            return default
        kind = "a whole number" if whole else "a number"
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and whole:
            # JSON Schema calls 6.0 an integer too.
            is_number = math.isfinite(value) and value == int(value)
        if not is_number or not low <= value <= high:
            raise ToolError(f"argument {name} must be {kind} from {low} to {high}")
        return int(value) if whole else value

    def texts(self, name, most, longest=200):
        """A list of at most `most` strings; empty if the argument is absent or null."""
        values = self._values.get(name)
        if values is None:
            return []
        if not isinstance(values, list) or len(values) > most:
            raise ToolError(f"argument {name} must be a list of at most {most} strings")
        return [
            Arguments({name: value}, {name}).text(name, required=True, longest=longest)
            for value in values
        ]


# Events, one line each on standard error


def _event(line):
    # A line break inside an event would end it and start a line of its own.
    print(" ".join(line.splitlines()), file=sys.stderr, flush=True)


def progress(done, total, text=""):
    """Tell how far the work is; `done` must not fall."""
    _event(f"::progress {done}/{total} {text}".rstrip())


def message(text):
    """Set the status message of the task."""
    _event(f"::message {text}")


def log(level, text):
    """Write a log line: debug, info, notice, warning, error, critical, alert or emergency."""
    _event(f"::log {level} {text}")


def ask(key, what, params=None):
    """Put a question to the client and wait for its answer: the result, a JSON object.

    `what` is "elicitation", "sampling" or "roots". The manifest must say `asks = true`.
    """
    _event(f"::ask {key} {what} {json.dumps(params or {})}")
    for line in iter(sys.stdin.buffer.readline, b""):
        answer = json.loads(line)
        if answer.get("key") == key:
            if "error" in answer:
                raise Unanswered(answer["error"])
            return answer["result"]
    raise ToolError("nobody answers: the manifest must say asks = true")


class ProgressMeter:
    """Progress of a fine-grained loop, sent at most a few times a second."""

    def __init__(self, total):
        self._total = total
        self._last_sent = -math.inf

    def update(self, done, text=""):
        """Send the progress, unless the last event was a moment ago."""
        now = time.monotonic()
        if done >= self._total or now - self._last_sent >= PROGRESS_INTERVAL_SECONDS:
            self._last_sent = now
            progress(done, self._total, text)


# Result


def printable(path):
    """A path as text for a message or a result: bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def print_json(value):
    """Write the result: one JSON object."""
    print(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))


def _stop(_signal_number, _frame):
    # One signal is enough: a second one must not interrupt the cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Stopped


def run(main):
    """Run `main`, then exit with the code and the text the protocol asks for."""
    # Whatever the locale says, the protocol is UTF-8.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(encoding="utf-8", errors="replace")
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    code, text = 0, None
    try:
        main()
        print(end="", flush=True)
    except Stopped:
        code = EXIT_STOPPED
    except TryAgain as error:
        code, text = EXIT_TRY_AGAIN, str(error)
    except ToolError as error:
        code, text = EXIT_ERROR, str(error)
    except OSError as error:
        # A file name may be the worker's own affair, so the caller is told the cause alone.
        code, text = EXIT_ERROR, f"input or output failed: {error.strerror or 'unknown cause'}"
        _try_to(log, "error", str(error))
    except Exception as error:  # pylint: disable=broad-except
        code, text = EXIT_ERROR, "internal error of the tool"
        _try_to(log, "error", f"{type(error).__name__} at {_origin(error)}: {error}")
    if text is not None:
        _try_to(print, text, flush=True)
    # Python's own exit would flush again, and complain if the worker closed the pipe.
    os._exit(code)


def _origin(error):
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"


def _try_to(write, *args, **kwargs):
    # On an error the worker is gone, and with it everyone who could read this.
    with contextlib.suppress(OSError):
        write(*args, **kwargs)
