"""Who a text speaks of, and which words of topics it holds: one pass of Aho and Corasick's automaton (CACM 1975).

Names of Latin letters are whole words; short names in capitals are read as such. The longest name wins where several
overlap. A name that may mean something else counts by its evidence: words near it, the ending of a company's name, or
another name or ticker of the same entity anywhere in the text.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ahocorasick_rs import AhoCorasick

from apps.sentiment.meaning.folding import half_width, is_word, lowered
from apps.sentiment.meaning.tickers import Form, forms_of, sureness

NEAR = 100  # code points around a name in which words count
CAPITALS = 5  # letters up to which a name in capitals is written so
STRONG = 0.9  # a mention that speaks for others of its entity


class Evidence(StrEnum):
    """Why a mention is believed."""

    NAME = "name"
    TICKER = "ticker"
    ENDING = "ending"  # of a company's name, or a mark of the exchange before it
    TOGETHER = "together"  # with another name of the entity
    CONTEXT = "context"
    NONE = "none"


SURENESS = {
    Evidence.NAME: 0.95,
    Evidence.TOGETHER: 0.93,
    Evidence.ENDING: 0.9,
    Evidence.CONTEXT: 0.85,
    Evidence.NONE: 0.25,
}
SECOND_WORD = 0.05  # a second word near adds so much


@dataclass(frozen=True)
class Name:
    """An alias of an entity."""

    text: str
    is_ambiguous: bool = False
    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    @property
    def needs_evidence(self) -> bool:
        """Whether it means nothing alone."""
        return self.is_ambiguous or bool(self.required)


@dataclass(frozen=True)
class Known:
    """An entity of the table."""

    entity: int
    names: tuple[Name, ...]
    tickers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mention:
    """text[start:end] speaks of the entity, with this confidence and for this reason."""

    entity: int
    start: int
    end: int
    confidence: float
    evidence: Evidence


@dataclass(frozen=True)
class Link:
    """An entity with its mentions from a threshold on, in order."""

    entity: int
    mentions: tuple[Mention, ...]

    @property
    def confidence(self) -> float:
        """Of its surest mention."""
        return max(mention.confidence for mention in self.mentions)


@dataclass
class Found:
    """What stands in one text: mentions in order whatever their confidence, and topics by how many of their words."""

    mentions: list[Mention] = field(default_factory=list)
    topics: dict[int, int] = field(default_factory=dict)

    def links(self, threshold: float) -> list[Link]:
        """Entities in the order of their first mention."""
        by_entity: dict[int, list[Mention]] = {}
        for mention in self.mentions:
            if mention.confidence >= threshold:
                by_entity.setdefault(mention.entity, []).append(mention)
        return [Link(entity, tuple(mentions)) for entity, mentions in by_entity.items()]


@dataclass(frozen=True)
class _Use:
    """What a pattern stands for: an entity's name, its ticker, or (entity None) a word of topic `word`, or a context word."""

    pattern: str  # half width, with capitals
    entity: int | None = None
    name: Name | None = None
    form: Form | None = None
    topic: int | None = None


@dataclass(frozen=True)
class _Hit:
    use: _Use
    start: int
    end: int


class Reader:
    """A table of entities and of words of topics, ready to read texts."""

    def __init__(self, known: Iterable[Known], words: Iterable[tuple[int, str]] = ()) -> None:
        uses: dict[str, list[_Use]] = defaultdict(list)
        for each in known:
            for use in _uses(each):
                uses[lowered(use.pattern)].append(use)
        for topic, word in words:
            pattern = half_width(word).strip()
            uses[lowered(pattern)].append(_Use(pattern, topic=topic))
        uses.pop("", None)
        self._uses = list(uses.values())
        self._automaton = AhoCorasick(list(uses)) if uses else None

    def read(self, text: str) -> Found:
        """Entities and topics of a text; offsets are code points of it as it is."""
        if self._automaton is None:
            return Found()
        kept = half_width(text)
        small = lowered(kept)
        found, names, words = Found(), [], defaultdict(list)
        for number, start, end in self._automaton.find_matches_as_indexes(small, overlapping=True):
            if not _is_whole(kept, start, end):
                continue
            for use in self._uses[number]:
                if use.topic is not None:
                    found.topics[use.topic] = found.topics.get(use.topic, 0) + 1
                elif use.entity is None:
                    words[small[start:end]].append(start)
                elif _is_cased(use, kept[start:end]):
                    names.append(_Hit(use, start, end))
        found.mentions = _Judge(kept, small, words).mentions(names) if names else []
        return found


