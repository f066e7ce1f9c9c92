"""A web page to one article: its text without what stands around it, its title, date, author and canonical address."""

import re
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import urlsplit

from apps.sentiment.collecting.dates import find_date
from apps.sentiment.collecting.decoding import decode, too_large
from apps.sentiment.collecting.feeds import absolute, digest
from apps.sentiment.collecting.items import Item, believed
from apps.sentiment.collecting.markup import MOST_BODY_CHARACTERS, line, plain, tidy
from apps.sentiment.collecting.trees import Block, blocks, drop_around, headline, page_title, parse
from core.errors import Refused
from words import say

MOST_BYTES = 5_000_000
MOST_EXTRACTED_ELEMENTS = 12_000  # the extractor's time grows faster than the page; a larger one is read by its blocks
SHORT_TEXT = 60  # characters: an extraction this short is checked against the blocks
_MAGIC = (
    b"%PDF",
    b"PK\x03\x04",
    b"\x89PNG",
    b"GIF8",
    b"\xff\xd8\xff",
    b"\x1f\x8b",
    b"RIFF",
    b"\x00\x00\x00\x18ftyp",
    b"ID3",
    b"BZh",
    b"7z\xbc\xaf",
)
_TEXT_TYPES = re.compile(r"^\s*(?:$|;|text/|application/(?:xhtml|xml|octet-stream|x-unknown))", re.I)
_FEED = re.compile(r"^\s*<(?:\?xml[^>]*>\s*<)?(?:rss|feed|rdf:RDF|urlset|sitemapindex)\b", re.I)
_SITE_NAME = re.compile(r"\s*(?:[|_–—]|\s-\s|--).{1,40}$")
_BYLINE = re.compile(
    r"(?:作者|记者|撰文|责任编辑)\s*[:：]\s*([\w·•]{2,20})|^\s*[Bb]y\s+([A-Z][\w.'-]+(?:\s+[A-Z][\w.'-]+){1,3})\b"
)


def read_page(data: bytes, *, content_type: str, url: str, now: datetime, zone: tzinfo) -> Item:
    """The article of a page; its problems are in `item.problems`. core.errors.Refused names what is no page or has no
    text. Its id is its canonical address."""
    text = _html(data, content_type)
    tree = parse(text)
    shown = blocks(tree)
    title = _title(tree)
    address, author, categories = _canonical(tree, url), _author(tree, shown), _categories(tree)
    dates = find_date(tree, url=url, now=now, zone=zone)
    published = believed(dates.published or dates.doubted, now=now, identity=address)
    body = _body(tree, shown, title)
    if not body and not title:
        raise Refused("no_text", say("The page shows no text; it may need a browser to be read."))
    return Item(
        external_id=address or digest(title, body), url=address, title=title or line(body, 120), body=body[:MOST_BODY_CHARACTERS],
        published_at=published.at, confidence=published.confidence, author=author,
        language=(tree.get("lang") or "").strip()[:35], updated_at=dates.updated.at if dates.updated else None,
        categories=categories, problems=published.problems,
    )  # fmt: skip


def _html(data: bytes, content_type: str) -> str:
    too_large(data, MOST_BYTES)
    if data.startswith(_MAGIC) or not _TEXT_TYPES.match(content_type):
        kind = content_type.partition(";")[0].strip()[:60] or "?"
        raise Refused("not_a_page", say("The address serves {kind}, not a web page.", kind=kind))
    text = decode(data, content_type)
    if not text.strip():
        raise Refused("empty", say("The address answered with nothing."))
    if _FEED.match(text[:1_000]):
        raise Refused("a_feed", say("The address serves a feed or a sitemap, not a page. Add it as one."))
    return text


def _meta(tree: Any, *names: str) -> str:
    for name in names:
        for meta in tree.iter("meta"):
            if (
                name in ((meta.get("property") or "").lower(), (meta.get("name") or "").lower())
                and meta.get("content", "").strip()
            ):
                return str(meta.get("content")).strip()
    return ""


