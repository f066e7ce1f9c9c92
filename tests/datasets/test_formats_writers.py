"""Writers: the same rows give the same bytes, and a lossy format says what it drops before and after."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pytest
import yaml

from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.parquet import version_schema
from apps.datasets.formats.problems import RawRow
from apps.datasets.formats.reading import read_rows
from apps.datasets.formats.writers import SUFFIXES, Item, WriteOptions, formats_for, losses, write
from engine.specs.records import KINDS, parquet_columns

U, A = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
ROWS: dict[str, Item] = {
    "classification": Item({"text": "=1\r\n你好", "labels": ["a"], "meta": {"n": 1}}, "7", "train"),
    "spans": Item({"text": "In Rome", "spans": [{"start": 3, "end": 7, "label": "LOC"}]}, None, "dev"),
    "pairs": Item({"source": "a", "target": "b"}),
    "qa": Item({"question": "q", "context": "c", "answers": []}),
    "chat": Item({"messages": [U, A]}),
    "preference": Item({"prompt": [U], "chosen": "x", "rejected": "y"}),
    "corpus": Item({"text": "t"}),
}


def span_item(text: str, *spans: tuple[int, int, str]) -> Item:
    return Item({"text": text, "spans": [{"start": a, "end": b, "label": label} for a, b, label in spans]})


def conll(folder: Path, item: Item, **options: str) -> tuple[list[str], list[str]]:
    path = folder / "f.conll"
    report = write("spans", "conll", [item], path, WriteOptions(**options))
    return [line.replace("\t", " ") for line in path.read_text().splitlines() if line], report.dropped


@pytest.mark.parametrize(("kind", "format"), [(kind, name) for kind in KINDS for name in formats_for(kind)])
def test_the_same_rows_give_the_same_bytes(
    tmp_path: Path, kind: str, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(kind, format, [ROWS[kind]] * 3, tmp_path / "one")
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)

    write(kind, format, iter([ROWS[kind]] * 3), tmp_path / "two")

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize(("kind", "format"), [(kind, name) for kind in KINDS for name in formats_for(kind)])
def test_no_rows_make_a_valid_empty_file(tmp_path: Path, kind: str, format: str) -> None:
    path = tmp_path / f"f{SUFFIXES[format]}"

    report = write(kind, format, [], path)

    assert (report.rows, report.dropped) == (0, [])
    assert path.exists()


def test_a_kind_without_the_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="chat cannot be written as conll"):
        write("chat", "conll", [], tmp_path / "f")
    with pytest.raises(ValueError, match="none of"):
        WriteOptions(scheme="other")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formulas_are_neutralised_for_spreadsheets_only(tmp_path: Path, start: str) -> None:
    item = Item({"text": f"{start}cmd()", "labels": ["ok"]})

    exact = write("classification", "csv", [item], tmp_path / "a.csv")
    safe = write("classification", "csv_spreadsheet", [item], tmp_path / "b.csv")

    assert exact.dropped == []
    assert (
        list(csv.reader(io.StringIO((tmp_path / "a.csv").read_bytes().decode(), newline="")))[1][1] == f"{start}cmd()"
    )
    assert (
        list(csv.reader(io.StringIO((tmp_path / "b.csv").read_bytes().decode("utf-8-sig"), newline="")))[1][1]
        == f"'{start}cmd()"
    )
    assert safe.dropped[0].startswith("1 values got an apostrophe")
    assert losses("classification", "csv_spreadsheet")


def test_excel_cells_are_texts_and_never_formulas(tmp_path: Path) -> None:
    text = "=SUM(1)\r\n_x0041_ \x01 <&>  "

    report = write("corpus", "xlsx", [Item({"text": text}, "007")], tmp_path / "f.xlsx")

    cell = openpyxl.load_workbook(tmp_path / "f.xlsx")["data"]["B2"]
    assert cell.data_type != "f"
    row = next(iter(read_rows(tmp_path / "f.xlsx", ReadOptions("xlsx"))))
    assert isinstance(row, RawRow)
    assert (row.values["text"], row.values["id"]) == (text, "007")
    assert report.dropped == ["1 rows hold control characters, written in Excel's own _xHHHH_ form."]


def test_what_excel_cannot_hold_is_left_out_and_counted(tmp_path: Path) -> None:
    report = write("corpus", "xlsx", [Item({"text": "x" * 40_000}), Item({"text": "ok"})], tmp_path / "f.xlsx")

    assert report.rows == 1
    assert report.dropped[0].startswith("1 rows left out")
    assert losses("corpus", "xlsx")


def test_conll_tags_of_every_scheme(tmp_path: Path) -> None:
    item = span_item("Ann Lee Bob x", (0, 7, "P"), (8, 11, "P"))

    wanted = {
        "iob2": ["B-P", "I-P", "B-P", "O"],
        "iob1": ["I-P", "I-P", "B-P", "O"],
        "iobes": ["B-P", "E-P", "S-P", "O"],
        "bilou": ["B-P", "L-P", "U-P", "O"],
    }

    for scheme, tags in wanted.items():
        lines, dropped = conll(tmp_path, item, scheme=scheme)
        assert lines == [f"{word} {tag}" for word, tag in zip(["Ann", "Lee", "Bob", "x"], tags, strict=True)]
        assert dropped == []


# label-studio #1250: a Chinese sentence came out as one token
def test_conll_cuts_chinese_by_character(tmp_path: Path) -> None:
    assert conll(tmp_path, span_item("去 北京OK", (2, 4, "L")))[0] == ["去 O", "北 B-L", "京 I-L", "OK O"]
    assert conll(tmp_path, span_item("去 ab", (2, 3, "L")), tokenizer="char")[0] == ["去 O", "a B-L", "b O"]


def test_conll_says_what_it_drops(tmp_path: Path) -> None:
    item = span_item("New York Times Jane", (0, 8, "LOC"), (0, 14, "ORG"), (16, 19, "P"))

    lines, dropped = conll(tmp_path, item, tokenizer="whitespace")

    assert lines == ["New B-ORG", "York I-ORG", "Times I-ORG", "Jane O"]
    assert dropped == [
        "1 spans left out: a longer one overlaps them.",
        "1 spans left out: they begin or end inside a token.",
    ]
    assert len(losses("spans", "conll")) == 4


# label-studio-converter #15: of two entities joined by a hyphen the second was lost
def test_conll_keeps_both_entities_around_a_hyphen(tmp_path: Path) -> None:
    assert conll(tmp_path, span_item("Rome-Paris", (0, 4, "L"), (5, 10, "L")))[0] == ["Rome B-L", "- O", "Paris B-L"]


def test_plain_text_counts_what_changed(tmp_path: Path) -> None:
    rows = [ROWS["classification"], Item({"text": "plain", "labels": []})]

    report = write("classification", "text", rows, tmp_path / "f.txt")

    assert (tmp_path / "f.txt").read_text() == "=1 你好\nplain\n"
    assert report.dropped == [
        "1 rows lost their id, split or extra columns.",
        "1 rows lost their labels or spans.",
        "1 texts had line breaks, which became spaces.",
    ]


def test_openai_lines_hold_nothing_openai_refuses(tmp_path: Path) -> None:
    row = Item({"messages": [U, A], "meta": {"a": 1}}, "7", "train")

    report = write("chat", "openai_chat", [row], tmp_path / "f.jsonl")

    assert json.loads((tmp_path / "f.jsonl").read_text()) == {"messages": [U, A]}
    assert losses("chat", "openai_chat") == ["Ids, splits and extra columns are left out."]
    assert report.dropped == ["1 rows lost their id, split or extra columns."]


def test_alpaca_leaves_out_what_it_cannot_say(tmp_path: Path) -> None:
    rows = [Item({"messages": [U]}), Item({"messages": [A, U, A]}), Item({"messages": [U, A, U, A]})]

    report = write("chat", "alpaca", rows, tmp_path / "f.json")

    assert json.loads((tmp_path / "f.json").read_text()) == [
        {"instruction": "hi", "input": "", "output": "hello", "history": [["hi", "hello"]]}
    ]
    assert report.dropped == ["2 conversations left out: they are not questions and answers in turn."]


def test_sharegpt_has_the_names_of_its_world(tmp_path: Path) -> None:
    rows = [Item({"messages": [{"role": "system", "content": "s"}, U, A]})]

    write("chat", "sharegpt", rows, tmp_path / "f.json")

    entry = {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}], "system": "s"}
    assert json.loads((tmp_path / "f.json").read_text()) == [entry]


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_version_has_the_columns_of_its_kind(tmp_path: Path, kind: str) -> None:
    item = Item(ROWS[kind].record, "x", "test", example_id=5)

    write(kind, "parquet", [item], tmp_path / "f.parquet", WriteOptions(example_ids=True))

    table = pq.read_table(tmp_path / "f.parquet")
    assert table.schema.equals(version_schema(kind))
    assert table.column_names == [name for name, _ in parquet_columns(kind)]
    assert table["example_id"].to_pylist() == [5]


def test_the_hugging_face_layout(tmp_path: Path) -> None:
    rows = [Item({"text": f"t{n}"}, str(n), split) for n, split in enumerate(["train", "dev", "test", "train", ""])]

    write("corpus", "huggingface", rows, tmp_path / "f.zip", WriteOptions(name="my\ndata"))

    with zipfile.ZipFile(tmp_path / "f.zip") as archive:
        names = archive.namelist()
        card = archive.read("README.md").decode()
        train = pq.read_table(io.BytesIO(archive.read("data/train-00000-of-00001.parquet")))
        dates = {info.date_time for info in archive.infolist()}
    splits = ["test", "train", "unsplit", "validation"]
    assert names == ["README.md", *[f"data/{split}-00000-of-00001.parquet" for split in splits]]
    assert yaml.safe_load(card.split("---")[1]) == {
        "configs": [{"config_name": "default", "data_files": [{"split": s, "path": f"data/{s}-*"} for s in splits]}]
    }
    assert "# my data\n" in card
    assert train["external_id"].to_pylist() == ["0", "3"]
    assert dates == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("format", ["csv", "jsonl", "json", "parquet", "xlsx", "huggingface"])
def test_rows_are_taken_one_at_a_time(tmp_path: Path, format: str) -> None:
    alive = 0

    class Held(dict[str, object]):
        def __init__(self) -> None:
            nonlocal alive
            super().__init__(text="x" * 100_000)
            alive += 1

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    most = 0

    def items() -> Iterator[Item]:
        nonlocal most
        for _ in range(100):
            yield Item(Held(), None, "train") if format != "xlsx" else Item({"text": "x"})
            most = max(most, alive)

    report = write("corpus", format, items(), tmp_path / "f")

    assert report.rows + sum("left out" in note for note in report.dropped) == 100
    assert most <= 3
