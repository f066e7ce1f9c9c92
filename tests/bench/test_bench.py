"""The benches: their bounds, their names, and a split that keeps texts on one side."""

import gzip
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from config.management.commands.bench import BENCHES, line_of
from core.embedded.connect import adopt
from engine.bench import methods, naive_bayes
from engine.specs import spec_hash
from workers.bench import answers, quality
from workers.bench.entities import _fold, read
from workers.bench.measure import Measure
from workers.bench.methods import lowest, steps_to


@pytest.mark.parametrize(
    ("measure", "kept", "mark"),
    [
        (Measure("speed", 3.1, "x", at_least=3), True, "+"),
        (Measure("speed", 2.9, "x", at_least=3), False, "!"),
        (Measure("time", 21, "s", at_most=20), False, "!"),
        (Measure("time", 20, "s", at_most=20), True, "+"),
        (Measure("time", 5, "s"), None, " "),
    ],
)
def test_a_measure_says_whether_its_bound_was_kept(measure: Measure, kept: bool | None, mark: str) -> None:
    assert measure.kept is kept
    assert line_of(measure).startswith(f"{mark} {measure.name}") or (mark == " " and not line_of(measure)[0].strip())


@pytest.mark.parametrize("name", sorted(BENCHES))
def test_every_bench_has_measures(name: str) -> None:
    assert callable(import_module(BENCHES[name]).measures)


def test_a_bench_leaves_the_usual_home_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "LINGXI_HOME", "REDIS_URL", "LINGXI_BROKER_URL", "LINGXI_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "config.settings.embedded")
    (tmp_path / "secrets.json").write_text("{}", encoding="utf-8")

    assert adopt(["manage.py", "bench", "web"], default_home=tmp_path) == ["manage.py", "bench", "web"]


def test_a_split_of_ones_own_keeps_equal_texts_on_one_side() -> None:
    rows = [("Same text" if n % 3 == 0 else f"text {n}", f"label {n % 4}") for n in range(4000)]

    found = list(quality.records(*quality.apart(rows)))

    sides = {side: {str(row["text"]).lower() for row in found if row["split"] == side} for side in ("train", "test")}
    assert sides["test"] and not sides["train"] & sides["test"]
    assert {row["label"] for row in found if row["split"] == "test"} == {f"label {n}" for n in range(4)}


def test_folds_measure_every_text_once_and_learn_from_no_text_they_measure(tmp_path: Path) -> None:
    path = tmp_path / "train.conll"
    sentences = [f"Lena\tB-PER\nvan\tI-PER\nOs\tI-PER\npays\tO\n{n if n % 5 else 'twice'}\tB-SUM" for n in range(40)]
    path.write_text("\n\n".join(sentences) + "\n", encoding="utf-8")

    texts = read(path)
    folds = [_fold(texts, at, 5) for at in range(5)]

    text, spans = texts[1]
    assert [(text[one["start"] : one["end"]], one["label"]) for one in spans] == [("Lena van Os", "PER"), ("1", "SUM")]
    measured = [one[0] for _, test in folds for one in test]
    assert sorted(measured) == sorted(text for text, _ in texts if not text.endswith("twice"))
    assert all(not {one[0] for one in train} & {one[0] for one in test} for train, test in folds)


def test_all_questions_about_a_passage_stand_on_one_side(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    lines = [
        {"question": f"why {n}", "context": f"passage {n % 10}", "answers": [{"text": "passage", "answer_start": 0}]}
        for n in range(60)
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")

    rows = list(answers.rows(path))

    sides = {side: {row["context"] for row in rows if row["split"] == side} for side in ("train", "test")}
    assert len(rows) == 60 and not sides["train"] & sides["test"] and len(sides["test"]) == 2
    assert rows[0]["answers"] == [{"text": "passage", "start": 0}]


def test_a_draw_holds_so_many_different_texts_of_each_label_by_the_seed() -> None:
    rows = [(f"Text {at % 15} of {label}", label) for label in ("a", "b") for at in range(30)] + [("rare", "c")]

    first, again, other = (quality.draw(rows, 10, seed) for seed in (1, 1, 2))

    assert first == again != other
    assert [len({text for text, name in first if name == label}) for label in ("a", "b", "c")] == [10, 10, 1]


def test_texts_that_are_learnt_from_are_not_judged() -> None:
    found = list(quality.records([("My card", "a")], [("my  CARD", "a"), ("a loan", "b")]))

    assert [(row["split"], row["text"], row["label"]) for row in found] == [
        ("train", "My card", "a"),
        ("test", "a loan", "b"),
    ]


def test_columns_of_public_files_are_found(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("sentence,label\nUp,positive\n", encoding="utf-8")

    packed = tmp_path / "rows.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))

    assert quality.read(path) == quality.read(packed) == [("Up", "positive")]


def test_without_a_file_to_measure_on_the_same_share_of_each_label_is_held_out() -> None:
    rows = [(f"text {at}", label) for label, count in (("a", 100), ("b", 50)) for at in range(count)]

    learnt, held = quality.apart(rows)

    assert [label for _, label in held].count("a") == 24 and [label for _, label in held].count("b") == 12
    assert sorted(learnt + held) == sorted(rows)


def test_naive_bayes_counts_words_and_pairs_of_chinese_characters() -> None:
    assert naive_bayes.terms("Good 好天气!") == ["good", "好", "天", "气", "好天", "天气", "!"]
    train, labels = [["up", "up"], ["down"], ["down"]], np.array([0, 1, 1])

    # p(0) p(up|0) = 1/3 * (2 + 1)/(2 + 2) = .25 against p(1) p(up|1) = 2/3 * 1/4 = .17; an unknown term says nothing
    found = naive_bayes.right_of(train, labels, [["up"], ["down"], ["new"]], np.array([0, 1, 0]), alpha=1.0)

    assert found.tolist() == [True, True, False]


def test_of_a_play_the_beginning_is_the_corpus_and_no_speech_of_the_rest_stands_in_two_rows(tmp_path: Path) -> None:
    play = "\n\n".join(f"ANNA:\nspeech {at}\nsecond line" for at in range(100)) + "\n\nEXIT"

    corpus, chats = (pq.read_table(path).to_pylist() for path in methods.corpus_and_chats(play, tmp_path))

    assert [len(row["text"].split("second line")) - 1 for row in corpus] == [20, 20, 20]
    told = [row[side].split("\n")[0] for row in chats for side in ("source", "target")]
    assert told == [f"speech {at}" for at in range(60, 98 + 2)][: len(told)] and len(told) >= 38
    assert {row["split"] for row in chats} == {"train", "dev"}


def test_the_spec_of_a_run_is_known_by_the_same_hash_wherever_its_base_lies(tmp_path: Path) -> None:
    options = {"context_tokens": 64}

    hashes = [spec_hash(methods.spec_of(tmp_path / name, "lora", 17, options)) for name in ("one", "other")]

    assert hashes[0] == hashes[1] != spec_hash(methods.spec_of(tmp_path / "one", "lora", 18, options))


def test_steps_to_a_loss_are_those_of_the_first_measurement_that_reaches_it() -> None:
    found = {"dev": [[10, 3.0], [20, 2.0], [30, 2.5]]}

    assert (steps_to(found, 2.0), steps_to(found, 2.9), lowest(found)) == (20, 20, 2.0)
