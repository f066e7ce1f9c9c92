"""What is wrong with a few-shot run before it starts, and what it would cost."""

from pathlib import Path
from typing import Any

import pytest

from engine.failures import Refused
from engine.preflight import preflight
from engine.recipes import few_shot
from engine.report import Silent
from engine.specs import BaseModel, parse_spec
from engine.specs.few_shot import FewShotSpec


def problems_of(spec: FewShotSpec, data: Path) -> dict[str, str]:
    found = preflight(spec, data, Silent())["problems"]
    return {problem["code"]: str(problem["message"]) for problem in found}


def test_a_class_with_fewer_texts_than_asked_is_named(
    spec_for: Any, text_file: Any, labelled: Any, tmp_path: Path
) -> None:
    rows = [(text, [label], "train") for text, label in labelled(30)]
    rows += [("one more loan", ["loan"], "train")] * 4
    data = text_file(tmp_path / "t.parquet", rows)

    found = preflight(spec_for("contrastive", shots=11, holdout_share=0.0), data, Silent())["problems"]

    said = {str(problem["message"]): problem["rows"] for problem in found if problem["code"] == "too_few_shots"}
    assert "The label “card” has 10 different texts, not 11." in said
    assert "The label “loan” has 11 different texts, not 11." not in said and all(said.values())
    with pytest.raises(Refused, match="different texts"):
        few_shot.train(spec_for("contrastive", shots=11, holdout_share=0.0), data, tmp_path / "o", Silent())


def test_bad_rows_are_found_before_the_run(spec_for: Any, text_file: Any, labelled: Any, tmp_path: Path) -> None:
    def codes(rows: Any) -> set[str]:
        return set(problems_of(spec_for("contrastive"), text_file(tmp_path / "t.parquet", rows)))

    rows = [(text, [label], "train") for text, label in labelled(30)]
    assert "one_class" in codes([(text, ["card"], "train") for text, _, _ in rows])
    assert "empty_text" in codes([*rows, ("", ["card"], "test")])
    assert "test_leaks" in codes([*rows, *((text, names, "test") for text, names, _ in rows)])
    assert "several_labels" in codes([(text, [*names, "other"], "train") for text, names, _ in rows])


def test_a_model_without_a_head_for_words_is_refused_with_a_sentence(
    encoder: Path, writing_base: Path, texts: Path
) -> None:
    no_head = FewShotSpec(base_model=BaseModel("folder", str(encoder)), way="verbaliser")
    no_encoder = FewShotSpec(base_model=BaseModel("folder", str(writing_base)), way="contrastive")

    assert "has no head that says words" in problems_of(no_head, texts)["no_word_head"]
    assert "this base model is llama" in problems_of(no_encoder, texts)["not_together"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"label_words": "card: card; loan: card"}, "same_words"),
        ({"label_words": "card: zebra"}, "unknown_word"),
        ({"label_words": "cards: card"}, "unknown_label"),
        ({"pattern": "is is is {text} is is {label}", "max_length_tokens": 6}, "no_room"),
    ],
)
def test_words_that_cannot_stand_for_labels_are_named(
    options: dict[str, Any], code: str, spec_for: Any, texts: Path
) -> None:
    assert code in problems_of(spec_for("masked", **options), texts)


def test_a_writer_must_say_the_word_at_the_end(spec_for: Any, texts: Path) -> None:
    assert "bad_pattern" in problems_of(spec_for("written", pattern="{label} is {text}"), texts)
    assert "bad_pattern" not in problems_of(spec_for("masked", pattern="{label} is {text}"), texts)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"curve": "8,x"}, "curve"),
        ({"curve": "0,8"}, "curve"),
        ({"curve": "8,-2"}, "curve"),
        ({"way": "verbaliser", "pattern": "{text}"}, "pattern"),
        ({"way": "verbaliser", "label_words": "card"}, "label_words"),
        ({"way": "verbaliser", "method": "frozen"}, "method"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], field: str) -> None:
    spec, problems = parse_spec("few_shot", options)

    assert spec is None and [problem.field for problem in problems] == [field]


def test_the_preflight_says_what_a_run_costs_and_shows_what_is_drawn(
    spec_for: Any, texts: Path, told: Any, tmp_path: Path
) -> None:
    spec = spec_for("contrastive", curve="4,8")
    report = told()

    found = preflight(spec, texts, Silent())
    few_shot.train(spec, texts, tmp_path, report)

    assert found["rows"]["train"] == 24
    assert found["estimate"]["steps"] == max(one["step"] for one in report.metrics if "train_loss" in one)
    assert found["parameters"]["trainable"] < found["parameters"]["total"]
    assert found["seen"] == report.sights[0] and found["seen"]["template"]["name"] == "pairs"
    row = found["seen"]["rows"][0]
    assert row["tokens"].count("[CLS]") == 2 and len(row["labels"]) == 1


@pytest.mark.parametrize(("kind", "last"), [("masked", "[MASK]"), ("written", None)])
def test_the_filled_pattern_is_shown_with_the_place_of_the_word(
    kind: str, last: str | None, spec_for: Any, texts: Path
) -> None:
    row = preflight(spec_for(kind, shots=4), texts, Silent())["seen"]["rows"][0]

    ((start, end),) = row["learnt"]
    assert row["tokens"][start:end] == [last or row["labels"][0]]
    assert row["tokens"][start - 1] == "is"
