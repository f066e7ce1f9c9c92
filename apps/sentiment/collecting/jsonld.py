"""Dates in JSON-LD: of the page's own article, also where the JSON is broken; those of what it lists are others'."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

from apps.sentiment.collecting.identity import Identity

MOST_SCRIPT_CHARACTERS = 500_000
MOST_SCRIPTS = 60
MOST_DEPTH = 20
MOST_OBJECTS = 50  # in one script, one after the other
_ARTICLE = re.compile(r"article|posting|report|^newsitem|blog$|question", re.I)
_PAGE = re.compile(r"page$|creativework|^webcontent", re.I)
_OTHER_KINDS = re.compile(
    r"^(?:website|.*organization|person|.*event|product|.*offer|comment|answer|.*review|imageobject|listitem|place"
    r"|.*business|.*store|book|movie|.*series|.*season|dataset|course|brand|logo)$", re.I,
)  # fmt: skip
OTHERS = {
    "itemlistelement", "relatedlink", "related", "comment", "comments", "review", "reviews", "haspart", "mentions", "ispartof",
    "publisher", "author", "video", "image", "about", "citation", "isbasedon", "potentialaction", "subjectof", "liveblogupdate",
    "acceptedanswer", "suggestedanswer", "isrelatedto", "significantlink", "event", "subevent", "offers", "creator", "workexample",
    "recommend", "sourceorganization", "blogpost", "associatedmedia", "hasparts", "itemreviewed", "thumbnail",
}  # fmt: skip
# the names of dates, less their blanks and case, the more telling first, and whether they are of a change
_NAMES = {
    "datepublished": False, "pubdate": False, "publishdate": False, "publisheddate": False, "publishedat": False, "publishtime": False,
    "datecreated": False, "uploaddate": False, "dateposted": False, "datemodified": True, "update": True, "dateupdated": True,
}  # fmt: skip
_TOKENS = re.compile(
    r"[\"'](?P<name>@?type|headline|title|url|mainEntityOfPage|datePublished|dateModified|dateCreated|uploadDate|pubDate|upDate)[\"']\s*:\s*"
    r"(?:\[\s*)?(?:[\"'](?P<quoted>[^\"'\n]{1,200})|(?P<value>[^\"'\n,}\s]{1,60}))"
    rf"|[\"'](?P<others>{'|'.join(sorted(OTHERS))})[\"']\s*:\s*[\[{{]", re.I,
)  # fmt: skip
_WRAPPED = re.compile(r"^\s*(?:<!--|(?:/\*|//)?\s*<!\[CDATA\[(?:\s*\*/)?)|(?:-->|(?:/\*|//)?\s*\]\]>(?:\s*\*/)?)\s*$")
_NEEDLESS_COMMA = re.compile(r",(?=\s{0,200}[}\]])")
Told = tuple[int, str, bool]  # rank (0 best), what is written, whether it is of a change


def dates(tree: Any, identity: Identity) -> Iterator[tuple[str, bool]]:
    """What the page's JSON-LD says of its own article, the most trustworthy first."""
    found: list[Told] = []
    for script in list(tree.iter("script"))[:MOST_SCRIPTS]:
        if "ld+json" in script.get("type", "").lower():
            found.extend(_from_json(_WRAPPED.sub("", (script.text or "")[:MOST_SCRIPT_CHARACTERS]), identity))
    for _, written, changed in sorted(found, key=lambda entry: entry[0]):
        yield written, changed


def _from_json(text: str, identity: Identity) -> Iterator[Told]:
    if "&quot;" in text and '"' not in text:
        text = html.unescape(text)
    told = _objects(text)
    if told is None:
        told = _objects(_NEEDLESS_COMMA.sub("", text))
    if told is None:  # a raw quotation mark in a headline, an end that is missing
        yield from _from_pieces(text, identity)
        return
    for one in told:
        yield from _records(one, identity, of_others=False, depth=0)


