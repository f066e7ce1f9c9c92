"""Dates that a page declares for machines: JSON-LD, meta tags, microdata and RDFa, <time>, attributes, titles."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from apps.sentiment.collecting import jsonld, words
from apps.sentiment.collecting.identity import Identity
from apps.sentiment.collecting.trees import headline, is_time_element, names_of, own_elements

MOST_TOLD = 120  # characters of a value that is a date
MOST_ATTRIBUTES = 100  # of an element; one with more is no date
MOST_PARTS = 40  # of a paragraph that is looked at for sentences
# Names without case, blanks and marks, the more telling first.
_META_PUBLISHED = (
    "articlepublishedtime", "articlepublished", "ogarticlepublishedtime", "ogpublishedtime", "ogtime", "datepublished", "publishdate",
    "publisheddate", "publishtime", "publicationdate", "pubdate", "apubtime", "weiboarticlecreateat", "btpubdate", "sailthrudate",
    "parselypubdate", "originalpublicationdate", "articledateoriginal", "rnewsdatepublished", "cxenseparserecspublishtime",
    "cxenseparsepublishtime", "citationonlinedate", "citationpublicationdate", "dctermsissued", "dcdateissued", "dcissued",
    "dcdatepublished",
    "dctermspublished", "firstpublishedtime", "ogpubdate", "displaydate", "articlepostdate", "articlecreateat", "bytedancepublishedtime",
    "releasedate", "ogreleasedate", "citationdate", "dctermscreated", "dcdatecreated", "dccreated", "dctermsavailable", "dcdateavailable",
    "dctermsdate", "dcdate", "dctermsdatecopyrighted", "dateposted", "articledate", "newsdate", "ptime", "issued", "dateissued",
)  # fmt: skip
_META_WEAK = (
    "date",
    "created",
    "datecreated",
    "creationdate",
    "originaldate",
    "doctime",
)  # also told by systems that mean something else
_META_CHANGED = {
    "articlemodifiedtime", "ogupdatedtime", "articleupdatedtime", "datemodified", "lastmod", "lastmodified", "dctermsmodified",
    "dcdatemodified", "modifieddate", "updatedtime", "articlemodified", "revised", "utime", "bytedanceupdatedtime",
    "bytedancelastmodifiedtime",
    "lastupdated", "lastupdate", "dcmodified",
}  # fmt: skip
_META_LIKE_PUBLISHED = re.compile(
    r"publi(?:sh|cation)(?:ed)?(?:time|date|at|on|$)|pub(?:time|date)|createat|createtime|post(?:ed)?(?:time|date)|firstpub|issue(?:d)?date|releasedate"
)
_NOT_OF_PUBLICATION = re.compile(
    r"updat|modif|revis|edit|expir|unpublish|valid|event|copyright|publisher$|end(?:date|time)|start(?:date|time)|access|birth|crawl|index"
)
_NAMED_CHANGED = re.compile(r"updat|modif|revis|edit(?:ed)?(?:$|[\s_-])", re.I)
_NAMED_PUBLISHED = re.compile(
    r"publish|pub[-_]?(?:date|time)|post(?:ed)?[-_]?(?:on|date|time)|entry[-_]?(?:date|time)|create|dateline|article[-_]?(?:date|time)",
    re.I,
)
_MACHINE_PUBLISHED = re.compile(
    r"date(?:published|created|posted)|uploaddate|pubdate|(?:^|[\s:])(?:issued|created|created_at|published(?:_time)?)(?:$|\s)|(?:^|\s)(?:dc|dct|dcterms):date(?:$|\s)"
)
_MACHINE_CHANGED = re.compile(r"datemodified|(?:^|[\s:])modified(?:$|\s)|modified_time")
_OTHER_ITEMS = re.compile(
    r"(?:comment|answer|review|event|listitem|person|organization|website|product|offer|imageobject)/?$",
    re.I,
)
_VIDEO = re.compile(r"videoobject/?$", re.I)  # the page's own, or one that stands in it
_PARSELY = re.compile(r'"pub_?date"\s{0,9}:\s{0,9}"([^"]{8,40})"', re.I)
Declared = tuple[str, str, bool]  # what is written, where, whether it is of a change


def dates(tree: Any, identity: Identity) -> Iterator[Declared]:
    """What the page declares, the most trustworthy first; "weak" is what stands in names that also mean something else,
    "film" what is of a film, which may be all of the page, "loose" a time without a word or name of publication, which may be a clock."""
    yield from ((written, "json-ld", changed) for written, changed in jsonld.dates(tree, identity))
    weak = []
    for declared in _meta(tree):
        if declared[1] == "weak":
            weak.append(declared)
        else:
            yield declared
    own = own_elements(tree)
    head = headline(tree)
    holders = {head, *head.iterancestors()} if head is not None else set()
    yield from _microdata(own, holders)
    for declared in _times(own, head, holders):
        if declared[1] == "weak":
            weak.append(declared)
        else:
            yield declared
    yield from sorted(weak, key=lambda told: told[1] != "weak")


def _meta(tree: Any) -> Iterator[Declared]:
    told: dict[str, list[str]] = {}
    for meta in tree.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("http-equiv") or ""
        if not name and meta.get("itemprop") and _is_in_head(meta):
            name = meta.get("itemprop")
        content = meta.get("content", "").strip()
        if content.startswith("{") and "parsely" in name.lower():
            name, content = "parsely-pub-date", next(iter(_PARSELY.findall(content[:5_000])), "")
        if content and len(content) <= MOST_TOLD and not content.startswith(("http", "{")):
            values = told.setdefault(re.sub(r"[\W_]+", "", name.lower()), [])
            values.extend([content] if len(values) < 3 else [])
    known = {*_META_PUBLISHED, *_META_WEAK, *_META_CHANGED}
    alike = [name for name in told if name not in known and _META_LIKE_PUBLISHED.search(name)]
    for name in (*_META_PUBLISHED, *(name for name in alike if not _NOT_OF_PUBLICATION.search(name))):
        yield from ((written, "meta", False) for written in told.get(name, ()))
    for name in _META_WEAK:
        yield from ((written, "weak", False) for written in told.get(name, ()))
    for name in told:
        if name in _META_CHANGED or re.search(r"(?:updat|modif)\w{0,6}(?:time|date|at)$", name):
            yield from ((written, "meta", True) for written in told[name])


def _is_in_head(element: Any) -> bool:
    return any(each.tag == "head" for each in islice(element.iterancestors(), 3))


def _microdata(own: list[Any], holders: set[Any]) -> Iterator[Declared]:
    """Properties of microdata and RDFa; those of a comment, an event or a person within the article are theirs."""
    for element in own:
        said = f"{element.get('itemprop', '')} {element.get('property', '')}".lower()
        if said == " ":
            continue
        if _MACHINE_PUBLISHED.search(said) and not _is_card(element, holders):
            kind = _kind_of_item(element)
            if not _OTHER_ITEMS.search(kind):
                yield _value(element), "film" if _VIDEO.search(kind) else "microdata", False
        elif _MACHINE_CHANGED.search(said):
            yield _value(element), "microdata", True


def _kind_of_item(element: Any) -> str:
    """What an element's property is of: the type of the item around it, "" where none is told; a film within another item
    is that one's image."""
    kinds = (each.get("itemtype") or each.get("typeof") for each in islice(element.iterancestors(), 12))
    told = [kind.split()[0] for kind in kinds if kind and kind.split()]
    return "imageobject" if len(told) > 1 and _VIDEO.search(told[0]) else next(iter(told), "")


