"""Sniffing: what a file is, by its content."""

import gzip
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from apps.datasets.formats.problems import FileProblem
from apps.datasets.formats.sniffing import Sniffed, sniff


def sniffed(folder: Path, content: bytes | str, name: str = "file") -> Sniffed:
    path = folder / "upload"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return sniff(path, name)


@pytest.mark.parametrize(("delimiter", "format"), [(",", "csv"), (";", "csv"), ("\t", "tsv"), ("|", "csv")])
def test_the_delimiter_is_found_even_when_quoted_cells_hold_others(tmp_path: Path, delimiter: str, format: str) -> None:
    rows = [f'"a, b; c\nd{n}"{delimiter}x{delimiter}{n}' for n in range(9)]

    found = sniffed(tmp_path, "\n".join([delimiter.join(["text", "label", "n"]), *rows]) + "\n")

    assert (found.format, found.delimiter, found.columns) == (format, delimiter, ["text", "label", "n"])
    assert len(found.sample) == 9
    assert found.problems == []


def test_a_tsv_with_stray_quotes_is_read_without_quoting(tmp_path: Path) -> None:
    found = sniffed(tmp_path, 'text\tlabel\n"Yes" he said\ta\n5" disk\tb\n"never closed\tc\n', "f.tsv")

    assert not found.options.quoting
    assert [row["text"] for row in found.sample] == ['"Yes" he said', '5" disk', '"never closed']


def test_a_file_without_header_is_noticed(tmp_path: Path) -> None:
    found = sniffed(tmp_path, "1,good product\n0,bad product\n1,fine\n", "f.csv")

    assert not found.options.header
    assert found.columns == ["column_1", "column_2"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
def test_the_encoding_is_found(tmp_path: Path, encoding: str) -> None:
    rows = "".join(f"我的银行卡丢了，请帮我挂失{n},挂失\r\n" for n in range(30))

    found = sniffed(tmp_path, ("文本,标签\r\n" + rows).encode(encoding), "f.csv")

    assert found.encoding == encoding.removesuffix("-sig")
    assert found.columns == ["文本", "标签"]
    assert found.sample[0]["标签"] == "挂失"
    assert found.problems == []


def test_chinese_far_behind_ascii_still_decides_the_encoding(tmp_path: Path) -> None:
    content = "text,label\n" + "plain,x\n" * 60_000 + "".join(f"银行卡{n},挂失\n" for n in range(50))

    assert sniffed(tmp_path, content.encode("gb18030"), "f.csv").encoding == "gb18030"
    assert sniffed(tmp_path, content.encode(), "f.csv").encoding == "utf-8"


def test_a_few_broken_bytes_leave_utf8_with_a_doubt(tmp_path: Path) -> None:
    found = sniffed(tmp_path, "文本,标签\n".encode() + "好的谢谢,a\n".encode() * 30 + b"\xff,b\n", "f.csv")

    assert found.encoding == "utf-8"
    assert [code for code, _ in found.problems] == ["encoding_unsure", "invalid_encoding"]


def test_western_text_is_a_guess_that_is_told(tmp_path: Path) -> None:
    found = sniffed(tmp_path, "text,label\ncafé à la crème,ça va\nnaïve,été\n".encode("cp1252"), "f.csv")

    assert found.encoding == "cp1252"
    assert found.sample[0]["text"] == "café à la crème"
    assert found.problems[0][0] == "encoding_unsure"


CHAT = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
SHAREGPT = {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}
ALPACA = {"instruction": "say", "input": "", "output": "said"}
DPO = {"prompt": "say", "chosen": "good", "rejected": "bad"}


@pytest.mark.parametrize(
    ("row", "shape"),
    [(CHAT, "openai_chat"), (SHAREGPT, "sharegpt"), (ALPACA, "alpaca"), (DPO, "preference"), ({"text": "a"}, "")],
)
def test_json_layouts_are_told_apart(tmp_path: Path, row: dict[str, object], shape: str) -> None:
    lines = (json.dumps(row) + "\n") * 3

    assert (sniffed(tmp_path, lines).format, sniffed(tmp_path, lines).shape) == ("jsonl", shape)
    assert sniffed(tmp_path, json.dumps(row)).format == "jsonl"
    for content in (json.dumps([row, row]), json.dumps([row, row], indent=2)):
        found = sniffed(tmp_path, content, "f.json")
        assert (found.format, found.shape, found.columns) == ("json", shape, list(row))


def test_a_list_inside_an_object_is_found(tmp_path: Path) -> None:
    found = sniffed(tmp_path, json.dumps({"version": 2, "info": {"a": [1]}, "data": [{"text": "a"}]}), "f.json")

    assert (found.format, found.options.list_path, found.columns) == ("json", "data", ["text"])


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["B-A", "I-A", "O", "B-B"], "iob2"),
        (["I-A", "I-A", "B-A", "O"], "iob1"),
        (["B-A", "E-A", "O", "S-B"], "iobes"),
        (["B-A", "L-A", "O", "U-B"], "bilou"),
        (["B-A", "M-A", "E-A", "O"], "bmes"),
    ],
)
def test_conll_and_its_scheme(tmp_path: Path, tags: list[str], scheme: str) -> None:
    for gap in ("\t", " ", " NN X "):
        lines = "".join(f"w{at}{gap}{tag}\n" for at, tag in enumerate(tags))
        found = sniffed(tmp_path, f"-DOCSTART- -X- O\n\n{lines}\n{lines}\n", "f.txt")
        assert (found.format, found.scheme) == ("conll", scheme)


