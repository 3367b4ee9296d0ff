"""What a worker says to Redis: the keys and calls of docs/CONTRACT.md, and how replies and errors are read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import exceptions
from redis.asyncio import Redis

MAJOR = 3
"""Of the contract. Another one has other keys and calls."""

LIBRARY = f"taskferry_{MAJOR}"
GROUP = "workers"
LARGE = 65_536
"""Calls with an argument of more characters may take longer than others."""
NOBODY = "00000000-0000-4000-8000-000000000000"

# A call that ended so may succeed when it is made again: Redis is not ready, or somebody must put a right back.
_PASSES = re.compile(
    r"\s*-?(LOADING|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|READONLY|NOSCRIPT|OOM|NOGROUP|BUSY|MISCONF|NOREPLICAS|UNBLOCKED"
    r"|NOPERM|NOAUTH|WRONGPASS)\b"
)
_PASSING = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.NoPermissionError,
    exceptions.OutOfMemoryError,
    exceptions.NoScriptError,
    exceptions.BusyLoadingError,
)
# All that a call to Redis can raise.
FAULTS = (exceptions.RedisError, OSError)


class CannotWork(Exception):
    """This worker cannot work with this Redis; the text says what to do. Nothing was taken from a queue, or no more is."""


class NoLibrary(CannotWork):
    """Redis has no library of functions. One that lost its data gets it again by the next front end."""


async def command(client: Redis, *parts: Any) -> Any:
    """Sends a command. Raises what redis-py raises."""
    return await client.execute_command(*parts)  # type: ignore[no-untyped-call]


def may_pass(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    return isinstance(error, (*_PASSING, OSError)) or bool(_PASSES.match(str(error)))


def is_denied(error: Exception) -> bool:
    """Whether the user lacks a right."""
    return isinstance(error, exceptions.NoPermissionError) or str(error).startswith("NOPERM")


def remedy(error: Exception) -> str:
    """What to do, if Redis refuses this user or password, or asks for one."""
    if not isinstance(error, exceptions.AuthenticationError):
        return ""
    missing = re.search("NOAUTH|authentication required", str(error), re.IGNORECASE)
    return (
        f": give {'a password' if missing else 'the right user and password'}, in TASKFERRY_REDIS_PASSWORD_FILE (the path of "
        "a file) or TASKFERRY_REDIS_PASSWORD, with a user in TASKFERRY_REDIS_USERNAME, or in the URL: "
        "redis://user:password@host:port/db"
    )


def is_no_group(error: Exception) -> bool:
    """Whether the group of a queue is missing: Redis lost its data."""
    return "NOGROUP" in str(error)


def text(value: Any) -> str:
    """What Redis sent, as text. What is not UTF-8 in it is replaced."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class Reply:
    """A reply: its tag, and what follows."""

    tag: str
    rest: Sequence[str]

    def pairs(self, start: int = 0) -> dict[str, str]:
        """What follows, as names and values."""
        return dict(zip(self.rest[start::2], self.rest[start + 1 :: 2]))


class UnknownReply(CannotWork):
    """Redis answered with a tag that this worker does not know."""

    def __init__(self, call: str, reply: object):
        super().__init__(
            f"Redis answered {call} with {str(reply)[:80]!r}, which this worker does not know: its contract is newer than "
            f"{MAJOR}.x as this package knows it. Upgrade the package taskferry"
        )


class Keys:
    """The names of keys."""

    def __init__(self, prefix: str):
        self.contract = f"{prefix}:contract"
        self._prefix = prefix
        self._fleet = f"{prefix}:{{fleet}}:"

    def base(self, shard: int) -> str:
        """What all keys of a shard begin with."""
        return f"{self._prefix}:{{{shard}}}:"

    def queue(self, shard: int, queue: str) -> str:
        return f"{self.base(shard)}queue:{queue}"

    def fleet(self, name: str) -> str:
        """A key that all processes share."""
        return self._fleet + name


