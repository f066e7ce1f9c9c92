"""Dates in scripts: variables and states that are named for a publication, the page's own record before others'."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from apps.sentiment.collecting.identity import Identity
from apps.sentiment.collecting.jsonld import MOST_SCRIPT_CHARACTERS, MOST_SCRIPTS

MOST_CHARACTERS = 2_000_000  # of all scripts of a page
MOST_OPEN = 200  # objects within objects
_NAME = (
    r"(?:(?:article|page|content|story|post|news|doc|item|original|first|web)[_.-]?){0,2}"
    r"(?:announce(?:d|ment)?[_-]?(?:time|date|at)|dateline|gmt_?created?|add(?:ed)?[_-]?(?:time|date)|"
    r"publi(?:sh(?:ed)?|cation)(?:[_-]?(?:time|date|at|on|ts|stamp|timestamp|datetime|utc))?(?:[_-]?(?:str|string|iso|utc|ms|ts|time))?"
    r"|date[_-]?(?:published|created|posted|time[_-]?published)|pub[_-]?(?:lish[_-]?)?(?:time|date|ts|at|datetime)|(?:ori[_-]?)?create[_-]?(?:time|date|at)"
    r"|created(?:[_-]?(?:at|on|time|date))?|c[_-]?time|ct|p[_-]?time|post(?:ed)?[_-]?(?:time|date|at|on|gmt)|release[d]?[_-]?(?:time|date|at)"
    r"|display[_-]?(?:date|time)|issue[d]?[_-]?(?:time|date|at)|input[_-]?time|show[_-]?time|send[_-]?time|online[_-]?time|news[_-]?(?:time|date)|article[_-]?(?:time|date))"
)
_ESCAPED = re.compile(r"\s*(?:%7B|%5B)", re.I)  # JSON as addresses write it
_FLAT = re.compile(r"\s*\[(?:\[\"|\{\"[^\"]{1,40}\":\s?\d)")  # the objects of a state one after the other
_BEFORE = r"(?<![A-Za-z])(?<!last_)(?<!last-)(?<!un_)(?<!re_)"
_CALLS = r"(?:(?:new\s+)?[A-Za-z_.]{1,30}\s?\(\s?)?"
_VALUE = (
    rf"\\?[\"']?\s{{0,9}}[:=]\s{{0,9}}{_CALLS}\\?[\"']?(?P<value>\d{{10}}(?:\d{{3}})?(?!\d)|(?:19|20)\d{{6}}(?:T?\d{{6}}Z?)?(?!\d)"
    r"|(?:19|20)\d\d[-/.年]\d{1,2}[-/.月]\d{1,2}[^\"'<>,;}\\]{0,30}"
    r"|[A-Z][a-z]{2,8},? [^\"'<>;}\\]{6,40})"
)
_VARIABLE = re.compile(rf"{_BEFORE}\\?[\"']?{_NAME}{_VALUE}", re.I)
_TOKENS = re.compile(
    rf"(?P<open>[\{{\[])|(?P<close>[\}}\]])|(?:{_BEFORE}\\?[\"']?(?:"
    r"(?:(?:(?:article|page|news|content|post|story)[_-]?)?(?:title|headline)|(?:msg_)?title)\\?[\"']?\s{0,9}[:=]\s{0,9}\\?[\"'](?P<title>[^\"'\n]{2,200})"
    r"|(?:url|link|canonical(?:Url)?|articleUrl|path)\\?[\"']\s{0,9}:\s{0,9}\\?[\"'](?P<address>[^\"'\n]{2,300})"
    r"|(?P<others>(?:recommend|recomm|related|relate|hot|latest|comment|repl(?:y|ies)|rank|more|similar|popular|trending|side|next|prev)[A-Za-z_]{0,20}"
    r"|(?:cookie|consent|onetrust|analytics|plugin|theme|licen[sc]e|build|user|author|member|account|owner|profile|creator|seller|shop)(?:_?(?:info|data|profile|base))?)\\?[\"']?\s{0,9}[:=]\s{0,9}[\[{]"
    rf"|{_NAME}{_VALUE}))", re.I,
)  # fmt: skip


@dataclass
class _Object:
    """An object of a script while it is read."""

    of_others: bool = False
    title: str = ""
    address: str = ""
    values: list[str] = field(default_factory=list)


def dates(tree: Any, identity: Identity) -> Iterator[str]:
    """Values of names that are of a publication: first of the page's own record, then of those that tell no title; a record
    with another's title or of a list of others is passed over."""
    found: list[tuple[int, str]] = []
    left = MOST_CHARACTERS
    for script in list(tree.iter("script"))[:MOST_SCRIPTS]:
        text = (script.text or "")[: min(left, MOST_SCRIPT_CHARACTERS)]
        if "ld+json" in script.get("type", "").lower() or not text:
            continue
        if _ESCAPED.match(text):
            text = unquote(text)
        left -= len(text)
        if _FLAT.match(text):
            text = _unfolded(text)
        if _VARIABLE.search(text):
            found.extend(_values(text, identity))
    yield from (value for _, value in sorted(found, key=lambda entry: entry[0]))


def _unfolded(text: str) -> str:
    """A state whose objects name their values by position (devalue: Nuxt, SvelteKit), with these in their places."""
    try:
        cells = json.loads(text)
    except (ValueError, RecursionError):
        return text
    plain = {at: cell for at, cell in enumerate(cells) if isinstance(cell, str | int) and not isinstance(cell, bool)}
    return json.dumps(
        [
            {name: plain.get(at, at) if isinstance(at, int) else at for name, at in cell.items()}
            for cell in cells
            if isinstance(cell, dict)
        ],
        ensure_ascii=False,
    )


def _values(text: str, identity: Identity) -> Iterator[tuple[int, str]]:
    """(rank, value) of a script; objects and lists are told apart by their brackets, which within strings harm only ranks."""
    opened, beyond = [_Object()], 0
    for match in _TOKENS.finditer(text):
        if match["open"] or match["others"]:
            if len(opened) < MOST_OPEN:
                opened.append(_Object(of_others=bool(match["others"]) or opened[-1].of_others))
            else:
                beyond += 1
        elif match["close"]:
            if beyond:
                beyond -= 1
            elif len(opened) > 1:
                yield from _told(opened.pop(), identity, is_whole=False)
        elif match["title"]:
            opened[-1].title = opened[-1].title or match["title"]
        elif match["address"]:
            opened[-1].address = opened[-1].address or match["address"]
        elif match["value"]:
            opened[-1].values.append(match["value"])
    while opened:
        yield from _told(opened.pop(), identity, is_whole=not opened)


def _told(read: _Object, identity: Identity, *, is_whole: bool) -> Iterator[tuple[int, str]]:
    """What one record says; what the whole script calls a title may be anything's."""
    owned = identity.owns(read.title, read.address) if read.title or read.address else None
    if is_whole or owned or (owned is None and not read.of_others):
        yield from ((0 if owned else 1, value) for value in read.values)
