"""Names of time zones as people write them, and which of several namesakes a source means."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_HOURS = {
    "z": 0, "utc": 0, "gmt": 0, "ut": 0, "wet": 0, "est": -5, "edt": -4, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
    "akst": -9, "akdt": -8, "hst": -10, "bst": 1, "west": 1, "cet": 1, "cest": 2, "eet": 2, "eest": 3, "msk": 3, "sast": 2,
    "hkt": 8, "sgt": 8, "jst": 9, "kst": 9, "awst": 8, "aest": 10, "aedt": 11, "nzst": 12, "nzdt": 13, "brt": -3, "art": -3,
    "gst": 4, "pkt": 5, "wib": 7, "ict": 7, "pht": 8, "nst": -3.5, "ndt": -2.5, "adt": -3, "acst": 9.5, "acdt": 10.5, "acwst": 8.75,
    "wat": 1, "cat": 2, "eat": 3, "myt": 8, "npt": 5.75, "slst": 5.5, "chst": 10, "lhst": 10.5, "trt": 3,
}  # fmt: skip
_PLACES = {
    "et": "America/New_York", "ct": "America/Chicago", "mt": "America/Denver", "pt": "America/Los_Angeles",
    "eastern": "America/New_York", "central": "America/Chicago", "mountain": "America/Denver", "pacific": "America/Los_Angeles",
    "北京": "Asia/Shanghai", "beijing": "Asia/Shanghai", "香港": "Asia/Hong_Kong", "台北": "Asia/Taipei", "东京": "Asia/Tokyo",
    "東京": "Asia/Tokyo", "美东": "America/New_York", "美東": "America/New_York", "东部": "America/New_York",
    "伦敦": "Europe/London", "倫敦": "Europe/London", "格林尼治": "UTC", "london": "Europe/London", "hong kong": "Asia/Hong_Kong",
    "singapore": "Asia/Singapore", "new york": "America/New_York", "tokyo": "Asia/Tokyo", "atlantic": "America/Halifax",
    "newfoundland": "America/St_Johns", "india": "Asia/Kolkata", "indian": "Asia/Kolkata", "south africa": "Africa/Johannesburg",
    "south african": "Africa/Johannesburg", "sydney": "Australia/Sydney", "melbourne": "Australia/Melbourne", "perth": "Australia/Perth",
    "new zealand": "Pacific/Auckland", "uk": "Europe/London", "irish": "Europe/Dublin", "british summer": "Europe/London",
    "greenwich mean": "UTC", "coordinated universal": "UTC", "australian eastern": "Australia/Sydney", "aet": "Australia/Sydney",
    "australian central": "Australia/Adelaide", "australian western": "Australia/Perth", "philippine": "Asia/Manila",
    "malaysia": "Asia/Kuala_Lumpur", "central africa": "Africa/Maputo", "east africa": "Africa/Nairobi", "west africa": "Africa/Lagos",
    "central european": "Europe/Berlin", "eastern european": "Europe/Helsinki", "western european": "Europe/Lisbon",
    "japan": "Asia/Tokyo", "korea": "Asia/Seoul", "china": "Asia/Shanghai", "gulf": "Asia/Dubai", "dubai": "Asia/Dubai",
    "moscow": "Europe/Moscow", "pakistan": "Asia/Karachi", "israel": "Asia/Jerusalem", "paris": "Europe/Paris",
    "berlin": "Europe/Berlin", "frankfurt": "Europe/Berlin", "seoul": "Asia/Seoul", "shanghai": "Asia/Shanghai",
    "taipei": "Asia/Taipei", "bangkok": "Asia/Bangkok", "jakarta": "Asia/Jakarta", "首尔": "Asia/Seoul", "首爾": "Asia/Seoul",
    "莫斯科": "Europe/Moscow", "巴黎": "Europe/Paris", "柏林": "Europe/Berlin", "迪拜": "Asia/Dubai", "中欧": "Europe/Berlin",
    "中歐": "Europe/Berlin", "欧洲中部": "Europe/Berlin", "美西": "America/Los_Angeles", "太平洋": "America/Los_Angeles",
    "东八区": "Asia/Shanghai", "新加坡": "Asia/Singapore", "纽约": "America/New_York",
    "紐約": "America/New_York", "澳门": "Asia/Macau", "澳門": "Asia/Macau", "悉尼": "Australia/Sydney", "臺北": "Asia/Taipei",
}  # fmt: skip
# Names of several zones: the most frequent meaning, and that of countries where the same letters mean another.
_SHARED = {"cst": -6.0, "ist": 5.5, "ast": -4.0, "sst": 8.0, "wst": 8.0}
_NATIONAL = {
    ("cst", "cn"): 8.0, ("cst", "tw"): 8.0, ("cst", "hk"): 8.0, ("cst", "mo"): 8.0, ("cst", "au"): 9.5, ("cdt", "au"): 10.5,
    ("ist", "ie"): 1.0, ("ist", "il"): 2.0, ("est", "au"): 10.0, ("edt", "au"): 11.0, ("bst", "bd"): 6.0, ("pst", "ph"): 8.0,
    ("ast", "sa"): 3.0, ("ast", "qa"): 3.0, ("ast", "kw"): 3.0, ("ast", "bh"): 3.0, ("sst", "us"): -11.0,
}  # fmt: skip
_AUSTRALIAN = {"eastern": "Australia/Sydney", "central": "Australia/Adelaide", "et": "Australia/Sydney"}
_CANADIAN = {"at": "America/Halifax", "nt": "America/St_Johns"}  # elsewhere a word
_CHINA = {
    "Asia/Shanghai",
    "Asia/Taipei",
    "Asia/Hong_Kong",
    "Asia/Macau",
    "Asia/Chongqing",
    "Asia/Urumqi",
    "Asia/Singapore",
    "PRC",
}
_OFFSET = re.compile(r"^(?:utc|gmt)?\s*([+-])(\d{1,2}):?(\d{2})?$")

_ABBREVIATIONS = sorted(
    {*_HOURS, *_SHARED, *_CANADIAN, "et", "ct", "mt", "pt", "aet"}, key=lambda name: (-len(name), name)
)
_PLACE = r"Eastern|Central|Mountain|Pacific|Beijing|London|Hong Kong|Singapore|New York|Tokyo"
_WITH_TIME = "|".join(
    sorted((name for name in _PLACES if (name.isascii() and len(name) > 3) or name == "uk"), key=len, reverse=True)
)
_CHINESE = "|".join(name for name in _PLACES if not name.isascii())

# What may follow a time of day. Abbreviations are capitals: "et" is a word.
PATTERN = (
    rf"(?:(?:UTC|GMT)?\s*[+-]\d{{1,2}}(?::?\d{{2}})?(?!\d)|(?:{_WITH_TIME})(?:\s+(?:Standard|Daylight|Summer))?\s+Time\b"
    rf"|(?:{_PLACE})(?:\s+(?:Standard|Daylight))?"
    rf"|(?:{_CHINESE})(?:时间|時間)|(?-i:{'|'.join(_ABBREVIATIONS).upper()})(?![A-Za-z]))"
)

NAMED_IN_CHINESE = rf"(?:{_CHINESE})(?:时间|時間)"  # may also stand before a time
_HOPE = re.compile(r"[Tt]imes? |[Tt]ime ?zone|时区|時區|[时時][间間].{0,3}[为為是以采採]|GMT|UTC")
MOST_TOLD = 200  # characters of a line that tells the zone of all times
_TOLD = re.compile(
    r"(?:\b(?:all|displayed)\s+(?:dates\s+and\s+)?times\s+(?:(?:shown|listed|displayed|given|quoted)\s+)?(?:are\s+|is\s+)?(?:(?:shown|displayed|given|listed|set)\s+)?(?:in\s+|to\s+)?(?:the\s+)?"
    r"|^\W{0,3}times\s+(?:shown\s+|displayed\s+|are\s+)(?:(?:shown|displayed)\s+)?(?:in\s+)?"
    r"|^\W{0,3}(?:current\s+)?time\s?zone(?:\s+is)?\s*[:：]?\s*|(?:当前|目前|當前|所在|论坛|論壇)(?:的)?(?:时区|時區)\s*(?:为|為|是)?\s*[:：]?\s*"
    r"|^\W{0,3}(?:时区|時區)\s*[:：]?\s*|(?:所有|全部|本站|本论坛|本論壇|显示的|顯示的)(?:的)?(?:显示的|顯示的)?(?:时间|時間)\s*(?:均|皆|都)?(?:为|為|是|以|采用|採用)\s*"
    r"|^(?=(?:GMT|UTC)\s?[+-]\s?\d{1,2}(?::\d\d)?,\s?\d{4}-\d))"
    r"(?:(?:UTC|GMT)\s?(?P<sign>[+-])\s?(?P<hours>\d{1,2})(?:[:.]?(?P<minutes>\d\d))?(?!\d)(?:\s?hours?|\s?小时|\s?小時)?(?P<dst>\s?\[\s?DST\s?\])?"
    rf"|(?P<name>{PATTERN}))",
    re.I,
)


def told_zone(lines: Iterable[str]) -> str:
    """The zone that a page names for all its times, as boards do in their footers ("All times are GMT -5"); "" where none
    does, or two differ."""
    told = set()
    for line in lines:
        if len(line) > MOST_TOLD or not _HOPE.search(line) or not (match := _TOLD.search(" ".join(line.split()))):
            continue
        if match["sign"]:
            minutes = int(match["sign"] + "1") * (int(match["hours"]) * 60 + int(match["minutes"] or 0))
            minutes += 60 * bool(match["dst"])
            told.add(f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}")
        else:
            told.add(match["name"].strip())
    return told.pop() if len(told) == 1 else ""


def zone_of(name: str, local: datetime, source: tzinfo, country: str = "") -> tuple[tzinfo, bool]:
    """The zone a name means at that local time, and whether it says so by itself; without a name that of the source. What
    a name of several zones means the country decides, then the source's own zone."""
    said = re.sub(r"\s+(standard|daylight|summer|time|时间|時間)\b|时间$|時間$", "", name.strip().lower()).strip()
    said = " ".join(re.sub(r"\s+(?:standard|daylight|summer)$", "", said).split())
    if not said:
        return source, False
    if offset := _OFFSET.match(said):
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return (
            (timezone(timedelta(minutes=minutes if offset[1] == "+" else -minutes)), True)
            if minutes <= 14 * 60
            else (source, False)
        )
    if said in _CANADIAN:
        return (ZoneInfo(_CANADIAN[said]), False) if country == "ca" else (source, False)
    if country == "au" and said in _AUSTRALIAN:
        return ZoneInfo(_AUSTRALIAN[said]), False
    if said in _PLACES:
        return ZoneInfo(_PLACES[said]), True
    if said in _SHARED or (said, country) in _NATIONAL:
        return _namesake(said, local, source, country), False
    return (UTC if _HOURS[said] == 0 else timezone(timedelta(hours=_HOURS[said]))), True


def _namesake(name: str, local: datetime, source: tzinfo, country: str) -> tzinfo:
    """CST is China's and Chicago's: the site's country decides, else the source's own zone when it goes by that name."""
    if (name, country) in _NATIONAL:
        return timezone(timedelta(hours=_NATIONAL[name, country]))
    own = (local.replace(tzinfo=source).tzname() or "").lower() == name or (name == "cst" and str(source) in _CHINA)
    if own and country not in ("us", "ca"):
        return source
    return timezone(timedelta(hours=_SHARED[name]))
