"""The options of reading a file: plain values that can be stored with an import job."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Format = Literal["csv", "tsv", "jsonl", "json", "parquet", "xlsx", "text", "conll", "huggingface"]
READABLE: tuple[str, ...] = ("csv", "tsv", "jsonl", "json", "parquet", "xlsx", "text", "conll", "huggingface")


@dataclass(frozen=True)
class Limits:
    """Guards against files made to hurt; all in bytes of the unpacked file."""

    max_cell_bytes: int = 1_000_000  # one value of one row
    max_record_bytes: int = 32_000_000  # one line or one quoted record; also how far an open quote is followed
    max_unpacked_bytes: int = 8_000_000_000  # a compressed file unpacked
    max_ratio: int = 250  # unpacked / packed, looked at after the first 16 MB


@dataclass(frozen=True)
class ReadOptions:
    """How to read one file; `sniff` proposes it, a person may change it."""

    format: str
    encoding: str = "utf-8"  # utf-8 | utf-16 | utf-16-le | utf-16-be | gb18030 | cp1252
    compression: str = ""  # "" | gzip | zip
    delimiter: str = ","  # CSV and TSV
    quoting: bool = True  # False: a quotation mark is a character like any other
    header: bool = True  # CSV, TSV and Excel; without it columns are column_1, column_2 ...
    sheet: str = ""  # Excel; "" is the first sheet
    list_path: str = ""  # JSON: dotted path of the list inside the object; "" is the top-level list
    whole_file: bool = False  # plain text: the file is one row
    token_column: int = 0  # CoNLL
    tag_column: int = -1  # CoNLL
    limits: Limits = field(default_factory=Limits)

    def as_mapping(self) -> dict[str, Any]:
        """Plain JSON; `from_mapping` reads it back."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "ReadOptions":
        """Options from JSON; unknown names are refused with TypeError."""
        known = {f.name for f in fields(cls)}
        if unknown := set(values) - known:
            raise TypeError(f"Unknown read options: {', '.join(sorted(unknown))}")
        limits = values.get("limits") or {}
        return cls(**{**values, "limits": limits if isinstance(limits, Limits) else Limits(**limits)})