def _times(own: list[Any], head: Any, holders: set[Any]) -> Iterator[Declared]:
    """<time> and its like, and other elements whose attributes hold a machine's date; those named for a publication
    first, those that merely show a day ("weak") after visible labels."""
    passed, rest = False, []
    for element in own:
        passed = passed or element is head
        names = names_of(element)
        stamps = _stamps(element, names)
        is_time = is_time_element(element.tag) or (element.get("datetime") and element.tag not in ("ins", "del"))
        if element.attrib:
            yield from _labelled(element, holders)
        if element.tag == "input" and _NAMED_PUBLISHED.search(f"{names} {element.get('name', '')}"):
            stamps = [(element.get("value", ""), False)]
        if not is_time and not stamps:
            continue
        if words.NAMES_OF_EVENTS.search(names) or element.get("itemprop", "").lower() in ("startdate", "enddate"):
            continue
        written = stamps or [(said, False) for said in (_machine_time(element), _text(element)[:MOST_TOLD]) if said]
        before = _before(element)
        around = f"{names} {names_of(element.getparent())}"
        named = _NAMED_PUBLISHED.search(names)
        if (_NAMED_CHANGED.search(names) and not named) or _CHANGED_BEFORE.search(before):
            yield from ((value, "time", True) for value, _ in written)
            continue
        if words.FOREIGN.search(before[-30:]) or _is_card(element, holders) or (is_time and _is_in_sentence(element)):
            continue
        sure = element.get("pubdate") is not None or named or _NAMED_PUBLISHED.search(around)
        for value, changed in written:
            if changed or sure:
                yield value, "time", changed
            else:
                rest.append((not passed, "time" if stamps or _machine_time(element) else "weak", value))
    for _, where, value in sorted(rest, key=lambda entry: entry[0]):
        yield value, "loose" if where == "time" else where, False