def _title(tree: Any) -> str:
    """The headline where the page's own title agrees with it, else what the page declares, less the site's name."""
    head = headline(tree)
    shown = line(head.text_content()) if head is not None else ""
    declared = line(_meta(tree, "og:title", "twitter:title")) or line(page_title(tree))
    if shown and (not declared or shown[:12] in declared or declared[:12] in shown):
        return shown
    return _SITE_NAME.sub("", declared) or declared or shown


def _body(tree: Any, shown: list[Block], title: str) -> str:
    """The extracted text, first without what stands around the article, where that leaves nothing from the whole page;
    where the extractor finds next to nothing, what the page's own blocks say. Changes the tree."""
    text = ""
    if sum(1 for _ in zip(tree.iter(), range(MOST_EXTRACTED_ELEMENTS + 1), strict=False)) <= MOST_EXTRACTED_ELEMENTS:
        whole = _source(tree)
        drop_around(tree)
        text = _extracted(_source(tree))
        if len(text) < SHORT_TEXT:
            text = max(text, _extracted(whole) if not _said(shown) else "", key=len)
    if len(text) < SHORT_TEXT:
        text = max(text, _said(shown), key=len)
    lines = text.split("\n")
    return "\n".join(lines[1:] if title and lines[0].strip() == title else lines).strip()


def _source(tree: Any) -> str:
    from lxml import etree

    return str(etree.tostring(tree, encoding="unicode", method="html"))


def _extracted(html: str) -> str:
    from trafilatura import bare_extraction  # 0.3 s and 20 MB: loaded by the worker that reads pages

    try:
        document = bare_extraction(html, include_comments=False, include_tables=True, with_metadata=False)
    except (ValueError, RecursionError, AttributeError, TypeError):  # of pages that are none
        return ""
    return tidy(plain(getattr(document, "text", "") or "")) if document is not None else ""


def _said(shown: list[Block]) -> str:
    """Blocks that are text: not around the article, not mostly links, after the headline."""
    said = [block.text for block in shown if not block.around and block.link_share < 0.5 and block.place > 0]
    sentences = [text for text in said if len(text) >= 20 or re.search(r"[。！？.!?]$", text)]
    return tidy("\n".join(sentences or said))[:MOST_BODY_CHARACTERS]


def _canonical(tree: Any, url: str) -> str:
    """The address the page names as its own, when it is of the same site and not merely the front page."""
    named = [
        link.get("href")
        for link in tree.iter("link")
        if "canonical" in (link.get("rel") or "").lower() and link.get("href")
    ]
    address = absolute(url, url)
    for written in [*named, _meta(tree, "og:url")]:
        found = absolute(written, url) if written else ""
        if (
            found
            and _same_site(found, address)
            and (urlsplit(found).path.strip("/") or not urlsplit(address).path.strip("/"))
        ):
            return found.partition("#")[0]
    return address.partition("#")[0]


def _same_site(one: str, other: str) -> bool:
    hosts = [(urlsplit(address).hostname or "").split(".") for address in (one, other)]
    return hosts[0][-2:] == hosts[1][-2:]


def _author(tree: Any, shown: list[Block]) -> str:
    declared = line(_meta(tree, "author", "article:author", "byl", "dc.creator", "parsely-author"), 200)
    if declared and not declared.startswith(("http://", "https://")):
        return declared
    near = (
        _BYLINE.search(block.text)
        for block in shown
        if not block.around and -3 <= block.place <= 8 and len(block.text) < 160
    )
    return next((match[1] or match[2] for match in near if match), "")


def _categories(tree: Any) -> tuple[str, ...]:
    named = [_meta(tree, "article:section"), *re.split(r"[,，;；、]", _meta(tree, "keywords", "news_keywords")[:500])]
    return tuple(dict.fromkeys(name for name in (line(part, 100) for part in named) if name))[:20]