class Calls:
    """Makes the calls: as functions, or as the scripts that `taskferry contract print --eval` printed."""

    def __init__(self, client: Redis, large: Redis, scripts: Path | None):
        self.client, self.large = client, large
        self._scripts: dict[str, dict[str, str]] | None = None
        if scripts is not None:
            try:
                printed = json.loads(scripts.read_text("utf-8"))
                found = {script["name"]: script for script in printed["scripts"]}
                version = str(printed["contract"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise CannotWork(f"{scripts} is not what taskferry contract print --eval prints: {error}") from error
            if not version.startswith(f"{MAJOR}."):
                raise CannotWork(f"{scripts} has the scripts of contract {version}, this worker needs {MAJOR}.x")
            self._scripts = found

    @property
    def by_function(self) -> bool:
        return self._scripts is None

    async def __call__(self, name: str, keys: Sequence[str], *args: str | int) -> Reply:
        """Makes a call. Raises what redis-py raises."""
        tail = (len(keys), *keys, *args)
        client = self.large if any(isinstance(arg, str) and len(arg) > LARGE for arg in args) else self.client
        if self._scripts is None:
            value = await command(client, "FCALL", f"tf{MAJOR}_{name}", *tail)
        else:
            script = self._scripts[name]
            try:
                value = await command(client, "EVALSHA", script["sha1"], *tail)
            except exceptions.NoScriptError:
                await command(client, "SCRIPT LOAD", script["source"])
                value = await command(client, "EVALSHA", script["sha1"], *tail)
        if not isinstance(value, (list, tuple)) or not value:
            raise UnknownReply(name, value)
        return Reply(text(value[0]), [text(item) for item in value[1:]])

    async def check(self, keys: Keys, worker: str, queues: Iterable[str], foreign: bool) -> None:
        """Makes sure that this worker can go on once it has taken something. Raises `CannotWork` if it cannot."""
        if self.by_function:
            await self._check_library()
        if not foreign:
            await self.check_version(keys)
        base, nobody = keys.base(0), f"0-{NOBODY}"
        for queue in queues:
            try:
                reply = await self(
                    "claim", [f"{base}task:{nobody}", keys.queue(0, queue)], base, nobody, "0-1", worker, 15000, 1
                )
            except FAULTS as error:
                if is_denied(error):
                    raise CannotWork(
                        f"the Redis user lacks a right ({error}): `taskferry doctor --role "
                        f"{'foreign-worker' if foreign else 'worker'}` as that user names each, `taskferry acl` prints the rules"
                    ) from error
                raise
            if reply.tag != "GONE":
                raise UnknownReply("claim", reply.tag)

    async def _check_library(self) -> None:
        try:
            reply = await self("version", [])
        except FAULTS as error:
            said = str(error)
            if "not found" in said.lower():
                others = await self._others()
                raise (CannotWork if others else NoLibrary)(
                    f"Redis does not have the library {LIBRARY}{others}: run `taskferry contract install`, or "
                    "start a front end, which installs it"
                ) from error
            if is_denied(error) or "unknown command" in said.lower():
                raise CannotWork(
                    f"functions cannot be called here ({said}): give this user +fcall, or write the scripts to a file with "
                    "`taskferry contract print --eval` and name it by scripts= or TASKFERRY_SCRIPTS"
                ) from error
            raise
        version = reply.rest[0] if reply.rest else ""
        if reply.tag != "OK" or not version.startswith(f"{MAJOR}."):
            raise CannotWork(
                f"the library {LIBRARY} in Redis is of contract {version or reply.tag!r}, and this worker needs {MAJOR}.x: "
                "run `taskferry contract install` of the fleet's release"
            )

    async def _others(self) -> str:
        """Which libraries are there instead, if this user may know."""
        try:
            found = await command(self.client, "FUNCTION LIST", "LIBRARYNAME", "taskferry_*")
        except FAULTS:
            return ""
        names = re.findall(r"\btaskferry_\d+\b", str(found))
        return f" (there is {', '.join(sorted(set(names)))}, of another contract)" if names else ""

    async def check_version(self, keys: Keys) -> None:
        """Raises `CannotWork` if the fleet uses another contract."""
        try:
            stored = await command(self.client, "GET", keys.contract)
        except FAULTS as error:
            if is_denied(error):
                raise CannotWork(
                    f"the Redis user may not read {keys.contract} ({error}): it lacks the role worker; set "
                    "role='foreign-worker' if it has that one"
                ) from error
            raise
        if stored is not None and not text(stored).startswith(f"{MAJOR}."):
            raise CannotWork(
                f"this fleet uses contract {text(stored)}, this worker {MAJOR}.x: use the package of the fleet's release"
            )
