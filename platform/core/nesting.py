"""A guard against JSON nested without end, whose memory would grow with the square of its depth inside the parser."""

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Protocol

from words import say

MAX_DEPTH = 100
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


class NestedTooDeeply(ValueError):
    """The JSON nests deeper than data does."""

    def __init__(self) -> None:
        super().__init__(say("The JSON is nested more than {depth} levels deep, as no data is.", depth=MAX_DEPTH))


class Readable(Protocol):
    """What a parser reads from."""

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        ...


class DepthGuard:
    """Hands bytes of JSON on once it has seen that they nest no deeper than MAX_DEPTH; brackets in strings are text."""

    def __init__(self, stream: Readable) -> None:
        self._stream, self._depth, self._open = stream, 0, b""

    def read(self, size: int = -1) -> bytes:
        """The next bytes, or NestedTooDeeply."""
        given = self._stream.read(size)
        moves = list(accumulate(self._moves(self._open + given), initial=self._depth))
        if max(moves) > MAX_DEPTH:
            raise NestedTooDeeply
        self._depth = moves[-1]
        return given

    def _moves(self, data: bytes) -> Iterator[int]:
        """+1 for each opening bracket and -1 for each closing one; an unfinished string is remembered."""
        outside, quote, inside = _STRING.sub(b"", data).partition(b'"')
        escaped = (len(inside) - len(inside.rstrip(b"\\"))) % 2
        self._open = quote + b"\\" * escaped
        return (1 if bracket in b"[{" else -1 for bracket in outside.translate(None, _OTHERS))
