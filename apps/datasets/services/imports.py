"""Receive files, choose their columns, start imports, and do them batch by batch for the worker."""

import os
import shutil
from collections import Counter
from collections.abc import Mapping as Values
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from apps.accounts.services import audit
from apps.datasets.formats.encodings import ENCODINGS
from apps.datasets.formats.guessing import suggest_mapping
from apps.datasets.formats.mapping import COMMON, FIELDS, Mapped, Mapping, missing_fields
from apps.datasets.formats.options import READABLE, ReadOptions
from apps.datasets.formats.problems import FileProblem, Position, RowError
from apps.datasets.formats.reading import read_rows
from apps.datasets.formats.sniffing import Sniffed, sniff
from apps.datasets.models import BadRow, Dataset, ImportJob, ImportSeen, Source
from apps.datasets.preview import first_rows
from apps.datasets.services.rows import BAD, NEW, UNCHANGED, UPDATED, Incoming, lock, store
from core.access import Actor
from core.errors import Problem, Refused, conflict
from core.jobs import services as jobs
from core.storage import home, require_free_space, sha256_of, workspace_folder
from words import say

BAD_ROWS_KEPT = 10_000
WITH_FIXED_COLUMNS = ("csv", "tsv", "parquet", "xlsx", "conll", "text")
ANALYSED_FROM = 10_000  # new rows after which the planner's statistics are refreshed


def import_folder(dataset: Dataset) -> Path:
    """Where uploaded files of a dataset wait."""
    return workspace_folder(dataset.workspace_id, "datasets", str(dataset.pk), "imports")


def receive(*, actor: Actor, dataset: Dataset, upload: Any, name: str = "") -> ImportJob:
    """Keep an uploaded file and guess what it is; the import waits for `choose` and `start`.

    `upload` is Django's UploadedFile. Refused when it is too large or no data file at all.
    """
    _require_open(dataset)
    if upload.size > settings.UPLOAD_LIMIT_BYTES:
        raise too_large()
    require_free_space(upload.size)
    path = import_folder(dataset) / uuid4().hex
    try:
        take(upload, path)
        import_job = ImportJob(
            dataset=dataset, source=Source.UPLOAD, file_name=plain_name(name or upload.name), created_by=actor.user
        )
        describe_file(import_job, path)
        with transaction.atomic():
            import_job.save()
            audit(actor=actor, action="import.upload", obj=import_job, dataset=dataset.pk, bytes=import_job.file_bytes)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return import_job


def too_large() -> Refused:
    """The refusal of a file beyond the limit."""
    return Refused(
        "upload_too_large",
        say(
            "The file is larger than the limit of {megabytes} MB. Compress it with gzip, split it, or give an address.",
            megabytes=settings.UPLOAD_LIMIT_BYTES // 1_000_000,
        ),
        field="file",
        status=413,
    )


def take(upload: Any, path: Path) -> None:
    """Bring an uploaded file to `path`, by a link where that goes."""
    waiting = getattr(upload, "temporary_file_path", None)
    if waiting is not None:
        try:
            os.link(waiting(), path)  # the same bytes under our name; the upload's own name goes with the request
        except OSError:
            shutil.copyfile(waiting(), path)  # another disk
        return
    source: BinaryIO = upload.file
    with path.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def plain_name(name: str) -> str:
    """The last part of a file's name as a browser or program sent it."""
    plain = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in plain if c.isprintable())[-255:] or "upload"


@transaction.atomic
def receive_url(*, actor: Actor, dataset: Dataset, url: str) -> ImportJob:
    """An import whose file the worker fetches; the address is checked there, at each redirect."""
    _require_open(dataset)
    url = url.strip()
    if not url.startswith(("http://", "https://")) or len(url) > 2000 or any(c <= " " for c in url):
        raise Refused("bad_url", say("Give an address that begins with http:// or https://."), field="url")
    import_job = ImportJob.objects.create(dataset=dataset, source=Source.URL, url=url, created_by=actor.user)
    audit(actor=actor, action="import.url", obj=import_job, dataset=dataset.pk)
    return import_job


