"""Canonical records: what is refused, field by field."""

from typing import Any

import pytest

from engine.specs import KINDS, check_record, parquet_columns

GOOD: dict[str, dict[str, Any]] = {
    "classification": {
        "text": "好",
        "labels": ["a"],
        "meta": {"source": "mail", "stars": 4, "spam": False, "by": None},
    },
    "spans": {"text": "to Bern", "spans": [{"start": 3, "end": 7, "label": "place"}]},
    "pairs": {"source": "hello", "target": "你好"},
    "qa": {"question": "where?", "context": "in Bern", "answers": [{"text": "Bern", "start": 3}]},
    "chat": {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]},
    "preference": {"prompt": [{"role": "user", "content": "hi"}], "chosen": "hello", "rejected": "no"},
    "corpus": {"text": "once"},
}
BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("classification", {"text": "  "}, "empty", "text"),
    ("classification", {"text": "a\0b"}, "nul_character", "text"),
    ("classification", {"text": 5}, "wrong_type", "text"),
    ("classification", {"labels": "a"}, "wrong_type", "labels"),
    ("classification", {"labels": ["a", "a"]}, "duplicate", "labels"),
    ("classification", {"colour": "red"}, "unknown_field", "colour"),
    ("classification", {"meta": {"deep": [1]}}, "wrong_type", "meta.deep"),
    ("spans", {"spans": [{"start": 3, "end": 8, "label": "place"}]}, "span_outside", "spans.0"),
    ("spans", {"spans": [{"start": 3, "end": 3, "label": "place"}]}, "span_outside", "spans.0"),
    ("spans", {"spans": [{"start": True, "end": 7, "label": "place"}]}, "wrong_type", "spans.0"),
    ("qa", {"answers": [{"text": "Bern", "start": 2}]}, "answer_elsewhere", "answers.0"),
    ("chat", {"messages": []}, "empty", "messages"),
    ("chat", {"messages": [{"role": "robot", "content": "hi"}]}, "bad_role", "messages.0.role"),
    ("chat", {"messages": [{"role": "user", "content": ""}]}, "empty", "messages.0.content"),
    ("preference", {"chosen": ""}, "empty", "chosen"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_canonical_record_has_no_problem(kind: str) -> None:
    assert check_record(kind, GOOD[kind]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_field_is_named(kind: str) -> None:
    problems = check_record(kind, {})

    assert {problem.field for problem in problems} == {name for name, _ in parquet_columns(kind)[4:]}


@pytest.mark.parametrize(("kind", "change", "code", "field"), BAD)
def test_a_bad_record_is_refused_by_field(kind: str, change: dict[str, Any], code: str, field: str) -> None:
    problems = check_record(kind, GOOD[kind] | change)

    assert [(problem.code, problem.field) for problem in problems] == [(code, field)]


def test_an_unanswerable_question_and_an_unlabelled_text_are_records() -> None:
    assert check_record("qa", GOOD["qa"] | {"answers": []}) == []
    assert check_record("classification", {"text": "a", "labels": []}) == []
