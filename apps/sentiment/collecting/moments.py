"""Dates and times as people and machines write them, Chinese and English, found in a line of text."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from apps.sentiment.collecting import phrases
from apps.sentiment.collecting.habits import UNKNOWN, Habits
from apps.sentiment.collecting.items import SKEW, Confidence, Moment
from apps.sentiment.collecting.numerals import normalised
from apps.sentiment.collecting.phrases import CLOCK, YEAR
from apps.sentiment.collecting.zones import NAMED_IN_CHINESE, zone_of

_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: at for at, name in enumerate(_NAMES, 1)}
_SECONDS = {
    "秒": 1, "分": 60, "小": 3600, "时": 3600, "時": 3600, "钟": 3600, "天": 86_400, "日": 86_400, "周": 604_800, "週": 604_800,
    "星": 604_800, "礼": 604_800, "月": 2_592_000, "年": 31_536_000,
    "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "mo": 2_592_000, "y": 31_536_000,
}  # fmt: skip
_DAYS_BACK = {"今": 0, "昨": 1, "前": 2, "大": 3, "today": 0, "yesterday": 1, "day before yesterday": 2}
_AFTERNOON = ("下午", "晚上", "晚间", "晚間", "深夜", "夜间", "夜間", "傍晚", "午后", "午後", "晚", "pm")
_WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


_HOPE = re.compile(
    r"[\d〇零一二三四五六七八九十今昨前刚剛半几幾数數]|ago|day\b|now|\blast\b|[上本这這](?:周|週|星期|礼拜|禮拜)", re.I
)  # a text without these has no date


@dataclass(frozen=True)
class Found:
    """A date in a text: where it stands and what it says."""

    start: int
    end: int
    moment: Moment


@dataclass(frozen=True)
class _Reading:
    """What all readers need: the moment of reading, the zone of the source and the habits of its site."""

    now: datetime
    zone: tzinfo
    habits: Habits

    @property
    def today(self) -> date:
        return self.today_in("")

    def today_in(self, name: str) -> date:
        """The day of reading in a zone that is named, else in that of all times of the page, else in the source's."""
        local = self.now.astimezone(self.zone).replace(tzinfo=None)
        return self.now.astimezone(self.zone_of(name, local)[0]).date()

    def told(self, name: str) -> "_Reading":
        return replace(self, habits=replace(self.habits, told_zone=name))

    def zone_of(self, name: str, local: datetime) -> tuple[tzinfo, bool]:
        return zone_of(name or self.habits.told_zone, local, self.zone, self.habits.country)


def _pattern(day: str) -> re.Pattern[str]:
    """A day and the time that may follow it."""
    return re.compile(rf"{day}(?:{phrases.GAP}{phrases.ZONE_BEFORE}{CLOCK})?", re.I)


def _clock_first(day: str) -> re.Pattern[str]:
    """3:04 PM ET, Tuesday, March 5, 2024"""
    return re.compile(
        rf"(?<!\d)(?<!\d:)(?<!\d{{4}} )(?<!\d{{4}}, ){CLOCK}\s*[,，|·]?\s*(?:on\s+)?{phrases.WEEKDAY}?{day}", re.I
    )


_Reader = Callable[[re.Match[str], _Reading], Moment | None]


def read_moment(text: str, *, now: datetime, zone: tzinfo, habits: Habits = UNKNOWN) -> Moment | None:
    """The date a whole value says (an attribute, a field of a feed): also bare seconds or milliseconds since 1970, and a
    day of ISO 8601 that is counted through its year (2024-065)."""
    text = _DATE_OF_NET.sub(r"\1", text.strip())
    if re.fullmatch(r"-?\d{9,10}(?:\.\d+)?|\d{13}|\d{16}", text) and (moment := _epoch(text)):
        return moment
    if moment := _exact(text):
        return moment
    if counted := _ORDINAL.fullmatch(text):
        first = date(int(counted["year"]), 1, 1)
        text = (first + timedelta(days=max(1, int(counted["day"])) - 1)).isoformat() + counted["clock"]
    return next((found.moment for found in find_moments(text, now=now, zone=zone, habits=habits)), None)


