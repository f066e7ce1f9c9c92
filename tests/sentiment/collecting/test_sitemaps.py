"""Sitemaps, plain and packed: pages with titles and dates, indexes, and what is none."""

import gzip
import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from apps.sentiment.collecting.items import Confidence
from apps.sentiment.collecting.sitemaps import MOST_UNPACKED_BYTES, Sitemap, read_sitemap
from core.errors import Refused

NOW = datetime(2024, 3, 6, 4, 0, tzinfo=UTC)
NEWS = """<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"
 xmlns:news="http://www.google.com/schemas/sitemap-news/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
<url><loc>https://x.example/1?a=1&amp;b=2</loc><image:image><image:loc>https://x.example/i.png</image:loc><image:title>no</image:title></image:image>
<news:news><news:publication><news:name>财经网</news:name><news:language>zh-cn</news:language></news:publication>
<news:publication_date>2024-03-05T14:05:00+08:00</news:publication_date><news:title>甲公司 &amp; 乙公司</news:title>
<news:keywords>并购, 股票</news:keywords></news:news>
<lastmod>2024-03-05</lastmod></url><url><loc>/2</loc><lastmod>2031-01-01</lastmod></url><url><loc>javascript:x</loc></url></urlset>"""
INDEX = """<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>https://x.example/old.xml</loc><lastmod>2024-01-01</lastmod></sitemap>
<sitemap><loc>https://x.example/new.xml.gz</loc><lastmod>2024-03-05T00:00:00Z</lastmod></sitemap><sitemap><loc>/plain.xml</loc></sitemap></sitemapindex>"""


def read(data: bytes) -> Sitemap:
    return read_sitemap(
        data, content_type="application/xml", url="https://x.example/map.xml", now=NOW, zone=ZoneInfo("Asia/Shanghai")
    )


@pytest.mark.parametrize("data", [NEWS.encode(), gzip.compress(NEWS.encode())], ids=["plain", "packed"])
def test_a_news_sitemap_tells_titles_and_dates(data: bytes) -> None:
    sitemap = read(data)

    first, second = sitemap.items
    assert (first.url, first.title, first.language, first.categories) == (
        "https://x.example/1?a=1&b=2",
        "甲公司 & 乙公司",
        "zh-cn",
        ("并购", "股票"),
    )
    assert (first.published_at, first.confidence) == (datetime(2024, 3, 5, 6, 5, tzinfo=UTC), Confidence.STATED)
    assert first.updated_at == datetime(2024, 3, 4, 16, 0, tzinfo=UTC)
    assert (second.url, second.published_at, second.confidence, second.updated_at) == (
        "https://x.example/2",
        None,
        Confidence.NONE,
        None,
    )
    assert [(problem.code, problem.position) for problem in sitemap.problems] == [
        ("date_in_future", 1),
        ("no_address", 2),
    ]


def test_an_index_tells_its_sitemaps_newest_first() -> None:
    sitemap = read(INDEX.encode())

    assert [address for address, _ in sitemap.sitemaps] == [
        "https://x.example/new.xml.gz",
        "https://x.example/old.xml",
        "https://x.example/plain.xml",
    ]
    assert sitemap.items == ()


def test_a_text_of_addresses_is_a_sitemap() -> None:
    sitemap = read(b"https://x.example/1\r\nhttps://x.example/2\nhttps://x.example/1\nnot one of http\n")

    assert [item.url for item in sitemap.items] == ["https://x.example/1", "https://x.example/2"]


def test_of_too_many_pages_the_first_are_taken_and_the_rest_is_told() -> None:
    sitemap = read(
        b"<urlset>"
        + b"".join(b"<url><loc>https://x.example/%d</loc></url>" % at for at in range(10_002))
        + b"</urlset>"
    )

    assert len(sitemap.items) == 10_000 and [problem.code for problem in sitemap.problems] == ["too_many_items"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"), (b"<html></html>", "html"), (b"<rss></rss>", "not_a_sitemap"), (b"\x1f\x8bnonsense", "broken_gzip"),
        (b"{}", "not_a_feed"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><urlset/>', "document_type"), (gzip.compress(b" " * (MOST_UNPACKED_BYTES + 1)), "too_large"),
    ],
)  # fmt: skip
def test_what_is_no_sitemap_is_refused_by_name(data: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        read(data)

    assert refused.value.code == code and refused.value.message


def test_bytes_of_chance_are_read_or_refused_by_name() -> None:
    chance = random.Random(4)
    refusals = []
    for _ in range(150):
        data = bytearray(chance.choice([NEWS.encode(), INDEX.encode(), gzip.compress(NEWS.encode())]))
        for _ in range(chance.randrange(1, 20)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        try:
            read(bytes(data))
        except Refused as refused:
            refusals.append(refused.code)
    assert set(refusals) <= {"html", "not_a_feed", "not_a_sitemap", "broken_gzip", "document_type", "empty"}
