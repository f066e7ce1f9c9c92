"""Dates that readers see, as sites of many countries write them; all pages are read on 20 June 2024, 10:00 UTC.

A truth is a day, a time in the zone of the reading (UTC unless said), or a time with its offset.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from apps.sentiment.collecting.dates import find_date
from apps.sentiment.collecting.items import Confidence
from apps.sentiment.collecting.moments import read_moment

NOW = datetime(2024, 6, 20, 10, 0, tzinfo=UTC)
ENGLISH = (
    "<html lang='{lang}'><head><title>Ferry to the islands sails again | The Quay</title></head><body><div class='util-bar'>"
    "<span>Today: Thursday, 20 June 2024</span></div><div><h1>Ferry to the islands sails again</h1>{shown}<p>The ferry left on time "
    "and carried forty cars and their drivers.</p>{end}</div><div id='more'><h3>More from The Quay</h3><ul><li><a href='/f'>Fog</a>"
    "<small>May 30, 2024</small></li></ul></div><footer>© 2024 The Quay</footer></body></html>"
)
CHINESE = (
    "<html lang='{lang}'><head><title>渡轮恢复通航_码头网</title></head><body><table><tr><td><div><b class='tit'>渡轮恢复通航</b></div>"
    "{shown}"
    "<p>渡轮准时开出，载着四十辆汽车和它们的司机。</p>{end}</td><td>"
    "<b>相关新闻</b><ul><li><a href='/f'>大雾</a><i>2024-06-01</i></li></ul></td></tr>"
    "</table><center>© 2024 码头网</center></body></html>"
)
ZONES = [  # what is written, the site, the truth
    ("Published Oct. 12, 2023 at 2:21 p.m. ADT", "q.ca", "2023-10-12T14:21-03:00"),
    ("June 9, 2023 11:00 a.m. NDT", "q.ca", "2023-06-09T11:00-02:30"),
    ("Posted: Jan 04, 2024 7:30 AM NT", "q.ca", "2024-01-04T07:30-03:30"),
    ("Posted: Jan 04, 2024 7:30 AM AT", "q.ca", "2024-01-04T07:30-04:00"),
    ("January 20, 2024 6:00 p.m. CST", "q.ca", "2024-01-20T18:00-06:00"), ("15-Aug-2023, 07:02 Hrs IST", "q.in", "2023-08-15T07:02+05:30"),
    ("5 March 2024, 1430 hrs IST", "q.in", "2024-03-05T14:30+05:30"), ("5 July 2023 14:30 IST", "q.ie", "2023-07-05T14:30+01:00"),
    ("5 March 2024 - 14h05 SAST", "q.za", "2024-03-05T14:05+02:00"),
    ("Updated 6 March 2024; published 5 March 2024 14:05 CAT", "q.zw", "2024-03-05T14:05+02:00"),
    ("5 March 2024 9:30am ACDT", "q.au", "2024-03-05T09:30+10:30"), ("5 March 2024 9:30am AEDT", "q.au", "2024-03-05T09:30+11:00"),
    ("Tue 5 Mar 2024 09.30 AEDT", "q.au", "2024-03-05T09:30+11:00"), ("5 March 2024 at 9:30am EST", "q.au", "2024-03-05T09:30+10:00"),
    ("5 March 2024 9:30am AWST", "q.au", "2024-03-05T09:30+08:00"), ("5 March 2024 9:30am NZDT", "q.nz", "2024-03-05T09:30+13:00"),
    ("2024-03-05 HKT 14:05", "q.hk", "2024-03-05T14:05+08:00"), ("5 Mar 2024 2:05 PM SGT", "q.sg", "2024-03-05T14:05+08:00"),
    ("5 March 2024 14:05 PST", "q.ph", "2024-03-05T14:05+08:00"), ("5 March 2024 14:05 BST", "q.bd", "2024-03-05T14:05+06:00"),
    ("5 June 2024 14:05 BST", "q.uk", "2024-06-05T14:05+01:00"),
    ("March 5, 2024 2:05 PM Hong Kong Time", "q.com", "2024-03-05T14:05+08:00"),
    ("March 5, 2024 2:05 PM Eastern Standard Time", "q.com", "2024-03-05T14:05-05:00"),
    ("5 March 2024 2:05 PM India Standard Time", "q.com", "2024-03-05T14:05+05:30"),
    ("2024-03-05 14:05 CST", "q.cn", "2024-03-05T14:05+08:00"), ("2024-03-05 14:05 (GMT+0800)", "q.com", "2024-03-05T14:05+08:00"),
]  # fmt: skip
NUMBERS = [  # what is written, the site, its language, the truth
    ("04/03/2024", "q.uk", "en", "2024-03-04"), ("04/03/2024", "q.com", "en-US", "2024-04-03"),
    ("04/03/2024", "q.com", "en-GB", "2024-03-04"),
    ("04/03/2024", "q.gov", "en", "2024-04-03"), ("04-03-2024", "q.in", "en-US", "2024-03-04"),
    ("04.03.2024", "q.za", "en-US", "2024-03-04"),
    ("09.12.23 07:30 newsroom", "q.uk", "en", "2023-12-09T07:30"), ("4/3/24", "q.au", "en", "2024-03-04"),
    ("4/3/24", "q.com", "en-US", "2024-04-03"),
    ("2024/03/04", "q.za", "en", "2024-03-04"), ("2024-Mar-04", "q.com", "en", "2024-03-04"), ("4-Mar-24", "q.com", "en", "2024-03-04"),
    ("4th of March 2024", "q.com", "en", "2024-03-04"), ("March the 4th, 2024", "q.com", "en", "2024-03-04"),
    ("4th March, 2024", "q.in", "en", "2024-03-04"),
    ("Mon., Mar. 4, 2024", "q.com", "en", "2024-03-04"), ("MON 04 MAR 2024", "q.com", "en", "2024-03-04"),
    ("4/Mar/2024", "q.com", "en", "2024-03-04"),
    ("By Ann Lee, Monday at 9:15 AM", "q.com", "en", "2024-06-17T09:15"), ("2 hours 30 minutes ago", "q.com", "en", "2024-06-20T07:30"),
    ("a week ago", "q.com", "en", "2024-06-13"), ("By <a rel='author'>Ann</a> on the 4th day of March, 2024", "q.com", "en", "2024-03-04"),
]  # fmt: skip
LINES = {  # name: shown below the headline, below the text, address, truth
    "boxes of their own": ("<div class='cal'><div>04</div><div>Mar</div><div>2024</div></div>", "", "/a", "2024-03-04"),
    "day and clock in two blocks": ("<div>4 March 2024</div><div>14:05</div>", "", "/a", "2024-03-04T14:05"),
    "first published below": (
        "",
        "<p><em>This article was first published in The Quay on 4 March 2024.</em></p>",
        "/a",
        "2024-03-04",
    ),
    "posted below": ("", "<p>Posted by Ann at 9:14 PM PDT on April 19, 2024.</p>", "/a", "2024-04-19T21:14-07:00"),
    "updated and published on one line": (
        "<p>Updated: 6 March 2024 09:00 | Published: 4 March 2024 08:00</p>",
        "",
        "/a",
        "2024-03-04T08:00",
    ),
    "published, then updated in brackets": ("<p>4 March 2024 (updated 6 March 2024)</p>", "", "/a", "2024-03-04"),
    "another date proves the order": (
        "<p>#1 04-03-2024, 07:44 PM</p>",
        "<p>#2 13-03-2024, 06:10 AM</p>",
        "/a",
        "2024-03-04T19:44",
    ),
    "year of the address": ("<p>Mar 4, 2:05 PM</p>", "", "/2022/03/04/a", "2022-03-04T14:05"),
    "dateline with the day first": (
        "<p>SYDNEY, 4 March 2024 (AAP) - The ferry left on time, and all were glad of it.</p>",
        "",
        "/a",
        "2024-03-04",
    ),
    "dateline of a wire": (
        "<p>NEW YORK--(BUSINESS WIRE)--March 4, 2024-- The ferry company announced that it sails.</p>",
        "",
        "/a",
        "2024-03-04",
    ),
    "dateline and address": (
        "<p>LONDON, March 5 (Reuters) - The ferry left on time, and all the world was glad of it.</p>",
        "",
        "/2021/03/05/a",
        "2021-03-05",
    ),
    "for immediate release": ("<p>FOR IMMEDIATE RELEASE</p><p>Monday, March 4, 2024</p>", "", "/a", "2024-03-04"),
    "thread": (
        "<div class='user'>Ann<br>Joined: May 2012</div><div>4 Mar 2024, 10:00</div>",
        "<div>5 Mar 2024, 10:00</div><div>6 Mar 2024, 10:00</div>",
        "/a",
        "2024-03-04T10:00",
    ),
    "regulator": (
        "<dl><dt>Reference</dt><dd>FL-12</dd><dt>Date of issue</dt><dd>4 March 2024</dd><dt>Effective date</dt><dd>1 May 2024</dd></dl>",
        "",
        "/a",
        "2024-03-04",
    ),
}
CHINESE_LINES = {  # written below the headline: truth in Shanghai
    "發佈：2024-03-05 14:05　更新：2024-03-06 15:00": "2024-03-05T14:05",
    "出版：2024-03-05 14:05 更新：2024-03-05 15:00": "2024-03-05T14:05",
    "更新 2024/03/06 09:00 發布 2024/03/05 14:05": "2024-03-05T14:05",
    "2024-03-05 14:05 发布 2024-03-06 09:00 更新": "2024-03-05T14:05",
    "民國113年3月5日": "2024-03-05",
    "中華民國一百一十三年三月五日": "2024-03-05",
    "113年3月5日 下午2時5分": "2024-03-05T14:05",
    "發布日期：113-03-05": "2024-03-05",
    "２０２４年３月５日　下午２時０５分": "2024-03-05T14:05",
    "2024年3月5日（禮拜二）晚上9點15分": "2024-03-05T21:15",
    "三月 5, 2024": "2024-03-05",
    "2024年3月5日 深夜11点30分": "2024-03-05T23:30",
    "2024年3月5日 正午12時": "2024-03-05T12:00",
    "大前天 14:05": "2024-06-17T14:05",
    "1小时30分钟前": "2024-06-20T16:30",
    "<span>2024</span> <span>03</span>/<span>05</span> <i>14:05:33</i>": "2024-03-05T14:05",
    "<b>2024</b> / <b>03</b> / <b>05</b> <i>14</i> : <i>05</i>": "2024-03-05T14:05",
    "<em>05</em><span>2024-03</span>": "2024-03-05",
    "《码头日报》（2024年03月05日 第 04 版）": "2024-03-05",
    "注册时间：2012-05-06　发表于 2024-3-5 14:05:33": "2024-03-05T14:05",
    "本帖最后由 李四 于 2024-3-6 10:00 编辑　发表于 2024-3-5 14:05": "2024-03-05T14:05",
}
TABLES = {  # cells of a table of a notice
    "生成日期：|2024-02-28|公开日期：|2024-03-05": "2024-03-05",
    "成文日期|2024-02-28|公布日期|2024年3月5日": "2024-03-05",
    "签发日期|2024-02-28|发文日期|2024-03-05|生效日期|2024-04-01": "2024-03-05",
    "施行日期|2024-05-01|发布时间|2024-03-05": "2024-03-05",
    "投标截止时间|2024-05-01|公告时间|2024-03-05": "2024-03-05",
    "發出日期|2024-03-05|會議日期|2024-04-01": "2024-03-05",
}


def found(page: str, site: str = "q.com", path: str = "/a", zone: str = "UTC"):
    return find_date(page, url=f"https://www.{site}{path}", now=NOW, zone=ZoneInfo(zone)).published


def english(shown: str, end: str = "", lang: str = "en") -> str:
    return ENGLISH.replace("{shown}", shown).replace("{end}", end).replace("{lang}", lang)


def chinese(shown: str, end: str = "", lang: str = "zh-CN") -> str:
    return CHINESE.replace("{shown}", shown).replace("{end}", end).replace("{lang}", lang)


def told(moment, truth: str, zone: str = "UTC") -> str | None:
    """What was found, written as the truth is."""
    if moment is None:
        return None
    local = moment.at.astimezone(datetime.fromisoformat(truth).tzinfo or ZoneInfo(zone))
    return local.strftime("%Y-%m-%dT%H:%M")[: len(truth)] + (
        truth[16:] if moment.confidence not in (Confidence.DAY, Confidence.NONE) else ""
    )


@pytest.mark.parametrize(("written", "site", "truth"), ZONES)
def test_names_of_zones_mean_what_they_mean_in_the_sites_country(written, site, truth):
    assert told(found(english(f"<p>{written}</p>"), site), truth) == truth


@pytest.mark.parametrize(("written", "site", "lang", "truth"), NUMBERS)
def test_numbers_stand_in_the_order_of_the_sites_country(written, site, lang, truth):
    assert told(found(english(f"<p>{written}</p>", lang=lang), site), truth) == truth


@pytest.mark.parametrize("shape", LINES)
def test_lines_of_english_pages_are_read(shape):
    shown, end, path, truth = LINES[shape]

    assert told(found(english(shown, end), path=path), truth) == truth


@pytest.mark.parametrize("written", CHINESE_LINES)
def test_lines_of_chinese_pages_are_read(written):
    truth, lang = CHINESE_LINES[written], "zh-TW" if "113" in written or "民國" in written else "zh-CN"

    assert told(found(chinese(f"<p>{written}</p>", lang=lang), zone="Asia/Shanghai"), truth, "Asia/Shanghai") == truth


@pytest.mark.parametrize("cells", TABLES)
def test_the_day_of_publication_is_told_from_others_of_a_notice(cells):
    table = "<table><tr>" + "".join(f"<td>{cell}</td>" for cell in cells.split("|")) + "</tr></table>"

    assert told(found(chinese(table), zone="Asia/Shanghai"), TABLES[cells], "Asia/Shanghai") == TABLES[cells]


@pytest.mark.parametrize(
    ("shown", "end"),
    [
        ("", "<p>On 12 May 1998 it moved to its present office.</p><p>She was born on 3 April 1954.</p>"),
        ("<ul><li>12 May 1998: first ferry</li><li>3 April 2005: new pier</li><li>4 June 2019: second ferry</li></ul>", ""),
        ("<dl><dt>12 May 1998</dt><dd>First ferry</dd><dt>3 April 2005</dt><dd>New pier</dd><dt>4 June 2019</dt><dd>Rebuilt</dd></dl>", ""),
        ("", "<h3>3 Comments</h3><div><b>Bo</b> 4 March 2024<p>Good.</p></div><div><b>Cy</b> 5 March 2024<p>Yes.</p></div>"),
        ("<p>Event date: 4 March 2024</p>", ""), ("<p>Applications close 4 March 2024</p>", ""), ("<p>Established 4 March 2001</p>", ""),
        ("<p>Published 31 February 2024</p>", ""), ("<p>Starts: 12/11/2024, 10:00</p>", ""),
    ("<div class='event-date'>4 March 2024</div>", ""),
        ("<p>Today is Thursday, 20 June 2024</p>", ""), ("<p>Meeting: 12 December 2024 at 10:00</p>", ""),
        ("", "<div class='rail'><ul><li><a href='/f'>Fog over the bay</a> 30 May 2024</li></ul></div>"),
        ("", "<ul><li><a href='/f'>Fog over the bay</a> 30 May 2024</li><li><a href='/g'>Wall of the harbour</a> 1 June 2024</li></ul>"),
        ("", "<article><a href='/f'><h3>Fog over the bay</h3></a><time datetime='2024-05-01'>1 May</time></article>"),
        ("", "<div class='card'><h3><a href='/f'>Fog over the bay</a></h3><span class='date'>1 May 2024</span></div>"),
        ("", "<ol class='commentlist'><li>Ann says: May 1, 2024 at 10:00 am</li></ol>"),
        ("", "<h3>One thought on “Ferry”</h3><ol><li>Ann May 1, 2024 at 10:00 am</li></ol>"),
        ("", "<section class='reviews'><h3>Readers' reviews</h3><p>Ann, 2 May 2024: calm.</p><p>Ben, 9 May 2024: full.</p></section>"),
        ("<p>A claim was filed on 4 March 2024, and will be heard on 5 May 2024.</p>", ""),
        ("<div class='bio'>Ann Lee, joined 4 March 2019</div>", ""), ("<p>This offer is valid until 4 March 2024.</p>", ""),
    ],
)  # fmt: skip
def test_dates_of_other_things_are_none_of_the_page(shown, end):
    assert found(english(shown, end), "q.uk") is None


@pytest.mark.parametrize(
    "shown",
    ["<p>会议时间：2024年3月5日</p>",
     "<p>报名截止：2024-03-05</p>", "<p>公司成立于2001年3月5日</p>", "<p>出生日期：1970-03-05</p>",
     "<p>发布时间：2024年2月31日</p>",
     "<p>活动日期：2024-12-05 10:00</p>", "<h3>网友评论</h3><div>李四 2024-03-05 10:00</div><div>王五 2024-03-06 11:00</div>"],
)  # fmt: skip
def test_dates_of_other_things_are_none_of_a_chinese_page(shown):
    assert found(chinese("", shown), zone="Asia/Shanghai") is None


def test_a_day_to_come_in_the_order_of_the_country_is_not_read_the_other_way():
    assert found(english("<p>05/12/2024</p>"), "q.uk") is None
    assert told(found(english("<p>05/12/2024</p>"), "q.us"), "2024-05-12") == "2024-05-12"


@pytest.mark.parametrize(
    ("written", "site", "confidence"),
    [("5 March 2024 14:05 IST", "q.in", "zone_assumed"), ("5 March 2024 14:05 AEDT", "q.au", "stated"), ("04/03/2024", "q.uk", "guessed"),
     ("13/03/2024", "q.uk", "day"), ("4 March 2024", "q.uk", "day"), ("5 March", "q.uk", "guessed"), ("2 days ago", "q.uk", "relative"),
     ("5 March 2024 14:05 EST", "q.au", "zone_assumed"), ("09.12.23", "q.uk", "guessed")],
)  # fmt: skip
def test_what_is_assumed_is_said(written, site, confidence):
    moment = found(english(f"<p>{written}</p>"), site)

    assert moment is not None and moment.confidence == confidence


def test_a_value_alone_is_read_without_a_page():
    assert read_moment("民國113年3月5日", now=NOW, zone=ZoneInfo("Asia/Taipei")).at == datetime(
        2024, 3, 4, 16, tzinfo=UTC
    )
