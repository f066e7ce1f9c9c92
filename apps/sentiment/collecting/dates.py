"""When a page was published: from what it declares, from what it shows near its headline, from its address.

Declared dates come first, then dates with a label ("发布时间", "Published"), then what stands beside the headline. Dates of
changes, copyright lines, side columns, comments and other articles are no dates of publication.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any

from apps.sentiment.collecting import declared, scripts, shown
from apps.sentiment.collecting.habits import habits_of, month_first
from apps.sentiment.collecting.identity import identity_of
from apps.sentiment.collecting.items import OLDEST, SKEW, Confidence, Moment
from apps.sentiment.collecting.shown import EXACT, SHORT, Clue, Reader
from apps.sentiment.collecting.trees import Block, blocks, parse
from apps.sentiment.collecting.zones import told_zone

JUST_WRITTEN = timedelta(minutes=2)  # a declared time this close to the reading may be the server's clock
_SEEN = ("label", "named", "headline", "above")
_DATA = ("meta", "script")  # not better than what readers see, but more exact
_ADDRESS = (
    re.compile(r"(?<!\d)(?P<year>(?:19|20)\d\d)[/_-]?(?P<month>0[1-9]|1[0-2])[/_-]?(?P<day>0[1-9]|[12]\d|3[01])(?!\d)"),
    re.compile(r"(?<!\d)(?P<year>(?:19|20)\d\d)/(?P<month>[1-9]|1[0-2])/(?P<day>[1-9]|[12]\d|3[01])(?!\d)"),
    re.compile(r"(?<!\d)(?P<day_first>\d\d([-_])\d\d\2(?:19|20)\d\d)(?!\d)"),
    re.compile(r"(?P<year>20\d\d)/(?P<month>[a-z]{3})[a-z]*/(?P<day>\d{1,2})(?!\d)", re.I),
)


@dataclass(frozen=True)
class PageDate:
    """The date of a page: published (None: nowhere told), changed, where the first was found, and the first that cannot
    be true (in the future, or older than the web)."""

    published: Moment | None
    updated: Moment | None
    where: str
    doubted: Moment | None = None


def find_date(page: Any, *, url: str = "", now: datetime, zone: tzinfo) -> PageDate:
    """The date of a page (HTML text or its tree). Times without a zone are read in `zone`; `now` anchors "3小时前" and
    bounds the future, it is never an answer by itself."""
    tree = parse(page) if isinstance(page, str) else page
    lines = blocks(tree)
    short = [block.text for block in lines if len(block.text) <= SHORT]
    habits = replace(habits_of(tree, url, zone), told_zone=told_zone(short), proven_month_first=month_first(short))
    address = [clue for clue in _address(url, Reader(now, zone, habits)) if OLDEST <= clue.moment.at <= now + SKEW]
    reader = Reader(now, zone, replace(habits, near=address[0].moment.at if address else None))
    clues = list(_clues(tree, lines, url, address, reader))
    believable = [clue for clue in clues if OLDEST <= clue.moment.at <= now + SKEW]
    doubted = next((clue.moment for clue in clues if clue not in believable), None)
    published = [clue for clue in believable if not clue.changed]
    updated = next((clue.moment for clue in believable if clue.changed), None)
    if published:
        best = _with_time(_trusted(published, reader), published, lines, reader)
        return PageDate(best.moment, updated, best.where, doubted)
    if updated:
        return PageDate(Moment(updated.at, Confidence.GUESSED), updated, "changed", doubted)
    return PageDate(None, None, "", doubted)


def _trusted(clues: list[Clue], reader: Reader) -> Clue:
    """The first, unless what readers see says better: a declared time that is merely the server's clock, or one that the
    page's address and its visible date both deny."""
    best = clues[0]
    if best.where in _SEEN:
        return best
    seen = [clue for clue in clues if clue.where in _SEEN]
    address = next((clue for clue in clues if clue.where == "address"), None)
    if abs(best.moment.at - reader.now) <= JUST_WRITTEN:
        return next((clue for clue in seen if best.moment.at - clue.moment.at > timedelta(days=1)), best)
    if address is None or abs(best.moment.at - address.moment.at) <= timedelta(days=3):
        return best
    return next((clue for clue in seen if abs(clue.moment.at - address.moment.at) <= timedelta(days=1.5)), best)


def _with_time(best: Clue, others: list[Clue], lines: list[Block], reader: Reader) -> Clue:
    """Where the best clue has only a day, another of the same day that has the time, or a clock that stands alone; where it
    is counted back ("2 days ago"), what the page's own data say of about that age."""
    if best.moment.confidence is Confidence.RELATIVE:
        age = reader.now - best.moment.at
        told = (clue for clue in others if clue.where in _DATA and clue.moment.confidence in EXACT)
        return next((clue for clue in told if age / 2 <= reader.now - clue.moment.at <= age * 2), best)
    if best.moment.confidence not in (Confidence.DAY, Confidence.GUESSED):
        return best
    day = reader.day(best.moment)
    same = [clue for clue in others if clue.moment.confidence in EXACT and reader.day(clue.moment) == day]
    if same or best.moment.confidence != Confidence.DAY:
        return same[0] if same else best
    moment = shown.lone_clock(day, lines, reader)
    return replace(best, moment=moment) if moment else best


def _clues(tree: Any, lines: list[Block], url: str, address: list[Clue], reader: Reader) -> Iterator[Clue]:
    """All dates of a page, the most trustworthy first."""
    identity = identity_of(tree, url)
    weak, films = [], []
    for written, where, changed in declared.dates(tree, identity):
        if moment := reader.one(written):
            if where == "weak":
                weak.append(Clue(moment, "meta", changed))
            elif where == "loose":
                if abs(moment.at - reader.now) > JUST_WRITTEN:
                    yield Clue(moment, "time", changed)
            elif where == "film":
                films.append(Clue(moment, "microdata", changed))
            else:
                yield Clue(moment, where, changed)
    seen = shown.dates(lines, reader)
    ranked = {rank: [clue for clue in seen if clue.where == rank] for rank in (*_SEEN, "end", "late")}
    yield from sorted(ranked["label"], key=lambda clue: clue.loose)
    yield from weak
    yield from (clue for rank in ("named", "headline", "above") for clue in ranked[rank])
    for written in scripts.dates(tree, identity):
        if moment := reader.one(written):
            yield Clue(moment, "script")
    yield from films
    yield from shown.datelines(lines, reader.habits.near, reader)
    yield from address
    yield from ranked["end"]
    if len({reader.day(clue.moment) for clue in ranked["late"]}) == 1:
        yield ranked["late"][0]


def _address(url: str, reader: Reader) -> Iterator[Clue]:
    for pattern in _ADDRESS:
        for match in pattern.finditer(url[:2_000]):
            told = match.groupdict()
            written = (
                told["day_first"].replace("_", "-")
                if "day_first" in told
                else "{day} {month} {year}".format(**told)
                if told["month"].isalpha()
                else "{year}-{month}-{day}".format(**told)
            )
            if moment := reader.one(written):
                yield Clue(Moment(moment.at, Confidence.GUESSED), "address")
