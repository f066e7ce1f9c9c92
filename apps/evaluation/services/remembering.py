"""Measure what the versions of a lineage still know of each other's tasks."""

from django.db import transaction

from apps.evaluation.models import EvaluationJob
from apps.evaluation.remembering import remembering
from apps.evaluation.services.evaluations import start_evaluation
from apps.registry.models import ModelVersion
from core.access import Actor
from core.errors import Refused
from words import say


@transaction.atomic
def measure_tasks(*, actor: Actor, version: ModelVersion) -> list[EvaluationJob]:
    """Start the evaluations that the accuracy matrix of the version's lineage lacks; none that is measured or at work."""
    ModelVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)  # two clicks order once
    found = remembering(version)
    if found is None:
        raise Refused(
            "no_lineage",
            say("{version} learnt no task that can be measured here.", version=version),
            field="model_version",
        )
    return [
        start_evaluation(actor=actor, model_version=missing, dataset_version=step.data, split=step.split)
        for missing, step in found.missing
    ]
