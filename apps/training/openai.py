"""/v1/fine_tuning/jobs: from uploaded files to a model version, as OpenAI's clients know it."""

from datetime import timedelta
from typing import Any, ClassVar

from django.http import Http404
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets.models import ApiFile
from apps.datasets.selectors import api_files
from apps.training import services
from apps.training.models import AUTO, Checkpoint, FineTuningJob
from apps.training.openai_bodies import NewFineTuningJob
from apps.training.selectors import fine_tuning_jobs
from apps.training.services.fine_tuning import METHODS
from apps.training.tuning_events import Event, events_of
from core.access import fetch, require
from core.errors import Refused
from core.jobs.states import State
from core.openai.body import read_body
from core.openai.ids import public_id, row_number
from core.openai.paging import limit_of, listed, page
from core.openai.views import OpenAIViewSet
from words import join, say

LOSSES = {"train_loss": "train_loss", "dev_loss": "full_valid_loss"}


class FineTuningJobs(OpenAIViewSet):
    """Fine-tuning jobs of the workspace."""

    read_permission = "training.read"
    write_permission = "training.write"
    once: ClassVar[tuple[str, ...]] = ("create",)

    def list(self, request: Request) -> Response:
        """Newest first; ?metadata[key]=value finds jobs with that pair."""
        rows = fine_tuning_jobs(self.actor.workspace)
        pairs = {
            name[len("metadata[") : -1]: str(value).replace("\0", "")
            for name, value in request.query_params.items()
            if name.startswith("metadata[") and name.endswith("]") and "\0" not in name
        }
        if pairs:
            rows = rows.filter(metadata__contains=pairs)
        if request.query_params.get("metadata") == "null":
            rows = rows.filter(metadata={})
        return listed(request, rows, kind="fine_tuning_job", show=shown)

    def create(self, request: Request) -> Response:
        """Files are checked now as far as their facts go; the rest tells the job."""
        values = read_body(request, NewFineTuningJob)
        require(self.actor, "datasets.write")  # the files become a dataset
        validation = values.get("validation_file")
        made = services.create_fine_tuning(
            actor=self.actor,
            model=values["model"],
            training_file=self._file(values["training_file"], "training_file"),
            validation_file=self._file(validation, "validation_file") if validation else None,
            method=values["method"],
            hyperparameters=values["hyperparameters"],
            suffix=values["suffix"],
            seed=values.get("seed"),
            metadata=values.get("metadata"),
            integrations=values.get("integrations"),
        )
        return Response(shown(made))

    def retrieve(self, request: Request, job: str) -> Response:
        """Where it stands."""
        return Response(shown(self._one(job)))

    def cancel(self, request: Request, job: str) -> Response:
        """End it; what runs ends at its next step."""
        services.cancel_fine_tuning(actor=self.actor, fine_tuning=self._one(job))
        return Response(shown(self._one(job)))

    def pause(self, request: Request, job: str) -> Response:
        """Let the training save a checkpoint and wait."""
        services.pause_fine_tuning(actor=self.actor, fine_tuning=self._one(job))
        return Response(shown(self._one(job)))

    def resume(self, request: Request, job: str) -> Response:
        """Go on from the checkpoint."""
        services.resume_fine_tuning(actor=self.actor, fine_tuning=self._one(job))
        return Response(shown(self._one(job)))

    def events(self, request: Request, job: str) -> Response:
        """What happened, newest first."""
        found, limit = self._one(job), limit_of(request)
        rows = events_of(found, after=request.query_params.get("after", ""), limit=limit + 1)
        return page([_event(event) for event in rows[:limit]], has_more=len(rows) > limit)

    def checkpoints(self, request: Request, job: str) -> Response:
        """The checkpoints that are kept: the newest and the best."""
        found = self._one(job)
        rows = Checkpoint.objects.filter(training_job=found.training_id or 0)
        kind = "fine_tuning_checkpoint"
        return listed(request, rows, kind=kind, show=lambda row: _checkpoint(found, row), usual=10)

    def _one(self, job: str) -> FineTuningJob:
        permission = self.read_permission if self.request.method == "GET" else self.write_permission
        rows = fine_tuning_jobs(self.actor.workspace)
        return fetch(self.actor, rows, permission, pk=row_number("fine_tuning_job", job))

    def _file(self, file: str, param: str) -> ApiFile:
        """A file of the workspace; an unknown one is a value that is refused."""
        try:
            return fetch(self.actor, api_files(self.actor.workspace), "datasets.read", pk=row_number("file", file))
        except Http404 as error:
            raise Refused(
                "file_not_found",
                say("There is no file “{file}” in this workspace.", file=file),
                field=param,
                status=400,
            ) from error


