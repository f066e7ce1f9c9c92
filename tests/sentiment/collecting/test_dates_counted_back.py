"""Dates counted back, told in a state of a script or beside what is none; read on Thursday, 20 June 2024, 10:00 UTC."""

import json
from urllib.parse import quote

import pytest

from tests.sentiment.collecting.test_dates_shown import chinese, english, found, told

TITLE, SECONDS = "Ferry to the islands sails again", 1_718_612_430  # 17 June 2024, 08:20:30 UTC
T = "2024-06-17T08:20+00:00"
WORDS = [  # below a headline, the day or time
    ("<p>Ann Lee · Last Tuesday</p>", "2024-06-18"), ("<p>last Thursday</p>", "2024-06-13"),
    ("<p>Last Monday at 9:15 am</p>", "2024-06-17T09:15"),
    ("<div class='meta'>Ann Lee 5d</div>", "2024-06-15"), ("<div class='meta'>Ann Lee 3h</div>", "2024-06-20"),
    ("<p>PublishedMay 31 2024</p>", "2024-05-31"),
    ("<p>Updated 6 June 2024 — 7.11am, first published at 5.11am</p>", "2024-06-06T05:11"),
    ("<p>Updated 6 June 2024 — 0.11am, first published at 11.50pm</p>", "2024-06-05T23:50"),
    ("<p>Created: 2 June 2024</p><p>Published: 4 June 2024</p>", "2024-06-04"), ("<p>Created: 2 June 2024</p>", "2024-06-02"),
    ("<p class='foot'>This article first appeared on June 5, 2024.</p>", "2024-06-05"),
    ("<p>5 June 2024, 14:05 Central European Time</p>", "2024-06-05T12:05"),
    ("<p>the day before yesterday</p>", "2024-06-18"), ("<p>Published: \u200e5/6/2024\u200e 14:05</p>", "2024-06-05T14:05"),
    ("<formatted-date iso='2024-06-05T14:05:33Z'></formatted-date>", "2024-06-05T14:05"),
    ("<meta itemprop='datePublished' content='/Date(1718612430000)/'>", "2024-06-17T08:20"),
    ("".join(f"<div><a href='#'>{name}</a></div>" for name in ("Facebook", "X", "Email", "LinkedIn"))
     + "<p>June 5, 2024</p>", "2024-06-05"),
    ("<p>Story by Ann • 3d</p>", "2024-06-17"), ("<p>June 5, 20242:05 PM</p>", "2024-06-05T14:05"),
    ("<p>Today's paper: June 20, 2024</p><p>June 5, 2024</p>", "2024-06-05"),
    ("<div class='post category-weather tag-price format-quote'>June 5, 2024</div>", "2024-06-05"),
    ("<p>Election 2024 | June 5, 2024</p>", "2024-06-05"), ("<p>Conferences, Opening lines · June 5, 2024</p>", "2024-06-05"),
    ("<p>Results: conference call on June 12, 2024</p><p>June 5, 2024</p>", "2024-06-05"),
    ("<p>Last: 41.20 (Jun 19, 2024 4:00 PM ET)</p><p>Jun 5, 2024, 9:30 AM ET</p>", "2024-06-05T13:30"),
    ("<figure><figcaption>FILE - A ferry leaves, May 3, 2019.</figcaption></figure><p>June 5, 2024</p>", "2024-06-05"),
    ("<time title='Jun 5, 2024, 2:05 PM UTC'>Jun 5</time>", "2024-06-05T14:05"),
    ("<span class='ts' data-iso='2024-06-05T14:05:33Z'></span>", "2024-06-05T14:05"),
]  # fmt: skip
CHINESE_WORDS = [  # below a headline, the day or time of Shanghai
    ("上周五", "2024-06-14"), ("周一 14:05", "2024-06-17T14:05"), ("今晨 06:05", "2024-06-20T06:05"),
    ("营业时间：周一至周五 09:00-18:00", None), ("比分 24-6-5", None),
    ("上周日 18:30", "2024-06-16T18:30"), ("上上周五", "2024-06-07"), ("本周三 09:05", "2024-06-19T09:05"),
    ("美东时间2024年6月5日 08:15", "2024-06-05T20:15"), ("发布于 东京时间 2024-06-05 09:15", "2024-06-05T08:15"),
    ("2024年6月5日星期三 (07:04)", "2024-06-05T07:04"), ("2024/06/05 02:05 下午", "2024-06-05T14:05"),
    ("访谈时间：2024-06-03 10:00<br>发布时间：2024-06-05", "2024-06-05"),
    ("净值日期：2024-06-19 单位净值 1.23", None), ("距离大会还有两天（2024-06-18 开幕）", None), ("本站运行于2015-06-05 至今", None),
    ("活动时间：2024-06-05 至 06-12", None), ("首次发布于 07:30", None), ("公示时间：2024年6月5日至6月11日", None),
    ("2024-06-05 10:00:00 ~ 2024-06-12 18:00:00 报名中", None), ("公示期：2024年6月6日—2024年6月11日 发布日期：2024-06-05", "2024-06-05"),
    ("上周末", None), ("本周五 18:00", None),
]  # fmt: skip
OF_OTHER_THINGS = [
    "<p>Delivery by Tuesday 18 June</p>", "<p>Dispatched 18 June 2024</p>",
    "<p>Conference: 5–8 June 2024, Berlin</p>", "<p>Wednesday 5 June 2024, 19:00 – 21:30</p>",
    "<figure><figcaption>The ferry on June 5, 2019. Photo: Ben</figcaption></figure>",
    "<p>Build 20240605</p>", "<p>ISBN 978-2024-06-05</p>", "<script>var consent={'created':'2021-06-18T10:00:00Z'}</script>",
    "<p>Applies to accounts opened after June 5, 2024</p>", "<p>Exam dates: 5 June 2024 and 7 June 2024</p>", "<p>Opens June 5, 2024</p>",
    "<p>Check-in: 5 June 2024 · Check-out: 8 June 2024</p>", "<p>Kick-off: 15:00, 5 June 2024</p>", "<p>Departs 5 June 2024 14:05</p>",
    "<p>For the quarter ended June 5, 2024, sales rose.</p>",
    "<p>On 3 March 2019 the first shop opened; on 12 June 2021 the second followed.</p>",
    "<p>The company will host a conference call on June 12, 2024 at 9:00 a.m. ET.</p>",
    "<div class='price'>21.40 <span class='time'>2024-06-19 15:00:00</span></div>", "<div class='meta'>Read 5 d</div>",
    "".join(f"<div><h3><a href='/{d}'>Fog over the bay for {d} days</a></h3><span>June {d}, 2024</span></div>" for d in range(3, 12)),
]  # fmt: skip


