"""Who a text speaks of: names, tickers and what decides where a name may mean something else."""

import random
from itertools import pairwise
from typing import Any

import pytest

from apps.sentiment.meaning.linking import Known, Name, Reader
from apps.sentiment.meaning.tickers import forms_of

FRUIT = ("苹果汁", "水果", "果园")
PHONES = ("手机", "库克", "iPhone")
TABLE = [
    Known(1, (Name("贵州茅台"), Name("Kweichow Moutai"), Name("茅台", is_ambiguous=True)), ("600519.SH",)),
    Known(2, (Name("苹果", is_ambiguous=True, required=PHONES, forbidden=FRUIT), Name("Apple Inc."),
              Name("Apple", is_ambiguous=True, required=("iPhone", "shares"))), ("AAPL",)),
    Known(3, (Name("中国平安"), Name("平安", is_ambiguous=True)), ("601318", "2318.HK")),
    Known(4, (Name("平安银行"), Name("平安", is_ambiguous=True)), ("000001.SZ",)),
    Known(5, (Name("IBM"), Name("International Business Machines"))),
    Known(6, (Name("Target", is_ambiguous=True, required=("retailer", "stores")),), ("TGT",)),
    Known(7, (Name("康美药业股份有限公司"), Name("康美", is_ambiguous=True))),
    Known(8, (Name("腾讯控股"), Name("騰訊"), Name("Tencent")), ("0700.HK",)),
    Known(9, (Name("Gap Inc"), Name("Gap", is_ambiguous=True)), ("GAP",)),
    Known(10, (Name("Ford"),), ("F",)),
]  # fmt: skip
READER = Reader(TABLE, [(1, "召回"), (1, "recall"), (2, "price cut")])


def linked(text: str, threshold: float = 0.5) -> dict[int, list[str]]:
    found = {}
    for link in READER.read(text).links(threshold):
        found[link.entity] = [text[mention.start : mention.end] for mention in link.mentions]
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("贵州茅台发布年报", {1: ["贵州茅台"]}),
        ("貴州茅臺股價下跌", {1: ["貴州茅臺"]}),
        ("ＫＷＥＩＣＨＯＷ ＭＯＵＴＡＩ fell", {1: ["ＫＷＥＩＣＨＯＷ ＭＯＵＴＡＩ"]}),
        ("kweichow moutai fell, Kweichow Moutais rose", {1: ["kweichow moutai"]}),
        ("IBM cut jobs", {5: ["IBM"]}),
        ("ibm and IBMs", {}),
        ("购买IBM股票", {5: ["IBM"]}),
        ("腾讯控股与Tencent", {8: ["腾讯控股", "Tencent"]}),
        ("腾讯大涨", {8: ["腾讯"]}),
        ("write to me@tencent.com or tencent.com/a", {}),
        ("Profits.Tencent rose", {8: ["Tencent"]}),
    ],
)
def test_names_are_found_in_any_width_case_and_script_at_the_borders_of_words(
    text: str, expected: dict[int, list[str]]
) -> None:
    assert linked(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("600519涨停", {1: ["600519"]}),
        ("SH600519", {1: ["SH600519"]}),
        ("sh.600519 跌", {1: ["sh.600519"]}),
        ("（600519.SH）", {1: ["600519.SH"]}),
        ("600519.XSHG", {1: ["600519.XSHG"]}),
        ("亏损600519元", {}),
        ("卖出600519 股", {}),
        ("$600519 was paid", {}),
        ("code 1600519, 600519.5 or 3,600519", {}),
        ("700.HK 0700.HK HK00700", {8: ["700.HK", "0700.HK", "HK00700"]}),
        ("门牌00700", {}),
        ("港股代码：00700", {8: ["00700"]}),
        ("(02318)", {3: ["02318"]}),
        ("$AAPL to the moon", {2: ["$AAPL"]}),
        ("$aapl falls", {}),
        ("NASDAQ: AAPL", {2: ["AAPL"]}),
        ("aapl.us falls", {2: ["aapl.us"]}),
        ("an F in maths", {}),
        ("$F rises, NYSE: F", {10: ["$F", "F"]}),
    ],
)
def test_tickers_are_found_with_and_without_their_exchange_and_not_in_numbers(
    text: str, expected: dict[int, list[str]]
) -> None:
    assert linked(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我买了一斤苹果", {}),
        ("苹果发布新手机", {2: ["苹果"]}),
        ("手机上订苹果汁", {}),
        ("苹果公司被罚", {2: ["苹果公司"]}),
        ("AAPL.US跌, 苹果也跌", {2: ["AAPL.US", "苹果"]}),
        ("an apple a day, shares of joy", {}),
        ("Apple shares fell", {2: ["Apple"]}),
        ("An Apple tree", {}),
        ("We target stores", {}),
        ("Target closes stores", {6: ["Target"]}),
        ("TARGET CLOSES STORES", {6: ["TARGET"]}),
        ("a gap in the wall. Gap Inc. cut jobs, Gap said", {9: ["Gap Inc", "Gap"]}),
        ("平安夜快乐", {}),
        ("中国平安业绩, 平安称", {3: ["中国平安", "平安"]}),
        ("平安银行业绩", {4: ["平安银行"]}),
        ("平安集团", {}),
        ("*ST康美退市", {7: ["*ST康美"]}),
        ("康美药业被罚, 康美股份", {7: ["康美药业", "康美股份"]}),
    ],
)
def test_names_that_may_mean_something_else_need_evidence(text: str, expected: dict[int, list[str]]) -> None:
    assert linked(text) == expected


