"""What the model sees: tokens a person can read, the learnt ones marked, and an estimate before the first step."""

from pathlib import Path
from typing import Any

import pytest

from engine import tasks
from engine.chat_folder import open_chat_model
from engine.data import read_texts
from engine.preflight import preflight
from engine.recipes import classify, sft
from engine.report import Silent
from engine.seen import SHOWN_ROWS, spans, visible
from engine.specs import BaseModel, ClassifySpec, SftSpec

TINY_CHAT = {"layers": 1, "width": 16, "heads": 2, "kv_heads": 2, "context_tokens": 32, "epochs": 1}


def marked(row: dict[str, Any]) -> list[str]:
    return ["".join(row["tokens"][start:end]) for start, end in row["learnt"]]


def test_a_chat_run_shows_its_first_rows_with_the_answers_marked(chats: Path, told: Any, tmp_path: Path) -> None:
    report = told()

    sft.train(SftSpec(**TINY_CHAT, sample_count=0), chats, tmp_path, report)

    (seen,) = report.sights
    rows = seen["rows"]
    assert len(rows) == SHOWN_ROWS
    assert rows[0]["example_id"] == 100
    (answer,) = marked(rows[1])
    assert answer.startswith("Look at ") and answer.endswith("<|end|>")
    assert [rows[1]["tokens"][at] for at in rows[1]["special"]] == ["<|user|>", "<|end|>", "<|assistant|>", "<|end|>"]
    assert seen["template"]["name"] == "lingxi-chat-1" and len(seen["template"]["hash"]) == 64


def test_a_classifier_run_shows_tokens_and_labels(encoder: Path, texts: Path, told: Any, tmp_path: Path) -> None:
    report = told()
    spec = ClassifySpec(base_model=BaseModel("folder", str(encoder)), epochs=1, max_length_tokens=6)

    classify.train(spec, texts, tmp_path, report)

    (seen,) = report.sights
    row = seen["rows"][0]
    assert row["tokens"][0] == "[CLS]" and row["tokens"][-1] == "[SEP]"
    assert row["special"] == [0, len(row["tokens"]) - 1]
    assert len(row["labels"]) == 1 and row["learnt"] == []
    words = [len(text.split()) for text in read_texts(texts)["train"].texts[:SHOWN_ROWS]]
    assert [row["is_cut"] for row in seen["rows"]] == [count + 2 > 6 for count in words]


@pytest.mark.parametrize("recipe", ["classify", "sft"])
def test_the_check_before_the_start_sees_what_the_run_will_see(
    encoder: Path, texts: Path, chats: Path, told: Any, tmp_path: Path, recipe: str
) -> None:
    spec: Any = SftSpec(**TINY_CHAT, sample_count=0)
    if recipe == "classify":
        spec = ClassifySpec(base_model=BaseModel("folder", str(encoder)), epochs=1, max_length_tokens=6)
    data, report = texts if recipe == "classify" else chats, told()

    found = preflight(spec, data, Silent())
    (sft if recipe == "sft" else classify).train(spec, data, tmp_path, report)

    assert found["seen"] == report.sights[0]


def test_a_run_without_an_estimate_makes_one_first(chats: Path, told: Any, tmp_path: Path) -> None:
    order = {"task": "train", "recipe": "sft", "data": {"path": str(chats)}, "out": str(tmp_path), "estimate": True}
    report = told()
    spec = SftSpec(**TINY_CHAT, sample_count=0)

    result = tasks.perform(order, spec, report)

    (estimated,) = report.estimates
    assert estimated["estimate"]["steps"] == result["steps"]
    assert estimated["parameters"]["total"] == result["parameters"]


def test_bytes_that_are_no_character_are_written_out(tiny_chat: Any) -> None:
    tokenizer = open_chat_model(tiny_chat("own")).template.tokenizer
    ids = tokenizer.encode("卡 a", add_special_tokens=False).ids

    assert "".join(visible(tokenizer, ids)).replace("\\xE5\\x8D\\xA1", "卡") == "卡 a"
    assert visible(tokenizer, tokenizer.encode("龙").ids) == ["\\xE9", "\\xBE", "\\x99"]


def test_learnt_tokens_are_told_as_spans() -> None:
    assert spans([False, True, True, False, True]) == [[1, 3], [4, 5]]
    assert spans([]) == []
