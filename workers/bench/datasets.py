"""Measures of the datasets room: import, export, one row into many, filters and pages over a million rows."""

import csv
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import connection
from django.test import RequestFactory

from apps.datasets import services
from apps.datasets.filters import ExampleFilter
from apps.datasets.models import Dataset
from apps.datasets.selectors import LIST_COLUMNS, all_examples
from core.access import Actor
from core.jobs.models import Job
from core.jobs.states import State
from core.pages import keyset
from workers.bench.measure import Measure, Options, middle_seconds
from workers.bench.tenant import own_workspace

IMPORTED = 100_000
EXPORTED = 50_000
MANY = 500_000
MOST = 1_000_000
LABELS = 77
_WORDS = [
    "card",
    "money",
    "transfer",
    "lost",
    "account",
    "refund",
    "fee",
    "branch",
    "limit",
    "pin",
    "phone",
    "app",
    "payment",
    "bill",
    "loan",
    "rate",
]
_CHINESE = "我的银行卡丢了请问怎么办理转账退款手续费额度密码账单利率贷款分行"
_CHILD = """
import json, os, resource, sys
sys.path[:0] = sys.argv[1:3]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.embedded")
import django
django.setup()
import config.celery
from core.jobs import services as jobs
from core.jobs.models import Job
from workers import datasets
from workers.loop import perform
run = jobs.claim(queue="io", worker="bench")
with run.beating():
    perform(run, {"datasets.import": datasets.run_import, "datasets.export": datasets.run_export})
print(json.dumps({"job": run.job.pk, "rss_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""
_FILL = """
INSERT INTO datasets_example (dataset_id, record, meta, text, labels, split, content_hash, occurrence, search, length,
    revision, created_at, updated_at)
SELECT %s, jsonb_build_object('text', t.text, 'labels', jsonb_build_array(t.label)), '{}', t.text, ARRAY[t.label], '',
    md5(t.text) || md5(t.label), 1, array_to_tsvector(string_to_array(t.text, ' ')), length(t.text), 1, now(), now()
FROM (SELECT 'row n' || n || ' about w' || n %% 5000 AS text, 'label ' || n %% %s AS label
      FROM generate_series(%s, %s) AS n) AS t
"""


def measures(options: Options) -> Iterator[Measure]:
    """Imports and exports, then what stays quick with many rows."""
    scale = 10 if options.small else 1
    with own_workspace() as actor:
        try:
            yield from _files(actor, IMPORTED // scale, EXPORTED // scale)
            yield from _many(actor, MANY // scale, MOST // scale)
        finally:
            _clean(actor)


def _files(actor: Actor, imported: int, exported: int) -> Iterator[Measure]:
    dataset = services.create(actor=actor, name="Imported", kind="classification")
    seconds, rss = _import(actor, dataset, imported)
    yield Measure(
        f"import {imported:,} rows of CSV", seconds, "s", at_most=20, detail=f"{imported / seconds:,.0f} rows/s"
    )
    yield Measure("worker memory of that import", rss / 1000, "MB", at_most=300)
    seconds, _rss = _import(actor, dataset, imported)
    yield Measure(f"import the same {imported:,} rows again", seconds, "s", detail="all unchanged")
    other = services.create(actor=actor, name="Exported", kind="classification")
    _import(actor, other, exported)
    for name in ("csv", "jsonl", "parquet", "xlsx"):
        export_job = services.export(actor=actor, dataset=other, format=name)
        seconds, rss = _run(export_job.job)
        yield Measure(
            f"export {exported:,} rows as {name}", seconds, "s", at_most=10, detail=f"memory {rss / 1000:.0f} MB"
        )


def _import(actor: Actor, dataset: Dataset, rows: int) -> tuple[float, float]:
    import_job = services.receive(actor=actor, dataset=dataset, upload=_csv(rows))
    import_job = services.start(actor=actor, import_job=import_job)
    assert import_job.job is not None
    return _run(import_job.job)


def _csv(rows: int) -> TemporaryUploadedFile:
    """Varied short questions, one in four Chinese, as a file that was uploaded."""
    dice = random.Random(7)  # noqa: S311 - a repeatable file, no secret
    upload = TemporaryUploadedFile("bench.csv", "text/csv", 0, "utf-8")
    path = Path(upload.temporary_file_path())
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label"])
        for number in range(rows):
            if number % 4:
                text = " ".join(dice.choices(_WORDS, k=dice.randint(4, 24))) + f" {number}"
            else:
                text = "".join(dice.choices(_CHINESE, k=dice.randint(6, 40))) + f"{number}"
            writer.writerow([f"row-{number}", text, f"label {dice.randrange(LABELS)}"])
    upload.size = path.stat().st_size
    return upload


def _run(job: Job) -> tuple[float, float]:
    """(seconds of the job's run, peak memory of its process in kB): a fresh process does it."""
    Job.objects.filter(pk=job.pk).update(priority=1_000)
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryFile() as errors:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(root), str(root / "platform")], stdout=subprocess.PIPE, stderr=errors
        )
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if done.returncode:
        raise RuntimeError(said)
    answer: dict[str, Any] = json.loads(done.stdout)
    job.refresh_from_db()
    if job.state != State.SUCCEEDED or answer["job"] != job.pk:
        raise RuntimeError(f"{job.state} {job.error_message}\n{said}")
    assert job.finished_at is not None and job.started_at is not None
    return (job.finished_at - job.started_at).total_seconds(), float(answer["rss_kb"])


def _fill(dataset: Dataset, start: int, end: int) -> None:
    """Rows made inside the database."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        for at in range(start, end, 100_000):
            cursor.execute(_FILL, [dataset.pk, LABELS, at, min(at + 100_000, end) - 1])
        cursor.execute("VACUUM ANALYZE datasets_example")
    Dataset.objects.filter(pk=dataset.pk).update(example_count=end, revision=1)


def _many(actor: Actor, many: int, most: int) -> Iterator[Measure]:
    dataset = services.create(actor=actor, name="Large", kind="classification")
    _fill(dataset, 0, many)
    numbers = iter(range(10_000))

    def add() -> None:
        text = f"one more question {next(numbers)} 请问"
        services.add(actor=actor, dataset=dataset, items=[{"record": {"text": text, "labels": ["label 1"]}}])

    yield Measure(f"1 row into {many:,}", middle_seconds(add) * 1000, "ms", at_most=200)
    _fill(dataset, many, most)
    rare = {"label": "label 5"}
    yield Measure(f"label filter over {most:,}", _page(dataset, rare) * 1000, "ms", at_most=300, detail="first page")
    words = {"q": "about w77"}
    yield Measure(f"search of two words over {most:,}", _page(dataset, words) * 1000, "ms", detail="first page")
    first = _page(dataset, {})
    deep = dataset.examples.order_by("-id").values_list("id", flat=True)[min(10_000 * 50, most - 100)]
    last = _page(dataset, {"before": str(deep)})
    yield Measure("page 1", first * 1000, "ms")
    yield Measure("page 10,000 as a multiple of page 1", last / first, "x", at_most=2, detail=f"{last * 1000:.1f} ms")


def _page(dataset: Dataset, query: dict[str, str]) -> float:
    def look() -> None:
        request = RequestFactory().get("/", query)
        rows = ExampleFilter(request.GET, queryset=all_examples(dataset)).qs.only(*LIST_COLUMNS)
        if not len(keyset(request, rows)):
            raise RuntimeError(f"nothing found by {query}")

    return middle_seconds(look)


def _clean(actor: Actor) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
    for dataset in Dataset.objects.filter(workspace=actor.workspace):
        services.delete(actor=actor, dataset=dataset)
