"""Dates that a page declares for machines: JSON-LD, meta tags, microdata, <time>, attributes, variables of its scripts."""

import json
import re
from collections.abc import Iterator
from typing import Any

from apps.sentiment.collecting.trees import headline, names_of, own_elements

MOST_SCRIPT_CHARACTERS = 500_000
MOST_SCRIPTS = 60
MOST_DEPTH = 20
_ARTICLE = re.compile(r"article|posting|report|^newsitem|blog$", re.I)
_PAGE = re.compile(r"page$|creativework", re.I)
_OTHERS = {
    "itemlistelement", "relatedlink", "related", "comment", "comments", "review", "reviews", "haspart", "mentions", "ispartof",
    "publisher", "author", "video", "image", "about", "citation", "isbasedon", "potentialaction", "subjectof",
}  # fmt: skip
_META_PUBLISHED = (
    "article:published_time", "article:published", "og:article:published_time", "og:published_time", "datepublished",
    "publishdate", "publish_date", "publish-date", "published_date", "publish_time", "publishtime", "publication_date", "pubdate",
    "pub_date", "apub:time", "weibo:article:create_at", "bt:pubdate", "sailthru.date", "parsely-pub-date", "article.published",
    "originalpublicationdate", "article_date_original", "rnews:datepublished", "cxenseparse:recs:publishtime",
    "citation_publication_date", "citation_online_date", "dcterms.issued", "dc.date.issued", "dcterms.created", "dc.date.created",
    "dcterms.date", "dc.date", "dcterms.available", "og:release_date", "created", "date", "releasedate", "firstpublishedtime",
    "og:pubdate", "displaydate", "article:post_date", "article:create_at",
)  # fmt: skip
_META_CHANGED = (
    "article:modified_time", "og:updated_time", "article:updated_time", "datemodified", "lastmod", "last-modified", "dcterms.modified",
    "dc.date.modified", "modified_date", "updated_time", "article:modified", "revised", "utime",
)  # fmt: skip
_META_LIKE_PUBLISHED = re.compile(
    r"publi(?:sh|cation)(?:ed)?[-_.:]?(?:time|date|at|on)|pub[-_]?(?:time|date)|create[-_]?(?:at|time)", re.I
)
_NAMED_CHANGED = re.compile(r"updat|modif|revis|edit", re.I)
_NAMED_PUBLISHED = re.compile(
    r"publish|pub[-_]?(?:date|time)|post(?:ed)?[-_]?(?:on|date|time)|entry[-_]?(?:date|time)|create|dateline|article[-_]?(?:date|time)",
    re.I,
)
_VALUE = r"[\"']?\s*[:=]\s*[\"']?(?P<value>\d{10,13}\b|(?:19|20)\d\d[-/.年]\d{1,2}[-/.月]\d{1,2}[^\"'<>,;}]{0,20})"
_VARIABLE = re.compile(
    r"(?<![A-Za-z])[\"']?(?:(?:first_?)?publish(?:ed)?_?(?:time|date|at|on)?(?:str)?|pub_?(?:time|date)|(?:ori_?)?create_?time|created_?at|c_?time|ct|post_?(?:time|date)"
    r"|release_?(?:time|date)|display_?(?:date|time))" + _VALUE,
    re.I,
)
Declared = tuple[str, str, bool]  # what is written, where, whether it is of a change


def dates(tree: Any) -> Iterator[Declared]:
    """What the page declares, the most trustworthy first."""
    yield from _json_ld(tree)
    yield from _meta(tree)
    yield from _microdata(tree)
    yield from _times(tree)


def script_dates(tree: Any) -> Iterator[str]:
    """Values of variables that are named for a publication."""
    for script in list(tree.iter("script"))[:MOST_SCRIPTS]:
        if "ld+json" not in script.get("type", ""):
            yield from (match["value"] for match in _VARIABLE.finditer((script.text or "")[:MOST_SCRIPT_CHARACTERS]))


def _json_ld(tree: Any) -> Iterator[Declared]:
    found: list[tuple[int, str, str, bool]] = []
    for script in list(tree.iter("script"))[:MOST_SCRIPTS]:
        if "ld+json" in script.get("type", "").lower():
            found.extend(_from_json(re.sub(r"^\s*(?:<!--|//<!\[CDATA\[)|(?:-->|//\]\]>)\s*$", "", script.text or "")))
    for _, written, where, changed in sorted(found, key=lambda entry: entry[0]):
        yield written, where, changed


def _from_json(text: str) -> Iterator[tuple[int, str, str, bool]]:
    text = text[:MOST_SCRIPT_CHARACTERS]
    try:
        told = json.loads(text, strict=False)
    except (ValueError, RecursionError):  # a trailing comma, a raw quotation mark in a headline
        for name, value in re.findall(r'"(datePublished|dateModified)"\s*:\s*"([^"]{4,60})"', text):
            yield 1, value, "json-ld", name == "dateModified"
        return
    yield from _records(told, 0)


