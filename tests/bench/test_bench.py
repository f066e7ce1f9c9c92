"""The benches: their bounds, their names, and a split that keeps texts on one side."""

import csv
import json
from importlib import import_module
from pathlib import Path

import pytest

from config.management.commands.bench import BENCHES, line_of
from core.embedded.connect import adopt
from workers.bench import answers, few_shot
from workers.bench.entities import _fold, read
from workers.bench.measure import Measure
from workers.bench.quality import _write


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


def test_held_out_rows_share_no_text_with_the_rest(tmp_path: Path) -> None:
    source, target = tmp_path / "train.csv", tmp_path / "split.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "category"])
        writer.writerows([[f"{'Same text' if n % 3 == 0 else f'text {n}'}", f"label {n % 4}"] for n in range(4000)])

    _write(source, target)

    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sides = {side: {row["text"].lower() for row in rows if row["split"] == side} for side in ("train", "test")}
    assert sides["test"] and not sides["train"] & sides["test"]
    assert {row["label"] for row in rows if row["split"] == "test"} == {f"label {n}" for n in range(4)}


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

    first, again, other = (few_shot.draw(rows, 10, seed) for seed in (1, 1, 2))

    assert first == again != other
    assert [len({text for text, name in first if name == label}) for label in ("a", "b", "c")] == [10, 10, 1]


def test_texts_that_are_learnt_from_are_not_judged() -> None:
    found = list(few_shot.records([("My card", "a")], [("my  CARD", "a"), ("a loan", "b")]))

    assert [(row["split"], row["text"], row["label"]) for row in found] == [
        ("train", "My card", "a"),
        ("test", "a loan", "b"),
    ]


def test_columns_of_public_files_are_found(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("sentence,label\nUp,positive\n", encoding="utf-8")

    assert few_shot.read(path) == [("Up", "positive")]
