"""Words that are looked for in articles, found as names of entities are: Latin words stand alone, Chinese ones anywhere, in
either script, of any width and case."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from apps.sentiment.meaning.linking import Reader

MOST_PHRASES = 200
LONGEST_PHRASE = 100
_SPACE = re.compile(r"\s+")


def holds_one(text: str, phrases: Sequence[str]) -> bool:
    """Whether a text holds one of these words or phrases."""
    return bool(phrases) and bool(_reader(tuple(phrases)).read(_SPACE.sub(" ", text)).topics)


@lru_cache(maxsize=512)
def _reader(phrases: tuple[str, ...]) -> Reader:
    return Reader((), enumerate(_SPACE.sub(" ", phrase) for phrase in phrases))


def folded(text: str) -> str:
    """In compatibility form without case; runs of space are one."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).casefold())
