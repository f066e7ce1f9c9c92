"""Let a model version label many texts, or answer many chats, as a job."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from apps.accounts.services import audit
from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.problems import FileProblem
from apps.datasets.formats.sniffing import sniff
from apps.datasets.models import DatasetVersion
from apps.inference.models import BatchJob, Deployment, Prediction, Source
from apps.inference.services.asking import answer_length, checked_messages, require_usable
from apps.inference.services.metering import count_predictions
from apps.inference.tasks import use_of
from apps.registry.models import ModelVersion
from core import storage
from core.access import Actor
from core.bulk import copy_rows
from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.run import Run
from core.jobs.states import ENDED
from words import say

MAX_LISTED_TEXTS = 10_000
ID_COLUMNS = ("id", "external_id", "custom_id", "编号")


@transaction.atomic
def predict_version(
    *,
    actor: Actor,
    version: ModelVersion,
    data: DatasetVersion,
    split: str = "",
    max_new_tokens: int | None = None,
    reference: str = "",
    deployment: Deployment | None = None,
) -> BatchJob:
    """Queue a frozen dataset version, or one of its splits; of a chat the last answer is written anew."""
    require_usable(version)
    use = use_of(version)
    if data.dataset.kind not in use.data_kinds:
        raise Refused("wrong_kind", use.other_data(), field="dataset_version")
    return _start(
        actor,
        version,
        data,
        source=Source.VERSION,
        dataset_version=data,
        split=split,
        max_new_tokens=max_new_tokens,
        reference=reference,
        deployment=deployment,
    )


def predict_upload(
    *,
    actor: Actor,
    version: ModelVersion,
    upload: Any,
    text_column: str = "",
    context_column: str = "",
    id_column: str = "",
    max_new_tokens: int | None = None,
    reference: str = "",
    deployment: Deployment | None = None,
) -> BatchJob:
    """Keep an uploaded file, find its column of texts (prompts, messages, questions and their passages) and queue it."""
    require_usable(version)
    storage.require_free_space(upload.size)
    folder = storage.workspace_folder(actor.workspace.pk, "predictions", uuid4().hex)
    path = folder / "upload"
    try:
        with storage.whole_file(path) as beside, beside.open("wb") as handle:
            for chunk in upload.chunks():
                handle.write(chunk)
        options, columns = _recognised(path, upload.name)
        text_column = _column(text_column, columns, use_of(version).columns, required=True)
        guesses = use_of(version).beside
        wanted = context_column if guesses else ""
        context_column = _column(wanted, columns, guesses, required=bool(guesses), field="context_column")
        id_column = _column(id_column, columns, ID_COLUMNS, required=False)
        with transaction.atomic():
            return _start(
                actor,
                version,
                upload.name,
                source=Source.UPLOAD,
                file_name=upload.name[-255:],
                file_path=str(path.relative_to(storage.home())),
                options=options.as_mapping(),
                text_column=text_column,
                context_column=context_column,
                id_column=id_column,
                max_new_tokens=max_new_tokens,
                reference=reference,
                deployment=deployment,
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def predict_texts(
    *,
    actor: Actor,
    version: ModelVersion,
    items: Sequence[Mapping[str, Any]],
    max_new_tokens: int | None = None,
    reference: str = "",
    deployment: Deployment | None = None,
) -> BatchJob:
    """Queue {"id", "text"} items, of a reader with the passage, of a ranker with the second text as "context".

    Of a chat version also {"id", "messages"}. Ids must differ.
    """
    require_usable(version)
    if not 1 <= len(items) <= MAX_LISTED_TEXTS:
        raise Refused(
            "bad_count", say("Send 1 to {max_listed_texts} texts.", max_listed_texts=MAX_LISTED_TEXTS), field="texts"
        )
    ids = Counter(item.get("id", "") for item in items)
    twice = [key for key, count in ids.items() if key and count > 1]
    if twice:
        raise Refused("duplicate_id", say("These ids come twice: {twice}", twice=", ".join(twice[:5])), field="texts")
    rows = [_item(version, item, at) for at, item in enumerate(items)]
    folder = storage.workspace_folder(actor.workspace.pk, "predictions", uuid4().hex)
    path = folder / "upload"
    with storage.whole_file(path) as beside, beside.open("w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with transaction.atomic():
        return _start(
            actor,
            version,
            say("{count} texts", count=len(items)),
            source=Source.TEXTS,
            file_path=str(path.relative_to(storage.home())),
            options=ReadOptions(format="jsonl").as_mapping(),
            text_column="messages" if use_of(version).reads == "messages" else "text",
            context_column="context" if use_of(version).beside else "",
            id_column="id",
            max_new_tokens=max_new_tokens,
            reference=reference,
            deployment=deployment,
        )


def _item(version: ModelVersion, item: Mapping[str, Any], at: int) -> dict[str, Any]:
    """The row of an item as the batch's file keeps it."""
    text, messages = item.get("text"), item.get("messages")
    if (text is None) == (messages is None):
        raise Refused(
            "text_or_messages", say("Give each item a text or messages, one of the two."), field=f"texts.{at}"
        )
    name = item.get("id", "")
    if use_of(version).reads == "messages":
        spoken: Sequence[Mapping[str, str]] = [{"role": "user", "content": str(text)}] if messages is None else messages
        return {"id": name, "messages": checked_messages(spoken, f"texts.{at}.messages")}
    if text is None:
        raise Refused(
            "wrong_task", say("“{version}” labels texts; it does not answer messages.", version=version), field="model"
        )
    if use_of(version).beside:
        return {"id": name, "text": text, "context": item.get("context") or ""}
    return {"id": name, "text": text}


