"""Tokens to text while they come: whole characters only, and nothing that may turn out to be a stop text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

BROKEN = "\N{REPLACEMENT CHARACTER}"
MOST_HELD = 8  # tokens; no character has more bytes than four


@dataclass(frozen=True)
class Written:
    """Text that can be shown now, and the stop text that ended the answer."""

    text: str
    stop: str | None = None


class TextStream:
    """The text of one answer.

    `decode` turns ids into text. The last few tokens are decoded again with each new one, because what a token means may
    depend on the one before it (spaces, characters of several bytes).
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stops = tuple(stops)
        self._ids: list[int] = []
        self._start = 0  # of the tokens that are decoded again
        self._done = 0  # tokens whose text was given out
        self._held = ""

    def add(self, token: int) -> Written:
        """The text that became certain."""
        self._ids.append(token)
        before = self._decode(self._ids[self._start : self._done])
        now = self._decode(self._ids[self._start :])
        is_whole = not now.endswith(BROKEN) or len(self._ids) - self._done > MOST_HELD
        if len(now) <= len(before) or not is_whole:
            return Written("")
        self._start, self._done = self._done, len(self._ids)
        return self._through_stops(now[len(before) :])

    def end(self) -> Written:
        """What was held back, once nothing more comes."""
        rest = self._decode(self._ids[self._start :])[len(self._decode(self._ids[self._start : self._done])) :]
        self._done = self._start = len(self._ids)
        found = self._through_stops(rest)
        text, self._held = found.text + (self._held if found.stop is None else ""), ""
        return Written(text, found.stop)

    def _through_stops(self, text: str) -> Written:
        text, self._held = self._held + text, ""
        ends = [(text.find(stop), stop) for stop in self._stops if stop in text]
        if ends:
            place, stop = min(ends)
            return Written(text[:place], stop)
        hold = max((_overlap(text, stop) for stop in self._stops), default=0)
        if hold:
            text, self._held = text[:-hold], text[-hold:]
        return Written(text)


def _overlap(text: str, stop: str) -> int:
    """How many of the last characters of `text` are the beginning of `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