@pytest.mark.parametrize(("shown", "truth"), WORDS)
def test_days_counted_back_and_labels_of_few_words_are_read(shown, truth):
    assert told(found(english(shown), "q.uk"), truth) == truth


@pytest.mark.parametrize(("shown", "truth"), CHINESE_WORDS)
def test_chinese_weekdays_and_zones_before_a_day_are_read(shown, truth):
    moment = found(chinese(f"<p>{shown}</p>"), zone="Asia/Shanghai")

    assert (told(moment, truth, "Asia/Shanghai") if truth else moment) == truth


TABLES = [  # rows of a table, the day of the page
    ("成文日期|发布日期", "2024-05-30|2024-06-05", "2024-06-05"), ("发布日期|施行日期", "2024-06-05|2024-06-15", "2024-06-05"),
    ("来源|发布时间", "本站|2024-06-05 14:05", "2024-06-05T14:05"), ("会议日期|地点", "2024-06-05|大厅", None),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "cells", "truth"), TABLES)
def test_the_first_row_of_a_table_says_what_the_second_tells(labels, cells, truth):
    rows = (f"<tr>{''.join(f'<td>{cell}</td>' for cell in row.split('|'))}</tr>" for row in (labels, cells))
    moment = found(chinese(f"<table>{''.join(rows)}</table>"), zone="Asia/Shanghai")

    assert (told(moment, truth, "Asia/Shanghai") if truth else moment) == truth


@pytest.mark.parametrize("shown", OF_OTHER_THINGS)
def test_dates_of_deliveries_quarters_calls_and_lists_are_none(shown):
    assert found(english(shown), "q.uk") is None


