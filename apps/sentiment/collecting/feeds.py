"""Feeds: RSS 0.9 to 2.0, RDF, Atom 0.3 and 1.0, JSON Feed 1.x; broken ones as far as they can be read.

Own reading on lxml: feedparser takes three times as long, tells nothing of what it leaves out, and hides which dates had a zone.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from html.entities import html5
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

from apps.sentiment.collecting.decoding import decode, too_large
from apps.sentiment.collecting.items import Confidence, Dated, Item, Problem, believed
from apps.sentiment.collecting.markup import MOST_BODY_CHARACTERS, line, plain
from apps.sentiment.collecting.moments import read_moment
from core.errors import Refused
from words import say

MOST_BYTES = 20_000_000
MOST_ITEMS = 10_000
MOST_CATEGORIES = 20
_DECLARATIONS = re.compile(r"<!DOCTYPE\b[^<>\[]*\[|<!ENTITY\b|<!ELEMENT\b", re.I)
_DOCTYPE = re.compile(r"<!DOCTYPE\b[^<>\[]*>", re.I)
_NAMED = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,31});")
_XML_NAMES = {"amp", "lt", "gt", "quot", "apos"}
_BARE_AMPERSAND = re.compile(r"&(?!#\d{1,7};|#x[0-9a-fA-F]{1,6};|(?:amp|lt|gt|quot|apos);)")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Feed:
    """A feed that was read: its name, its articles, what was left out and why, and its format (rss, rdf, atom, jsonfeed)."""

    title: str
    items: tuple[Item, ...]
    problems: tuple[Problem, ...]
    kind: str
    language: str = ""


@dataclass(frozen=True)
class Entry:
    """One item as it is written, before anything is believed."""

    identity: str = ""
    link: str = ""
    title: str = ""
    body: str = ""
    published: str = ""
    updated: str = ""
    author: str = ""
    language: str = ""
    categories: tuple[str, ...] = ()


def read_feed(data: bytes, *, content_type: str, url: str, now: datetime, zone: tzinfo) -> Feed:
    """A feed from its bytes; `zone` is read into times without one. core.errors.Refused names what is no feed."""
    too_large(data, MOST_BYTES)
    text = decode(data, content_type).strip()
    if not text:
        raise Refused("empty", say("The address answered with nothing."))
    if text[0] in "{[":
        title, language, entries, problems, kind = _json_feed(text)
    else:
        title, language, entries, problems, kind = _xml_feed(text, url)
    items, more = collect(entries, url=url, now=now, zone=zone, language=language)
    return Feed(title, tuple(items), (*problems, *more), kind, language)


def collect(
    entries: list[Entry], *, url: str, now: datetime, zone: tzinfo, language: str
) -> tuple[list[Item], list[Problem]]:
    """Entries to items: the first MOST_ITEMS, each id once; whatever is left out is told."""
    items: list[Item] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, entry in enumerate(entries[:MOST_ITEMS]):
        item, found = _item(entry, position, url, now, zone, language)
        problems.extend(found)
        if item and item.external_id in seen:
            message = say("The item stands twice in the feed; the first was taken.")
            problems.append(Problem("repeated_item", message, position, item.external_id))
        elif item:
            seen.add(item.external_id)
            items.append(item)
    if len(entries) > MOST_ITEMS:
        message = say(
            "{count:,} items beyond the first {most:,} were left out.", count=len(entries) - MOST_ITEMS, most=MOST_ITEMS
        )
        problems.append(Problem("too_many_items", message))
    return items, problems


def _item(
    entry: Entry, position: int, url: str, now: datetime, zone: tzinfo, language: str
) -> tuple[Item | None, list[Problem]]:
    title, body, link = line(entry.title), plain(entry.body), absolute(entry.link, url)
    if not title and not body:
        message = say("The item has neither a title nor a text.")
        return None, [Problem("empty_item", message, position, (entry.identity or link)[:500])]
    identity = entry.identity.strip()[:500] or link or digest(title, body)
    published = _dated(entry.published, now, zone, position, identity)
    updated = _dated(entry.updated, now, zone, position, identity)
    problems = [*published.problems, *updated.problems]
    if published.at is None and updated.at:
        published = Dated(updated.at, Confidence.GUESSED)
    if len(entry.body) > 8 * MOST_BODY_CHARACTERS:
        message = say("The text is longer than {most:,} characters and was cut.", most=MOST_BODY_CHARACTERS)
        problems.append(Problem("text_cut", message, position, identity))
    return Item(
        external_id=identity, url=link, title=title or line(body, 120), body=body,
        published_at=published.at, confidence=published.confidence, author=line(entry.author, 200),
        language=(entry.language or language).strip()[:35], updated_at=updated.at,
        categories=tuple(dict.fromkeys(name for name in (line(c, 100) for c in entry.categories[:MOST_CATEGORIES]) if name)),
    ), problems  # fmt: skip


def _dated(written: str, now: datetime, zone: tzinfo, position: int, identity: str) -> Dated:
    moment = read_moment(written, now=now, zone=zone) if written else None
    return believed(moment, now=now, written=written, position=position, identity=identity)


def digest(*parts: str) -> str:
    """An id for what has none: the hash of its content."""
    return "sha256:" + hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:40]


def absolute(link: str, base: str) -> str:
    """The address a link means beside `base`; empty for what is no http address."""
    try:
        if not (link := "".join(link.split())):
            return ""
        joined = link if link.startswith(("https://", "http://")) else urljoin(base, link)
        parts = urlsplit(joined)
    except ValueError:
        return ""
    return joined[:2_000] if parts.scheme in ("http", "https") and parts.netloc else ""


# --- JSON Feed -------------------------------------------------------------------------------------------------------
_Read = tuple[str, str, list[Entry], list[Problem], str]


def _json_feed(text: str) -> _Read:
    """https://www.jsonfeed.org/version/1.1/"""
    try:
        feed = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise Refused("broken_json", say("The answer is broken JSON.")) from error
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        raise Refused("not_a_feed", say("The answer is JSON, but no JSON Feed: it has no list named items."))
    entries, problems = [], []
    for position, item in enumerate(feed["items"]):
        if isinstance(item, dict):
            entries.append(_json_entry(item))
        else:
            problems.append(Problem("not_an_item", say("The item is no object."), position))
    return line(_text(feed, "title")), _text(feed, "language"), entries, problems, "jsonfeed"


