"""Mapping: columns of all names become canonical records, or say what is wrong."""

import json
from typing import Any

import pytest

from apps.datasets.formats.guessing import suggest_mapping
from apps.datasets.formats.mapping import FIELDS, Mapped, Mapping, apply_mapping, missing_fields
from apps.datasets.formats.problems import Position, RawRow, RowError

U, A, S = ({"role": r, "content": c} for r, c in (("user", "hi"), ("assistant", "hello"), ("system", "be kind")))


def apply(kind: str, values: dict[str, Any], mapping: Mapping | None = None) -> Mapped | list[RowError]:
    chosen = mapping or suggest_mapping(kind, list(values), [values])
    return apply_mapping(kind, chosen, RawRow(7, values, Position()))


def record(kind: str, values: dict[str, Any], mapping: Mapping | None = None) -> dict[str, Any]:
    found = apply(kind, values, mapping)
    assert isinstance(found, Mapped), found
    return found.record


def codes(kind: str, values: dict[str, Any], mapping: Mapping | None = None) -> list[str]:
    found = apply(kind, values, mapping)
    assert not isinstance(found, Mapped)
    assert all(error.number == 7 and error.message for error in found)
    return [error.code for error in found]


@pytest.mark.parametrize(
    ("text", "label"),
    [("text", "label"), ("Content", "Intent"), ("sentence", "category"), ("review", "Sentiment"), ("文本", "标签"),
     ("内容", "类别"), ("utterance", "intents"), ("query", "class"), ("评论", "情感")],
)  # fmt: skip
def test_names_of_text_and_label_are_guessed(text: str, label: str) -> None:
    rows = [{"n": str(n), label: "good", text: f"a longer text {n}"} for n in range(3)]

    mapping = suggest_mapping("classification", ["n", label, text], rows)

    assert mapping.columns == {"text": text, "label": label}


def test_without_names_the_longest_column_is_the_text_and_few_values_the_label() -> None:
    rows = [{"a": f"a rather long text number {n}", "b": "xy"[n % 2]} for n in range(20)]

    assert suggest_mapping("classification", ["b", "a"], rows).columns == {"text": "a", "label": "b"}


@pytest.mark.parametrize(
    ("cell", "labels"),
    [("a", ["a"]), (" a ", ["a"]), ("", []), (None, []), (3, ["3"]), (True, ["true"]), (2.0, ["2"]), (["a", "b"], ["a", "b"]),
     ('["a|b", "c"]', ["a|b", "c"]), ("[x", ["[x"]), (["a", "a"], ["a"]), ([], [])],
)  # fmt: skip
def test_label_cells(cell: object, labels: list[str]) -> None:
    assert record("classification", {"text": "t", "label": cell})["labels"] == labels


def test_a_separator_of_labels_is_noticed() -> None:
    rows = [{"text": "t", "labels": "a|b"}, {"text": "t", "labels": "c"}]

    mapping = suggest_mapping("classification", ["text", "labels"], rows)

    assert mapping.label_separator == "|"
    assert record("classification", {"text": "t", "labels": " a | b||c"}, mapping)["labels"] == ["a", "b", "c"]


def test_numbers_are_looked_up_in_the_table_of_labels() -> None:
    mapping = suggest_mapping("classification", ["text", "label"], [], {"label": ["neg", "pos"]})

    assert record("classification", {"text": "t", "label": 1}, mapping)["labels"] == ["pos"]
    assert record("classification", {"text": "t", "label": "0"}, mapping)["labels"] == ["neg"]
    assert record("classification", {"text": "t", "label": -1}, mapping)["labels"] == []
    assert codes("classification", {"text": "t", "label": 7}, mapping) == ["unknown_label"]


def test_id_split_and_extra_columns_travel_beside_the_record() -> None:
    values = {
        "id": 12,
        "text": "t",
        "Split": "Validation",
        "score": 0.5,
        "tags": None,
        "nested": {"a": [1]},
        "meta": {"k": "v"},
    }

    found = apply("corpus", values)

    assert isinstance(found, Mapped)
    assert (found.number, found.external_id, found.split) == (7, "12", "dev")
    assert found.record == {"text": "t", "meta": {"score": 0.5, "nested": '{"a":[1]}', "k": "v"}}


