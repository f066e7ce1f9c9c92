"""Export a dataset or a frozen version to a file, as the page does."""

import argparse
import shutil
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from apps.datasets import services
from apps.datasets.formats.writers import SUFFIXES
from apps.datasets.models import DatasetVersion, ExportJob
from config.commands import JobCommand
from config.management.commands.train import find_dataset
from core.access import Actor
from core.jobs.models import Job
from core.storage import home


class Command(JobCommand):
    """`./lingxi export --dataset Questions --format jsonl --to questions.jsonl`"""

    help = "Export a dataset, or one of its versions, to a file."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """What, how and where to."""
        super().add_arguments(parser)
        parser.add_argument("--dataset", required=True, help="name or id of the dataset")
        parser.add_argument("--number", type=int, help="number of a frozen version (default: the dataset as it is)")
        parser.add_argument("--format", default="csv", choices=sorted(SUFFIXES), help="default: csv")
        parser.add_argument("--split", choices=["train", "dev", "test", "none"], help="only this part")
        parser.add_argument("--to", help="file to write (default: it stays on the server and its path is printed)")

    def start(self, actor: Actor, options: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
        """Queue the export."""
        dataset = find_dataset(actor, options["dataset"])
        version = None
        if options["number"]:
            version = DatasetVersion.objects.filter(dataset=dataset, number=options["number"]).first()
            if version is None:
                raise CommandError(f"{dataset} has no frozen version {options['number']}.")
        split = {"none": ""}.get(options["split"], options["split"])
        made = services.export(actor=actor, dataset=dataset, version=version, format=options["format"], split=split)
        return made.job, {"export": made.pk}

    def finish(self, actor: Actor, job: Job, options: dict[str, Any]) -> dict[str, Any]:
        """Copy the file where it was wanted; say what the format dropped."""
        made = ExportJob.objects.get(job=job)
        path = home() / made.path
        if options["to"]:
            path = Path(options["to"])
            try:
                shutil.copyfile(home() / made.path, path)
            except OSError as error:
                raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
        found: dict[str, Any] = {"file": str(path), "rows": made.row_count, "bytes": made.file_bytes}
        return found | {"sha256": made.file_hash} | ({"dropped": made.dropped} if made.dropped else {})
