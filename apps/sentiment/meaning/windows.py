"""The part of a text that speaks of one entity: its sentence, or of a sentence with several its clauses."""

import re
from bisect import bisect_right
from collections.abc import Sequence

MOST_WINDOWS = 3  # of one entity in one text
LONGEST = 400  # code points of a window
TARGET_TEMPLATE = "{entity} | {text}"
"""What a version that was trained for sentiment towards an entity reads: the name as the text has it, and the window."""

_SENTENCE = re.compile(r"[。！？!?；;\n]+[”’」』\"')）]*|(?<=[^\s.])\.(?=\s|$)[”’\"')]*")
_CLAUSE = re.compile(
    r"[，,、：:—]+|\s(?=(?:but|while|whereas|although|though|however|and)\s)|(?=但|而|不过|然而|反观|相比)"
)
Span = tuple[int, int]


def windows(text: str, spans: Sequence[Span], others: Sequence[Span]) -> list[tuple[str, str]]:
    """(name as it stands there, window) of the first mentions, each window once; `others` are mentions of other entities.

    A window reaches from the clause of the mention to where a clause begins that speaks of somebody else.
    """
    ends = _cuts(_SENTENCE, text)
    found: dict[str, str] = {}
    for start, end in spans:
        if end > len(text):
            continue
        low, high = _around(ends, start, len(text))
        if any(low <= other < high for other, _end in others):
            low, high = _narrowed(text, low, high, start, spans, others)
        window = _bounded(text, low, high, start, end).strip()
        if window and len(found) < MOST_WINDOWS:
            found.setdefault(window, text[start:end])
    return [(name, window) for window, name in found.items()]


def _cuts(pattern: re.Pattern[str], text: str) -> list[int]:
    return [match.end() for match in pattern.finditer(text)]


def _around(cuts: Sequence[int], at: int, length: int) -> Span:
    place = bisect_right(cuts, at)
    return (cuts[place - 1] if place else 0), (cuts[place] if place < len(cuts) else length)


def _narrowed(text: str, low: int, high: int, at: int, spans: Sequence[Span], others: Sequence[Span]) -> Span:
    """The clauses from that of the mention on, up to one with somebody else; a clause that both share stays whole."""
    cuts = [low + cut for cut in _cuts(_CLAUSE, text[low:high]) if 0 < cut < high - low]
    edges = [low, *cuts, high]
    place = bisect_right(edges, at) - 1
    last = place + 1
    while last < len(edges) - 1 and not _speaks(others, edges[last], edges[last + 1]):
        last += 1
    first = place
    while first > 0 and not _speaks([*others, *spans], edges[first - 1], edges[first]):
        first -= 1
    return edges[first], edges[last]


def _speaks(spans: Sequence[Span], low: int, high: int) -> bool:
    return any(low <= start < high for start, _end in spans)


def _bounded(text: str, low: int, high: int, start: int, end: int) -> str:
    """At most LONGEST code points around the mention."""
    spare = max(0, LONGEST - (end - start)) // 2
    return text[max(low, start - spare) : min(high, end + spare)]
