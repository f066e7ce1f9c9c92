"""Label many texts with a model version as a job, or a few while somebody waits."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.accounts.services import audit
from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.problems import FileProblem
from apps.datasets.formats.sniffing import sniff
from apps.datasets.models import DatasetVersion
from apps.inference.models import BatchJob, OnlineRequest, OnlineState, Prediction, Source
from apps.registry.models import ModelVersion, VersionState
from core import storage
from core.access import Actor
from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.run import Run
from core.jobs.states import ENDED
from core.queue import notify
from words import say

MAX_LISTED_TEXTS = 10_000
MAX_ONLINE_TEXTS = 32
MAX_TEXT_CHARACTERS = 100_000
TEXT_COLUMNS = ("text", "content", "sentence", "review", "question", "query", "文本", "内容", "正文", "评论", "问题")
ID_COLUMNS = ("id", "external_id", "custom_id", "编号")
ONLINE_LEASE = timedelta(seconds=30)
ONLINE_ATTEMPTS = 3
ONLINE_CHANNEL = "lingxi:online"


@transaction.atomic
def predict_version(
    *, actor: Actor, version: ModelVersion, data: DatasetVersion, split: str = "", reference: str = ""
) -> BatchJob:
    """Queue the labelling of a frozen dataset version, or of one of its splits."""
    if data.dataset.kind not in {"classification", "corpus", "spans"}:
        raise Refused("wrong_kind", say("Choose a dataset whose examples are single texts."), field="dataset_version")
    return _start(
        actor,
        version,
        title=say("Label {data}", data=data),
        source=Source.VERSION,
        dataset_version=data,
        split=split,
        reference=reference,
    )


def predict_upload(
    *,
    actor: Actor,
    version: ModelVersion,
    upload: Any,
    text_column: str = "",
    id_column: str = "",
    reference: str = "",
) -> BatchJob:
    """Keep an uploaded file, find its text column and queue the labelling."""
    _require_usable(version)
    storage.require_free_space(upload.size)
    folder = storage.workspace_folder(actor.workspace.pk, "predictions", uuid4().hex)
    path = folder / "upload"
    try:
        with storage.whole_file(path) as beside, beside.open("wb") as handle:
            for chunk in upload.chunks():
                handle.write(chunk)
        options, columns = _recognised(path, upload.name)
        text_column = _column(text_column, columns, TEXT_COLUMNS, required=True)
        id_column = _column(id_column, columns, ID_COLUMNS, required=False)
        with transaction.atomic():
            return _start(
                actor,
                version,
                title=say("Label {data}", data=upload.name),
                source=Source.UPLOAD,
                file_name=upload.name[-255:],
                file_path=str(path.relative_to(storage.home())),
                options=options.as_mapping(),
                text_column=text_column,
                id_column=id_column,
                reference=reference,
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def predict_texts(
    *, actor: Actor, version: ModelVersion, items: Sequence[Mapping[str, str]], reference: str = ""
) -> BatchJob:
    """Queue the labelling of {"id", "text"} items; ids must differ."""
    _require_usable(version)
    if not 1 <= len(items) <= MAX_LISTED_TEXTS:
        raise Refused(
            "bad_count", say("Send 1 to {max_listed_texts} texts.", max_listed_texts=MAX_LISTED_TEXTS), field="texts"
        )
    ids = Counter(item.get("id", "") for item in items)
    twice = [key for key, count in ids.items() if key and count > 1]
    if twice:
        raise Refused("duplicate_id", say("These ids come twice: {twice}", twice=", ".join(twice[:5])), field="texts")
    folder = storage.workspace_folder(actor.workspace.pk, "predictions", uuid4().hex)
    path = folder / "upload"
    with storage.whole_file(path) as beside, beside.open("w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(
            json.dumps({"id": item.get("id", ""), "text": item["text"]}, ensure_ascii=False) + "\n" for item in items
        )
    with transaction.atomic():
        return _start(
            actor,
            version,
            title=say("Label {count} texts", count=len(items)),
            source=Source.TEXTS,
            file_path=str(path.relative_to(storage.home())),
            options=ReadOptions(format="jsonl").as_mapping(),
            text_column="text",
            id_column="id",
            reference=reference,
        )


def _start(actor: Actor, version: ModelVersion, *, title: str, **columns: Any) -> BatchJob:
    _require_usable(version)
    storage.require_free_space()
    job = jobs.create(
        kind="inference.batch",
        workspace=actor.workspace,
        queue="infer",
        title=title,
        by=actor.user,
        unit="texts",
        can_pause=True,
    )
    batch_job = BatchJob.objects.create(
        workspace=actor.workspace, job=job, model_version=version, created_by=actor.user, **columns
    )
    job.page = f"predictions/{batch_job.pk}"
    job.save(update_fields=["page"])
    audit(actor=actor, action="prediction.start", obj=batch_job, model_version=version.pk)
    return batch_job


def _require_usable(version: ModelVersion) -> None:
    if version.task != "classification":
        raise Refused(
            "wrong_task",
            say("“{version}” does not label texts. Choose a classifier.", version=version),
            field="model",
        )
    if version.state == VersionState.DAMAGED:
        raise Refused(
            "version_damaged",
            say("The files of “{version}” are not what was registered. Choose another version.", version=version),
        )


def _recognised(path: Path, name: str) -> tuple[ReadOptions, list[str]]:
    try:
        found = sniff(path, name)
    except FileProblem as problem:
        raise Refused(problem.code, problem.message, field="file") from problem
    return found.options, list(found.columns)


def _column(wanted: str, columns: list[str], guesses: Iterable[str], *, required: bool) -> str:
    if wanted:
        if wanted not in columns:
            raise Refused(
                "unknown_column",
                say("The file has no column “{name}”. It has: {columns}", name=wanted, columns=", ".join(columns[:30])),
                field="text_column",
            )
        return wanted
    by_name = {column.strip().lower(): column for column in columns}
    found = next((by_name[guess] for guess in guesses if guess in by_name), "")
    if required and not found:
        if len(columns) == 1:
            return columns[0]
        raise Refused(
            "text_column_missing",
            say("Which column holds the texts? The file has: {columns}", columns=", ".join(columns[:30])),
            field="text_column",
        )
    return found


def prepared(
    *, run: Run, batch_job: BatchJob, path: Path, rows: int, bad: list[dict[str, Any]], bad_count: int
) -> None:
    """The input stands as one Parquet file; from now on positions are fixed."""
    with run.fenced():
        BatchJob.objects.filter(pk=batch_job.pk).update(
            input_path=str(path.relative_to(storage.home())), row_count=rows, bad_rows=bad, bad_count=bad_count
        )
    batch_job.refresh_from_db()


def keep_predictions(*, run: Run, batch_job: BatchJob, rows: Sequence[tuple[Any, ...]]) -> None:
    """Store the next rows by COPY under the lease: (position, custom_id, text, labels, label, probability, top).

    The batch's count moves in the same transaction, so a batch that goes on after a crash has each row once.
    """
    if not rows:
        return
    now = timezone.now()
    table = Prediction._meta.db_table
    with run.fenced():
        with connection.cursor() as cursor:
            columns = "batch_job_id, position, custom_id, text, labels, label, probability, probabilities, created_at"
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for position, custom_id, text, labels, label, probability, top in rows:
                    copy.write_row(
                        (batch_job.pk, position, custom_id, text, labels, label, probability, json.dumps(top), now)
                    )
        counts = Counter(batch_job.label_counts)
        counts.update(label for row in rows for label in row[3])
        batch_job.label_counts = dict(counts)
        batch_job.stored_count += len(rows)
        BatchJob.objects.filter(pk=batch_job.pk).update(
            stored_count=batch_job.stored_count, label_counts=batch_job.label_counts
        )


@transaction.atomic
def ask(*, actor: Actor, version: ModelVersion, texts: Sequence[str]) -> OnlineRequest:
    """Ask for labels of a few texts now; the resident role answers within a moment."""
    _require_usable(version)
    cleaned = [text for text in texts if text.strip()]
    if not 1 <= len(cleaned) <= MAX_ONLINE_TEXTS:
        raise Refused(
            "bad_count",
            say("Send 1 to {max_online_texts} texts; use a batch for more.", max_online_texts=MAX_ONLINE_TEXTS),
            field="texts",
        )
    if any(len(text) > MAX_TEXT_CHARACTERS or "\0" in text for text in cleaned):
        raise Refused(
            "text_too_long",
            say(
                "A text has at most {max_text_characters} characters and no NUL.",
                max_text_characters=MAX_TEXT_CHARACTERS,
            ),
            field="texts",
        )
    made = OnlineRequest.objects.create(
        workspace=actor.workspace, model_version=version, texts=cleaned, requested_by=actor.user
    )
    notify(ONLINE_CHANNEL)
    return made


def claim_online() -> OnlineRequest | None:
    """The oldest waiting request, leased to the caller under a fresh token; given up after a few attempts."""
    now = timezone.now()
    with transaction.atomic():
        waiting = OnlineRequest.objects.select_for_update(skip_locked=True).filter(state=OnlineState.WAITING)
        found = waiting.filter(Q(lease_expires_at=None) | Q(lease_expires_at__lt=now)).order_by("id").first()
        if found is None:
            return None
        if found.attempt_count >= ONLINE_ATTEMPTS:
            found.state = OnlineState.FAILED
            found.error_message = say("This request could not be answered. Try again.")
            found.save(update_fields=["state", "error_message"])
            return None
        OnlineRequest.objects.filter(pk=found.pk).update(
            token=F("token") + 1, attempt_count=F("attempt_count") + 1, lease_expires_at=now + ONLINE_LEASE
        )
    found.refresh_from_db()
    return found


def answer(*, request: OnlineRequest, results: Sequence[Mapping[str, Any]] = (), error: str = "") -> bool:
    """Store the answer under the claim's token; False when another claim was faster."""
    return bool(
        OnlineRequest.objects.filter(pk=request.pk, token=request.token, state=OnlineState.WAITING).update(
            state=OnlineState.FAILED if error else OnlineState.DONE,
            results=list(results),
            error_message=error,
            answered_at=timezone.now(),
        )
    )


def expire_files(*, now: datetime | None = None) -> dict[str, int]:
    """Let go of uploads and prepared inputs of batches that ended longer ago than the workspace keeps files."""
    now = now or timezone.now()
    done = {"prediction_inputs": 0}
    rows = BatchJob.objects.exclude(file_path="", input_path="").filter(job__state__in=ENDED)
    for batch_job in rows.select_related("workspace", "job"):
        days, ended_at = batch_job.workspace.file_retention_days, batch_job.job.finished_at
        if days is None or ended_at is None or ended_at > now - timedelta(days=days):
            continue
        paths = [storage.home() / path for path in (batch_job.file_path, batch_job.input_path) if path]
        BatchJob.objects.filter(pk=batch_job.pk).update(file_path="", input_path="")
        for path in paths:
            path.unlink(missing_ok=True)
        done["prediction_inputs"] += 1
    return done
