"""Whether a record in a page's data tells of the page itself, of another article, or does not say."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from apps.sentiment.collecting.trees import headline, page_title

SHORTEST = 4  # characters of a title that can tell two articles apart
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_MARKS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Identity:
    """What a page is called and where it stands: titles without blanks and marks, and paths of addresses."""

    titles: tuple[str, ...]
    paths: frozenset[str]

    def owns(self, title: str, address: str) -> bool | None:
        """True where title or address is the page's, False where what is told is another's, None where nothing is told."""
        path = _path(address)
        if path and path in self.paths:
            return True
        plain = _plain(title)
        if len(plain) >= SHORTEST and self.titles:
            alike = any(own.startswith(plain[:40]) or plain.startswith(own[:40]) for own in self.titles)
            return alike or (None if not path and len(plain) < 2 * SHORTEST and plain.isascii() else False)
        return False if path and self.paths and len(path) > 1 else None


def identity_of(tree: Any, url: str) -> Identity:
    """The identity of a page by its headline, its title and its own addresses."""
    head = headline(tree)
    shown = [head.text_content()[:1_000]] if head is not None else []
    titles = [_plain(title) for title in (*shown, page_title(tree))]
    named = [link.get("href") or "" for link in tree.iter("link") if "canonical" in (link.get("rel") or "").lower()]
    paths = frozenset(path for path in map(_path, (url, *named[:5])) if path)
    return Identity(tuple(title for title in titles if len(title) >= SHORTEST), paths)


def _plain(title: str) -> str:
    """A title as it is compared: escapes read, blanks and marks gone."""
    read = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), title[:2_000])
    return _MARKS.sub("", read).lower()


def _path(address: str) -> str:
    """The path and query of an address, "" for one that names only a site, a fragment or nothing."""
    try:
        parts = urlsplit(address.strip()[:2_000].replace("\\/", "/"))
    except ValueError:
        return ""
    path = parts.path.rstrip("/")
    return f"{path}?{parts.query}" if parts.query and path else path
