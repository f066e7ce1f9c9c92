"""Batches by /v1/batches: made and cancelled by callers, moved on by the worker that holds their job's lease.

Whoever changes a batch holds its job's row first. A result is stored once: under the lease, and only in an item that has none.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.services import audit
from apps.datasets import services as datasets
from apps.datasets.models import ApiFile, FilePurpose
from apps.inference.models import ApiBatch, BatchItem, BatchState, Deployment, Generation, ItemState
from apps.inference.services.generations import cancel_generation, forget_texts
from apps.inference.services.metering import count_items
from apps.inference.services.routes import Route
from core.access import Actor
from core.bulk import copy_rows
from core.errors import Refused, conflict
from core.jobs import services as jobs
from core.jobs.models import Job
from core.jobs.run import Run
from core.jobs.states import ENDED, State
from core.queue import wake
from words import say

KIND = "inference.api_batch"
PRIORITY = -5  # imports and exports, for which somebody waits, go first
ATTEMPTS = 30  # only a worker that dies uses one up
ITEM_ATTEMPTS = 3
ITEM_DAYS = 30  # after its end; what it made stands in its files
MOST_BYTES = 200_000_000
LONGEST_WINDOW = timedelta(days=7)
WINDOW = re.compile(r"([1-9][0-9]{0,4})([hm])")
OPEN = (BatchState.VALIDATING, BatchState.IN_PROGRESS, BatchState.FINALIZING, BatchState.CANCELLING)
UNFINISHED = (ItemState.WAITING, ItemState.RUNNING)
ITEM_COLUMNS = ("batch_id", "position", "line", "custom_id", "body")


@dataclass(frozen=True)
class Result:
    """What became of an item: a response, or (`again`) that it is worth another try."""

    item: int
    status_code: int
    response: Mapping[str, Any]
    generation: Generation | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    answer_tokens: int = 0
    again: bool = False
    is_counted: bool = False  # as usage; what is written is counted with its row


@transaction.atomic
def create_batch(
    *,
    actor: Actor,
    endpoint: str,
    queue: str,
    file: ApiFile,
    completion_window: str = "24h",
    metadata: Mapping[str, str] | None = None,
    output_seconds: int | None = None,
) -> ApiBatch:
    """Queue the requests of a file; its lines are looked at by the worker."""
    if file.purpose != FilePurpose.BATCH:
        raise Refused("invalid_file", say("“{file}” was not uploaded for batch.", file=file), field="input_file_id")
    if file.bytes > MOST_BYTES:
        raise Refused(
            "file_too_large", say("The file of a batch has at most {most:,} bytes.", most=MOST_BYTES),
            field="input_file_id",
        )  # fmt: skip
    now = timezone.now()
    expires_at = now + _window(completion_window)
    job = jobs.create(
        kind=KIND,
        workspace=actor.workspace,
        queue=queue,
        title=say("Batch {file}", file=file),
        by=actor.user,
        priority=PRIORITY,
        max_attempts=ATTEMPTS,
        unit="requests",
    )
    made = ApiBatch.objects.create(
        workspace=actor.workspace,
        job=job,
        endpoint=endpoint,
        input_file=file.pk,
        input_name=file.name,
        completion_window=completion_window,
        output_seconds=output_seconds,
        metadata=dict(metadata or {}),
        created_by=actor.user,
        api_key=actor.key,
        created_at=now,
        expires_at=expires_at,
    )
    job.page = f"predictions/batches/{made.pk}"
    job.save(update_fields=["page"])
    audit(actor=actor, action="batch.create", obj=made, endpoint=endpoint)
    return made


def _window(text: str) -> timedelta:
    found = WINDOW.fullmatch(text)
    length = timedelta(**{"hours" if found[2] == "h" else "minutes": int(found[1])}) if found else timedelta(0)
    if not timedelta(0) < length <= LONGEST_WINDOW:
        raise Refused(
            "invalid_value",
            say("completion_window is “24h”, or another time from “1m” to “168h”."),
            field="completion_window",
        )
    return length


@transaction.atomic
def cancel_batch(*, actor: Actor, batch: ApiBatch) -> ApiBatch:
    """Ask for its end; what has a result by then is delivered. Cancelling twice is harmless."""
    job = Job.objects.select_for_update(of=("self",)).get(pk=batch.job_id)
    held = ApiBatch.objects.get(pk=batch.pk)
    if held.state in (BatchState.CANCELLING, BatchState.CANCELLED):
        return held
    if not held.may_cancel:
        raise conflict("batch_ended", say("This batch has already ended."))
    _mark_cancelling(held)
    if job.state == State.RUNNING:
        jobs.cancel(job=job, by=actor.user)
    else:
        Job.objects.filter(pk=job.pk, state=State.QUEUED).update(run_after=timezone.now())
        wake(job.queue)
    audit(actor=actor, action="batch.cancel", obj=held)
    held.refresh_from_db()
    return held


# --- what the worker does ------------------------------------------------------------------------------------


def forget_items(*, run: Run, batch: ApiBatch) -> None:
    """A file is read from its beginning: what an attempt before may have kept of it goes."""
    with run.fenced():
        BatchItem.objects.filter(batch=batch).delete()


def add_items(*, run: Run, batch: ApiBatch, rows: Iterable[tuple[int, int, str, str]]) -> None:
    """Keep the next requests: (position, line, custom_id, body as JSON)."""
    with run.fenced():
        copy_rows(BatchItem, ITEM_COLUMNS, ((batch.pk, *row) for row in rows))


def refuse_file(*, run: Run, batch: ApiBatch, errors: Sequence[Mapping[str, Any]]) -> None:
    """Nothing of the file is worked on; `errors` name its lines."""
    with run.fenced():
        BatchItem.objects.filter(batch=batch).delete()
        ApiBatch.objects.filter(pk=batch.pk, state=BatchState.VALIDATING).update(
            state=BatchState.FAILED, failed_at=timezone.now(), errors=list(errors)
        )


def begin_batch(*, run: Run, batch: ApiBatch, route: Route, reference: str, count: int) -> None:
    """Its file is good: from now on it is one version's work, whatever becomes of the alias."""
    with run.fenced():
        rows = ApiBatch.objects.filter(pk=batch.pk)
        rows.update(model_version=route.version, deployment=route.deployment, reference=reference, total_count=count)
        rows.filter(state=BatchState.VALIDATING).update(state=BatchState.IN_PROGRESS, in_progress_at=timezone.now())
    batch.refresh_from_db()


