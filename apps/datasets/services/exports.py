"""Send a dataset or a version out as a file, and let files expire."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from apps.accounts.services import audit
from apps.datasets.diff import rows_of
from apps.datasets.formats.writers import SUFFIXES, Item, WriteOptions, formats_for, write
from apps.datasets.models import Dataset, DatasetVersion, ExportJob, ImportJob, Split
from apps.datasets.selectors import examples, snapshot, version_file
from core.access import Actor
from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.states import OPEN
from core.storage import home, require_free_space, sha256_of, whole_file, workspace_folder
from engine.specs.records import FIELDS
from words import say

EXPIRES_DAYS = 7
OPTION_NAMES = ("tokenizer", "scheme", "offset_unit", "extras")


@transaction.atomic
def export(
    *,
    actor: Actor,
    dataset: Dataset,
    format: str,
    version: DatasetVersion | None = None,
    options: Mapping[str, Any] | None = None,
    split: str | None = None,
) -> ExportJob:
    """Queue an export of the dataset as it is, or of a frozen version; `split` exports only that part."""
    if format not in formats_for(dataset.kind):
        raise Refused(
            "format_unfit",
            say("This kind of dataset can be exported as: {kind}", kind=", ".join(formats_for(dataset.kind))),
            field="format",
        )
    if split is not None and split not in Split.values:
        raise Refused("bad_split", say("The split must be train, dev, test or empty."), field="split")
    chosen = {name: value for name, value in (options or {}).items() if value not in ("", None)}
    write_options(chosen)
    require_free_space()
    name = f"{dataset} v{version.number}" if version else str(dataset)
    job = jobs.create(
        kind="datasets.export",
        queue="io",
        workspace=dataset.workspace,
        title=say("Export {name} as {format}", name=name, format=format),
        by=actor.user,
        page=f"datasets/{dataset.pk}/exports",
        unit="rows",
    )
    made = ExportJob.objects.create(
        dataset=dataset,
        version=version,
        job=job,
        format=format,
        options=chosen,
        filters={} if split is None else {"split": split},
        file_name=_file_name(dataset, version, split, format),
        created_by=actor.user,
    )
    audit(actor=actor, action="dataset.export", obj=dataset, format=format, version=version and version.number)
    return made


def write_options(values: Mapping[str, Any], name: str = "dataset") -> WriteOptions:
    """Checked options of a writer."""
    unknown = set(values) - set(OPTION_NAMES)
    if unknown:
        raise Refused(
            "bad_options", say("Unknown options: {unknown}", unknown=", ".join(sorted(unknown))), field="options"
        )
    try:
        return WriteOptions(**values, name=name)
    except (TypeError, ValueError) as error:
        raise Refused("bad_options", str(error), field="options") from error


def _file_name(dataset: Dataset, version: DatasetVersion | None, split: str | None, format: str) -> str:
    stem = re.sub(r"[^\w.-]+", "-", dataset.name).strip("-.") or "dataset"
    parts = [stem, *([f"v{version.number}"] if version else []), *([split or "none"] if split is not None else [])]
    return "-".join(parts) + SUFFIXES[format]


# --- what the worker does ------------------------------------------------------------------------------------


def items(export_job: ExportJob, tick: Callable[[int], None]) -> Iterator[Item]:
    """The rows to write, in order of id; `tick` hears how many went by."""
    rows = _version_items(export_job) if export_job.version else _dataset_items(export_job)
    for at, item in enumerate(rows, 1):
        yield item
        if at % 500 == 0:
            tick(at)


def _version_items(export_job: ExportJob) -> Iterable[Item]:
    assert export_job.version is not None
    kind, split = export_job.dataset.kind, export_job.filters.get("split")
    for row in rows_of(version_file(export_job.version)):
        if split is None or (row["split"] or "") == split:
            yield version_item(kind, row)


def version_item(kind: str, row: Mapping[str, Any]) -> Item:
    """A Parquet row as an item."""
    record = {name: row[name] for name in FIELDS[kind]}
    if row["meta"]:
        record["meta"] = json.loads(row["meta"])
    return Item(record, row["external_id"], row["split"] or "", row["example_id"])


def _dataset_items(export_job: ExportJob) -> Iterable[Item]:
    rows = examples(export_job.dataset)
    if "split" in export_job.filters:
        rows = rows.filter(split=export_job.filters["split"])
    for _pk, external_id, record, meta, split in snapshot(rows, "id", "external_id", "record", "meta", "split"):
        yield Item({**record, "meta": meta} if meta else record, external_id, split)


def write_export(export_job: ExportJob, tick: Callable[[int], None]) -> dict[str, Any]:
    """Write the file; the columns to store come back. Touches no table."""
    dataset = export_job.dataset
    folder = workspace_folder(dataset.workspace_id, "datasets", str(dataset.pk), "exports")
    path = folder / f"{export_job.pk}-{uuid4().hex}{SUFFIXES[export_job.format]}"
    options = write_options(export_job.options, name=dataset.name)
    with whole_file(path) as beside:
        report = write(dataset.kind, export_job.format, items(export_job, tick), beside, options)
        digest, size = sha256_of(beside), beside.stat().st_size
    return {
        "path": str(path.relative_to(home())),
        "file_bytes": size,
        "file_hash": digest,
        "row_count": report.rows,
        "dropped": report.dropped,
        "expires_at": timezone.now() + timedelta(days=EXPIRES_DAYS),
    }


def expire_files(*, now: datetime | None = None) -> dict[str, int]:
    """Remove expired exports and uploaded files past the workspace's retention; the rows stay and say so."""
    now = now or timezone.now()
    done = {"exports": 0, "uploads": 0}
    for export_job in ExportJob.objects.filter(expires_at__lt=now).exclude(path=""):
        (home() / export_job.path).unlink(missing_ok=True)
        ExportJob.objects.filter(pk=export_job.pk).update(path="")
        done["exports"] += 1
    rows = ImportJob.objects.exclude(file_path="").select_related("dataset__workspace")
    for import_job in rows.exclude(job__state__in=OPEN):
        days = import_job.dataset.workspace.file_retention_days
        if days is None or import_job.created_at > now - timedelta(days=days):
            continue
        others = ImportJob.objects.filter(file_path=import_job.file_path).exclude(pk=import_job.pk)
        if not others.filter(created_at__gt=now - timedelta(days=days)).exists():
            (home() / import_job.file_path).unlink(missing_ok=True)
        ImportJob.objects.filter(pk=import_job.pk).update(file_path="")
        done["uploads"] += 1
    return done
