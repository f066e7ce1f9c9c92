"""Span offsets between code points (what is stored), UTF-16 units (browsers, Java) and UTF-8 bytes."""

from words import say

UNITS = ("codepoint", "utf16", "byte")
_CODECS = {"utf16": ("utf-16-le", 2), "byte": ("utf-8", 1)}


def to_codepoints(text: str, offset: int, unit: str) -> int:
    """The code point index of `offset` counted in `unit`; ValueError beyond the text or inside a character."""
    if unit == "codepoint" or text.isascii():
        return _within(offset, len(text))
    codec, width = _CODECS[unit]
    encoded = text.encode(codec)
    _within(offset, len(encoded) // width)
    try:
        return len(encoded[: offset * width].decode(codec))
    except UnicodeDecodeError as error:
        raise ValueError(say("{offset} lies inside a character", offset=offset)) from error


def from_codepoints(text: str, offset: int, unit: str) -> int:
    """`offset` in code points counted in `unit`; ValueError beyond the text."""
    _within(offset, len(text))
    if unit == "codepoint":
        return offset
    codec, width = _CODECS[unit]
    return len(text[:offset].encode(codec)) // width


def _within(offset: int, length: int) -> int:
    if not 0 <= offset <= length:
        raise ValueError(say("{offset} lies outside the text of {length}", offset=offset, length=length))
    return offset
