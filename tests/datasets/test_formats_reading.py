"""Reading files: good rows go on, bad rows say why, damage never loses what came before."""

import gzip
import io
import json
import random
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from apps.datasets.formats.options import Limits, ReadOptions
from apps.datasets.formats.problems import FileProblem, Position, RawRow, RowError
from apps.datasets.formats.reading import read_rows
from apps.datasets.formats.sniffing import sniff
from core.nesting import DepthGuard

CSV = ReadOptions("csv")


def saved(folder: Path, content: bytes, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read(path: Path, options: ReadOptions) -> list[RawRow | RowError]:
    return list(read_rows(path, options))


def until_damage(path: Path, options: ReadOptions) -> tuple[list[RawRow | RowError], FileProblem]:
    rows: list[RawRow | RowError] = []
    with pytest.raises(FileProblem) as caught:
        rows.extend(read_rows(path, options))  # extend keeps what came before the exception
    return rows, caught.value


def good(rows: list[RawRow | RowError]) -> list[dict[str, object]]:
    return [row.values for row in rows if isinstance(row, RawRow)]


def bad(rows: list[RawRow | RowError]) -> list[tuple[int, str]]:
    return [(row.number, row.code) for row in rows if isinstance(row, RowError)]


def test_csv_keeps_line_breaks_spaces_and_quotes_inside_cells(tmp_path: Path) -> None:
    path = saved(tmp_path, 'text,label\r\n"a\r\nb\n\rc  d ","x ""y"""\r\n e\u0301\u2028\u0085,=1\r\n'.encode())

    rows = read(path, CSV)

    assert good(rows) == [
        {"text": "a\r\nb\n\rc  d ", "label": 'x "y"'},
        {"text": " e\u0301\u2028\u0085", "label": "=1"},
    ]


def test_ragged_rows_and_nul_bytes_cost_only_their_row(tmp_path: Path) -> None:
    path = saved(tmp_path, b"text,label\na,1\nb\nc,1,2\nd\0,1\n\ne,1\n")

    rows = read(path, CSV)

    assert bad(rows) == [(2, "ragged_row"), (3, "ragged_row"), (4, "nul_byte")]
    assert [row["text"] for row in good(rows)] == ["a", "e"]


def test_invalid_utf8_names_the_byte_of_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path, b"text,label\nok,1\nab\xff,1\nok,2\n")

    rows = read(path, CSV)

    error = rows[1]
    assert isinstance(error, RowError)
    assert error.code == "invalid_encoding"
    assert "byte 18" in error.message
    assert len(good(rows)) == 2


def test_a_five_megabyte_cell_is_refused_and_the_next_row_read(tmp_path: Path) -> None:
    path = saved(
        tmp_path, b"text,label\n" + b"x" * 5_000_000 + b',1\n"' + (b"y" * 499 + b",\n") * 10_000 + b'",1\nok,1\n'
    )

    rows = read(path, CSV)

    assert bad(rows) == [(1, "cell_too_large"), (2, "cell_too_large")]
    assert good(rows) == [{"text": "ok", "label": "1"}]


def test_the_cell_limit_is_an_option(tmp_path: Path) -> None:
    path = saved(tmp_path, b"text\nabcdef\nabc\n")

    rows = read(path, replace(CSV, limits=Limits(max_cell_bytes=5)))

    assert bad(rows) == [(1, "cell_too_large")]


def test_a_quote_that_is_never_closed_does_not_swallow_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path, b'text,label\n"open,1\nb,2\nc,3\n')

    rows = read(path, CSV)

    assert bad(rows) == [(1, "unclosed_quote")]
    assert [row["text"] for row in good(rows)] == ["b", "c"]


def test_an_undoubled_quote_is_refused_and_not_mangled(tmp_path: Path) -> None:
    path = saved(tmp_path, b'text,label\n"he said "hi" now",1\nplain 5" disk,2\n"multi\nline "x" y",3\nlast,4\n')

    rows = read(path, CSV)

    assert [row["label"] for row in good(rows)] == ["2", "4"]
    assert {code for _, code in bad(rows)} == {"broken_quotes"}


def test_duplicate_headers_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path, b"text,label,text\na,b,c\n")

    with pytest.raises(FileProblem, match="“text”") as caught:
        read(path, CSV)

    assert caught.value.code == "duplicate_headers"


