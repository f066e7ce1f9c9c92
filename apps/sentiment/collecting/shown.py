"""Dates that readers of a page see: in lines with a label, beside the headline, in datelines and below a text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

from apps.sentiment.collecting import words
from apps.sentiment.collecting.habits import Habits
from apps.sentiment.collecting.items import SKEW, Confidence, Moment
from apps.sentiment.collecting.moments import Found, find_moments, read_moment
from apps.sentiment.collecting.numerals import normalised
from apps.sentiment.collecting.phrases import CLOCK, ZONE_BEFORE
from apps.sentiment.collecting.trees import Block

SHORT = 160  # characters: a line with a date, not a paragraph that mentions one
LABEL = 24  # characters: a cell that names what stands in the next
NEAR = 12  # blocks after the headline
WEB = 1995  # dates of earlier years stand in texts; a page's own have a label
LINKED_NEAR = 3  # blocks after the headline in which a link is an author or a section, later another article's title
OF_THIS = 90  # characters before a day: "This article was originally published on"
SIGN_OFF = 40  # characters besides the day at the end of a press release
TEXT = 50  # characters after the headline with which the text has begun
CLOCK_AFTER = 2  # blocks after a day in which a clock may stand: its label, the clock
TITLE = 20  # bytes of a link that is a title, no author
CLOCKS, HOUR = timedelta(minutes=2), timedelta(hours=1)  # between a page's own clock and the reading
DATED_LINES = 3  # so many unlabelled lines of different days are a history
EXACT = (Confidence.STATED, Confidence.ZONE_ASSUMED)
_BESIDE = ("named", "headline")
_MONTH_AND_DAY = re.compile(r"(?<!\S)(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?!\S)")
_AGE = re.compile(r"(?<!\S)(\d{1,3}\s?[hdw])$")
_AGE_AFTER_MARK = re.compile(r"[•·|]\s*(\d{1,3}\s?[hdw])$")
_DATE_NAMES = re.compile(r"date|time|pub|info|source|meta|byline|post(?:ed)?[-_]on|来源", re.I)
_DATELINE = re.compile(
    r"^【[^】]{2,20}(?:讯|電|电|报道|消息)】\s*(?P<after>\d{1,2}\s*月\s*\d{1,2}\s*[日号])\s*[,，]"
    r"|^.{0,12}?(?:讯|電|电|报道|记者|消息|社|报)?\W{0,3}.{0,24}?(?P<day>\d{1,2}\s*月\s*\d{1,2}\s*[日号])\s*(?:电|電|讯|消息|报道|（|\(|[|丨])",
    re.S,
)
_DATELINE_ENGLISH = re.compile(
    r"^[A-Z][A-Z .,/]{2,40}?,?\s+(?P<day>(?:[A-Z][a-z]{2,8}\.?\s+\d{1,2}(?:,\s+\d{4})?))\s*(?:\([^)]{2,30}\)|[-–—/])"
    r"|^[A-Z(][\w .,'’/()]{1,50}?[\s,:–—-]+(?:\([^)]{2,30}\)[\s–—-]+)?"
    r"(?P<after>[A-Z][a-z]{2,8}\.?\s+\d{1,2},\s+\d{4})\s*(?:\([^)]{2,30}\)|[-–—/])"
)
_DATELINE_DAY_FIRST = re.compile(
    r"^[A-Z(][\w .,'’/()]{1,50}?[\s,:–—(-]+(?P<day>\d{1,2}(?:st|nd|rd|th)?\s+[A-Z][a-z]{2,8}\.?,?\s+\d{4})\s*(?:\([^)]{2,30}\)|[-–—/:)])"
    r"|^(?P<first>[A-Z][a-z]{2,8}\.?\s+\d{1,2},\s+\d{4}|\d{1,2}\s+[A-Z][a-z]{2,8},?\s+\d{4})\s*[-–—/(]{1,2}\s*[A-Z]{3,}"
)
_NUMBER = re.compile(r"\d\d")
_PUBLISHED_AFTER = re.compile(
    r"\s*(?:首次|最早|最初)?(?:发布|發布|發佈|发表|發表|刊登|刊出|出版)(?!时间|時間|日期|于|於|[:：])"
)
_PIECE = re.compile(
    r"(?:\d{1,4}|[-/.,:年月日]|(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]{0,6}\.?|\d{1,2}(?:st|nd|rd|th)|\d{1,2}[月日]|\d{4}[-/.年]\d{1,2}月?|\d{1,2}[-/.]\d{1,2}"
    r"|\d{1,2}:\d\d(?::\d\d)?|(?:mon|tues?|wed|thu|fri|sat|sun)[a-z]{0,6}|\s){1,6}", re.I,
)  # fmt: skip
_BARE_CLOCK = re.compile(CLOCK, re.I)
_NO_CLOCK = re.compile(r"video|duration|length|player|score|audio|时长|時長|直播|read", re.I)
_CLOCK_LINE = re.compile(rf"(?P<label>\D{{0,24}}?)(?P<said>{ZONE_BEFORE}{CLOCK})\W{{0,3}}", re.I)
_CLOCK_LABEL = re.compile(
    rf"(?:(?:{words.PUBLISHING}|發言|发言)?(?:时间|時間|时刻|時刻)|(?:{words.PUBLISHING})(?:于|於)?"
    r"|(?:(?:issued|published|posted|released|filed|sent|last\s+updated|updated)\s+)?(?:at|time)|(?:publication|release|issue|post(?:ing)?)\s+time)\s*[:：]?",
    re.I,
)
_FIRST_AT = re.compile(
    r"(?:\b(?:first|originally)\s+(?:published|posted)(?:\s+at)?|(?:首次|最初|最早)(?:发布|發布|發佈|发表|發表|刊登|出版)(?:时间|時間|于|於)?)"
    rf"\s*[:：]?\s*(?P<said>{CLOCK})",
    re.I,
)
_SHARE = re.compile(
    r"(?:share|分享|print|save|email|copy link|facebook|twitter|linkedin|whatsapp|telegram|reddit|pinterest|messenger"
    r"|weibo|wechat|微信|微博|[qQ]{2}空间|收藏|打印|\W|on|to|via|this|[xX]){1,12}",
    re.I,
)
_GOES_ON = re.compile(
    r"\s+(?!by\b|in\b|from\b|via\b|at\b|on\b|ago\b|min|read|views?\b|comments?\b|edited\b|updated\b|published\b|posted\b)[a-z]{2,}\s+[a-z\d]"
    r"|,\s+(?:we|the|our|more|it|there|this|a|an|over|about|nearly)\s"
    r"|(?:[,，]\s?)?(?!发|發|更|编|編|来自|來自|来源|來源|于|於|上午|下午|早|晚|凌晨|中午|阅|閱|作者|浏|瀏|刊|回|修|评|評|原|转|轉|已|由|文|记者|記者|星期|周|週|上传|上傳|点|點|次|被|公开|公開)(?:[\u4e00-\u9fff]{2}.{3}|[的是有我在和与與就也都又还還将將会會][\u4e00-\u9fff])"
)
_NAME_OR_CALL = re.compile(r"[A-Za-z]\s\0today\b|\0(?:today|yesterday)!|[\u4e00-\u9fff]\0[今昨][天日]", re.I)
_WITHIN_HOURS = re.compile(r"\d\s?(?:s|m(?!o)|h|秒|分|小|个|個|钟)", re.I)  # 25分钟前: no sentence of a page says it
_LOWER_WORD = re.compile(r"\b[a-z]{2,}\b")
_BYLINE = re.compile(r"^\W{0,3}(?:by\b|作者|来源|來源|记者|記者|编辑|撰文|文[/／])", re.I)


@dataclass(frozen=True)
class Clue:
    """A date that a page gives: what it says, where it was found, whether it is of a change instead of publication,
    whether its line says next to nothing else, and whether its label says less than that it was published then (Date, Created)."""

    moment: Moment
    where: str
    changed: bool = False
    alone: bool = False
    loose: bool = False


@dataclass(frozen=True)
class Reader:
    """What every date of a page is read with."""

    now: datetime
    zone: tzinfo
    habits: Habits

    def one(self, written: str) -> Moment | None:
        return read_moment(written, now=self.now, zone=self.zone, habits=self.habits)

    def all(self, text: str) -> list[Found]:
        return find_moments(text, now=self.now, zone=self.zone, habits=self.habits)

    @property
    def today(self) -> str:
        return self.now.astimezone(self.zone).date().isoformat()

    def day(self, moment: Moment) -> str:
        return moment.at.astimezone(self.zone).date().isoformat()


def dates(shown: list[Block], reader: Reader) -> list[Clue]:
    """All dates of the lines of a page; `where` says what each is worth: label, named (its element is), headline (beside
    it), above, end, late (a label far below)."""
    inside = [block for block in shown if not (block.around or block.of_others) or _is_of_this(block)]
    found: list[list[Clue]] = []
    texts: list[int] = []  # how many paragraphs stand before each line
    paragraphs = 0
    in_text = timed = False
    titled: list[int] = []  # lines with or below a linked title
    listed = 0  # how many more of them were passed over
    waiting: tuple[int, int] | None = None  # the line that told the last day alone, and how many blocks ago
    for block, before in zip(inside, [None, *inside], strict=False):
        previous = before.text if before else ""
        linked = (
            before is not None and before.link_share >= 0.9 and len(previous) >= 6 and not _SHARE.fullmatch(previous)
        )
        if linked and (in_text or block.place > LINKED_NEAR):
            listed += bool(_NUMBER.search(block.text))
            continue  # the linked title of another article
        if block.link_share >= 0.4 and len(block.text.encode()) >= 2 * TITLE and _NUMBER.search(block.text):
            linked, previous = True, block.text  # a title and its day in one line
        below = in_text
        paragraphs += block.place > 0 and len(block.text) > TEXT
        in_text = paragraphs > 0
        if len(block.text) <= SHORT or block.place <= 3:
            label = block.label or (previous if len(previous) <= LABEL and not _NUMBER.search(previous) else "")
            clues = list(_in_block(block, label, last=block is inside[-1], reader=reader))
            if below and timed:
                clues = [_of_issue(clue) for clue in clues]
            timed = timed or any(clue.where in _BESIDE and clue.moment.confidence in EXACT for clue in clues)
            titled += [len(found)] if linked and clues and len(previous.encode()) >= TITLE else []
            found.append(clues)
            texts.append(paragraphs)
            if clues and clues[-1].moment.confidence is Confidence.DAY:
                waiting = len(found) - 1, 0
            elif waiting and (clues or waiting[1] >= CLOCK_AFTER):
                waiting = None
            elif waiting:
                day = found[waiting[0]][-1]
                waiting = waiting[0], waiting[1] + 1
                if moment := _labelled_clock(day, block, label, reader):
                    found[waiting[0]][-1] = replace(day, moment=moment)
                    waiting = None
        else:
            waiting = None
    if titled and len(titled) + listed > DATED_LINES:
        found = [[] if at in titled else line for at, line in enumerate(found)]  # the page lists articles
    return [*_without_histories(found, texts, reader), *_boxes(inside, reader)]


def _of_issue(clue: Clue) -> Clue:
    """A day that has a label below a text with a full time above it: of the issue it was printed in, or of a reader."""
    is_label = clue.where == "label" and not clue.changed and clue.moment.confidence is Confidence.DAY
    return replace(clue, where="end") if is_label else clue


def _is_of_this(block: Block) -> bool:
    """Whether a line of a foot or a side speaks of the page itself: "This article first appeared on May 5, 2024"."""
    return len(block.text) <= SHORT and bool(words.NAMES_THIS.match(block.text)) and bool(_NUMBER.search(block.text))


def _labelled_clock(day: Clue, block: Block, label: str, reader: Reader) -> Moment | None:
    """The day with a clock that stands in a line of its own below it, where it has a label (發言時間 | 16:38:20), a word
    of publication (Issued at 13:36) or a zone (HKT 13:36, 香港時間6時14分)."""
    match = _CLOCK_LINE.fullmatch(normalised(block.text)) if len(block.text) <= 60 else None
    if match is None or _NO_CLOCK.search(block.names) or words.NAMES_OF_EVENTS.search(block.names):
        return None
    told = f"{match['label']} " if match["label"].strip() else label
    if told and (words.FOREIGN.search(told) or words.tells_change(told) != day.changed):
        return None
    if not (_CLOCK_LABEL.fullmatch(told.strip()) or match["zone"] or match["zone_before"]):
        return None
    moment = reader.one(f"{reader.day(day.moment)} {match['said']}")
    return moment if moment and moment.at <= reader.now + SKEW else None


def _without_histories(lines: list[list[Clue]], texts: list[int], reader: Reader) -> list[Clue]:
    """Lines of many days near a headline are a history or a list; the first is the page's own where it says only a date
    and those that follow do not, or lie within a year of it with a text or times of day, as answers do."""
    found = [clue for line in lines for clue in line]
    told = [
        (line[0], before) for line, before in zip(lines, texts, strict=True) if line and line[0].where == "headline"
    ]
    loose = [clue for clue, _ in told]
    if len({reader.day(clue.moment) for clue in loose}) < DATED_LINES:
        return found
    span = max(clue.moment.at for clue in loose) - min(clue.moment.at for clue in loose)
    answered = span < timedelta(days=366) and (loose[0].moment.confidence in EXACT or told[0][1] < told[1][1])
    kept = loose[:1] if loose[0].alone and (answered or not loose[1].alone) else []
    return [clue for clue in found if clue.where != "headline" or clue in kept]


def _boxes(inside: list[Block], reader: Reader) -> Iterator[Clue]:
    """A date in boxes that stand beside each other, each a block of its own: 05 | Mar | 2024."""
    run: list[Block] = []
    for block in [*(block for block in inside if -4 <= block.place <= NEAR), None]:
        if block is not None and len(block.text) <= 12 and len(run) < 6 and _PIECE.fullmatch(normalised(block.text)):
            run.append(block)
            continue
        if len(run) > 1 and not any(reader.all(piece.text) for piece in run):
            found = reader.all(" ".join(piece.text for piece in run))
            yield from (Clue(each.moment, "named") for each in found[:1])
        run = []


def _in_block(block: Block, label: str, *, last: bool, reader: Reader) -> Iterator[Clue]:
    """Dates of a line; a label may stand alone before it, in a cell of its own."""
    text, end = normalised(block.text[:SHORT]), 0
    if words.NAMES_OF_EVENTS.search(block.names):
        return
    moments = reader.all(text)
    if not moments and 0 < block.place <= NEAR:
        yield from _terse(text, reader, named=bool(_DATE_NAMES.search(block.names)))
    suffixes = bool(
        moments
        and (words.CHANGED_AFTER.match(text[moments[-1].end :]) or _PUBLISHED_AFTER.match(text[moments[-1].end :]))
    )
    of_event = False
    for at, found in enumerate(moments):
        before = text[max(end, found.start - 30) : found.start] or (label if not end else "")
        following = moments[at + 1].start if at + 1 < len(moments) else len(text)
        after = text[found.end : min(found.end + 12, following)] if suffixes or following == len(text) else ""
        rest = text[: found.start] + text[found.end :]
        begin, end = end, found.end
        told = text[max(begin, found.start - OF_THIS) : found.start] or before
        if suffixes and begin:
            before = told = ""  # what stands before belongs to the date before
        if words.SIGNED_OFF.search(before) and len(rest) < SIGN_OFF and found.moment.at.year >= WEB:
            yield Clue(found.moment, "label", alone=True)
            continue
        of_event = _is_of_event(text, found, before, follows=begin > 0) or (of_event and bool(words.AND.match(before)))
        if of_event or _is_prose(text, found, block.names):
            continue
        if words.tells_change(before) or words.CHANGED_AFTER.match(after):
            yield Clue(found.moment, "label", changed=True)
            yield from _first_at(text[found.end : following], found.moment, reader)
        elif _is_calendar(block, found.moment, reader) or _is_clock(found.moment, before, reader):
            continue
        elif rank := _rank(block, told, rest, text[found.end : found.end + 24], last=last, year=found.moment.at.year):
            alone = len(rest) < 12 or bool(_BYLINE.search(rest))
            yield Clue(found.moment, rank, alone=alone, loose=not words.publishes(before[-20:]))


def _is_of_event(text: str, found: Found, before: str, *, follows: bool) -> bool:
    """Whether the words around a date say that it is of something else, or one of several days or hours."""
    clock_less = words.SPAN_BEFORE.search(before) and found.moment.confidence is Confidence.DAY
    if follows and words.SPAN_AFTER.match(before):
        return True
    return bool(clock_less or words.FOREIGN.search(before) or words.FOREIGN_AFTER.match(text[found.end :]))


def _first_at(after: str, changed: Moment, reader: Reader) -> Iterator[Clue]:
    """Updated January 23 at 7.11am, first published at 5.11am: on the day of the change, or on the one before."""
    if first := _FIRST_AT.search(after):
        for back in (0, 1):
            moment = reader.one(f"{reader.day(replace(changed, at=changed.at - timedelta(days=back)))} {first['said']}")
            if moment and moment.at <= changed.at:
                yield Clue(moment, "label")
                return


def _is_prose(text: str, found: Found, names: str) -> bool:
    """Whether a word such as today, 今天 or 3 years ago is one of a sentence or a name ("Book today!", "The Quay
    Today"): a word stands right before it, others follow it, or a full stop does."""
    if found.moment.confidence is not Confidence.RELATIVE or ":" in text[found.start : found.end]:
        return False
    before, after = text[: found.start], text[found.end :]
    if words.PUBLISHED.search(before[-20:]):
        return False
    if _NAME_OR_CALL.search(f"{before}\0{text[found.start :]}") and not _DATE_NAMES.search(names):
        return True
    if _GOES_ON.match(after) and not _WITHIN_HOURS.search(text[found.start : found.end]):
        return True
    return bool(re.search(r"[.!?。]$", text)) and len(_LOWER_WORD.findall(before + after)) >= 3


def _is_calendar(block: Block, moment: Moment, reader: Reader) -> bool:
    """Whether a day or a clock above a headline is that of the reading, which sites show as their own."""
    if block.place >= 0 or _DATE_NAMES.search(block.names):
        return False
    if moment.confidence is Confidence.DAY:
        return reader.day(moment) == reader.today
    since = abs(moment.at - reader.now)
    off_zone = since % HOUR  # a clock may run in another zone than the source's; closer, or fresh articles have no date
    is_other = moment.confidence is Confidence.ZONE_ASSUMED and since < timedelta(hours=15)
    is_other = is_other and min(off_zone, HOUR - off_zone) <= CLOCKS / 2
    return moment.confidence in EXACT and (since <= CLOCKS or is_other)


def _is_clock(moment: Moment, before: str, reader: Reader) -> bool:
    """Whether an exact time without a word of publication is that of the reading: a clock, or what is live."""
    return moment.confidence in EXACT and abs(moment.at - reader.now) <= CLOCKS and not words.publishes(before)


def _terse(text: str, reader: Reader, *, named: bool) -> Iterator[Clue]:
    """12-30 and 5d, which are dates only where a page says that one stands there: by a name, or after a mark (By Ann • 5d)."""
    day, age = _MONTH_AND_DAY.search(text) if named else None, (_AGE if named else _AGE_AFTER_MARK).search(text)
    written = f"{day[1]}月{day[2]}日" if day else f"{age[1]} ago" if age and not _NO_CLOCK.search(text) else ""
    if moment := reader.one(written) if written else None:
        yield Clue(moment, "named")


def _rank(block: Block, before: str, rest: str, after: str, *, last: bool, year: int) -> str:
    """What a date is worth by the place and the words it stands with; "" for one that is only mentioned."""
    of_this = words.OF_THIS.search(before)
    if len(block.text) > SHORT or ((words.SENTENCE.search(rest) or words.TOLD.search(before[-60:])) and not of_this):
        return ""
    near = 0 < block.place <= NEAR
    if words.ONLY_ON.search(before) and _GOES_ON.match(after):
        return ""
    if words.WRITTEN.search(before[-14:]):
        return "end"
    if of_this or (words.PUBLISHED.search(before[-20:]) and len(rest) < 100):
        return "label" if near or block.place < 0 else "end" if len(rest) < 12 else "late" if block.place > 0 else "end"
    if year < WEB:
        return ""
    if near and _DATE_NAMES.search(block.names):
        return "named"
    if near and len(rest) < 80:
        return "headline"
    if -4 <= block.place < 0 and (len(rest) < 40 or _DATE_NAMES.search(block.names)):
        return "above"
    if block.place > NEAR and words.PRINTED.match(after) and len(rest) < 60:
        return "end"
    return (
        "end" if len(rest) < 12 and (last or block.place > 0) else "end" if block.place == 0 and len(rest) < 80 else ""
    )


def lone_clock(day: str, shown: list[Block], reader: Reader) -> Moment | None:
    """14:05 beside the headline, where the page tells its day elsewhere."""
    dated = False
    for block in shown:
        if block.around or block.of_others or not -4 <= block.place <= NEAR or block.place == 0 or len(block.text) > 60:
            dated = False
            continue
        text = normalised(block.text)
        if moments := reader.all(text):
            dated = any(reader.day(found.moment) == day for found in moments)
            continue
        clocks = [match for match in _BARE_CLOCK.finditer(text) if match["minute"] or match["ampm"]]
        told = dated or _DATE_NAMES.search(block.names) or words.PUBLISHED.search(text) or _BYLINE.search(text)
        dated = False
        if (
            len(clocks) == 1
            and told
            and not _NO_CLOCK.search(f"{block.names} {text}")
            and not words.CHANGED.search(text)
            and not words.FOREIGN.search(text[: clocks[0].start()])
        ):
            moment = reader.one(f"{day} {clocks[0][0]}")
            if moment and moment.at <= reader.now + SKEW:
                return moment
    return None


def datelines(shown: list[Block], near: datetime | None, reader: Reader) -> Iterator[Clue]:
    """新华社北京3月5日电; LONDON, March 5 (Reuters). One that the page's address denies (`near`) is none of its own."""
    for block in [block for block in shown if not block.around and not block.of_others and len(block.text) > 30][:3]:
        text = normalised(block.text[:200])
        match = _DATELINE.search(text) or _DATELINE_ENGLISH.search(text) or _DATELINE_DAY_FIRST.search(text)
        written = next((said for said in match.groupdict().values() if said), "") if match else ""
        moment = reader.one(written) if written else None
        if moment and (near is None or abs(moment.at - near) <= timedelta(days=10)):
            yield Clue(Moment(moment.at, Confidence.GUESSED), "dateline")
