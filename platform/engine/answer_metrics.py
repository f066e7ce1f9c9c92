"""Exact match and F1 of short answers, as SQuAD counts them; where scripts have no spaces, a character is a word."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

from engine.units import WITHOUT_SPACES

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_CHARACTER = re.compile(f"([{WITHOUT_SPACES}])")


def answer_words(text: str) -> list[str]:
    """Words of an answer without case, punctuation and English articles (Rajpurkar et al. 2016).

    Characters of scripts without spaces are words of their own (as CMRC 2018 does for Chinese).
    """
    kept = "".join(
        character
        for character in text.lower()
        if character not in string.punctuation and unicodedata.category(character)[0] != "P"
    )
    return _CHARACTER.sub(r" \1 ", _ARTICLES.sub(" ", kept)).split()


def exact_match(said: str, gold: Sequence[str]) -> bool:
    """Whether the words are those of one of the gold answers; without gold answers, whether nothing was said."""
    words = answer_words(said)
    return any(words == answer_words(one) for one in gold) if gold else not said


def answer_f1(said: str, gold: Sequence[str]) -> float:
    """The best F1 of the words against a gold answer, 0..1; without gold answers 1 if nothing was said."""
    if not gold:
        return float(not said)
    return max(_f1(answer_words(said), answer_words(one)) for one in gold)


def _f1(said: Sequence[str], gold: Sequence[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    common = sum((Counter(said) & Counter(gold)).values())
    return 2 * common / (len(said) + len(gold))
