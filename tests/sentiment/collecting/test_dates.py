"""Dates of pages: shapes of pages times ways to write a date; each expected time is written by hand beside its phrase.

The page is read at noon of Wednesday, 6 March 2024 in Shanghai, which is 23:00 of the 5th in New York.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from apps.sentiment.collecting.dates import find_date
from apps.sentiment.collecting.items import Confidence
from apps.sentiment.collecting.moments import read_moment

NOW = datetime(2024, 3, 6, 4, 0, tzinfo=UTC)
SHANGHAI, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")

# written -> local time of the source, confidence
CHINESE = [
    ("2024年03月05日 14:05", "2024-03-05 14:05", "zone_assumed"), ("2024-03-05 14:05:33", "2024-03-05 14:05:33", "zone_assumed"),
    ("2024/3/5 9:05", "2024-03-05 09:05", "zone_assumed"), ("2024.03.05 14:05", "2024-03-05 14:05", "zone_assumed"),
    ("2024年3月5日", "2024-03-05 00:00", "day"), ("二〇二四年三月五日", "2024-03-05 00:00", "day"),
    ("2021年03月23日", "2021-03-23 00:00", "day"),
    ("3月5日 14:05", "2024-03-05 14:05", "guessed"), ("12月30日 07:08", "2023-12-30 07:08", "guessed"),
    ("昨天 08:30", "2024-03-05 08:30", "relative"),
    ("3小时前", "2024-03-06 09:00", "relative"), ("刚刚", "2024-03-06 12:00", "relative"), ("15分钟前", "2024-03-06 11:45", "relative"),
    ("2024年3月5日 下午3:04", "2024-03-05 15:04", "zone_assumed"), ("2024年3月5日星期二 上午12:04", "2024-03-05 00:04", "zone_assumed"),
    ("２０２４年３月５日　１４：０５", "2024-03-05 14:05", "zone_assumed"),
    ("2024-03-05（周二）14时05分", "2024-03-05 14:05", "zone_assumed"),
]  # fmt: skip
ENGLISH = [
    ("Mar. 5, 2024 3:04 PM ET", "2024-03-05 15:04", "stated"), ("March 5, 2024", "2024-03-05 00:00", "day"),
    ("Tuesday, March 5th, 2024 at 3:04pm", "2024-03-05 15:04", "zone_assumed"), ("5 March 2024 20:04 GMT", "2024-03-05 15:04", "stated"),
    ("3:04 PM EST, Tue March 5, 2024", "2024-03-05 15:04", "stated"), ("2 hours ago", "2024-03-05 21:00", "relative"),
    ("yesterday", "2024-03-04 00:00", "relative"), ("Yesterday at 9:15 AM", "2024-03-04 09:15", "relative"),
    ("Mar 4", "2024-03-04 00:00", "guessed"),
    ("Dec 30, 2023 | 11:59 p.m. Eastern", "2023-12-30 23:59", "stated"), ("2024-03-05 15:04 EST", "2024-03-05 15:04", "stated"),
    ("03/05/2024", "2024-03-05 00:00", "day"), ("12/31/2023 6:00 PM", "2023-12-31 18:00", "zone_assumed"),
    ("5 Mar 2024 15:04 CST", "2024-03-05 16:04", "zone_assumed"), ("half an hour ago", "2024-03-05 22:30", "relative"),
]  # fmt: skip
MACHINE = [
    ("2024-03-05T14:05:00+08:00", "2024-03-05 14:05", "stated"), ("2024-03-05T06:05:00Z", "2024-03-05 14:05", "stated"),
    ("2024-03-05T06:05:00.123456Z", "2024-03-05 14:05:00.123456", "stated"), ("2024-03-05T14:05:00+0800", "2024-03-05 14:05", "stated"),
    ("2024-03-05 14:05:00", "2024-03-05 14:05", "zone_assumed"), ("2024-03-05", "2024-03-05 00:00", "day"),
    ("Mon, 05 Mar 2024 06:05:00 GMT", "2024-03-05 14:05", "stated"), ("Tue, 5 Mar 2024 14:05:00 CST", "2024-03-05 14:05", "zone_assumed"),
    ("1709618700", "2024-03-05 14:05", "stated"), ("1709618700000", "2024-03-05 14:05", "stated"),
    ("20240305T140500+0800", "2024-03-05 14:05", "stated"),
    ("Tue Mar 05 01:05:00 EST 2024", "2024-03-05 14:05", "stated"), ("2024-03-05T01:05-05:00", "2024-03-05 14:05", "stated"),
]  # fmt: skip

TEXT = "<p>公司在2019年8月8日上市，2020年12月31日的营业收入为三亿元，分析师认为前景良好。</p><p>第二段没有日期，只有文字和标点。</p>"
WORDS = "<p>The firm was listed on 8 August 2019 and had sold its plant by Dec 31, 2020, people close to it said.</p><p>No date.</p>"
AROUND = '<div class="sidebar"><ul><li>热门 2024-03-06 10:00</li></ul></div><footer>版权所有 © 2011-2024 京ICP备2012年01月01日</footer>'
HEAD = "<head><title>甲公司公布年度业绩 - 财经网</title></head>"
ENGLISH_HEAD = "<head><title>Acme posts record profit | The Desk</title></head>"

CHINESE_SHAPES = {
    "info line": "{h}<div class='info'><span>来源：财经网</span> <span class='time'>{d}</span> <span>作者：张三</span></div>",
    "label": "{h}<p>发布时间：{d}　来源：财经网　浏览次数：1024</p>",
    "two labels": "{h}<p>发布时间：{d} 更新时间：2024-03-06 11:11</p>",
    "change first": "{h}<p>更新于：2024-03-06 11:11</p><p>发表于 {d}</p>",
    "time without attribute": "<article>{h}<time>{d}</time></article>",
    "above the headline": "<div class='post-date'>{d}</div>{h}",
    "only a word's width": "{h}<em id='publish_time'>{d}</em>",
    "table": "<table><tr><td>{h}</td></tr><tr><td align='center'>日期：{d} 【字号：大 中 小】</td></tr></table>",
    "today above": "<div class='top'>今天是2024年3月6日 星期三</div>{h}<div>{d} 财经网</div>",
    "second headline": "<h2>甲公司公布年度业绩</h2><ul class='meta'><li>张三</li><li>{d}</li><li>评论 3</li></ul>",
    "no headline": "<div class='title'>甲公司公布年度业绩</div><div class='date'>发布日期：{d}</div>",
    "comments and others": "<div class='related'>相关 2024-03-06 09:09</div>{h}<p><i>{d}</i></p><div class='comments'>李四 1小时前</div>",
    "source first": "{h}<div>财经网 | {d} | 责任编辑 王五</div>",
    "next article": "{h}<span>{d}</span><div>下一篇：2024-03-01 13:00 乙公司</div>",
    "body has id": "<div id='content' class='article-content'>{h}<div class='sub'>时间：{d}</div></div>",
}  # fmt: skip
ENGLISH_SHAPES = {
    "byline": "{h}<p class='byline'>By Ann Lee | {d}</p>",
    "published": "{h}<div>Published: {d}</div>",
    "published and updated": "{h}<div>Published {d}</div><div>Updated March 5, 2024 10:30 PM ET</div>",
    "updated first": "{h}<div>Last updated on March 5, 2024 10:30 PM ET</div><div>First published {d}</div>",
    "time text": "<article><header>{h}<time>{d}</time></header></article>",
    "posted on": "{h}<small>Posted on {d} by Ann</small>",
    "above": "<p class='date'>{d}</p>{h}",
    "source below": "{h}<div><span>The Desk</span><span>{d}</span><span>4 min read</span></div>",
    "sidebar newer": "<aside>Trending Mar 5, 2024 9:00 PM ET</aside>{h}<div class='dateline'>{d}</div>",
    "comments": "{h}<div>{d}</div><section class='comments'><div>Bob 5 minutes ago</div></section>",
    "definition list": "{h}<dl><dt>Date</dt><dd>{d}</dd></dl>",
    "paragraph": "{h}<h2>Shares rise as sales double</h2><p>{d}</p>",
    "event": "{h}<p>{d}</p><p>Event starts 1 March 2024 10:00 GMT</p>",
}  # fmt: skip
MACHINE_SHAPES = {
    "json-ld": '{ld}{"@type":"NewsArticle","dateModified":"2024-03-06T03:00:00Z","datePublished":"{d}"}</script>',
    "graph": '{ld}{"@graph":[{"@type":"WebSite"},{"@type":"WebPage","datePublished":"2024-01-01T00:00:00Z"},'
    '{"@type":["Article","NewsArticle"],"datePublished":"{d}"}]}</script>',
    "listed others": '{ld}[{"@type":"ItemList","itemListElement":['
    '{"@type":"NewsArticle","datePublished":"2024-03-06T01:00:00Z"}]},'
    '{"@type":"Article","datePublished":"{d}",'
    '"comment":[{"@type":"Comment","dateCreated":"2024-03-06T02:00:00Z"}]}]</script>',
    "broken json-ld": '{ld}{"@type":"NewsArticle","headline":"a "quoted" word","datePublished":"{d}",}</script>',
    "open graph": '<meta property="article:modified_time" content="2024-03-06T03:00:00Z">'
    '<meta property="article:published_time" content="{d}">',
    "meta name": '<meta name="PubDate" content="{d}"><meta name="revised" content="2024-03-06T03:00:00Z">',
    "dublin core": '<meta name="DC.date.issued" content="{d}">',
    "meta itemprop": '<meta itemprop="dateModified" content="2024-03-06T03:00:00Z"><meta itemprop="datePublished" content="{d}">',
    "microdata": '</head><body><span itemprop="datePublished" content="{d}">some day</span>',
    "time attribute": '</head><body><article>{h}<time datetime="{d}">some day</time></article>',
    "time of a change first": '</head><body>{h}<time class="updated" datetime="2024-03-06T03:00:00Z">x</time>'
    '<time class="published" datetime="{d}">y</time>',
    "time beside": '</head><body><div class="related"><time datetime="2024-03-06T01:00:00Z">x</time></div>{h}'
    '<time datetime="{d}">y</time>',
    "stamp": '</head><body>{h}<span class="ago" data-timestamp="{d}">some time ago</span>',
    "hidden field": '</head><body>{h}<input type="hidden" id="publishTime" value="{d}">',
    "microformat": '</head><body>{h}<abbr class="published" title="{d}" property="datePublished">some day</abbr>',
}  # fmt: skip


LINKED = '<script type="application/ld+json">'


def filled(shape: str, written: str, title: str) -> str:
    return shape.replace("{d}", written).replace("{h}", f"<h1>{title}</h1>").replace("{ld}", LINKED)


def page(shape: str, written: str, *, text: str, head: str) -> str:
    title = "Acme posts record profit" if head == ENGLISH_HEAD else "甲公司公布年度业绩"
    return f"<html>{head}<body>{filled(shape, written, title)}{text}{AROUND}</body></html>"


def machine_page(shape: str, written: str) -> str:
    return f"<html><head><title>甲公司公布年度业绩</title>{filled(shape, written, '甲公司公布年度业绩')}<p>{TEXT}{AROUND}</html>"


CASES = [
    *(
        ("zh", name, written, local, sure, page(shape, written, text=TEXT, head=HEAD))
        for name, shape in CHINESE_SHAPES.items() for written, local, sure in CHINESE
    ),
    *(
        ("en", name, written, local, sure, page(shape, written, text=WORDS, head=ENGLISH_HEAD))
        for name, shape in ENGLISH_SHAPES.items() for written, local, sure in ENGLISH
    ),
    *(
        ("machine", name, written, local, sure, machine_page(shape, written))
        for name, shape in MACHINE_SHAPES.items() for written, local, sure in MACHINE
    ),
]  # fmt: skip


def test_dates_of_pages_are_found_as_written_by_hand() -> None:
    wrong = []
    for language, shape, written, local, confidence, html in CASES:
        zone = NEW_YORK if language == "en" else SHANGHAI
        found = find_date(html, now=NOW, zone=zone)
        told = found.published and (
            found.published.at.astimezone(zone).replace(tzinfo=None),
            found.published.confidence.value,
        )
        if told != (datetime.fromisoformat(local), confidence):
            wrong.append((language, shape, written, str(told)))

    assert len(CASES) >= 300 and len({(case[0], case[1]) for case in CASES}) >= 30
    assert wrong == []


@pytest.mark.parametrize(
    ("html", "url", "local", "confidence", "where"),
    [
        ("<h1>A</h1><p>B</p>", "https://x.example/2024/03/05/a.html", "2024-03-05 00:00", "guessed", "address"),
        ("<h1>A</h1><p>B</p>", "https://x.example/art/t20240305_112.shtml", "2024-03-05 00:00", "guessed", "address"),
        ("<h1>A</h1><p>B</p>", "https://x.example/2024-03/05/c_11.htm", "2024-03-05 00:00", "guessed", "address"),
        ("<h1>A</h1><p>B</p>", "https://x.example/2024/mar/05/name", "2024-03-05 00:00", "guessed", "address"),
        ("<h1>A</h1><div>14:05 2024-03-05</div>", "https://x.example/2024/0305/1.html", "2024-03-05 14:05", "zone_assumed", "headline"),
        ("<h1>A</h1><div class='date'><b>05</b><span>2024-03</span></div>", "", "2024-03-05 00:00", "day", "named"),
        ("<h1>A</h1><div class='date'><b>03-05</b><i>2024</i></div>", "", "2024-03-05 00:00", "day", "named"),
        ("<h1>A</h1><div><b>2024</b>年<b>03</b>月<b>05</b>日 <i>14:05</i></div>", "", "2024-03-05 14:05", "zone_assumed", "headline"),
        ("<h1>A</h1><footer class='entry-footer'>发布于 2024-03-05</footer>", "", "2024-03-05 00:00", "day", "label"),
        ("<h1>A</h1><aside class='post-meta'>2024年3月5日</aside>", "", "2024-03-05 00:00", "day", "named"),
        ("<h1>A</h1><div class='info tags'>2024-03-05 14:05</div>", "", "2024-03-05 14:05", "zone_assumed", "named"),
        ("<h1>A</h1><div class='share-and-date'><i>2024-03-05 14:05</i></div>", "", "2024-03-05 14:05", "zone_assumed", "named"),
        ("<h1>A</h1><div>2024/03/05 PM 02:05</div>", "", "2024-03-05 14:05", "zone_assumed", "headline"),
        ("<h1>A</h1><div>Tue 5 Mar 2024 06.05 GMT</div>", "", "2024-03-05 14:05", "stated", "headline"),
        ("<h1>A</h1><script>var ct = '1709618700';</script>", "", "2024-03-05 14:05", "stated", "script"),
        ('<h1>A</h1><script>x={"id":3,"publishTime":"2024-03-05 14:05:00","a":1}</script>', "",
          "2024-03-05 14:05", "zone_assumed", "script"),
        ("<h1>A</h1><p>新华社北京3月5日电（记者 张三）公司今天公布了年度业绩，营业收入大幅增长，利润翻倍。</p>", "",
          "2024-03-05 00:00", "guessed", "dateline"),
        ("<h1>A</h1><div>最后更新：2024-03-05 14:05</div>", "", "2024-03-05 14:05", "guessed", "changed"),
        ('<meta name="date" content="2024-03-05"><h1>A</h1><div>2024-03-05 14:05</div>', "",
          "2024-03-05 14:05", "zone_assumed", "headline"),
        ('<meta name="pubdate" content="2024-03-05T00:00:00"><h1>A</h1><p>B</p>', "", "2024-03-05 00:00", "day", "meta"),
        ('<meta property="article:published_time" content="2030-01-01T00:00:00Z"><h1>A</h1><i>2024-03-05</i>', "",
          "2024-03-05 00:00", "day", "headline"),
    ],
)  # fmt: skip
def test_where_a_date_was_found_is_told(html: str, url: str, local: str, confidence: str, where: str) -> None:
    found = find_date(f"<html><body>{html}</body></html>", url=url, now=NOW, zone=SHANGHAI)

    assert found.published is not None and found.where == where
    assert found.published.at == datetime.fromisoformat(local).replace(tzinfo=SHANGHAI)
    assert found.published.confidence == confidence


@pytest.mark.parametrize(
    "html",
    [
        "<h1>甲公司公布业绩</h1>" + TEXT, "<h1>A</h1><footer>© 2024-03-01</footer>", "<p>Copyright 2024-01-01 Acme</p>", "", "<",
        "<h1>A</h1><p>2023年2月31日</p>",
        "<h1>A</h1><div class='related'>3小时前</div>",
        "<h1>A</h1><div>今天是2024年3月6日</div>", "<h1>A</h1><p>目前天气很好，日前公布</p>",
    ],
)  # fmt: skip
def test_a_page_that_tells_no_date_has_none(html: str) -> None:
    found = find_date(html, now=NOW, zone=SHANGHAI)

    assert (found.published, found.where) == (None, "")


def test_a_date_to_come_is_no_date_and_is_told() -> None:
    found = find_date("<h1>A</h1><div>发布时间：2024-12-10 10:00</div>", now=NOW, zone=SHANGHAI)

    assert found.published is None
    assert found.doubted is not None and found.doubted.at == datetime(2024, 12, 10, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "zone", "utc"),
    [
        ("2024-03-05 14:05 CST", SHANGHAI, "2024-03-05 06:05"), ("2024-03-05 14:05 CST", NEW_YORK, "2024-03-05 20:05"),
        ("2024-07-05 14:05 CST", ZoneInfo("America/Chicago"), "2024-07-05 20:05"),
        ("2024-03-05 14:05 IST", ZoneInfo("Asia/Jerusalem"), "2024-03-05 12:05"),
        ("2024-03-05 14:05 IST", SHANGHAI, "2024-03-05 08:35"), ("03/04/2023", NEW_YORK, "2023-03-04 05:00"),
        ("03/04/2023", ZoneInfo("Europe/London"), "2023-04-02 23:00"), ("13/04/2023", NEW_YORK, "2023-04-13 04:00"),
    ],
)  # fmt: skip
def test_what_has_two_meanings_is_read_as_the_sources_zone_has_it(written: str, zone: ZoneInfo, utc: str) -> None:
    moment = read_moment(written, now=NOW, zone=zone)

    assert moment is not None and moment.at == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert moment.confidence in (Confidence.ZONE_ASSUMED, Confidence.GUESSED, Confidence.DAY)


@pytest.mark.parametrize("written", ["2024-03-10 02:30", "2024-11-03 01:30"])
def test_an_hour_that_clocks_skip_or_repeat_is_read(written: str) -> None:
    moment = read_moment(written, now=datetime(2025, 1, 1, tzinfo=UTC), zone=NEW_YORK)

    assert moment is not None and moment.at.date().isoformat() == written[:10]


@pytest.mark.parametrize(
    "text",
    [
        "9" * 4000,
        "1" * 13,
        "-99999999999",
        "0000-00-00",
        "2024-99-99",
        "99月99日",
        "32 March 2024",
        "9999天前",
        "25:61",
        " " * 4000 + "3月",
        "年月日" * 2000,
        "上午" * 2000,
        "1:" * 3000,
    ],
)
def test_nonsense_is_no_date_and_raises_nothing(text: str) -> None:
    moment = read_moment(text, now=NOW, zone=SHANGHAI)

    assert moment is None or moment.at.tzinfo is not None
