"""Makes events.jsonl: 200 invented customers who look at, save and buy products as their tastes lead them.

Run `python apps/dashboard/demo/make_events.py`; the same products give the same bytes every time.
"""

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SEED = 20261117
USER_COUNT = 200
START = datetime(2026, 8, 20, tzinfo=UTC)
DAY_COUNT = 90
SESSIONS = (2, 3, 3, 4, 4, 5, 6, 8)  # visits of one customer; a few come often
HOURS = (7, 8, 12, 12, 13, 17, 18, 19, 19, 20, 20, 21, 21, 22)  # visits start in the pauses of a working day
CLICK_SHARE, SAVE_SHARE, APPLY_SHARE, PURCHASE_SHARE = 0.5, 0.3, 0.35, 0.6  # each of the step before it
EXPLORE_SHARE = 0.12  # views that no taste explains

Event = dict[str, str]


@dataclass(frozen=True)
class Taste:
    """One kind of customer: how strongly each category and tag draws, and what a purchase makes them want next."""

    share: float  # of all customers
    categories: dict[str, float]
    tags: dict[str, float]
    next_step: dict[str, str]  # category bought -> category wanted next


TASTES = {
    "student": Taste(
        0.20,
        {"current_accounts": 1.5, "credit_cards": 1, "youth": 1.5, "rewards": 2, "personal_loans": 0.6},
        {"student": 5, "no-fee": 3, "starter": 4, "education": 2, "coffee": 2, "cinema": 2, "bike": 2},
        {"current_accounts": "credit_cards", "credit_cards": "rewards"},
    ),
    "traveller": Taste(
        0.18,
        {"travel_perks": 3, "foreign_exchange": 2.5, "credit_cards": 1, "insurance": 0.7},
        {"travel": 3, "multi-currency": 4, "cash": 2, "lounge": 3, "prepaid": 2, "expat": 2, "holiday": 3},
        {"credit_cards": "travel_perks", "travel_perks": "insurance", "foreign_exchange": "travel_perks"},
    ),
    "young_family": Taste(
        0.18,
        {"mortgages": 2, "youth": 1.5, "insurance": 1.5, "savings_deposits": 1, "personal_loans": 0.8},
        {"family": 4, "first-time": 4, "joint": 4, "child": 3, "home": 1.5, "car": 2, "life": 2},
        {"mortgages": "insurance", "current_accounts": "savings_deposits", "insurance": "youth"},
    ),
    "saver": Taste(
        0.16,
        {"savings_deposits": 4, "pensions": 1.2, "investment_funds": 0.8, "safe_services": 1},
        {"fixed-term": 2, "saving": 2, "senior": 3, "retirement": 2, "bond": 2, "balanced": 1.5, "branch": 2},
        {"savings_deposits": "investment_funds", "pensions": "safe_services"},
    ),
    "investor": Taste(
        0.13,
        {"investment_funds": 4, "pensions": 1, "foreign_exchange": 0.7, "savings_deposits": 0.5},
        {"index": 3, "technology": 3, "trading": 2, "robo": 2, "premium": 2, "wealth": 3, "gold": 2},
        {"investment_funds": "pensions", "pensions": "investment_funds"},
    ),
    "shopkeeper": Taste(
        0.15,
        {"merchant_services": 5, "credit_cards": 0.5, "insurance": 0.4, "foreign_exchange": 0.5},
        {"business": 3, "terminal": 3, "freelance": 4, "cashback": 1.5, "tax": 3, "cards": 2},
        {"merchant_services": "insurance", "current_accounts": "merchant_services"},
    ),
}


def appeal(taste: Taste, item: dict[str, Any]) -> float:
    """Returns the weight, at least 0.02, with which this kind of customer comes upon the item."""
    pull = taste.categories.get(item["category"], 0.0)
    return 0.02 + pull * 0.5 + sum(taste.tags.get(tag, 0.0) for tag in item["tags"]) * 0.6


def sessions(rng: random.Random, user_id: str, kind: str, items: list[dict[str, Any]]) -> Iterator[Event]:
    """Yields all events of one customer: several visits over the 90 days, each product walked down the funnel."""
    taste = TASTES[kind]
    fame = [1 / (1 + place % 17) ** 0.5 for place in range(len(items))]  # some products are simply better known
    favourites = {tag: rng.choice((0.4, 1.0, 2.5)) for item in items for tag in item["tags"]}
    wanted: dict[str, float] = defaultdict(lambda: 1.0)
    owned: set[str] = set()
    for day in sorted(rng.sample(range(DAY_COUNT), rng.choice(SESSIONS))):
        at = START + timedelta(days=day, hours=rng.choice(HOURS), seconds=rng.randrange(3600))
        for _ in range(rng.randint(1, 4)):
            weights = [
                appeal(taste, item) ** 1.5 * fame[place] * favourites[item["tags"][0]] * wanted[item["category"]]
                for place, item in enumerate(items)
            ]
            pool = None if rng.random() < EXPLORE_SHARE else weights
            item = rng.choices(items, pool)[0]
            at += timedelta(seconds=rng.randint(15, 400))
            if item["item_id"] in owned:
                continue
            for step in walk(rng):
                at += timedelta(seconds=rng.randint(4, 240))
                yield {"user_id": user_id, "item_id": item["item_id"], "event": step, "at": at.isoformat()}
                if step == "purchase":
                    owned.add(item["item_id"])
                    wanted[taste.next_step.get(item["category"], item["category"])] *= 3


def walk(rng: random.Random) -> Iterator[str]:
    """Yields view, click, save, apply, purchase in this order, stopping where interest ends; saving may be skipped."""
    yield "view"
    if rng.random() > CLICK_SHARE:
        return
    yield "click"
    if rng.random() < SAVE_SHARE:
        yield "save"
    if rng.random() > APPLY_SHARE:
        return
    yield "apply"
    if rng.random() < PURCHASE_SHARE:
        yield "purchase"


def events(items: list[dict[str, Any]]) -> list[Event]:
    """Returns the events of all customers, oldest first."""
    rng = random.Random(SEED)  # noqa: S311 - invented customers, not secrets
    made: list[Event] = []
    for number in range(1, USER_COUNT + 1):
        kind = rng.choices(list(TASTES), [taste.share for taste in TASTES.values()])[0]
        made += sessions(rng, f"cust-{number:03d}", kind, items)
    return sorted(made, key=lambda event: (event["at"], event["user_id"]))


def lines() -> str:
    """Returns the whole text of events.jsonl."""
    with (HERE / "products.jsonl").open(encoding="utf-8") as products:
        items = [json.loads(line) for line in products]
    return "".join(json.dumps(event) + "\n" for event in events(items))


if __name__ == "__main__":
    (HERE / "events.jsonl").write_text(lines(), encoding="utf-8")
