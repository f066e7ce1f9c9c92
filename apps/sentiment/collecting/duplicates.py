"""The same story told twice: signatures of articles, and whether two of them are one story.

MinHash (Broder 1997) with 128 permutations over 5-grams of characters for Chinese and 3-grams of words else. Articles made
from one template (earnings, price alerts, weather) are as alike as copies, so numbers, periods and names must agree too.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

PERMUTATIONS = 128
ROWS = 4  # of a band: 32 bands find a pair of similarity .5 with probability .87, one of .7 with .9998
CHARACTERS, WORDS = 5, 3  # of a shingle
LEAD = 10  # units at the beginning that make one more band: a copy of which little is left still begins alike
LOOKED_AT = 20_000  # characters
SAMPLED = 400  # characters that tell Chinese from English
MOST_TOKENS = 128  # numbers, and names, that a signature keeps

SIMILAR = 0.5  # Jaccard similarity from which articles may be one story
CONTAINED = 0.75  # share of the shorter one's shingles that the longer has: a copy whose tail was cut
ENOUGH = 30  # shingles from which containment says something
MISSING_NUMBERS = 0.12  # share of the shorter one's numbers that may be missing in the other
MISSING_NAMES = 0.34  # of its names, and of those in its first sentence

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W_]+")

# What agencies put before a story: a place, a day, their name.
_PREFIX = re.compile(
    r"^\s*(?:[【\[][^】\]]{1,24}[】\]]\s*)?(?:(?:[^\s，。,.;；：:]{0,14}(?:\d{1,2}月)?\d{1,2}日)?[^，。,.；：:\d]{0,14}?(?:讯|訊|电|電|消息|报道|報道|報導)"
    r"(?:\s*[(（][^)）]{0,24}[)）])?[\s,，:：|—-]{1,4}"
    r"|(?:[A-Z][A-Za-z .]{1,24},\s+)?(?:[A-Z][a-z]{2,8}\.?\s+\d{1,2}\s*)?\([A-Z][^)]{1,24}\)\s*[-–—]+\s*)?"
)
# What they put behind it: the editor, a disclaimer, the source.
_SUFFIX = re.compile(
    r"\s*[(（](?:责任)?(?:编辑|責任編輯|来源|來源|完|原标题|Editing|Reporting|Source)[^)）]{0,80}[)）]\s*$"
)
_CUT = re.compile(
    r"(?:(?<=[\u4e00-\u9fff])[\d.,%]+|(?<=\s)\S*[^\s.!?。！？\u4e00-\u9fff])?\s*(?:…|\.\.\.)+\s*$"
)  # half a number, half a word
_FIRST_SENTENCE = re.compile(r"^.{0,300}?(?:[。！？!?\n]|\.(?=\s|$)|$)", re.S)
_BLANKS = re.compile(r"[^\S\n]+|\s*\n\s*")
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_CHINESE_PERIOD = re.compile(
    r"(?:周|星期)[一二三四五六日天]|[一二三四五六七八九十1-4]{1,3}(?:季|月|日|连|成|倍|个百分点)|[上下]半年"
)
_ENGLISH_PERIOD = re.compile(r"\b(?:(?:first|second|third|fourth)[ -](?:quarter|half)|q[1-4])\b")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_CALENDAR = {name[:3]: name for name in (*_DAYS, *_MONTHS)}
_CHINESE_DIGITS = str.maketrans("一二三四", "1234")
_CHINESE_NAME = re.compile(
    r"[\u4e00-\u9fff]{2,6}?(?:股份|集团|公司|银行|证券|科技|控股|电子|药业|汽车|能源|实业|保险|基金|医药|电力|钢铁|矿业|地产|传媒|软件|航空|通信|食品|化工|材料|市|省|县|区)"
    r"|《[^》]{1,30}》|“[^”]{2,16}”|\"[^\"]{2,16}\""
)
_LATIN = re.compile(r"[A-Za-z]{2,}")
_CAPITALS = re.compile(r"\b[A-Z][\w&.'-]*(?:\s+[A-Z][\w&'-]*)*")
_COMMON = frozenset(
    {
        "the", "a", "an", "in", "on", "at", "it", "its", "he", "she", "they", "we", "but", "and", "or", "if", "as", "for", "of", "to",
        "by", "with", "from", "this", "that", "these", "those", "after", "before", "while", "when", "since", "though", "although",
        "however", "meanwhile", "there", "some", "many", "most", "all", "more", "both", "no", "not", "new", "last", "next", "shares",
        "analysts", "investors", "revenue", "net", "sales", "profit", "company", "companies", "officials", "people", "reporting",
        "editing", "source", "copyright", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"
    }
)  # fmt: skip


@dataclass(frozen=True)
class Signature:
    """What is kept of an article to find its copies: 128 minima (31 bits each), band keys (63 bits; articles that share
    one may be copies), its numbers and names, and how many shingles it has."""

    hashes: tuple[int, ...]
    bands: tuple[int, ...]
    numbers: tuple[str, ...]
    names: tuple[str, ...]
    size: int


def signature(title: str, body: str, *, names: Iterable[str] = ()) -> Signature:
    """The signature of an article; `names` are those the caller knows of (companies that were linked in it). An article
    without a text is known by its title alone."""
    text = _BLANKS.sub(" ", (body.strip() or title)[:LOOKED_AT])  # runs of blanks would cost their square below
    text = _CUT.sub("", plain_form(_SUFFIX.sub("", _PREFIX.sub("", text))))
    chinese = len(_HAN.findall(text[:SAMPLED])) * 4 >= len(_LETTER.findall(text[:SAMPLED]))
    words = _WORD.findall(text.casefold())
    units = _units(words, chinese=chinese)
    parts = _shingles(units, CHARACTERS if chinese else WORDS)
    hashes = _minima(parts)
    read_names, lead = (_chinese_names if chinese else _english_names), _FIRST_SENTENCE.match(text)
    first = read_names(lead[0]) if lead else []
    if chinese and not first:
        first = ["".join(_WORD.findall(text[:40]))[:4]]
    found = [*(f"^{name}" for name in first), *read_names(text), *(f"={name}" for name in names)]
    bands = (*_bands(hashes), *_shingles(units[:LEAD], LEAD).tolist()) if len(parts) else ()
    keys = tuple(band >> 1 for band in bands)
    return Signature(
        hashes, keys, _numbers(text, words, chinese=chinese), tuple(sorted(set(found)))[:MOST_TOKENS], len(parts)
    )


def same_story(a: Signature, b: Signature) -> bool:
    """Whether two articles are one story: alike, or one contained in the other, and of the same numbers and names."""
    alike, small = similarity(a, b), min(a.size, b.size)
    if not small:
        return False
    contained = min(1.0, alike / (1 + alike) * (a.size + b.size) / small)
    if alike < SIMILAR and not (contained >= CONTAINED and small >= ENOUGH):
        return False
    numbers, names = _agree(a.numbers, b.numbers, MISSING_NUMBERS), _agree(a.names, b.names, MISSING_NAMES)
    special = (_agree(_marked(a, mark), _marked(b, mark), MISSING_NAMES) for mark in "^=")
    return numbers and names and all(special)


def _marked(signature: Signature, mark: str) -> tuple[str, ...]:
    """Names in the first sentence (^), which says whom an article is about, or those that the caller linked (=)."""
    return tuple(name for name in signature.names if name.startswith(mark))


def similarity(a: Signature, b: Signature) -> float:
    """Estimated Jaccard similarity, with a standard error of at most .044."""
    return sum(one == other for one, other in zip(a.hashes, b.hashes, strict=True)) / PERMUTATIONS


def _agree(one: tuple[str, ...], other: tuple[str, ...], missing_share: float) -> bool:
    """Whether nearly all of the fewer are among the more: a copy may be cut, not changed."""
    fewer, more = sorted((set(one), set(other)), key=len)
    return len(fewer - more) <= missing_share * len(fewer)


def plain_form(text: str) -> str:
    """Full width to half width, traditional to simplified characters."""
    return unicodedata.normalize("NFKC", text).translate(to_simplified())


@lru_cache(maxsize=1)
def to_simplified() -> dict[int, str]:
    """Traditional characters to simplified ones, one by one."""
    from opencc import OpenCC

    every = [chr(code) for code in range(0x3400, 0x9FA6)]
    simple = OpenCC("t2s").convert("\n".join(every)).split("\n")
    return {ord(char): as_simple for char, as_simple in zip(every, simple, strict=True) if char != as_simple}


def _units(words: list[str], *, chinese: bool) -> Any:
    """What shingles are made of: codes of characters, or of words [n], uint64."""
    import numpy as np

    if chinese:
        return np.frombuffer("".join(words).encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    return np.array([zlib.crc32(word.encode("utf-8", "replace")) for word in words], dtype=np.uint64)


def _shingles(units: Any, width: int) -> Any:
    """Hashes of the distinct runs of `width` units [n], uint64; fewer units are one run."""
    import numpy as np

    width = max(1, min(width, len(units)))
    count = max(0, len(units) - width + 1)
    rolled = np.zeros(count, dtype=np.uint64)
    for at in range(width):
        rolled = rolled * np.uint64(_GOLDEN) + units[at : at + count]
    return np.unique(_mixed(rolled))


def _mixed(values: Any) -> Any:
    """The finaliser of splitmix64: every bit depends on every other."""
    import numpy as np

    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@lru_cache(maxsize=1)
def _permutations() -> tuple[Any, Any]:
    """Multipliers (odd) and addends of the permutations, fixed for ever: stored signatures depend on them."""
    import numpy as np

    drawn = _mixed(np.arange(1, 2 * PERMUTATIONS + 1, dtype=np.uint64) * np.uint64(_GOLDEN))
    drawn = (drawn >> np.uint64(32)).astype(np.uint32)
    return drawn[:PERMUTATIONS, None] | np.uint32(1), drawn[PERMUTATIONS:, None]


def _minima(parts: Any) -> tuple[int, ...]:
    import numpy as np

    if not len(parts):
        return (0,) * PERMUTATIONS
    multipliers, addends = _permutations()
    narrow = (parts >> np.uint64(32)).astype(np.uint32)
    smallest = np.full(PERMUTATIONS, 2**32 - 1, dtype=np.uint32)
    for start in range(0, len(narrow), 1024):  # 0.5 MB at a time stays in the cache
        permuted = multipliers * narrow[None, start : start + 1024] + addends  # [128, <=1024], modulo 2^32
        smallest = np.minimum(smallest, permuted.min(axis=1))
    return tuple((smallest >> np.uint32(1)).tolist())


def _bands(hashes: tuple[int, ...]) -> tuple[int, ...]:
    """A key of 64 bits for each band of rows, told apart by its place."""
    import numpy as np

    rows = np.array(hashes, dtype=np.uint64).reshape(-1, ROWS)
    keys = np.arange(1, len(rows) + 1, dtype=np.uint64)
    for at in range(ROWS):
        keys = _mixed(keys * np.uint64(_GOLDEN) + rows[:, at])
    return tuple(keys.tolist())


def _numbers(text: str, words: list[str], *, chinese: bool) -> tuple[str, ...]:
    """Numbers as written less their commas, and periods: quarters, halves, months, days of the week."""
    found = {number.replace(",", "").lstrip("0") or "0" for number in _NUMBER.findall(text)}
    if chinese:
        found.update(period.translate(_CHINESE_DIGITS) for period in _CHINESE_PERIOD.findall(text))
    else:
        found.update(period.replace("-", " ") for period in _ENGLISH_PERIOD.findall(text.casefold()))
        named = {word for word in words if word[:3] in _CALENDAR}
        found.update(word[:3] for word in named if len(word) == 3 or _CALENDAR[word[:3]] == word)
    return tuple(sorted(found))[:MOST_TOKENS]


def _chinese_names(text: str) -> list[str]:
    """Names as far as their shape tells them. They need not be right, only the same in every copy."""
    return [*_CHINESE_NAME.findall(text), *(word.lower() for word in _LATIN.findall(text))]


def _english_names(text: str) -> list[str]:
    """Runs of capitalised words, without the words that begin any sentence."""
    names = []
    for match in _CAPITALS.finditer(text):
        words = [word for word in match[0].rstrip(".'").lower().split() if word not in _COMMON]
        names.extend([" ".join(words)] if words and len(words[0]) > 1 else [])
    return names
