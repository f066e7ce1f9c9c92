"""Dates as boards, press rooms, exchanges, code hosts and blog systems show them; read on 20 June 2024, 10:00 UTC."""

import pytest

from apps.sentiment.collecting.zones import told_zone
from tests.sentiment.collecting.test_dates_shown import chinese, english, found, told

FOOTERS = [  # what a board says of all its times, the zone of 5 March 2024, 14:05
    ("All times are UTC+10:00", "+10:00"), ("All times are GMT -5. The time now is 10:26 AM.", "-05:00"),
    ("All times are UTC - 5 hours [ DST ]", "-04:00"), ("All times are UTC", "+00:00"),
    ("Delete cookies • All times are UTC+05:30", "+05:30"),
    ("All times are in Eastern Time", "-05:00"), ("All times shown are ET.", "-05:00"), ("Times are displayed in GMT+8", "+08:00"),
    ("Time zone: GMT+1", "+01:00"), ("The forum's displayed times are in AEDT", "+11:00"),
    ("当前时区 GMT+8, 现在时间是 2024-6-20 18:00", "+08:00"),
    ("GMT+8, 2024-6-20 18:00 , Processed in 0.05 second(s), 9 queries.", "+08:00"),
    ("时区：GMT +8", "+08:00"), ("所有时间均为北京时间", "+08:00"), ("所有顯示的時間為 UTC+08:00", "+08:00"),
    ("目前的時區為 UTC+08:00", "+08:00"),
]  # fmt: skip
NO_FOOTERS = [
    "All times are local", "The ferry sails at all times and is never late", "All times are subject to change", "Time zone",
    "All times are good times", "GMT+8 is where the harbour lies", "所有时间都可以", "Kick-off times are shown in the table",
]  # fmt: skip
SIGNED = [  # how a press release ends, truth
    ("<p>Ends/Tuesday, March 5, 2024<br>Issued at HKT 14:05</p><p>NNNN</p>", "2024-03-05T14:05+08:00"),
    ("<p>Ends/Tuesday, March 5, 2024 Issued at HKT 14:05</p><p>NNNN</p>", "2024-03-05T14:05+08:00"),
    ("<p>- Ends - Tuesday, March 5, 2024</p><p>Contact: the press office</p>", "2024-03-05"),
    ("<p>-ENDS-</p><p>5 March 2024</p><p>Contact: the press office</p>", "2024-03-05"),
    ("<p>Ends/</p><p>Tuesday, March 5, 2024</p><p>HKT 06:05</p><p>NNNN</p>", "2024-03-05T06:05+08:00"),
    ("<p>Ends: 5 March 2024</p><p>Doors: 14:05</p><p>All are welcome</p>", None),
    ("<p>Season ends 5 March 2024</p><p>NNNN</p>", None),
]
CHINESE_SIGNED = [
    ("<p>完</p><p>2024年3月5日（星期二）<br>香港時間6時14分</p>", "2024-03-05T06:14+08:00"),
    ("<p>（完）</p><p>2024年3月5日（星期二）</p><p>香港時間 14:05</p><p>NNNN</p>", "2024-03-05T14:05+08:00"),
    ("<p>2024年3月5日（星期二）香港時間14時05分</p>", "2024-03-05T14:05+08:00"),
    ("<p>全文完</p><p>2024年3月5日</p><p>新聞局</p><p>電話 2024</p>", "2024-03-05"),
    ("<p>完</p><p>2024年3月5日</p><p>會議時間：14時05分</p>", "2024-03-05"),
]
CELLS = [  # cells of an announcement, truth
    (("發言日期", "113/03/05", "發言時間", "16:38:20"), "2024-03-05T16:38"),
    (("序號", "2", "發言日期", "113/03/05", "發言時間", "20:05:01", "發言人", "陳大文"), "2024-03-05T20:05"),
    (("發言日期", "民國113年3月5日", "發言時間", "16時38分"), "2024-03-05T16:38"),
    (("发布日期", "2024-03-05", "发布时间", "14:05"), "2024-03-05T14:05"),
    (("公告日期", "2024年3月5日", "時間：", "下午2:05"), "2024-03-05T14:05"),
    (("發言日期", "113/03/05", "會議時間", "16:38"), "2024-03-05"),
    (("發言日期", "113/03/05", "更新時間", "16:38"), "2024-03-05"),
    (("發言日期", "113/03/05", "事實發生日", "113/03/04"), "2024-03-05"),
]
ELEMENTS = [  # below a headline, truth
    ("ann released this <relative-time datetime='2024-03-05T14:05:33Z'>Mar 5, 2024</relative-time>", "2024-03-05T14:05+00:00"),
    ("ann wrote <time-ago datetime='2024-03-05T14:05:33+08:00'>3 months ago</time-ago>", "2024-03-05T14:05+08:00"),
    ("<local-time datetime='2024-03-05T14:05:33Z'>March 5</local-time>", "2024-03-05T14:05+00:00"),
    ("<x-timeago ts='2024-03-05T14:05:33.000Z'>3 mo.</x-timeago>", "2024-03-05T14:05+00:00"),
    ("<span datetime='2024-03-05T14:05:33Z'>Tuesday</span>", "2024-03-05T14:05+00:00"),
    ("Updated <relative-time datetime='2024-04-05T14:05:33Z'>Apr 5</relative-time>, published <time>March 5, 2024</time>", "2024-03-05"),
    ("<ins datetime='2024-04-05T14:05:33Z'>now with cars</ins>", None),
    ("<sale-until datetime='2024-04-05T14:05:33Z' class='countdown'>soon</sale-until>", None),
]  # fmt: skip
HISTORIES = [
    "<dl><dt>Published</dt><dd>5 March 2024</dd><dt>Last updated</dt><dd>12 May 2024 — <a>See all updates</a></dd></dl>"
    "<p>The ferry.</p><div><h2>Updates to this page</h2><time datetime='2024-05-12T09:00:00+01:00'>12 May 2024</time><p>A figure.</p>"
    "<time datetime='2024-03-05T09:00:00Z'>5 March 2024</time><p>First published.</p></div>",
    "<p>Published 5 March 2024</p><p>Last updated 12 May 2024</p><p>The ferry.</p>"
    "<section><h2>What changed</h2><time>12 May 2024</time></section>",
    "<p>Last updated: 12 May 2024</p><p>Published: 5 March 2024</p><div><h3>Page history</h3><p>12 May 2024: a figure</p></div>",
    "<p><em>This post was first published on March 5, 2024 and was refreshed on May 12, 2024.</em></p>",
    "<p>Updated May 12, 2024. This article was originally published on March 5, 2024.</p>",
]
CHINESE_LINES = [  # line below the headline, truth in Shanghai
    ("最新推荐文章于 2024-04-05 16:39:47 发布 原创 于 2024-03-05 06:19:27 发布", "2024-03-05T06:19"),
    ("已于 2024-04-05 16:39:47 修改 于 2024-03-05 06:19:27 首次发布", "2024-03-05T06:19"),
    ("<span data-tooltip='发布于 2024-03-05 12:00'>编辑于 2024-04-05 23:48</span>", "2024-03-05T12:00"),
    ("<span title='首次发布：2024-03-05 12:00:11'>最后修改 2024-04-05</span>", "2024-03-05T12:00"),
    ("<a title='公告 2024年第1号 2024-02-05' href='/b'>公告</a> 2024-03-05", "2024-03-05"),
    ("2024-03-05 <ul><li><a href='/b'>大雾停航的一天</a><i title='发布于 2024-02-05 12:00'>二月</i></li></ul>", "2024-03-05"),
    ("<span aria-label='更新于 2024-04-05 12:00'>发布于 2024-03-05</span>", "2024-03-05"),
    ("发布于 2024-03-05 12:00 ・ 编辑于 2024-04-05 23:48 ・ IP 属地浙江", "2024-03-05T12:00"),
    ("<em>05</em>/ <em>3月</em> <em>2024</em>", "2024-03-05"), ("<b>05</b> <i>3月</i> <i>2024</i>", "2024-03-05"),
    ("3月 05 / 2024", "2024-03-05"), ("05日 3月 2024", "2024-03-05"),
    ("25分钟前 码头网官方账号", "2024-06-20T17:35"), ("昨天 08:30 · 码头网", "2024-06-19T08:30"), ("昨天 来自上海", "2024-06-19"),
    ("公司今天", None), ("立即联系我们，今天就出发", None), ("发布于今天", "2024-06-20"), ("码头网 今天", "2024-06-20"),
    ("今天有八十一人在这里工作", None), ("刚刚过去的一年我们换了新船", None), ("昨天的码头今天的公园", None),
]  # fmt: skip
ENGLISH_LINES = [
    ("Book today!", None), ("The Quay Today", None), ("Ann Lee, USA TODAY", None), ("Get in touch today", None),
    ("Ann Lee <span class='date'>Today</span>", "2024-06-20"), ("By Ann Lee · Today", "2024-06-20"),
    ("03-05-2024, 02:05 PM", "2024-03-05T14:05"),  # a board's default
    ("Today more than 81 people work here.", None), ("Today, we employ 81 people", None), ("Yesterday was not like this at all", None),
    ("We moved to the quay three times, the last one 5 years ago.", None), ("A name that was just now given to the harbour.", None),
    ("Today at 10:05 p.m. NZST", "2024-06-20T22:05+12:00"),  # at the quay it is still the 20th of June
    ("Yesterday at 11:05 p.m. ET", "2024-06-19T23:05-04:00"), ("ann posted 3 hours ago", "2024-06-20T07:00"),
    ("Ann Lee | Yesterday", "2024-06-19"), ("Posted yesterday by ann", "2024-06-19"),
    ("Updated May 12, 2024 | Published March 5, 2024", "2024-03-05"),
]  # fmt: skip