def shown(job: FineTuningJob) -> dict[str, Any]:
    """A job as OpenAI's clients read it; `paused` is ours, because they know no such state."""
    training, at_work = job.training, job.at_work
    ended = job.status in ("succeeded", "failed", "cancelled")
    hyperparameters = _hyperparameters(job)
    plain = {name: value for name, value in hyperparameters.items() if name != "beta"}
    version = training.model_version if training else None
    return {
        "id": public_id("fine_tuning_job", job.pk),
        "object": "fine_tuning.job",
        "created_at": _seconds(job.created_at),
        "finished_at": _seconds(at_work.finished_at) if ended else None,
        "model": job.model,
        "fine_tuned_model": f"{version.family.name}:{version.number}" if version else None,
        "organization_id": job.workspace.slug,
        "status": job.status,
        "paused": at_work.state == State.PAUSED,
        "error": _error(job),
        "hyperparameters": plain,
        "method": {"type": job.method, job.method: {"hyperparameters": hyperparameters}},
        "training_file": public_id("file", job.training_file),
        "validation_file": public_id("file", job.validation_file) if job.validation_file else None,
        "result_files": [public_id("file", job.result_file_id)] if job.result_file_id else [],
        "trained_tokens": training.summary.get("tokens_seen") if training else None,
        "estimated_finish": _estimated_finish(job),
        "seed": job.seed,
        "integrations": job.integrations,
        "metadata": job.metadata,
        "user_provided_suffix": job.suffix or None,
    }


def _hyperparameters(job: FineTuningJob) -> dict[str, Any]:
    """As asked; what was "auto" is a number once the recipe has decided."""
    found = dict(job.hyperparameters)
    if job.training is not None:
        for name, option in METHODS[job.method].options.items():
            if found[name] == AUTO:
                found[name] = 1.0 if name == "learning_rate_multiplier" else job.training.spec[option]
    return found


def _error(job: FineTuningJob) -> dict[str, Any] | None:
    """Why it failed, and which file is to blame."""
    if job.status != State.FAILED:
        return None
    failed = job.at_work
    param = failed.error_code.removeprefix("invalid_")
    return {
        "code": failed.error_code,
        "message": str(join([failed.error_message, failed.error_hint])),
        "param": param if param in ("training_file", "validation_file") else None,
    }


def _estimated_finish(job: FineTuningJob) -> int | None:
    left = job.training.job.remaining_seconds if job.training else None
    return None if left is None else _seconds(timezone.now() + timedelta(seconds=left))


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": event.public_id,
        "object": "fine_tuning.job.event",
        "created_at": _seconds(event.place.at),
        "level": event.level,
        "message": event.message,
        "type": "metrics" if event.data else "message",
        "data": event.data or {},
    }


def _checkpoint(job: FineTuningJob, row: Checkpoint) -> dict[str, Any]:
    """Checkpoints are there to go on from; no model version bears the name of one."""
    metrics = {theirs: row.metrics[ours] for ours, theirs in LOSSES.items() if ours in row.metrics}
    return {
        "id": public_id("fine_tuning_checkpoint", row.pk),
        "object": "fine_tuning.job.checkpoint",
        "created_at": _seconds(row.created_at),
        "fine_tuned_model_checkpoint": f"{job.family_name}:ckpt-step-{row.step}",
        "fine_tuning_job_id": public_id("fine_tuning_job", job.pk),
        "step_number": row.step,
        "metrics": {"step": row.step, **metrics},
    }


def _seconds(moment: Any) -> int | None:
    return int(moment.timestamp()) if moment else None
