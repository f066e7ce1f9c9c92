"""Texts in one form for comparing, each code point in its place, so that offsets hold for the text as it is stored."""

import unicodedata

from apps.sentiment.collecting.duplicates import to_simplified

FIRST_OF_EAST_ASIA = 0x2E80


class _Widths(dict[int, str]):
    """Full width as half width and traditional characters as simplified ones; only where one stands for one."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        plain = unicodedata.normalize("NFKC", character)
        one = plain if len(plain) == 1 else character
        self[code] = found = to_simplified().get(ord(one), one)
        return found


_WIDTHS = _Widths()


def half_width(text: str) -> str:
    """Half width and simplified, with capitals as they are; as long as `text`."""
    return text if text.isascii() else text.translate(_WIDTHS)


def lowered(text: str) -> str:
    """Small letters; as long as `text`."""
    small = text.lower()
    if len(small) == len(text):
        return small
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


def is_word(character: str) -> bool:
    """Whether a letter or digit of a script that parts words; Chinese does not."""
    return character.isalnum() and ord(character) < FIRST_OF_EAST_ASIA
