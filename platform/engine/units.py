"""What a tagger labels: words or characters of a text, each with the first token that reads it, in windows that fit."""

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

UNITS = ("word", "character")
# Scripts that write no space between words: Thai, Lao, Burmese, Khmer; Han, kana, bopomofo and their extensions.
WITHOUT_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u30ff\u3105-\u312f\u31a0-\u31bf"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
TEXTS_LOOKED_AT = 1000
FORMS = 11  # 0 stands for special tokens
SHAPES = 2 * FORMS


@lru_cache(maxsize=2)
def _pattern(unit: str) -> re.Pattern[str]:
    """Each match is one unit: a character with its marks, or a run of letters and digits, or one other sign."""
    marks = "".join(
        re.escape(chr(at))
        for at in range(0x300, min(sys.maxunicode, 0xFFFF))
        if unicodedata.category(chr(at))[0] == "M"
    )
    character = f"[^\\s][{marks}\u200c\u200d\ufe0f]*"
    if unit == "character":
        return re.compile(character)
    letter = f"(?:(?![{WITHOUT_SPACES}])\\w)[{marks}\u200c\u200d]*"
    return re.compile(f"(?:{letter})+|{character}")


def unit_spans(text: str, unit: str) -> list[tuple[int, int]]:
    """[start, end) of the units of a text in code points; white space belongs to none.

    A word is a run of letters, digits and their marks; any other sign, and a character of a script without spaces, is a
    unit by itself. Spans that begin or end inside such a word cannot be said exactly.
    """
    return [match.span() for match in _pattern(unit).finditer(text)]


def unit_by_script(texts: Iterable[str]) -> str:
    """ "character" when more than half of the letters are of scripts without spaces, else "word"."""
    pattern = re.compile(f"[{WITHOUT_SPACES}]")
    dense = letters = 0
    for text, _ in zip(texts, range(TEXTS_LOOKED_AT), strict=False):
        dense += len(pattern.findall(text))
        letters += sum(character.isalpha() for character in text)
    return "character" if 2 * dense > letters > 0 else "word"


@dataclass(frozen=True)
class Reading:
    """A text as the encoder reads it: token ids without special tokens, and of each unit its place and first token."""

    tokens: list[int]  # [T]
    spans: list[tuple[int, int]]  # [U], code points
    firsts: list[int]  # [U], strictly rising positions in `tokens`

    def __len__(self) -> int:
        return len(self.spans)


def read_units(tokenizer: Any, texts: Sequence[str], unit: str) -> list[Reading]:
    """The readings of texts. Units that one token covers together become one unit; a unit no token reads is left out."""
    if not texts:
        return []
    found = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return [
        _reading(ids, offsets, unit_spans(text, unit))
        for text, ids, offsets in zip(texts, found["input_ids"], found["offset_mapping"], strict=True)
    ]


def _reading(ids: list[int], offsets: Sequence[tuple[int, int]], units: Sequence[tuple[int, int]]) -> Reading:
    places = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    spans: list[tuple[int, int]] = []
    firsts: list[int] = []
    ends = np.maximum.accumulate(places[:, 1]) if len(places) else places[:, 1]
    for start, end in units:
        at = int(np.searchsorted(ends, start, side="right"))  # the first token that ends behind the unit's start
        if at == len(places) or places[at, 0] >= end:
            continue
        if firsts and firsts[-1] == at:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
            firsts.append(at)
    return Reading(list(ids), spans, firsts)


@dataclass(frozen=True)
class Piece:
    """A stretch of a text that the encoder reads at once, and the units it answers for."""

    row: int
    start: int  # tokens [start, end) of the row
    end: int
    first_unit: int  # units [first_unit, last_unit) of the row
    last_unit: int


def pieces_of(readings: Sequence[Reading], room: int, stride: int) -> list[Piece]:
    """Windows of at most `room` tokens that share `stride` tokens with their neighbour.

    A unit belongs to the window in which its first token is farthest from a cut, so each unit is read once with the
    most company, and an entity at a cut is put together again.
    """
    found: list[Piece] = []
    for row, reading in enumerate(readings):
        length, unit = len(reading.tokens), 0
        starts = _starts(length, room, stride)
        for at, start in enumerate(starts):
            end = min(start + room, length)
            border = (starts[at + 1] + end) / 2 if at + 1 < len(starts) else length
            last = int(np.searchsorted(reading.firsts, border, side="left"))
            if last > unit:
                found.append(Piece(row, start, end, unit, last))
            unit = max(unit, last)
    return found


def _starts(length: int, room: int, stride: int) -> list[int]:
    """Where the windows begin; the last one is moved back so that it is as long as the others."""
    if length <= room:
        return [0]
    step = max(1, room - stride)
    return [*range(0, length - room, step), length - room]


def shapes_of(text: str, reading: Reading) -> list[int]:
    """[T]: of each token the form of its unit, and whether that unit opens the text; below SHAPES."""
    forms = [_form(text[start:end]) for start, end in reading.spans]
    units = np.searchsorted(reading.firsts, np.arange(len(reading.tokens)), side="right") - 1
    return [0 if at < 0 else forms[at] + (FORMS if at == 0 else 0) for at in units.tolist()]


def _form(text: str) -> int:
    """How a word is written: what an uncased tokenizer takes away, and what digits say."""
    letters = [character for character in text if character.isalpha()]
    if any(character.isdigit() for character in text):
        return 2 if letters else 1
    if not letters:
        return 3
    if not any(character.isupper() or character.istitle() for character in letters):
        return 4 if any(character.islower() for character in letters) else 9  # 9: a script without case
    if all(not character.islower() for character in letters):
        return 5 if len(letters) == 1 else 6
    if not letters[0].islower():
        return 7 if all(not character.isupper() for character in letters[1:]) else 8
    return 10  # begins small, goes on large


def surroundings(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and behind a text."""
    bare, whole = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    at = next(at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
    return list(whole[:at]), list(whole[at + len(bare) :])
