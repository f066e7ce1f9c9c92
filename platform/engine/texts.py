"""Texts as comparisons see them."""

import re
import unicodedata

_SPACE = re.compile(r"\s+")


def normalised(text: str) -> str:
    """One Unicode form, no case, single spaces: two texts equal in this are the same text to a leak check."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