@pytest.mark.parametrize(("footer", "zone"), FOOTERS)
def test_the_footer_of_a_board_tells_the_zone_of_its_times(footer, zone):
    page = english("<p>by ann » Tue Mar 05, 2024 2:05 pm</p>", f"<div class='footer'>{footer}</div>")

    assert told(found(page), f"2024-03-05T14:05{zone}") == f"2024-03-05T14:05{zone}"


@pytest.mark.parametrize("footer", NO_FOOTERS)
def test_other_lines_tell_no_zone(footer):
    assert told_zone([footer]) == ""


def test_two_zones_are_none_and_a_zone_beside_a_time_outweighs_the_footer():
    assert told_zone(["All times are GMT -5.", "All times are GMT +1."]) == ""
    page = english("<p>Tue Mar 05, 2024 2:05 pm GMT</p>", "<div>All times are UTC+10:00</div>")
    assert told(found(page), "2024-03-05T14:05+00:00") == "2024-03-05T14:05+00:00"


def test_a_day_alone_stays_a_day_of_the_source_whatever_the_footer_says():
    assert (
        told(found(english("<p>March 5, 2024</p>", "<div>All times are UTC+10:00</div>")), "2024-03-05") == "2024-03-05"
    )


@pytest.mark.parametrize(("end", "truth"), SIGNED)
def test_ends_of_press_releases_are_read(end, truth):
    moment = found(
        english("", f"<p>More cars will follow.</p>{'<p>A paragraph of the text.</p>' * 12}{end}<p>Press office</p>")
    )

    assert (told(moment, truth) if truth else moment) == truth