def describe_file(import_job: ImportJob, path: Path) -> Sniffed:
    """Write into `import_job` (unsaved) what the file at `path` is; a person's choices stay."""
    found = sniffed(path, import_job.file_name)
    import_job.file_path = str(path.relative_to(home()))
    import_job.file_bytes = path.stat().st_size
    import_job.file_hash = sha256_of(path)
    import_job.columns = found.columns
    import_job.options = import_job.options or found.options.as_mapping()
    if not import_job.mapping:
        guess = suggest_mapping(import_job.dataset.kind, found.columns, found.sample, found.label_names)
        import_job.mapping = guess.as_mapping()
    return found


def sniffed(path: Path, name: str) -> Sniffed:
    """What a file seems to be; a file that is none is refused by its sentence."""
    try:
        return sniff(path, name)
    except FileProblem as problem:
        raise Refused(problem.code, problem.message, field="file") from problem


def choose(
    *,
    actor: Actor,
    import_job: ImportJob,
    options: Values[str, Any] | None = None,
    mapping: Values[str, Any] | None = None,
) -> ImportJob:
    """Change how the file is read and which column is which field, before the import starts."""
    if import_job.job_id is not None:
        raise conflict(
            "import_started", say("This import was started already. Import the file again to change columns.")
        )
    if options is not None:
        import_job.options = read_options({**import_job.options, **options}).as_mapping()
        import_job.columns = columns_now(import_job) or import_job.columns
    if mapping is not None:
        import_job.mapping = read_mapping(import_job.dataset.kind, {**import_job.mapping, **mapping}).as_mapping()
    import_job.save(update_fields=["options", "mapping", "columns"])
    return import_job


def columns_now(import_job: ImportJob) -> list[str]:
    """The columns of the file under the chosen options, from its first rows."""
    if not import_job.file_path:
        return []
    rows, _problems = first_rows(home() / import_job.file_path, read_options(import_job.options))
    return list(dict.fromkeys(name for row in rows for name in row.values))


def read_options(values: Values[str, Any]) -> ReadOptions:
    """Checked read options; limits are ours, not the caller's."""
    plain = {name: value for name, value in values.items() if name != "limits"}
    try:
        options = ReadOptions.from_mapping(plain)
    except (TypeError, ValueError) as error:
        raise Refused("bad_options", str(error), field="options") from error
    wrong = [
        name
        for name, fine in (
            ("format", options.format in READABLE),
            ("encoding", options.encoding in ENCODINGS),
            ("compression", options.compression in ("", "gzip", "zip")),
            ("delimiter", isinstance(options.delimiter, str) and len(options.delimiter) == 1
             and options.delimiter not in '"\r\n\0'),
            ("sheet", isinstance(options.sheet, str)),
            ("list_path", isinstance(options.list_path, str)),
            ("token_column", type(options.token_column) is int),
            ("tag_column", type(options.tag_column) is int),
            ("header", isinstance(options.header, bool)),
            ("quoting", isinstance(options.quoting, bool)),
            ("whole_file", isinstance(options.whole_file, bool)),
        )
        if not fine
    ]  # fmt: skip
    if wrong:
        raise Refused(
            "bad_options", say("These read options are not valid: {wrong}", wrong=", ".join(wrong)), field="options"
        )
    return options


