"""Which language an article is in: by its script first, so short and mixed texts are told; simplified and traditional apart."""

import re
from functools import lru_cache
from typing import Any

LOOKED_AT = 2_000  # characters
FEW_LETTERS = 12  # below this a Latin text says too little for a statistic
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]")
_HANGUL = re.compile("[\uac00-\ud7af\u1100-\u11ff]")
_LETTER = re.compile(r"[^\W\d_]")
_NO_TEXT = re.compile(r"https?://\S+|[\w.+-]+@[\w-]+\.[\w.]+|[@#$][\w.]+")
_SCRIPTS = (
    ("th", re.compile("[\u0e00-\u0e7f]")), ("he", re.compile("[\u0590-\u05ff]")), ("el", re.compile("[\u0370-\u03ff]")),
    ("hi", re.compile("[\u0900-\u097f]")),
)  # fmt: skip
_ENGLISH = frozenset(
    {
        "the", "of", "and", "to", "in", "a", "is", "for", "on", "that", "with", "as", "by", "at", "from", "it", "be", "are", "was", "has",
        "will", "its", "says", "after", "over", "amid", "up", "down"
    }
)  # fmt: skip


def detect(text: str, hint: str = "") -> tuple[str, float]:
    """(code, confidence 0..1): zh-Hans, zh-Hant, or an ISO 639-1 code, "und" for no language. `hint` is what the source
    says of itself ("zh-CN", "en-US"); it decides where the text does not."""
    head = _NO_TEXT.sub(" ", text[:LOOKED_AT])
    letters, han = len(_LETTER.findall(head)), len(_HAN.findall(head))
    hinted = _code(hint)
    if not letters:
        return (hinted, 0.2) if hinted else ("und", 0.0)
    kana, hangul = len(_KANA.findall(head)), len(_HANGUL.findall(head))
    if (kana + hangul + han) * 4 >= letters or _names_in_chinese(
        head, han
    ):  # a Han character says about as much as four letters
        return _east_asian(head, han, kana, hangul, hinted)
    for code, pattern in _SCRIPTS:
        if len(pattern.findall(head)) * 2 > letters:
            return code, 0.99
    return _alphabetic(head, letters, hinted)


def _names_in_chinese(head: str, han: int) -> bool:
    """Apple 发布 iPhone 15 Pro Max: foreign names around Chinese words, and no English grammar."""
    words = re.findall(r"[A-Za-z]+", head.lower())
    return han >= 2 and han * 2 >= len(words) and not any(word in _ENGLISH for word in words)


def _east_asian(head: str, han: int, kana: int, hangul: int, hinted: str) -> tuple[str, float]:
    if hangul > han:
        return "ko", 0.99
    if kana * 10 >= han + kana or (hinted == "ja" and kana):
        return "ja", 0.97
    if hinted == "ja" and han < 8:
        return "ja", 0.5
    simplified, traditional = _written(head)
    if simplified == traditional:  # 中文, 日本: written alike in both
        return hinted if hinted in ("zh-Hans", "zh-Hant") else "zh-Hans", 0.6
    code = "zh-Hans" if simplified > traditional else "zh-Hant"
    return code, round(max(simplified, traditional) / (simplified + traditional), 2)


def _written(head: str) -> tuple[int, int]:
    """How many characters are written in the simplified way only, and in the traditional way only."""
    only_simplified, only_traditional = _characters()
    return sum(char in only_simplified for char in head), sum(char in only_traditional for char in head)


@lru_cache(maxsize=1)
def _characters() -> tuple[frozenset[str], frozenset[str]]:
    """From the tables of OpenCC: a character whose conversion is another one belongs to its own side alone."""
    from opencc import OpenCC

    to_simplified, to_traditional = OpenCC("t2s"), OpenCC("s2t")
    every = "".join(map(chr, range(0x4E00, 0x9FA6)))
    simple, full = _each(to_simplified, every), _each(to_traditional, every)
    both = list(zip(every, simple, full, strict=True))
    only_simplified = frozenset(char for char, as_simple, as_full in both if as_full != char and as_simple == char)
    only_traditional = frozenset(char for char, as_simple, as_full in both if as_simple != char and as_full == char)
    return only_simplified, only_traditional


def _each(converter: Any, characters: str) -> str:
    """Characters converted one by one, as no words."""
    return converter.convert("\n".join(characters)).replace("\n", "")  # type: ignore[no-any-return]


def _alphabetic(head: str, letters: int, hinted: str) -> tuple[str, float]:
    words = re.findall(r"[A-Za-z]+", head.lower())
    english = sum(word in _ENGLISH for word in words) / max(1, len(words))
    if letters < FEW_LETTERS:
        if hinted and hinted not in ("zh-Hans", "zh-Hant", "ja", "ko"):
            return hinted, 0.5
        return ("en", 0.4) if words else ("und", 0.1)
    code, probability = _identifier().classify(head)
    code, probability = str(code), float(probability)
    if code == hinted:
        return code, round(max(probability, 0.8), 2)
    if english >= 0.15 and hinted in ("", "en"):
        return "en", 0.9
    if probability < 0.6 and hinted and not hinted.startswith("zh"):
        return hinted, 0.5
    return (code, round(probability, 2)) if probability >= 0.5 else ("en" if words else "und", 0.3)


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """numpy and 4 MB of model: loaded by the worker that asks first."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _code(hint: str) -> str:
    """zh-TW -> zh-Hant, en_US.UTF-8 -> en; "" for what names no language."""
    found = re.match(r"\s*([A-Za-z]{2,3})(?:[-_]([A-Za-z]{2,4}))?", hint)
    if not found:
        return ""
    language, place = found[1].lower(), (found[2] or "").lower()
    if language in ("zh", "cmn", "yue"):
        return "zh-Hant" if place in ("tw", "hk", "mo", "hant") or language == "yue" else "zh-Hans"
    return language if len(language) == 2 else ""