def test_an_empty_header_gets_a_name_and_no_header_counts_columns(tmp_path: Path) -> None:
    path = saved(tmp_path, b"text,\na,b\n")

    assert good(read(path, CSV)) == [{"text": "a", "column_2": "b"}]
    assert good(read(path, replace(CSV, header=False)))[1] == {"column_1": "a", "column_2": "b"}


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-16-le", "utf-8-sig"])
def test_encodings_of_chinese_files(tmp_path: Path, encoding: str) -> None:
    path = saved(tmp_path, "文本,标签\r\n银行卡丢了😀𠮷,挂失\r\n".encode(encoding))

    rows = read(path, replace(CSV, encoding=encoding.removesuffix("-sig")))

    assert good(rows) == [{"文本": "银行卡丢了😀𠮷", "标签": "挂失"}]


def test_a_lone_surrogate_of_utf16_costs_its_row(tmp_path: Path) -> None:
    content = "text\na\n".encode("utf-16") + b"\x00\xd8\n\0" + "b\n".encode("utf-16-le")

    rows = read(saved(tmp_path, content), replace(CSV, encoding="utf-16"))

    assert bad(rows) == [(2, "invalid_encoding")]
    assert good(rows) == [{"text": "a"}, {"text": "b"}]


def test_jsonl_lines_end_only_at_line_feeds(tmp_path: Path) -> None:
    text = "a\u2028b\u0085c\x0bd"
    content = json.dumps({"text": text}, ensure_ascii=False) + '\r\n\n{"text": "e"}'

    rows = read(saved(tmp_path, content.encode()), ReadOptions("jsonl"))

    assert good(rows) == [{"text": text}, {"text": "e"}]


def test_broken_json_lines_are_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    lines = [
        b'{"text": "a"}',
        b'{"text": ',
        b"[1]",
        b'{"a": NaN}',
        b'{"text": "\xff"}',
        b"[" * 100_000,
        b'{"text": "b"}',
    ]

    rows = read(saved(tmp_path, b"\n".join(lines)), ReadOptions("jsonl"))

    codes = ["invalid_json", "not_an_object", "invalid_json", "invalid_encoding", "invalid_json"]
    assert bad(rows) == list(zip(range(2, 7), codes, strict=True))
    assert good(rows) == [{"text": "a"}, {"text": "b"}]


def test_large_integers_of_json_are_not_rounded(tmp_path: Path) -> None:
    for name, options in (("f.jsonl", ReadOptions("jsonl")), ("f.json", ReadOptions("json"))):
        number = 123456789012345678901234567890
        content = f'{{"id": {number}}}' if options.format == "jsonl" else f'[{{"id": {number}}}]'
        assert good(read(saved(tmp_path, content.encode(), name), options)) == [{"id": number}]


def test_json_lists_stream_and_keep_rows_before_damage(tmp_path: Path) -> None:
    entries = [{"text": f"t{n}"} for n in range(1000)]
    content = json.dumps(entries).encode()

    assert good(read(saved(tmp_path, content), ReadOptions("json"))) == entries

    rows, problem = until_damage(saved(tmp_path, content[:-200]), ReadOptions("json"))
    assert problem.code == "truncated_json"
    assert len(rows) > 900


def test_json_object_with_a_list_inside(tmp_path: Path) -> None:
    path = saved(tmp_path, b'{"version": 1, "data": {"rows": [{"text": "a"}, 5, {"text": "b"}]}}')

    rows = read(path, ReadOptions("json", list_path="data.rows"))

    assert good(rows) == [{"text": "a"}, {"text": "b"}]
    assert bad(rows) == [(2, "not_an_object")]
    with pytest.raises(FileProblem) as caught:
        read(path, ReadOptions("json"))
    assert caught.value.code == "no_list"


def test_json_in_gb18030(tmp_path: Path) -> None:
    path = saved(tmp_path, '[{"text": "你好"}]'.encode("gb18030"))

    assert good(read(path, ReadOptions("json", encoding="gb18030"))) == [{"text": "你好"}]
    with pytest.raises(FileProblem) as caught:
        read(path, ReadOptions("json"))
    assert caught.value.code == "invalid_encoding"


def packed_rows(count: int) -> bytes:
    rng = random.Random(3)
    return b"text,label\n" + b"".join(b"%d,%d\n" % (rng.getrandbits(200), n) for n in range(count))


