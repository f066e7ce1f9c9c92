"""Feeds of all formats, whole and broken: what is read, what is left out, and that each omission has its reason."""

import json
import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from apps.sentiment.collecting.feeds import MOST_ITEMS, Feed, read_feed
from apps.sentiment.collecting.items import Confidence
from core.errors import Refused

NOW = datetime(2024, 3, 6, 4, 0, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
FIVE_PAST_TWO = datetime(2024, 3, 5, 6, 5, tzinfo=UTC)  # 14:05 in Shanghai


def read(data: str | bytes, content_type: str = "application/xml", encoding: str = "utf-8") -> Feed:
    given = data.encode(encoding) if isinstance(data, str) else data
    return read_feed(given, content_type=content_type, url="https://news.example/feed/all.xml", now=NOW, zone=SHANGHAI)


def codes(feed: Feed) -> list[str]:
    return [problem.code for problem in feed.problems]


def rss(*items: str, prolog: str = "", head: str = "<title>财经</title>") -> str:
    spaces = 'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    return f'{prolog}<rss version="2.0" {spaces}><channel>{head}{"".join(items)}</channel></rss>'


ITEM = """<item><title>甲公司 &amp;amp; 乙公司 <![CDATA[<b>合并</b>]]></title><link>/2024/a.html</link><guid isPermaLink="false">a-1</guid>
<pubDate>Mon, 05 Mar 2024 14:05:00 +0800</pubDate><dc:creator>李四</dc:creator><category>并购</category><category>并购</category>
<description>摘要</description>
<content:encoded><![CDATA[<p>第一段。</p><script>var a="<p>no</p>"</script><!-- <b>no</b> -->
<p>第二段&nbsp;完。</p>]]></content:encoded></item>"""


def test_rss_2_with_its_extensions() -> None:
    feed = read(rss(ITEM, head="<title>财经</title><language>zh-CN</language>"))

    (item,) = feed.items
    assert (feed.kind, feed.title, feed.language, feed.problems) == ("rss", "财经", "zh-CN", ())
    assert (item.external_id, item.url) == ("a-1", "https://news.example/2024/a.html")
    assert item.title == "甲公司 & 乙公司 合并"
    assert item.body == "第一段。\n第二段 完。"
    assert (item.published_at, item.confidence) == (FIVE_PAST_TWO, Confidence.STATED)
    assert (item.author, item.categories, item.language) == ("李四", ("并购",), "zh-CN")


def test_atom_with_xhtml_base_and_several_links() -> None:
    feed = read("""<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://other.example/blog/" xml:lang="en">
        <title type="html">Desk &lt;i&gt;notes&lt;/i&gt;</title>
        <entry><id>tag:x,1</id><link rel="self" href="self.xml"/><link rel="alternate" href="post"/>
        <title type="text">Profit &lt; loss</title><author><name>Ann</name></author><category term="m" label="Markets"/>
        <published>2024-03-05T06:05:00Z</published><updated>2024-03-05T07:05:00Z</updated>
        <content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>One</p><p>Two</p></div></content></entry></feed>""")

    (item,) = feed.items
    assert (feed.kind, feed.title, item.url) == ("atom", "Desk notes", "https://other.example/blog/post")
    assert (item.title, item.body, item.author, item.categories) == ("Profit < loss", "One\nTwo", "Ann", ("Markets",))
    assert item.published_at == FIVE_PAST_TWO and item.updated_at == datetime(2024, 3, 5, 7, 5, tzinfo=UTC)
    assert item.language == "en"


def test_rdf_names_its_items_by_about() -> None:
    feed = read("""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">
        <channel rdf:about="x"><title>RDF</title></channel>
        <item rdf:about="https://news.example/1"><title>One</title><link>https://news.example/1</link><dc:date>2024-03-05T14:05+08:00</dc:date></item></rdf:RDF>""")

    assert feed.kind == "rdf" and feed.title == "RDF"
    assert [(item.external_id, item.published_at) for item in feed.items] == [("https://news.example/1", FIVE_PAST_TWO)]


def test_rss_0_91_with_its_public_document_type_is_read_and_nothing_is_fetched() -> None:
    feed = read('<?xml version="1.0"?><!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://my.netscape.com/publish/formats/rss-0.91.dtd">'
                '<rss version="0.91"><channel><title>Old</title>'
        '<item><title>Caf&eacute; &copy; AT&T</title><link>http://a.example/</link></item></channel></rss>')  # fmt: skip

    assert [item.title for item in feed.items] == ["Café © AT&T"]
    assert feed.items[0].published_at is None and feed.items[0].confidence == Confidence.NONE


def test_json_feed_with_wrong_rows_and_several_authors() -> None:
    feed = read(json.dumps({
        "version": "https://jsonfeed.org/version/1.1", "title": "J", "language": "en", "items": [
            {"id": 7, "url": "/x", "title": "T", "content_html": "<p>a</p><p>b</p>", "date_published": "2024-03-05T14:05:00+08:00",
             "authors": [{"name": "Ann"}, {"name": "Bob"}], "tags": ["m", 3]},
            "nonsense", {"id": "8"}, {"content_text": "only text", "date_modified": "2024-03-05T06:05:00Z"},
        ],
    }), "application/feed+json")  # fmt: skip

    first, last = feed.items
    assert (first.external_id, first.body, first.author, first.categories) == ("7", "a\nb", "Ann", ("m",))
    assert (last.title, last.confidence, last.published_at) == ("only text", Confidence.GUESSED, FIVE_PAST_TWO)
    assert codes(feed) == ["not_an_item", "empty_item"] and feed.problems[1].identity == "8"


@pytest.mark.parametrize(
    ("encoding", "declared", "header"),
    [
        ("gb18030", "GB18030", ""), ("gbk", "gb2312", ""), ("gbk", "", "text/xml; charset=GBK"), ("gbk", "", "text/xml"),
        ("gbk", "utf-8", "text/xml; charset=utf-8"),
        ("big5", "Big5", ""), ("big5", "", ""), ("utf-16", "UTF-16", ""), ("utf-16-le", "UTF-16", ""), ("utf-16-be", "", ""),
        ("utf-8-sig", "UTF-8", ""),
        ("utf-8", "gb2312", ""), ("utf-8", "", "text/xml; charset=iso-8859-1"), ("gbk", "GBK", "text/xml; charset=iso-8859-1"),
        ("gbk", "iso-8859-1", "text/xml; charset=iso-8859-1"),
    ],
)  # fmt: skip
def test_chinese_is_read_in_each_encoding_however_it_is_declared(encoding: str, declared: str, header: str) -> None:
    title = "證券公司的股價在今年大漲" if "big5" in encoding else "证券公司的股价在今年大涨，我们对他的分析"
    prolog = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""

    feed = read(rss(f"<item><title>{title}</title><guid>1</guid></item>", prolog=prolog, head=""), header, encoding)

    assert [item.title for item in feed.items] == [title]


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [("shift_jis", "Shift_JIS"), ("shift_jis", ""), ("euc-jp", "EUC-JP"), ("iso-2022-jp", "ISO-2022-JP")],
)
def test_japanese_is_read(encoding: str, declared: str) -> None:
    prolog = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""

    feed = read(
        rss("<item><title>会社の株価が上がるのを見て、市場はとても驚いた</title></item>", prolog=prolog, head=""),
        "",
        encoding,
    )

    assert feed.items[0].title == "会社の株価が上がるのを見て、市場はとても驚いた"


