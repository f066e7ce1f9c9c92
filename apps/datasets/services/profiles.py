"""Look at a whole dataset: request its profile, and keep what the worker found."""

from typing import Any

from django.db import transaction

from apps.accounts.services import audit
from apps.datasets.models import Dataset
from apps.datasets.services.rows import lock
from core.access import Actor
from core.errors import conflict
from core.jobs import services as jobs
from words import say


@transaction.atomic
def request_profile(*, actor: Actor, dataset: Dataset) -> Dataset:
    """Queue a profile; its job is `dataset.profile_job`. Asking twice while it runs is harmless."""
    dataset = lock(dataset)
    if not dataset.example_count:
        raise conflict("dataset_empty", say("The dataset has no examples yet. Import some first."))
    if dataset.profile_job is not None and not dataset.profile_job.ended:
        return dataset
    dataset.profile_job = jobs.create(
        kind="datasets.profile",
        queue="io",
        workspace=dataset.workspace,
        title=say("Profile of {dataset}", dataset=dataset),
        by=actor.user,
        page=f"datasets/{dataset.pk}/profile",
        unit="rows",
    )
    dataset.save(update_fields=["profile_job"])
    audit(actor=actor, action="dataset.profile", obj=dataset)
    return dataset


def keep_profile(*, dataset: Dataset, revision: int, report: dict[str, Any]) -> None:
    """Store a profile and the revision it speaks of; the caller holds a fenced transaction."""
    Dataset.objects.filter(pk=dataset.pk).update(profile=report, profile_revision=revision)
