"""Train a model on a frozen dataset version, as the page does."""

import argparse
import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from apps.datasets import services as datasets
from apps.datasets.models import Dataset, DatasetVersion, Example
from apps.datasets.services.splitting import SplitPlan
from apps.training import services
from apps.training.models import TrainingJob
from config.commands import JobCommand
from core.access import Actor
from core.jobs.models import Job
from core.terminal import follow
from engine.specs import RECIPES


class Command(JobCommand):
    """`./lingxi train --dataset NAME --recipe classify --set epochs=3`"""

    help = "Train a model on a dataset; rows are split and a version is frozen when there is none."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Data, recipe and options."""
        super().add_arguments(parser)
        parser.add_argument("--dataset", required=True, help="name or id of the dataset")
        parser.add_argument("--number", type=int, help="number of the frozen version (default: the newest)")
        parser.add_argument("--recipe", default="classify", choices=list(RECIPES), help="default: classify")
        parser.add_argument("--name", default="", help="name of the run")
        parser.add_argument("--model", default="", help="name under which the version is registered")
        parser.add_argument("--spec", help="JSON file with options of the recipe")
        parser.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="one option; may be repeated"
        )

    def start(self, actor: Actor, options: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
        """Freeze when needed, then queue."""
        dataset = find_dataset(actor, options["dataset"])
        version = self._version(actor, dataset, options)
        spec = json.loads(Path(options["spec"]).read_text(encoding="utf-8")) if options["spec"] else {}
        training_job = services.start(
            actor=actor,
            recipe=options["recipe"],
            spec=spec | dict(parsed(text) for text in options["set"]),
            version=version,
            name=options["name"],
            family_name=options["model"],
        )
        return training_job.job, {"training_job": training_job.pk, "dataset_version": str(version)}

    def _version(self, actor: Actor, dataset: Dataset, options: dict[str, Any]) -> DatasetVersion:
        versions = DatasetVersion.objects.filter(dataset=dataset).order_by("-number")
        if options["number"]:
            found = versions.filter(number=options["number"]).first()
            if found is None:
                raise CommandError(f"{dataset} has no frozen version {options['number']}.")
            return found
        found = versions.first()
        if found is not None and found.dataset_revision == dataset.revision:
            return found
        self._split_when_needed(actor, dataset, options)
        made = datasets.freeze(actor=actor, dataset=dataset)
        assert made.job is not None
        if not follow(made.job, as_json=options["json"]):
            raise CommandError(f"Freezing failed: {made.job.error_message}")
        return DatasetVersion.objects.get(pk=made.pk)

    def _split_when_needed(self, actor: Actor, dataset: Dataset, options: dict[str, Any]) -> None:
        """Rows without any split are divided 80/10/10, each label in the same shares."""
        if Example.objects.filter(dataset=dataset, deleted_at=None).exclude(split="").exists():
            return
        divided = datasets.request_split(actor=actor, dataset=dataset, plan=SplitPlan())
        assert divided.split_job is not None
        if not follow(divided.split_job, as_json=options["json"]):
            raise CommandError(f"Splitting failed: {divided.split_job.error_message}")

    def finish(self, actor: Actor, job: Job, options: dict[str, Any]) -> dict[str, Any]:
        """The version that came out and its headline figures."""
        training_job = TrainingJob.objects.select_related("model_version__family").get(job=job)
        version = training_job.model_version
        if version is None:
            return {}
        figures = {name: round(value["value"], 4) for name, value in version.headline.items() if value}
        return {"model_version": str(version), "id": version.pk, version.report_split: figures}


def find_dataset(actor: Actor, reference: str) -> Dataset:
    """By id or by name, in the actor's workspace."""
    rows = Dataset.objects.filter(workspace=actor.workspace)
    found = rows.filter(name=reference).first()
    if found is None and reference.isascii() and reference.isdigit():
        found = rows.filter(pk=int(reference)).first()
    if found is None:
        raise CommandError(f"There is no dataset {reference!r} in the workspace {actor.workspace.slug}.")
    return found


def parsed(text: str) -> tuple[str, Any]:
    """NAME=VALUE, where VALUE is JSON or plain text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"Write --set NAME=VALUE, not {text!r}.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
