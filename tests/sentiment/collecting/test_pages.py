"""Pages to articles: text without what stands around it, Chinese never empty, bombs and other files refused in time."""

import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from apps.sentiment.collecting.items import Confidence, Item
from apps.sentiment.collecting.pages import MOST_BYTES, read_page
from core.errors import Refused

NOW = datetime(2024, 3, 6, 4, 0, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
URL = "https://news.example/2024/03/05/a.html?from=list#top"
FIRST = "甲公司昨日晚间公告，全年实现营业收入三十二亿元，同比增长百分之十二，净利润创下上市以来新高。"
SECOND = "分析师表示，公司新产品销售好于预期，但原材料价格上涨可能影响下一季度的毛利率。"
MENU = "<div class='nav'><a href='/'>首页</a><a href='/stock'>股票</a><a href='/fund'>基金</a></div>"
SIDE = (
    "<div class='sidebar'><h3>热门文章</h3><ul><li><a href='/1'>乙公司被立案调查</a></li>"
    "<li><a href='/2'>丙公司更换会计师</a></li></ul></div>"
)


def read(html: str | bytes, content_type: str = "text/html; charset=utf-8", url: str = URL) -> Item:
    data = html.encode() if isinstance(html, str) else html
    return read_page(data, content_type=content_type, url=url, now=NOW, zone=SHANGHAI)


def article(body: str, head: str = "") -> str:
    return (
        f"<html lang='zh-CN'><head><title>甲公司业绩创新高_财经网</title>{head}</head><body>{MENU}<h1>甲公司业绩创新高</h1>"
        f"<div class='info'>2024-03-05 14:05 来源：财经网 作者：张三</div>{body}{SIDE}<div class='footer'>版权所有 财经网 2010-2024</div>"
        "</body></html>"
    )


def test_an_article_is_read_without_what_stands_around_it() -> None:
    item = read(
        article(
            f"<div class='content'><p>{FIRST}</p><p>{SECOND}</p></div>",
            "<link rel='canonical' href='/a.html'><meta name='keywords' content='业绩,甲公司'>",
        )
    )

    assert (item.title, item.author, item.language, item.categories) == (
        "甲公司业绩创新高",
        "张三",
        "zh-CN",
        ("业绩", "甲公司"),
    )
    assert item.url == item.external_id == "https://news.example/a.html"
    assert (item.published_at, item.confidence) == (datetime(2024, 3, 5, 6, 5, tzinfo=UTC), Confidence.ZONE_ASSUMED)
    assert FIRST in item.body and SECOND in item.body
    assert not [noise for noise in ("首页", "热门文章", "乙公司", "版权所有") if noise in item.body]


SHAPES = {
    "paragraphs": f"<p>{FIRST}</p><p>{SECOND}</p>",
    "breaks": f"<div>　　{FIRST}<br><br>　　{SECOND}<br></div>",
    "spans": f"<div><span style='x'>{FIRST}</span><span>{SECOND}</span></div>",
    "divisions": f"<div><div>{FIRST}</div><div>{SECOND}</div></div>",
    "table": f"<table><tr><td>{FIRST}</td></tr><tr><td>{SECOND}</td></tr></table>",
    "sections": f"<section><section><section><span>{FIRST}</span></section><section><span>{SECOND}</span></section></section></section>",
    "pre": f"<pre>{FIRST}\n{SECOND}</pre>",
    "custom": f"<news-body><x-p>{FIRST}</x-p><x-p>{SECOND}</x-p></news-body>",
    "unclosed": f"<div><p>{FIRST}<p>{SECOND}",
    "font": f"<td><font size=2>{FIRST}</font><font>{SECOND}</font>",
    "list": f"<ul><li>{FIRST}</li><li>{SECOND}</li></ul>",
    "quote": f"<blockquote>{FIRST}</blockquote><blockquote>{SECOND}</blockquote>",
    "one short line": "<p>甲公司停牌。</p>",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_chinese_text_is_never_lost(shape: str, encoding: str) -> None:
    item = read(article(SHAPES[shape]).encode(encoding), "text/html")

    assert item.title == "甲公司业绩创新高"
    assert (
        "甲公司停牌" in item.body
        if shape == "one short line"
        else (FIRST[:40] in item.body and SECOND[:30] in item.body)
    )


def test_a_page_without_article_text_gives_its_title() -> None:
    item = read("<html><head><title>快讯：甲公司停牌</title></head><body></body></html>", url="https://news.example/x")

    assert (item.title, item.body, item.published_at, item.confidence) == (
        "快讯：甲公司停牌",
        "",
        None,
        Confidence.NONE,
    )


@pytest.mark.parametrize(
    ("canonical", "kept"),
    [
        ("https://news.example/", URL), ("https://other.test/a", URL), ("javascript:void(0)", URL),
        ("https://m.news.example/b#c", "https://m.news.example/b"),
        ("//www.news.example/c", "https://www.news.example/c"),
    ],
)  # fmt: skip
def test_a_canonical_address_is_believed_within_its_site(canonical: str, kept: str) -> None:
    item = read(article(f"<p>{FIRST}</p>", f"<link rel=canonical href='{canonical}'>"))

    assert item.url == kept.partition("#")[0]


def test_a_date_to_come_is_told_and_not_kept() -> None:
    item = read(article(f"<p>{FIRST}</p>").replace("2024-03-05", "2024-12-10"), url="https://news.example/x")

    assert item.published_at is None and item.confidence == Confidence.NONE
    assert [problem.code for problem in item.problems] == ["date_in_future"]


@pytest.mark.parametrize(
    ("data", "content_type", "code"),
    [
        (b"", "text/html", "empty"), (b" \n", "text/html", "empty"), (b"%PDF-1.7 ...", "text/html", "not_a_page"),
        (b"x", "application/pdf", "not_a_page"),
        (b"\x89PNG\r\n", "", "not_a_page"), (b"\x1f\x8b\x08", "text/html", "not_a_page"),
        (b"<?xml version='1.0'?><rss><channel/></rss>", "text/xml", "a_feed"),
        (b"<html><body><div id=app></div><script>x()</script></body></html>", "text/html", "no_text"),
        (b"a" * (MOST_BYTES + 1), "text/html", "too_large"),
    ],
)  # fmt: skip
def test_what_is_no_page_is_refused_by_name(data: bytes, content_type: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        read(data, content_type)

    assert refused.value.code == code and refused.value.message


@pytest.mark.parametrize(
    "bomb",
    ["<div>" * 60_000 + "x", "<p>" * 150_000, "<b><i>" * 60_000 + "甲", "<table><tr><td>" * 20_000, "<a href=x>y</a>" * 60_000,
     "<" * 500_000, "&" * 500_000,
     "<!--" * 100_000, "<p " + "a=b " * 100_000 + ">x", "<script>" + "publish_time" * 30_000, "<h1>" + "3月" * 100_000,
     "<title>" + "a" * 900_000],
    ids=range(12),
)  # fmt: skip
def test_bombs_of_html_end(bomb: str) -> None:
    """The work grows with the size: the suite would stand still here if one of them took time in its square."""
    try:
        item = read(f"<html><body><h1>甲公司</h1>{bomb}</body></html>")
    except Refused as refused:
        found = refused.code
    else:
        found = item.title
        assert len(item.body) <= 200_000 and len(item.title) <= 1_000
    assert found


def test_bytes_of_chance_are_read_or_refused_by_name() -> None:
    chance = random.Random(7)
    good = article(f"<p>{FIRST}</p><p>{SECOND}</p>").encode()
    refusals = []
    for _ in range(40):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 60)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
        for given in (bytes(data), chance.randbytes(chance.randrange(500))):
            try:
                item = read(given, "text/html")
            except Refused as refused:
                refusals.append(refused.code)
            else:
                assert (item.published_at is None) == (item.confidence == Confidence.NONE)
                (item.title + item.body + item.author + item.url).encode()
    assert set(refusals) <= {"no_text", "not_a_page", "empty", "a_feed"}


def test_the_web_process_does_not_load_the_extractor() -> None:
    root = Path(__file__).resolve().parents[3]
    program = "import sys; import apps.sentiment.collecting.pages; print({'lxml', 'trafilatura'} & set(sys.modules))"
    paths = {"PYTHONPATH": f"{root}:{root / 'platform'}"}

    told = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=paths, capture_output=True, text=True, check=True
    )  # fmt: skip

    assert told.stdout.strip() == "set()"
