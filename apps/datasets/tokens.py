"""Cutting text into words without a model: runs of letters and digits, each Chinese or Japanese character by itself."""

import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

Tokenizer = Literal["simple", "char", "whitespace"]
TOKENIZERS: tuple[str, ...] = ("simple", "char", "whitespace")
# Han, kana, bopomofo and their extensions; Hangul is written with spaces and counts as letters
CJK = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u30ff\u3105-\u312f\u31a0-\u31bf"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
CJK_CHARACTER = re.compile(f"[{CJK}]")


@lru_cache(maxsize=1)
def _simple() -> re.Pattern[str]:
    marks = "".join(
        re.escape(chr(c)) for c in range(0x300, min(sys.maxunicode, 0xFFFF)) if unicodedata.category(chr(c))[0] == "M"
    )
    letter = f"(?:(?![{CJK}])\\w)[{marks}\u200c\u200d]*"
    return re.compile(
        f"[{CJK}][{marks}]*|(?:{letter})+(?:['’](?:{letter})+)*|[^\\s](?:[{marks}]|\u200d\\S|[\U0001f3fb-\U0001f3ff])*"
    )


_CHARACTERS = re.compile(r"\S")
_RUNS = re.compile(r"\S+")


def token_spans(text: str, tokenizer: str = "simple") -> Iterator[tuple[int, int]]:
    """[start, end) of each token in code points; white space belongs to none."""
    pattern = {"char": _CHARACTERS, "whitespace": _RUNS}.get(tokenizer) or _simple()
    return (match.span() for match in pattern.finditer(text))


def words(text: str) -> list[str]:
    """The tokens that are words or CJK characters, not punctuation."""
    found = (match.group() for match in _simple().finditer(text))
    return [token for token in found if token[0].isalnum() or CJK_CHARACTER.match(token)]