def read_mapping(kind: str, values: Values[str, Any]) -> Mapping:
    """A checked mapping; columns that are empty are left out."""
    try:
        mapping = Mapping.from_mapping(values)
    except (TypeError, ValueError) as error:
        raise Refused("bad_mapping", str(error), field="mapping") from error
    known = (*FIELDS[kind], *COMMON)
    columns = mapping.columns if isinstance(mapping.columns, Values) else None
    texts = (mapping.label_separator, mapping.split, mapping.offset_unit, mapping.token_join)
    fine = (
        columns is not None
        and all(name in known and isinstance(column, str) for name, column in columns.items())
        and all(isinstance(text, str) for text in texts)
        and mapping.split in ("", "train", "dev", "test")
        and mapping.offset_unit in ("codepoint", "utf16", "byte")
        and mapping.token_join in ("auto", "space", "none")
        and isinstance(mapping.label_names, Values)
        and all(isinstance(name, str) for name in (*mapping.label_names.values(), *(mapping.meta or ())))
    )
    if not fine:
        raise Refused(
            "bad_mapping",
            say("The mapping is not valid. Fields of this kind: {known}", known=", ".join(known)),
            field="mapping",
        )
    filled = {name: column for name, column in mapping.columns.items() if column}
    return Mapping.from_mapping({**mapping.as_mapping(), "columns": filled})


@transaction.atomic
def start(*, actor: Actor, import_job: ImportJob, dry_run: bool = False) -> ImportJob:
    """Queue an import, or try it (`dry_run`) without writing; a started one is repeated as a new import."""
    dataset = import_job.dataset
    _require_open(dataset)
    if import_job.job_id is not None:
        import_job = _again(actor, import_job)
    if import_job.file_path:
        require_mapping(import_job)
    import_job.dry_run = dry_run
    title = (
        say("Try importing {file}", file=import_job)
        if dry_run
        else say("Import {file} into {dataset}", file=import_job, dataset=dataset)
    )
    if import_job.pk is None:
        import_job.save()
    import_job.job = jobs.create(
        kind="datasets.import",
        queue="io",
        workspace=dataset.workspace,
        title=title,
        by=actor.user,
        page=f"datasets/{dataset.pk}/imports/{import_job.pk}",
        unit="rows",
        can_pause=True,
    )
    import_job.save(update_fields=["job", "dry_run"])
    audit(actor=actor, action="import.try" if dry_run else "import.start", obj=import_job, dataset=dataset.pk)
    return import_job


def _again(actor: Actor, import_job: ImportJob) -> ImportJob:
    if not import_job.file_path and import_job.source != Source.URL:
        raise conflict("file_gone", say("The file was removed after its retention period. Upload it again."))
    copied = (
        "dataset",
        "source",
        "url",
        "file_name",
        "file_path",
        "file_bytes",
        "file_hash",
        "options",
        "mapping",
        "columns",
        "origin",
    )
    return ImportJob.objects.create(created_by=actor.user, **{name: getattr(import_job, name) for name in copied})


def repeat(*, actor: Actor, import_job: ImportJob) -> ImportJob:
    """A new waiting import of the same file, for choosing other columns."""
    return _again(actor, import_job)


def _require_open(dataset: Dataset) -> None:
    if dataset.archived_at is not None:
        raise conflict("dataset_archived", say("This dataset is archived. Bring it back before you change it."))


def require_mapping(import_job: ImportJob) -> Mapping:
    """The mapping, or a refusal that names each field without a column."""
    mapping = read_mapping(import_job.dataset.kind, import_job.mapping)
    missing = missing_fields(import_job.dataset.kind, mapping)
    if missing and import_job.file_path and not import_job.columns:
        _refuse_without_columns(import_job)
    if unknown := _unknown_columns(import_job, mapping):
        raise Refused(
            "column_unknown",
            say(
                "The file has no column “{column}”. It has: {columns}.",
                column=unknown[0],
                columns=", ".join(map(str, import_job.columns[:30])),
            ),
            field="mapping",
            hint=say("Choose the columns, then import again."),
        )
    if missing:
        found = ", ".join(map(str, import_job.columns[:30])) or "-"
        problems = [
            Problem(
                code="column_missing", message=say("Choose the column of “{name}”.", name=name), field=f"mapping.{name}"
            )
            for name in missing
        ]
        raise Refused(
            "column_missing",
            say(
                "No column was chosen for: {fields}. The file has: {columns}.", fields=", ".join(missing), columns=found
            ),
            field="mapping",
            hint=say("Choose the columns, then import again."),
            problems=problems,
        )
    return mapping


