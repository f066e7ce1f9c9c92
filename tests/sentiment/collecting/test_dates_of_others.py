"""Dates of pages that somebody wrote who had not read the code (dates_of_others.py): found as they truly are."""

from datetime import UTC
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
