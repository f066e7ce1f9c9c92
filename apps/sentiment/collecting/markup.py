"""HTML in titles and summaries to plain text, in time linear in its length."""

import html
import re
import unicodedata

MOST_TITLE_CHARACTERS = 1_000
MOST_BODY_CHARACTERS = 200_000

_HIDDEN = re.compile(r"<(!--|(?:script|style|noscript|template|head|svg)\b)", re.I)
_BLOCK = re.compile(
    r"</?(?:p|div|br|li|ul|ol|tr|table|h[1-6]|blockquote|section|article|header|footer|figure|figcaption|pre|hr|dd|dt)\b[^<>]*>", re.I
)  # fmt: skip
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<![A-Za-z\[][^<>]*>|<\?[^<>]*>", re.S)
_BLANKS = re.compile(r"[ \t\r\f\v\u00a0\u2000-\u200b\u3000]+")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff]")
_LINES = re.compile(r" ?\n[ \n]*")
_MARKUP = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]*(?:\s[^<>]*)?/?>|&(?:#\d+|#x[0-9a-f]+|[a-z]+);", re.I)


def plain(text: str, most: int = MOST_BODY_CHARACTERS) -> str:
    """Visible text; a block is a line. Text without markup keeps its lines; "<" that opens no tag stays."""
    text = text[: most * 8]
    if _MARKUP.search(text):
        text = html.unescape(_TAG.sub("", _BLOCK.sub("\n", _without_hidden(text.replace("\n", " ")))))
    return tidy(text)[:most].rstrip()


def tidy(text: str) -> str:
    """Runs of blanks as one, empty lines gone, NFC, no control characters or halves of surrogate pairs."""
    text = _CONTROLS.sub("", unicodedata.normalize("NFC", text))
    return _LINES.sub("\n", _BLANKS.sub(" ", text)).strip()


def line(text: str, most: int = MOST_TITLE_CHARACTERS) -> str:
    """One line of plain text: a title or a name. What was escaped twice is read twice."""
    once = plain(text, most)
    return " ".join((plain(once, most) if _MARKUP.search(once) else once).split())


def _without_hidden(text: str) -> str:
    """Comments, scripts and styles are not text; one that never ends hides the rest."""
    if not _HIDDEN.search(text):
        return text
    parts, at, lowered = [], 0, text.lower()
    while found := _HIDDEN.search(text, at):
        parts.append(text[at : found.start()])
        close = "-->" if found[1] == "!--" else f"</{found[1].lower()}"
        end = lowered.find(close, found.end())
        if end < 0:
            return "".join(parts)
        at = end + 3 * (close == "-->")
    return "".join([*parts, text[at:]])