_DATE_OF_NET = re.compile(r"\\?/Date\((-?\d{9,13})(?:[+-]\d{4})?\)\\?/")
_RFC_822 = re.compile(
    r"(?:[A-Za-z]{3,9},? )?(\d{1,2}) (jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) (\d{4}) "
    r"(\d\d):(\d\d)(?::([0-5]\d))? (GMT|UTC|Z|[+-]\d{4})",
    re.I,
)
_ORDINAL = re.compile(
    r"(?P<year>(?:19|20)\d\d)-(?P<day>[0-2]\d\d|3[0-5]\d|36[0-6])(?P<clock>(?:T[\d:.]{4,15}(?:Z|[+-]\d\d:?\d\d)?)?)"
)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)")


def _exact(text: str) -> Moment | None:
    """The two forms that most feeds have, a tenth of the general search's time; the weekday of RFC 822 is often wrong."""
    try:
        if _RFC_3339.fullmatch(text):
            return Moment(datetime.fromisoformat(text.upper()).astimezone(UTC), Confidence.STATED)
        if not (found := _RFC_822.fullmatch(text)):
            return None
        day, name, year, hour, minute, second, zone = found.groups()
        local = datetime(int(year), _MONTHS[name.lower()], int(day), int(hour), int(minute), int(second or 0))
        return Moment(local.replace(tzinfo=zone_of(zone, local, UTC)[0]).astimezone(UTC), Confidence.STATED)
    except (ValueError, OverflowError):
        return None


def find_moments(text: str, *, now: datetime, zone: tzinfo, habits: Habits = UNKNOWN) -> list[Found]:
    """All dates of a text in the order they stand; of overlapping readings the more exact one. Texts are cut at
    numerals.MOST_CHARACTERS; positions count in the text as normalised (NFKC, Chinese numbers as digits)."""
    if not _HOPE.search(text):
        return []
    text = normalised(text)
    reading = _Reading(now, zone, habits)
    taken: list[Found] = []
    for pattern, read in _READERS:
        for match in pattern.finditer(text):
            if any(match.start() < other.end and other.start < match.end() for other in taken):
                continue
            told = _ZONE_LEAD.search(text, max(0, match.start() - 12), match.start())
            if moment := _read(read, match, reading.told(told["zone"]) if told else reading):
                taken.append(Found(match.start(), match.end(), moment))
    return sorted(taken, key=lambda found: found.start)


_ZONE_LEAD = re.compile(rf"(?P<zone>{NAMED_IN_CHINESE})\s*[:：,，]?\s*\Z")  # 北京时间2024年3月5日 14:05


def _read(read: _Reader, match: re.Match[str], reading: _Reading) -> Moment | None:
    try:
        return read(match, reading)
    except (ValueError, OverflowError):  # the 31st of February, the year 0
        return None


def _epoch(text: str) -> Moment | None:
    number = float(text)
    scale = {13: 1e3, 16: 1e6}.get(len(text), 1)
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=number / scale)
    return Moment(at, Confidence.STATED)


def _moment(day: date, match: re.Match[str], reading: _Reading, *, at_best: Confidence = Confidence.STATED) -> Moment:
    """A day and the time that was matched beside it. The 24th hour is the next day's first."""
    clock = _clock(match)
    if clock is None:
        first = datetime.combine(day, time(), reading.zone)
        return Moment(first.astimezone(UTC), _worse(Confidence.DAY, at_best))
    local = datetime.combine(day, time()) + clock
    name = _group(match, "zone") or _group(match, "zone_before")
    if _SPAN.fullmatch(name) and not (_group(match, "second") or _group(match, "clock_t")):
        raise ValueError("a span of hours")
    zone, said = reading.zone_of(name, local)
    confidence = Confidence.STATED if said else Confidence.ZONE_ASSUMED
    return Moment(local.replace(tzinfo=zone).astimezone(UTC), _worse(confidence, at_best))


def _worse(one: Confidence, other: Confidence) -> Confidence:
    order = list(Confidence)
    return max(one, other, key=order.index)


def _group(match: re.Match[str], name: str) -> str:
    return (match.groupdict().get(name) or "").strip()


