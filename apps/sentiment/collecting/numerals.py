"""Texts as dates are looked for in them: half width, Chinese numbers before a unit as digits."""

import re
import unicodedata

MOST_CHARACTERS = 4_000  # of a text that is searched
_DIGITS = dict(zip("〇零○一二三四五六七八九两", "0001234567892", strict=True))
_MARKS = dict.fromkeys((0x200B, 0x200E, 0x200F, 0xFEFF, *range(0x202A, 0x202F)))  # which nobody sees
_DASHES = re.compile(r"(?<=\d)[–—−‐‑‒](?=\d)")
_CHINESE_NUMBER = re.compile(
    r"([〇零○一二三四五六七八九十两百]+)(?=\s*(?:年|个?月|個?月|日|号|號|[时時](?!代|候)|点|點|分|秒|小时|小時|天前|周前|週前|个?星期前|个?钟头?前))"
)
_GLUED = re.compile(  # PublishedMay 31; June 5, 20242:05 PM
    r"(?<=, 20\d\d)(?=\d{1,2}:[0-5]\d)|(?<=[a-z])(?=(?:Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec)[a-z]{0,6}\.? ?\d{1,2}\b)"
)


def normalised(text: str) -> str:
    """Full width to half width, Chinese numbers before a unit to digits, one kind of blank."""
    text = " ".join(unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).translate(_MARKS).split())
    text = _GLUED.sub(" ", _DASHES.sub("-", text))
    return _CHINESE_NUMBER.sub(lambda match: _arabic(match[1]), text)


def _arabic(written: str) -> str:
    """二〇二四 -> 2024 (digit by digit), 二十三 -> 23."""
    if "十" not in written and "百" not in written:
        return "".join(_DIGITS[char] for char in written)
    hundreds, _, rest = written.rpartition("百")
    tens, ten, ones = rest.rpartition("十")
    value = 100 * int(_DIGITS.get(hundreds or "", "0"))
    value += 10 * int(_DIGITS.get(tens.lstrip("零〇") or "一", "1")) if ten else 0
    return str(value + int(_DIGITS.get(ones.lstrip("零〇") or "零", "0")))
