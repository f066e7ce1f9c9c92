"""When a page was published: from what it declares, from what it shows near its headline, from its address.

Declared dates come first, then dates with a label ("发布时间", "Published"), then what stands beside the headline. Dates of
changes, copyright lines, side columns and comments are no dates of publication.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from apps.sentiment.collecting import declared
from apps.sentiment.collecting.items import OLDEST, SKEW, Confidence, Moment
from apps.sentiment.collecting.moments import find_moments, normalised, read_moment
from apps.sentiment.collecting.trees import Block, blocks, parse

SHORT = 160  # characters: a line with a date, not a paragraph that mentions one
LABEL = 14  # characters: a cell that names what stands in the next
NEAR = 12  # blocks after the headline
_CHANGED = re.compile(
    r"(?:更新|修改|修订|编辑|修訂|編輯)(?:时间|時間|日期|于|於)?"
    r"|\b(?:last\s+)?(?:updated?|modified|revised|edited|corrected|changed)\b", re.I,
)  # fmt: skip
_CHANGED_AFTER = re.compile(r"\s*[(（]?(?:(?:更新|修改|编辑)(?!时间|日期|于|[:：])|updated(?!\s*[:o]))", re.I)
_SENTENCE = re.compile(r"[。！？；]|(?:\b[a-z]{2,}\s+){6}")
_PUBLISHED = re.compile(
    r"发布|發布|發佈|发表|發表|刊登|刊发|发稿|上传|日期|时间|時間"
    r"|\b(?:published|publish(?:ed)?\s+date|posted|first\s+published|released?|date|filed|on)\b", re.I,
)  # fmt: skip
_FOREIGN = re.compile(
    r"©|\(c\)|copyright|版权|版權|备案|ICP|许可证|截至|截止|今天是|现在是|现在时间|当前时间"
    r"|\bas of\b|\btoday is\b|成立于|有效期|下一篇|上一篇|相关|报名|会议时间|开庭"
    r"|活动时间|\b(?:born|joined|member since|registered|founded|expires?|deadline|event|starts?|due|next|previous|accessed|retrieved)\b",
    re.I,
)  # fmt: skip
_WRITTEN = re.compile(r"成文|签署|簽署|签发|簽發|印发|落款")  # a paper's own day, before it is made public
_MONTH_AND_DAY = re.compile(r"(?<!\S)(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?!\S)")
_DATE_NAMES = re.compile(r"date|time|pub|info|source|meta|byline|post(?:ed)?[-_]on|来源", re.I)
_DATELINE = re.compile(
    r"^【[^】]{2,20}(?:讯|電|电|报道|消息)】\s*(?P<after>\d{1,2}\s*月\s*\d{1,2}\s*[日号])\s*[,，]"
    r"|^.{0,12}?(?:讯|電|电|报道|记者|消息|社|报)?\W{0,3}.{0,24}?(?P<day>\d{1,2}\s*月\s*\d{1,2}\s*[日号])\s*(?:电|電|讯|消息|报道|（|\()",
    re.S,
)
_DATELINE_ENGLISH = re.compile(
    r"^[A-Z][A-Z .,/]{2,40}?,?\s+(?P<day>(?:[A-Z][a-z]{2,8}\.?\s+\d{1,2}(?:,\s+\d{4})?))\s*(?:\([^)]{2,30}\)|[-–—/])"
    r"|^[A-Z][\w .,'’/]{1,50}?[\s,–—-]+(?:\([^)]{2,30}\)[\s–—-]+)?"
    r"(?P<after>[A-Z][a-z]{2,8}\.?\s+\d{1,2},\s+\d{4})\s*(?:\([^)]{2,30}\)|[-–—/])"
)
_ADDRESS = (
    re.compile(r"(?<!\d)(?P<year>(?:19|20)\d\d)[/_-]?(?P<month>0[1-9]|1[0-2])[/_-]?(?P<day>0[1-9]|[12]\d|3[01])(?!\d)"),
    re.compile(r"(?<!\d)(?P<year>(?:19|20)\d\d)/(?P<month>[1-9]|1[0-2])/(?P<day>[1-9]|[12]\d|3[01])(?!\d)"),
    re.compile(r"(?P<year>20\d\d)/(?P<month>[a-z]{3})[a-z]*/(?P<day>\d{1,2})(?!\d)", re.I),
)


@dataclass(frozen=True)
class Clue:
    """A date that a page gives: what it says, where it was found, whether it is of a change instead of publication."""

    moment: Moment
    where: str
    changed: bool = False


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
    clues = list(_clues(tree, url, now, zone))
    believable = [clue for clue in clues if OLDEST <= clue.moment.at <= now + SKEW]
    doubted = next((clue.moment for clue in clues if clue not in believable), None)
    published = [clue for clue in believable if not clue.changed]
    updated = next((clue.moment for clue in believable if clue.changed), None)
    if published:
        best = _with_time(published[0], published, zone)
        return PageDate(best.moment, updated, best.where, doubted)
    if updated:
        return PageDate(Moment(updated.at, Confidence.GUESSED), updated, "changed", doubted)
    return PageDate(None, None, "", doubted)


def _with_time(best: Clue, others: list[Clue], zone: tzinfo) -> Clue:
    """Where the best clue has only a day, another of the same day that has the time."""
    if best.moment.confidence not in (Confidence.DAY, Confidence.GUESSED):
        return best
    day = best.moment.at.astimezone(zone).date()
    exact = (Confidence.STATED, Confidence.ZONE_ASSUMED)
    same = [
        clue for clue in others if clue.moment.confidence in exact and clue.moment.at.astimezone(zone).date() == day
    ]
    return same[0] if same else best


def _clues(tree: Any, url: str, now: datetime, zone: tzinfo) -> Iterator[Clue]:
    """All dates of a page, the most trustworthy first."""
    for written, where, changed in declared.dates(tree):
        if moment := read_moment(written, now=now, zone=zone):
            yield Clue(moment, where, changed)
    shown = blocks(tree)
    seen = list(_shown(shown, now, zone))
    yield from (clue for rank in ("label", "named", "headline", "above") for clue in seen if clue.where == rank)
    for written in declared.script_dates(tree):
        if moment := read_moment(written, now=now, zone=zone):
            yield Clue(moment, "script")
    yield from _datelines(shown, now, zone)
    yield from _address(url, now, zone)
    yield from (clue for clue in seen if clue.where == "end")


def _shown(shown: list[Block], now: datetime, zone: tzinfo) -> Iterator[Clue]:
    inside = [block for block in shown if not block.around]
    for block, previous in zip(inside, ["", *(block.text for block in inside)], strict=False):
        if len(block.text) <= SHORT or block.place <= 3:
            label = previous if len(previous) <= LABEL else ""
            yield from _in_block(block, label, last=block is inside[-1], now=now, zone=zone)


def _in_block(block: Block, label: str, *, last: bool, now: datetime, zone: tzinfo) -> Iterator[Clue]:
    """Dates of a line; a label may stand alone before it, in a cell of its own."""
    text, end = normalised(block.text[:SHORT]), 0
    moments = find_moments(text, now=now, zone=zone)
    if not moments and 0 < block.place <= NEAR and _DATE_NAMES.search(block.names):
        yield from _month_and_day(text, now, zone)
    for found in moments:
        before = text[max(end, found.start - 30) : found.start] or (label if not end else "")
        after = text[found.end : found.end + 12]
        rest = text[: found.start] + text[found.end :]
        end = found.end
        if _FOREIGN.search(before):
            continue
        if _CHANGED.search(before) or _CHANGED_AFTER.match(after):
            yield Clue(found.moment, "label", changed=True)
        elif rank := _rank(block, before, rest, last=last):
            yield Clue(found.moment, rank)


def _month_and_day(text: str, now: datetime, zone: tzinfo) -> Iterator[Clue]:
    """12-30, which is a date only where a page says that one stands there."""
    if match := _MONTH_AND_DAY.search(text):
        moment = read_moment(f"{match[1]}月{match[2]}日", now=now, zone=zone)
        yield from [Clue(moment, "named")] if moment else []


def _rank(block: Block, before: str, rest: str, *, last: bool) -> str:
    """What a date is worth by the place and the words it stands with; "" for one that is only mentioned."""
    if len(block.text) > SHORT or _SENTENCE.search(rest):
        return ""
    near = 0 <= block.place <= NEAR
    if _WRITTEN.search(before[-14:]):
        return "end"
    if _PUBLISHED.search(before[-14:]) and (near or block.place < 0):
        return "label"
    if near and _DATE_NAMES.search(block.names):
        return "named"
    if near and len(rest) < 80:
        return "headline"
    if -4 <= block.place < 0 and (len(rest) < 40 or _DATE_NAMES.search(block.names)):
        return "above"
    return "end" if len(rest) < 12 and (last or block.place > 0) else ""


def _datelines(shown: list[Block], now: datetime, zone: tzinfo) -> Iterator[Clue]:
    """新华社北京3月5日电; LONDON, March 5 (Reuters)"""
    for block in [block for block in shown if not block.around and len(block.text) > 30][:3]:
        text = normalised(block.text[:200])
        match = _DATELINE.search(text) or _DATELINE_ENGLISH.search(text)
        if match and (moment := read_moment(match["day"] or match["after"], now=now, zone=zone)):
            yield Clue(Moment(moment.at, Confidence.GUESSED), "dateline")


def _address(url: str, now: datetime, zone: tzinfo) -> Iterator[Clue]:
    for pattern in _ADDRESS:
        for match in pattern.finditer(url[:2_000]):
            written = (
                f"{match['day']} {match['month']} {match['year']}"
                if match["month"].isalpha()
                else "{year}-{month}-{day}".format(**match.groupdict())
            )
            if moment := read_moment(written, now=now, zone=zone):
                yield Clue(Moment(moment.at, Confidence.GUESSED), "address")
