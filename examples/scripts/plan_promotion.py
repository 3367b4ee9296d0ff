#!/usr/bin/env python3
"""Plans a promotion for the product that sells worst in a region, with a discount that a person chooses.

Arguments: region.
Environment: REPORT_DATA, the CSV file with the order lines.

It asks and waits for the answer on standard input, so the manifest says
`asks = true`. A worker that cannot wait any longer stops it and runs it again
when the answer is there: it reads and computes only, so that needs no care.
"""

import os
from collections import defaultdict
from pathlib import Path

from exec_protocol import Arguments, ToolError, Unanswered, ask, message, print_json, run
from generate_report import DEFAULT_DATA, REGIONS, read_lines

DISCOUNTS = {"least": 5, "most": 50, "usual": 10}


def worst_seller(region, path):
    """The product with the fewest units, and their number."""
    units = defaultdict(int)
    for line, count, _cents in read_lines(path):
        if line["region"] == region:
            units[line["product"]] += count
    if not units:
        raise ToolError(f"there are no orders of the region {region}")
    product = min(units, key=lambda name: (units[name], name))
    return product, units[product]


def question(product, units):
    """The form that the person fills in."""
    percent = {
        "type": "integer",
        "title": "Discount in percent",
        "minimum": DISCOUNTS["least"],
        "maximum": DISCOUNTS["most"],
        "default": DISCOUNTS["usual"],
    }
    return {
        "message": f"{product} sold {units} units. Which discount shall it get?",
        "requestedSchema": {
            "type": "object",
            "properties": {"percent": percent},
            "required": ["percent"],
        },
    }


def choose(product, units):
    """The discount, and who decided on it. A client that has nobody to ask gets the usual one."""
    try:
        answer = ask("discount", "elicitation", question(product, units))
    except Unanswered as error:
        if error.reason != "not_declared":
            raise
        return DISCOUNTS["usual"], "default"
    if answer.get("action") != "accept":
        raise ToolError("no promotion: the discount was not chosen")
    percent = answer.get("content", {}).get("percent")
    # Not every client holds a form to its schema.
    if not isinstance(percent, int) or not DISCOUNTS["least"] <= percent <= DISCOUNTS["most"]:
        raise ToolError(f"a discount of {percent} percent is out of range")
    return percent, "person"


def main():
    arguments = Arguments.read_line({"region"})
    region = arguments.text("region", required=True, choices=REGIONS)
    message(f"Looking for the product that sells worst in the {region}")
    data = Path(os.environ.get("REPORT_DATA") or DEFAULT_DATA)
    product, units = worst_seller(region, data)
    percent, decided_by = choose(product, units)
    print_json(
        {
            "region": region,
            "product": product,
            "units": units,
            "discount_percent": percent,
            "decided_by": decided_by,
        }
    )


if __name__ == "__main__":
    run(main)
