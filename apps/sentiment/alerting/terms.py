"""Terms that stand out in some texts against others: words and pairs of words, and Chinese runs of two to four characters.

Each text counts a term once. How far a term stands out is the log-odds ratio with an informative Dirichlet prior, in standard
deviations (Monroe, Colaresi and Quinn 2008, "Fightin' Words", equations 16, 20 and 22); the prior is what all texts together hold.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from apps.sentiment.alerting.phrases import folded
from core.characters import CJK

READ_CHARACTERS = 2_000  # of each text
LONGEST_RUN = 4  # characters of a Chinese term
LEAST_COUNT = 2
LEAST_DEVIATIONS = 1.0
PRIOR_WEIGHT = 100.0  # terms that the prior counts for
SAME_SHARE = 0.8  # a term that nearly always stands within a longer one is that one
_PARTS = re.compile(f"(?P<cjk>[{CJK}]+)|(?P<word>[^\\W\\d_{CJK}][^\\W_{CJK}]*)")
PLAIN_WORDS = frozenset(
    """
    a about after all also an and any are as at be been before but by can could did do does for from had has have he her his how
    i if in into is it its just may more most new no not now of on one only or other our out over said say says she should so some
    such than that the their them then there these they this to up was we were what when which who will with would you your
    """.split()  # noqa: SIM905 - easier to read and to change than a list
)
PLAIN_CHARACTERS = frozenset("的了是在和与及或也都就而被把对于从到为以其之这那有不我你他她它们个")


@dataclass(frozen=True)
class Term:
    """A term, in how many texts it stands now and before, and how far it stands out."""

    text: str
    count: int
    before: int
    deviations: float


def standing_out(now: Sequence[str], before: Sequence[str], *, most: int = 15) -> list[Term]:
    """The terms of `now` that stand out against `before`, the most striking first; without a before, the most frequent."""
    new, old = _counted(now), _counted(before)
    if not old:
        return _most_frequent(new, most)
    sums, olds = sum(new.values()), sum(old.values())
    weight = PRIOR_WEIGHT / max(1, sums + olds)
    found = []
    for text, count in new.items():
        if count < min(LEAST_COUNT, len(now)):
            continue
        prior = weight * (count + old[text])
        one = count + prior
        other = old[text] + prior
        lead = _log_odds(one, sums) - _log_odds(other, olds)
        deviations = lead / math.sqrt(1 / one + 1 / other)
        if deviations >= LEAST_DEVIATIONS:
            found.append(Term(text, count, old[text], round(deviations, 3)))
    found.sort(key=lambda term: (-term.deviations, -len(term.text), term.text))
    return _without_parts(found)[:most]


def _most_frequent(counted: Counter[str], most: int) -> list[Term]:
    found = [Term(text, count, 0, 0.0) for text, count in counted.items() if count >= LEAST_COUNT]
    found.sort(key=lambda term: (-term.count, -len(term.text), term.text))
    return _without_parts(found[: 20 * most])[:most]


def _log_odds(count: float, total: int) -> float:
    """Of a term among all; one that is all there is has no infinite odds."""
    return math.log(count / max(total + PRIOR_WEIGHT - count, 0.5))


def terms_of(text: str) -> set[str]:
    """The terms of one text."""
    found: set[str] = set()
    last = ""
    for match in _PARTS.finditer(folded(text[:READ_CHARACTERS])):
        piece = match.group()
        if match.lastgroup == "cjk":
            found.update(_runs(piece))
            last = ""
        elif piece in PLAIN_WORDS or len(piece) < 2:
            last = ""
        else:
            found.add(piece)
            if last:
                found.add(f"{last} {piece}")
            last = piece
    return found


def _runs(piece: str) -> Iterator[str]:
    for long in range(2, LONGEST_RUN + 1):
        for at in range(len(piece) - long + 1):
            run = piece[at : at + long]
            if not PLAIN_CHARACTERS & {run[0], run[-1]}:
                yield run


def _counted(texts: Iterable[str]) -> Counter[str]:
    return Counter(term for text in texts for term in terms_of(text))


def _without_parts(found: list[Term]) -> list[Term]:
    """Without terms that are hardly ever seen outside a longer one, and without pieces that overlap a better one."""
    whole = [
        term
        for term in found
        if not any(
            term.text != other.text and term.text in other.text and other.count >= SAME_SHARE * term.count
            for other in found
        )
    ]
    kept: list[Term] = []
    for term in whole:
        if not any(_overlap(term.text, other.text) and term.count == other.count for other in kept):
            kept.append(term)
    return kept


def _overlap(one: str, other: str) -> bool:
    """Whether the end of one is the beginning of the other, by two characters or more (pieces of one longer phrase)."""
    return any(one.endswith(other[:long]) or other.endswith(one[:long]) for long in range(2, min(len(one), len(other))))