_TOOLTIPS = {"title", "data-tooltip", "data-original-title", "data-title", "data-content", "data-tip", "aria-label"}
_LABELLED = re.compile(
    r"^\W{0,3}(?:(?P<changed>(?:最后|最後|最近)?(?:更新|修改|编辑|編輯|修订|修訂)|(?:last\s+)?(?:updated?|modified|edited|revised))"
    r"|(?:首次|最初|原创|原創)?(?:发布|發布|發佈|发表|發表|刊登|首发|首發|创建|建立|发帖|發文)"
    r"|(?:first\s+|originally\s+)?(?:published|posted|created)(?:\s+date)?)"
    r"\s?(?:时间|時間|日期|于|於|on|at)?\s?[:：]?\s?(?=[12]\d{3}|[A-Za-z]{3}|\d{1,2}\D)"
    r"(?P<date>[\dA-Za-z年月日号號时時点點分秒上下午:/.,+() -]{6,40})$", re.I,
)  # fmt: skip


def _labelled(element: Any, holders: set[Any]) -> Iterator[Declared]:
    """What a tooltip tells of a line that shows something else: title="发布于 2024-03-05 14:05" on 编辑于 2024-04-01; not
    one on another article's card."""
    for name, said in islice(element.attrib.items(), MOST_ATTRIBUTES):
        told = _LABELLED.match(said) if name in _TOOLTIPS and 8 <= len(said) <= 60 else None
        if told and not _is_card(element, holders):
            yield told["date"], "time", bool(told["changed"])


def _machine_time(element: Any) -> str:
    """The attribute for machines of a time; elements of other makers have other names for it."""
    said = element.get("datetime") or ""
    if not said and "-" in element.tag:
        said = next(
            (value for name in ("ts", "timestamp", "date", "time", "iso", "value") if (value := element.get(name))), ""
        )
    return said if len(said) <= MOST_TOLD else ""


_NAMED_TIME = re.compile(r"time|date|publish|ago|age\b|posted|stamp|\bts\b", re.I)
_DATA_TIME = re.compile(
    r"^data-(?:[\w.-]*[-_.])?(?:timestamp|time|date|datetime|utime|published|pub\w*|publish\w*|created|posted|epoch|utc|unix\w*|seconds|millis\w*|ts|iso\w*|livestamp)$"
)
_DATA_NAMED_PUBLISHED = re.compile(
    r"pub|creat|post(?:ed)?[-_]|release|timestamp|data-(?:time|date|datetime|utime)$", re.I
)
_MACHINE_TIME = re.compile(
    r"1\d{9}(?:\d{3})?|(?:19|20)\d\d-\d\d-\d\d(?:[T ][\d:.]+(?:Z| ?[+-]\d\d:?\d\d)?(?: [A-Z]{2,5})?)?"
)
_RELATIVE = re.compile(
    r"\bago\b|前|昨|刚|剛|今天|yesterday|today|just now|^\d{1,2}\s*(?:h|m|d|w|y|mo|hrs?|mins?|days?)$", re.I
)
_CLOCK = re.compile(r"\d:[0-5]\d")
_CHANGED_BEFORE = re.compile(r"(?:更新|修改|编辑|updated?|modified|edited|revised)\W{0,12}(?:on|at|于)?\W{0,3}$", re.I)