@dataclass(frozen=True)
class _Judge:
    """Decides which names of a text are mentions, and how sure they are."""

    kept: str
    small: str
    words: dict[str, list[int]]  # context words -> where they begin

    def mentions(self, hits: Sequence[_Hit]) -> list[Mention]:
        """In order, without overlaps."""
        groups = _longest([hit for hit in hits if not self._is_forbidden(hit)])
        alone = [[self._alone(hit) for hit in group] for group in groups]
        strong = {
            mention.entity
            for group in alone
            for mention in group
            if mention.confidence >= STRONG and mention.evidence in (Evidence.NAME, Evidence.TICKER)
        }
        chosen = [
            _best([self._together(hit, mention, strong) for hit, mention in zip(group, said, strict=True)])
            for group, said in zip(groups, alone, strict=True)
        ]
        return [
            self._widened(mention, end) for mention, end in zip(chosen, _room(chosen, len(self.small)), strict=True)
        ]

    def _alone(self, hit: _Hit) -> Mention:
        """By itself and what stands near."""
        use = hit.use
        assert use.entity is not None
        if use.form is not None:
            sure = sureness(use.form, self.small, hit.start, hit.end)
            return Mention(use.entity, hit.start, hit.end, sure, Evidence.TICKER)
        assert use.name is not None
        evidence, more = Evidence.NAME, 0.0
        if use.name.needs_evidence:
            near = sum(self._stands_near(word, hit) for word in use.name.required)
            evidence, more = (Evidence.CONTEXT, SECOND_WORD * (near > 1)) if near else (Evidence.NONE, 0.0)
            if self._ending(hit.end) or self._mark(hit.start):
                evidence, more = Evidence.ENDING, 0.0
        return Mention(use.entity, hit.start, hit.end, SURENESS[evidence] + more, evidence)

    def _together(self, hit: _Hit, mention: Mention, strong: set[int]) -> Mention:
        sure = SURENESS[Evidence.TOGETHER]
        if mention.entity not in strong or mention.confidence >= sure:
            return mention
        return Mention(mention.entity, hit.start, hit.end, sure, Evidence.TOGETHER)

    def _is_forbidden(self, hit: _Hit) -> bool:
        return hit.use.name is not None and any(self._stands_near(word, hit) for word in hit.use.name.forbidden)

    def _stands_near(self, word: str, hit: _Hit) -> bool:
        places = self.words.get(lowered(half_width(word)).strip(), ())
        return any(hit.start - NEAR <= place <= hit.end + NEAR for place in places)

    def _ending(self, end: int) -> int:
        """Code points of an ending of company names that follows."""
        found = ENDING.match(self.small, end)
        return len(found[0]) if found else 0

    def _mark(self, start: int) -> int:
        """Code points of a mark of the exchange that stands before: *ST, ST, XD."""
        found = MARK.search(self.kept[max(0, start - 4) : start])
        return len(found[0]) if found else 0

    def _widened(self, mention: Mention, room: tuple[int, int]) -> Mention:
        """With the mark before, the cash tag's sign, or the ending after."""
        first, last = room
        if mention.evidence is Evidence.TICKER:
            before, after = int(self.small[mention.start - 1 : mention.start] == "$"), 0
        else:
            before, after = self._mark(mention.start), self._ending(mention.end)
        start = max(mention.start - before, first)
        return Mention(mention.entity, start, min(mention.end + after, last), mention.confidence, mention.evidence)


