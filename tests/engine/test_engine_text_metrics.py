"""Figures of written answers agree with sacreBLEU, rouge-score and SQuAD's rules, in words and in Chinese characters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from engine import metrics
from engine.text_metrics import (
    FIGURES,
    answer_tokens,
    bleu_tokenizer,
    compare_figures,
    headline,
    rouge_tokens,
    row_figures,
    text_figures,
)

ENGLISH = [["The card was sent on Monday."], ["You can change the PIN at any ATM, free of charge."], ["No."]]
CHINESE = [["您的银行卡已于周一寄出。"], ["您可以在任何ATM上免费修改密码。"], ["不可以。"]]
SAID = ["The card has been sent on Monday.", "You may change a PIN at any ATM.", ""]
SAID_IN_CHINESE = ["银行卡已经在周一寄出了。", "您可以在ATM上修改密码。", "可以。"]
WRITTEN = st.lists(
    st.sampled_from(["the", "Card", "sent", "a", "un-sent", "PIN,", "2024", "don't", "x_y", "...", "\n"]), max_size=12
).map(" ".join)


@given(st.lists(st.tuples(WRITTEN, WRITTEN), min_size=1, max_size=5))
@settings(deadline=None, max_examples=60)
def test_rouge_agrees_with_rouge_score_without_stemming(rows: list[tuple[str, str]]) -> None:
    judge = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)

    found = row_figures([[gold] for gold, _ in rows], [said for _, said in rows])

    for at, (gold, said) in enumerate(rows):
        wanted = judge.score(gold, said)
        for ours, theirs in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
            assert found.values(ours)[at] == pytest.approx(wanted[theirs].fmeasure), ours


def test_the_best_reference_counts_for_rouge_as_in_rouge_score() -> None:
    references, said = ["The card is lost", "The card was sent today", ""], "the card was sent"
    judge = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False).score_multi(references, said)

    found = text_figures([references], [said], seed=1)

    for ours, theirs in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
        assert found[ours]["value"] == pytest.approx(judge[theirs].fmeasure)


def test_rouge_of_chinese_is_over_characters_and_keeps_words_of_other_scripts() -> None:
    found = row_figures([["修改PIN码。"]], ["修改了pin码"])

    assert rouge_tokens("修改ＰＩＮ码, 第2次") == ["修", "改", "pin", "码", "第", "2", "次"]
    assert rouge_tokens("हिन्दी café") == ["हिन्दी", "café"]
    assert found.values("rouge_1")[0] == pytest.approx(2 * 4 / 9)
    assert found.values("rouge_2")[0] == pytest.approx(2 * 2 / 7)
    assert found.values("rouge_l")[0] == pytest.approx(2 * 4 / 9)


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9))
@settings(deadline=None, max_examples=60)
def test_the_longest_common_subsequence_is_that_of_the_table(first: list[str], second: list[str]) -> None:
    table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    for i, one in enumerate(first):
        for j, two in enumerate(second):
            table[i + 1, j + 1] = table[i, j] + 1 if one == two else max(table[i, j + 1], table[i + 1, j])

    found = row_figures([[" ".join(first)]], [" ".join(second)], names=["rouge_l"]).values("rouge_l")[0]

    both = len(first) + len(second)
    assert found == pytest.approx(2 * table[-1, -1] / both if both else 0.0)


@pytest.mark.parametrize(
    ("gold", "said", "exact", "f1"),
    [
        ("The Denver Broncos", "denver broncos!", 1, 1),
        ("Denver Broncos", "the Broncos of Denver", 0, 2 * 2 / 5),
        ("a cat and a cat", "cat", 0, 2 * 1 / 4),
        ("U.S.", "US", 1, 1),
        ("“forty–two”", "fortytwo", 1, 1),
        ("", "", 1, 1),
        ("", "something", 0, 0),
        ("the", "", 1, 1),
        ("北京大学", "北京 大学。", 1, 1),
        ("北京大学", "北京", 0, 2 * 2 / 6),
        ("１９９８年", "1998年", 1, 1),
        ("他用 the best 方法", "他用 best 方法", 0, 2 * 5 / 11),
        ("東京タワー", "東京タワー", 1, 1),
    ],
)
def test_exact_match_and_f1_follow_squad_in_words_and_in_characters(
    gold: str, said: str, exact: float, f1: float
) -> None:
    found = row_figures([[gold]], [said])

    assert found.values("exact_match")[0] == exact
    assert found.values("token_f1")[0] == pytest.approx(f1)


def test_the_best_reference_counts_for_exact_match_and_f1() -> None:
    found = text_figures([["Paris", "the city of Paris", "巴黎"]], ["city of Paris"], seed=1)

    assert found["exact_match"]["value"] == found["token_f1"]["value"] == 1
    assert answer_tokens("The city", articles=True) == ["the", "city"]


@pytest.mark.parametrize(
    ("golds", "said", "tokenizer"),
    [(ENGLISH, SAID, "13a"), (CHINESE, SAID_IN_CHINESE, "zh"), ([*ENGLISH, *CHINESE], [*SAID, *SAID_IN_CHINESE], "zh")],
)
def test_bleu_and_chrf_are_sacrebleus_with_the_tokenizer_of_the_script(
    golds: list[list[str]], said: list[str], tokenizer: str
) -> None:
    streams = [[row[0] for row in golds]]
    bleu, chrf = BLEU(tokenize=tokenizer), CHRF()

    rows = row_figures(golds, said)
    found = headline(rows, seed=1)

    assert found["bleu"]["value"] == pytest.approx(bleu.corpus_score(said, streams).score)
    assert found["chrf"]["value"] == pytest.approx(chrf.corpus_score(said, streams).score)
    assert rows.signatures["bleu"] == str(bleu.get_signature()) and f"tok:{tokenizer}" in rows.signatures["bleu"]
    assert rows.signatures["chrf"] == str(chrf.get_signature())


def test_bleu_and_chrf_of_single_rows_are_sacrebleus_sentence_scores() -> None:
    rows = row_figures(ENGLISH, SAID)

    for at, (gold, said) in enumerate(zip(ENGLISH, SAID, strict=True)):
        assert rows.values("bleu")[at] == pytest.approx(BLEU(effective_order=True).sentence_score(said, gold).score)
        assert rows.values("chrf")[at] == pytest.approx(CHRF().sentence_score(said, gold).score)


def test_rows_may_have_different_numbers_of_references() -> None:
    golds = [["The card was sent.", "We sent the card."], ["No."], ["Yes, of course.", "Sure.", "Of course."]]
    said = ["We sent a card.", "No.", "Yes, sure."]
    streams = [[row[at] if at < len(row) else None for row in golds] for at in range(3)]

    rows = row_figures(golds, said)

    assert headline(rows, seed=1)["bleu"]["value"] == pytest.approx(BLEU().corpus_score(said, streams).score)
    assert all(signature.startswith("nrefs:var|") for signature in rows.signatures.values())


def test_scripts_whose_tokenizers_need_dictionaries_are_cut_into_characters() -> None:
    assert bleu_tokenizer([["カードは月曜日に発送されました。"]]) == "char"
    assert bleu_tokenizer([["บัตรถูกส่งแล้ว"]]) == "char"
    assert bleu_tokenizer([["카드는 월요일에 발송되었습니다."]]) == "13a"
    assert bleu_tokenizer([["Yes."]] * 39 + [["可以。"]]) == "13a"


def test_an_interval_is_that_of_scores_recomputed_on_resampled_rows() -> None:
    generator = np.random.default_rng(5)
    words = ["card", "sent", "Monday", "PIN", "free", "of", "charge", "today"]
    golds = [[" ".join(generator.choice(words, 9)) + "."] for _ in range(20)]
    said = [" ".join(w if generator.random() < 0.8 else "x" for w in gold[0].split()) for gold in golds]
    rows = row_figures(golds, said)

    found = headline(rows, seed=11, rounds=1)

    drawn = np.random.default_rng(11).integers(0, 20, (1, 20))[0]
    again = headline(row_figures([golds[at] for at in drawn], [said[at] for at in drawn]), seed=0)
    for name in FIGURES:
        assert found[name]["low"] == found[name]["high"] == pytest.approx(again[name]["value"]), name
    wide = headline(rows, seed=11)
    assert all(wide[name]["low"] < wide[name]["value"] < wide[name]["high"] for name in ("bleu", "chrf", "rouge_l"))


def test_two_sides_are_compared_on_the_same_drawn_rows() -> None:
    golds = [[f"the card number {at} was sent on Monday to you"] for at in range(60)]
    worse = [gold[0].replace("Monday", "Friday") if at % 2 else gold[0] for at, gold in enumerate(golds)]
    first, second = row_figures(golds, worse), row_figures(golds, [gold[0] for gold in golds])

    found = compare_figures(first, second, seed=3)
    same = compare_figures(first, first, seed=3)

    for name in FIGURES:
        assert 0 < found[name]["low"] <= found[name]["difference"] <= found[name]["high"] and found[name]["p"] < 0.01
        assert same[name] == {"difference": 0, "low": 0, "high": 0, "p": 1}
    shares = metrics.paired_bootstrap(first.values("token_f1"), second.values("token_f1"), seed=3)
    assert found["token_f1"]["difference"] == pytest.approx(shares["difference"])
    assert (found["token_f1"]["low"], found["token_f1"]["high"]) == pytest.approx((shares["low"], shares["high"]))
    with pytest.raises(ValueError):
        compare_figures(first, row_figures(CHINESE * 20, SAID_IN_CHINESE * 20), seed=3)


def test_only_the_named_figures_are_counted() -> None:
    rows = row_figures(ENGLISH, SAID, names=["rouge_l", "exact_match"])

    assert list(rows.tables) == list(rows.signatures) == ["rouge_l", "exact_match"]
    assert list(headline(rows, seed=1)) == ["rouge_l", "exact_match"]


@pytest.mark.parametrize(
    ("golds", "said", "names"),
    [([], [], FIGURES), ([[]], ["x"], FIGURES), ([["x"]], ["x"], ["meteor"]), ([["x"]], [], FIGURES)],
)
def test_rows_that_cannot_be_counted_are_refused(golds: list[list[str]], said: list[str], names: list[str]) -> None:
    with pytest.raises(ValueError):
        row_figures(golds, said, names=names)
