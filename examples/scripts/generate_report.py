#!/usr/bin/env python3
"""Sales report of one month, as Markdown and as figures.

Arguments: month (January to December), region (optional), year (2025).
Environment: REPORT_DATA, the CSV file with the order lines.

Reads and computes only, so a second attempt needs no care.
"""

import csv
import datetime
import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from exec_protocol import Arguments, ToolError, message, print_json, progress, run

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
REGIONS = ("North", "South", "East", "West")
COLUMNS = ("order_id", "date", "region", "channel", "category", "product", "quantity", "unit_price")
DEFAULT_DATA = Path(__file__).resolve().parent.parent / "data" / "orders.csv"
DEFAULT_YEAR = 2025
CURRENCY = "EUR"
TOP_PRODUCTS = 5
STEPS = 4


@dataclass
class Sums:
    """Orders, units and revenue of some order lines. Money is whole cents: sums stay exact."""

    order_ids: set = field(default_factory=set)
    units: int = 0
    cents: int = 0

    def add(self, order_id, units, cents):
        self.order_ids.add(order_id)
        self.units += units
        self.cents += cents

    def figures(self):
        return {"orders": len(self.order_ids), "units": self.units, "revenue": self.cents / 100}


@dataclass
class Month:
    """The sums of one month, in total and split."""

    total: Sums = field(default_factory=Sums)
    by_region: dict = field(default_factory=lambda: defaultdict(Sums))
    by_category: dict = field(default_factory=lambda: defaultdict(Sums))
    by_channel: dict = field(default_factory=lambda: defaultdict(Sums))
    by_product: dict = field(default_factory=lambda: defaultdict(Sums))
    by_day: dict = field(default_factory=lambda: defaultdict(Sums))

    def add(self, line, units, cents):
        for sums in (
            self.total,
            self.by_region[line["region"]],
            self.by_category[line["category"]],
            self.by_channel[line["channel"]],
            self.by_product[line["product"], line["category"]],
            self.by_day[line["date"]],
        ):
            sums.add(line["order_id"], units, cents)


