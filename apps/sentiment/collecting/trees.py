"""A web page as a tree, and its visible text in blocks: what a reader sees as one line or paragraph, and where it stands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MOST_ELEMENTS = 100_000
MOST_BLOCKS = 20_000
MOST_HEADINGS = 50  # among which an article's headline is looked for
INLINE = {
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd", "label",
    "mark", "q", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
}  # fmt: skip
_HIDDEN = {"script", "style", "noscript", "template", "svg", "iframe", "head", "select", "button", "textarea", "object"}
_AROUND = {"footer", "aside", "nav", "form"}
_AROUND_NAMES = re.compile(
    r"(?:^|[\s_-])(?:copyright|sidebar|side|nav|navbar|menu|breadcrumbs?|crumbs?|related\w*|recommend\w*|recirc\w*|hot|rank\w*|comments?|reply|replies"
    r"|latest|popular|trending|advert\w*|ads?|topbar|weather|calendar|pager|pagination|promo\w*|newsletter|readmore|morenews)(?:$|[\s_-])",
    re.I,
)
_OFTEN_AROUND = re.compile(r"(?:^|[\s_-])(?:footer|foot|bottom|aside|widget|share|banner|bio|tags?)(?:$|[\s_-])", re.I)
_OF_THE_ARTICLE = re.compile(
    r"(?:^|[\s_-])(?:meta|info|byline|dateline|date|time|pubtime|entry|post|article)(?:$|[\s_-])", re.I
)


@dataclass(frozen=True)
class Block:
    """A stretch of visible text: the names (class, id) of its elements, whether it belongs to what stands around an
    article, its place counted from the headline (0; before it negative), and how much of it is links (0..1)."""

    text: str
    names: str
    around: bool
    place: int
    link_share: float


def parse(text: str) -> Any:
    """The tree of a page, an empty one for text that is none. libxml2 itself nests no deeper than 256."""
    from lxml import etree
    from lxml import html as lxml_html

    parser = lxml_html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        tree = lxml_html.document_fromstring(text.encode("utf-8", "replace") or b"<html></html>", parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError, AssertionError):
        tree = lxml_html.document_fromstring(b"<html><body></body></html>", parser=parser)
    return tree


def names_of(element: Any) -> str:
    """Class and id of an element in one string."""
    return "" if element is None else f"{element.get('class', '')} {element.get('id', '')}".strip()


def page_title(tree: Any) -> str:
    """The text of <title>."""
    return " ".join(" ".join(tree.xpath("string(//title)").split()).split())[:1_000]


def headline(tree: Any) -> Any:
    """The element that shows the article's title: an h1 that says something, else an h2 that the page's title begins
    with; None where there is neither."""
    title = page_title(tree)
    first = zip(range(MOST_HEADINGS), tree.iter("h1", "h2"), strict=False)
    heads = [head for _, head in first if head.text_content().strip()]
    matching = [head for head in heads if title.startswith(" ".join(head.text_content().split())[:20])]
    return next(iter([*matching, *(head for head in heads if head.tag == "h1")]), None)


def blocks(tree: Any) -> list[Block]:
    """The visible text in the order it stands, at most MOST_BLOCKS; in time linear in the page's size."""
    head = headline(tree)
    holders = {head, *head.iterancestors()} if head is not None else set()
    found: list[tuple[str, str, bool, float]] = []
    at_head = 0
    for element, text, names, around, links in _stretches(tree, holders):
        if element is head or (head is not None and not at_head and head in element.iterancestors()):
            at_head = at_head or len(found) + 1
        found.append((text, names, around, links))
        if len(found) >= MOST_BLOCKS:
            break
    origin = at_head - 1 if at_head else -1
    return [Block(text, names, around, at - origin, links) for at, (text, names, around, links) in enumerate(found)]


def _stretches(tree: Any, holders: set[Any]) -> Iterator[tuple[Any, str, str, bool, float]]:
    """(block element, text, names of the elements in it, around the article?, share of links)."""
    from lxml import etree

    parts: list[str] = []
    names: list[str] = []
    linked = around = hidden = in_link = count = 0
    owner = tree

    def flush() -> Iterator[tuple[Any, str, str, bool, float]]:
        nonlocal linked
        text = " ".join("".join(parts).split())
        if text:
            yield owner, text, " ".join(names)[:500], around > 0, min(1.0, linked / len(text))
        parts.clear()
        names.clear()
        linked = 0

    for event, element in etree.iterwalk(tree, events=("start", "end")):
        tag = element.tag
        if event == "start":
            count += 1
            if count > MOST_ELEMENTS:
                break
        step = 1 if event == "start" else -1
        if tag in _HIDDEN:
            hidden += step
        inline = tag in INLINE
        if not inline:
            yield from flush()
            owner = element if event == "start" else element.getparent()
        if _is_around(element, holders):
            around += step
        in_link += step * (tag == "a")
        if hidden == 0 and event == "start":
            names.append(names_of(element))
        if inline:
            parts.append(" ")
        given = element.text if event == "start" else element.tail
        if given and hidden == 0:
            parts.append(given)
            linked += len(given.strip()) if in_link else 0
    yield from flush()


def own_elements(tree: Any) -> Iterator[Any]:
    """Elements of the body that do not stand around the article, at most MOST_ELEMENTS."""
    return (element for element, around in _walk(tree) if not around)


def drop_around(tree: Any) -> None:
    """Take out of the tree what stands around its article."""
    for element in [element for element, around in _walk(tree) if around and element.tag != "head"]:
        element.drop_tree()


def _walk(tree: Any) -> Iterator[tuple[Any, bool]]:
    """Elements and whether each stands around the article, or is the head; what is in such a one is passed over."""
    from lxml import etree

    head = headline(tree)
    holders = {head, *head.iterancestors()} if head is not None else set()
    walk = etree.iterwalk(tree, events=("start",))
    for _, (_, element) in zip(range(MOST_ELEMENTS), walk, strict=False):
        around = element.tag == "head" or _is_around(element, holders)
        if around:
            walk.skip_subtree()
        yield element, around


def _is_around(element: Any, holders: set[Any]) -> bool:
    if element in holders or element.tag in ("html", "body", "main", "article"):
        return False
    names = names_of(element)
    if _AROUND_NAMES.search(names):
        return True
    often = element.tag in _AROUND or bool(_OFTEN_AROUND.search(names))
    return often and not _OF_THE_ARTICLE.search(names)  # <footer class="entry-footer">, <aside class="post-meta">