def test_a_constant_split_fills_in_and_meta_may_be_chosen() -> None:
    mapping = Mapping({"text": "text"}, meta=("a",), split="test")

    found = apply("corpus", {"text": "t", "a": "1", "b": "2"}, mapping)

    assert isinstance(found, Mapped)
    assert (found.split, found.record["meta"]) == ("test", {"a": "1"})


@pytest.mark.parametrize(
    ("values", "code"),
    [({"text": ""}, "empty"), ({"text": "  \n"}, "empty"), ({"text": None}, "wrong_type"), ({"text": 5}, "wrong_type"),
     ({"text": ["a"]}, "wrong_type"), ({"text": "a\0b"}, "nul_character"), ({"text": "a\ud800b"}, "lone_surrogate"),
     ({"text": "t", "label": [""]}, "empty"), ({"text": "t", "label": {"a": 1}}, "wrong_type"),
     ({"text": "t", "split": "holdout"}, "bad_split"), ({"text": "t", "id": [1]}, "bad_id"),
     ({"text": "t", "x": float("inf")}, "wrong_type"), ({"text": "t", "x\0": "y"}, "nul_character")],
)  # fmt: skip
def test_wrong_values_are_refused_with_a_code(values: dict[str, Any], code: str) -> None:
    names = {"text": "text", "label": "label", "split": "split", "external_id": "id"}
    mapping = Mapping({field: column for field, column in names.items() if column in values})

    assert codes("classification", values, mapping) == [code]


SHAREGPT = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]


@pytest.mark.parametrize(
    ("values", "messages"),
    [
        ({"messages": [S, U, A]}, [S, U, A]),
        ({"messages": json.dumps([U, A])}, [U, A]),
        ({"messages": [U, {"role": "assistant", "content": [{"type": "text", "text": "hello"}]}]}, [U, A]),
        ({"conversations": SHAREGPT}, [U, A]),
        ({"conversations": SHAREGPT, "system": "be kind"}, [S, U, A]),
        ({"instruction": "hi", "input": "", "output": "hello"}, [U, A]),
        ({"instruction": "say", "input": "hi", "output": "hello"}, [{"role": "user", "content": "say\nhi"}, A]),
        ({"instruction": "hi", "output": "hello", "system": "be kind", "history": [["hi", "hello"]]}, [S, U, A, U, A]),
        ({"conversations": [*SHAREGPT[:1], {"from": "function_call", "value": "f()"}, {"from": "observation", "value": "1"},
          *SHAREGPT[1:]]}, [U, {"role": "assistant", "content": "f()"}, {"role": "tool", "content": "1"}, A]),
    ],
)  # fmt: skip
def test_chat_in_the_shapes_of_others(values: dict[str, Any], messages: list[dict[str, str]]) -> None:
    assert record("chat", values) == {"messages": messages}


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], "empty"),
        ([{"role": "boss", "content": "x"}], "bad_role"),
        ([{"content": "x"}], "wrong_type"),
        ([U, {"role": "assistant", "content": ""}], "empty"),
        ([U, {"role": "assistant", "content": None}], "wrong_type"),
        ([U, {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}], "tool_calls"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "not_text"),
        ([U, U, A], "role_order"),
        ([U, S, A], "role_order"),
        ([U, {"role": "tool", "content": "x"}], "role_order"),
        ("not json", "wrong_type"),
        ("[{", "invalid_json"),
    ],
)
def test_wrong_conversations_are_refused_with_a_code(messages: object, code: str) -> None:
    mapping = Mapping({"messages": "messages"})

    assert codes("chat", {"messages": messages}, mapping) == [code]


