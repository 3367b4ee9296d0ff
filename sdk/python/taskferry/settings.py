"""The settings of a worker: what its constructor is given, or else the environment, under the names of the worker in Rust."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20}


def duration(said: object) -> float:
    """Seconds: a number of them, or text such as 500ms, 15s, 10m."""
    if isinstance(said, (int, float)):
        return float(said)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", str(said))
    if not found:
        raise ValueError("must be a number of seconds, or like 500ms, 15s or 10m")
    return float(found[1]) * _UNITS[found[2]]


def size(said: object) -> int:
    found = re.fullmatch(r"(\d+)(B|KiB|MiB|)", str(said))
    if not found:
        raise ValueError("must be a number of bytes, or like 16MiB")
    return int(found[1]) * _SIZES[found[2]]


def whole(said: object) -> int:
    try:
        return int(str(said))
    except ValueError:
        raise ValueError("must be a whole number") from None


def flag(said: object) -> bool:
    if said in (True, "1", "true"):
        return True
    if said in (False, "", "0", "false"):
        return False
    raise ValueError("must be true or false")


class SettingsError(ValueError):
    """Settings that cannot be used; the text has a line for each."""


@dataclass(frozen=True)
class Settings:
    """Times are seconds, sizes are bytes."""

    redis_url: str
    redis_options: dict[str, Any]
    prefix: str
    shards: int
    redis_timeout: float
    slots: int
    lease: float
    drain_timeout: float
    max_jobs: int | None
    idle_exit: float | None
    max_result: int
    park_after: float
    role: str
    scripts: Path | None
    log: str


def read(given: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """What was given, else what the environment says, else the default. Raises `SettingsError` with all faults at once."""
    faults: list[str] = []

    def take(name: str, default: T, parse: Callable[[object], T], least: float = 0, most: float = float("inf")) -> T:
        said = given.get(name)
        if said is None:
            said = environment.get(f"TASKFERRY_{name.upper()}")
        if said is None:
            return default
        try:
            value = parse(said)
            if isinstance(value, (int, float)) and not least <= value <= most:
                raise ValueError(f"must be from {least:g} to {most:g}")
            return value
        except ValueError as fault:
            faults.append(f"{name}: {fault}")
            return default

    once = take("once", False, flag)
    options: dict[str, Any] = {}
    for setting, option in (
        ("redis_username", "username"), ("redis_password", "password"), ("redis_ca_file", "ssl_ca_certs"),
        ("redis_cert_file", "ssl_certfile"), ("redis_key_file", "ssl_keyfile"),
    ):  # fmt: skip
        value = take(setting, "", str)
        if value:
            options[option] = value
    password_file = take("redis_password_file", "", str)
    if password_file:
        try:
            options["password"] = Path(password_file).read_text("utf-8").strip()
        except (OSError, ValueError) as fault:
            faults.append(f"redis_password_file: {fault}")
    scripts = take("scripts", "", str)
    settings = Settings(
        redis_url=take("redis_url", "redis://127.0.0.1:6379/0", str),
        redis_options=options,
        prefix=take("redis_prefix", "tf", str),
        shards=take("redis_shards", 1, whole, 1, 1024),
        redis_timeout=take("redis_timeout", 3.0, duration, 0.01, 300),
        slots=take("slots", os.cpu_count() or 1, whole, 1, 1024),
        lease=take("lease", 15.0, duration, 1, 600),
        drain_timeout=take("drain_timeout", 5.0, duration, 0, 86_400),
        max_jobs=take("max_jobs", 1 if once else None, whole, 1),
        idle_exit=take("idle_exit", 5.0 if once else None, duration, 1, 86_400),
        max_result=take("max_result", 16 << 20, size, 1 << 10, 256 << 20),
        park_after=take("park_after", 60.0, duration, 0, 86_400),
        role=take("role", "worker", str),
        scripts=Path(scripts) if scripts else None,
        log=take("log", "info", str).split(",")[0],
    )
    if settings.role not in ("worker", "foreign-worker"):
        faults.append("role: must be worker or foreign-worker")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", settings.prefix):
        faults.append("redis_prefix: must be 1 to 40 of A-Z a-z 0-9 _ -")
    if faults:
        raise SettingsError("\n".join(faults))
    return settings
