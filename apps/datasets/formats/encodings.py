"""Finding and removing the encoding of a text file: UTF-8, UTF-16, GB18030 and, last, Windows-1252."""

import codecs
import io
from typing import Any

from apps.datasets.formats.problems import FileProblem
from words import say

ENCODINGS = ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "gb18030", "cp1252")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class Utf8Stream(io.RawIOBase):
    """Re-encodes a byte stream to UTF-8 without a byte order mark; broken input raises FileProblem in its place.

    Lone surrogates of UTF-16 pass through as three bytes, so that the line they stand in is refused, not the file.
    """

    def __init__(self, source: io.BufferedReader, encoding: str) -> None:
        super().__init__()
        errors = "surrogatepass" if encoding.startswith("utf-16") else "strict"
        codec = "utf-8-sig" if encoding == "utf-8" else encoding
        self._source, self._encoding = source, encoding
        self._decoder = codecs.getincrementaldecoder(codec)(errors)
        self._ready, self._read, self._ended = b"", 0, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            chunk = self._source.read(128 * 1024)
            self._ended = not chunk
            try:
                text = self._decoder.decode(chunk, final=self._ended)
            except UnicodeDecodeError as error:
                at = max(0, self._read - len(error.object) + len(chunk)) + error.start
                raise FileProblem(
                    "invalid_encoding",
                    say(
                        "The file is not valid {encoding} near byte {at:,}. Choose its encoding.",
                        encoding=self._encoding,
                        at=at,
                    ),
                ) from error
            self._read += len(chunk)
            self._ready = text.encode("utf-8", "surrogatepass")
        given = self._ready[: len(buffer)]
        self._ready = self._ready[len(given) :]
        buffer[: len(given)] = given
        return len(given)


def detect_bom(head: bytes) -> str:
    """The encoding a byte order mark names, or ""."""
    return next((encoding for bom, encoding in _BOMS if head.startswith(bom)), "")


def detect_encoding(sample: bytes) -> tuple[str, bool]:
    """(encoding, sure) of a sample; a sample may end inside a character.

    UTF-8 wins when it decodes; then GB18030 when what it gives is nearly all Chinese; then UTF-8 with a few broken
    bytes (their rows are refused one by one); Windows-1252 is the guess that is left.
    """
    if bom := detect_bom(sample):
        return bom, True
    if wide := _utf16_without_bom(sample):
        return wide, True
    if not _broken(sample, "utf-8"):
        return "utf-8", True
    chinese = _chinese_share(sample)
    if chinese > 0.9 and not _broken(sample, "gb18030"):
        return "gb18030", True
    if _utf8_share(sample) > 0.9:
        return "utf-8", False
    if chinese > 0.8:
        return "gb18030", False
    return "cp1252", False


def _broken(sample: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)("strict").decode(sample, final=False)
    except UnicodeDecodeError:
        return True
    return False


def _utf16_without_bom(sample: bytes) -> str:
    """UTF-16 by its NULs: every line feed and comma brings one, and nearly all stand on the same side."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    lopsided = max(even, odd) >= max(2, len(sample) // 200) and min(even, odd) * 20 <= max(even, odd)
    return encoding if lopsided and not _broken(sample, encoding) else ""


def _utf8_share(sample: bytes) -> float:
    """Of the characters beyond ASCII, the share that is valid UTF-8."""
    beyond = [c for c in sample.decode("utf-8", "replace") if c > "\x7f"]
    return 1 - beyond.count("\ufffd") / len(beyond) if beyond else 0.0


def _chinese_share(sample: bytes) -> float:
    """Of the characters beyond ASCII under GB18030, the share that is Chinese or its punctuation."""
    beyond = [c for c in sample.decode("gb18030", "replace") if c > "\x7f"]
    chinese = sum(
        "\u4e00" <= c <= "\u9fff" or "\u3000" <= c <= "\u303f" or "\uff00" <= c <= "\uffef" or c in "“”‘’…—·"
        for c in beyond
    )
    return chinese / len(beyond) if beyond else 0.0
