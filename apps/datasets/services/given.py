"""Rows that another room gives: imported like a file, so that they are checked, counted and never there twice."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from apps.datasets.formats.mapping import Mapping as Columns
from apps.datasets.models import Dataset, ImportJob, Source
from apps.datasets.services import imports
from core.access import Actor

READ = {"format": "jsonl", "encoding": "utf-8", "compression": ""}


@dataclass(frozen=True)
class _Made:
    """A file of ours where an uploaded one is expected."""

    path: Path
    name: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def temporary_file_path(self) -> str:
        return str(self.path)


def import_requests(
    *,
    actor: Actor,
    dataset: Dataset,
    name: str,
    rows: Iterable[Mapping[str, Any]],
    columns: Mapping[str, str],
    meta: tuple[str, ...],
    origin: Mapping[str, Any],
) -> ImportJob:
    """Start the import of what was asked of model versions; `columns` and `meta` as an import's mapping has them.

    `origin` says how the rows were chosen; it stays with the import, and lineage shows it.
    """
    folder = imports.import_folder(dataset)
    with TemporaryDirectory(dir=folder, prefix="given-") as beside:
        path = Path(beside) / "rows.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        made = imports.receive(actor=actor, dataset=dataset, upload=_Made(path, name))
    mapping = Columns(columns=dict(columns), meta=meta).as_mapping()
    imports.choose(actor=actor, import_job=made, options=READ, mapping=mapping)
    made.source, made.origin = Source.REQUESTS, dict(origin)
    made.save(update_fields=["source", "origin"])
    return imports.start(actor=actor, import_job=made)