ENDING = re.compile(
    r"(?:控股)?(?:集团)?(?:股份有限公司|有限责任公司|有限公司|股份|控股|集团|公司)"
    r"|,?\s(?:inc|corp|corporation|co|company|ltd|limited|plc|llc|group|holdings|ag|se|nv|sa|spa)\b\.?"
)
MARK = re.compile(r"(?:S?\*?ST|X[DR]|DR)\s?$")
STEM = re.compile(r"(?:控股)?(?:集团)?(?:股份有限公司|有限责任公司|有限公司)$")
SHORTEST_STEM = 3


def _uses(known: Known) -> list[_Use]:
    """Patterns of an entity: its names, the stem of its full Chinese names, its tickers, and words that decide."""
    uses: dict[str, _Use] = {}
    for name in known.names:
        pattern = half_width(name.text).strip()
        uses[pattern] = _Use(pattern, known.entity, name)
        stem = STEM.sub("", pattern)
        if len(stem) >= SHORTEST_STEM:
            uses.setdefault(stem, _Use(stem, known.entity, name))
    for ticker in known.tickers:
        for form in forms_of(ticker):
            uses.setdefault(form.text, _Use(form.text, known.entity, form=form))
    words = {word for name in known.names for word in (*name.required, *name.forbidden)}
    return [*uses.values(), *(_Use(half_width(word).strip()) for word in sorted(words))]


def _is_whole(kept: str, start: int, end: int) -> bool:
    """Whether what stands there begins and ends where words do, and is no part of a number or of an address."""
    first, last = kept[start], kept[end - 1]
    if is_word(first) and start:
        before = kept[start - 1]
        if is_word(before) or (before in ".,@" and start > 1 and _joins(kept[start], before, kept[start - 2])):
            return False
    if is_word(last) and end < len(kept):
        after = kept[end]
        if is_word(after):
            return False
        if after in ".," and end + 1 < len(kept):
            return not _joins(kept[end - 1], after, kept[end + 1])
    return True


def _joins(inner: str, sign: str, outer: str) -> bool:
    """Whether a sign between two characters joins them: 3.14, 1,000, example.com, me@example."""
    if inner.isdigit() and outer.isdigit():
        return sign in ".,"
    if sign == "@":
        return is_word(outer)
    return sign == "." and is_word(inner) and is_word(outer) and inner.islower() and outer.islower()


def _is_cased(use: _Use, surface: str) -> bool:
    """Whether capitals are where they belong: in short names of capitals all, in ambiguous names the first."""
    pattern = use.pattern
    if pattern == surface:
        return True
    letters = [character for character in pattern if character.isalpha() and is_word(character)]
    if not letters:
        return True
    if use.form is not None:
        return use.form.is_whole
    if len(letters) <= CAPITALS and all(map(str.isupper, letters)):
        return False
    is_ambiguous = use.name is not None and use.name.needs_evidence
    return not (is_ambiguous and pattern[0].isupper() and not surface[0].isupper())


def _longest(hits: Sequence[_Hit]) -> list[list[_Hit]]:
    """Hits by the place they stand at, in order; where places overlap the longest stays, then the first."""
    places: dict[tuple[int, int], list[_Hit]] = defaultdict(list)
    for hit in hits:
        places[hit.start, hit.end].append(hit)
    taken: list[tuple[int, int]] = []
    covered: set[int] = set()
    for start, end in sorted(places, key=lambda place: (place[0] - place[1], place[0])):
        if covered.isdisjoint(range(start, end)):
            covered.update(range(start, end))
            taken.append((start, end))
    return [places[place] for place in sorted(taken)]


def _best(mentions: Sequence[Mention]) -> Mention:
    """The surest; when several entities are as sure, none of them is."""
    best = max(mentions, key=lambda mention: mention.confidence)
    equal = len({mention.entity for mention in mentions if mention.confidence == best.confidence})
    return best if equal == 1 else Mention(best.entity, best.start, best.end, best.confidence / equal, best.evidence)


def _room(mentions: Sequence[Mention], length: int) -> list[tuple[int, int]]:
    """How far each may be widened: to the mention before and the one after."""
    edges = [0, *(mention.end for mention in mentions)]
    begins = [*(mention.start for mention in mentions), length]
    return list(zip(edges[:-1], begins[1:], strict=True))