STATES = {
    "escaped as in addresses": quote(json.dumps({"data": {"title": TITLE, "publishTime": SECONDS}})),
    "flat, values by position": json.dumps(
        [["Reactive", 1], {"post": 2, "next": 5}, {"title": 3, "publishTime": 4}, TITLE, SECONDS,
         {"title": 6, "publishTime": 7}, "Fog over the bay", SECONDS + 86_400]
    ),
    "of a board": "var state = " + json.dumps({"title": TITLE, "dateline": str(SECONDS)}),
    "of a shop": "var state = " + json.dumps({"author": {"createTime": 1_500_000_000}, "add_time": str(SECONDS)}),
    "as one company writes": "var state = " + json.dumps({"gmtCreate": SECONDS * 1000, "gmtModified": (SECONDS + 9_999) * 1000}),
    "of an announcement": "var state = " + json.dumps({"announcementTitle": TITLE, "announcementTime": SECONDS * 1000}),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_states_of_scripts_are_read_however_they_are_packed(name):
    assert told(found(english("", f"<script>{STATES[name]}</script>")), T) == T


@pytest.mark.parametrize(
    "text", ['[["Reactive"', '[{"a":1', "[" + '{"a":1},' * 9_000 + "1]", "%7B%22publishTime%22%3A" * 9_000]
)
def test_broken_states_tell_nothing_and_end(text):
    assert found(english("", f"<script>{text}</script>")) is None


def test_the_pages_record_outweighs_a_rounded_age_only_where_they_agree():
    state = f"<script>var state = {{'publishTime': {SECONDS}}}</script>"

    assert told(found(english("<p class='time'>3 days ago</p>", state)), T) == T
    assert told(found(english("<p class='time'>12 days ago</p>", state)), "2024-06-08") == "2024-06-08"


def test_a_clock_of_the_reading_above_the_headline_is_no_answer():
    page = english("<p>no date</p>").replace(
        "<div><h1>", "<div><time datetime='2024-06-20T10:00:20Z'>now</time></div><div><h1>"
    )

    assert found(page) is None
    for clock in ("Thu Jun 20 2024 10:00:20", "Thu Jun 20 2024 06:00:20"):
        assert found(page.replace("<time datetime='2024-06-20T10:00:20Z'>now</time>", clock)) is None
    assert told(found(page.replace("2024-06-20T10:00:20Z", "2024-06-17T08:20:30Z")), T) == T


def test_a_vacancy_tells_when_it_was_posted_where_it_is_the_pages_own():
    own = {"@type": "JobPosting", "title": TITLE, "datePosted": "2024-06-05", "validThrough": "2024-07-05"}
    for told_as, truth in ((own, "2024-06-05"), (own | {"title": "Clerk of the harbour"}, None)):
        moment = found(english(f"<script type='application/ld+json'>{json.dumps(told_as)}</script>"))
        assert (told(moment, truth) if truth else moment) == truth


def test_an_address_may_have_the_day_first_as_its_country_writes():
    assert told(found(english(""), "q.uk", path="/news/05-06-2024/ferry"), "2024-06-05") == "2024-06-05"
    assert told(found(english(""), "q.us", path="/news/06-05-2024/ferry"), "2024-06-05") == "2024-06-05"


def test_the_day_of_an_issue_below_a_text_gives_way_to_the_time_above_it():
    below = (
        "<p>渡轮公司表示，新航线将在秋天开通，届时每天有四班渡轮往返于两岸之间，单程约需四十分钟，沿途停靠三个码头，"
        "票价与现有航线相同，老人与儿童照旧半价。</p><p>封面报道 第07期 出版日期 2024年06月01日</p>"
    )

    assert (
        told(found(chinese("<div class='info'>2024年06月05日 08:20 来源于 码头网</div>", below)), "2024-06-05T08:20")
        == "2024-06-05T08:20"
    )
    assert told(found(chinese("", below)), "2024-06-01") == "2024-06-01"


LIVE = [  # what shows the moment of the reading
    "<p>Thu, 20 Jun 2024 10:00:20 GMT</p>", "<div><time datetime='2024-06-20T10:00:20Z'>now</time> Fog lifts</div>",
    "<div class='time'>2024-06-20 10:00:05</div>",
]  # fmt: skip


@pytest.mark.parametrize("shown", LIVE)
def test_a_bare_time_of_the_reading_is_no_answer_wherever_it_stands(shown):
    assert found(english("", shown)) is None
    assert found(english(shown)) is None
    assert told(found(english("<p>Published 20 June 2024, 10:00 GMT</p>")), "2024-06-20T10:00") == "2024-06-20T10:00"


LISTS = [
    "<table><tr><th>Date</th><th>Home</th></tr>" + "".join(f"<tr><td>{day} June 2024</td><td>Quay</td></tr>" for day in (1, 8, 15))
    + "</table>",
    "".join(f"<div>Jun {day}, 2024</div><p>No incidents reported.</p>" for day in (18, 17, 16)),
    "".join(f"<div><a href='/{day}'>Ferry line number {day} opens at last</a><i>June {day}, 2024</i></div>" for day in range(5, 12)),
    "<p>Opening hours: Mon–Fri 12:00–22:00</p>", "<p>Works: 18 June 2024, 02:00–04:00 UTC</p>", "<p>At close: June 18 at 4:00 PM EDT</p>",
    "<p>Jun 18, 4:00:02 PM UTC-4 · USD · Disclaimer</p>", "<p>Sold between March 3, 2021 and June 5, 2023</p>",
    "<p>Get it by Friday, June 14</p>",
]  # fmt: skip


@pytest.mark.parametrize("shown", LISTS)
def test_fixtures_reports_lists_hours_and_quotations_have_no_date(shown):
    assert found(english(shown), "q.uk") is None


def test_a_minus_after_seconds_is_an_offset_and_after_minutes_a_span():
    assert (
        told(found(english("<p>2024-06-05 14:05:33-04:00</p>")), "2024-06-05T14:05-04:00") == "2024-06-05T14:05-04:00"
    )
    assert found(english("<p>2024-06-05 14:05-16:00</p>")) is None


def test_a_film_tells_the_date_of_a_page_that_tells_no_other():
    film = "<div itemscope itemtype='https://schema.org/VideoObject'><meta itemprop='uploadDate' content='2024-06-17T08:20:30Z'></div>"

    assert told(found(english(film)), T) == T
    assert told(found(english(f"<p>5 June 2024</p>{film}")), "2024-06-05") == "2024-06-05"
    nested = f"<div itemscope itemtype='https://schema.org/Recipe'>{film}</div>"
    assert found(english(nested)) is None