def reopen_batch(*, run: Run, batch: ApiBatch) -> None:
    """A person sent the job of a failed batch again: it goes on from what it has."""
    state = BatchState.VALIDATING if batch.model_version_id is None else BatchState.IN_PROGRESS
    with run.fenced():
        ApiBatch.objects.filter(pk=batch.pk, state=BatchState.FAILED).update(state=state, failed_at=None, errors=[])
    batch.refresh_from_db()


def hand_out(*, run: Run, items: Sequence[BatchItem], begin: Callable[[BatchItem], Generation]) -> dict[int, Refused]:
    """Ask for the answers of items, each once; returns those that were refused, by their number."""
    refusals: dict[int, Refused] = {}
    with run.fenced():
        for item in items:
            try:
                with transaction.atomic():
                    row = begin(item)
            except Refused as refused:
                refusals[item.pk] = refused
                continue
            BatchItem.objects.filter(pk=item.pk, state=ItemState.WAITING).update(
                state=ItemState.RUNNING, generation=row, attempt_count=F("attempt_count") + 1
            )
    return refusals


def keep_results(*, run: Run, batch: ApiBatch, results: Sequence[Result], seconds: float = 0.0) -> None:
    """Store results, each in the item that has none yet, and move the batch's counts with them.

    `seconds` is the time that the results to be counted as usage took.
    """
    counted: list[Result] = []
    counts = dict.fromkeys(("completed_count", "failed_count", "prompt_tokens", "cached_tokens", "answer_tokens"), 0)
    with run.fenced():
        for result in results:
            rows = BatchItem.objects.filter(pk=result.item, state__in=UNFINISHED)
            if result.again and rows.filter(attempt_count__lt=ITEM_ATTEMPTS).update(
                state=ItemState.WAITING, generation=None
            ):
                continue
            is_good = result.status_code == 200
            if not rows.update(
                state=ItemState.COMPLETED if is_good else ItemState.FAILED,
                status_code=result.status_code,
                response=result.response,
            ):
                continue
            counts["completed_count" if is_good else "failed_count"] += 1
            for name in ("prompt_tokens", "cached_tokens", "answer_tokens"):
                counts[name] += getattr(result, name)
            if result.is_counted:
                counted.append(result)
            if result.generation is not None and not result.generation.is_stored:
                forget_texts(result.generation.pk)
        errors = sum(result.status_code != 200 for result in counted)
        if counted:
            tokens = sum(result.prompt_tokens for result in counted)
            count_items(batch, requests=len(counted), errors=errors, tokens=tokens, seconds=seconds)
        ApiBatch.objects.filter(pk=batch.pk).update(**{name: F(name) + count for name, count in counts.items()})


def begin_cancel(*, run: Run, batch: ApiBatch) -> None:
    """Its job was cancelled by whatever way: so is the batch, unless it is further."""
    with run.fenced():
        _mark_cancelling(batch)


def close_items(*, run: Run, batch: ApiBatch, now: datetime) -> bool:
    """Give what is unfinished its error, if the batch is cancelled or late, and go to the making of files.

    False while there is something to do and time for it.
    """
    with run.fenced():
        held = ApiBatch.objects.get(pk=batch.pk)
        rows = BatchItem.objects.filter(batch=batch, state__in=UNFINISHED)
        is_cancelled, is_late = held.state == BatchState.CANCELLING, held.is_late(now)
        if rows.exists() or held.state == BatchState.VALIDATING:
            if not (is_cancelled or is_late):
                return False
            _give_up(held, is_cancelled)
            if not is_cancelled:
                ApiBatch.objects.filter(pk=held.pk).update(expired_at=now)
        if not is_cancelled:
            ApiBatch.objects.filter(pk=held.pk, finalizing_at=None).update(finalizing_at=now)
            ApiBatch.objects.filter(pk=held.pk).update(state=BatchState.FINALIZING)
    batch.refresh_from_db()
    return True


