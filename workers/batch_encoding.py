"""Requests of a batch whose texts go through an encoder: all of them through one child, part by part."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings
from django.utils import timezone

from apps.inference import services
from apps.inference.models import ApiBatch, BatchItem, ItemState
from apps.inference.openai.encoders import Done
from apps.inference.openai.endpoints import ENCODING, Encoding, checked_body
from apps.inference.selectors import items_of
from apps.inference.services import Result
from apps.registry.selectors import version_folder
from core.errors import Refused
from core.jobs.run import Run
from core.jobs.work import work_folder
from core.openai.shape import error_body
from words import say
from workers.engine_task import run_engine

GROUP_ROWS = 5_000
SCHEMA = pa.schema([("example_id", pa.int64()), ("text", pa.string()), ("context", pa.string())])


class Late(Exception):
    """The batch's time is over."""


def encode(run: Run, batch: ApiBatch) -> None:
    """Give every waiting request its result; one that has one is not worked on again."""
    folder = work_folder(run)
    source = folder / "input.parquet"
    _prepare(batch, source)
    assert batch.model_version is not None
    order = {
        "task": "predict",
        "data": {"path": str(source), "kind": ENCODING[batch.endpoint].kind, "column": "text"},
        "model": str(version_folder(batch.model_version)),
        "out": str(folder / "parts"),
        "counts_tokens": True,
    }
    answers = Answers(run, batch)
    try:
        run_engine(run, order, folder / "parts", threads=settings.INFER_THREADS, on_part=answers.take)
    except Late:
        return


def _prepare(batch: ApiBatch, source: Path) -> None:
    """One Parquet file with the texts of every waiting request, each a row."""
    endpoint = ENCODING[batch.endpoint]
    number = 0
    with pq.ParquetWriter(source, SCHEMA) as writer:
        group: list[dict[str, Any]] = []
        for item in items_of(batch, ItemState.WAITING):
            for text, beside in endpoint.rows(checked_body(endpoint, item.body)):
                group.append({"example_id": number, "text": text, "context": beside})
                number += 1
            if len(group) >= GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
                group = []
        writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))


class Answers:
    """Joins what the engine says of texts, in their order, to the requests they stand in."""

    def __init__(self, run: Run, batch: ApiBatch) -> None:
        self._run, self._batch = run, batch
        self._endpoint = ENCODING[batch.endpoint]
        self._items = items_of(batch, ItemState.WAITING)
        self._item: BatchItem | None = None
        self._wanted = 0
        self._found: list[Mapping[str, Any]] = []
        self._asked: dict[str, Any] = {}
        self._since = time.monotonic()

    def take(self, event: Mapping[str, Any]) -> None:
        """Store the results of all requests whose texts are complete with this part."""
        part = Path(event["path"])
        results = list(self._results(pq.read_table(part).to_pylist()))
        now = time.monotonic()
        services.keep_results(run=self._run, batch=self._batch, results=results, seconds=now - self._since)
        self._since = now
        part.unlink(missing_ok=True)
        self._batch.refresh_from_db(fields=["state", "completed_count", "failed_count"])
        done, total = self._batch.done_count, self._batch.total_count
        self._run.progress(done, total, unit="requests", phase=say("labelling"), now=True)
        if self._batch.is_late(timezone.now()) and done < total:
            raise Late

    def _results(self, rows: list[dict[str, Any]]) -> Iterator[Result]:
        for row in rows:
            if self._item is None:
                self._item = next(self._items)
                self._asked = checked_body(self._endpoint, self._item.body)
                self._wanted = len(self._endpoint.rows(self._asked))
            self._found.append(row)
            if len(self._found) == self._wanted:
                yield _result(self._batch, self._endpoint, self._item, self._asked, self._found)
                self._item, self._found = None, []


def _result(
    batch: ApiBatch, endpoint: Encoding, item: BatchItem, asked: dict[str, Any], found: list[Mapping[str, Any]]
) -> Result:
    assert batch.model_version is not None
    tokens = sum(row["tokens"][-1] for row in found) + (found[0]["tokens"][0] if len(found[0]["tokens"]) > 1 else 0)
    done = Done(item.pk, timezone.now(), endpoint.said(batch.model_version, found), tokens, f"batch_req_{item.pk}")
    try:
        return Result(item.pk, 200, endpoint.shape(asked, done), prompt_tokens=tokens, is_counted=True)
    except Refused as refused:
        param = refused.problems[0].field
        body = error_body(400, refused.message, code=refused.code, param=param)
        return Result(item.pk, 400, body, prompt_tokens=tokens, is_counted=True)
