"""Requests of a batch whose texts go through an encoder: all of them through one child, part by part."""

import time
from collections.abc import Iterator, Mapping
from itertools import islice
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
from workers.looks import asker

GROUP_ITEMS = 64
SCHEMA = pa.schema([("example_id", pa.int64()), ("text", pa.string()), ("context", pa.string())])


class Late(Exception):
    """The batch's time is over."""


def encode(run: Run, batch: ApiBatch) -> None:
    """Give every waiting request its result; one that has one is not worked on again."""
    folder = work_folder(run)
    source = folder / "input.parquet"
    if not _prepare(run, batch, source):
        return
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


def _prepare(run: Run, batch: ApiBatch, source: Path) -> int:
    """One Parquet file with the texts of every waiting request, each a row; how many rows that are.

    A request that a guard blocks has its result with this.
    """
    endpoint, number = ENCODING[batch.endpoint], 0
    with pq.ParquetWriter(source, SCHEMA) as writer:
        items = items_of(batch, ItemState.WAITING)
        while group := list(islice(items, GROUP_ITEMS)):
            rows: list[dict[str, Any]] = []
            for texts in _let_through(run, batch, {item.pk: _texts(endpoint, item) for item in group}):
                for text, beside in endpoint.rows(texts):
                    rows.append({"example_id": number, "text": text, "context": beside})
                    number += 1
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
    return number


def _texts(endpoint: Encoding, item: BatchItem) -> list[str]:
    return endpoint.texts(checked_body(endpoint, item.body))


def _let_through(run: Run, batch: ApiBatch, asked: dict[int, list[str]]) -> list[list[str]]:
    """The texts of requests as the guards let them pass, in their order, without those that are blocked."""
    policy = services.policy_of(batch.workspace, batch.deployment)
    if policy is None:
        return list(asked.values())
    actor = asker(batch, batch.api_key)
    passed, refused = services.guard_many(actor, policy, {pk: (texts, ()) for pk, texts in asked.items()})
    with run.fenced():
        services.keep_results(run=run, batch=batch, results=[refusal(pk, why) for pk, why in refused.items()])
        services.keep_passed(actor, passed.values())
    return [found.texts for found in passed.values()]


def refusal(item: int, why: Refused) -> Result:
    """The result of a request that was refused before it was asked."""
    status = 400 if why.status == 422 else why.status
    return Result(item, status, error_body(status, why.message, code=why.code, param=why.problems[0].field))


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
                self._wanted = len(self._endpoint.rows(self._endpoint.texts(self._asked)))
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