def _json_entry(item: dict[str, Any]) -> Entry:
    authors = [*_list(item, "authors"), item.get("author")]
    names = [_text(author, "name") for author in authors if isinstance(author, dict)]
    return Entry(
        identity=_text(item, "id"), link=_text(item, "url") or _text(item, "external_url"), title=_text(item, "title"),
        body=_text(item, "content_html") or _text(item, "content_text") or _text(item, "summary"),
        published=_text(item, "date_published"), updated=_text(item, "date_modified"), author=next(filter(None, names), ""),
        language=_text(item, "language"), categories=tuple(tag for tag in _list(item, "tags") if isinstance(tag, str)),
    )  # fmt: skip


def _text(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _list(record: dict[str, Any], name: str) -> list[Any]:
    value = record.get(name)
    return value if isinstance(value, list) else []


# --- RSS, RDF, Atom --------------------------------------------------------------------------------------------------
def _xml_feed(text: str, url: str) -> _Read:
    root, problems = parse_xml(text)
    name = local(root)
    if name not in ("rss", "rdf", "feed", "channel"):
        raise _no_feed(text, name)
    kind = {"feed": "atom", "channel": "rss"}.get(name, name)
    channel = next((child for child in root if local(child) == "channel"), root)
    nodes = [node for node in root.iter() if isinstance(node.tag, str) and local(node) in ("item", "entry")]
    if _cut(text):
        nodes = nodes[:-1]
        message = say("The feed breaks off within an item; that item was left out.")
        problems.append(Problem("cut_item", message, len(nodes)))
    base = urljoin(url, root.get(_XML_BASE, "")) if root.get(_XML_BASE) else url
    entries = [_entry(node, base) for node in nodes]
    title, language = _inside(channel, "title"), _inside(channel, "language") or root.get(_XML_LANG, "")
    return line(title), language.strip(), entries, problems, kind


_XML = "{http://www.w3.org/XML/1998/namespace}"
_XML_BASE, _XML_LANG = f"{_XML}base", f"{_XML}lang"


def parse_xml(text: str) -> tuple[Any, list[Problem]]:
    """The root of an XML text, recovered where it is broken, with a problem that says so. Refused: HTML, declarations of
    a document type (entities grow without end), and what is no XML at all. Nothing is ever fetched."""
    from lxml import etree

    if re.match(r"(?:\s|<!--.{0,2000}?-->)*(?:<!doctype\s+html|<html\b)", text, re.I | re.S):
        raise _no_feed(text, "html")
    if _DECLARATIONS.search(_outside_cdata(text[:200_000])):
        raise Refused("document_type", say("The XML declares a document type of its own; such files are not read."))
    text = _NAMED.sub(_character, _DOCTYPE.sub("", text, count=1))
    parser = etree.XMLParser(
        recover=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(_BARE_AMPERSAND.sub("&amp;", text).encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _no_feed(text, "") from error
    if root is None:
        raise _no_feed(text, "")
    errors = [error for error in parser.error_log if error.level_name in ("ERROR", "FATAL")]
    problems = []
    if errors:
        message = say("The XML is broken from line {line} on; what could be read was read.", line=errors[0].line)
        problems.append(Problem("broken_xml", message))
    return root, problems


def _outside_cdata(text: str) -> str:
    return re.sub(r"<!\[CDATA\[.*?(?:\]\]>|\Z)", "", text, flags=re.S)


def _character(match: re.Match[str]) -> str:
    """&nbsp; is HTML's, not XML's: the character itself. The five names of XML stay."""
    return match[0] if match[1] in _XML_NAMES else html5.get(f"{match[1]};", match[0])


def _no_feed(text: str, name: str) -> Refused:
    if name == "html" or re.search(r"<(?:html|body|head)\b", text[:5_000], re.I):
        return Refused(
            "html",
            say("The address serves a web page, not a feed. Look for the address of its feed, or add it as a page."),
        )
    if name:
        return Refused("not_a_feed", say('The answer is XML, but no feed: its root is "{name}".', name=name[:60]))
    return Refused("not_a_feed", say("The answer is neither XML nor JSON."))


def _cut(text: str) -> bool:
    """Whether the last item has no end."""
    starts = max((found.start() for found in re.finditer(r"<(?:\w+:)?(?:item|entry)[\s>]", text)), default=-1)
    ends = max((found.start() for found in re.finditer(r"</(?:\w+:)?(?:item|entry)\s*>", text)), default=-1)
    return starts > ends


def local(node: Any) -> str:
    """A tag without its namespace, in small letters."""
    return node.tag.rpartition("}")[2].lower() if isinstance(node.tag, str) else ""


def _inside(node: Any, name: str) -> str:
    return next((inner_text(child) for child in node if local(child) == name), "")


def inner_text(node: Any) -> str:
    """All text below a node, markup of embedded XHTML kept as blanks."""
    return " ".join("".join(node.itertext()).split()) if len(node) else (node.text or "")


_PUBLISHED = ("pubdate", "published", "issued", "dc:date", "dcterms:issued", "dcterms:created", "date", "created")


def _entry(node: Any, base: str) -> Entry:
    """One item; names as RSS, Atom, Dublin Core, content and media have them."""
    parts: dict[str, list[Any]] = {}
    for child in node:
        parts.setdefault(_qualified(child), []).append(child)
    base = urljoin(base, node.get(_XML_BASE)) if node.get(_XML_BASE) else base
    return Entry(
        identity=_first(parts, inner_text, "guid", "id", "dc:identifier") or node.get(f"{_RDF}about", ""),
        link=absolute(_link(parts), base),
        title=_first(parts, _markup, "title", "media:title", "dc:title"),
        body=_longest(parts),
        published=_first(parts, inner_text, *_PUBLISHED),
        updated=_first(parts, inner_text, "updated", "modified", "dcterms:modified"),
        author=_first(parts, _author, "author", "dc:creator", "creator", "itunes:author"),
        language=_first(parts, inner_text, "dc:language", "language") or node.get(_XML_LANG, ""),
        categories=tuple(filter(None, (_category(child) for name in ("category", "dc:subject") for child in parts.get(name, [])))),
    )  # fmt: skip


_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_PREFIXES = {
    "http://purl.org/dc/elements/1.1/": "dc:", "http://purl.org/dc/terms/": "dcterms:",
    "http://purl.org/rss/1.0/modules/content/": "content:", "http://search.yahoo.com/mrss/": "media:",
    "http://search.yahoo.com/mrss": "media:", "http://www.itunes.com/dtds/podcast-1.0.dtd": "itunes:",
}  # fmt: skip


def _qualified(node: Any) -> str:
    """content:encoded by its namespace; recovered files may have lost the declaration and keep the prefix in the name."""
    if not isinstance(node.tag, str):
        return ""
    space, _, name = node.tag.rpartition("}")
    return _PREFIXES.get(space[1:], "") + name.lower()


def _first(parts: dict[str, list[_T]], read: Callable[[_T], str], *names: str) -> str:
    found = (read(child).strip() for name in names for child in parts.get(name, []))
    return next(filter(None, found), "")


def _link(parts: dict[str, list[Any]]) -> str:
    """Atom's alternate link, RSS's link, a guid that is a permalink."""
    order = {"alternate": 0, "": 1, "self": 2}
    ranked = sorted(parts.get("link", []), key=lambda link: order.get(link.get("rel", ""), 3))
    for link in ranked:
        if found := (link.get("href") or inner_text(link)).strip():
            return str(found)
    guid = next((inner_text(node).strip() for node in parts.get("guid", []) if node.get("isPermaLink") != "false"), "")
    return guid if guid.startswith(("http://", "https://")) else ""


def _markup(node: Any) -> str:
    """Inner text or inner XHTML."""
    if not len(node):
        return node.text or ""
    from lxml import etree

    return (node.text or "") + "".join(etree.tostring(child, encoding="unicode") for child in node)


def _longest(parts: dict[str, list[Any]]) -> str:
    names = ("content:encoded", "encoded", "content", "description", "summary", "media:description", "dc:description")
    bodies = [_markup(child) for name in names for child in parts.get(name, []) if child.get("type") not in _MEDIA]
    return max(bodies, key=len, default="")


_MEDIA = {"image/jpeg", "image/png", "video/mp4", "audio/mpeg"}


def _author(node: Any) -> str:
    return _inside(node, "name") if len(node) else (node.text or "")


def _category(node: Any) -> str:
    return str(node.get("label") or node.get("term") or node.text or "")
