"""Whose ways of writing dates a page goes by: the country of its address, else of its language, else of the source's zone."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import urlsplit

_COUNTRIES = {
    "uk", "in", "au", "za", "ca", "nz", "ie", "hk", "sg", "tw", "cn", "mo", "my", "ph", "us", "ng", "ke", "gh", "pk", "lk", "bd", "il",
    "jp", "kr", "mt", "jm", "zw", "zm", "ug", "tz", "na", "bw", "ae", "sa", "qa", "kw", "bh",
}  # fmt: skip
_AMERICAN = {"gov", "mil", "edu"}  # names of the top that only the United States give
_MONTH_FIRST = {"us", "ph", "ca"}
_DAY_FIRST = _COUNTRIES - _MONTH_FIRST - {"cn", "tw", "jp", "kr"}
_OF_ZONES = {
    "Asia/Shanghai": "cn", "Asia/Chongqing": "cn", "Asia/Urumqi": "cn", "PRC": "cn", "Asia/Taipei": "tw", "Asia/Hong_Kong": "hk",
    "Asia/Macau": "mo", "Asia/Singapore": "sg", "Asia/Kolkata": "in", "Asia/Calcutta": "in", "Asia/Dhaka": "bd", "Asia/Jerusalem": "il",
    "Asia/Manila": "ph", "Europe/London": "uk", "Europe/Dublin": "ie", "Africa/Johannesburg": "za", "America/Toronto": "ca",
    "America/Vancouver": "ca", "America/Halifax": "ca", "America/St_Johns": "ca", "America/Winnipeg": "ca", "America/Edmonton": "ca",
    "America/Regina": "ca", "Pacific/Auckland": "nz",
}  # fmt: skip
_LANGUAGE = re.compile(r"^[A-Za-z]{2}(?:[-_][A-Za-z]{4})?[-_]([A-Za-z]{2})\b")
_NUMBERS = re.compile(r"(?<![\d/.-])(\d{1,2})([/.-])(\d{1,2})\2(?:19|20)\d\d(?![\d/.-])")


@dataclass(frozen=True)
class Habits:
    """A site's ways: the country ("" unknown), whether its own address names that country, whether other dates of the page
    prove that months stand first (None: nothing proves), the day of its address, near which dates without a year lie, and
    the zone that the page names for all its times ("" none)."""

    country: str = ""
    is_named: bool = False
    proven_month_first: bool | None = None
    near: datetime | None = None
    told_zone: str = ""

    def month_first(self, zone: tzinfo) -> bool:
        """Whether 03/04/2024 is the fourth of March."""
        if self.proven_month_first is not None:
            return self.proven_month_first
        if self.country in _MONTH_FIRST:
            return True
        return self.country not in _DAY_FIRST and str(zone).startswith(("America/", "US/"))

    @property
    def may_be_month_first(self) -> bool:
        """Whether neither the page nor its country says that days stand first."""
        return self.proven_month_first is None and self.country not in _DAY_FIRST

    @property
    def is_sure_of_order(self) -> bool:
        """Whether nothing but the order decides: a day to come is one to come, not the other order's day gone by."""
        return self.proven_month_first is not None or (self.is_named and self.country in _MONTH_FIRST | _DAY_FIRST)

    def year_first(self, zone: tzinfo) -> bool:
        """Whether 24-03-05 is the fifth of March."""
        if self.country:
            return self.country in ("cn", "tw", "jp", "kr", "hk", "mo")
        return str(zone).startswith("Asia/")


UNKNOWN = Habits()


def habits_of(tree: Any, url: str, zone: tzinfo) -> Habits:
    """The habits of a page. `en-US` is what many systems write unasked: a zone outside America outweighs it."""
    host = (_host(url)).rsplit(".", 1)[-1]
    if host in _COUNTRIES or host in _AMERICAN:
        return Habits("us" if host in _AMERICAN else host, is_named=True)
    spoken, placed = _of_language(tree), _of_zone(zone)
    unasked = spoken == "us" and str(zone).startswith(("Europe/", "Africa/", "Australia/", "Pacific/"))
    return Habits(placed if unasked or not spoken else spoken)


def month_first(lines: Iterable[str]) -> bool | None:
    """What the numbers of a page prove: 13/10/2023 stands only where days come first. None where none, or both, do."""
    orders = set()
    for line in lines:
        for found in _NUMBERS.finditer(line):
            one, other = int(found[1]), int(found[3])
            if 12 < max(one, other) <= 31 and min(one, other) in range(1, 13):
                orders.add(other > 12)
    return orders.pop() if len(orders) == 1 else None


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _of_language(tree: Any) -> str:
    written = [tree.get("lang") or tree.get("xml:lang") or ""]
    for meta in tree.iter("meta"):
        name = (meta.get("property") or meta.get("http-equiv") or "").lower()
        if name in ("og:locale", "content-language"):
            written.append(meta.get("content") or "")
    found = (_LANGUAGE.match(each.strip()) for each in written)
    region = next((match[1].lower() for match in found if match), "")
    return "uk" if region == "gb" else region


def _of_zone(zone: tzinfo) -> str:
    name = str(zone)
    if name.startswith("Australia/"):
        return "au"
    return _OF_ZONES.get(name, "us" if name.startswith("US/") else "")
