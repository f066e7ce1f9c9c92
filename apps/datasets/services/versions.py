"""Freeze a dataset into a version that never changes, and delete versions nobody used."""

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import F, ProtectedError, RestrictedError
from django.utils import timezone

from apps.accounts.services import audit
from apps.datasets.diff import difference, digests
from apps.datasets.formats.writers import Item, WriteOptions, write
from apps.datasets.hashing import VersionHasher
from apps.datasets.models import Dataset, DatasetVersion
from apps.datasets.records import filter_labels
from apps.datasets.selectors import latest_version, version_file
from apps.datasets.services.rows import lock
from core.access import Actor
from core.dependents import dependents
from core.errors import Refused, conflict
from core.jobs import services as jobs
from core.jobs.states import ENDED
from core.storage import home, require_free_space, sha256_of, sync_folder, whole_file, workspace_folder
from words import say


@transaction.atomic
def freeze(*, actor: Actor, dataset: Dataset, note: str = "") -> DatasetVersion:
    """Queue the freezing of the dataset as it is; the version can be used once its job has succeeded.

    Refused for an empty dataset and when nothing changed since the last version.
    """
    dataset = lock(dataset)
    if not dataset.example_count:
        raise conflict("dataset_empty", say("The dataset has no examples yet. Import some first."))
    last = latest_version(dataset)
    if last is not None and last.dataset_revision == dataset.revision:
        raise conflict(
            "nothing_changed", say("Nothing changed since version {number}. Use that one.", number=last.number)
        )
    require_free_space()
    open_one = DatasetVersion.everything.filter(dataset=dataset, frozen_at=None).exclude(job__state__in=ENDED)
    if open_one.exclude(job=None).exists():
        raise conflict("freeze_running", say("A version is being frozen right now. Wait until it is done."))
    version = DatasetVersion.everything.create(
        dataset=dataset, number=dataset.next_version, note=note.strip()[:500], created_by=actor.user
    )
    Dataset.objects.filter(pk=dataset.pk).update(next_version=F("next_version") + 1)
    version.job = jobs.create(
        kind="datasets.freeze",
        queue="io",
        workspace=dataset.workspace,
        title=say("Freeze {dataset} as version {number}", dataset=dataset, number=version.number),
        by=actor.user,
        page=f"datasets/{dataset.pk}/versions/{version.number}",
        unit="rows",
    )
    version.save(update_fields=["job"])
    audit(actor=actor, action="version.freeze", obj=version, dataset=dataset.pk)
    return version


@transaction.atomic
def delete_version(*, actor: Actor, version: DatasetVersion) -> None:
    """Delete a version and its file; refused while anything was made from it or its job is at work."""
    if version.job is not None and not version.job.ended:
        raise conflict("freeze_running", say("This version is being frozen right now. Cancel its job first."))
    users = dependents(version)
    if users:
        raise _in_use(users)
    audit(actor=actor, action="version.delete", obj=version, number=version.number)
    folder = version_file(version).parent if version.path else None
    try:
        version.delete()
    except (ProtectedError, RestrictedError) as error:
        raise _in_use(dependents(version)) from error  # it came while we looked
    if folder is not None:
        transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))


def _in_use(users: Sequence[str]) -> Refused:
    return conflict(
        "version_in_use",
        say("This version is used by {users}, so it must stay.", users=", ".join(users)),
        hint=say("Delete what was made from it first."),
    )


# --- what the worker does ------------------------------------------------------------------------------------


class Tally:
    """Hash and counts of the rows of a version, gathered while they pass by."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.hasher = VersionHasher()
        self.splits: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.label_splits: dict[str, Counter[str]] = defaultdict(Counter)
        self.unlabelled = 0

    def items(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[Item]:
        """Items of (id, external_id, record, meta, split, content_hash) rows."""
        for example_id, external_id, record, meta, split, digest in rows:
            self.hasher.add(digest, split, external_id)
            self.splits[split or "none"] += 1
            labels = filter_labels(self.kind, record)
            self.unlabelled += not labels
            for label in labels:
                self.labels[label] += 1
                self.label_splits[label][split or "none"] += 1
            yield Item({**record, "meta": meta} if meta else record, external_id, split, example_id)

    def counts(self, order: list[str]) -> dict[str, Any]:
        """Counts per split, label, and label in each split; labels as the dataset orders them."""
        present = [label for label in order if self.labels[label]]
        present += sorted(set(self.labels) - set(present))  # labels that came while the job waited
        return {
            "splits": dict(self.splits),
            "labels": {label: self.labels[label] for label in present},
            "label_splits": {label: dict(self.label_splits[label]) for label in present},
            "unlabelled": self.unlabelled,
        }


def version_path(version: DatasetVersion) -> Path:
    """Where the file of a version belongs; its folder is made."""
    dataset = version.dataset
    folder = workspace_folder(dataset.workspace_id, "datasets", str(dataset.pk), f"v{version.number}")
    return folder / "data.parquet"


def write_version(version: DatasetVersion, rows: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    """Write the file of a version; the columns that `seal` stores come back. Touches no table."""
    dataset, path = version.dataset, version_path(version)
    tally = Tally(dataset.kind)
    with whole_file(path) as beside:
        report = write(dataset.kind, "parquet", tally.items(rows), beside, WriteOptions(example_ids=True))
        file_hash, file_bytes = sha256_of(beside), beside.stat().st_size
    sync_folder(path.parent.parent)
    counts = tally.counts(list(dataset.labels))
    current = dataset.profile_revision == dataset.revision
    return {
        "dataset_revision": dataset.revision,
        "content_hash": tally.hasher.hexdigest(),
        "path": str(path.relative_to(home())),
        "file_bytes": file_bytes,
        "file_hash": file_hash,
        "row_count": report.rows,
        "counts": counts,
        "labels": list(counts["labels"]),
        "profile": dataset.profile if current else {},
    }


def compare_files(version: DatasetVersion, path: str, previous: DatasetVersion | None) -> dict[str, Any]:
    """The diff of a written version to the one before; {} for the first."""
    if previous is None:
        return {}
    kind = version.dataset.kind
    return difference(digests(kind, version_file(previous)), digests(kind, home() / path))


def seal(
    *, version: DatasetVersion, columns: Mapping[str, Any], previous: DatasetVersion | None, diff: Mapping[str, Any]
) -> DatasetVersion:
    """Make a written version frozen; the caller holds a fenced transaction."""
    DatasetVersion.everything.filter(pk=version.pk, frozen_at=None).update(
        **columns, previous=previous, diff=dict(diff), frozen_at=timezone.now()
    )
    version.refresh_from_db()
    return version
