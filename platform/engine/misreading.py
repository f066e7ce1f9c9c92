"""Texts whose bytes were read in another encoding than they were written in."""

import re

REPLACEMENT = "\ufffd"
# A control character of Latin-1 that nobody types: what a byte above 0x7f becomes when it is taken for a letter.
# U+0085 is a line break in some files.
_CONTROL = re.compile("[\x80-\x84\x86-\x9f]")
# UTF-8 read as Windows-1252: letters of the lead bytes, each before the signs of the bytes that follow a lead byte.
_AFTER_LEAD = "\u00a1-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122"
_LETTERS = re.compile(f"(?:[\u00c2-\u00f4][{_AFTER_LEAD}]+)+")
_ONE_IS_ENOUGH = re.compile("[\u0080-\u00ff\u2010-\u20cf]")  # Latin letters, and typographic signs
_FOREIGN = re.compile(r"[^\x00-\x7f]{4,}")
_HAN_OF_UTF8 = re.compile("[\u3400-\u9fff]{2}")
_TORN_BYTES = 3  # a character of UTF-8 may have lost so many at the end


def looks_misread(text: str) -> bool:
    """Whether the text shows a replacement character, stray controls, or UTF-8 read as Windows-1252 or GB 18030.

    A sequence counts only if its bytes, in the encoding it seems to have been read in, are UTF-8. Chance makes one
    character of that now and then (an accented letter before a quotation mark), but hardly ever two in a row.
    """
    if text.isascii():
        return False
    if REPLACEMENT in text or _CONTROL.search(text):
        return True
    return any(_is_utf8(found.group()) for found in _LETTERS.finditer(text)) or any(
        _is_han(found.group()) for found in _FOREIGN.finditer(text)
    )


def _is_utf8(letters: str) -> bool:
    try:
        said = letters.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return False
    return len(said) > 1 or bool(_ONE_IS_ENOUGH.match(said))


def _is_han(signs: str) -> bool:
    """Whether the signs, written as GB 18030, are the UTF-8 of Han characters, the last of which may be torn."""
    raw = signs.encode("gb18030", errors="ignore")
    try:
        said = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(raw) - _TORN_BYTES:
            return False
        said = raw[: error.start].decode("utf-8")
    return bool(_HAN_OF_UTF8.search(said))