def test_what_has_no_guid_goes_by_its_link_and_without_one_by_its_content() -> None:
    feed = read(
        rss(
            "<item><title>A</title><link>https://x.example/a</link></item>",
            "<item><title>B</title></item>",
            "<item><title>C</title></item>",
        )
    )

    assert feed.items[0].external_id == "https://x.example/a"
    assert feed.items[1].external_id.startswith("sha256:") and feed.items[1].external_id != feed.items[2].external_id
    assert feed.items[1].external_id == read(rss("<item><title>B</title></item>")).items[0].external_id


def test_a_repeated_and_an_empty_item_are_named() -> None:
    feed = read(rss(ITEM, ITEM, "<item><guid>z</guid><title> </title></item>"))

    assert len(feed.items) == 1
    assert [(problem.code, problem.position, problem.identity) for problem in feed.problems] == [
        ("repeated_item", 1, "a-1"),
        ("empty_item", 2, "z"),
    ]


@pytest.mark.parametrize(
    ("written", "code"),
    [("Thu, 07 Mar 2030 10:00:00 GMT", "date_in_future"), ("nonsense", "date_unreadable"),
    ("Thu, 01 Jan 1970 00:00:00 GMT", "date_too_old"),
     ("2024-03-06T05:30:00Z", "date_in_future")],
)  # fmt: skip
def test_a_date_that_cannot_be_is_none_and_told_never_now(written: str, code: str) -> None:
    feed = read(rss(f"<item><title>A</title><guid>g</guid><pubDate>{written}</pubDate></item>"))

    assert feed.items[0].published_at is None and feed.items[0].confidence == Confidence.NONE
    assert [(problem.code, problem.identity) for problem in feed.problems] == [(code, "g")]


