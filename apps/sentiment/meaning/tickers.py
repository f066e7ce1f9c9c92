"""How a ticker is written: with and without its exchange, before it or after it; and how sure each form is.

A-shares have six digits (600519.SH), Hong Kong up to five (0700.HK), American ones letters (AAPL); any other ticker is
taken as it stands. Digits alone may be any number and letters alone any word, so they are less sure: what stands around
them decides (`sureness`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from apps.sentiment.meaning.folding import half_width

SURE = 0.98
DIGITS_ALONE = {6: 0.6, 5: 0.4}  # number of digits -> how sure
LETTERS_ALONE = (0.0, 0.1, 0.3, 0.55, 0.7, 0.85)  # by number of letters
NUMBER = 0.05  # a count or an amount

_A_SHARE = re.compile(r"(?:(SH|SZ|BJ)[.:]?)?(\d{6})(?:\.(SH|SS|XSHG|SZ|XSHE|BJ))?")
_HONG_KONG = re.compile(r"(?:HK[.:]?(\d{1,5})|(\d{1,5})\.HK)")
_AMERICAN = re.compile(r"([A-Z]{1,6}(?:[.-][A-Z])?)(?:\.(?:US|O|OQ|N))?")
_EXCHANGES = {
    "SH": ("SH", "SS", "XSHG"),
    "SZ": ("SZ", "XSHE"),
    "BJ": ("BJ",),
}
_BEFORE = re.compile(
    r"(?:nasdaq|nyse(?: american| arca)?|amex|sse|szse|bse|sehk|hkex|纳斯达克|纽交所|上交所|深交所|北交所|港交所|沪市|深市|港股|"
    r"ticker|symbol|股票代码|证券代码|代码)\s*[:：]?\s*$"
)
_UNIT = re.compile(r"\s?(?:年|月|日|元|块|万|亿|股|手|人|个|点|次|台|辆|吨|%|usd|rmb)")


@dataclass(frozen=True)
class Form:
    """One way to write a ticker; `is_whole` when it names its exchange."""

    text: str
    sure: float
    is_whole: bool


def normal(ticker: str) -> str:
    """As it is kept: half width, capitals, no blanks."""
    return re.sub(r"\s+", "", half_width(ticker)).upper().removeprefix("$")


def forms_of(ticker: str) -> Sequence[Form]:
    """All ways to write it, each once; empty for what is no ticker."""
    ticker = normal(ticker)
    if found := _A_SHARE.fullmatch(ticker):
        return _a_share(found[2], found[1] or found[3] or "")
    if found := _HONG_KONG.fullmatch(ticker):
        return _hong_kong((found[1] or found[2]).lstrip("0") or "0")
    if found := _AMERICAN.fullmatch(ticker):
        return _american(found[1])
    return [Form(ticker, SURE, is_whole=True)] if re.fullmatch(r"[0-9A-Z]+(?:[.:-][0-9A-Z]+)+", ticker) else []


def _a_share(code: str, exchange: str) -> list[Form]:
    home = next((name for name, names in _EXCHANGES.items() if exchange in names), "") or _exchange_of(code)
    whole = [f"{home}{code}", f"{home}.{code}", f"{home}:{code}", *(f"{code}.{name}" for name in _EXCHANGES[home])]
    return [*(Form(text, SURE, is_whole=True) for text in whole), Form(code, DIGITS_ALONE[6], is_whole=False)]


def _exchange_of(code: str) -> str:
    """By the first digits, as the exchanges hand them out."""
    if code.startswith("92"):
        return "BJ"
    return {"6": "SH", "9": "SH", "5": "SH", "4": "BJ", "8": "BJ"}.get(code[0], "SZ")


def _hong_kong(number: str) -> list[Form]:
    codes = dict.fromkeys((number, number.zfill(4), number.zfill(5)))
    whole = [form for code in codes for form in (f"{code}.HK", f"HK{code}", f"HK.{code}", f"HK:{code}")]
    alone = number.zfill(5)
    return [*(Form(text, SURE, is_whole=True) for text in whole), Form(alone, DIGITS_ALONE[5], is_whole=False)]


def _american(symbol: str) -> list[Form]:
    whole = [Form(f"{symbol}.{place}", SURE, is_whole=True) for place in ("US", "O", "OQ", "N")]
    letters = sum(character.isalpha() for character in symbol)
    return [*whole, Form(symbol, LETTERS_ALONE[min(letters, 5)], is_whole=False)]


def sureness(form: Form, text: str, start: int, end: int) -> float:
    """How sure `form` is where it stands in the lowered text: a cash tag, brackets or an exchange before it speak for it,
    a unit after it says that it is a number."""
    if form.is_whole:
        return form.sure
    is_number = form.text.isdigit()
    before = text[max(0, start - 20) : start]
    if _BEFORE.search(before):
        return 0.97
    if before.endswith("$"):
        return NUMBER if is_number else SURE
    if before.endswith("(") and text[end : end + 1] == ")":
        return max(form.sure, 0.9)
    if is_number and _UNIT.match(text, end):
        return NUMBER
    return form.sure