def _stamps(element: Any, names: str) -> list[tuple[str, bool]]:
    """The machine's dates among an element's attributes and whether each is of a change, the most exact first: of a name
    for a publication, any where the element is named for a time, or the title that tells exactly what "2 days ago" or
    "Jun '22" leaves out."""
    found: list[tuple[int, str, bool]] = []
    is_time = element.tag == "time" or bool(_NAMED_TIME.search(names))
    for name, value in element.attrib.items() if len(element.attrib) <= MOST_ATTRIBUTES else ():
        if not name.startswith("data-") or not 8 <= len(value) <= MOST_TOLD:
            continue
        value, exact = value.strip(), bool(_MACHINE_TIME.fullmatch(value.strip()))
        if (_DATA_TIME.search(name) and (_DATA_NAMED_PUBLISHED.search(name) or is_time)) or (is_time and exact):
            changed = bool(_NOT_OF_PUBLICATION.search(name))
            if not changed or _NAMED_CHANGED.search(name):
                found.append((0 if (exact and len(value) > 10) or value.isdigit() else 1, value, changed))
    if found or element.get("datetime"):
        least = min((rank for rank, *_ in found), default=0)
        return [(value, changed) for rank, value, changed in found if rank == least]
    title, text = element.get("title", "").strip(), (element.text or "").strip()
    if not 8 <= len(title) <= 60 or len(element) or not text or len(text) > 30:
        return []
    exact = bool(_MACHINE_TIME.fullmatch(title)) and (
        any(char.isdigit() for char in text) or bool(_NAMED_PUBLISHED.search(names))
    )
    fuller = is_time and bool(_CLOCK.search(title)) and not _CLOCK.search(text)
    return [(title, False)] if re.search(r"\d{4}", title) and (exact or fuller or _RELATIVE.search(text)) else []


def _before(element: Any) -> str:
    """The words right before an element, within its parent."""
    previous, parent = element.getprevious(), element.getparent()
    if previous is not None:
        before = previous.tail if (previous.tail or "").strip() else _text(previous)
    else:
        before = parent.text if parent is not None else ""
    return (before or "").strip()[-60:]


def _text(element: Any) -> str:
    """The text of an element, no more than a date needs."""
    return "".join(islice(element.itertext(), MOST_PARTS))[:500]


def _is_card(element: Any, holders: set[Any]) -> bool:
    """Whether a time stands with the linked title of another article: in a list, on a card."""
    for box in islice(element.iterancestors(), 3):
        if box in holders or box.tag not in ("li", "article", "div", "section", "header"):
            return False
        for child in islice(box, 6):
            if _is_linked_title(child, element, box.tag == "li"):
                return True
    return False


def _is_linked_title(child: Any, element: Any, is_item: bool) -> bool:
    if is_item and child.tag == "a" and child.get("rel") != "author" and len(_text(child).strip()) >= 6:
        return all(part is not element for part in islice(child.iter(), 10))
    if child.tag == "a":
        return any(part.tag in ("h2", "h3", "h4", "h5") for part in islice(child.iter(), 6))
    return child.tag in ("h2", "h3", "h4", "h5") and any(part.tag == "a" for part in islice(child.iter(), 6))


def _is_in_sentence(element: Any) -> bool:
    """Whether a time stands in running text, which mentions it."""
    parent = element.getparent()
    if parent is None or parent.tag not in ("p", "li", "dd", "td", "blockquote", "div"):
        return False
    text = (parent.text or "") + " ".join(child.tail or "" for child in islice(parent, MOST_PARTS))
    text = " ".join(text[:1_000].split())
    return len(text) > 160 or (bool(words.SENTENCE.search(text)) and not words.OF_THIS.search(_before(element)))


def _value(element: Any) -> str:
    told = element.get("content") or element.get("datetime") or element.get("title") or _text(element)
    return str(told)[:100]
