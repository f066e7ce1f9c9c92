"""What is exported and imported again is what it was, for every kind and every lossless format."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.datasets.formats.guessing import suggest_mapping
from apps.datasets.formats.mapping import Mapped, compile_mapping
from apps.datasets.formats.problems import RawRow
from apps.datasets.formats.reading import read_rows
from apps.datasets.formats.records import record_problems
from apps.datasets.formats.sniffing import sniff
from apps.datasets.formats.writers import SUFFIXES, Item, WriteOptions, formats_for, losses, write
from engine.specs.records import KINDS

# Formats that say they lose something for a few rows only, which these rows do not hold
EXACT = [
    (kind, name)
    for kind in KINDS
    for name in formats_for(kind)
    if name not in ("csv_spreadsheet", "text", "conll", "alpaca")
]
NASTY = st.sampled_from(
    ["\U0001f468\u200d\U0001f692", "e\u0301", "é", "银行卡", "مرحبا", "\r\n", "\n", "\r", '"', '""', "'", ",", ";", "|", "、", "\t",
     "  ", "\u2028", "\u0085", "\u00a0", "\ufeff", "=1+1", "@x", "-2", "+3", "_x000D_", "_x", "<b>&amp;</b>", "[", "]", "{", "}",
     "\\", "\\n", "\x01", "\x1f", "\x0b", "\ufffe", "Human: a", "null", "𠮷", "O", "#"]
)  # fmt: skip
CHARACTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
TEXT = st.lists(NASTY | st.text(CHARACTERS, max_size=4), min_size=1, max_size=6).map("".join).filter(str.strip)
META = st.dictionaries(
    st.text(CHARACTERS, min_size=1, max_size=4),
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | st.text(CHARACTERS),
    min_size=1,
    max_size=3,
)  # fmt: skip


@st.composite
def spans(draw: st.DrawFn) -> dict[str, Any]:
    text = draw(TEXT)
    ends = draw(st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(1, 9)), max_size=3))
    marked = [{"start": a, "end": min(len(text), a + n), "label": draw(TEXT)} for a, n in ends]
    return {"text": text, "spans": marked}


@st.composite
def qa(draw: st.DrawFn) -> dict[str, Any]:
    context = draw(TEXT)
    starts = draw(st.lists(st.integers(0, len(context) - 1), max_size=2))
    answers = [{"text": context[at : at + draw(st.integers(1, 5))], "start": at} for at in starts]
    return {"question": draw(TEXT), "context": context, "answers": answers}


@st.composite
def messages(draw: st.DrawFn, closing: str = "assistant") -> list[dict[str, str]]:
    turns = ["user", "assistant"] * draw(st.integers(1, 2))
    roles = (["system"] if draw(st.booleans()) else []) + (turns if closing == "assistant" else turns[:-1])
    if closing == "assistant" and draw(st.booleans()):
        roles += ["tool", "tool", "assistant"]
    return [{"role": role, "content": draw(TEXT)} for role in roles]


RECORDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "classification": st.fixed_dictionaries({"text": TEXT, "labels": st.lists(TEXT, max_size=3, unique=True)}),
    "spans": spans(),
    "pairs": st.fixed_dictionaries({"source": TEXT, "target": TEXT}),
    "qa": qa(),
    "chat": st.fixed_dictionaries({"messages": messages()}),
    "preference": st.fixed_dictionaries({"prompt": messages("user"), "chosen": TEXT, "rejected": TEXT}),
    "corpus": st.fixed_dictionaries({"text": TEXT}),
}


def items(kind: str) -> st.SearchStrategy[list[Item]]:
    record = st.tuples(RECORDS[kind], st.none() | META).map(lambda p: p[0] | ({"meta": p[1]} if p[1] else {}))
    split = st.sampled_from(["", "train", "dev", "test"])
    return st.lists(st.builds(Item, record=record, external_id=st.none() | TEXT, split=split), min_size=1, max_size=5)


def again(kind: str, path: Path) -> list[Mapped | Any]:
    found = sniff(path)
    assert not [problem for problem in found.problems if problem[0] != "encoding_unsure"], found.problems
    convert = compile_mapping(kind, suggest_mapping(kind, found.columns, found.sample, found.label_names))
    return [convert(row) if isinstance(row, RawRow) else row for row in read_rows(path, found.options)]


def told(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [(dict(row.record), row.external_id, row.split) for row in rows]


@pytest.mark.parametrize(("kind", "format"), EXACT)
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_export_then_import_is_identity(kind: str, format: str, data: st.DataObject) -> None:
    rows = data.draw(items(kind))
    assert not [problem for row in rows for problem in record_problems(kind, row.record)]
    options = WriteOptions(extras=True)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"out{SUFFIXES[format]}"
        report = write(kind, format, rows, path, options)
        found = again(kind, path)

    if format == "huggingface":  # files are read by name of the split
        order = {"test": 0, "train": 1, "": 2, "dev": 3}
        rows = sorted(rows, key=lambda row: order[row.split])
    assert report.rows == len(rows)
    assert told(found) == told(rows)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(asked=st.lists(TEXT, min_size=1, max_size=3), system=st.none() | TEXT)
def test_alpaca_keeps_questions_and_answers(asked: list[str], system: str | None) -> None:
    turns = [{"role": role, "content": said} for said in asked for role in ("user", "assistant")]
    head = [{"role": "system", "content": system}] if system else []
    rows = {
        "chat": Item({"messages": head + turns}, "1", "train"),
        "preference": Item({"prompt": head + turns[:-1], "chosen": "a", "rejected": "b"}, None, "dev"),
        "pairs": Item({"source": asked[0], "target": asked[-1]}, "x"),
    }

    with tempfile.TemporaryDirectory() as folder:
        for kind, row in rows.items():
            path = Path(folder) / "a.json"
            assert write(kind, "alpaca", [row], path).dropped == []
            assert told(again(kind, path)) == told([row])


def test_formats_that_are_exact_say_they_lose_nothing() -> None:
    for kind, name in EXACT:
        assert losses(kind, name, WriteOptions(extras=True)) == [] or name == "xlsx"


@pytest.mark.parametrize("unit", ["utf16", "byte"])
def test_offsets_in_another_unit_come_back(tmp_path: Path, unit: str) -> None:
    row = Item({"text": "😀 Rome", "spans": [{"start": 2, "end": 6, "label": "LOC"}]})
    path = tmp_path / "f.jsonl"

    write("spans", "jsonl", [row], path, WriteOptions(offset_unit=unit))

    assert "[" in path.read_text()
    found = sniff(path)
    mapping = suggest_mapping("spans", found.columns, found.sample)
    raw = next(iter(read_rows(path, found.options)))
    assert isinstance(raw, RawRow)
    assert raw.values["spans"][0]["start"] == {"utf16": 3, "byte": 5}[unit]
    back = compile_mapping("spans", mapping.__class__(**{**mapping.as_mapping(), "offset_unit": unit}))(raw)
    assert isinstance(back, Mapped)
    assert back.record == row.record
