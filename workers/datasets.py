"""Jobs of the datasets room: import, freeze, export, split and profile, each from top to bottom."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from django.conf import settings

from apps.datasets.formats.mapping import Mapped, compile_mapping
from apps.datasets.formats.problems import FileProblem, Position, RawRow, RowError
from apps.datasets.formats.reading import read_rows
from apps.datasets.models import ApiFile, Dataset, DatasetVersion, ExportJob, ImportJob
from apps.datasets.profile.report import Profile
from apps.datasets.selectors import examples, latest_version, snapshot
from apps.datasets.services import exports, files, imports, profiles, splitting, versions
from core import outbound
from core.errors import Refused
from core.jobs.run import Run
from core.storage import home, require_free_space
from words import say

BATCH_ROWS = 2_000
BATCH_CHARACTERS = 8_000_000  # long texts come in smaller batches, so that memory stays bounded
SPLIT_BATCH = 10_000


def run_import(run: Run) -> dict[str, Any]:
    """Read the file row by row from where the last attempt stopped, and store it batch by batch."""
    import_job = ImportJob.objects.select_related("dataset__workspace", "created_by").get(job=run.job)
    if not import_job.file_path:
        _fetch(run, import_job)
    imports.require_mapping(import_job)
    options = imports.read_options(import_job.options)
    convert = compile_mapping(
        import_job.dataset.kind, imports.read_mapping(import_job.dataset.kind, import_job.mapping)
    )
    path = home() / import_job.file_path
    if not path.is_file():
        raise Refused("file_gone", say("The file of this import is gone. Upload it again."))
    start = Position(*import_job.position) if import_job.position else Position()
    run.progress(start.row, None, unit="rows", phase=say("importing"), now=True)
    good: list[Mapped] = []
    bad: list[RowError] = []
    weight, position = 0, start
    ended: FileProblem | None = None
    rows = read_rows(path, options, start)
    while True:
        try:
            row = next(rows, None)
        except FileProblem as problem:
            row, ended = None, problem
        if row is not None:
            position = row.position
            found = row if isinstance(row, RowError) else convert(row)
            if isinstance(found, Mapped):
                good.append(found)
                weight += _weight(row)
            else:
                bad.extend(found if isinstance(found, list) else [found])
        full = len(good) + len(bad) >= BATCH_ROWS or weight >= BATCH_CHARACTERS
        if full or (row is None and (good or bad)):
            with run.fenced():
                imports.store_batch(import_job=import_job, rows=good, bad=bad, position=position)
            good, bad, weight = [], [], 0
            run.progress(import_job.row_count, _estimated_rows(import_job, position), unit="rows")
        if row is None:
            break
    if ended is not None:
        raise Refused(
            ended.code,
            ended.message,
            hint=say("{row_count:,} rows before it were dealt with and are kept.", row_count=import_job.row_count),
        )
    with run.fenced():
        result = imports.finish(import_job=import_job)
    run.progress(import_job.row_count, import_job.row_count, unit="rows", now=True)
    return result


def _weight(row: RawRow | RowError) -> int:
    values = row.values.values() if isinstance(row, RawRow) else ()
    return sum(len(value) if isinstance(value, str) else 100 for value in values)


def _estimated_rows(import_job: ImportJob, position: Position) -> int | None:
    """How many rows there will be, from how much of the file they took so far."""
    if not position.offset or import_job.options.get("compression"):
        return None
    return max(import_job.row_count, round(import_job.row_count * import_job.file_bytes / position.offset))


def _fetch(run: Run, import_job: ImportJob) -> None:
    """Bring the file of an address home; the address and each redirect are checked there."""
    run.progress(0, None, unit="bytes", phase=say("downloading"), now=True)
    require_free_space()
    path = imports.import_folder(import_job.dataset) / uuid4().hex
    fetched = outbound.download(
        import_job.url,
        path,
        max_bytes=settings.UPLOAD_LIMIT_BYTES,
        tick=lambda done, total: run.progress(done, total, unit="bytes"),
    )
    import_job.file_name = fetched.name
    try:
        imports.describe_file(import_job, path)
        with run.fenced():
            import_job.save(
                update_fields=[
                    "file_name", "file_path", "file_bytes", "file_hash", "columns", "options", "mapping",
                ]
            )  # fmt: skip
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    run.log(say("fetched {size_bytes:,} bytes from {url}", size_bytes=fetched.size_bytes, url=fetched.url))


def run_freeze(run: Run) -> dict[str, Any]:
    """Write all examples of one moment to a Parquet file and seal the version."""
    version = DatasetVersion.everything.select_related("dataset__workspace").get(job=run.job)
    dataset = version.dataset
    previous = latest_version(dataset)
    rows = snapshot(examples(dataset), "id", "external_id", "record", "meta", "split", "content_hash")
    columns = versions.write_version(version, _ticking(run, rows, dataset.example_count, "writing"))
    if not columns["row_count"]:
        raise Refused("dataset_empty", say("The dataset has no examples any more. Import some first."))
    run.progress(columns["row_count"], columns["row_count"], phase=say("comparing"), now=True)
    diff = versions.compare_files(version, columns["path"], previous)
    with run.fenced():
        versions.seal(version=version, columns=columns, previous=previous, diff=diff)
    return {"version": version.number, "rows": version.row_count, "content_hash": version.content_hash}


def run_export(run: Run) -> dict[str, Any]:
    """Write one file and keep it until it expires."""
    export_job = ExportJob.objects.select_related("dataset__workspace", "version__dataset").get(job=run.job)
    total = export_job.version.row_count if export_job.version else export_job.dataset.example_count
    run.progress(0, total, unit="rows", phase=say("writing"), now=True)
    columns = exports.write_export(export_job, lambda done: run.progress(done, max(done, total)))
    with run.fenced():
        ExportJob.objects.filter(pk=export_job.pk).update(**columns)
    run.progress(columns["row_count"], columns["row_count"], unit="rows", now=True)
    return {"rows": columns["row_count"], "bytes": columns["file_bytes"], "dropped": columns["dropped"]}


def run_split(run: Run) -> dict[str, Any]:
    """Decide the split of every example, then store the decisions batch by batch."""
    dataset = Dataset.objects.select_related("workspace").get(split_job=run.job)
    plan = splitting.checked_plan(dataset.split_settings)
    held = splitting.split_rows(dataset, plan)
    decided = list(splitting.assign(_ticking(run, held, dataset.example_count, "deciding"), plan))
    moved = 0
    for at in range(0, len(decided), SPLIT_BATCH):
        with run.fenced():
            moved += splitting.write_splits(dataset=dataset, placed=decided[at : at + SPLIT_BATCH])
        run.progress(min(at + SPLIT_BATCH, len(decided)), len(decided), unit="rows", phase=say("writing"))
    return {"rows": len(decided), "moved": moved}


def run_profile(run: Run) -> dict[str, Any]:
    """Look at every example once and keep the report."""
    dataset = Dataset.objects.select_related("workspace").get(profile_job=run.job)
    revision = dataset.revision
    found = Profile(dataset.kind)
    rows = snapshot(examples(dataset), "id", "record", "split")
    for example_id, record, split in _ticking(run, rows, dataset.example_count, "reading"):
        found.add(example_id, record, split)
    report = found.report()
    with run.fenced():
        profiles.keep_profile(dataset=dataset, revision=revision, report=report)
    return {"rows": found.rows}


def run_check_file(run: Run) -> dict[str, Any]:
    """Look into a large file to learn from, line by line."""
    file = ApiFile.objects.filter(job=run.job).first()
    if file is None:
        raise Refused("file_gone", say("The file was deleted."))
    run.progress(0, None, unit="rows", phase=say("reading"), now=True)
    checked = files.check_lines(home() / file.path, lambda rows: run.progress(rows))
    with run.fenced():
        files.finish_check(file=file, checked=checked)
    return {"rows": checked.rows, "problems": len(checked.problems)}


def _ticking(run: Run, rows: Iterator[Any], total: int, phase: str) -> Iterator[Any]:
    run.progress(0, total, unit="rows", phase=phase, now=True)
    for at, row in enumerate(rows, 1):
        yield row
        if at % 500 == 0:
            run.progress(at, max(at, total))
