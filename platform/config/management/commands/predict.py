"""Label or answer a file with a model version, as the page does."""

import argparse
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.management.base import CommandError

from apps.inference import services
from apps.inference.exports import FORMATS
from apps.inference.models import BatchJob
from apps.registry.selectors import resolve_version
from config.commands import JobCommand
from core import storage
from core.access import Actor
from core.jobs.models import Job


class Command(JobCommand):
    """`./lingxi predict --model NAME --file texts.csv --out labelled.csv`"""

    help = "Label the texts of a file, or answer its prompts, with a model version."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Model, file and where to write."""
        super().add_arguments(parser)
        parser.add_argument("--model", required=True, help="id, name@alias, name:number or name")
        parser.add_argument("--file", required=True, help="CSV, TSV, JSONL, JSON, Excel, Parquet or plain text")
        parser.add_argument(
            "--column", default="", help="column of texts, prompts or messages (default: found by its name)"
        )
        parser.add_argument("--id-column", default="", help="column that names the rows")
        parser.add_argument("--max-new-tokens", type=int, help="longest answer of a chat version (default: 256)")
        parser.add_argument("--out", help="file to write the labels or answers to")
        parser.add_argument("--format", default="csv", choices=list(FORMATS), help="format of --out (default: csv)")

    def start(self, actor: Actor, options: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
        """Hand the file over and queue."""
        path = Path(options["file"])
        if not path.is_file():
            raise CommandError(f"There is no file {path}.")
        version = resolve_version(actor.workspace, options["model"])
        with path.open("rb") as handle:
            batch_job = services.predict_upload(
                actor=actor,
                version=version,
                upload=File(handle, name=path.name),
                text_column=options["column"],
                id_column=options["id_column"],
                max_new_tokens=options["max_new_tokens"],
                reference=options["model"],
            )
        return batch_job.job, {"batch": batch_job.pk, "model_version": str(version)}

    def finish(self, actor: Actor, job: Job, options: dict[str, Any]) -> dict[str, Any]:
        """Write --out."""
        batch_job = BatchJob.objects.select_related("model_version__family").get(job=job)
        found: dict[str, Any] = {"rows": batch_job.stored_count, "bad_rows": batch_job.bad_count}
        if options["out"]:
            write, _type, _ending = FORMATS[options["format"]]
            target = Path(options["out"])
            with storage.whole_file(target) as beside, beside.open("w", encoding="utf-8", newline="") as handle:
                handle.writelines(write(batch_job))
            found["out"] = str(target)
        return found