def _records(told: Any, depth: int) -> Iterator[tuple[int, str, str, bool]]:
    """Dates of the page's own article; those of what it links to, lists or is commented with are others'."""
    if depth > MOST_DEPTH:
        return
    if isinstance(told, list):
        for one in told[:200]:
            yield from _records(one, depth + 1)
    if not isinstance(told, dict):
        return
    kinds = told.get("@type", "")
    kinds = " ".join(map(str, kinds)) if isinstance(kinds, list) else str(kinds)
    rank = 0 if _ARTICLE.search(kinds) else 1 if _PAGE.search(kinds) else 2
    for name, changed in (
        ("datePublished", False),
        ("dateCreated", False),
        ("uploadDate", False),
        ("dateModified", True),
    ):
        if isinstance(told.get(name), str | int):
            yield rank, str(told[name]), "json-ld", changed
    for name, value in told.items():
        if str(name).lower() not in _OTHERS:
            yield from _records(value, depth + 1)


def _meta(tree: Any) -> Iterator[Declared]:
    told: dict[str, str] = {}
    for meta in tree.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop") or meta.get("http-equiv") or ""
        if meta.get("content", "").strip():
            told.setdefault("".join(name.lower().split()), meta.get("content"))
    yield from ((told[name], "meta", False) for name in _META_PUBLISHED if name in told)
    alike = (name for name in told if name not in _META_PUBLISHED and _META_LIKE_PUBLISHED.search(name))
    yield from ((told[name], "meta", False) for name in alike if not _NAMED_CHANGED.search(name))
    yield from ((told[name], "meta", True) for name in _META_CHANGED if name in told)


def _microdata(tree: Any) -> Iterator[Declared]:
    for element in own_elements(tree):
        said = f"{element.get('itemprop', '')} {element.get('property', '')}".lower()
        if "datepublished" in said or "datecreated" in said:
            yield _value(element), "microdata", False
        elif "datemodified" in said:
            yield _value(element), "microdata", True


def _times(tree: Any) -> Iterator[Declared]:
    """<time>, and other elements whose attributes hold a machine's date; those named for a publication first."""
    head, passed, rest = headline(tree), False, []
    for element in own_elements(tree):
        passed = passed or element is head
        names = names_of(element)
        stamp = _stamp(element, names)
        if element.tag == "input" and _NAMED_PUBLISHED.search(f"{names} {element.get('name', '')}"):
            stamp = element.get("value", "")
        if element.tag != "time" and not stamp:
            continue
        written = stamp or element.get("datetime") or element.text_content()
        around = f"{names} {names_of(element.getparent())}"
        if _NAMED_CHANGED.search(names) or _says_changed(element):
            yield written, "time", True
        elif element.get("pubdate") is not None or _NAMED_PUBLISHED.search(around):
            yield written, "time", False
        else:
            rest.append((not passed, written))
    for _, written in sorted(rest, key=lambda entry: entry[0]):
        yield written, "time", False


_STAMPS = (
    "data-timestamp", "data-publish-time", "data-publishtime", "data-pubtime", "data-date", "data-time", "data-datetime", "data-utime",
    "data-published",
)  # fmt: skip
_NAMED_TIME = re.compile(r"time|date|publish|ago|age\b", re.I)
_MACHINE_TIME = re.compile(r"1\d{9}(?:\d{3})?|(?:19|20)\d\d-\d\d-\d\d(?:[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?")
_RELATIVE = re.compile(
    r"\bago\b|前|昨|刚|剛|今天|yesterday|today|just now|^\d{1,2}\s*(?:h|m|d|hrs?|mins?|days?)$", re.I
)
_CHANGED_BEFORE = re.compile(r"(?:更新|修改|编辑|updated?|modified|edited|revised)\W{0,12}(?:on|at|于)?\W{0,3}$", re.I)


def _stamp(element: Any, names: str) -> str:
    """The machine's date among an element's attributes: of a known name, any where the element is named for a time, or
    the title that tells exactly what "2 days ago" leaves out; "" for none."""
    if known := next((str(element.get(name)) for name in _STAMPS if element.get(name)), ""):
        return known
    if _NAMED_TIME.search(names):
        for name, value in element.attrib.items():
            if name.startswith("data-") and _MACHINE_TIME.fullmatch(value.strip()):
                return str(value)
    title = element.get("title", "").strip()
    if not 8 <= len(title) <= 60 or element.get("datetime") or len(element) or not (element.text or "").strip():
        return ""
    return title if len(element.text) <= 30 and _RELATIVE.search(element.text) and re.search(r"\d{4}", title) else ""


def _says_changed(element: Any) -> bool:
    """Whether the words before a date speak of a change."""
    previous, parent = element.getprevious(), element.getparent()
    if previous is not None:
        before = previous.tail if (previous.tail or "").strip() else previous.text_content()
    else:
        before = parent.text if parent is not None else ""
    return bool(_CHANGED_BEFORE.search((before or "").strip()[-60:]))


def _value(element: Any) -> str:
    told = element.get("content") or element.get("datetime") or element.get("title") or element.text_content()
    return str(told)[:100]
