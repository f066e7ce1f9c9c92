"""Reading datasets: lists, examples by filter, versions and their files."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.datasets.models import (
    ApiFile,
    BadRow,
    Correction,
    Dataset,
    DatasetVersion,
    Example,
    ExampleRevision,
    ExportJob,
    ImportJob,
)
from core.leftovers import Names
from core.storage import home

LIST_COLUMNS = ("id", "external_id", "text", "labels", "split", "length", "revision", "updated_at", "deleted_at")


def datasets(workspace: Any, *, archived: bool = False) -> QuerySet[Dataset]:
    """Datasets of a workspace with their makers; archived ones only when asked for."""
    rows = Dataset.objects.filter(workspace=workspace).select_related("created_by")
    return rows.filter(archived_at__isnull=not archived)


def examples(dataset: Dataset) -> QuerySet[Example]:
    """Examples that are not deleted."""
    return Example.objects.filter(dataset=dataset, deleted_at=None)


def imports(dataset: Dataset) -> QuerySet[ImportJob]:
    """Imports of a dataset with their jobs."""
    return ImportJob.objects.filter(dataset=dataset).select_related("job", "created_by")


def bad_rows(import_job: ImportJob) -> QuerySet[BadRow]:
    """Refused rows of an import, in the order of the file."""
    return BadRow.objects.filter(import_job=import_job).order_by("id")


def exports(dataset: Dataset) -> QuerySet[ExportJob]:
    """Exports of a dataset with their jobs and versions."""
    return ExportJob.objects.filter(dataset=dataset).select_related("job", "version__dataset", "created_by")


def versions(dataset: Dataset) -> QuerySet[DatasetVersion]:
    """Versions of a dataset, also those still being written, newest first."""
    rows = DatasetVersion.everything.filter(dataset=dataset)
    return rows.select_related("job", "created_by", "previous", "dataset").order_by("-number")


def latest_version(dataset: Dataset) -> DatasetVersion | None:
    """The newest frozen version."""
    return DatasetVersion.objects.filter(dataset=dataset).select_related("dataset").order_by("-number").first()


def version_file(version: DatasetVersion) -> Path:
    """The Parquet file of a frozen version."""
    return home() / version.path


def snapshot(rows: QuerySet[Example], *fields: str) -> Iterator[tuple[Any, ...]]:
    """Rows by id as tuples of `fields`, all of one moment, in constant memory.

    Outside a transaction PostgreSQL keeps the cursor (WITH HOLD), so a long reader holds no transaction open.
    """
    return rows.order_by("id").values_list(*fields).iterator(chunk_size=2_000)


def all_examples(dataset: Dataset) -> QuerySet[Example]:
    """Examples, deleted ones too; ExampleFilter leaves those out unless asked."""
    return Example.objects.filter(dataset=dataset)


def history(example: Example) -> QuerySet[ExampleRevision]:
    """What an example was before, newest first, with who changed it."""
    return example.revisions.select_related("by").order_by("-id")


def corrections_of(workspace: Any, source: str, prefix: str = "") -> QuerySet[Correction]:
    """What counts of the corrections from one room, newest first; `prefix` of the ids by which that room knows its texts."""
    rows = Correction.objects.filter(workspace=workspace, source=source, is_current=True).exclude(label="")
    return (rows.filter(source_id__startswith=prefix) if prefix else rows).order_by("-id")


def corrected_texts(workspace: Any, hashes: Collection[str], aspect: str) -> dict[str, Correction]:
    """Text hash -> what counts of it."""
    rows = Correction.objects.filter(workspace=workspace, text_hash__in=hashes, aspect=aspect, is_current=True)
    return {row.text_hash: row for row in rows.exclude(label="").defer("text")}


def aspects_of_text(workspace: Any, text_hash: str) -> dict[str, Correction]:
    """Aspect -> what counts of one text."""
    rows = Correction.objects.filter(workspace=workspace, text_hash=text_hash, is_current=True)
    return {row.aspect: row for row in rows.exclude(label="").defer("text")}


def correction_history(workspace: Any, text_hash: str) -> QuerySet[Correction]:
    """All that was said of a text, newest first."""
    return Correction.objects.filter(workspace=workspace, text_hash=text_hash).defer("text").order_by("-id")


def api_files(workspace: Any) -> QuerySet[ApiFile]:
    """Files of /v1/files that have not expired."""
    living = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return ApiFile.objects.filter(living, workspace=workspace).select_related("workspace")


def file_places() -> list[tuple[str, Names]]:
    """Where the files of this room lie, and which of them a row names."""
    return [
        ("*/datasets/*", lambda: set(_dataset_folders())),
        ("*/datasets/*/*", _parts_of_datasets),
        ("*/datasets/*/v*/*", lambda: set(DatasetVersion.everything.values_list("path", flat=True))),
        ("*/datasets/*/imports/*", lambda: set(ImportJob.objects.values_list("file_path", flat=True))),
        ("*/datasets/*/exports/*", lambda: set(ExportJob.objects.values_list("path", flat=True))),
        ("*/api-files/*", lambda: set(ApiFile.objects.values_list("path", flat=True))),
    ]


def _dataset_folders() -> list[str]:
    return [f"files/{workspace}/datasets/{pk}" for workspace, pk in Dataset.objects.values_list("workspace_id", "pk")]


def _parts_of_datasets() -> set[str]:
    numbered = DatasetVersion.everything.values_list("dataset__workspace_id", "dataset_id", "number")
    versions = {f"files/{workspace}/datasets/{pk}/v{number}" for workspace, pk, number in numbered}
    return versions | {f"{folder}/{part}" for folder in _dataset_folders() for part in ("imports", "exports")}
