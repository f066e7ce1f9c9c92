"""Personal data in a text: where it stands, and the text with placeholders in its place.

Every search is linear in the length of the text: repetitions are bounded or possessive, and begin at the edge of a run only.
Numbers count when their check digits are right. Full-width characters, dashes of all kinds and characters that nobody sees
are read as what they stand for; spans are code points of the text as it was given.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Kind(StrEnum):
    """What was found; its upper-case form in brackets is the placeholder."""

    SECRET = "secret"  # noqa: S105 - the word, not one
    CREDENTIALS = "credentials"  # user:password in an address
    EMAIL = "email"
    IBAN = "iban"
    ID_NUMBER = "id_number"  # of a Chinese resident
    CREDIT_CARD = "credit_card"
    BANK_CARD = "bank_card"  # UnionPay
    IP_ADDRESS = "ip_address"
    PHONE = "phone"


@dataclass(frozen=True)
class Finding:
    """One piece of personal data: its kind and place, never its text."""

    kind: Kind
    start: int
    end: int


def find(text: str, kinds: Collection[str] | None = None) -> list[Finding]:
    """What of `kinds` (all when None) stands in the text, in its order; nothing overlaps."""
    read, places = readable(text)
    taken = bytearray(len(read))
    found = []
    for kind, search in SEARCHES.items():  # the surest first: it keeps its place
        if (kinds is not None and kind not in kinds) or NEEDED.get(kind, "") not in read:
            continue
        for start, end in search(read):
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                found.append(Finding(kind, places[start], places[end - 1] + 1) if places else Finding(kind, start, end))
    return sorted(found, key=lambda each: each.start)


def open_from(text: str) -> int:
    """The first place from which a finding may begin that is not complete, or may change with what follows.

    What `find` says before this place it says of every text that begins so.
    """
    read, places = readable(text)
    tail = max(0, len(read) - TAIL)
    place = min(_run(read), _open_key(read), _open_credentials(read))
    for pattern in (OPEN_NUMBER, OPEN_IBAN):
        match = pattern.search(read, tail)
        place = min(place, match.start()) if match else place
    return (places[place] if places else place) if place < len(read) else len(text)


def _run(text: str) -> int:
    """Where the unbroken run of ASCII characters at the end begins: addresses and keys have no blank."""
    at = len(text)
    while at and "!" <= text[at - 1] <= "~":
        at -= 1
    return at


def _open_key(text: str) -> int:
    begin = None
    for mark in PRIVATE_KEY.finditer(text):
        begin = None if mark[1] == "END" else mark.start() if begin is None else begin
    if begin is None and (match := OPEN_KEY.search(text, max(0, len(text) - TAIL))):
        begin = match.start()
    return len(text) if begin is None else begin


def _open_credentials(text: str) -> int:
    begin = text.rfind("://", max(0, len(text) - 2 * 256 - 4))
    is_open = begin >= 0 and not re.search(r"[\s/@]", text[begin + 3 :])
    return begin + 3 if is_open else len(text)


def redact(text: str, kinds: Collection[str] | None = None) -> tuple[str, list[Finding]]:
    """The text with [EMAIL], [PHONE] ... in place of personal data, and what stood where in the text as given."""
    found = find(text, kinds)
    return replaced(text, [(each.start, each.end, placeholder(each.kind)) for each in found]), found


def placeholder(kind: str) -> str:
    """What stands in place of a finding."""
    return f"[{kind.upper()}]"


def replaced(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    """The text with other words at spans, which are in order and do not overlap."""
    pieces, at = [], 0
    for start, end, words in spans:
        pieces += [text[at:start], words]
        at = end
    return "".join([*pieces, text[at:]])


UNSEEN = frozenset("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")
_SAME = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},  # full width
    **dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f\u3000"), ord(" ")),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), ord("-")),
}


def readable(text: str) -> tuple[str, list[int]]:
    """The text to search in and, when characters were left out, the place of each that stayed."""
    read = text.translate(_SAME)
    if not UNSEEN.intersection(read):
        return read, []
    places = [at for at, character in enumerate(read) if character not in UNSEEN]
    return "".join(read[at] for at in places), places


Spans = Iterator[tuple[int, int]]

EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_%+-](?:[A-Za-z0-9._%+-]{0,63})@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
CREDENTIALS = re.compile(r"(?<=://)[^\s/:@]{0,256}:[^\s/@]{1,256}(?=@)")
PHONES = re.compile(
    r"(?<![A-Za-z0-9+.])(?:"
    r"(?:(?:\+|00)?86[- ]?)?1[3-9]\d(?:[- ]?\d{4}){2}"  # Chinese mobile
    r"|\+[1-9](?:[ ()-]{0,2}\d){8,14}"  # international
    r"|(?<!\d[ -])00[1-9]\d{0,2}[ -](?:[ ()-]{0,2}\d){6,11}"
    r"|(?<!\d[ -])\(?0[1-9]\d{1,2}\)?[- ]\d{7,8}"  # Chinese land line
    r"|(?<!\d[ -])(?:\([2-9]\d\d\) ?|[2-9]\d\d[-.])[2-9]\d\d[-.]\d{4}"  # North America
    r")(?![A-Za-z0-9]|[.-]\d)"
)
NUMBERED = re.compile(
    r"(?:订单|訂單|单号|單號|编号|編號|流水号|运单|工单|order|invoice|ticket|tracking|serial|ref|sku)[^\n\d]{0,12}$",
    re.IGNORECASE,
)
"""Words before a number that is none of a telephone."""
VERSIONED = re.compile(r"(?:版本|version|release|build|固件|firmware)[^\n\d]{0,8}$", re.IGNORECASE)
BEFORE = 24  # characters in which such a word is looked for
ID_NUMBER = re.compile(
    r"(?<![A-Za-z0-9])([1-9]\d{5})[ -]?((?:18|19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])[ -]?(\d{3}[\dXx])(?![A-Za-z0-9])"
)
PROVINCES = frozenset(
    map(
        str,
        [
            *range(11, 16),
            *range(21, 24),
            *range(31, 38),
            *range(41, 47),
            *range(50, 55),
            *range(61, 66),
            71,
            81,
            82,
            83,
        ],
    )
)
CARD = re.compile(
    r"(?<![A-Za-z0-9])(?<!\d[.,])(?=("
    r"\d{13,19}"
    r"|\d{4}([ -])\d{4}\2\d{4}\2\d{4}(?:\2\d{1,3})?"
    r"|\d{4}([ -])\d{6}\3\d{4,5}"
    r"|\d{6}[ -]\d{10,13}"
    r")(?![A-Za-z0-9]|[.,]\d))"
)
BRANDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"
    r"|(?:5[1-5]|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12,14}"
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}"
    r"|(?:6011|65\d\d|64[4-9]\d)\d{12,15}"
)
UNION_PAY = re.compile(r"62\d{14,17}|9558\d{12,15}|60\d{17}")
IBAN_HEAD = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?=[ A-Za-z0-9])")
IBAN_LENGTHS = {
    length: frozenset(countries.split())
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL",
        19: "MK SI",
        20: "AT BA EE KZ LT LU XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
}
IP_4 = re.compile(r"(?<![A-Za-z0-9.])(?:\d{1,3}\.){3}\d{1,3}(?![A-Za-z0-9]|\.\d)")
IP_6 = re.compile(r"(?<![A-Za-z0-9:.])[0-9A-Fa-f:]{4,39}(?![A-Za-z0-9])")
OUTER_6 = tuple(map(ipaddress.IPv6Network, ("2000::/3", "fc00::/7", "fe80::/10")))
SECRETS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:sk|pk|rk|lx)[-_][A-Za-z0-9_-]{16,512}+"
    r"|gh[oprsu]_[A-Za-z0-9]{30,255}+|github_pat_[A-Za-z0-9_]{22,255}+|glpat-[A-Za-z0-9_-]{20,255}+"
    r"|hf_[A-Za-z0-9]{20,255}+|npm_[A-Za-z0-9]{30,255}+|pypi-[A-Za-z0-9_-]{40,512}+|xox[abeoprs]-[A-Za-z0-9-]{10,255}+"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])|AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])"
    r"|LTAI[A-Za-z0-9]{12,32}+|AKID[A-Za-z0-9]{13,48}+"
    r"|eyJ[A-Za-z0-9_-]{8,4096}+\.eyJ[A-Za-z0-9_-]{8,16384}+\.[A-Za-z0-9_-]{8,4096}+"
    r")"
)
NAMED_SECRET = re.compile(
    r"(?:(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?key|token|密码|密碼|口令|密钥|密鑰)[\"']?\s{0,3}[=:]\s{0,3}[\"']?|(?<![a-z0-9])bearer\s{1,3})"
    r"([A-Za-z0-9!#$%&*+./?@^_~=-]{6,512}+)",
    re.IGNORECASE,
)
PRIVATE_KEY = re.compile(r"-----(BEGIN|END) [A-Z ]{0,40}PRIVATE KEY-----")


TAIL = 96  # characters at the end of a text in which a number with blanks in it begins
OPEN_NUMBER = re.compile(r"[+(]?\d(?:(?:[ ()-]{0,3}|[.,])\d)*(?:[ ()-]{0,3}|[.,]|[Xx])?\Z")
OPEN_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?: ?[A-Za-z0-9]){0,31} ?\Z")
OPEN_KEY = re.compile(r"-----BEGIN [A-Z ]{0,52}-{0,4}\Z")


def _matches(pattern: re.Pattern[str]) -> Callable[[str], Spans]:
    return lambda text: (match.span() for match in pattern.finditer(text))


def _secrets(text: str) -> Spans:
    begin = None
    for mark in PRIVATE_KEY.finditer(text):
        if mark[1] == "BEGIN":
            begin = mark.start() if begin is None else begin
        elif begin is not None:
            yield begin, mark.end()
            begin = None
    for pattern, group in ((SECRETS, 0), (NAMED_SECRET, 1)):
        for match in pattern.finditer(text):
            value = match[group].rstrip(".")
            # "sk-learn-for-beginners" is a title, "token: string" a type
            if any(map(str.isdigit, value)) and any(map(str.isalpha, value)):
                yield match.start(group), match.start(group) + len(value)


def _phones(text: str) -> Spans:
    for match in PHONES.finditer(text):
        if not NUMBERED.search(text[max(0, match.start() - BEFORE) : match.start()]):
            yield match.span()


def _id_numbers(text: str) -> Spans:
    for match in ID_NUMBER.finditer(text):
        region, year, month, day, end = match.groups()
        if region[:2] in PROVINCES and _is_day(int(year), int(month), int(day)):
            digits = region + year + month + day + end.upper()
            if (
                "10X98765432"[sum(int(digit) * 2 ** (17 - at) for at, digit in enumerate(digits[:17])) % 11]
                == digits[17]
            ):
                yield match.span()


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _cards(brands: re.Pattern[str]) -> Callable[[str], Spans]:
    def search(text: str) -> Spans:
        for match in CARD.finditer(text):
            digits = match[1].replace(" ", "").replace("-", "")
            if brands.fullmatch(digits) and _luhn(digits):
                yield match.span(1)

    return search


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812: every second digit from the right doubled, the digits' sum divisible by ten."""
    doubled = (int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits)))
    return len(set(digits)) > 1 and sum(value // 10 + value % 10 for value in doubled) % 10 == 0


def _ibans(text: str) -> Spans:
    for head in IBAN_HEAD.finditer(text):
        country = head[0][:2].upper()
        length = next((length for length, countries in IBAN_LENGTHS.items() if country in countries), 0)
        end, read = head.start(), ""
        while len(read) < length and end < len(text):
            if text[end].isascii() and text[end].isalnum():
                read += text[end]
            elif text[end] != " " or text[end - 1] == " ":
                break
            end += 1
        is_whole = end == len(text) or not (text[end].isascii() and text[end].isalnum())
        if length and len(read) == length and is_whole and _mod_97(read) == 1:
            yield head.start(), end


def _mod_97(iban: str) -> int:
    """ISO 13616: the first four characters go to the end, letters are 10 to 35."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97


def _addresses(text: str) -> Spans:
    for match in IP_4.finditer(text):
        found = _ip(match[0])
        is_version = VERSIONED.search(text[max(0, match.start() - BEFORE) : match.start()])
        if found is not None and not is_version and not found.is_loopback and not found.is_unspecified:
            yield match.span()
    for match in IP_6.finditer(text):
        written = match[0].rstrip(":") if not match[0].endswith("::") else match[0]
        found = _ip(written) if written.count(":") > 1 else None
        if isinstance(found, ipaddress.IPv6Address) and any(found in network for network in OUTER_6):
            yield match.start(), match.start() + len(written)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


NEEDED = {Kind.CREDENTIALS: "://", Kind.EMAIL: "@"}
"""What a text without the kind mostly lacks, which is quick to see."""
SEARCHES: dict[Kind, Callable[[str], Spans]] = {
    Kind.SECRET: _secrets,
    Kind.CREDENTIALS: _matches(CREDENTIALS),
    Kind.EMAIL: _matches(EMAIL),
    Kind.IBAN: _ibans,
    Kind.ID_NUMBER: _id_numbers,
    Kind.CREDIT_CARD: _cards(BRANDS),
    Kind.BANK_CARD: _cards(UNION_PAY),
    Kind.IP_ADDRESS: _addresses,
    Kind.PHONE: _phones,
}
"""Where each kind stands, the surest kind first."""
