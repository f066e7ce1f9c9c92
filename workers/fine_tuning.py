"""The chain of a fine-tuning job: import its files, freeze them, start the training; a step that is done is not done again."""

from collections.abc import Mapping
from typing import Any

from django.http import Http404

from apps.accounts.access import actor_of_member
from apps.datasets import services as datasets
from apps.datasets.models import DatasetVersion, ImportJob
from apps.datasets.selectors import bad_rows, versions
from apps.datasets.services.files import at_line
from apps.training import services
from apps.training.models import FineTuningJob
from core.access import Actor
from core.errors import Refused
from core.jobs.models import Job
from core.jobs.run import Run, Waits
from core.jobs.states import State
from words import join, say

LOOK_SECONDS = 60.0  # steps that end call; this is for calls that were lost
ROWS_TOLD = 10


def run_fine_tuning(run: Run) -> Mapping[str, Any]:
    """Do the next step and wait in the queue while it is at work; the training goes its own way from its start on."""
    rows = FineTuningJob.objects.select_related("workspace", "dataset", "training")
    fine_tuning = rows.get(job=run.job)
    if fine_tuning.training is None:
        actor = _actor(run)
        imports = _imports(fine_tuning)
        for number, import_job in enumerate(imports):
            run.progress(number, len(imports) + 1, unit="steps", phase=say("importing"), now=True)
            _import(run, actor, import_job, "validation_file" if number else "training_file")
        run.progress(len(imports), len(imports) + 1, unit="steps", phase=say("freezing"), now=True)
        version = _frozen(run, actor, fine_tuning)
        training_job = services.begin_training(run=run, actor=actor, fine_tuning=fine_tuning, version=version)
    else:
        training_job = fine_tuning.training
    return {"training_job": training_job.pk}


def _actor(run: Run) -> Actor:
    """Who asked for it, with the rights they have now."""
    if run.job.requested_by is not None:
        try:
            return actor_of_member(run.job.requested_by, run.job.workspace.slug)
        except Http404:
            pass
    raise Refused("not_a_member", say("Who started this is no member any more."))


def _imports(fine_tuning: FineTuningJob) -> list[ImportJob]:
    """First the training file, then the validation file: a row of both ends up where it is only measured."""
    if fine_tuning.dataset is None:
        raise Refused("dataset_gone", say("The dataset of this job was deleted."))
    return list(fine_tuning.dataset.imports.select_related("job", "dataset").order_by("id"))


def _import(run: Run, actor: Actor, import_job: ImportJob, param: str) -> None:
    if import_job.job is None:
        with run.fenced():
            import_job = datasets.start(actor=actor, import_job=import_job)
    assert import_job.job is not None
    _require_done(import_job.job, f"invalid_{param}")
    if import_job.bad_count:
        told = [at_line(row.line, row.message, row.code) for row in bad_rows(import_job)[:ROWS_TOLD]]
        raise Refused(f"invalid_{param}", join(told, "\n"))


def _frozen(run: Run, actor: Actor, fine_tuning: FineTuningJob) -> DatasetVersion:
    assert fine_tuning.dataset is not None
    version = versions(fine_tuning.dataset).first()
    if version is None:
        with run.fenced():
            version = datasets.freeze(actor=actor, dataset=fine_tuning.dataset, note=str(fine_tuning))
    if version.frozen_at is None:
        assert version.job is not None
        _require_done(version.job, "freeze_failed")
    return version


def _require_done(job: Job, code: str) -> None:
    """Wait for a job that is not done; its failure is ours."""
    if not job.ended:
        raise Waits(LOOK_SECONDS, lambda: _call_if_ended(job))
    if job.state != State.SUCCEEDED:
        raise Refused(code, say("A step ended: {title}. {why}", title=job.title, why=job.error_message))


def _call_if_ended(job: Job) -> None:
    """It may have ended, and called, while we were on our way back to the queue."""
    job.refresh_from_db()
    services.call_fine_tuning_of(job)
