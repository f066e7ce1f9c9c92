"""Import a file or an address into a dataset, as the page does."""

import argparse
import json
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.files.uploadedfile import UploadedFile
from django.core.management.base import CommandError

from apps.datasets import services
from apps.datasets.models import Dataset, ImportJob, Kind
from apps.datasets.selectors import bad_rows
from config.commands import JobCommand
from config.management.commands.train import find_dataset
from core.access import Actor
from core.jobs.models import Job

ERRORS_SHOWN = 10


class Command(JobCommand):
    """`./lingxi import questions.csv --dataset Questions --create classification --column text=body`"""

    help = "Import a file or an address into a dataset; bad rows are named, good ones go in."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Where from, where to, which column is what."""
        super().add_arguments(parser)
        parser.add_argument("source", help="a file, or an address with http:// or https://")
        parser.add_argument("--dataset", required=True, help="name or id of the dataset")
        parser.add_argument("--create", choices=Kind.values, help="make the dataset of this kind when there is none")
        parser.add_argument("--multi-label", action="store_true", help="with --create: a text may carry several labels")
        parser.add_argument(
            "--column", action="append", default=[], metavar="FIELD=COLUMN", help="one column; may be repeated"
        )
        parser.add_argument("--split", choices=["train", "dev", "test"], help="split of rows that name none")
        parser.add_argument("--options", help='JSON on how to read, e.g. {"delimiter": ";", "encoding": "gb18030"}')
        parser.add_argument("--mapping", help="JSON of the whole mapping, instead of --column")
        parser.add_argument("--dry-run", action="store_true", help="count and check, store nothing")

    def start(self, actor: Actor, options: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
        """Upload or name the address, choose the columns, queue."""
        dataset = self._dataset(actor, options)
        if options["source"].startswith(("http://", "https://")):
            import_job = services.receive_url(actor=actor, dataset=dataset, url=options["source"])
        else:
            import_job = self._upload(actor, dataset, Path(options["source"]))
        mapping = _json(options["mapping"], "--mapping")
        if options["column"]:
            chosen = dict(_pair(text) for text in options["column"])
            mapping = {**(mapping or {}), "columns": {**import_job.mapping.get("columns", {}), **chosen}}
        if options["split"]:
            mapping = {**(mapping or {}), "split": options["split"]}
        import_job = services.choose(
            actor=actor, import_job=import_job, options=_json(options["options"], "--options"), mapping=mapping
        )
        import_job = services.start(actor=actor, import_job=import_job, dry_run=options["dry_run"])
        assert import_job.job is not None
        return import_job.job, {"dataset": dataset.pk, "import": import_job.pk}

    def _dataset(self, actor: Actor, options: dict[str, Any]) -> Dataset:
        if (
            options["create"]
            and not Dataset.objects.filter(workspace=actor.workspace, name=options["dataset"]).exists()
        ):
            return services.create(
                actor=actor, name=options["dataset"], kind=options["create"], multi_label=options["multi_label"]
            )
        return find_dataset(actor, options["dataset"])

    def _upload(self, actor: Actor, dataset: Dataset, path: Path) -> ImportJob:
        try:
            with path.open("rb") as file:
                upload = UploadedFile(File(file), path.name, size=path.stat().st_size)
                return services.receive(actor=actor, dataset=dataset, upload=upload)
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error

    def finish(self, actor: Actor, job: Job, options: dict[str, Any]) -> dict[str, Any]:
        """Counts, and the first bad rows."""
        import_job = ImportJob.objects.get(job=job)
        counts = {name: job.result.get(name, 0) for name in ("new", "updated", "unchanged", "bad")}
        errors = [f"row {bad.row}: {bad.message}" for bad in bad_rows(import_job)[:ERRORS_SHOWN]]
        return counts | ({"errors": errors} if options["json"] or errors else {})


def _json(text: str | None, name: str) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise CommandError(f"{name} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise CommandError(f"{name} must be a JSON object.")
    return found


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not equals:
        raise CommandError(f"Write --column FIELD=COLUMN, not {text!r}.")
    return name, column