def test_a_truncated_gzip_keeps_the_rows_before_the_damage(tmp_path: Path) -> None:
    packed = gzip.compress(packed_rows(20_000))
    path = saved(tmp_path, packed[: len(packed) // 2])

    rows, problem = until_damage(path, replace(CSV, compression="gzip"))

    assert problem.code == "truncated_gzip"
    assert 5_000 < len(rows) < 15_000
    assert not bad(rows)


def test_a_damaged_gzip_is_told_from_a_truncated_one(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(packed_rows(2_000)))
    packed[-6] ^= 0xFF  # the checksum

    rows, problem = until_damage(saved(tmp_path, bytes(packed)), replace(CSV, compression="gzip"))

    assert problem.code == "damaged_gzip"
    assert len(rows) > 1_000


def test_gzip_members_are_joined(tmp_path: Path) -> None:
    path = saved(tmp_path, gzip.compress(b"text\na\n") + gzip.compress(b"b\n"))

    assert good(read(path, replace(CSV, compression="gzip"))) == [{"text": "a"}, {"text": "b"}]


def zipped(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "file.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("compression", ["gzip", "zip"])
def test_a_bomb_is_stopped_by_ratio_and_by_size(tmp_path: Path, compression: str) -> None:
    content = b"text\n" + (b"a" * 9_999 + b"\n") * 2_400
    packed = gzip.compress(content)
    path = saved(tmp_path, packed, "b.gz") if compression == "gzip" else zipped(tmp_path, {"b.csv": content})
    options = replace(CSV, compression=compression)

    with pytest.raises(FileProblem) as ratio:
        list(read_rows(path, options))
    with pytest.raises(FileProblem) as size:
        list(read_rows(path, replace(options, limits=Limits(max_unpacked_bytes=1_000_000))))

    assert (ratio.value.code, size.value.code) == ("compression_bomb", "unpacked_too_large")


def test_a_zip_must_hold_one_file(tmp_path: Path) -> None:
    options = replace(CSV, compression="zip")
    one = {"__MACOSX/._a.csv": b"x", "folder/": b"", "folder/a.csv": b"text\na\n"}

    assert good(read(zipped(tmp_path, one), options)) == [{"text": "a"}]
    for members in ({"a.csv": b"", "b.csv": b""}, {}):
        with pytest.raises(FileProblem) as caught:
            read(zipped(tmp_path, members), options)
        assert caught.value.code == "zip_members"


def test_plain_text_by_line_and_whole(tmp_path: Path) -> None:
    path = saved(tmp_path, "\ufefffirst \r\n\r\nsec\u2028ond\n".encode(), "t.txt")

    assert good(read(path, ReadOptions("text"))) == [{"text": "first "}, {"text": "sec\u2028ond"}]
    whole = read(path, ReadOptions("text", whole_file=True))
    assert good(whole) == [{"text": "first \r\n\r\nsec\u2028ond\n"}]


def test_parquet_rows_values_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    table = pa.table(
        {"text": ["a", None], "n": pa.array([1, 2], pa.int8()), "labels": [["x"], []], "b": [b"ok", b"\xff"]}
    )
    pq.write_table(table, path)

    rows = read(path, ReadOptions("parquet"))

    assert good(rows)[0] == {"text": "a", "n": 1, "labels": ["x"], "b": "ok"}
    assert good(rows)[1]["b"] == b"\xff"
    with pytest.raises(FileProblem) as caught:
        read(saved(tmp_path, path.read_bytes()[:-10], "cut.parquet"), ReadOptions("parquet"))
    assert caught.value.code == "damaged_parquet"


def test_parquet_with_invalid_text_costs_its_row(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    texts = pa.array([b"a", b"\xff\xfe", b"c"], pa.binary())
    pq.write_table(pa.Table.from_arrays([pa.Array.from_buffers(pa.string(), 3, texts.buffers())], ["text"]), path)

    rows = read(path, ReadOptions("parquet"))

    assert bad(rows) == [(2, "invalid_encoding")]
    assert good(rows) == [{"text": "a"}, {"text": "c"}]


def test_excel_values_are_texts(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    for line in (["text", "label", None], [None], ["a\nb", 3], [12.5, True], ["x", "y", "z"], ["only"]):
        sheet.append(line)
    book.create_sheet("other").append(["text"])
    book.save(tmp_path / "f.xlsx")

    rows = read(tmp_path / "f.xlsx", ReadOptions("xlsx"))

    assert good(rows) == [
        {"text": "a\nb", "label": "3"},
        {"text": "12.5", "label": "true"},
        {"text": "only", "label": ""},
    ]
    assert bad(rows) == [(3, "ragged_row")]
    with pytest.raises(FileProblem, match="Sheet, other"):
        read(tmp_path / "f.xlsx", ReadOptions("xlsx", sheet="none"))


def test_damaged_excel_is_one_clear_problem(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("xl/workbook.xml", "<broken")

    with pytest.raises(FileProblem) as caught:
        read(saved(tmp_path, stream.getvalue(), "f.xlsx"), ReadOptions("xlsx"))

    assert caught.value.code == "damaged_xlsx"


# Shapes of doccano backend/data_import/tests/data/sequence_labeling/{example,labeling.trailing,labeling.invalid}.conll
def test_conll_columns_comments_and_bad_sentences(tmp_path: Path) -> None:
    content = (
        "-DOCSTART- -X- -X- O\n\n# id = 7\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n"
        "#\tO\nfoo\tB-MISC\n\nbroken\n\nbad\tTAG\nafter\tO\n\nlast\tO\n\n\n\n"
    )

    rows = read(saved(tmp_path, content.encode()), ReadOptions("conll"))

    assert good(rows) == [
        {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]},
        {"tokens": ["#", "foo"], "tags": ["O", "B-MISC"]},
        {"tokens": ["last"], "tags": ["O"]},
    ]
    assert bad(rows) == [(3, "missing_column"), (4, "bad_tag")]
    assert "Line 10" in rows[2].message  # type: ignore[union-attr]


def sources(folder: Path) -> dict[str, tuple[Path, ReadOptions]]:
    texts = [f"text {n}" + ("\r\nmore" if n % 3 else "") for n in range(25)]
    csv = (
        "text,n\r\n" + "".join(f'"{t}",{n}\r\n' + ("bad\r\n" if n == 7 else "") for n, t in enumerate(texts))
    ).encode()
    jsonl = b"\n".join(json.dumps({"text": t}).encode() for t in texts)
    table = pa.table({"text": texts})
    pq.write_table(table, folder / "f.parquet", row_group_size=10)
    book = openpyxl.Workbook()
    for text in ["text", *texts]:
        book.active.append([text])
    book.save(folder / "f.xlsx")
    conll = "".join(f"tok{n}\tO\n# x = 1\nb\tB-X\n\n" for n in range(25)).encode()
    return {
        "csv": (saved(folder, csv, "a.csv"), CSV),
        "csv.gz": (saved(folder, gzip.compress(csv), "a.csv.gz"), replace(CSV, compression="gzip")),
        "utf-16": (saved(folder, csv.decode().encode("utf-16"), "b.csv"), replace(CSV, encoding="utf-16")),
        "bom": (saved(folder, b"\xef\xbb\xbf" + csv, "c.csv"), CSV),
        "no header": (saved(folder, csv, "d.csv"), replace(CSV, header=False)),
        "jsonl": (saved(folder, jsonl, "a.jsonl"), ReadOptions("jsonl")),
        "json": (saved(folder, b"[" + b",".join(jsonl.split(b"\n")) + b"]", "a.json"), ReadOptions("json")),
        "parquet": (folder / "f.parquet", ReadOptions("parquet")),
        "xlsx": (folder / "f.xlsx", ReadOptions("xlsx")),
        "text": (saved(folder, b"one\ntwo\n\nthree", "a.txt"), ReadOptions("text")),
        "conll": (saved(folder, conll, "a.conll"), ReadOptions("conll")),
    }


def test_reading_goes_on_after_any_row(tmp_path: Path) -> None:
    for name, (path, options) in sources(tmp_path).items():
        whole = read(path, options)
        assert len(whole) >= 3, name
        for at in range(len(whole)):
            rest = list(read_rows(path, options, Position(*whole[at].position)))
            assert rest == whole[at + 1 :], (name, at)


def test_options_survive_json() -> None:
    options = ReadOptions("csv", delimiter=";", limits=Limits(max_cell_bytes=5))

    assert ReadOptions.from_mapping(json.loads(json.dumps(options.as_mapping()))) == options
    with pytest.raises(TypeError):
        ReadOptions.from_mapping({"format": "csv", "nonsense": 1})


@pytest.mark.parametrize("deep", [b"[" * 200_000, b'{"a":' * 200_000, b'[{"text": "a"}, ' + b'{"a": [' * 100_000])
def test_json_nested_without_end_is_refused_before_the_parser_sees_it(tmp_path: Path, deep: bytes) -> None:
    path = saved(tmp_path, deep, "deep.json")
    tracemalloc.start()

    found = sniff(path)
    _rows, problem = until_damage(path, ReadOptions("json"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert problem.code == "nested_too_deeply"
    assert "nested_too_deeply" in [code for code, _said in found.problems]
    assert peak < 50_000_000  # the parser keeps a path for each level: these files took 17 GB


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 16])
def test_brackets_and_quotes_inside_strings_are_no_nesting(size: int) -> None:
    rows = [{"text": "[{" * 200}, {"text": '\\"[' * 200}, {"text": "]\\\\" * 200, "meta": [[1], {"a": "}"}]}]
    data = json.dumps(rows).encode()
    guard = DepthGuard(io.BytesIO(data))

    read_back = b"".join(iter(lambda: guard.read(size), b""))

    assert read_back == data