def _give_up(batch: ApiBatch, is_cancelled: bool) -> None:
    """An error for each item without a result; answers that are being written for them are ended."""
    rows = BatchItem.objects.filter(batch=batch, state__in=UNFINISHED)
    at_work = list(rows.exclude(generation=None).values_list("generation", flat=True))
    if batch.model_version_id is None:  # its file was not read to the end
        BatchItem.objects.filter(batch=batch).delete()
        return
    message = say("This request was not done before the batch's time was over.")
    if is_cancelled:
        message = say("This request was not done before the batch was cancelled.")
    count = rows.update(
        state=ItemState.FAILED,
        error_code="batch_cancelled" if is_cancelled else "batch_expired",
        error_message=message,
    )
    ApiBatch.objects.filter(pk=batch.pk).update(failed_count=F("failed_count") + count)
    for pk in at_work:
        cancel_generation(pk)


def end_batch(*, run: Run, batch: ApiBatch, output: Path | None, errors: Path | None) -> None:
    """Files and end in one transaction: who sees the end finds the files."""
    with run.fenced():
        held = ApiBatch.objects.get(pk=batch.pk)
        if held.ended:
            return
        end = BatchState.CANCELLED
        if held.state == BatchState.FINALIZING:
            end = BatchState.EXPIRED if held.expired_at else BatchState.COMPLETED
        columns: dict[str, Any] = {} if end == BatchState.EXPIRED else {f"{end}_at": timezone.now()}
        ApiBatch.objects.filter(pk=held.pk).update(
            state=end,
            output_file=_file(held, "output", output),
            error_file=_file(held, "errors", errors),
            **columns,
        )
        rows = BatchItem.objects.filter(batch=held)
        if held.deployment is None or held.deployment.retention_days != 0:
            rows = rows.filter(generation__is_stored=False)
        rows.update(body={}, response=None)  # what is not to be kept stands in the files alone
    batch.refresh_from_db()


def _file(batch: ApiBatch, what: str, made: Path | None) -> ApiFile | None:
    if made is None:
        return None

    def move(place: Path) -> None:
        made.replace(place)

    return datasets.make_file(
        workspace=batch.workspace,
        by=batch.created_by,
        purpose=FilePurpose.BATCH_OUTPUT,
        name=f"{batch.public_id}_{what}.jsonl",
        write=move,
        expires_seconds=batch.output_seconds,
    )


def fail_batch(*, job: Job) -> None:
    """The job of a batch ended badly: so does the batch. The job can be retried, and goes on from there."""
    with transaction.atomic():
        held = Job.objects.select_for_update(of=("self",)).filter(pk=job.pk).first()
        if held is None or held.state != State.FAILED:  # a job that deletes its workspace is gone with it
            return
        batch = ApiBatch.objects.filter(job=held).first()
        if batch is None or batch.ended:
            return
        error = {"code": held.error_code, "message": held.error_message, "param": None, "line": None}
        ApiBatch.objects.filter(pk=batch.pk).update(state=BatchState.FAILED, failed_at=timezone.now(), errors=[error])


def mend_batches() -> list[int]:
    """Batches whose job ended before they did: one that was cancelled is sent back to make its files."""
    mended = []
    for batch in ApiBatch.objects.filter(state__in=OPEN, job__state__in=ENDED).select_related("job"):
        if batch.job.state == State.FAILED:
            fail_batch(job=batch.job)
        elif batch.job.state == State.CANCELLED:
            _send_back(batch)
        mended.append(batch.pk)
    return mended


@transaction.atomic
def _send_back(batch: ApiBatch) -> None:
    job = Job.objects.select_for_update(of=("self",)).get(pk=batch.job_id)
    if job.state == State.CANCELLED:
        _mark_cancelling(batch)
        jobs.retry(job=job, by=None)


def _mark_cancelling(batch: ApiBatch) -> None:
    rows = ApiBatch.objects.filter(pk=batch.pk, state__in=(BatchState.VALIDATING, BatchState.IN_PROGRESS))
    rows.update(state=BatchState.CANCELLING, cancelling_at=timezone.now())


def expire_items(*, now: datetime | None = None) -> dict[str, int]:
    """Let go of the requests of batches that ended a while ago, or as long as their deployment keeps texts.

    What they made stands in their files.
    """
    now = now or timezone.now()
    rows = BatchItem.objects.exclude(batch__state__in=OPEN)
    gone = rows.filter(batch__job__finished_at__lt=now - timedelta(days=ITEM_DAYS)).delete()[0]
    for deployment in Deployment.objects.filter(retention_days__lt=ITEM_DAYS):
        before = now - timedelta(days=deployment.retention_days or 0)
        gone += rows.filter(batch__deployment=deployment, batch__job__finished_at__lt=before).delete()[0]
    return {"batch_requests": gone}
