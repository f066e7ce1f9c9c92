"""Words that are looked for in articles: whole words of Latin script in any case, Chinese and Japanese anywhere."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from core.characters import CJK

MOST_PHRASES = 200
LONGEST_PHRASE = 100
_CJK = re.compile(f"[{CJK}]")


def first_found(text: str, phrases: Sequence[str]) -> str:
    """The phrase of these that stands first in a text, as it was asked for; empty when there is none."""
    if not phrases:
        return ""
    pattern, names = _pattern(tuple(phrases))
    match = pattern.search(folded(text))
    return names[match.group()] if match else ""


def folded(text: str) -> str:
    """In compatibility form without case; runs of space are one."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).casefold())


@lru_cache(maxsize=512)
def _pattern(phrases: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    names = {folded(phrase).strip(): phrase for phrase in phrases}
    names.pop("", None)
    longest = sorted(names, key=len, reverse=True)
    return re.compile("|".join(_alone(one) for one in longest) or r"(?!)"), names


def _alone(phrase: str) -> str:
    """A phrase that does not begin or end within a word of Latin script."""
    before = "" if _CJK.match(phrase[0]) or not phrase[0].isalnum() else r"(?<![^\W_])"
    after = "" if _CJK.match(phrase[-1]) or not phrase[-1].isalnum() else r"(?![^\W_])"
    # A neighbour of another script is no part of the word: 在Apple公司
    return before.replace(r"[^\W_]", rf"[^\W_{CJK}]") + re.escape(phrase) + after.replace(r"[^\W_]", rf"[^\W_{CJK}]")