_MINUTES = ("minute", "minute_zh", "minute_dot", "minute_letter", "minute_four")


_SPAN = re.compile(r"-\d\d:\d\d")  # 12:00-22:00; with seconds before it an offset of ISO 8601


def _half(match: re.Match[str]) -> str:
    """Which half of the day, or which part, is said before or after a time: pm, 下午."""
    said = next((said for name in ("half", "half_after", "ampm") if (said := _group(match, name).lower())), "")
    return f"{said}m" if said in ("a", "p") else said


def _clock(match: re.Match[str]) -> timedelta | None:
    if not _group(match, "hour"):
        return None
    hour, half = int(match["hour"]), _half(match)
    minute = next((said for name in _MINUTES if (said := _group(match, name))), "")
    quarter = {"半": 30, "一刻": 15, "1刻": 15, "三刻": 45}.get(_group(match, "quarter"), 0)
    second = int(_group(match, "second") or _group(match, "second_zh") or 0)
    if (half in _AFTERNOON and hour < 12) or (half in ("中午", "正午") and hour < 4):
        hour += 12
    elif hour == 12 and half in ("am", "凌晨", "上午"):
        hour = 0
    if hour > 24 or int(minute or 0) > 59:
        raise ValueError("no such time")
    return timedelta(hours=hour, minutes=int(minute or quarter), seconds=min(second, 59))


def _full_year(year: int) -> int:
    return year if year > 99 else 2000 + year if year < 70 else 1900 + year


def _republic(match: re.Match[str], reading: _Reading) -> Moment:
    """A year of the Republic of China: 113 is 2024."""
    if "sep" in match.re.groupindex and reading.habits.country != "tw":
        raise ValueError("no such year")
    return _moment(date(1911 + int(match["republic"]), int(match["month"]), int(match["day"])), match, reading)


def _week(match: re.Match[str], reading: _Reading) -> Moment:
    day = date.fromisocalendar(int(match["year"]), int(match["week"]), int(match["weekday"]))
    return _moment(day, match, reading)


def _weekday(match: re.Match[str]) -> int:
    return "一二三四五六日".index(match["weekday_zh"].replace("天", "日"))


def _weekday_back(match: re.Match[str], reading: _Reading) -> Moment:
    """Tuesday at 9:15 AM: of the last seven days."""
    name = match.groupdict().get("weekday_name")
    weekday = _WEEKDAYS.index(name.lower()[:3]) if name else _weekday(match)
    for back in range(8):
        day = reading.today - timedelta(days=back)
        if day.weekday() == weekday:
            moment = _moment(day, match, reading, at_best=Confidence.RELATIVE)
            if moment.at <= reading.now:
                return moment
    raise ValueError("no such day")


def _last_weekday(match: re.Match[str], reading: _Reading) -> Moment:
    """last Tuesday: the last one before today."""
    back = (reading.today.weekday() - _WEEKDAYS.index(match["weekday_name"].lower()) - 1) % 7 + 1
    return _moment(reading.today - timedelta(days=back), match, reading, at_best=Confidence.RELATIVE)


def _week_and_day(match: re.Match[str], reading: _Reading) -> Moment:
    """上周五: of the week before, whose first day is Monday."""
    monday = reading.today - timedelta(days=reading.today.weekday() + 7 * match["week"].count("上"))
    return _moment(monday + timedelta(days=_weekday(match)), match, reading, at_best=Confidence.RELATIVE)


def _numbers(match: re.Match[str], reading: _Reading) -> Moment:
    """Year, month and day as numbers, in the order of their names."""
    return _moment(date(_full_year(int(match["year"])), int(match["month"]), int(match["day"])), match, reading)


def _named(match: re.Match[str], reading: _Reading) -> Moment:
    """A month by its English name; without a year the last such day."""
    month, year = _MONTHS[match["name"].lower()[:3]], _group(match, "year")
    if year:
        return _moment(date(_full_year(int(year)), month, int(match["day"])), match, reading)
    return _last(month, int(match["day"]), match, reading)


def _without_year(match: re.Match[str], reading: _Reading) -> Moment:
    return _last(int(match["month"]), int(match["day"]), match, reading)