def read_lines(path):
    """The order lines of the file, each with its units and its revenue in cents."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise ToolError(f"the order data has no column {', '.join(missing)}")
            for line in reader:
                yield parse_line(line, reader.line_num)
    except OSError as error:
        raise ToolError(f"the order data cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ToolError(f"the order data is not a CSV file in UTF-8: {error}") from error


def parse_line(line, number):
    """The line with its units and its revenue in cents; a wrong figure is never skipped."""
    if None in line or None in line.values():
        raise ToolError(f"order data, line {number}: wrong number of fields")
    price = re.fullmatch(r"([0-9]{1,9})\.([0-9]{2})", line["unit_price"])
    if not re.fullmatch(r"[0-9]{1,9}", line["quantity"]) or not price:
        raise ToolError(f"order data, line {number}: quantity or unit_price is not a number")
    if not is_date(line["date"]):
        raise ToolError(f"order data, line {number}: date is not YYYY-MM-DD")
    units = int(line["quantity"])
    return line, units, units * (int(price[1]) * 100 + int(price[2]))


def is_date(text):
    # fromisoformat alone takes other spellings too, in newer Pythons.
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def previous_month(year, month):
    return (year - 1, 12) if month == 1 else (year, month - 1)


def aggregate(path, wanted, region):
    """A Month for each (year, month) in `wanted`, of one region or of all."""
    months = {f"{year:04d}-{month:02d}": Month() for year, month in wanted}
    for line, units, cents in read_lines(path):
        month = months.get(line["date"][:7])
        if month is not None and region in (None, line["region"]):
            month.add(line, units, cents)
    return [months[f"{year:04d}-{month:02d}"] for year, month in wanted]


def percent(part, whole):
    return round(100 * part / whole, 1) if whole else 0.0


def change(now, before):
    """The change in percent, or None if there is nothing to compare with."""
    return round(100 * (now - before) / before, 1) if before else None


def by_revenue(split):
    """The entries of a split, largest revenue first; ties by name, to be the same each time."""
    return sorted(split.items(), key=lambda entry: (-entry[1].cents, entry[0]))


def split_figures(split, name, total):
    return [
        {name: key, **sums.figures(), "share_percent": percent(sums.cents, total.cents)}
        for key, sums in by_revenue(split)
    ]


def average_order(sums):
    return round(sums.cents / len(sums.order_ids) / 100, 2) if sums.order_ids else 0.0


def previous_figures(year, month, now, before):
    """The month before and the changes since, or None if it has no orders."""
    if not before.order_ids:
        return None
    return {
        "month": MONTHS[month - 1],
        "year": year,
        **before.figures(),
        "average_order": average_order(before),
        "orders_change_percent": change(len(now.order_ids), len(before.order_ids)),
        "units_change_percent": change(now.units, before.units),
        "revenue_change_percent": change(now.cents, before.cents),
        "average_order_change_percent": change(average_order(now), average_order(before)),
    }


def figures_of(year, month, region, now, before):
    """The structured content of the result."""
    best_day, best = by_revenue(now.by_day)[0]
    return {
        "month": MONTHS[month - 1],
        "year": year,
        "region": region,
        "currency": CURRENCY,
        **now.total.figures(),
        "average_order": average_order(now.total),
        "best_day": {"date": best_day, "revenue": best.cents / 100},
        "previous_month": previous_figures(*previous_month(year, month), now.total, before.total),
        "by_region": split_figures(now.by_region, "region", now.total),
        "by_category": split_figures(now.by_category, "category", now.total),
        "by_channel": split_figures(now.by_channel, "channel", now.total),
        "top_products": [
            {
                "product": product,
                "category": category,
                "units": sums.units,
                "revenue": sums.cents / 100,
            }
            for (product, category), sums in by_revenue(now.by_product)[:TOP_PRODUCTS]
        ],
    }


# Markdown


def table(head, rows):
    """A Markdown table: the first column to the left, the others to the right."""
    lines = [head, [":---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(value):
    # A product may have a bar in its name.
    return str(value).replace("|", "\\|")


def money(amount):
    return f"{amount:,.2f}"


def signed(change_percent):
    return "n/a" if change_percent is None else f"{change_percent:+.1f} %"


def split_table(title, name, entries):
    return table(
        [title, "Orders", "Units", f"Revenue ({CURRENCY})", "Share"],
        [
            [
                entry[name],
                entry["orders"],
                f"{entry['units']:,}",
                money(entry["revenue"]),
                f"{entry['share_percent']:.1f} %",
            ]
            for entry in entries
        ],
    )


def comparison(figures):
    previous = figures["previous_month"]
    if previous is None:
        return "There are no orders of the month before to compare with."
    rows = (
        ("Revenue (" + CURRENCY + ")", "revenue", money),
        ("Orders", "orders", "{:,}".format),
        ("Units", "units", "{:,}".format),
        ("Average order (" + CURRENCY + ")", "average_order", money),
    )
    return table(
        [
            "Figure",
            f"{figures['month']} {figures['year']}",
            f"{previous['month']} {previous['year']}",
            "Change",
        ],
        [
            [
                label,
                show(figures[key]),
                show(previous[key]),
                signed(previous[f"{key}_change_percent"]),
            ]
            for label, key, show in rows
        ],
    )


def headline(figures):
    best_day = datetime.date.fromisoformat(figures["best_day"]["date"])
    return (
        f"Revenue was **{money(figures['revenue'])} {CURRENCY}** from "
        f"**{figures['orders']:,} orders** ({figures['units']:,} units), "
        f"{money(figures['average_order'])} {CURRENCY} an order on average. "
        f"The best day was {best_day.day} {figures['month']} with "
        f"{money(figures['best_day']['revenue'])} {CURRENCY}."
    )


def markdown(figures):
    """The report as a person reads it."""
    where = f", region {figures['region']}" if figures["region"] else ""
    parts = [
        f"# Sales report: {figures['month']} {figures['year']}{where}",
        headline(figures),
        "## Compared with the month before",
        comparison(figures),
    ]
    if not figures["region"]:
        parts += ["## By region", split_table("Region", "region", figures["by_region"])]
    parts += [
        "## By category",
        split_table("Category", "category", figures["by_category"]),
        "## By channel",
        split_table("Channel", "channel", figures["by_channel"]),
        "## Top products",
        table(
            ["Product", "Category", "Units", f"Revenue ({CURRENCY})"],
            [
                [entry["product"], entry["category"], entry["units"], money(entry["revenue"])]
                for entry in figures["top_products"]
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def main():
    args = Arguments.read({"month", "region", "year"})
    month_name = args.text("month", required=True, choices=MONTHS)
    region = args.text("region", choices=REGIONS)
    year = args.number("year", 2000, 2100, default=DEFAULT_YEAR, whole=True)
    month = MONTHS.index(month_name) + 1

    message(f"Reading the orders of {month_name} {year}")
    progress(0, STEPS, "reading the orders")
    now, before = aggregate(
        os.environ.get("REPORT_DATA") or DEFAULT_DATA,
        [(year, month), previous_month(year, month)],
        region,
    )
    if not now.total.order_ids:
        where = f" in region {region}" if region else ""
        raise ToolError(f"there are no orders of {month_name} {year}{where}")
    progress(1, STEPS, f"read {len(now.total.order_ids)} orders")
    message("Computing the figures")
    figures = figures_of(year, month, region, now, before)
    progress(2, STEPS, "figures computed")
    report = markdown(figures)
    progress(3, STEPS, "report written")
    content = [{"type": "text", "text": report}]
    print_json({"content": content, "structuredContent": figures, "isError": False})
    progress(STEPS, STEPS, "done")
    message(f"Report of {month_name} {year} is ready")


if __name__ == "__main__":
    run(main)
