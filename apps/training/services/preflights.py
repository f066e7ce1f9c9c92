"""Check options on data before anything is started: made once, by a worker, and kept."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from apps.datasets.models import DatasetVersion
from apps.training.models import Preflight
from apps.training.selectors import fresh_preflight, preflights
from apps.training.services.checks import check
from core.access import Actor
from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.models import Job
from core.jobs.states import OPEN, State
from engine import specs
from words import say

KIND = "training.preflight"
PRIORITY = 20  # somebody waits at the form


@transaction.atomic
def ask_preflight(
    *,
    actor: Actor,
    recipe: str,
    spec: Mapping[str, Any],
    version: DatasetVersion,
    instead: bool = False,
) -> Preflight:
    """The check of these options on this data: the one that was made, or one that is queued now.

    Refused with every problem at once when the options themselves are wrong. `instead` takes this person's waiting
    checks out of the queue: their form has moved on.
    """
    parsed, problems = check(recipe=recipe, spec=spec, version=version)
    if parsed is None:
        raise Refused("invalid_training_job", say("This training job cannot start yet."), problems=problems)
    digest = specs.spec_hash(parsed)
    known = fresh_preflight(actor.workspace, digest, version)
    if known is not None:
        return known
    earlier = preflights(actor.workspace).filter(spec_hash=digest, dataset_version=version).first()
    if earlier is not None and earlier.job.state in OPEN:
        return earlier
    if earlier is not None:
        earlier.job.delete()
    if instead:
        _cancel_waiting(actor)
    job = jobs.create(
        kind=KIND,
        workspace=actor.workspace,
        queue="infer",
        title=say("Check {recipe} on {version}", recipe=recipe, version=version),
        by=actor.user,
        priority=PRIORITY,
        max_attempts=2,
    )
    try:
        with transaction.atomic():
            made = Preflight.objects.create(
                workspace=actor.workspace,
                job=job,
                recipe=recipe,
                spec=specs.to_mapping(parsed),
                spec_hash=digest,
                dataset_version=version,
                created_by=actor.user,
            )
    except IntegrityError:
        job.delete()
        return preflights(actor.workspace).get(spec_hash=digest, dataset_version=version)
    job.page = f"training/preflights/{made.pk}"
    job.save(update_fields=["page"])
    return made


def _cancel_waiting(actor: Actor) -> None:
    mine = Job.objects.filter(workspace=actor.workspace, kind=KIND, requested_by=actor.user, state=State.QUEUED)
    for job in mine:
        jobs.cancel(job=job, by=actor.user)


def finish_preflight(*, preflight: Preflight, result: Mapping[str, Any]) -> None:
    """Store what the engine found; called by the worker under its lease."""
    Preflight.objects.filter(pk=preflight.pk).update(result=dict(result))
