"""Writing Parquet (frozen versions, exports) and the zipped folder that Hugging Face `datasets` loads."""

import tempfile
import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from core.parquet_out import GroupWriter, write_file
from engine.specs.records import parquet_columns

EPOCH = (1980, 1, 1, 0, 0, 0)
_HF_SPLITS = {"": "unsplit", "dev": "validation"}
_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
_TYPES = {
    "int64": pa.int64(),
    "string": pa.string(),
    "list<string>": pa.list_(pa.string()),
    "list<struct<start: int64, end: int64, label: string>>": pa.list_(
        pa.struct([("start", pa.int64()), ("end", pa.int64()), ("label", pa.string())])
    ),
    "list<struct<text: string, start: int64>>": pa.list_(pa.struct([("text", pa.string()), ("start", pa.int64())])),
    "list<struct<role: string, content: string>>": pa.list_(_MESSAGE),
}


def version_schema(kind: str, *, without: tuple[str, ...] = ()) -> pa.Schema:
    """The Arrow schema of a frozen version of `kind`, less the columns `without`."""
    return pa.schema([(name, _TYPES[type_]) for name, type_ in parquet_columns(kind) if name not in without])


def write_parquet(kind: str, rows: Iterable[dict[str, Any]], path: Path, *, example_ids: bool) -> int:
    """Rows (fields, external_id, split, meta as JSON text, example_id) as one Parquet file; how many there were."""
    return write_file(path, rows, version_schema(kind, without=() if example_ids else ("example_id",)))


def write_huggingface(kind: str, rows: Iterable[dict[str, Any]], path: Path, *, name: str) -> int:
    """A zip with data/{split}-00000-of-00001.parquet and README.md; dev is named validation, no split unsplit."""
    schema = version_schema(kind, without=("example_id", "split"))
    writers: dict[str, GroupWriter] = {}
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        with ExitStack() as stack:
            for row in rows:
                split = _HF_SPLITS.get(row["split"], row["split"])
                if split not in writers:
                    writers[split] = stack.enter_context(GroupWriter(Path(folder) / split, schema))
                writers[split].write(row)
            if not writers:
                writers["train"] = stack.enter_context(GroupWriter(Path(folder) / "train", schema))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            _add(
                archive,
                "README.md",
                _card(kind, name, {split: w.rows for split, w in writers.items()}).encode(),
            )
            for split in sorted(writers):
                _add_file(archive, f"data/{split}-00000-of-00001.parquet", Path(folder) / split)
    return sum(writer.rows for writer in writers.values())


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=EPOCH)
    info.external_attr = 0o644 << 16
    info.create_system = 3
    return info


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(_entry(name), content)


def _add_file(archive: zipfile.ZipFile, name: str, source: Path) -> None:
    info = _entry(name)
    info.file_size = source.stat().st_size
    with source.open("rb") as read, archive.open(info, "w") as written:
        while chunk := read.read(1 << 20):
            written.write(chunk)


def _card(kind: str, name: str, rows: dict[str, int]) -> str:
    title = " ".join(name.split()) or "dataset"
    files = "".join(f"  - split: {split}\n    path: data/{split}-*\n" for split in sorted(rows))
    counts = "".join(f"| {split} | {count} |\n" for split, count in sorted(rows.items()))
    return (
        f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n"
        f"# {title}\n\nKind: {kind}. Exported from Lingxi.\n\n| split | rows |\n|---|---|\n{counts}"
    )
