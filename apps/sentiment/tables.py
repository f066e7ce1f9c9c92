"""The table of entities as CSV: a row for each alias; lists stand in one cell, parted by semicolons."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

from apps.sentiment.collecting.decoding import chinese_of
from apps.sentiment.models import Entity, EntityKind
from core.errors import Refused
from core.spreadsheets import as_written, harmless
from words import say

COLUMNS = ("name", "kind", "tickers", "is_enabled", "alias", "language", "is_ambiguous", "required", "forbidden")
MOST_BYTES = 20_000_000
MOST_ROWS = 200_000
YES = {"1", "true", "yes", "y", "是", "x"}
NO = {"0", "false", "no", "n", "否", ""}


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def csv_lines(entities: Iterable[Entity], *, for_spreadsheets: bool) -> Iterator[str]:
    """Entities with their aliases (prefetched). For spreadsheets no cell runs as a formula, and Excel knows the encoding."""
    writer = csv.writer(_Echo())
    guard = harmless if for_spreadsheets else str
    if for_spreadsheets:
        yield "\ufeff"
    yield writer.writerow(COLUMNS)
    for entity in entities:
        first = [entity.name, entity.kind, _joined(entity.tickers), str(entity.is_enabled).lower()]
        for alias in entity.aliases.all() or [None]:
            told = ["", "", "", "", ""]
            if alias is not None:
                words = [_joined(alias.required), _joined(alias.forbidden)]
                told = [alias.text, alias.language, str(alias.is_ambiguous).lower(), *words]
            yield writer.writerow([guard(cell) for cell in (*first, *told)])


def read_csv(data: bytes) -> list[dict[str, Any]]:
    """Items as `upsert_entities` takes them; rows of one name are one entity. Refused for what is no such table.

    What a row has wrong goes along, so that it is refused by name: no name, or a word that is neither yes nor no.
    """
    if len(data) > MOST_BYTES:
        raise Refused("too_large", say("The file is too large."), field="file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found_text = chinese_of(data)
        if found_text is None:
            raise Refused("not_utf8", say("Save the file as UTF-8."), field="file") from error
        text = found_text
    rows = csv.DictReader(io.StringIO(text, newline=""))
    names = [name.strip().lower() for name in rows.fieldnames or ()]
    if "name" not in names:
        raise Refused("no_name_column", say("There is no column “name”."), field="file")
    rows.fieldnames = names
    found: dict[str, dict[str, Any]] = {}
    try:
        for number, row in enumerate(rows):
            if number >= MOST_ROWS:
                raise Refused("too_large", say("The file is too large."), field="file")
            _take(found, {name: as_written((row.get(name) or "").strip()) for name in COLUMNS}, names)
    except csv.Error as error:
        raise Refused("bad_csv", say("The file cannot be read as CSV."), field="file") from error
    return [
        {name: value for name, value in item.items() if value != [] or name != "aliases"} for item in found.values()
    ]


def _take(found: dict[str, dict[str, Any]], row: dict[str, str], names: list[str]) -> None:
    if not any(row.values()):
        return
    item = found.setdefault(row["name"].casefold(), {"name": row["name"]})
    if "kind" in names:
        item["kind"] = row["kind"].lower() or EntityKind.COMPANY.value
    if "tickers" in names:
        item["tickers"] = list(dict.fromkeys([*item.get("tickers", []), *_parted(row["tickers"])]))
    if "is_enabled" in names:
        item["is_enabled"] = _yes_or_no(row["is_enabled"] or "yes")
    if "alias" in names:
        aliases = item.setdefault("aliases", [])
        if row["alias"]:
            aliases.append(
                {
                    "text": row["alias"],
                    "language": row["language"][:10],
                    "is_ambiguous": _yes_or_no(row["is_ambiguous"]),
                    "required": _parted(row["required"]),
                    "forbidden": _parted(row["forbidden"]),
                }
            )


def _yes_or_no(cell: str) -> bool | str:
    """What a cell means, or the cell where it means neither."""
    small = cell.lower()
    return small in YES if small in YES | NO else cell


def _parted(cell: str) -> list[str]:
    """The words of a cell: between semicolons, or between commas where there is no semicolon."""
    parts = re.split(r"[;；|]", cell)
    return [word.strip() for word in (parts if len(parts) > 1 else re.split("[,，]", cell)) if word.strip()]


def _joined(words: list[str]) -> str:
    """Words as one cell that `_parted` reads as the same words."""
    cell = ";".join(words)
    return f"{cell};" if len(words) == 1 and re.search("[,，]", cell) else cell