PREFERENCE = {"prompt": [U], "chosen": "good", "rejected": "bad"}
GOOD, BAD = ({"role": "assistant", "content": c} for c in ("good", "bad"))


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": "hi", "chosen": "good", "rejected": "bad"},
        {"prompt": [U], "chosen": [GOOD], "rejected": [BAD]},
        {"question": "hi", "chosen": "good", "rejected": "bad"},
        {"prompt": [U], "chosen": [U, GOOD], "rejected": [U, BAD]},
        {"chosen": [U, GOOD], "rejected": [U, BAD]},
        {"chosen": "\n\nHuman: hi\n\nAssistant: good", "rejected": "\n\nHuman: hi\n\nAssistant: bad"},
        {"instruction": "hi", "input": "", "chosen": "good", "rejected": "bad"},
        {
            "conversations": SHAREGPT[:1],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        {"input": {"messages": [U]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
    ],
)
def test_preferences_in_the_shapes_of_others(values: dict[str, Any]) -> None:
    found = record("preference", values)
    found.pop("meta", None)

    assert found == PREFERENCE


def test_preferences_without_a_common_prompt_are_refused() -> None:
    assert codes("preference", {"chosen": "good", "rejected": "bad"}) == ["empty"]
    assert codes("preference", {"chosen": [U, A, U, GOOD], "rejected": [U, BAD]}) == ["bad_answer"]
    assert codes("preference", {"prompt": [U, A], "chosen": "a", "rejected": "b"}) == ["role_order"]


def test_answers_of_questions() -> None:
    base = {"question": "where?", "context": "😀 in Rome, Italy"}
    answer = [{"text": "Rome", "start": 5}]

    for extra in (
        {"answers": {"text": ["Rome"], "answer_start": [5]}},
        {"answers": json.dumps(answer)},
        {"answers": [{"text": "Rome", "answer_start": 5}]},
        {"answer": "Rome"},
        {"answer": "Rome", "answer_start": "5"},
    ):
        assert record("qa", base | extra)["answers"] == answer
    for empty in ({}, {"answers": []}, {"answers": {"text": [], "answer_start": []}}, {"answer": ""}):
        assert record("qa", base | empty)["answers"] == []
    assert codes("qa", base | {"answer": "Paris"}) == ["answer_start"]
    assert codes("qa", base | {"answers": [{"text": "Rome", "start": 4}]}) == ["answer_elsewhere"]


def test_pairs_in_the_shapes_of_others() -> None:
    wanted = {"source": "good day", "target": "你好"}

    for values in (
        {"source": "good day", "target": "你好"},
        {"en": "good day", "zh": "你好"},
        {"translation": {"en": "good day", "zh": "你好"}},
        {"input": "good day", "output": "你好"},
        {"instruction": "good day", "input": "", "output": "你好"},
        {"原文": "good day", "译文": "你好"},
    ):
        assert record("pairs", values) == wanted


def test_tokens_and_tags_become_text_and_spans() -> None:
    english = {"tokens": ["Ann", "Lee", "sings"], "ner_tags": ["B-PER", "I-PER", "O"]}
    chinese = {"tokens": list("我在北京"), "ner_tags": json.dumps(["O", "O", "B-LOC", "I-LOC"])}
    named = {"tokens": ["Ann", "Lee"], "ner_tags": [1, 1]}

    assert record("spans", english) == {"text": "Ann Lee sings", "spans": [{"start": 0, "end": 7, "label": "PER"}]}
    assert record("spans", chinese) == {"text": "我在北京", "spans": [{"start": 2, "end": 4, "label": "LOC"}]}
    mapping = suggest_mapping("spans", list(named), [named], {"ner_tags": ["O", "B-PER"]})
    assert [s["end"] for s in record("spans", named, mapping)["spans"]] == [3, 7]
    assert codes("spans", {"tokens": ["a"], "tags": ["O", "O"]}) == ["tag_count"]
    assert codes("spans", {"tokens": ["a"], "tags": ["X-1"]}, Mapping({"tokens": "tokens", "tags": "tags"})) == [
        "bad_tag"
    ]


def test_a_text_beside_tokens_keeps_its_spaces() -> None:
    values = {"text": "Ann  Lee", "tokens": ["Ann", "Lee"], "tags": ["B-PER", "I-PER"]}

    assert record("spans", values)["text"] == "Ann  Lee"
    assert record("spans", values)["spans"] == [{"start": 0, "end": 8, "label": "PER"}]


def test_a_mapping_survives_json_and_names_what_is_missing() -> None:
    mapping = Mapping({"text": "t"}, meta=("a",), label_names={"0": "x"})

    assert Mapping.from_mapping(json.loads(json.dumps(mapping.as_mapping()))) == mapping
    assert missing_fields("pairs", Mapping({"source": "a"})) == ["target"]
    assert missing_fields("spans", Mapping({"tokens": "a", "tags": "b"})) == []
    for kind in FIELDS:
        assert missing_fields(kind, Mapping())
        assert not isinstance(apply(kind, {"unrelated": 1}, Mapping()), Mapped)
    with pytest.raises(TypeError):
        Mapping.from_mapping({"nonsense": 1})
