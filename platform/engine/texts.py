"""Texts as comparisons see them."""

import re
import unicodedata

HAN = "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Scripts that write no space between words: Thai, Lao, Burmese, Khmer; Han, kana, bopomofo and their extensions.
WITHOUT_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\uff66-\uff9f" + HAN
)
_SPACE = re.compile(r"\s+")


def normalised(text: str) -> str:
    """One Unicode form, no case, single spaces: two texts equal in this are the same text to a leak check."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
