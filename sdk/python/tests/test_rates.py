"""What a tool may say of its rate."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from taskferry.tool import Tool  # noqa: E402


def send() -> str:
    return "sent"


class Rates(unittest.TestCase):
    def test_a_definition_has_the_rate(self) -> None:
        def defined(**options: Any) -> Any:
            return Tool(send, **options).definition.get("rate")

        self.assertIsNone(defined())
        self.assertEqual(defined(rate="5/1m"), {"count": 5, "window_ms": 60_000})
        self.assertEqual(defined(rate="100000/1d", rate_excess="wait"), {"count": 100_000, "window_ms": 86_400_000})
        refuses = {"count": 3, "window_ms": 1_500, "excess": "refuse"}
        self.assertEqual(defined(rate="3/1500ms", rate_excess="refuse"), refuses)

    def test_what_is_no_rate_is_told_what_would_be_one(self) -> None:
        written = "as in '5/1m'"
        bounds = "of 1 to 100000 attempts in 1s to 1d"
        for options, said in [
            ({"rate": "5"}, written),
            ({"rate": "5/m"}, written),
            ({"rate": "-5/1m"}, written),
            ({"rate": 5}, written),
            ({"rate": "0/1m"}, bounds),
            ({"rate": "100001/1m"}, bounds),
            ({"rate": "5/999ms"}, bounds),
            ({"rate": "5/2d"}, bounds),
            ({"rate": "5/1m", "rate_excess": "drop"}, "'wait' or 'refuse'"),
            ({"rate_excess": "refuse"}, "rate, which is not set"),
        ]:
            with self.subTest(options), self.assertRaises(ValueError) as raised:
                Tool(send, **options)  # type: ignore[arg-type]
            self.assertIn(said, str(raised.exception))
            self.assertIn("tool 'send': ", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