def test_the_threshold_decides_what_is_believed() -> None:
    (mention,) = READER.read("我买了一斤苹果").mentions

    assert (mention.confidence, str(mention.evidence)) == (0.25, "none")
    assert linked("我买了一斤苹果", 0.2) == {2: ["苹果"]}


def test_words_of_topics_are_counted_in_the_same_pass() -> None:
    assert READER.read("Recall: 召回 after a recall, no PRICE CUT, recalled").topics == {1: 3, 2: 1}


def test_an_empty_table_finds_nothing() -> None:
    assert Reader([], []).read("贵州茅台").mentions == []


@pytest.mark.parametrize("ticker", ["600519", "SH600519", "600519.SS", " ６００５１９．sh ", "$sh:600519"])
def test_a_ticker_is_the_same_however_it_is_entered(ticker: str) -> None:
    assert {form.text for form in forms_of(ticker)} == {form.text for form in forms_of("600519.SH")}


@pytest.mark.parametrize("ticker", ["", "hello world", "12", "贵州", "1234567"])
def test_what_is_no_ticker_has_no_form(ticker: str) -> None:
    assert forms_of(ticker) == []


def test_places_hold_in_any_text() -> None:
    draw = random.Random(17)
    parts: list[Any] = [
        "İstanbul ",
        "𝔸 ",
        "ﬁ",
        "\u0301",
        "貴州茅臺",
        "Tencent",
        "$AAPL",
        "*ST康美",
        "ＩＢＭ ",
        "\n",
        "。",
        "🙂",
    ]
    for _round in range(300):
        text = "".join(draw.choice(parts) for _part in range(12))
        spans = [(mention.start, mention.end) for mention in READER.read(text).mentions]
        assert all(0 <= start < end <= len(text) for start, end in spans)
        assert all(one[1] <= other[0] for one, other in pairwise(spans))
        surfaces = {text[start:end].strip() for start, end in spans}
        assert surfaces <= {"貴州茅臺", "Tencent", "$AAPL", "*ST康美", "ＩＢＭ", "AAPL", "康美"}


def test_a_name_that_is_also_its_ticker_is_what_is_surer_there() -> None:
    reader = Reader([Known(1, (Name("Acme"),), ("ACME",)), Known(2, (Name("Acme"),))])

    assert [(each.entity, each.confidence) for each in reader.read("$ACME").mentions] == [(1, 0.98)]
    assert [each.confidence for each in reader.read("Acme").mentions] == [0.475]
