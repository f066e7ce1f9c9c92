"""Patterns of dates and times in Chinese and English. Every named group is read in moments.py."""

from apps.sentiment.collecting.zones import NAMED_IN_CHINESE
from apps.sentiment.collecting.zones import PATTERN as ZONE

_HALF_DAY = (
    r"(?:(?P<half>上午|下午|早上|早晨|早间|早間|清早|凌晨|清晨|中午|正午|晚上|晚间|晚間|深夜|夜间|夜間"
    r"|傍晚|午后|午後|晚|早|晨|[ap]m(?=\s*\d{1,2}:))\s*)?"
)
_WITH_COLON = r"\s*[:∶]\s?(?P<minute>[0-5]\d)(?!\d)(?:\s*:\s?(?P<second>[0-6]\d)(?:[.,]\d{1,9})?)?(?!\.?\d)"
_WITH_DOT = r"\.(?P<minute_dot>[0-5]\d)(?=\s?(?:[ap]\.?\s?m|hrs?|hours|(?-i:[A-Z]{3,5}))\b|\s*$|\s+[|·])"
_WITH_LETTER = r"h(?P<minute_letter>[0-5]\d)\b"  # 14h05 of South Africa
_FOUR_DIGITS = (
    r"(?<=\d\d)(?P<minute_four>[0-5]\d)(?=\s?(?:hrs?\b|hours\b|(?-i:GMT|UTC|IST|SAST|BST|AES?T|AEDT|HKT|SGT)\b))"
)
_IN_CHINESE = r"\s*(?:时|時|点|點)(?:(?P<minute_zh>\d{1,2})\s*分?|(?P<quarter>半|整|一刻|1刻|三刻))?(?:(?P<second_zh>\d{1,2})\s*秒)?"
CLOCK = (
    rf"{_HALF_DAY}(?P<hour>\d{{1,2}})(?:{_WITH_COLON}|{_WITH_DOT}|{_WITH_LETTER}|{_FOUR_DIGITS}|{_IN_CHINESE}|(?=\s*[ap]\.?m\b))"
    rf"(?:\s*(?P<ampm>[ap])\.?\s?m\b\.?|\s+(?P<half_after>上午|下午|晚上|凌晨)(?![\u4e00-\u9fff]))?(?:\s?(?:hrs?|hours)\b\.?)?(?:\s*[(,]?\s*(?P<zone>{ZONE})\)?)?"
)
# What stands between a day and its time: a mark, "at", a weekday.
GAP = (
    r"(?:\s*[,，、|·•/()@‧]?\s*(?:[-–—]{1,2}\s+)?(?:issued\s+)?(?:at\s+|on\s+)?"
    r"(?:[(（]?(?:星期|周|週|礼拜|禮拜)[一二三四五六日天1-7][)）]?|[(（][一二三四五六日][)）])?\s*[,，|(]?\s*"
    r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b\.?,?\s*)?)"
)
# 2024-03-05 HKT 14:05, 香港時間14時05分
ZONE_BEFORE = rf"(?:(?P<zone_before>(?-i:HKT|SGT|GMT|IST|SAST|UTC)(?=\s)|{NAMED_IN_CHINESE})\s*)?"
WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b\.?,?\s*)"
YEAR = r"(?P<year>(?:19|20)\d\d)"
SHORT_YEAR = r"(?P<year>(?:19|20)\d\d|\d\d)"
_MONTH_NAME = r"(?P<name>jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)(?:uary|ruary|ch|il|e|y|ust|tember|ember|ober)?\b\.?"
_DAY = r"3[01]|[12]\d|0?[1-9]"


def month_day(between: str) -> str:
    """Month and day as numbers with something between them."""
    return rf"(?P<month>0?[1-9]|1[0-2]){between}(?P<day>{_DAY})"


