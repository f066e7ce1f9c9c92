"""What texts are like: lengths in characters, words and bytes, and the language they seem to be in."""

import re
from collections import Counter
from functools import lru_cache
from typing import Any

from apps.datasets.tokens import CJK_CHARACTER, words

LANGUAGE_CHARACTERS = 400  # as much of a text as is looked at
_KANA = re.compile("[\u3041-\u30ff\uff66-\uff9f]")
_SCRIPTS = (
    ("ko", re.compile("[\uac00-\ud7af\u1100-\u11ff]")), ("th", re.compile("[\u0e00-\u0e7f]")),
    ("he", re.compile("[\u0590-\u05ff]")), ("el", re.compile("[\u0370-\u03ff]")),
    ("hi", re.compile("[\u0900-\u097f]")),
)  # fmt: skip
_LETTER = re.compile(r"[^\W\d_]")


class Lengths:
    """Numbers told apart exactly up to 1,024 and by 1/32 above: any count of them in bounded memory."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = self.total = self.maximum = 0
        self.minimum = -1

    def add(self, value: int) -> None:
        self.count, self.total = self.count + 1, self.total + value
        self.maximum = max(self.maximum, value)
        self.minimum = value if self.minimum < 0 else min(self.minimum, value)
        shift = max(0, value.bit_length() - 6) if value >= 1024 else 0
        self._counts[value >> shift << shift] += 1

    def quantile(self, share: float) -> int:
        left = share * (self.count - 1)
        for value in sorted(self._counts):
            left -= self._counts[value]
            if left < 0:
                return value
        return self.maximum

    def report(self) -> dict[str, Any]:
        if not self.count:
            return {"count": 0}
        quantiles = {f"p{int(share * 100)}": self.quantile(share) for share in (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)}
        mean = round(self.total / self.count, 2)
        return {"count": self.count, "min": self.minimum, "max": self.maximum, "mean": mean, **quantiles}


def token_count(text: str) -> int:
    """Words, and each Chinese or Japanese character as one: an estimate of model tokens without a model."""
    return len(words(text))


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """The language identifier (numpy and 4 MB of model), loaded when a profile is first made, not with the web."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language(text: str) -> str:
    """ISO 639-1 code, or "und" where a text is too short or no language. Chinese, Japanese, Korean and a few others
    are told by their script; Latin, Cyrillic and Arabic texts by py3langid."""
    head = text[:LANGUAGE_CHARACTERS]
    letters = len(_LETTER.findall(head))
    if not letters:
        return "und"
    cjk = len(CJK_CHARACTER.findall(head))
    if cjk * 4 >= letters:  # a Han character says about as much as four letters
        return "ja" if len(_KANA.findall(head)) * 10 >= cjk else "zh"
    for code, pattern in _SCRIPTS:
        if len(pattern.findall(head)) * 2 > letters:
            return code
    if letters < 4:
        return "und"
    code, probability = _identifier().classify(head)
    return str(code) if probability >= 0.5 else "und"