def _last(month: int, day: int, match: re.Match[str], reading: _Reading) -> Moment:
    """The last such day that is not to come; where the page's address tells a day, the one near that. Its year is a guess."""
    bound = min(reading.now, reading.habits.near + timedelta(days=180)) if reading.habits.near else reading.now
    for year in range(bound.year + 1, bound.year - 9, -1):  # 29th of February: up to eight years back
        try:
            moment = _moment(date(year, month, day), match, reading, at_best=Confidence.GUESSED)
        except ValueError:
            continue
        if moment.at <= bound + SKEW:
            return moment
    raise ValueError("no such day")


def _slashed(match: re.Match[str], reading: _Reading) -> Moment:
    """03/04/2024: the third of April, in America the fourth of March; a guess where both are days gone by."""
    one, other, year = int(match["one"]), int(match["other"]), _full_year(int(match["year"]))
    if one > 12 or other > 12 or one == other:
        return _moment(
            date(year, min(one, other), max(one, other)) if other > 12 else date(year, other, one), match, reading
        )
    habits = reading.habits
    of_board = match["sep"] == "-" and bool(_BOARD.search(match[0])) and habits.may_be_month_first
    month_first = habits.month_first(reading.zone) or of_board
    first, second = (date(year, one, other), date(year, other, one))[:: 1 if month_first else -1]
    if first > reading.today >= second and not habits.is_sure_of_order:
        return _moment(second, match, reading)
    sure = second > reading.today or habits.proven_month_first is not None
    return _moment(first, match, reading, at_best=Confidence.STATED if sure else Confidence.GUESSED)


_BOARD = re.compile(r"\d{4}, \d\d:\d\d [AP]M")  # 03-05-2024, 02:05 PM: how boards of America are delivered


def _short_year(match: re.Match[str], reading: _Reading) -> Moment:
    """25-11-10 in Asia, 10/11/25 elsewhere (11/10/25 in America): the first of these that is a day gone by. A guess."""
    one, two, three = match["one"], match["two"], match["three"]
    habits = reading.habits
    year_first, day_first, month_first = (one, two, three), (three, two, one), (three, one, two)
    orders = [month_first, day_first] if habits.month_first(reading.zone) else [day_first, month_first]
    orders = [year_first, *orders] if habits.year_first(reading.zone) else [*orders, year_first]
    for year, month, day in orders:
        if len(year) < 2 or (len(three) < 2 and year is not one):
            continue
        try:
            at = date(2000 + int(year), int(month), int(day))
        except ValueError:
            continue
        if at <= reading.today:
            return _moment(at, match, reading, at_best=Confidence.GUESSED)
    raise ValueError("no such day")


def _day_back(match: re.Match[str], reading: _Reading) -> Moment:
    back = _DAYS_BACK[match["back"].lower() if match["back"].isascii() else match["back"][0]]
    today = reading.today_in(_group(match, "zone"))
    return _moment(today - timedelta(days=back), match, reading, at_best=Confidence.RELATIVE)


def _ago(match: re.Match[str], reading: _Reading) -> Moment:
    amount, unit = match["amount"].lower(), match["unit"].lower()
    key = ("mo" if unit.startswith("mo") else unit[0]) if unit.isascii() else unit.lstrip("个個")[0]
    number = (
        0.5 if amount in ("半", "half", "half a", "half an") else 1 if amount in ("a", "an", "one") else int(amount)
    )
    number += int(_group(match, "hours") or 0) * 3600 / _SECONDS[key]
    seconds = number * _SECONDS[key] + (_SECONDS[key] / 2 if _group(match, "and_half") else 0)
    return Moment((reading.now - timedelta(seconds=seconds)).astimezone(UTC), Confidence.RELATIVE)


def _just_now(match: re.Match[str], reading: _Reading) -> Moment:
    return Moment(reading.now.astimezone(UTC), Confidence.RELATIVE)


def _compact(match: re.Match[str], reading: _Reading) -> Moment:
    """20240305T150405Z, 20240305150405, 20240305."""
    day, clock = date(int(match["year"]), int(match["month"]), int(match["day"])), match["clock"] or ""
    if not clock:
        return _moment(day, match, reading)
    local = datetime.combine(day, time(int(clock[:2]), int(clock[2:4]), min(59, int(clock[4:6] or 0))))
    zone, said = reading.zone_of(_group(match, "zone"), local)
    return Moment(local.replace(tzinfo=zone).astimezone(UTC), Confidence.STATED if said else Confidence.ZONE_ASSUMED)