def _unknown_columns(import_job: ImportJob, mapping: Mapping) -> list[str]:
    """Mapped columns that a table does not have; the objects of JSON may name theirs in later rows only."""
    if not import_job.columns or import_job.options.get("format") not in WITH_FIXED_COLUMNS:
        return []
    return sorted(set(mapping.columns.values()) - set(import_job.columns))


def _refuse_without_columns(import_job: ImportJob) -> None:
    """Say why nothing could be read of the file, rather than ask for columns it does not have."""
    try:
        row = next(read_rows(home() / import_job.file_path, read_options(import_job.options)), None)
    except FileProblem as problem:
        raise Refused(problem.code, problem.message, field="file") from problem
    if isinstance(row, RowError):
        raise Refused(row.code, row.message, field="file")
    if row is None:
        raise Refused("no_rows", say("The file has no rows below its header."), field="file")


# --- what the worker does ------------------------------------------------------------------------------------


def store_batch(*, import_job: ImportJob, rows: Sequence[Mapped], bad: Sequence[RowError], position: Position) -> None:
    """Put one batch in, with its refused rows, counts and position; the caller holds a fenced transaction."""
    dataset = lock(import_job.dataset)
    incoming = [
        Incoming(number=row.number, record=row.record, external_id=row.external_id, split=row.split) for row in rows
    ]
    user = import_job.created_by
    counts = store(dataset, incoming, by=user, source="import", import_job=import_job, dry_run=import_job.dry_run)
    refused = [
        BadRow(import_job=import_job, row=e.number, line=e.position.line, code=e.code, field=e.field[:200],
               message=e.message, snippet=e.snippet)
        for e in bad
    ]  # fmt: skip
    refused += [
        BadRow(import_job=import_job, row=row.number, code=row.problem[0], field=row.problem[1],
               message=row.problem[2], snippet=str(next(iter(row.record.values()), ""))[:120])
        for row in incoming if row.status == BAD
    ]  # fmt: skip
    note_bad_rows(import_job, refused)
    bad_numbers = {row.number for row in bad}
    _advance(import_job, counts, len(bad_numbers), position)


def note_bad_rows(import_job: ImportJob, refused: list[BadRow]) -> None:
    """Keep the first 10,000 refusals of an import; the count goes on."""
    if refused and import_job.bad_count < BAD_ROWS_KEPT:
        BadRow.objects.bulk_create(sorted(refused, key=lambda row: row.row)[: BAD_ROWS_KEPT - import_job.bad_count])


def _advance(import_job: ImportJob, counts: Counter[str], bad: int, position: Position) -> None:
    ImportJob.objects.filter(pk=import_job.pk).update(
        new_count=F("new_count") + counts[NEW],
        updated_count=F("updated_count") + counts[UPDATED],
        unchanged_count=F("unchanged_count") + counts[UNCHANGED],
        bad_count=F("bad_count") + counts[BAD] + bad,
        position=list(position),
    )
    import_job.refresh_from_db(fields=["new_count", "updated_count", "unchanged_count", "bad_count", "position"])


def finish(*, import_job: ImportJob) -> dict[str, Any]:
    """Forget what was only needed while it ran; the counts as the job's result."""
    ImportSeen.objects.filter(import_job=import_job).delete()
    if import_job.new_count >= ANALYSED_FROM and not import_job.dry_run:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE datasets_example")
    return {
        "new": import_job.new_count,
        "updated": import_job.updated_count,
        "unchanged": import_job.unchanged_count,
        "bad": import_job.bad_count,
        "dry_run": import_job.dry_run,
        "import": import_job.pk,
    }
