"""Bytes to text: by byte order mark, by what the text shows itself to be, by declaration, by detection."""

import re

from core.errors import Refused
from words import say

SAMPLE_BYTES = 65_536
LEAST_LIKENESS = 0.12  # share of frequent characters
MOST_IN_RUNS = 0.5  # of its bytes beyond ASCII more stand side by side: no text in a European language's Latin-1

# Names as the web uses them -> Python's codec. Only these: a declaration must not choose zip, punycode or utf-7.
_CODECS = {
    **dict.fromkeys(("utf-8", "utf8", "unicode-1-1-utf-8"), "utf-8"),
    **dict.fromkeys(("gb2312", "gbk", "gb18030", "gb-2312", "gb_2312-80", "x-gbk", "cp936", "chinese", "euc-cn"), "gb18030"),
    **dict.fromkeys(("big5", "big5-hkscs", "cn-big5", "x-x-big5", "cp950"), "big5hkscs"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j", "ms_kanji", "cp932"), "cp932"),
    **dict.fromkeys(("euc-jp", "x-euc-jp"), "euc_jp"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "cp949", "windows-949"), "cp949"),
    **dict.fromkeys(("iso-2022-jp", "csiso2022jp"), "iso2022_jp"),
    **dict.fromkeys(("hz", "hz-gb-2312"), "hz"),
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii", "windows-1252", "cp1252"), "cp1252"),
    **{f"iso-8859-{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)},
    **{f"windows-125{part}": f"cp125{part}" for part in (0, 1, 3, 4, 5, 6, 7, 8)},
    **dict.fromkeys(("koi8-r", "koi8-u"), "koi8-u"),
    **dict.fromkeys(("utf-16", "utf-16le"), "utf-16-le"),
    "utf-16be": "utf-16-be",
}  # fmt: skip
_MULTIBYTE = {"gb18030", "big5hkscs", "cp932", "euc_jp", "cp949", "hz"}
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\x00\x00", "utf-32-le"), (b"\x00\x00\xfe\xff", "utf-32-be"),
          (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))  # fmt: skip
_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.I)
_PROLOG = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]+)[\"']", re.I)
_META = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.I)
_XML_PROLOG = re.compile(r"^\s*<\?xml[^>]{0,300}\?>")
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufeff\ufffe\uffff]+")

# The most frequent characters of running text: what they are a third of is the language they belong to.
_SIMPLIFIED = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"
    "公司市场股"
)
_TRADITIONAL = (
    "的一是在不了有和人這中大為上個國我以要他時來用們生到作地於出就分對成會可主發年動同工也能下過子說產種面而方後多定行學法所民得經"
    "公司市場股"
)
_JAPANESE = "のにはをたがでてとしれさるいもなするあられこかまり年日月大会人国"
_FREQUENT = {
    "gb18030": _SIMPLIFIED, "big5hkscs": _TRADITIONAL, "cp932": _JAPANESE, "euc_jp": _JAPANESE,
    "cp949": "이다는에의을하가고로한은지를도사어기자",
}  # fmt: skip


def too_large(data: bytes, most_bytes: int) -> None:
    """Refuse what is larger than anything worth reading."""
    if len(data) > most_bytes:
        raise Refused(
            "too_large",
            say("The answer has {size:,} bytes; at most {most:,} are read.", size=len(data), most=most_bytes),
        )


def decode(data: bytes, content_type: str = "") -> str:
    """The text, without byte order mark, XML declaration and characters that no text may hold. Never raises: bytes that
    no encoding explains become U+FFFD."""
    text = _decode(data, content_type)
    return _XML_PROLOG.sub("", _UNWANTED.sub("", text), count=1)


def chinese_of(data: bytes) -> str | None:
    """The text of a file that a program in China saved in its own encoding; None where the bytes are none such.

    GB2312 has no half of a character below A1, so letters with accents of other encodings, which stand alone, are none.
    """
    if (text := _strict(data, "gb2312")) is None and _likeness(data[:SAMPLE_BYTES], "gb18030") > LEAST_LIKENESS:
        text = _strict(data, "gb18030")
    return text


def _decode(data: bytes, content_type: str) -> str:
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(codec, "replace")
    if codec := _wide(data):
        return data.decode(codec, "replace")
    declared = _declared(data, content_type)
    for codec in declared:
        if codec in ("iso2022_jp", "hz") and (text := _strict(data, codec)) is not None:
            return text
    if (text := _strict(data, "utf-8")) is not None:
        return text
    for codec in sorted(declared, key=lambda name: name not in _MULTIBYTE):  # a header's Latin-1 is often a default
        if codec not in _MULTIBYTE and _in_runs(data) > MOST_IN_RUNS:
            continue
        if (text := _strict(data, codec)) is not None:
            return text
    return _detected(data, declared)


def _wide(data: bytes) -> str:
    """UTF-16 without a mark: markup in it has a zero beside every ASCII character."""
    head = data[:64]
    zeros_even, zeros_odd = head[::2].count(0), head[1::2].count(0)
    if max(zeros_even, zeros_odd) * 4 < len(head) or len(head) < 8:
        return ""
    return "utf-16-be" if zeros_even > zeros_odd else "utf-16-le"


def _declared(data: bytes, content_type: str) -> list[str]:
    head = data[:2048]
    names = [found[1] for found in [_HEADER.search(content_type[:500])] if found]
    names += [found[1].decode("ascii") for found in (_PROLOG.search(head), _META.search(head)) if found]
    codecs = [_CODECS[name.lower()] for name in names if name.lower() in _CODECS]
    return list(dict.fromkeys(codec for codec in codecs if not codec.startswith("utf-16")))


def _strict(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeError:
        return None


def _in_runs(data: bytes) -> float:
    """Share of the bytes beyond ASCII that stand in runs."""
    runs = re.findall(rb"[\x80-\xff]+", data[:SAMPLE_BYTES])
    return sum(len(run) for run in runs if len(run) > 1) / max(1, sum(map(len, runs)))


def _detected(data: bytes, declared: list[str]) -> str:
    sample = data[:SAMPLE_BYTES]
    scores = {codec: _likeness(sample, codec) for codec in _FREQUENT}
    best = max(scores, key=lambda codec: scores[codec])
    if scores[best] > LEAST_LIKENESS:
        return data.decode(best, "replace")
    if declared:
        return data.decode(declared[0], "replace")
    from charset_normalizer import from_bytes

    guess = from_bytes(sample).best()
    return data.decode(guess.encoding if guess else "utf-8", "replace")


def _likeness(sample: bytes, codec: str) -> float:
    """Share of frequent characters among those beyond ASCII, less what could not be read."""
    text = [char for char in sample.decode(codec, "replace") if char > "\x7f"]
    frequent = set(_FREQUENT[codec])
    known, broken = sum(char in frequent for char in text), text.count("\ufffd")
    return (known - 10 * broken) / max(1, len(text))
