"""Rates as people write them, such as "5/1m": how many attempts of a tool's jobs begin in how long."""

from __future__ import annotations

import re
from typing import Any

RATE = re.compile(r"([0-9]+)/([0-9]+)(ms|s|m|h|d)")
UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MOST = 100_000
WINDOW_MS = (1_000, 86_400_000)


def rate_of(rate: str | None, excess: str) -> dict[str, Any] | None:
    """A rate as a definition has it; `excess` says whether calls beyond it wait or are refused.

    Raises ValueError, with what would be right."""
    if excess not in ("wait", "refuse"):
        raise ValueError("rate_excess must be 'wait' or 'refuse'")
    if rate is None:
        if excess == "refuse":
            raise ValueError("rate_excess says what becomes of calls beyond rate, which is not set")
        return None
    found = RATE.fullmatch(rate) if isinstance(rate, str) else None
    if not found:
        raise ValueError("rate must be a whole number and a time, as in '5/1m' or '100/1s'")
    count, window_ms = int(found[1]), int(found[2]) * UNITS_MS[found[3]]
    if not (1 <= count <= MOST and WINDOW_MS[0] <= window_ms <= WINDOW_MS[1]):
        raise ValueError(f"rate must be of 1 to {MOST} attempts in 1s to 1d")
    return {"count": count, "window_ms": window_ms, **({"excess": "refuse"} if excess == "refuse" else {})}
