"""Lines of date as newspapers, agencies, authorities and boards of many countries write them; read on 20 June 2024, 10:00 UTC."""

import pytest

from tests.sentiment.collecting.test_dates_shown import chinese, english, found, told

PRESS = [  # line below the headline, site, truth
    ("By ANN LEE, Associated Press | March 4, 2024 at 3:04 p.m.", "q.com", "2024-03-04T15:04"),
    ("PUBLISHED: March 4, 2024 at 3:04 p.m. | UPDATED: March 5, 2024 at 4:00 p.m.", "q.com", "2024-03-04T15:04"),
    ("Published 3:04 p.m. ET March 4, 2024 Updated 5:00 p.m. ET March 5, 2024", "q.com", "2024-03-04T15:04-05:00"),
    ("Posted 3:04 PM, Mar 04, 2024 and last updated 5:00 PM, Mar 05, 2024", "q.com", "2024-03-04T15:04"),
    ("Mon Mar 4, 2024 3:04pm EST", "q.com", "2024-03-04T15:04-05:00"),
    ("Published: 3:04 PM CST March 4, 2024", "q.com", "2024-03-04T15:04-06:00"),
    ("08:15, Mon, Mar 4, 2024 | UPDATED: 09:30, Mon, Mar 4, 2024", "q.uk", "2024-03-04T08:15"),
    ("08:15 4 MAR 2024Updated 09:00 5 MAR 2024", "q.uk", "2024-03-04T08:15"),
    ("First published on Mon 4 Mar 2024 06.00 GMT", "q.uk", "2024-03-04T06:00+00:00"),
    ("By Ann Lee PUBLISHED: 08:15, 4 March 2024 | UPDATED: 09:00, 5 March 2024", "q.uk", "2024-03-04T08:15"),
    ("Last modified on Tue 5 Mar 2024 09.00 GMT First published on Mon 4 Mar 2024 06.00 GMT", "q.uk", "2024-03-04T06:00+00:00"),
    ("Last Updated: 05 Mar 2024, 08:15 PM IST First Published: 04 Mar 2024, 06:00 PM IST", "q.in", "2024-03-04T18:00+05:30"),
    ("Written by Ann Lee New Delhi | March 4, 2024 18:00 IST", "q.in", "2024-03-04T18:00+05:30"),
    ("March 4, 2024 — 5.00am", "q.au", "2024-03-04T05:00"),
    ("Posted Mon 4 Mar 2024 at 5:00amMonday 4 Mar 2024 at 5:00am", "q.au", "2024-03-04T05:00"),
    ("Updated 5 Mar 2024, 8:15am, first published 4 Mar 2024, 5:00am", "q.au", "2024-03-04T05:00"),
    ("04 March 2024 - 08:15", "q.za", "2024-03-04T08:15"),
    ("PUBLISHED: 14h05, 4 March 2024", "q.za", "2024-03-04T14:05"),
    ("Published Mar 04, 2024 • Last updated Mar 05, 2024 • 3 minute read", "q.ca", "2024-03-04"),
    ("Washington D.C., March 4, 2024 —", "q.gov", "2024-03-04"),
    ("Date : Mar 04, 2024 | Press Release: 2023-2024/1907", "q.in", "2024-03-04"),
    ("Mar 04, 2024 | PR No.: 12/2023", "q.in", "2024-03-04"), ("Media release 24-037MR, published 4 March 2024", "q.au", "2024-03-04"),
    ("Post by ann » Mon Mar 04, 2024 8:15 am", "q.com", "2024-03-04T08:15"), ("submitted 3 hours ago by ann", "q.com", "2024-06-20T07:00"),
    ("Started by ann, Mar 4, 2024 · Last reply Jun 1, 2024", "q.com", "2024-03-04"),
    ("Published on: 2024-03-04 08:15 Hrs", "q.in", "2024-03-04T08:15"),
    ("Monday, 04 March 2024 08:15 Ann Lee", "q.za", "2024-03-04T08:15"), ("4 March 2024 | 8:15 pm | Ann Lee", "q.ie", "2024-03-04T20:15"),
    ("March 4th 2024, 8:15 am", "q.com", "2024-03-04T08:15"), ("2024–03–04", "q.com", "2024-03-04"),
    ("Today, 10:05 am", "q.com", "2024-06-20T10:05"),
    ("Issued: 4 March 2024 | Effective: 1 April 2024", "q.uk", "2024-03-04"),
    ("Date published: 4 March 2024 Date updated: 1 April 2024", "q.uk", "2024-03-04"),
    ("4 March 2024 8:15am NZT", "q.nz", "2024-03-04T08:15"), ("Created: 04/03/2024 08:15", "q.ie", "2024-03-04T08:15"),
]  # fmt: skip
DATELINES = [  # how a text begins, truth
    "LONDON, UK / ACCESSWIRE / March 4, 2024 / The ferry company announced today that it",
    "Toronto, Ontario – March 4, 2024 – The ferry company announced",
    "VANCOUVER, British Columbia, March 04, 2024 (GLOBE NEWSWIRE) -- The ferry company",
    "HONG KONG, March 4, 2024 - (ACN Newswire) - The ferry company",
    "MUMBAI, India, March 4, 2024 /PRNewswire/ -- The ferry company announced",
    "Cape Town, 4 March 2024 – The ferry company announced today that it sails",
    "WASHINGTON, March 4, 2024 (Reuters) - The ferry company announced today that",
    "NEW DELHI: 4 March 2024 (PTI) – The ferry company announced today that",
    "(Toronto, ON) March 4, 2024 – The ferry company announced today that it sails",
    "March 4, 2024 – TORONTO – The ferry company announced today that it",
]
CHINESE_PRESS = [  # line, language, truth in Shanghai
    ("来源：码头网　2024-03-05 14:05:33", "zh-CN", "2024-03-05T14:05"),
    ("2024年03月05日14:05　来源：码头网", "zh-CN", "2024-03-05T14:05"),
    ("星期二 2024年3月5日 14:05", "zh-CN", "2024-03-05T14:05"),
    ("2024年3月5日，星期二，14:05", "zh-CN", "2024-03-05T14:05"),
    ("24/3/5 14:05", "zh-CN", "2024-03-05T14:05"),
    ("2024—03—05　码头网", "zh-CN", "2024-03-05"),
    ("发布时间:24-03-05 14:05", "zh-CN", "2024-03-05T14:05"),
    ("20240305　第02版", "zh-CN", "2024-03-05"),
    ("楼主 发表于 2024-3-5 14:05:33 | 只看该作者", "zh-CN", "2024-03-05T14:05"),
    ("时间：2024-03-05 | 回复：12 | 最后回复 2024-03-08", "zh-CN", "2024-03-05"),
    ("出版：2024年03月05日 (二) 14:05", "zh-HK", "2024-03-05T14:05"),
    ("發佈時間：14:05 2024-03-05", "zh-HK", "2024-03-05T14:05"),
    ("05/03/2024 14:05", "zh-HK", "2024-03-05T14:05"),
    ("更新日期：113-03-06　發布日期：113-03-05", "zh-TW", "2024-03-05"),
    ("〔記者王小明／台北報導〕2024/03/05 05:30", "zh-TW", "2024-03-05T05:30"),
    ("上版日期：113年3月5日", "zh-TW", "2024-03-05"),
    ("最新更新：2024/03/06 11:00　發稿時間：2024/03/05 10:00", "zh-TW", "2024-03-05T10:00"),
    ("113/03/05 14:05", "zh-TW", "2024-03-05T14:05"),
    ("2024年3月5日 PM 2:05", "zh-TW", "2024-03-05T14:05"),
    ("2024-03-05 下午02:05", "zh-TW", "2024-03-05T14:05"),
    ("时间：2024-03-05　点击：20240309次", "zh-CN", "2024-03-05"),
    ("索引号 2024-00312　发布日期 2024-03-05", "zh-CN", "2024-03-05"),
    ("3月5日(二) 14:05", "zh-HK", "2024-03-05T14:05"),
    ("2024年3月5日 14:05　來源：碼頭網　撰文：陳大文", "zh-HK", "2024-03-05T14:05"),
    ("几分钟前", "zh-CN", "2024-06-20"),
    ("前日 14:05", "zh-TW", "2024-06-18T14:05"),
]
CHINESE_ENDS = [  # below the text, truth in Shanghai
    ("（原载于2024年3月5日《码头日报》）", "2024-03-05"),
    ("本文刊于《码头日报》2024年3月5日第3版", "2024-03-05"),
    ("责任编辑：张三　2024-03-05", "2024-03-05"),
    ("发布于：2024年3月5日", "2024-03-05"),
    ("市水务局 2024年3月5日", "2024-03-05"),
    ("（2024年3月5日）", "2024-03-05"),
    ("2024年3月5日于北京", "2024-03-05"),
    ("编辑：李四　发布日期：2024-03-05", "2024-03-05"),
]


@pytest.mark.parametrize(("line", "site", "truth"), PRESS)
def test_lines_of_english_papers_are_read(line, site, truth):
    assert told(found(english(f"<p>{line}</p>"), site), truth) == truth


@pytest.mark.parametrize("begin", DATELINES)
def test_datelines_are_read(begin):
    text = f"<p>{begin} all through the summer, and that it will carry more cars than it ever has before in its long history.</p>"

    assert told(found(english(text)), "2024-03-04") == "2024-03-04"


@pytest.mark.parametrize(("line", "lang", "truth"), CHINESE_PRESS)
def test_lines_of_chinese_papers_are_read(line, lang, truth):
    assert told(found(chinese(f"<p>{line}</p>", lang=lang), zone="Asia/Shanghai"), truth, "Asia/Shanghai") == truth


@pytest.mark.parametrize(("line", "truth"), CHINESE_ENDS)
def test_ends_of_chinese_texts_are_read(line, truth):
    assert told(found(chinese("", f"<p>{line}</p>"), zone="Asia/Shanghai"), truth, "Asia/Shanghai") == truth
