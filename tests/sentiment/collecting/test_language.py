"""Languages of articles: by script, by writing, by statistics, by what the source says of itself."""

import pytest

from apps.sentiment.collecting.language import detect

SAMPLES = [
    ("公司公告净利润增长", "", "zh-Hans"), ("公司公告淨利潤增長", "", "zh-Hant"),
    ("甲公司发布公告，称与臺灣合作方签约，董事会认为风险可控", "", "zh-Hans"),
    ("Apple 发布 iPhone 15 Pro Max", "", "zh-Hans"), ("BYD比亚迪 H股", "en", "zh-Hans"), ("中文", "zh-TW", "zh-Hant"),
    ("中文", "", "zh-Hans"),
    ("BYD (比亚迪) shares rise after the firm said sales had doubled in March", "", "en"), ("Tesla Q3", "", "en"),
    ("Tesla Q3", "de-DE", "de"),
    ("Tesla shares fall after earnings miss estimates", "", "en"), ("トヨタ、過去最高益", "", "ja"),
    ("東京証券取引所で株価が上がった", "", "ja"),
    ("日経平均", "ja", "ja"), ("삼성전자 주가 상승", "", "ko"), ("三星電子 삼성전자 주가 3% 상승", "", "ko"),
    ("Η μετοχή έπεσε", "", "el"), ("หุ้นไทยปรับตัวลง", "", "th"),
    ("L'action de la société a chuté de 5 % après l'annonce des résultats", "", "fr"),
    ("Die Aktie fiel um fünf Prozent nach den Zahlen", "", "de"),
    ("Акции компании упали на пять процентов", "", "ru"), ("La acción de la empresa cayó un cinco por ciento", "es-MX", "es"),
    ("", "en-US", "en"), ("", "", "und"), ("$AAPL 🚀🚀 123", "", "und"), ("https://a.example/b 12", "zh_CN", "zh-Hans"),
    ("10:30", "x!", "und"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "hint", "code"), SAMPLES)
def test_the_language_of_short_long_and_mixed_texts_is_told(text: str, hint: str, code: str) -> None:
    found, confidence = detect(text, hint)

    assert found == code
    assert 0 <= confidence <= 1 and (confidence < 0.7 or len(text) > 4)


def test_a_text_that_is_half_simplified_is_told_with_less_confidence() -> None:
    assert detect("汉字漢字龙龍")[1] < detect("汉字公司业绩增长")[1]


def test_a_text_without_end_is_looked_at_in_part() -> None:
    assert detect("增长" * 5_000_000)[0] == "zh-Hans"
