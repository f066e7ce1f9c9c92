"""Preflight: what is wrong with a dataset, with the rows named."""

from pathlib import Path
from typing import Any

import pytest

from engine.preflight import preflight
from engine.report import Silent
from engine.specs import BaseModel, ClassifySpec, SftSpec

Row = tuple[str, list[str], str]


@pytest.fixture
def good(labelled: Any) -> list[Row]:
    splits = ["train"] * 30 + ["dev"] * 9 + ["test"] * 9
    return [(text, [label], split) for (text, label), split in zip(labelled(48), splits, strict=True)]


def check(encoder: Path, tmp_path: Path, text_file: Any, rows: list[Row], **options: Any) -> dict[str, Any]:
    spec = ClassifySpec(base_model=BaseModel("folder", str(encoder)), **options)
    return preflight(spec, text_file(tmp_path / "rows.parquet", rows), Silent())


def broken(rows: list[Row], what: str) -> list[Row]:
    """The good rows with one thing wrong; row n has example id 100 + n."""
    text, labels, _ = rows[0]
    added: dict[str, list[Row]] = {
        "empty text": [("  ", ["loan"], "train")],
        "test leaks": [(f"  {text.upper()}", labels, "test")],
        "dev leaks": [(text, labels, "dev")],
        "unknown label": [("new words", ["insurance"], "test")],
        "rare label": [("rare words", ["insurance"], "train")],
        "two labels": [("two words", ["card", "loan"], "train")],
        "conflict": [(text, ["loan" if labels != ["loan"] else "card"], "train")],
        "long": [("please " * 40, ["loan"], "train")],
    }
    if what == "one class":
        return [(text, ["card"], split) for text, _, split in rows]
    if what == "one class dev":
        return [row for row in rows if row[2] != "dev" or row[1] == ["card"]]
    if what == "few rows":
        return rows[:4] + rows[30:]
    if what == "no rows":
        return [row for row in rows if row[2] != "train"]
    return rows + added[what]


@pytest.mark.parametrize(
    ("what", "code", "severity", "rows"),
    [
        ("empty text", "empty_text", "error", (148,)),
        ("test leaks", "test_leaks", "error", (148,)),
        ("dev leaks", "dev_leaks", "error", (148,)),
        ("unknown label", "unknown_label", "error", (148,)),
        ("rare label", "too_few_per_label", "error", (148,)),
        ("two labels", "several_labels", "error", (148,)),
        ("conflict", "conflicting_labels", "warning", (100, 148)),
        ("long", "truncated", "warning", (148,)),
        ("one class", "one_class", "error", ()),
        ("one class dev", "one_class_dev", "error", ()),
        ("few rows", "too_few_rows", "error", ()),
        ("no rows", "no_rows", "error", ()),
    ],
)
def test_a_mistake_in_the_rows_is_named(
    encoder: Path,
    tmp_path: Path,
    text_file: Any,
    good: list[Row],
    what: str,
    code: str,
    severity: str,
    rows: tuple[int, ...],
) -> None:
    found = check(encoder, tmp_path, text_file, broken(good, what), max_length_tokens=32)

    problem = next(problem for problem in found["problems"] if problem["code"] == code)
    assert problem["severity"] == severity and problem["hint"]
    assert tuple(problem["rows"]) == rows


def test_good_rows_have_no_problem_and_get_an_estimate(
    encoder: Path, tmp_path: Path, text_file: Any, good: list[Row]
) -> None:
    found = check(encoder, tmp_path, text_file, good, max_length_tokens=32, batch_size=8, epochs=3)

    assert found["problems"] == []
    assert found["rows"] == {"train": 30, "dev": 9, "test": 9}
    assert found["labels"][0] == {"label": "card", "train": 10, "dev": 3, "test": 3}
    assert sum(row["count"] for row in found["lengths"]["histogram"]) == 48
    assert found["estimate"]["steps"] == 12
    assert found["estimate"]["memory_bytes"] > 0 and found["estimate"]["seconds"] > 0
    assert found["parameters"]["trainable"] == found["parameters"]["total"] > 3000


def test_dev_is_held_out_evenly_where_the_dataset_has_none(
    encoder: Path, tmp_path: Path, text_file: Any, good: list[Row]
) -> None:
    found = check(encoder, tmp_path, text_file, good[:30], holdout_share=0.2)

    assert found["problems"] == [] and found["rows"] == {"train": 24, "dev": 6, "test": 0}
    assert [row["dev"] for row in found["labels"]] == [2, 2, 2]


def test_without_dev_rows_and_holdout_the_user_is_warned(
    encoder: Path, tmp_path: Path, text_file: Any, good: list[Row]
) -> None:
    found = check(encoder, tmp_path, text_file, good[:30], holdout_share=0.0)

    assert [(problem["code"], problem["severity"]) for problem in found["problems"]] == [("no_dev", "warning")]


def test_chats_are_counted_and_estimated(chats: Path) -> None:
    spec = SftSpec(width=16, heads=2, kv_heads=2, layers=1, vocabulary_size=300, context_tokens=64, batch_size=2)

    found = preflight(spec, chats, Silent())

    assert found["problems"] == [] and found["rows"] == {"train": 36, "dev": 6, "test": 6}
    assert found["estimate"]["steps"] > 0 and found["parameters"]["total"] > 5000


def test_the_trainable_parameters_of_a_method_are_counted_before_the_start(
    encoder: Path, tmp_path: Path, text_file: Any, good: list[Row]
) -> None:
    whole = check(encoder, tmp_path, text_file, good)
    frozen = check(encoder, tmp_path, text_file, good, method="frozen")
    adapted = check(encoder, tmp_path, text_file, good, method="lora", adapter_rank=4, adapter_targets="query_value")

    head = 3 * 16 + 3
    assert whole["parameters"]["trainable"] == whole["parameters"]["total"]
    assert frozen["parameters"]["trainable"] == 0
    assert adapted["parameters"]["trainable"] == head + 2 * 2 * (4 * 16 + 16 * 4)  # layers, matrices, A and B
    assert adapted["estimate"]["memory_bytes"] < whole["estimate"]["memory_bytes"]
