"""Dates of pages that people wrote who had not read the code: found as they truly are.

`dates_of_others.py` holds shapes with gaps, `pages_of_others*.jsonl` whole pages. There `expected` is none (null), a day, a time of
`zone_hint`, or one with its offset; a page that says “3 hours ago” is right within the hour.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from apps.sentiment.collecting.dates import find_date
from tests.sentiment.collecting.dates_of_others import NOW, Case, cases

CASES = list(cases())


def told(case: Case) -> str:
    """What is found, written as the case writes its truth."""
    zone = ZoneInfo(case.zone)
    found = find_date(case.html, url=case.url, now=NOW, zone=zone).published
    if found is None:
        return ""
    if "+" in case.truth:
        return found.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M+00:00")
    return found.at.astimezone(zone).strftime("%Y-%m-%d %H:%M")[: len(case.truth) or None]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.shape[:40]}-{CASES.index(case)}")
def test_the_date_of_a_page_of_another_hand_is_found(case):
    assert told(case) == case.truth


def test_there_are_many_pages_of_many_shapes():
    assert len(CASES) >= 160
    assert len({case.shape for case in CASES}) >= 30


PAGES = [
    json.loads(line)
    for name in ("pages_of_others.jsonl", "pages_of_others_fourth.jsonl")
    for line in Path(__file__).with_name(name).read_text(encoding="utf-8").split("\n")
    if line
]


def is_right(page: dict[str, Any]) -> bool:
    """Whether what is found of a page is what its writer says."""
    zone = ZoneInfo(page["zone_hint"] or ("Asia/Shanghai" if page["lang"] == "zh" else "UTC"))
    now = datetime.fromisoformat(page["fetched_at"])
    found, wanted = find_date(page["html"], url=page["url"], now=now, zone=zone).published, page["expected"]
    if found is None or wanted is None:
        return found is None and wanted is None
    if len(wanted) == len("2024-03-05"):
        return found.at.astimezone(zone).date().isoformat() == str(wanted)
    moment = datetime.fromisoformat(wanted)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return abs(found.at - moment) < timedelta(minutes=61 if "relative" in page["shape"] else 1)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page['shape']}-{page['id']}")
def test_the_date_of_a_whole_page_of_another_hand_is_found(page):
    assert is_right(page)


def test_whole_pages_are_many_and_of_many_shapes():
    assert len(PAGES) >= 1_080
    assert len({page["shape"] for page in PAGES}) >= 260