@pytest.mark.parametrize(("end", "truth"), CHINESE_SIGNED)
def test_ends_of_chinese_press_releases_are_read(end, truth):
    moment = found(
        chinese("", f"<p>更多车辆将随后到达。</p>{end}", "zh-HK"), "q.hk", "/gia/202403/05/p1.htm", "Asia/Hong_Kong"
    )

    assert told(moment, truth, "Asia/Hong_Kong") == truth


@pytest.mark.parametrize(("cells", "truth"), CELLS)
def test_a_day_and_its_clock_stand_in_cells_of_their_own(cells, truth):
    table = "<table><tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr></table>"

    assert told(found(chinese(table, lang="zh-TW"), "q.tw", zone="Asia/Taipei"), truth, "Asia/Taipei") == truth


@pytest.mark.parametrize(("shown", "truth"), ELEMENTS)
def test_elements_of_other_makers_tell_their_times(shown, truth):
    moment = found(english(f"<div>{shown}</div>"))

    assert (told(moment, truth) if truth else moment) == truth


@pytest.mark.parametrize("shown", HISTORIES)
def test_the_history_of_a_page_is_not_its_publication(shown):
    assert told(found(english(shown)), "2024-03-05") == "2024-03-05"


@pytest.mark.parametrize(("line", "truth"), CHINESE_LINES)
def test_lines_of_chinese_systems_are_read(line, truth):
    moment = found(chinese(f"<div>{line}</div>"), zone="Asia/Shanghai")

    assert (told(moment, truth, "Asia/Shanghai") if truth else moment) == truth


@pytest.mark.parametrize(("line", "truth"), ENGLISH_LINES)
def test_words_such_as_today_count_outside_sentences_and_in_their_own_zone(line, truth):
    moment = found(english(f"<p>{line}</p>"))

    assert (told(moment, truth) if truth else moment) == truth


def test_the_boards_order_gives_way_to_the_country_and_to_the_page():
    line = "<p>03-05-2024, 02:05 PM</p>"

    assert told(found(english(line), "q.uk"), "2024-05-03T14:05") == "2024-05-03T14:05"
    assert told(found(english(line, "<p>reply 13-05-2024, 02:05 PM</p>")), "2024-05-03T14:05") == "2024-05-03T14:05"


def test_a_clock_of_doors_is_no_time_of_the_page():
    assert told(found(english("<p>5 March 2024</p><p>Doors open at 14:05</p>")), "2024-03-05") == "2024-03-05"


@pytest.mark.parametrize(
    "part",
    ["<p>All times are GMT -5 times are shown</p>", "<p>Ends/Ends/完 - - Ends</p>", "<p>Issued at</p><p>HKT 13:36</p>"],
)
def test_many_such_lines_without_a_day_tell_none(part):
    assert found(english(part * 400)) is None
