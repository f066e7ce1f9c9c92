"""Dates that pages declare for machines, in the spellings that sites use; all pages are read on 20 June 2024, 10:00 UTC."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from apps.sentiment.collecting.dates import find_date

NOW = datetime(2024, 6, 20, 10, 0, tzinfo=UTC)
HEAD = "<title>Ferry to the islands sails again | The Quay</title>"
BODY = (
    "<h1>Ferry to the islands sails again</h1><p>The ferry left on time and carried forty cars and their drivers.</p>"
    "<div id='secondary'><h3>Recent posts</h3><ul><li><a href='/x'>Harbour wall</a>"
    " <time datetime='2024-06-18'>18 June</time></li></ul></div>"
)
LD = "<script type='application/ld+json'>"
T = "2024-06-12T08:15:00+01:00"

JSON_LD = {
    "one of several in a list": LD + '[{"@type":"NewsArticle","headline":"Fog over the bay","url":"/fog","datePublished":"2024-06-19"},'
    '{"@type":"NewsArticle","headline":"Ferry to the islands sails again","datePublished":"{t}"}]</script>',
    "one of several scripts": LD + '{"@type":"WebSite","name":"The Quay","dateCreated":"2009-01-01"}</script>'
    + LD + '{"@type":"NewsArticle","headline":"Fog over the bay","url":"https://quay.test/fog","datePublished":"2024-06-19"}</script>'
    + LD + '{"@type":"Article","datePublished":"{t}"}</script>',
    "part of a collection": LD + '{"@type":"CollectionPage","hasPart":[{"@type":"Article","url":"https://quay.test/fog",'
    '"datePublished":"2024-06-19"},{"@type":"Article","headline":"Ferry to the islands sails again","datePublished":"{t}"}]}</script>',
    "names with a prefix": LD + '{"@type":"schema:NewsArticle","schema:datePublished":{"@type":"Date","@value":"{t}"}}</script>',
    "names as addresses": LD + '{"@type":["http://schema.org/Article"],"http://schema.org/datePublished":["{t}"]}</script>',
    "comments and events within": LD + '{"@type":"BlogPosting","comment":[{"@type":"Comment","datePublished":"2024-06-19"}],'
    '"about":{"@type":"Event","startDate":"2024-06-01"},"datePublished":"{t}"}</script>',
    "live blog": LD + '{"@type":"LiveBlogPosting","liveBlogUpdate":[{"@type":"BlogPosting","datePublished":"2024-06-19"}],'
    '"datePublished":"{t}"}</script>',
    "objects one after the other": LD + '{"@type":"Organization","name":"Q"}\n{"@type":"Article","datePublished":"{t}"};</script>',
    "cut off": LD + '{"@type":"NewsArticle","headline":"Ferry to the islands sails again",'
    '"datePublished":"{t}","articleBody":"The ferry</script>',
    "broken, others first": LD + '{"itemListElement":[{"headline":"Fog over the bay","datePublished":"2024-06-19"}],}{"headline":'
    '"Ferry to the islands sails again","datePublished":"{t}",,}</script>',
    "single quotes": LD + "{'@type':'NewsArticle','datePublished':'{t}'}</script>",
    "escaped": LD + "{&quot;@type&quot;:&quot;Article&quot;,&quot;datePublished&quot;:&quot;{t}&quot;}</script>",
    "in a comment of CSS": LD + '/*<![CDATA[*/{"@type":"Article","datePublished":"{t}"}/*]]>*/</script>',
    "seconds": LD + '{"@type":"Article","datePublished":1718176500}</script>',
    "question and answer": LD + '{"@type":"QAPage","mainEntity":{"@type":"Question","name":"Ferry to the islands sails again",'
    '"dateCreated":"{t}",'
    '"acceptedAnswer":{"@type":"Answer","dateCreated":"2024-06-15"}}}</script>',
}  # fmt: skip
META = [
    "DC.date.published", "DCTERMS.issued", "dcterms.created", "article:published", "article.published", "og:article:published_time",
    "article_publication_date", "DCSext.articleFirstPublished", "iso-8601-publish-date", "cXenseParse:recs:publishtime", "publish-date",
    "publishedDate", "firstPublishedAt", "parsely-pub-date", "sailthru.date", "rnews:datePublished", "shareaholic:article_published_time",
    "bt:pubDate", "weibo: article:create_at", "bytedance:published_time", "Pub_Date", "article.post_date", "citation_online_date",
    "DC.issued",
]  # fmt: skip
ELEMENTS = {
    "seconds in an attribute of a box": "<div class='meta' data-publish-ts='1718176500' data-update-ts='1718300000'>news</div>",
    "milliseconds of <time>": "<time data-utc='1718176500000'>…</time>",
    "seconds beside a shown day": "<div class='date' data-seconds='1718176500' data-datetime='12 June 2024'>12 June 2024</div>",
    "title of an hAtom abbreviation": "<abbr class='published' title='{t}'>8:15</abbr>",
    "never updated": "<time class='entry-date published updated' datetime='{t}'>12 June</time>",
    "hEntry": "<time class='dt-updated' datetime='2024-06-14T08:00:00Z'>x</time><time class='dt-published' datetime='{t}'>y</time>",
    "title of a month": "<a href='#1'><span class='rel' title='{t}'>Jun '24</span></a>",
    "RDFa of Drupal": "<span property='dc:date dc:created' content='{t}' datatype='xsd:dateTime'>Wed</span>",
    "RDFa with schema": "<span property='schema:dateModified' content='2024-06-14'></span>"
    "<span property='schema:datePublished' content='{t}'></span>",
    "RDFa of terms": "<span property='dcterms:issued' content='{t}'>12 June</span>",
    "comments are others'": "<div itemscope itemtype='https://schema.org/Comment'>"
    "<meta itemprop='datePublished' content='2024-06-01'></div>"
    "<meta itemprop='datePublished' content='{t}'>",
    "an event within": "<time itemprop='startDate' datetime='2024-06-02'>2 June</time><time datetime='{t}'>y</time>",
    "a time within the text": "<p>Since <time datetime='2005-08-29'>29 August 2005</time>, "
    "the ferry had lain in the old dock.</p><time datetime='{t}'>y</time>",
    "an event's label": "<p>Event: <time datetime='2024-06-01'>1 June</time></p><p>Posted <time datetime='{t}'>12 June</time></p>",
    "pubdate": "<time datetime='2024-06-01'>x</time><time pubdate datetime='{t}'>12 June</time>",
}  # fmt: skip
SCRIPTS = {
    "state, others first": 'window.__INITIAL_STATE__={"recommendList":[{"title":"Fog over the bay","publishTime":1718700000000},'
    '{"title":"Wall","publishTime":1718700000000}],"detail":{"title":"Ferry to the islands sails again","publishTime":1718176500000}};',
    "state, others told by their titles": 'var s={"items":[{"headline":"Fog over the bay","pubDate":"2024-06-18"},{"headline":'
    '"Ferry to the islands sails again","pubDate":"{t}"}]};',
    "state with an address": 'var s={"list":[{"url":"/fog","published_at":"2024-06-18"},{"url":"/a/ferry","published_at":"{t}"}]};',
    "layer of data": 'dataLayer.push({"event":"view","publish_date":"{t}","modified_date":"2024-06-15T08:00:00Z"});',
    "tag data": 'var utag_data={"page_type":"article","article_publication_date":"{t}"};',
    "escaped JSON": 'self.__next_f.push([1,"{\\"article\\":{\\"datePublished\\":\\"{t}\\"}}"]);',
    "WeChat": 'var svr_time = "1718870000"; var ct = "1718176500"; var msg_title = "Ferry to the islands sails again";',
    "a function around": "var createTime = new Date('{t}');",
    "seconds in a call": "window.page = {create_time: parseInt('1718176500') * 1};",
}  # fmt: skip


def found(head: str, body: str = "", url: str = "https://quay.test/a/ferry") -> datetime | None:
    page = f"<html><head>{HEAD}{head.replace('{t}', T)}</head><body>{BODY.replace('</h1>', '</h1>' + body.replace('{t}', T))}</body></html>"
    moment = find_date(page, url=url, now=NOW, zone=ZoneInfo("UTC")).published
    return moment.at if moment else None


@pytest.mark.parametrize("shape", JSON_LD)
def test_the_pages_own_article_is_found_in_json_ld(shape):
    assert found(JSON_LD[shape]) == datetime.fromisoformat(T)


@pytest.mark.parametrize("name", META)
def test_meta_tags_are_read_however_they_are_spelt(name):
    assert found(f"<meta name='{name}' content='{T}'>") == datetime.fromisoformat(T)
    assert found(f"<meta property='{name.upper()}' content='{T}'>") == datetime.fromisoformat(T)


@pytest.mark.parametrize("shape", ELEMENTS)
def test_dates_in_elements_and_attributes_are_found(shape):
    assert found("", ELEMENTS[shape]) == datetime.fromisoformat(T)


@pytest.mark.parametrize("shape", SCRIPTS)
def test_the_pages_own_record_is_found_in_scripts(shape):
    assert found("", f"<script>{SCRIPTS[shape]}</script>") == datetime.fromisoformat(T)


@pytest.mark.parametrize(
    "head",
    [
        LD + '{"@type":"Organization","name":"The Quay","foundingDate":"1889-10-02"}</script>',
        LD + '{"@type":"ItemList","itemListElement":[{"@type":"NewsArticle","headline":"Fog","datePublished":"2024-06-19"}]}</script>',
        LD + '{"@type":"WebSite","dateCreated":"2009-03-01","dateModified":"2010-01-01"}</script>',
        LD + '{"@type":"Event","name":"Boat show","startDate":"2024-05-01","datePublished":"2024-04-01"}</script>',
        '<script>var state={"related":[{"title":"Fog over the bay","publishTime":"2024-06-18"}]};</script>',
        '<script>var state={"a":{"title":"Fog over the bay","publishTime":"2024-06-18"}};</script>',
        "<meta name='expires' content='2024-06-01'><meta name='event:start_date' content='2024-06-01'>",
        "<meta name='article:publisher' content='https://social.test/20240601'>"
        "<meta property='article:published_time' content='2023-02-30'>",
    ],
)  # fmt: skip
def test_what_is_not_the_pages_own_is_no_date(head):
    assert found(head) is None


@pytest.mark.parametrize(
    ("written", "day"), [("2024-W24-3", "2024-06-12"), ("2024-164", "2024-06-12"), ("20240612", "2024-06-12"),
    ("2024-164T07:15:00Z", "2024-06-12")]
)  # fmt: skip
def test_days_of_iso_8601_are_read_in_all_its_forms(written, day):
    at = found(f"<meta property='article:published_time' content='{written}'>")

    assert at is not None and at.date().isoformat() == day


def test_the_clock_of_the_server_is_no_publication_where_the_page_shows_one():
    now = "<meta name='pubdate' content='2024-06-20T09:59:30Z'>"

    assert found(now, "<p>Published: 3 May 2024, 14:05 UTC</p>") == datetime(2024, 5, 3, 14, 5, tzinfo=UTC)
    assert found(now) == datetime(2024, 6, 20, 9, 59, 30, tzinfo=UTC)


def test_what_address_and_readers_see_outvotes_one_declaration():
    told = "<meta property='article:published_time' content='2023-09-01T00:10:00Z'>"

    at = found(told, "<p class='byline'>By Ann | May 3, 2019</p>", url="https://quay.test/2019/05/03/ferry")

    assert at == datetime(2019, 5, 3, tzinfo=UTC)


def test_a_clock_beside_the_headline_completes_a_declared_day():
    day = "<meta name='pubdate' content='2024-06-12'>"

    assert found(day, "<p class='time'>14:05 GMT</p>") == datetime(2024, 6, 12, 14, 5, tzinfo=UTC)
    assert found(day, "<p class='video-time'>14:05</p>") == datetime(2024, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "<script>" + "publishTime:" * 170_000, "<script>" + '{"publishTime":"2024-01-01"},' * 40_000,
        "<script>" + "article_article.title='" * 90_000, LD + '"headline":"' * 170_000, LD + '{"a":[' * 330_000,
        LD + ",        " * 220_000,
        "<h3>Related</h3><p>a</p>" * 20_000, "<p>05</p>" * 40_000, "<b>Related</b>" * 20_000,
        "<p " + "data-time='1718176500' " * 20_000 + ">x",
        "<p>" + "<time datetime='2024-01-01'>a</time> b " * 5_000, "<li><h3><a>x</a></h3><time>1</time></li>" * 10_000,
        "<p>" + "1 hour " * 100_000, "<p>" + "2024 - " * 280_000,
    ],
    ids=range(14),
)  # fmt: skip
def test_pages_that_are_made_to_take_long_end(text):
    moment = find_date("<html><h1>Ferry</h1>" + text, now=NOW, zone=ZoneInfo("UTC")).published

    assert moment is None or moment.at <= NOW