def test_a_clock_half_an_hour_ahead_is_believed() -> None:
    feed = read(rss("<item><title>A</title><pubDate>2024-03-06T04:30:00Z</pubDate></item>"))

    assert feed.items[0].published_at == datetime(2024, 3, 6, 4, 30, tzinfo=UTC) and not feed.problems


def test_broken_xml_gives_what_can_be_read_and_says_where_it_broke() -> None:
    feed = read(rss(ITEM, "<item><title>B & C <b></title><guid>b</item>", ITEM.replace("a-1", "c")))

    assert "a-1" in [item.external_id for item in feed.items] and "c" in [item.external_id for item in feed.items]
    assert "broken_xml" in codes(feed)


def test_an_item_that_is_cut_off_is_left_out() -> None:
    whole = rss(ITEM, ITEM.replace("a-1", "b"))

    feed = read(whole[: whole.index("第二段", whole.index(">b<"))])

    assert [item.external_id for item in feed.items] == ["a-1"]
    assert set(codes(feed)) == {"broken_xml", "cut_item"}


BOMB = '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
BOMB += "<rss><channel><item><title>&b;</title></item></channel></rss>"
OUTSIDE = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss><channel><item><title>&x;</title></item></channel></rss>'


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (BOMB, "document_type"), (OUTSIDE, "document_type"), ("<!DOCTYPE html><html><body>Not found</body></html>", "html"),
        ("<html><head></head></html>", "html"),
        ("", "empty"), ("  \n ", "empty"), ("plain words", "not_a_feed"), ("<urlset></urlset>", "not_a_feed"), ("{}", "not_a_feed"),
        ("[1, 2]", "not_a_feed"),
        ('{"items": [', "broken_json"), ("[" * 100_000, "broken_json"), ("\x00\x01\x02", "empty"),
    ],
)  # fmt: skip
def test_what_is_no_feed_is_refused_by_name(data: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        read(data)

    assert refused.value.code == code and refused.value.message


def test_a_feed_larger_than_anything_worth_reading_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        read(b" " * 20_000_001)

    assert refused.value.code == "too_large"


def test_of_too_many_items_the_first_are_taken_and_the_rest_is_told() -> None:
    feed = read(rss(*(f"<item><guid>{at}</guid><title>t{at}</title></item>" for at in range(MOST_ITEMS + 3))))

    assert len(feed.items) == MOST_ITEMS and feed.items[-1].external_id == str(MOST_ITEMS - 1)
    assert codes(feed) == ["too_many_items"] and "3 items" in feed.problems[0].message


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "http://[broken", "ftp://a/b"])
def test_an_address_that_no_browser_should_open_is_not_kept(link: str) -> None:
    feed = read(rss(f"<item><title>A</title><link>{link}</link></item>"))

    assert feed.items[0].url == ""


def test_deep_nesting_and_endless_text_end() -> None:
    deep = rss("<item><title>A</title><description>" + "<a>" * 50_000 + "</description></item>")
    long = rss("<item><title>A</title><description>" + "&lt;" * 1_700_000 + "</description></item>")

    assert len(read(deep).items) <= 1
    feed = read(long)
    assert len(feed.items[0].body) <= 200_000 and "text_cut" in codes(feed)


@pytest.mark.parametrize(
    "bomb",
    ["<rss>" + "<!DOCTYPE x " * 200_000, "<rss>" + "&" * 2_000_000, "<rss " + "a='1' " * 200_000 + "/>",
     "<rss><channel>" + "<item>" * 300_000,
     rss("<item><title>" + "&lt;!--" * 200_000 + "</title></item>"), rss("<item><title>" + "&lt;b " * 500_000 + "</title></item>")],
    ids=range(6),
)  # fmt: skip
def test_bombs_end(bomb: str) -> None:
    """The work grows with the size: the suite would stand still here if one of them took time in its square."""
    try:
        told = read(bomb).kind
    except Refused as refused:
        told = refused.code
    assert told


def test_bytes_of_chance_are_read_or_refused_by_name_and_nothing_else() -> None:
    chance = random.Random(5)
    good = [
        rss(ITEM, ITEM.replace("a-1", "b")).encode(),
        rss(ITEM).encode("utf-16"),
        b'{"items": [{"id": 1, "title": "x", "date_published": "2024-03-05"}]}',
    ]
    refusals: list[Refused] = []
    for _ in range(300):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randrange(1, 30)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        for given in (bytes(data), chance.randbytes(chance.randrange(400))):
            try:
                feed = read(given)
            except Refused as refused:
                refusals.append(refused)
            else:
                assert all((item.published_at is None) == (item.confidence == Confidence.NONE) for item in feed.items)
                "".join(item.title + item.body + item.external_id for item in feed.items).encode()
    assert refusals and all(refused.code and refused.message for refused in refusals)
