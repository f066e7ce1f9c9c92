"""Cutting text into words without a model: runs of letters and digits, each Chinese or Japanese character by itself."""

import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from core.characters import CJK

Tokenizer = Literal["simple", "char", "whitespace"]
TOKENIZERS: tuple[str, ...] = ("simple", "char", "whitespace")
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
