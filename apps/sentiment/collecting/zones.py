"""Names of time zones as people write them, and which of several namesakes a source means."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_HOURS = {
    "z": 0, "utc": 0, "gmt": 0, "ut": 0, "wet": 0, "est": -5, "edt": -4, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
    "akst": -9, "akdt": -8, "hst": -10, "bst": 1, "west": 1, "cet": 1, "cest": 2, "eet": 2, "eest": 3, "msk": 3, "sast": 2,
    "hkt": 8, "sgt": 8, "jst": 9, "kst": 9, "awst": 8, "aest": 10, "aedt": 11, "nzst": 12, "nzdt": 13, "brt": -3, "art": -3,
    "gst": 4, "pkt": 5, "wib": 7, "ict": 7, "pht": 8,
}  # fmt: skip
_PLACES = {
    "et": "America/New_York", "ct": "America/Chicago", "mt": "America/Denver", "pt": "America/Los_Angeles",
    "eastern": "America/New_York", "central": "America/Chicago", "mountain": "America/Denver", "pacific": "America/Los_Angeles",
    "北京": "Asia/Shanghai", "beijing": "Asia/Shanghai", "香港": "Asia/Hong_Kong", "台北": "Asia/Taipei", "东京": "Asia/Tokyo",
    "東京": "Asia/Tokyo", "美东": "America/New_York", "美東": "America/New_York", "东部": "America/New_York",
    "伦敦": "Europe/London", "倫敦": "Europe/London", "格林尼治": "UTC", "london": "Europe/London", "hong kong": "Asia/Hong_Kong",
    "singapore": "Asia/Singapore", "new york": "America/New_York", "tokyo": "Asia/Tokyo",
}  # fmt: skip
_SHARED = {
    "cst": -6.0,
    "ist": 5.5,
    "ast": -4.0,
    "sst": 8.0,
}  # most frequent meaning where the source's zone does not decide
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

_ABBREVIATIONS = sorted({*_HOURS, *_SHARED, "et", "ct", "mt", "pt"}, key=lambda name: (-len(name), name))
_PLACE = r"Eastern|Central|Mountain|Pacific|Beijing|London|Hong Kong|Singapore|New York|Tokyo"
_CHINESE = r"北京|香港|台北|东京|東京|美东|美東|东部|伦敦|倫敦|格林尼治"

# What may follow a time of day. Abbreviations are capitals: "et" is a word.
PATTERN = (
    rf"(?:(?:UTC|GMT)?\s*[+-]\d{{1,2}}(?::?\d{{2}})?(?!\d)|(?:{_PLACE})(?:\s+(?:Standard|Daylight))?(?:\s+Time)?"
    rf"|(?:{_CHINESE})(?:时间|時間)|(?-i:{'|'.join(_ABBREVIATIONS).upper()})(?![A-Za-z]))"
)


def zone_of(name: str, local: datetime, source: tzinfo) -> tuple[tzinfo, bool]:
    """The zone a name means at that local time, and whether it says so by itself; without a name that of the source."""
    said = re.sub(r"\s+(standard|daylight|time|时间|時間)\b|时间$|時間$", "", name.strip().lower()).strip()
    if not said:
        return source, False
    if offset := _OFFSET.match(said):
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return (
            (timezone(timedelta(minutes=minutes if offset[1] == "+" else -minutes)), True)
            if minutes <= 14 * 60
            else (source, False)
        )
    if said in _PLACES:
        return ZoneInfo(_PLACES[said]), True
    if said in _SHARED:
        return _namesake(said, local, source), False
    return (UTC if _HOURS[said] == 0 else timezone(timedelta(hours=_HOURS[said]))), True


def _namesake(name: str, local: datetime, source: tzinfo) -> tzinfo:
    """CST is China's and Chicago's: the source's own zone decides when it goes by that name."""
    if (local.replace(tzinfo=source).tzname() or "").lower() == name or (name == "cst" and str(source) in _CHINA):
        return source
    return timezone(timedelta(hours=_SHARED[name]))
