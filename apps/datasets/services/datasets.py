"""Make, change, archive and delete datasets."""

import shutil
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, Q, RestrictedError
from django.utils import timezone

from apps.accounts.services import audit
from apps.datasets.models import Dataset, Kind
from core.access import Actor
from core.errors import Refused, conflict
from core.jobs.models import Job
from core.jobs.states import OPEN
from core.storage import home
from words import say

MAX_LABELS = 5_000
MAX_LABEL_CHARACTERS = 200


@transaction.atomic
def create(
    *,
    actor: Actor,
    name: str,
    kind: str,
    description: str = "",
    multi_label: bool = False,
    labels: Sequence[str] = (),
    language: str = "",
) -> Dataset:
    """An empty dataset; refused when the name is taken or the kind unknown."""
    if kind not in Kind.values:
        raise Refused(
            "unknown_kind", say("Choose one of the kinds: {values}", values=", ".join(Kind.values)), field="kind"
        )
    dataset = Dataset(
        workspace=actor.workspace,
        name=_name(name),
        kind=kind,
        description=description.strip(),
        multi_label=multi_label and kind == Kind.CLASSIFICATION,
        labels=_labels(labels),
        language=language.strip(),
        created_by=actor.user,
    )
    _save(dataset)
    audit(actor=actor, action="dataset.create", obj=dataset, kind=kind)
    return dataset


@transaction.atomic
def update(*, actor: Actor, dataset: Dataset, **changes: Any) -> Dataset:
    """Change name, description, language, multi_label or labels; other names are a TypeError."""
    unknown = set(changes) - {"name", "description", "language", "multi_label", "labels"}
    if unknown:
        raise TypeError(f"cannot change {sorted(unknown)}")
    dataset = Dataset.objects.select_for_update(of=("self",)).get(pk=dataset.pk)
    if "labels" in changes:
        changes["labels"] = _kept(dataset, _labels(changes["labels"]))
    if "name" in changes:
        changes["name"] = _name(changes["name"])
    if changes.get("multi_label") is False and dataset.multi_label:
        _require_single_labels(dataset)
    for field, value in changes.items():
        setattr(dataset, field, value)
    dataset.updated_at = timezone.now()
    _save(dataset, [*changes, "updated_at"])
    audit(actor=actor, action="dataset.update", obj=dataset, changed=sorted(changes))
    return dataset


def set_labels(*, actor: Actor, dataset: Dataset, labels: Sequence[str]) -> Dataset:
    """Order the labels and add new ones; a label that examples carry cannot go."""
    return update(actor=actor, dataset=dataset, labels=labels)


@transaction.atomic
def archive(*, actor: Actor, dataset: Dataset) -> Dataset:
    """Take a dataset out of lists; nothing is lost. Archiving twice is harmless."""
    if dataset.archived_at is None:
        dataset.archived_at = timezone.now()
        dataset.save(update_fields=["archived_at"])
        audit(actor=actor, action="dataset.archive", obj=dataset)
    return dataset


@transaction.atomic
def unarchive(*, actor: Actor, dataset: Dataset) -> Dataset:
    """Bring an archived dataset back."""
    if dataset.archived_at is not None:
        dataset.archived_at = None
        dataset.save(update_fields=["archived_at"])
        audit(actor=actor, action="dataset.unarchive", obj=dataset)
    return dataset


@transaction.atomic
def delete(*, actor: Actor, dataset: Dataset) -> None:
    """Delete a dataset with its examples, versions and files; refused while something was made from it."""
    if Job.objects.filter(_of_dataset(dataset), state__in=OPEN).exists():
        raise conflict(
            "dataset_busy", say("A job of this dataset is still at work. Wait for it or cancel it, then delete.")
        )
    audit(actor=actor, action="dataset.delete", obj=dataset, examples=dataset.example_count)
    folder = home() / "files" / str(dataset.workspace_id) / "datasets" / str(dataset.pk)
    try:
        dataset.delete()
    except (ProtectedError, RestrictedError) as error:
        raise conflict(
            "dataset_in_use",
            say("Training, evaluation or predictions used this dataset, so it must stay. Archive it instead."),
        ) from error
    transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))


def _of_dataset(dataset: Dataset) -> Q:
    below = Q(import_job__dataset=dataset) | Q(export_job__dataset=dataset) | Q(dataset_version__dataset=dataset)
    return below | Q(pk__in=[pk for pk in (dataset.split_job_id, dataset.profile_job_id) if pk])


def _save(dataset: Dataset, fields: Sequence[str] | None = None) -> None:
    try:
        with transaction.atomic():
            dataset.save(update_fields=fields)
    except IntegrityError as error:
        raise Refused(
            "name_taken", say("There is a dataset with this name already. Choose another name."), field="name"
        ) from error


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > 120 or "\0" in name:
        raise Refused("bad_name", say("Give a name of 1 to 120 characters."), field="name")
    return name


def _labels(labels: Sequence[str]) -> list[str]:
    found = [label.strip() for label in labels]
    bad = [label for label in found if not label or len(label) > MAX_LABEL_CHARACTERS or "\0" in label]
    if bad or len(set(found)) < len(found) or len(found) > MAX_LABELS:
        raise Refused(
            "bad_labels",
            say("Labels must differ from each other and have 1 to 200 characters; at most 5,000 are possible."),
            field="labels",
        )
    return found


def _kept(dataset: Dataset, labels: list[str]) -> list[str]:
    for label in set(dataset.labels) - set(labels):
        if dataset.examples.filter(labels__contains=[label], deleted_at=None).exists():
            raise Refused(
                "label_in_use",
                say("Examples carry the label “{label}”. Relabel them first, then remove it.", label=label),
                field="labels",
            )
    return labels


def _require_single_labels(dataset: Dataset) -> None:
    if dataset.examples.filter(labels__len__gt=1, deleted_at=None).exists():
        raise Refused(
            "several_labels",
            say("Some examples carry several labels. Relabel them first."),
            field="multi_label",
        )