def _start(
    actor: Actor, version: ModelVersion, what: Any, *, max_new_tokens: int | None = None, **columns: Any
) -> BatchJob:
    require_usable(version)
    storage.require_free_space()
    length = answer_length(max_new_tokens)
    job = jobs.create(
        kind="inference.batch",
        workspace=actor.workspace,
        queue="io" if use_of(version).reads == "messages" else "infer",  # the resident role writes
        title=use_of(version).title(what),
        by=actor.user,
        unit="texts",
        can_pause=True,
    )
    batch_job = BatchJob.objects.create(
        workspace=actor.workspace,
        job=job,
        model_version=version,
        max_new_tokens=length,
        created_by=actor.user,
        api_key=actor.key,
        **columns,
    )
    job.page = f"predictions/{batch_job.pk}"
    job.save(update_fields=["page"])
    audit(actor=actor, action="prediction.start", obj=batch_job, model_version=version.pk)
    return batch_job


def _recognised(path: Path, name: str) -> tuple[ReadOptions, list[str]]:
    try:
        found = sniff(path, name)
    except FileProblem as problem:
        raise Refused(problem.code, problem.message, field="file") from problem
    return found.options, list(found.columns)


def _column(
    wanted: str, columns: list[str], guesses: Iterable[str], *, required: bool, field: str = "text_column"
) -> str:
    if wanted:
        if wanted not in columns:
            raise Refused(
                "unknown_column",
                say("The file has no column “{name}”. It has: {columns}", name=wanted, columns=", ".join(columns[:30])),
                field=field,
            )
        return wanted
    by_name = {column.strip().lower(): column for column in columns}
    found = next((by_name[guess] for guess in guesses if guess in by_name), "")
    if required and not found:
        if len(columns) == 1 and field == "text_column":
            return columns[0]
        raise Refused(
            f"{field}_missing",
            say("Which column holds the texts? The file has: {columns}", columns=", ".join(columns[:30])),
            field=field,
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


def keep_predictions(
    *,
    run: Run,
    batch_job: BatchJob,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    labels: Iterable[str] = (),
    seconds: float | None = None,
) -> None:
    """Store the next rows by COPY under the lease, with the version that made them; `labels` are those given in them.

    The batch's count and the usage move in the same transaction, so a batch that goes on after a crash has each row once,
    and counts it once. `seconds` is how long these rows took; without it they are not counted here.
    """
    if not rows:
        return
    names = ("batch_job_id", "model_version_id", "created_at", *columns)
    made = (batch_job.pk, batch_job.model_version_id, timezone.now())
    with run.fenced():
        copy_rows(Prediction, names, ((*made, *row) for row in rows))
        counts = Counter(batch_job.label_counts)
        counts.update(labels)
        batch_job.label_counts = dict(counts)
        batch_job.stored_count += len(rows)
        BatchJob.objects.filter(pk=batch_job.pk).update(
            stored_count=batch_job.stored_count, label_counts=batch_job.label_counts
        )
        if seconds is not None:
            count_predictions(batch_job, requests=len(rows), seconds=seconds)


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
