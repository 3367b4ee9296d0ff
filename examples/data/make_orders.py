#!/usr/bin/env python3
"""Make orders.csv: thirteen months of order lines of an invented coffee roaster.

    python3 data/make_orders.py           # write orders.csv beside this script
    python3 data/make_orders.py --check   # exit 1 if orders.csv differs

The file holds December 2024, so that a report on January has a month to compare
with, and all of 2025. The same seed gives the same bytes on every machine and
every Python from 3.9: amounts are whole cents, and only random.Random.random()
is used, the one method whose sequence Python promises to keep.
"""

import argparse
import datetime
import random
import sys
from pathlib import Path

SEED = 20250101
TARGET = Path(__file__).resolve().parent / "orders.csv"
HEADER = "order_id,date,region,channel,category,product,quantity,unit_price"
FIRST_ORDER_ID = 24001

# (year, month): number of orders. Quiet summer, busy weeks before Christmas.
ORDERS_PER_MONTH = {
    (2024, 12): 318,
    (2025, 1): 188,
    (2025, 2): 179,
    (2025, 3): 201,
    (2025, 4): 196,
    (2025, 5): 207,
    (2025, 6): 190,
    (2025, 7): 164,
    (2025, 8): 158,
    (2025, 9): 212,
    (2025, 10): 229,
    (2025, 11): 294,
    (2025, 12): 352,
}

# Orders by day of the week, Monday first.
WEEKDAY_WEIGHTS = (17, 14, 13, 14, 17, 15, 10)

REGION_WEIGHTS = {"North": 31, "South": 22, "East": 17, "West": 30}

# The share of each channel differs by region: the shops are in the North and West.
CHANNEL_WEIGHTS = {
    "North": {"web": 45, "shop": 40, "wholesale": 15},
    "South": {"web": 68, "shop": 12, "wholesale": 20},
    "East": {"web": 80, "shop": 5, "wholesale": 15},
    "West": {"web": 52, "shop": 36, "wholesale": 12},
}

# (category, product): (price in cents, weight).
PRODUCTS = {
    ("Beans", "House Espresso 250 g"): (790, 30),
    ("Beans", "House Espresso 1 kg"): (2690, 34),
    ("Beans", "Harbour Blend 250 g"): (750, 20),
    ("Beans", "Harbour Blend 1 kg"): (2490, 22),
    ("Beans", "Ethiopia Guji 250 g"): (1180, 18),
    ("Beans", "Colombia Huila 250 g"): (1050, 16),
    ("Beans", "Guatemala Antigua 250 g"): (1090, 10),
    ("Beans", "Decaf Sierra 250 g"): (990, 12),
    ("Tea", "Assam Loose Leaf 100 g"): (680, 9),
    ("Tea", "Earl Grey 50 Bags"): (590, 11),
    ("Tea", "Peppermint 50 Bags"): (490, 8),
    ("Tea", "Sencha 100 g"): (1150, 6),
    ("Brewing", "Pour-over Dripper"): (1890, 9),
    ("Brewing", "French Press 1 l"): (3490, 7),
    ("Brewing", "Moka Pot 6 Cup"): (3290, 6),
    ("Brewing", "Hand Grinder"): (6900, 5),
    ("Brewing", "Gooseneck Kettle"): (5990, 4),
    ("Accessories", "Paper Filters 100"): (450, 22),
    ("Accessories", "Storage Tin 500 g"): (1290, 8),
    ("Accessories", "Milk Jug 350 ml"): (1590, 5),
    ("Accessories", "Stoneware Mug"): (1450, 13),
    ("Accessories", "Descaler 250 ml"): (890, 9),
}

# Mugs, tins, grinders and the like are bought as presents.
GIFT_CATEGORIES = ("Brewing", "Accessories")
GIFT_MONTHS = (11, 12)

# The price of coffee went up by 6 % on 1 July 2025.
PRICE_RISE_DATE = datetime.date(2025, 7, 1)
PRICE_RISE_PERCENT = 6

WHOLESALE_DISCOUNT_PERCENT = 20


def pick(rng, weights):
    """One key of `weights`, with a chance in proportion to its weight."""
    point = rng.random() * sum(weights.values())
    for key, weight in weights.items():
        point -= weight
        if point < 0:
            return key
    return key


def whole(rng, low, high):
    """A whole number from low to high, both included."""
    return low + int(rng.random() * (high - low + 1))


def order_dates(rng, year, month, count):
    """`count` days of the month in order, drawn by the weight of the weekday."""
    days = {}
    day = datetime.date(year, month, 1)
    while day.month == month:
        days[day] = WEEKDAY_WEIGHTS[day.weekday()]
        day += datetime.timedelta(days=1)
    return sorted(pick(rng, days) for _ in range(count))


def product_weights(month):
    """The demand for each product in a month."""
    return {
        product: weight * 2 if month in GIFT_MONTHS and product[0] in GIFT_CATEGORIES else weight
        for product, (_, weight) in PRODUCTS.items()
    }


def unit_price(product, channel, day):
    """The price in cents on a day in a channel."""
    cents = PRODUCTS[product][0]
    if product[0] == "Beans" and day >= PRICE_RISE_DATE:
        cents = cents * (100 + PRICE_RISE_PERCENT) // 100
    if channel == "wholesale":
        cents = cents * (100 - WHOLESALE_DISCOUNT_PERCENT) // 100
    return cents


def order_lines(rng, order_id, day):
    """The CSV lines of one order: one to three different products."""
    region = pick(rng, REGION_WEIGHTS)
    channel = pick(rng, CHANNEL_WEIGHTS[region])
    demand = product_weights(day.month)
    for _ in range(pick(rng, {1: 60, 2: 28, 3: 12})):
        product = pick(rng, demand)
        del demand[product]
        if channel == "wholesale":
            quantity = whole(rng, 4, 16)
        else:
            quantity = pick(rng, {1: 62, 2: 25, 3: 9, 4: 4})
        cents = unit_price(product, channel, day)
        price = f"{cents // 100}.{cents % 100:02d}"
        yield f"{order_id},{day},{region},{channel},{product[0]},{product[1]},{quantity},{price}"


def make_orders():
    """The whole file as text."""
    rng = random.Random(SEED)
    lines = [HEADER]
    order_id = FIRST_ORDER_ID
    for (year, month), count in ORDERS_PER_MONTH.items():
        for day in order_dates(rng, year, month, count):
            lines.extend(order_lines(rng, order_id, day))
            order_id += 1
    return "\n".join(lines) + "\n"


def check(expected):
    """0 if the file on disk has the expected content, else 1 with the first difference."""
    try:
        found = TARGET.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        print(f"{TARGET.name} cannot be read: {error.strerror}")
        return 1
    if found == expected:
        print(f"{TARGET.name} is as this script makes it")
        return 0
    expected_lines, found_lines = expected.split("\n"), found.split("\n")
    same = 0
    for one, other in zip(expected_lines, found_lines):
        if one != other:
            break
        same += 1
    print(f"{TARGET.name} differs from line {same + 1} on")
    return 1


def main():
    parser = argparse.ArgumentParser(description="Make the example data set orders.csv.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    expected = make_orders()
    if parser.parse_args().check:
        return check(expected)
    TARGET.write_bytes(expected.encode("utf-8"))
    print(f"{TARGET.name}: {expected.count(chr(10)) - 1} order lines, {len(expected)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