YEAR_MONTH_DAY = rf"(?<![\d.]){YEAR}\s?(?P<sep>[-/.])\s?" + month_day(r"\s?(?P=sep)\s?") + r"(?!\d)"
CHINESE_DAY = rf"(?<!\d){SHORT_YEAR}\s*年\s*" + month_day(r"\s*月\s*") + r"(?:\s*[日号號])?"
CHINESE_DAY_ALONE = r"(?<!\d)" + month_day(r"\s*月\s*") + r"\s*[日号號]"
# 民國113年3月5日; three digits are a year of the Republic wherever they stand, 113/03/05 only on pages of Taiwan
REPUBLIC_DAY = (
    r"(?:(?:中華|中华)?民[國国]\s*|(?<!\d)(?=1\d\d\s*年))(?P<republic>\d{1,3})\s*年\s*"
    + month_day(r"\s*月\s*")
    + r"(?:\s*[日号號])?"
)
REPUBLIC_NUMBERS = rf"(?<![\d/.-])(?<!\d:)(?P<republic>1[0-4]\d|[89]\d)(?P<sep>[-/.]){month_day('(?P=sep)')}(?![\d/.-])"
CHINESE_MONTH_FIRST = (  # 三月 5, 2024
    rf"(?<!\d)(?P<month>0?[1-9]|1[0-2])\s?月\s?(?P<day>{_DAY})(?:\s?[日号號])?(?:,\s?|\s?[/.-]\s?|\s){YEAR}(?!\d|\s?年)"
)
CHINESE_DAY_FIRST = (  # 5 三月 2024, 05 / 3月 2024
    rf"(?<![\d/.-])(?P<day>{_DAY})(?:\s?日)?(?:\s?[/.-]\s?|\s)(?P<month>0?[1-9]|1[0-2])\s?月(?:,?\s|\s?[/.-]\s?){YEAR}(?!\d|\s?年)"
)
ISO_WEEK = rf"(?<![\w-]){YEAR}-W(?P<week>[0-5]\d)-(?P<weekday>[1-7])(?![\d-])"
YEAR_AND_NAME = rf"(?<![\d.-]){YEAR}[\s,./-]\s?{_MONTH_NAME}[\s,./-]\s?(?P<day>{_DAY})(?:st|nd|rd|th)?(?![\d:])"
DAY_AND_MONTH = rf"(?<!\d)(?P<day>{_DAY})(?:\s?(?:st|nd|rd|th)\b)?(?:\s+(?:day\s+)?of)?[\s/.,-]\s*{_MONTH_NAME}"
MONTH_AND_DAY = rf"(?<![a-z]){_MONTH_NAME}\s*[-/]?(?:the\s)?(?P<day>{_DAY})(?:\s?(?:st|nd|rd|th)\b)?(?!\d|:)"
UNIX_DATE = rf"(?<![a-z]){_MONTH_NAME}\s+(?P<day>\d{{1,2}})\s+{CLOCK}\s+{YEAR}(?!\d)"  # Tue Mar 05 15:04:05 +0800 2024
SLASHED = rf"(?<![\d/.])(?P<one>{_DAY})\s?(?P<sep>[/.-])\s?(?P<other>{_DAY})\s?(?P=sep)\s?{YEAR}(?!\d)"
# 25-11-10 and 10/11/25: which is the year, the source's zone tells
SHORT_YEAR_DAY = r"(?<![\d/.-])(?<!\d:)(?P<one>\d\d?)(?P<sep>[/-])(?P<two>\d\d?)(?P=sep)(?P<three>\d\d?)(?![\d/.-])"
DOTTED_DAY = r"(?<![\d/.-])(?<!\d:)(?P<one>\d\d)(?P<sep>\.)(?P<two>\d\d)\.(?P<three>\d\d)(?!\.?\d|[/-])"
YEAR_BOX = rf"(?<![\d/.-])(?<!\d:){YEAR}\s(?P<month>0[1-9]|1[0-2])\s?[-/]\s?(?P<day>3[01]|[12]\d|0[1-9])(?![\d/.-])"  # 2024 03/05
YEAR_MONTH_BOX = (
    rf"(?<![\d/.-])(?<!\d:){YEAR}[-/.](?P<month>0[1-9]|1[0-2])\s(?P<day>3[01]|[12]\d|0[1-9])(?![\d/.:-])"  # 2024-03 05
)
# <b>05</b><span>2024-03</span> and <b>03-05</b><span>2024</span>: boxes that show the day large
DAY_BOX = rf"(?<![\d:.-])(?P<day>3[01]|[12]\d|0[1-9])\s+{YEAR}[-/.年]\s?(?P<month>1[0-2]|0?[1-9])月?(?![\d/.-])"
MONTH_DAY_BOX = rf"(?<![\d/.-])(?P<month>1[0-2]|0[1-9])[-/.](?P<day>3[01]|[12]\d|0[1-9])\s+{YEAR}(?![\d/.年-])"
COMPACT = (
    rf"(?<!\d){YEAR}(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])"
    r"(?:[T ]?(?P<clock>(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?)(?P<zone>Z|[+-]\d\d:?\d\d)?)?(?!\d)"
)
NO_YEAR_AFTER = r"(?!\s*,?\s*\d{4})"
# Not 目前天气, 日前 or the name of a news site.
DAY_BACK = (
    r"(?P<back>大前[天日]|(?:今|昨|(?<![目此之以先日年月周期时前])前)(?:[天日](?!头条|頭條|是|[:：])|(?=[晚早晨凌]))"
    r"|\btoday\b(?!['’]|\s+is\b|:|,?\s+(?:mon|tue|wed|thu|fri|sat|sun|[0-3]?\d\s+[a-z]|[a-z]{3,9}\.?\s+[0-3]?\d\b))"
    r"|\bday before yesterday\b|(?<!before )\byesterday\b)"
)
AGO_CHINESE = (
    r"(?:(?P<hours>\d{1,3})\s*(?:个|個)?小[时時]零?\s*)?(?P<amount>\d{1,4}|半)\s*(?P<unit>秒钟?|秒鐘|分钟?|分鐘|个?小时|個?小時|个?钟头?|天|日|周|週|个?星期|个?礼拜|个月|個月|年)"
    r"(?P<and_half>半)?(?:之|以)?前"
)
AGO_ENGLISH = (
    r"(?<![\w.])(?:(?P<hours>\d{1,3})\s*(?:hours?|hrs?|h)\b,?\s*(?:and\s+)?)?"
    r"(?P<amount>\d{1,4}|an?|one|half an?)\s*(?P<unit>seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h"
    r"|days?|d|weeks?|wks?|w|months?|mos?|years?|yrs?|y)\s+ago\b"
)
JUST_NOW = r"刚刚|剛剛|刚才|剛才|[几幾数數](?:秒|分)[钟鐘]?前|\ba few minutes ago\b|\bjust now\b|\b(?:a few )?(?:moments?|seconds) ago\b"
LAST_WEEKDAY = r"(?<![a-z])last\s+(?P<weekday_name>mon|tue|wed|thu|fri|sat|sun)(?:[a-z]{0,6}day)?\b"
WEEK_AND_DAY = (
    r"(?P<week>上上|上|本|这|這)(?:个|個)?(?:周|週|星期|礼拜|禮拜)(?P<weekday_zh>[一二三四五六日天])(?!天|至|到)"
)
WEEKDAY_BACK_CHINESE = rf"(?<![上下每逢至到~-])(?:周|週|星期|礼拜|禮拜)(?P<weekday_zh>[一二三四五六日天])\s*{CLOCK}"
WEEKDAY_BACK = (
    rf"(?<![a-z])(?:last\s+)?(?P<weekday_name>mon|tue|wed|thu|fri|sat|sun)[a-z]{{0,6}}\.?,?\s+(?:at\s+)?{CLOCK}"
)
