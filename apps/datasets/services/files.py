"""Files of the OpenAI-compatible API: take one in, look into what is to be learnt from, delete, let expire."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.services import audit
from apps.datasets.formats.mapping import Mapped, Mapping, compile_mapping
from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.problems import FileProblem, RawRow, RowError
from apps.datasets.formats.reading import read_rows
from apps.datasets.models import ApiFile, Dataset, FilePurpose, FileState, ImportJob, Kind
from apps.datasets.services import imports
from core.access import Actor
from core.errors import Refused, conflict
from core.jobs import services as jobs
from core.storage import home, require_free_space, sha256_of, whole_file, workspace_folder
from words import join, say

CHECKED_AT_ONCE_BYTES = 4_000_000  # larger files are looked into by a worker
PROBLEMS_TOLD = 10
BATCH_DAYS = 30  # as long as OpenAI keeps files of this purpose
JSONL = ReadOptions(format="jsonl")
MAPPINGS = {
    Kind.CHAT.value: Mapping(columns={"messages": "messages"}, meta=()),
    Kind.PREFERENCE.value: Mapping(
        columns={"prompt": "input.messages", "chosen": "preferred_output", "rejected": "non_preferred_output"}, meta=()
    ),
}
"""Kind of dataset -> how a line of OpenAI's format becomes its record."""


@dataclass
class Checked:
    """What a file to learn from holds: the kind of its first line, how many lines, and the first that are wrong."""

    kind: str = ""
    rows: int = 0
    problems: list[str] = field(default_factory=list)


def receive_file(*, actor: Actor, upload: Any, purpose: str, expires_seconds: int | None = None) -> ApiFile:
    """Keep an uploaded file (Django's UploadedFile).

    A fine-tune file is read line by line, a large one by a job later; one with wrong lines is refused with their
    numbers. Raises Refused, also for a purpose that nothing here could serve.
    """
    require_purpose(purpose)
    if upload.size > settings.UPLOAD_LIMIT_BYTES:
        raise imports.too_large()
    require_free_space(upload.size)
    path = _new_path(actor.workspace)
    try:
        imports.take(upload, path)
        made = ApiFile(
            workspace=actor.workspace,
            purpose=purpose,
            name=imports.plain_name(upload.name or ""),
            created_by=actor.user,
            expires_at=_expiry(purpose, expires_seconds),
            **_facts(path),
        )
        if purpose == FilePurpose.FINE_TUNE:
            _look_into(made, path)
        with transaction.atomic():
            made.save()
            if made.state == FileState.UPLOADED:
                made.job = _queue_check(actor, made)
                made.save(update_fields=["job"])
            audit(actor=actor, action="file.upload", obj=made, purpose=purpose, bytes=made.bytes)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return made


def require_purpose(purpose: str) -> None:
    """Refuse what could only lie here unused."""
    if purpose not in (FilePurpose.FINE_TUNE, FilePurpose.BATCH):
        raise Refused(
            "unsupported_purpose",
            say("Files can be uploaded for fine-tune and batch. Nothing here would read one for “{purpose}”.",
                purpose=purpose[:40]),
            field="purpose",
        )  # fmt: skip


def make_file(
    *,
    workspace: Any,
    by: Any,
    purpose: str,
    name: str,
    write: Callable[[Path], None],
    expires_seconds: int | None = None,
) -> ApiFile:
    """A file that the platform makes: `write` fills the path it is given. Called in the caller's transaction."""
    path = _new_path(workspace)
    with whole_file(path) as beside:
        write(beside)
    return ApiFile.objects.create(
        workspace=workspace,
        purpose=purpose,
        name=name,
        created_by=by,
        expires_at=_expiry(purpose, expires_seconds),
        **_facts(path),
    )


@transaction.atomic
def delete_file(*, actor: Actor, file: ApiFile) -> None:
    """Delete a file; what was imported from it stays."""
    if file.job is not None and not file.job.ended:
        jobs.cancel(job=file.job, by=actor.user)
    audit(actor=actor, action="file.delete", obj=file, purpose=file.purpose, bytes=file.bytes)
    _drop(file)


def expire_api_files(*, now: datetime | None = None) -> dict[str, int]:
    """Delete files whose time is over, by their own wish or by the workspace's retention."""
    now = now or timezone.now()
    over = Q(expires_at__lt=now)
    for days in ApiFile.objects.order_by().values_list("workspace__file_retention_days", flat=True).distinct():
        if days is not None:
            over |= Q(workspace__file_retention_days=days, created_at__lt=now - timedelta(days=days))
    gone = 0
    for row in ApiFile.objects.filter(over).iterator():
        with transaction.atomic():
            _drop(row)
        gone += 1
    return {"api_files": gone}


