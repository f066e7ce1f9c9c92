"""Sitemaps (sitemaps.org) and their indexes, plain or gzipped, with titles and dates of news sitemaps."""

import zlib
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from apps.sentiment.collecting.decoding import decode, too_large
from apps.sentiment.collecting.feeds import MOST_ITEMS, absolute, inner_text, local, parse_xml
from apps.sentiment.collecting.items import Confidence, Dated, Item, Problem, believed
from apps.sentiment.collecting.markup import line
from apps.sentiment.collecting.moments import read_moment
from core.errors import Refused
from words import say

MOST_BYTES = 20_000_000  # as sent
MOST_UNPACKED_BYTES = 52_428_800  # the protocol's own bound of a sitemap
MOST_SITEMAPS = 1_000  # of an index


@dataclass(frozen=True)
class Sitemap:
    """A sitemap: pages (body empty; published_at only where a news sitemap tells it, lastmod is updated_at), addresses
    of further sitemaps with the time of their last change, newest first, and what was left out."""

    items: tuple[Item, ...]
    sitemaps: tuple[tuple[str, datetime | None], ...]
    problems: tuple[Problem, ...]


def read_sitemap(data: bytes, *, content_type: str, url: str, now: datetime, zone: tzinfo) -> Sitemap:
    """A sitemap from its bytes: XML, gzipped XML or a text of addresses. core.errors.Refused names what is none."""
    too_large(data, MOST_BYTES)
    text = decode(unpacked(data), content_type).strip()
    if not text:
        raise Refused("empty", say("The address answered with nothing."))
    if text.startswith(("http://", "https://")):
        return _of_lines(text, url)
    root, problems = parse_xml(text)
    if local(root) == "sitemapindex":
        return _index(root, url, now, zone, problems)
    if local(root) != "urlset":
        raise Refused(
            "not_a_sitemap", say('The answer is XML, but no sitemap: its root is "{name}".', name=local(root)[:60])
        )
    return _pages(root, url, now, zone, problems)


def unpacked(data: bytes) -> bytes:
    """Gzip unpacked, at most MOST_UNPACKED_BYTES; anything else as it is."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(data, MOST_UNPACKED_BYTES + 1)
    except zlib.error as error:
        raise Refused("broken_gzip", say("The compressed answer is damaged.")) from error
    if len(plain) > MOST_UNPACKED_BYTES:
        raise Refused("too_large", say("Unpacked, the answer has more than {most:,} bytes.", most=MOST_UNPACKED_BYTES))
    return plain


def _of_lines(text: str, url: str) -> Sitemap:
    lines = [written for written in text.splitlines() if written.strip().startswith(("http://", "https://"))]
    addresses = [address for written in lines if (address := absolute(written, url))]
    distinct = list(dict.fromkeys(addresses))
    items = tuple(Item(external_id=address, url=address, title="", body="") for address in distinct[:MOST_ITEMS])
    return Sitemap(items, (), _beyond(len(distinct)))


def _beyond(count: int) -> tuple[Problem, ...]:
    if count <= MOST_ITEMS:
        return ()
    message = say("{count:,} items beyond the first {most:,} were left out.", count=count - MOST_ITEMS, most=MOST_ITEMS)
    return (Problem("too_many_items", message),)


def _index(root: Any, url: str, now: datetime, zone: tzinfo, problems: list[Problem]) -> Sitemap:
    found: dict[str, datetime | None] = {}
    for node in root:
        parts = _parts(node)
        if local(node) == "sitemap" and (address := absolute(parts.get("loc", ""), url)):
            found.setdefault(address, _dated(parts.get("lastmod", ""), now, zone, -1, address).at)
    newest = sorted(found.items(), key=lambda entry: entry[1].timestamp() if entry[1] else 0.0, reverse=True)
    if len(newest) > MOST_SITEMAPS:
        message = say(
            "{count:,} sitemaps beyond the {most:,} newest were left out.",
            count=len(newest) - MOST_SITEMAPS,
            most=MOST_SITEMAPS,
        )
        problems = [*problems, Problem("too_many_sitemaps", message)]
    return Sitemap((), tuple(newest[:MOST_SITEMAPS]), tuple(problems))


def _pages(root: Any, url: str, now: datetime, zone: tzinfo, problems: list[Problem]) -> Sitemap:
    items: dict[str, Item] = {}
    nodes = [node for node in root if local(node) == "url"]
    for position, node in enumerate(nodes[:MOST_ITEMS]):
        parts = _parts(node)
        address = absolute(parts.get("loc", ""), url)
        if not address:
            message = say("The entry has no address that could be opened.")
            problems.append(Problem("no_address", message, position, parts.get("loc", "")[:500]))
            continue
        items.setdefault(address, _item(parts, address, position, now, zone, problems))
    return Sitemap(tuple(items.values()), (), (*problems, *_beyond(len(nodes))))


def _item(
    parts: dict[str, str], address: str, position: int, now: datetime, zone: tzinfo, problems: list[Problem]
) -> Item:
    published = _dated(parts.get("publication_date", ""), now, zone, position, address)
    changed = _dated(parts.get("lastmod", ""), now, zone, position, address)
    problems.extend([*published.problems, *changed.problems])
    return Item(
        external_id=address, url=address, title=line(parts.get("title", "")), body="", published_at=published.at,
        confidence=published.confidence if published.at else Confidence.NONE, language=parts.get("language", "")[:35],
        updated_at=changed.at, categories=tuple(filter(None, (line(part, 100) for part in parts.get("keywords", "").split(",")[:20]))),
    )  # fmt: skip


def _dated(written: str, now: datetime, zone: tzinfo, position: int, identity: str) -> Dated:
    moment = read_moment(written, now=now, zone=zone) if written else None
    return believed(moment, now=now, written=written, position=position, identity=identity)


def _parts(node: Any) -> dict[str, str]:
    """Texts of an entry by their names, those inside news:news too; images and videos are others'."""
    parts: dict[str, str] = {}
    for child in node:
        if local(child) in ("news", "publication"):
            parts = {**_parts(child), **parts}
        elif local(child) not in ("image", "video"):
            parts.setdefault(local(child), inner_text(child).strip())
    return parts
