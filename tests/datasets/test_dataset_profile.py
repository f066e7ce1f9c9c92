"""The profile of a dataset: balance, lengths, languages, duplicates, conflicts and leakage."""

import json

import pytest

from apps.datasets.profile.duplicates import NearIndex, shingles
from apps.datasets.profile.report import profile
from apps.datasets.profile.texts import Lengths, language, token_count

ENGLISH = "I would like to know why my card payment was declined at the shop this morning"
CHINESE = "我昨天在商场用信用卡付款的时候被拒绝了请问是什么原因造成的"


def rows(*entries: tuple[str, str, str]) -> list[tuple[int, dict[str, object], str]]:
    return [
        (n, {"text": text, "labels": [label] if label else []}, split)
        for n, (text, label, split) in enumerate(entries, 1)
    ]


def test_labels_lengths_and_splits() -> None:
    found = profile(
        "classification", rows(("a b", "x", "train"), ("c", "x", "test"), ("你好吗", "y", "train"), ("d", "", ""))
    )

    assert found["rows"] == 4
    assert found["splits"] == {"": 1, "test": 1, "train": 2}
    assert found["labels"]["unlabelled"] == 1
    assert found["labels"]["balance"][0] == {
        "label": "x", "count": 2, "share": 0.6667, "splits": {"test": 1, "train": 1},
    }  # fmt: skip
    assert found["labels"]["imbalance"] == 2.0
    assert (found["tokens"]["min"], found["tokens"]["max"], found["characters"]["max"]) == (1, 3, 3)
    assert json.loads(json.dumps(found)) == found


def test_exact_duplicates_ignore_case_width_and_spaces() -> None:
    found = profile(
        "classification", rows(("Hello  World", "x", ""), ("ｈｅｌｌｏ world", "x", ""), ("other", "x", ""))
    )

    assert found["exact_duplicates"] == {"rows": 1, "groups": 1, "examples": [[1, 2]]}
    assert found["conflicting_labels"]["groups"] == 0


def test_one_text_with_two_labels_is_a_conflict_and_unlabelled_is_none() -> None:
    found = profile(
        "classification",
        rows(("same", "x", ""), ("same", "y", ""), ("same", "", ""), ("fine", "", ""), ("fine", "z", "")),
    )

    assert found["conflicting_labels"] == {"groups": 1, "examples": [[1, 2]]}


def test_leakage_between_splits_exact_and_near() -> None:
    found = profile("classification", rows(
        (ENGLISH, "x", "train"), (ENGLISH.upper(), "x", "test"), (ENGLISH + " please", "x", "dev"),
        (CHINESE, "y", "train"), (CHINESE + "呢", "y", "test"), ("something else entirely happened here", "y", "test"),
    ))  # fmt: skip

    assert found["leakage"] == {"train/test": {"texts": 1, "examples": [[1, 2]]}}
    assert found["near_leakage"]["train/dev"]["examples"] == [[1, 3]]
    assert found["near_leakage"]["train/test"]["examples"] == [[4, 5]]
    assert (found["near_duplicates"]["groups"], found["near_duplicates"]["rows"]) == (2, 2)
    assert found["near_duplicates"]["examined"] == 5


def test_different_texts_are_no_near_duplicates() -> None:
    texts = [f"question {n} about topic {n * 7} and {n * 13} with answer {n * 31}" for n in range(200)]

    assert profile("corpus", [(n, {"text": text}, "") for n, text in enumerate(texts)])["near_duplicates"]["pairs"] == 0


def test_the_near_index_stops_at_its_limit_and_says_so() -> None:
    index = NearIndex(limit=2)

    for n in range(5):
        index.add(n, f"some words of number {n}", "")

    assert (index.examined, index.skipped) == (2, 3)


def test_shingles_are_words_or_chinese_characters() -> None:
    assert shingles("The quick, brown") == {b"the quick", b"quick brown"}
    assert shingles("银行卡丢") == {"银 行 卡".encode(), "行 卡 丢".encode()}
    assert shingles("one") == {b"one"}
    assert shingles("!!") == set()


def test_equal_texts_of_chat_pairs_and_questions() -> None:
    chat = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}
    question = {"question": "q", "context": "c d", "answers": [{"text": "c", "start": 0}]}

    assert profile("chat", [(1, chat, ""), (2, chat, "")])["exact_duplicates"]["groups"] == 1
    assert profile("chat", [(1, chat, "")])["labels"]["classes"] == 2
    found = profile("qa", [(1, question, ""), (2, question | {"answers": []}, "")])
    assert found["conflicting_labels"]["groups"] == 1
    pair = {"source": "s", "target": "t"}
    assert profile("pairs", [(1, pair, ""), (2, pair | {"target": "u"}, "")])["conflicting_labels"]["groups"] == 0
    preference = {"prompt": [{"role": "user", "content": "p"}], "chosen": "a", "rejected": "b"}
    assert profile("preference", [(1, preference, "")], near=False)["rows"] == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [(ENGLISH, "en"), (CHINESE, "zh"), ("银行 app 打不开", "zh"), ("これはペンです", "ja"), ("안녕하세요 반갑습니다", "ko"),
     ("Ich möchte wissen, warum meine Karte abgelehnt wurde", "de"), ("Почему моя карта была отклонена сегодня утром", "ru"),
     ("لماذا تم رفض بطاقتي هذا الصباح في المتجر", "ar"), ("12345 !!", "und"), ("ok", "und"), ("", "und")],
)  # fmt: skip
def test_languages(text: str, code: str) -> None:
    assert language(text) == code


def test_tokens_count_words_and_chinese_characters() -> None:
    assert token_count("Don't pay 20 €, 银行卡!") == 6


def test_quantiles_are_exact_for_short_and_close_for_long() -> None:
    lengths = Lengths()
    for value in range(1, 101):
        lengths.add(value)
    lengths.add(1_000_003)

    assert (lengths.minimum, lengths.maximum, lengths.quantile(0.5)) == (1, 1_000_003, 51)
    assert abs(lengths.quantile(1) - 1_000_003) <= 1_000_003 / 32