def import_file(*, actor: Actor, dataset: Dataset, file: ApiFile, split: str) -> ImportJob:
    """An import of a fine-tune file into `dataset` that waits for `start`; the file may be deleted from now on."""
    if file.state != FileState.PROCESSED:
        raise conflict("file_not_ready", say("“{file}” is not ready to be learnt from.", file=file))
    import_job = imports.receive(actor=actor, dataset=dataset, upload=_Kept(file))
    mapping = {**MAPPINGS[file.kind].as_mapping(), "split": split}
    options = {"format": "jsonl", "encoding": "utf-8", "compression": ""}
    return imports.choose(actor=actor, import_job=import_job, options=options, mapping=mapping)


@dataclass(frozen=True)
class _Kept:
    """A kept file where an uploaded one is expected."""

    row: ApiFile

    @property
    def size(self) -> int:
        return self.row.bytes

    @property
    def name(self) -> str:
        return self.row.name

    def temporary_file_path(self) -> str:
        return str(home() / self.row.path)


# --- looking into a file ------------------------------------------------------------------------------------


def check_lines(path: Path, tick: Callable[[int], None] = lambda _rows: None) -> Checked:
    """Read a fine-tune file line by line, exactly as its import will; `tick` hears how many lines went by."""
    found, convert = Checked(), None
    try:
        for row in read_rows(path, JSONL):
            found.rows += 1
            if isinstance(row, RawRow) and convert is None:
                found.kind = Kind.PREFERENCE.value if "preferred_output" in row.values else Kind.CHAT.value
                convert = compile_mapping(found.kind, MAPPINGS[found.kind])
            found.problems += _wrong(row, convert, found.kind)
            if len(found.problems) >= PROBLEMS_TOLD:
                found.problems[PROBLEMS_TOLD:] = [say("Later lines were not looked at.")]
                break
            if found.rows % 500 == 0:
                tick(found.rows)
    except FileProblem as problem:
        found.problems.append(problem.message)
    if not found.rows and not found.problems:
        found.problems.append(say("The file has no lines."))
    return found


def _wrong(row: RawRow | RowError, convert: Any, kind: str) -> list[str]:
    """Everything that is wrong with a line, with its number."""
    line = row.position.line
    if isinstance(row, RowError):
        return [at_line(line, row.message, row.code)]
    mapped = convert(row)
    if not isinstance(mapped, Mapped):
        return [at_line(line, each.message, each.code) for each in mapped]
    found = []
    if kind == Kind.CHAT and all(message["role"] != "assistant" for message in mapped.record["messages"]):
        found.append(at_line(line, say("No message is the assistant's, so there is nothing to learn.")))
    if kind == Kind.CHAT and any(message.get("weight") == 0 for message in row.values["messages"]):
        found.append(at_line(line, say("A weight of 0 cannot be kept: all answers of a conversation are learnt.")))
    return found


def at_line(line: int, why: str, code: str = "") -> str:
    """A problem with the number of its line, which that of broken JSON has already."""
    return why if code == "invalid_json" else say("Line {line}: {why}", line=line, why=why)


def finish_check(*, file: ApiFile, checked: Checked) -> None:
    """Store what a file holds; the worker's caller holds a fenced transaction."""
    ApiFile.objects.filter(pk=file.pk).update(**_columns(checked))


def _columns(checked: Checked) -> dict[str, Any]:
    state = FileState.ERROR if checked.problems else FileState.PROCESSED
    return {"state": state, "kind": checked.kind, "row_count": checked.rows, "problem": join(checked.problems, "\n")}


def _look_into(made: ApiFile, path: Path) -> None:
    if made.bytes > CHECKED_AT_ONCE_BYTES:
        made.state = FileState.UPLOADED
        return
    checked = check_lines(path)
    if checked.problems:
        raise Refused("invalid_file_format", join(checked.problems, "\n"), field="file")
    for name, value in _columns(checked).items():
        setattr(made, name, value)


def _queue_check(actor: Actor, made: ApiFile) -> Any:
    return jobs.create(
        kind="datasets.check_file",
        queue="io",
        workspace=actor.workspace,
        title=say("Look into {file}", file=made),
        by=actor.user,
        unit="rows",
    )


def _facts(path: Path) -> dict[str, Any]:
    return {"path": str(path.relative_to(home())), "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _new_path(workspace: Any) -> Path:
    return workspace_folder(workspace.pk, "api-files") / uuid4().hex


def _expiry(purpose: str, seconds: int | None) -> datetime | None:
    if seconds is not None:
        return timezone.now() + timedelta(seconds=seconds)
    return timezone.now() + timedelta(days=BATCH_DAYS) if purpose == FilePurpose.BATCH else None


def _drop(file: ApiFile) -> None:
    path = home() / file.path
    file.delete()
    transaction.on_commit(lambda: path.unlink(missing_ok=True))