def _objects(text: str) -> list[Any] | None:
    """The values that stand in a text one after the other, None where it is no JSON."""
    decoder, at = json.JSONDecoder(strict=False), 0
    told: list[Any] = []
    text = text.strip().lstrip("\ufeff").rstrip(";")
    while at < len(text) and len(told) < MOST_OBJECTS:
        try:
            one, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        told.append(one)
        while at < len(text) and text[at] in " \t\r\n,;":
            at += 1
    return told


def _records(told: Any, identity: Identity, *, of_others: bool, depth: int) -> Iterator[Told]:
    """Dates of the page's own article; of what it links to, lists or is commented with only one that is the page itself."""
    if depth > MOST_DEPTH:
        return
    if isinstance(told, list):
        for one in told[:200]:
            yield from _records(one, identity, of_others=of_others, depth=depth + 1)
    if not isinstance(told, dict):
        return
    kinds = _words(told.get("@type", told.get("type", "")))
    owned = identity.owns(_first(told, "headline", "title", "name"), _first(told, "url", "@id", "mainEntityOfPage"))
    rank = _rank(kinds, owned=owned, of_others=of_others)
    if rank is not None:
        said = {_bare(name): _value(value) for name, value in told.items()}
        yield from ((rank, said[name], changed) for name, changed in _NAMES.items() if said.get(name))
    for name, value in told.items():
        if isinstance(value, dict | list):
            yield from _records(value, identity, of_others=of_others or _bare(name) in OTHERS, depth=depth + 1)


def _rank(kinds: list[str], *, owned: bool | None, of_others: bool) -> int | None:
    """How well a record's dates are the page's; None for a record of something else."""
    if kinds and all(_OTHER_KINDS.search(kind) for kind in kinds):
        return None
    is_article = any(_ARTICLE.search(kind) for kind in kinds)
    if any(kind.lower() == "jobposting" for kind in kinds):
        return None if of_others or owned is False else 4
    if of_others:
        return 0 if owned and (is_article or not kinds) else None
    if is_article:
        return {True: 0, None: 1, False: 3}[owned]
    return 2 if any(_PAGE.search(kind) for kind in kinds) else 4


def _from_pieces(text: str, identity: Identity) -> Iterator[Told]:
    """What can be read of broken JSON: each date with the title before it; after a list of others it counts for less."""
    title, kind, penalty = "", "", 0
    for match in _TOKENS.finditer(text):
        if match["others"]:
            penalty = 5 * (match["others"].lower() not in ("author", "publisher", "image", "creator"))
            continue
        name, value = match["name"].lower(), (match["quoted"] or match["value"]).strip()
        if name in ("headline", "title"):
            title, penalty = value, 0 if identity.owns(value, "") else penalty
        elif name in ("type", "@type"):
            kind = value
        elif name in _NAMES and len(value) >= 4:
            own = identity.owns(title, "")
            yield (0 if own else 1 + (kind.lower() == "comment")) + penalty, value, _NAMES[name]


def _words(told: Any) -> list[str]:
    """The names of a type: one, several, or an address that ends with one."""
    each = told if isinstance(told, list) else [told]
    return [str(one).rstrip("/").rpartition("/")[2].rpartition(":")[2] for one in each[:10] if one]


def _bare(name: Any) -> str:
    """A name as it is compared: schema:datePublished, http://schema.org/datePublished and date_published are one."""
    return str(name).rpartition("/")[2].rpartition(":")[2].lower().replace("_", "").replace("-", "")


def _value(told: Any) -> str:
    """What a date's value says: a text, a number, one of a list, a typed value; "" for anything else."""
    if isinstance(told, list) and told:
        told = told[0]
    if isinstance(told, dict):
        told = told.get("@value", "")
    return str(told) if isinstance(told, str | int | float) and not isinstance(told, bool) else ""


def _first(told: dict[str, Any], *names: str) -> str:
    for name in names:
        value = told.get(name)
        if isinstance(value, dict):
            value = value.get("@id") or value.get("url")
        if isinstance(value, str) and value.strip():
            return value
    return ""
