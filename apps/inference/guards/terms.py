"""Blocked terms in a text, however they are written: one pass of Aho and Corasick's automaton (CACM 1975) over folded letters.

Folding reads full width as half width, capitals as small letters, traditional characters as simplified ones (the
characters of OpenCC), and leaves out marks, blanks, punctuation and characters that nobody sees. Three or more equal
letters stand for one or more. A second form reads digits and signs as the letters they are drawn for ("k1ll", "@ss"), a
third one Chinese characters by their sound (pypinyin, without tones). Terms of Latin letters are whole words.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from ahocorasick_rs import AhoCorasick

from apps.inference.guards.pii import UNSEEN

OPEN = 1000  # characters at the end of a text in which an open term begins
GAP = 4  # more signs than this between two letters part them
BREAK = "\0"
LEET = dict(zip("013457890@$!|€l", "oieastbgoasiiei", strict=True))
SOUNDS = 0xE000  # a syllable is one character of the private use area
SHORTEST_SPELLED = 5  # letters of a term's sound that count when they are written out


@dataclass(frozen=True)
class Hit:
    """Term number `term` stands from `start` to `end`, in code points."""

    term: int
    start: int
    end: int


@dataclass(frozen=True)
class Folded:
    """Letters with the place of each in the text and how often it was repeated there."""

    letters: str
    starts: list[int]
    ends: list[int]
    runs: list[int]


Reading = Callable[[str], str | None]
"""What a character is read as: letters, "" for a sign between them, None for nothing at all."""


def fold(text: str, read: Reading) -> Folded:
    """The text in the letters of one form."""
    letters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    runs: list[int] = []
    gap = 0
    for at, character in enumerate(text):
        found = read(character)
        if found is None:
            continue
        if not found:
            gap += 1
            if gap == GAP + 1:
                found = BREAK
            else:
                continue
        else:
            gap = 0
        for letter in found:
            if letters and letters[-1] == letter and letter.isascii() and character.isalpha():
                ends[-1] = at + 1
                runs[-1] += 1
            else:
                letters.append(letter)
                starts.append(at)
                ends.append(at + 1)
                runs.append(1)
    return Folded("".join(letters), starts, ends, runs)


@lru_cache(100_000)
def plain(character: str) -> str | None:
    """As it is written: small, simplified, half width, without marks."""
    if character in UNSEEN or unicodedata.category(character) == "Cf":
        return None
    found = ""
    for each in unicodedata.normalize("NFKD", character.casefold()):
        kind = unicodedata.category(each)
        if kind[0] == "M":
            continue
        found += _simplified().get(each, each) if kind[0] in "LN" else ""
    is_mark = not found and unicodedata.category(character)[0] == "M"
    return None if is_mark else found


@lru_cache(100_000)
def drawn(character: str) -> str | None:
    """As letters are drawn with digits and signs."""
    found = plain(unicodedata.normalize("NFKC", character)[:1])
    return LEET.get(found or unicodedata.normalize("NFKC", character)[:1], found)


@lru_cache(100_000)
def sound(character: str) -> str | None:
    """By the sound of a Chinese character."""
    found = plain(character)
    if not found or not _is_chinese(found):
        return found
    return chr(SOUNDS + _syllables().setdefault(_pinyin(found), len(_syllables())))


@cache
def _syllables() -> dict[str, int]:
    return {}


def _pinyin(character: str) -> str:
    from pypinyin import lazy_pinyin  # half a second, for those who ask for it

    return str(lazy_pinyin(character)[0])


@cache
def _simplified() -> dict[str, str]:
    """Traditional to simplified characters."""
    import opencc

    path = Path(opencc.__file__).parent / "dictionary" / "TSCharacters.txt"
    pairs = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {pair[0]: pair[1] for pair in pairs if len(pair) > 1 and len(pair[0]) == len(pair[1]) == 1}


def simplified(text: str) -> str:
    """The text in simplified characters, each in its place."""
    return text.translate(_table()) if _HAN.search(text) else text


@cache
def _table() -> dict[int, str]:
    return {ord(old): new for old, new in _simplified().items()}


_HAN = re.compile(r"[\u3400-\u9fff]")


def _is_chinese(text: str) -> bool:
    return bool(_HAN.match(text))


class Terms:
    """A list of terms, ready to be found."""

    def __init__(self, terms: Sequence[str], *, homophones: bool = False) -> None:
        self._forms: list[tuple[Reading, AhoCorasick, list[list[tuple[int, Folded]]]]] = []
        self._beginnings: list[tuple[Reading, frozenset[str], int]] = []  # of terms, and the longest term's letters
        self._add(plain, [(at, term) for at, term in enumerate(terms)])
        self._add(drawn, [(at, term) for at, term in enumerate(terms) if _has_letters(term)])
        if homophones:
            chinese = [(at, term) for at, term in enumerate(terms) if len(_HAN.findall(term)) > 1]
            self._add(sound, chinese)
            self._add(plain, [(at, spelled) for at, term in chinese if (spelled := _spelled(term))])

    def _add(self, read: Reading, terms: Sequence[tuple[int, str]]) -> None:
        by_letters: dict[str, list[tuple[int, Folded]]] = {}
        for at, term in terms:
            folded = fold(term, read)
            if folded.letters.strip(BREAK):
                by_letters.setdefault(folded.letters, []).append((at, folded))
        if by_letters:
            self._forms.append((read, AhoCorasick(list(by_letters)), list(by_letters.values())))
            beginnings = frozenset(each[:end] for each in by_letters for end in range(1, len(each) + 1))
            self._beginnings.append((read, beginnings, max(map(len, by_letters))))

    def open_from(self, text: str) -> int:
        """The first place from which a term may begin that is not complete, or may change with what follows."""
        before, place = max(0, len(text) - OPEN), len(text)
        for read, beginnings, longest in self._beginnings:
            folded = fold(text[before:], read)
            sizes = range(min(longest, len(folded.letters)), 0, -1)
            size = next((size for size in sizes if folded.letters[-size:] in beginnings), 0)
            place = min(place, before + folded.starts[-size]) if size else place
        return place

    def find(self, text: str) -> list[Hit]:
        """Every term where it stands, in order; each place once for each term."""
        found = {}
        for read, automaton, owners in self._forms:
            folded = fold(text, read)
            for number, begin, end in automaton.find_matches_as_indexes(folded.letters, overlapping=True):
                hit = (folded.starts[begin], folded.ends[end - 1])
                if read is drawn and not _is_drawn(text[slice(*hit)]):
                    continue
                for term, pattern in owners[number]:
                    if _repeats(pattern.runs, folded.runs[begin:end]) and _is_whole(pattern.letters, text, *hit):
                        found[(term, *hit)] = Hit(term, *hit)
        return sorted(found.values(), key=lambda hit: (hit.start, hit.end, hit.term))


@lru_cache(64)
def terms_of(terms: tuple[str, ...], homophones: bool) -> Terms:
    """A list made ready once a process."""
    return Terms(terms, homophones=homophones)


def _has_letters(term: str) -> bool:
    return any(letter.isascii() and letter.isalpha() for letter in fold(term, plain).letters)


def _is_drawn(surface: str) -> bool:
    """Whether letters are drawn with other signs here, and not all of it is."""
    return any(sign in LEET and sign != "l" for sign in surface) and any(map(str.isalpha, surface))


def _spelled(term: str) -> str:
    spelled = "".join(_pinyin(each) if _is_chinese(each) else each for each in fold(term, plain).letters)
    return spelled if len(spelled) >= SHORTEST_SPELLED else ""


def _repeats(wanted: Sequence[int], given: Sequence[int]) -> bool:
    return all(one == other or other >= max(3, one) for one, other in zip(wanted, given, strict=True))


def _is_whole(letters: str, text: str, start: int, end: int) -> bool:
    """Latin letters at the edge of a term stand at the edge of a word."""
    begins = not letters[0].isascii() or not _is_word(text[start - 1 : start]) or not _is_word(text[start])
    ends = not letters[-1].isascii() or not _is_word(text[end : end + 1]) or not _is_word(text[end - 1])
    return begins and ends


def _is_word(character: str) -> bool:
    return bool(character) and unicodedata.normalize("NFKC", character)[:1].isascii() and character.isalnum()