def _iso(match: re.Match[str], reading: _Reading) -> Moment:
    moment = _numbers(match, reading)
    if match["clock_t"] and not _group(match, "zone") and _clock(match) == timedelta():
        return Moment(moment.at, Confidence.DAY)  # T00:00:00 without a zone is a day in a field that wants a time
    return moment


_READERS: tuple[tuple[re.Pattern[str], _Reader], ...] = (
    (re.compile(rf"{phrases.YEAR_MONTH_DAY}(?P<clock_t>T){CLOCK}(?:\[[\w/]+\])?", re.I), _iso),
    (_pattern(phrases.REPUBLIC_DAY), _republic),
    (_pattern(phrases.CHINESE_DAY), _numbers),
    (_pattern(phrases.CHINESE_MONTH_FIRST), _numbers),
    (_pattern(phrases.CHINESE_DAY_FIRST), _numbers),
    (re.compile(rf"{phrases.ISO_WEEK}(?:T{CLOCK})?", re.I), _week),
    (
        re.compile(rf"(?<!\d )(?<!\d, )(?<!\d)(?<!\d:){CLOCK}\s+{phrases.YEAR_MONTH_DAY}(?!{phrases.GAP}\d)", re.I),
        _numbers,
    ),
    (_pattern(phrases.YEAR_MONTH_DAY), _numbers),
    (_pattern(phrases.YEAR_BOX), _numbers),
    (_pattern(phrases.YEAR_MONTH_BOX), _numbers),
    (re.compile(phrases.COMPACT), _compact),
    (_pattern(phrases.YEAR_AND_NAME), _named),
    (_clock_first(rf"{phrases.MONTH_AND_DAY}\s*,?\s+{YEAR}(?!\d)"), _named),
    (_clock_first(rf"{phrases.DAY_AND_MONTH}[\s,/-]\s*{YEAR}(?!\d)"), _named),
    (re.compile(phrases.UNIX_DATE, re.I), _named),
    (_pattern(rf"{phrases.MONTH_AND_DAY}\s*,?\s+{YEAR}(?!\d)"), _named),
    (
        _pattern(
            rf"{phrases.DAY_AND_MONTH}[\s,/-]\s*(?P<year>(?:19|20)\d\d|\d\d(?=\s+\d\d:)|(?<=-|['’])\d\d)(?![\d:])"
        ),
        _named,
    ),
    (_pattern(phrases.SLASHED), _slashed),
    (_pattern(phrases.REPUBLIC_NUMBERS), _republic),
    (_pattern(phrases.SHORT_YEAR_DAY), _short_year),
    (_pattern(phrases.DOTTED_DAY), _short_year),
    (re.compile(phrases.DAY_BOX), _numbers),
    (re.compile(phrases.MONTH_DAY_BOX), _numbers),
    (_pattern(phrases.CHINESE_DAY_ALONE), _without_year),
    (_pattern(phrases.DAY_BACK), _day_back),
    (re.compile(phrases.AGO_CHINESE), _ago),
    (re.compile(phrases.AGO_ENGLISH, re.I), _ago),
    (re.compile(phrases.JUST_NOW, re.I), _just_now),
    (re.compile(rf"(?<![\d./-]){phrases.month_day('[-/]')}\s+{CLOCK}", re.I), _without_year),
    (_pattern(phrases.MONTH_AND_DAY + phrases.NO_YEAR_AFTER), _named),
    (_pattern(phrases.DAY_AND_MONTH + phrases.NO_YEAR_AFTER), _named),
    (re.compile(phrases.WEEKDAY_BACK, re.I), _weekday_back),
    (_pattern(phrases.LAST_WEEKDAY), _last_weekday),
    (_pattern(phrases.WEEK_AND_DAY), _week_and_day),
    (re.compile(phrases.WEEKDAY_BACK_CHINESE, re.I), _weekday_back),
)
