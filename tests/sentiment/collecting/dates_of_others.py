"""Pages with their true dates, written from what sites look like by someone who had not read the code that finds dates.

A shape is a page with a gap; a case fills it. The truth is "" (the page tells none), a day (its local day must agree) or a
time (to the minute, in the zone of the source unless the truth names an offset). All pages are read at NOW.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

NOW = datetime(2025, 11, 12, 7, 20, tzinfo=UTC)  # 15:20 in Shanghai, 02:20 in New York, 07:20 in London, a Wednesday
CN, HK, US, UK, DE = "Asia/Shanghai", "Asia/Hong_Kong", "America/New_York", "Europe/London", "Europe/Berlin"
ZH = "<p>公司公告称,本次交易尚需股东大会审议通过,存在不确定性,敬请广大投资者注意投资风险。</p>" * 3
EN = (
    "<p>The company said the transaction is subject to approval by shareholders and regulators in several markets.</p>"
    * 3
)


@dataclass(frozen=True)
class Case:
    shape: str
    html: str
    truth: str
    zone: str
    url: str


Row = tuple[str, str] | tuple[str, str, str]  # what fills the gap, the truth, and a zone that is not the shape's
SHAPES: dict[str, tuple[str, str, str, list[Row]]] = {}  # name: (page, zone, address, rows)


def shape(name: str, page: str, zone: str, rows: list[Row], url: str = "https://site.test/a/1.html") -> None:
    SHAPES[name] = (page, zone, url, rows)


def cases() -> Iterator[Case]:
    for name, (page, zone, url, rows) in SHAPES.items():
        for gap, truth, *other in rows:
            html = page.replace("{zh}", ZH).replace("{en}", EN).replace("{gap}", gap)
            yield Case(name, html, truth, other[0] if other else zone, url.replace("{gap}", gap))


shape(
    "portal: headline, then a line with date and source (zh)",
    "<html><head><title>某公司发布公告_财经频道</title></head><body><div class='nav'><a>首页</a><a>财经</a></div>"
    "<div class='main'><h1 class='main-title'>某公司发布公告</h1><div class='date-source'><span class='date'>{gap}</span>"
    "<a class='source'>证券报</a></div><div class='article'>{zh}</div></div>"
    "<div class='footer'>Copyright © 1996-2025 版权所有</div></body></html>",
    CN,
    [
        ("2025年11月11日 20:43", "2025-11-11 20:43"),
        ("2025年9月3日 8:05", "2025-09-03 08:05"),
        ("2024-12-31 23:59", "2024-12-31 23:59"),
        ("2025/03/07 14:02:55", "2025-03-07 14:02"),
        ("2025.10.01", "2025-10-01"),
        ("2025年10月29日", "2025-10-29"),
        ("2025年11月11日20:43", "2025-11-11 20:43"),
        ("2025年11月11日 下午3:27", "2025-11-11 15:27"),
    ],
)
shape(
    "portal: one line of date, source, editor, reads (zh)",
    "<body><h1>央行开展逆回购操作</h1><p class='info'>{gap}</p><div id='content'>{zh}</div></body>",
    CN,
    [
        ("2025-11-10 09:31:07 来源:上海证券报 作者:王某 阅读:1204", "2025-11-10 09:31"),
        ("来源:中国证券网 2025-11-10 17:05", "2025-11-10 17:05"),
        ("作者:李四 | 时间:2025-08-19 | 点击:20250101次", "2025-08-19"),
        ("2025年6月5日 07:00 | 来源:经济日报 | 责任编辑:张三", "2025-06-05 07:00"),
        ("字号:大 中 小 发布日期:2025-04-30 来源:办公室", "2025-04-30"),
        ("编辑 赵六 发表于 2025年1月2日 星期四 10:15 来自 浙江", "2025-01-02 10:15"),
        ("财联社11月9日电 记者 某某 2025-11-09 21:18 星期日", "2025-11-09 21:18"),
    ],
)
shape(
    "government notice with index table (zh)",
    "<body><table class='xxgk'><tr><th>索引号</th><td>000014349/2025-00071</td><th>主题分类</th><td>财政、金融</td></tr>"
    "<tr><th>发文机关</th><td>国务院办公厅</td><th>成文日期</th><td>2025年05月08日</td></tr><tr><th>发文字号</th>"
    "<td>国办发〔2025〕12号</td><th>发布日期</th><td>{gap}</td></tr></table><h1>关于印发办法的通知</h1>{zh}"
    "<p style='text-align:right'>国务院办公厅<br>2025年5月8日</p></body>",
    CN,
    [
        ("2025年05月15日", "2025-05-15"),
        ("2025-05-20", "2025-05-20"),
        ("2025年6月1日 10:00", "2025-06-01 10:00"),
        ("二〇二五年五月十六日", "2025-05-16"),
    ],
)
shape(
    "signed announcement, date in Chinese numerals at the end only (zh)",
    "<body><div class='bd'><h2>关于召开临时股东大会的公告</h2>{zh}<p>特此公告。</p><p>某某股份有限公司董事会</p>"
    "<p>{gap}</p></div></body>",
    CN,
    [
        ("二〇二五年十月三十一日", "2025-10-31"),
        ("二○二五年八月二十日", "2025-08-20"),
        ("二零二五年一月十日", "2025-01-10"),
        ("2025年7月4日", "2025-07-04"),
        ("二O二四年十二月二日", "2024-12-02"),
    ],
)
shape(
    "exchange notice: label and date in separate cells (zh)",
    "<body><div class='detail'><div class='title'>关于对某公司股票交易采取监管措施的决定</div><ul class='meta'>"
    "<li><b>证券代码</b><span>600519</span></li><li><b>公告时间</b><span>{gap}</span></li></ul>{zh}</div></body>",
    CN,
    [
        ("2025-10-28 16:45:00", "2025-10-28 16:45"),
        ("2025-10-28", "2025-10-28"),
        ("20251028", "2025-10-28"),
        ("2025/10/28 18:02", "2025-10-28 18:02"),
    ],
)
shape(
    "JSON-LD NewsArticle, modified later (en)",
    '<html><head><script type=\'application/ld+json\'>{"@context":"https://schema.org","@type":"NewsArticle",'
    '"headline":"Profit falls","dateModified":"2025-11-11T22:00:00Z","datePublished":"{gap}","publisher":'
    '{"@type":"Organization","name":"Site","foundingDate":"1999-01-01"}}</script></head><body><h1>Profit falls</h1>{en}</body></html>',
    US,
    [
        ("2025-11-07T13:05:00Z", "2025-11-07 13:05+00:00"),
        ("2025-11-07T08:05:00-05:00", "2025-11-07 08:05"),
        ("2025-11-07T08:05:00.123+0000", "2025-11-07 08:05+00:00"),
        ("2025-11-07T08:05", "2025-11-07 08:05"),
        ("2025-11-07", "2025-11-07"),
        ("2025-11-07 08:05:33 -0500", "2025-11-07 08:05"),
        ("Fri, 07 Nov 2025 13:05:00 GMT", "2025-11-07 13:05+00:00"),
        ("20251107T130500Z", "2025-11-07 13:05+00:00"),
    ],
)
shape(
    "JSON-LD graph with web page, organisation and other articles (en)",
    '<html><head><script type="application/ld+json">{"@context":"https://schema.org","@graph":[{"@type":"WebSite",'
    '"name":"S"},{"@type":"ItemList","itemListElement":[{"@type":"NewsArticle","datePublished":"2025-11-01T10:00:00Z"}]},'
    '{"@type":["Article","BlogPosting"],"@id":"#a","headline":"H","datePublished":"{gap}"},{"@type":"Person","name":"A"}]}'
    "</script></head><body><article><h1>H</h1>{en}</article></body></html>",
    UK,
    [
        ("2025-09-15T06:30:00+01:00", "2025-09-15 05:30+00:00"),
        ("2025-09-15T06:30:00+00:00", "2025-09-15 06:30+00:00"),
        ("2025-09-15", "2025-09-15"),
    ],
)
shape(
    "JSON-LD with a broken neighbour (en)",
    '<html><head><script type="application/ld+json">{"@type":"BreadcrumbList",,}</script>'
    '<script type="application/ld+json">\n/*<![CDATA[*/[{"@type":"ReportageNewsArticle","datePublished":"{gap}"}]/*]]>*/\n</script>'
    "</head><body><h1>Strike at the port</h1>{en}</body></html>",
    UK,
    [("2025-10-02T19:00:00+01:00", "2025-10-02 18:00+00:00"), ("2025-10-02T19:00:00Z", "2025-10-02 19:00+00:00")],
)
shape(
    "Open Graph times, updated beside (en)",
    "<html><head><meta property='og:updated_time' content='2025-11-12T01:00:00+00:00'>"
    "<meta property='article:modified_time' content='2025-11-12T01:00:00+00:00'>"
    "<meta property='article:published_time' content='{gap}'></head><body><h1>Rates held</h1>{en}</body></html>",
    UK,
    [
        ("2025-11-06T12:00:00+00:00", "2025-11-06 12:00+00:00"),
        ("2025-11-06T12:00:00.000Z", "2025-11-06 12:00+00:00"),
        ("2025-11-06 12:00", "2025-11-06 12:00"),
        ("2025-06-06T12:00:00", "2025-06-06 11:00+00:00"),
        ("1762430400", "2025-11-06 12:00+00:00"),
        ("1762430400000", "2025-11-06 12:00+00:00"),
    ],
)
shape(
    "meta name of the trade: pubdate, dc, parsely, sailthru (en)",
    "<html><head><meta charset='utf-8'>{gap}</head><body><h1>Chip maker warns</h1>{en}</body></html>",
    US,
    [
        ('<meta name="pubdate" content="2025-08-14T09:00:00-04:00">', "2025-08-14 09:00"),
        ('<meta name="DC.date.issued" content="2025-08-14">', "2025-08-14"),
        ('<meta name="parsely-pub-date" content="2025-08-14T13:00:00Z">', "2025-08-14 09:00"),
        ('<meta name="sailthru.date" content="2025-08-14 09:00:00">', "2025-08-14 09:00"),
        ('<meta itemprop="datePublished" content="2025-08-14T09:00:00-0400">', "2025-08-14 09:00"),
        ('<meta name="citation_publication_date" content="2025/08/14">', "2025-08-14"),
        ('<meta name="cXenseParse:recs:publishtime" content="2025-08-14T13:00:00Z">', "2025-08-14 09:00"),
        ('<meta name="date" content="Thu Aug 14 2025 09:00:00 GMT-0400 (EDT)">', "2025-08-14 09:00"),
        ('<meta name="article.published" content="2025-08-14T13:00:00Z">', "2025-08-14 09:00"),
        ('<meta http-equiv="last-modified" content="Thu, 14 Aug 2025 13:00:00 GMT">', "2025-08-14 09:00"),
    ],
)
shape(
    "meta of Chinese sites (zh)",
    "<html><head><meta charset='utf-8'>{gap}</head><body><h1>沪指收涨</h1>{zh}</body></html>",
    CN,
    [
        ('<meta name="PubDate" content="2025-10-09 15:03">', "2025-10-09 15:03"),
        ('<meta name="publishdate" content="2025-10-09">', "2025-10-09"),
        ('<meta property="bytedance:published_time" content="2025-10-09T15:03:00+08:00">', "2025-10-09 15:03"),
        ('<meta name="weibo: article:create_at" content="2025-10-09 15:03:10">', "2025-10-09 15:03"),
        ('<meta property="og:release_date" content="2025年10月9日 15:03">', "2025-10-09 15:03"),
        ('<meta name="_pubtime" content="2025-10-09 15:03:10"/>', "2025-10-09 15:03"),
    ],
)
shape(
    "time tag in a WordPress header, updated hidden (en)",
    '<body class="single"><article><header><h1 class="entry-title">Notes</h1><span class="posted-on"><time '
    'class="entry-date published" datetime="{gap}">shown</time><time class="updated" '
    'datetime="2025-11-10T10:00:00+00:00">November 10, 2025</time></span></header>{en}</article>'
    '<aside><h2>Recent</h2><ul><li>Other <time datetime="2025-11-11">Nov 11</time></li></ul></aside></body>',
    UK,
    [
        ("2025-02-03T08:15:00+00:00", "2025-02-03 08:15"),
        ("2025-02-03", "2025-02-03"),
        ("2025-02-03T08:15", "2025-02-03 08:15"),
        ("2025-02-03 08:15:59", "2025-02-03 08:15"),
    ],
)
shape(
    "time tag without attribute (en)",
    "<body><main><h1>Outage report</h1><p>By Ann Lee</p><time>{gap}</time>{en}</main></body>",
    US,
    [
        ("March 5, 2025", "2025-03-05"),
        ("5 March 2025, 10:20", "2025-03-05 10:20"),
        ("Mar. 5, 2025 at 6:45 p.m. ET", "2025-03-05 18:45"),
        ("Wed, Mar 5, 2025, 6:45 PM EST", "2025-03-05 18:45"),
        ("3/5/2025", "2025-03-05"),
        ("Sept. 9, 2025", "2025-09-09"),
        ("12:05 AM, September 9, 2025", "2025-09-09 00:05"),
        ("September 9th, 2025 12:30pm", "2025-09-09 12:30"),
    ],
)
shape(
    "byline (en)",
    "<body><article><h1>Bank to cut 400 jobs</h1><div class='byline'>{gap}</div>{en}</article>"
    "<footer>&copy; 2025 Site Inc.</footer></body>",
    US,
    [
        ("By Jane Roe | October 21, 2025", "2025-10-21"),
        ("By Jane Roe, Reuters • 21 Oct 2025 07:12 GMT", "2025-10-21 07:12+00:00"),
        ("Published Tue, Oct 21 2025 3:12 AM EDT", "2025-10-21 03:12"),
        ("Jane Roe / Oct 21, 2025 / 4 min read", "2025-10-21"),
        ("Posted on October 21st, 2025 by Jane", "2025-10-21"),
        ("Updated Nov. 1, 2025 8:00 am ET; published Oct. 21, 2025 7:30 am ET", "2025-10-21 07:30"),
        ("Published: 21 October 2025 | Updated: 22 October 2025", "2025-10-21"),
        ("First published on Tue 21 Oct 2025 09.12 BST", "2025-10-21 08:12+00:00"),
        ("OCT 21, 2025, 10:00 PT", "2025-10-21 17:00+00:00"),
        ("Jane Roe, 2025-10-21", "2025-10-21"),
    ],
)
shape(
    "published and updated in spans (en)",
    '<body><h1>Recall widens</h1><div class="meta"><span>Last updated: 11 November 2025, 16:00</span> '
    "<span>{gap}</span></div>{en}</body>",
    UK,
    [
        ("Published: 9 November 2025, 11:40", "2025-11-09 11:40"),
        ("Published at 9 Nov 2025 11:40 UTC", "2025-11-09 11:40"),
        ("Posted: Sunday, 9 November 2025", "2025-11-09"),
        ("Date: 09/11/2025", "2025-11-09"),
    ],
)
shape(
    "published and updated in spans (zh)",
    '<body><h1>召回范围扩大</h1><div class="meta"><span>更新时间:2025-11-11 16:00</span><span>{gap}</span></div>{zh}</body>',
    CN,
    [
        ("发布时间:2025-11-09 11:40", "2025-11-09 11:40"),
        ("发布于 2025年11月9日 11时40分", "2025-11-09 11:40"),
        ("首次发表:2025/11/9 11:40", "2025-11-09 11:40"),
        ("发稿时间:2025-11-09 11:40:00", "2025-11-09 11:40"),
        ("创建时间:2025-11-09", "2025-11-09"),
    ],
)
shape(
    "relative times (zh)",
    "<body><div class='card'><h1>网友热议新品</h1><div class='author'><a>小王</a><span class='time'>{gap}</span></div>{zh}</div></body>",
    CN,
    [
        ("3小时前", "2025-11-12 12:20"),
        ("25分钟前", "2025-11-12 14:55"),
        ("刚刚", "2025-11-12 15:20"),
        ("昨天 08:30", "2025-11-11 08:30"),
        ("今天 09:05", "2025-11-12 09:05"),
        ("前天 23:10", "2025-11-10 23:10"),
        ("3天前", "2025-11-09"),
        ("11-08 19:22", "2025-11-08 19:22"),
        ("12-30", "2024-12-30"),
        ("半小时前", "2025-11-12 14:50"),
        ("1 周前", "2025-11-05"),
        ("昨日", "2025-11-11"),
        ("11月8日 19:22 来自 手机网页版", "2025-11-08 19:22"),
    ],
)
shape(
    "relative times (en)",
    "<body><article><h1>Users report outage</h1><span class='timestamp'>{gap}</span>{en}</article></body>",
    US,
    [
        ("2 hours ago", "2025-11-12 05:20+00:00"),
        ("45 mins ago", "2025-11-12 06:35+00:00"),
        ("an hour ago", "2025-11-12 06:20+00:00"),
        ("Yesterday at 6:15 PM", "2025-11-11 18:15"),
        ("3 days ago", "2025-11-09"),
        ("just now", "2025-11-12 07:20+00:00"),
        ("5h ago", "2025-11-12 02:20+00:00"),
        ("Nov 9", "2025-11-09"),
        ("Today, 1:05 AM", "2025-11-12 01:05"),
        ("last week", ""),
    ],
)
shape(
    "relative text with the full date in title (en)",
    '<body><h1>Thread: is it down?</h1><div class="post"><a href="/u/1">max</a> <span class="age" title="{gap}">'
    "2 days ago</span>{en}</div></body>",
    UK,
    [
        ("2025-11-10T09:21:44", "2025-11-10 09:21"),
        ("2025-11-10 09:21:44Z", "2025-11-10 09:21"),
        ("10 November 2025 09:21", "2025-11-10 09:21"),
        ("Mon, Nov 10, 2025 at 9:21 AM", "2025-11-10 09:21"),
    ],
)
shape(
    "forum post with replies below (zh)",
    "<body><h1>大家怎么看这次减持</h1><div class='post' id='p1'><div class='auth'>楼主 <em>发表于 {gap}</em></div>"
    "<div class='t'>{zh}</div></div><div class='post reply'><em>发表于 2025-11-11 10:00</em><p>回复:支持。</p></div>"
    "<div class='post reply'><em>发表于 2025-11-12 10:00</em><p>不看好。</p></div></body>",
    CN,
    [
        ("2025-11-10 22:08:31", "2025-11-10 22:08"),
        ("2025-9-1 07:08", "2025-09-01 07:08"),
        ("前天 22:08", "2025-11-10 22:08"),
        ("25-11-10 22:08", "2025-11-10 22:08"),
    ],
)
shape(
    "forum post with replies below (en)",
    "<body><h1>Dividend cut?</h1><div class='message'><div class='hd'>Joined: 12 May 2014</div><div class='when'>{gap}</div>{en}</div>"
    "<div class='message comment'><div class='when'>11 Nov 2025, 10:00</div><p>Agreed, it was overdue.</p></div></body>",
    UK,
    [
        ("10 Nov 2025, 21:14", "2025-11-10 21:14"),
        ("Posted: Mon Nov 10, 2025 9:14 pm", "2025-11-10 21:14"),
        ("10/11/25 21:14", "2025-11-10 21:14"),
        ("10-11-2025, 09:14 PM", "2025-11-10 21:14"),
    ],
)
shape(
    "side column and related list carry other dates (zh)",
    "<body><div class='left'><h1>新能源车销量公布</h1><div class='time'>{gap}</div><div class='txt'>{zh}</div></div>"
    "<div class='right sidebar'><h3>热门文章</h3><ul><li>2025-11-12 08:00 早报</li><li>2025-11-11 08:00 晚报</li></ul></div>"
    "<div class='related'><h3>相关阅读</h3><p>2025年11月12日 同比增长</p></div></body>",
    CN,
    [
        ("2025-10-10 10:10", "2025-10-10 10:10"),
        ("10月10日 10:10", "2025-10-10 10:10"),
        ("2025年10月10日 10:10:10", "2025-10-10 10:10"),
        ("时间:2025-10-10", "2025-10-10"),
    ],
)
shape(
    "side column before the article (en)",
    "<body><div id='sidebar'><h3>Latest</h3><ul><li><time datetime='2025-11-12T05:00:00Z'>5:00</time> Markets open</li></ul></div>"
    "<div id='main'><h1>Fine for retailer</h1><p class='dateline'>{gap}</p>{en}</div></body>",
    UK,
    [
        ("4 August 2025", "2025-08-04"),
        ("Monday 4 August 2025 18:22 BST", "2025-08-04 17:22+00:00"),
        ("04 Aug 2025 | 6:22pm", "2025-08-04 18:22"),
    ],
)
shape(
    "the date only in the address (en)",
    "<body><h1>Opinion: the long view</h1>{en}</body>",
    US,
    [
        ("2025/06/17", "2025-06-17"),
        ("2025-06-17", "2025-06-17"),
        ("20250617", "2025-06-17"),
        ("2025/jun/17", "2025-06-17"),
    ],
    "https://site.test/business/{gap}/the-long-view",
)
shape(
    "the date only in the address (zh)",
    "<body><h1>评论:长期视角</h1>{zh}</body>",
    CN,
    [
        ("2025-06/17/c_1129", "2025-06-17"),
        ("2025/0617/c1004-40", "2025-06-17"),
        ("202506/t20250617_12345", "2025-06-17"),
    ],
    "https://site.test/{gap}.html",
)
shape(
    "no date at all (en)",
    "<body><h1>About the fund</h1><p>{gap}</p>{en}<footer>© 2009-2025 Fund Ltd. All rights reserved.</footer></body>",
    UK,
    [
        ("We serve 2,025 clients in 11 countries.", ""),
        ("Founded in 1998, the fund grew to 12.5 billion by 2024.", ""),
        ("Call 020-2025-1112 from 9:00 to 17:00.", ""),
        ("Version 2025.11 of the prospectus, code 20251340.", ""),
        ("The board meets on 3 December 2024 and again in spring to hear what clients of the fund have to say.", ""),
    ],
)
shape(
    "no date at all (zh)",
    "<body><h1>公司简介</h1><p>{gap}</p>{zh}<div class='foot'>版权所有 © 2003-2025 京ICP备20250101号-1</div></body>",
    CN,
    [
        ("公司成立于1998年,注册资本12亿元,员工2025人。", ""),
        ("服务热线:400-2025-1112,工作时间 9:00-18:00。", ""),
        ("公司将于2019年12月3日登陆科创板,此后三年营业收入年均增长百分之十二,服务客户遍及全国各地。", ""),
    ],
)
shape(
    "dates in the future are not believed (en, zh)",
    "<html><head>{gap}</head><body><h1>Conference 会议</h1>{en}</body></html>",
    CN,
    [
        ('<meta property="article:published_time" content="2031-01-01T00:00:00+08:00">', ""),
        ('<script type="application/ld+json">{"@type":"Event","startDate":"2025-12-05T09:00:00+08:00"}</script>', ""),
        ('<meta name="expires" content="2025-12-31">', ""),
        ('<script type="application/ld+json">{"@type":"Article","datePublished":"2099-01-01"}</script>', ""),
    ],
)
shape(
    "press release with dateline (en)",
    "<body><h1>Acme Corp. Announces Third Quarter Results</h1><p>{gap} Acme Corp. today announced results for the "
    "quarter ended September 30, 2025, compared with June 30, 2025.</p>{en}</body>",
    US,
    [
        ("NEW YORK, Oct. 30, 2025 /PRNewswire/ --", "2025-10-30"),
        ("LONDON--(BUSINESS WIRE)--October 30, 2025--", "2025-10-30"),
        ("AUSTIN, Texas, October 30, 2025 (GLOBE NEWSWIRE) --", "2025-10-30"),
        ("Palo Alto, Calif. – Oct 30, 2025 –", "2025-10-30"),
    ],
)
shape(
    "agency dateline without a year (zh)",
    "<body><h1>统计局公布数据</h1><p>{gap}国家统计局公布的数据显示,工业生产者价格同比下降。</p>{zh}</body>",
    CN,
    [
        ("新华社北京11月9日电(记者 某某)", "2025-11-09"),
        ("中新网上海12月20日电 ", "2024-12-20"),
        ("【某某网讯】10月27日,", "2025-10-27"),
        ("本报北京9月30日讯 ", "2025-09-30"),
    ],
)
shape(
    "state in a script (zh, en)",
    "<html><body><div id='app'><h1>要闻</h1>{zh}</div><script>{gap}</script></body></html>",
    CN,
    [
        (
            'window.__INITIAL_STATE__={"article":{"id":7,"publishTime":"2025-11-03 18:00:00","title":"要闻"}}',
            "2025-11-03 18:00",
        ),
        ("var publishDate = '2025-11-03 18:00';", "2025-11-03 18:00"),
        ('window.DATA={"ctime":1762164000,"title":"要闻"}', "2025-11-03 18:00"),
        ('var ct = "1762164000";', "2025-11-03 18:00"),
        ('{"props":{"pageProps":{"post":{"publishedAt":"2025-11-03T10:00:00.000Z"}}}}', "2025-11-03 18:00"),
    ],
)
shape(
    "microdata (en)",
    '<body><div itemscope itemtype="https://schema.org/NewsArticle"><h1 itemprop="headline">Merger</h1>{gap}'
    '<div itemprop="articleBody">{en}</div></div></body>',
    UK,
    [
        ('<span itemprop="datePublished" content="2025-07-01T05:00:00Z">yesterday</span>', "2025-07-01 05:00+00:00"),
        ('<time itemprop="datePublished" datetime="2025-07-01T06:00+01:00">1 Jul</time>', "2025-07-01 05:00+00:00"),
        ('<span itemprop="datePublished">1 July 2025</span>', "2025-07-01"),
        (
            '<time itemprop="dateModified" datetime="2025-07-09">9 Jul</time>'
            '<time itemprop="datePublished" datetime="2025-07-01">1 Jul</time>',
            "2025-07-01",
        ),
    ],
)
shape(
    "day first and month first by the source's zone (en)",
    "<body><h1>Quarterly letter</h1><div class='post-date'>{gap}</div>{en}</body>",
    UK,
    [
        ("05/03/2025", "2025-03-05"),
        ("05/03/2025", "2025-05-03", US),
        ("25/03/2025", "2025-03-25", US),
        ("03/25/2025", "2025-03-25", UK),
        ("05.03.2025", "2025-03-05", DE),
        ("05.03.2025, 14:30 Uhr", "2025-03-05 14:30", DE),
        ("5-Mar-2025", "2025-03-05"),
        ("05/03/25", "2025-03-05"),
        ("2025-03-05 10.30", "2025-03-05 10:30"),
    ],
)
shape(
    "traditional characters (zh)",
    "<body><article><h1>恒指收市報告</h1><div class='news-date'>{gap}</div>"
    "<p>恒生指數今日高開低走,成交額較前日減少,市場觀望氣氛濃厚。</p>{zh}</article></body>",
    HK,
    [
        ("2025年11月11日 下午 04:32", "2025-11-11 16:32"),
        ("發佈時間: 2025/11/11 16:32", "2025-11-11 16:32"),
        ("刊登: 2025.11.11 16:32  更新: 2025.11.11 18:00", "2025-11-11 16:32"),
        ("11月11日(二)16:32", "2025-11-11 16:32"),
        ("民國114年11月11日", "2025-11-11", "Asia/Taipei"),
        ("2小時前", "2025-11-12 13:20"),
        ("上午 12:15 2025/11/11", "2025-11-11 00:15"),
    ],
)
shape(
    "list of comments with times, article's own in a strip (zh)",
    "<body><div class='head'><h1>旗舰手机评测</h1><div class='strip'><i>{gap}</i><i>评论 35</i></div></div>{zh}"
    "<div id='comments'><div class='cmt'>小李 2025-11-12 13:00 好用</div><div class='cmt'>小张 2小时前 不错</div></div></body>",
    CN,
    [
        ("2025-10-15 11:11", "2025-10-15 11:11"),
        ("2025年10月15日 11点11分", "2025-10-15 11:11"),
        ("10-15 11:11", "2025-10-15 11:11"),
        ("2025-10-15 周三", "2025-10-15"),
    ],
)
shape(
    "investor relations table (en)",
    "<body><h1>Form 8-K</h1><table><tr><td>Filing Date</td><td>{gap}</td></tr><tr><td>Period of Report</td>"
    "<td>2025-09-30</td></tr></table>{en}</body>",
    US,
    [("2025-10-31", "2025-10-31"), ("Oct 31, 2025 4:05 PM", "2025-10-31 16:05"), ("10/31/2025", "2025-10-31")],
)
shape(
    "official account article: the time is set by a script (zh)",
    "<body><h1 class='rich_media_title'>本周观察</h1><div id='meta'><a>某公众号</a><em id='publish_time'></em></div>"
    "<div id='js_content'>{zh}</div><script>{gap}</script></body>",
    CN,
    [
        (
            "var createTime = '2025-10-20 08:00'; document.getElementById('publish_time').innerText = createTime;",
            "2025-10-20 08:00",
        ),
        ('var oriCreateTime = "1760918400"; var now = "1762932000";', "2025-10-20 08:00"),
    ],
)
shape(
    "data attributes (en)",
    "<body><article><h1>Court ruling</h1><div {gap}></div>{en}</article></body>",
    UK,
    [
        ('class="date" data-datetime="2025-05-06T07:08:00Z"', "2025-05-06 08:08"),
        ('class="timestamp" data-timestamp="1746515280"', "2025-05-06 08:08"),
        ('data-seconds="1746515280" class="publish-time"', "2025-05-06 08:08"),
    ],
)