def test_plain_text_stays_plain(tmp_path: Path) -> None:
    prose = "To be, or not to be, that is the question.\nWhether 'tis nobler\nin the mind, to suffer\n"

    for name in ("f.txt", "f"):
        assert sniffed(tmp_path, prose, name).format == "text"


def test_packed_files_are_looked_into(tmp_path: Path) -> None:
    content = b"text,label\na,b\nc,d\n"
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("inner.csv", content)

    assert sniffed(tmp_path, gzip.compress(content), "f.csv.gz").compression == "gzip"
    found = sniff(tmp_path / "z.zip")
    assert (found.format, found.compression, found.columns) == ("csv", "zip", ["text", "label"])


def test_class_names_of_parquet_are_read(tmp_path: Path) -> None:
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}, "text": {"dtype": "string"}}
    table = pa.table({"text": ["a"], "label": [1]})
    pq.write_table(
        table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), tmp_path / "f"
    )

    found = sniff(tmp_path / "f")

    assert (found.format, found.label_names) == ("parquet", {"label": ["neg", "pos"]})


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b" \n\n", "empty_file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "binary_file"),
        (bytes(range(256)) * 20, "binary_file"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "binary_file"),
        (b"PAR1 is not enough", "damaged_parquet"),
        (b"PK\x03\x04 is not a zip", "damaged_zip"),
        (gzip.compress(b"text,label\na,b\n", mtime=0)[:9], "truncated_gzip"),
        (gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(100), mtime=0), "binary_file"),
    ],
)
def test_what_can_be_no_data_is_one_clear_problem(tmp_path: Path, content: bytes, code: str) -> None:
    with pytest.raises(FileProblem) as caught:
        sniffed(tmp_path, content, "f.csv")

    assert caught.value.code == code


def test_problems_of_the_first_rows_are_told_without_failing(tmp_path: Path) -> None:
    assert sniffed(tmp_path, b"a,b\n1,2\n3\n4,5\n", "f.csv").problems[0][0] == "ragged_row"
    assert sniffed(tmp_path, b"a,a\n1,2\n", "f.csv").problems[0][0] == "duplicate_headers"
    assert sniffed(tmp_path, b'[{"a": 1}, {"a": ', "f.json").problems[0][0] == "truncated_json"


def test_a_line_longer_than_the_look_at_a_file_is_json_lines_by_name(tmp_path: Path) -> None:
    rows = [json.dumps({"text": "long " * 200_000, "split": split}) for split in ("train", "dev")]

    found = sniffed(tmp_path, "\n".join(rows) + "\n", "book.jsonl")

    assert found.format == "jsonl" and [row["split"] for row in found.sample] == ["train", "dev"]
