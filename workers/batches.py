"""The runner of batches by /v1/batches: look through the file, let its requests be answered, make the files of results."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.utils import timezone

from apps.datasets.models import ApiFile
from apps.inference import services
from apps.inference.arms import CALLERS_FAULTS
from apps.inference.models import ApiBatch, BatchItem, BatchState, Generation, GenerationState, ItemState
from apps.inference.openai.batch_lines import BatchFile, Fault, Line
from apps.inference.openai.endpoints import WRITING, Asked, Begun, Writing, checked_body
from apps.inference.selectors import items_of
from apps.inference.services import Guarded, Result, Route
from apps.registry.models import VersionState
from core import storage
from core.access import Actor
from core.errors import Refused
from core.jobs.run import Run, Stopped, Waits
from core.jobs.work import work_folder
from core.openai.errors import unknown_model
from core.openai.shape import error_body
from words import say
from workers.batch_encoding import encode, refusal
from workers.looks import Looks, asker

KEPT_AT_ONCE = 500
AT_ONCE = 32  # requests of a batch in the hands of the resident role
AGAIN = frozenset({"given_up", "unexpected", "cancelled"})  # what may go better another time


def run_api_batch(run: Run) -> Mapping[str, Any]:
    """Go on from where the rows say the batch is; ends when its files are there."""
    rows = ApiBatch.objects.select_related(
        "workspace", "created_by", "api_key", "model_version__family", "deployment__guard_policy"
    )
    batch = rows.get(job=run.job)
    if batch.state == BatchState.FAILED:
        services.reopen_batch(run=run, batch=batch)
    try:
        if batch.state == BatchState.VALIDATING and not batch.is_late(timezone.now()):
            _look_through(run, batch)
        if batch.state == BatchState.IN_PROGRESS:
            (_write if batch.endpoint in WRITING else encode)(run, batch)
    except Stopped as stopped:
        if stopped.reason != "cancel":
            raise
        services.begin_cancel(run=run, batch=batch)
    if batch.endpoint in WRITING:
        _harvest(run, batch)
    if not services.close_items(run=run, batch=batch, now=timezone.now()):
        raise Waits(0.0, lambda: None)
    _make_files(run, batch)
    return {"requests": batch.total_count, "completed": batch.completed_count, "failed": batch.failed_count}


# --- the file ------------------------------------------------------------------------------------------------


def _look_through(run: Run, batch: ApiBatch) -> None:
    """Keep the requests of the file, or say everything that is wrong with it."""
    services.forget_items(run=run, batch=batch)
    found = BatchFile(_place(run, batch), batch.endpoint, partial(_route, batch))
    faults: list[Fault] = []
    kept: list[tuple[int, int, str, str]] = []
    count = 0
    for each in found.read():
        if isinstance(each, Fault):
            faults.append(each)
        elif not faults:
            kept.append((count, each.number, each.custom_id, _json(each)))
            count += 1
        if len(kept) == KEPT_AT_ONCE:
            services.add_items(run=run, batch=batch, rows=kept)
            kept = []
            run.progress(count, None, unit="requests", phase=say("reading"))
    if faults:
        services.refuse_file(run=run, batch=batch, errors=[each.as_mapping() for each in faults])
        raise Refused("invalid_batch_file", say("The file of this batch cannot be worked on."), hint=faults[0].message)
    services.add_items(run=run, batch=batch, rows=kept)
    assert found.route is not None
    services.begin_batch(run=run, batch=batch, route=found.route, reference=found.reference, count=count)


def _route(batch: ApiBatch, reference: str) -> Route:
    """Who answers the whole batch; 404 as OpenAI says it for a name that means nothing usable."""
    try:
        found = services.stable_route(batch.workspace, reference)
    except Refused as error:
        raise unknown_model(reference) from error
    if found.version.state == VersionState.DAMAGED:
        raise unknown_model(reference)
    return found


def _json(line: Line) -> str:
    return json.dumps(line.body, ensure_ascii=False)


def _place(run: Run, batch: ApiBatch) -> Path:
    file = ApiFile.objects.filter(pk=batch.input_file, workspace=batch.workspace_id).first()
    path = storage.home() / file.path if file is not None else None
    if path is None or not path.is_file():
        gone = Fault("file_gone", say("The file of this batch is gone. Upload it again."))
        services.refuse_file(run=run, batch=batch, errors=[gone.as_mapping()])
        raise Refused(gone.code, gone.message)
    return path


# --- what is written ------------------------------------------------------------------------------------------


def _write(run: Run, batch: ApiBatch) -> None:
    """Keep a few requests before the resident role until every one has its result, or the time is over."""
    looks = Looks(run)
    while not batch.is_late(timezone.now()):
        moved = _harvest(run, batch) + _hand_out(run, batch, asker(batch, batch.api_key))
        batch.refresh_from_db(fields=["state", "completed_count", "failed_count"])
        run.progress(batch.done_count, batch.total_count, unit="requests", phase=say("answering"))
        if batch.done_count >= batch.total_count or batch.state != BatchState.IN_PROGRESS:
            return
        looks.rest(moved=bool(moved))


def _hand_out(run: Run, batch: ApiBatch, actor: Actor) -> int:
    """Fill the hands of the resident role; how many were asked for."""
    endpoint = WRITING[batch.endpoint]
    at_work = BatchItem.objects.filter(batch=batch, state=ItemState.RUNNING).count()
    waiting = BatchItem.objects.filter(batch=batch, state=ItemState.WAITING).order_by("position")
    items = list(waiting[: AT_ONCE - at_work]) if at_work < AT_ONCE else []
    if not items:
        return 0
    assert batch.model_version is not None
    route = Route(batch.model_version, batch.deployment)
    asked = {item.pk: checked_body(endpoint, item.body) for item in items}
    guarded, refusals = _guarded(actor, batch, endpoint, asked)

    def begin(item: BatchItem) -> Generation:
        return endpoint.begin(Begun(actor, route, batch.reference, asked[item.pk], guarded.get(item.pk)))

    passed = [item for item in items if item.pk not in refusals]
    refusals |= services.hand_out(run=run, items=passed, begin=begin)
    if refusals:
        services.keep_results(run=run, batch=batch, results=[refusal(pk, why) for pk, why in refusals.items()])
    return len(items)


def _guarded(
    actor: Actor, batch: ApiBatch, endpoint: Writing, asked: Mapping[int, Asked]
) -> tuple[dict[int, Guarded], dict[int, Refused]]:
    """What the guards let pass and what they refuse, by item."""
    policy = services.policy_for(actor, batch.deployment)
    if policy is None:
        return {}, {}
    texts: dict[int, tuple[list[str], set[int]]] = {}
    unread: dict[int, Refused] = {}
    for pk, values in asked.items():
        try:
            texts[pk] = endpoint.texts(values)
        except Refused as why:
            unread[pk] = why
    passed, refused = services.guard_many(actor, policy, texts)
    return passed, refused | unread


def _harvest(run: Run, batch: ApiBatch) -> int:
    """Store the results of answers that ended; how many there were."""
    endpoint = WRITING[batch.endpoint]
    at_work = BatchItem.objects.filter(batch=batch, state=ItemState.RUNNING)
    ended = (GenerationState.DONE, GenerationState.FAILED, GenerationState.CANCELLED)
    items = at_work.filter(generation__state__in=ended).select_related("generation__model_version__family")
    results = [_result(endpoint, item) for item in items.order_by("position")[:AT_ONCE]]
    results += [Result(item.pk, 503, _lost(), again=True) for item in at_work.filter(generation=None)]
    if results:
        services.keep_results(run=run, batch=batch, results=results)
    return len(results)


def _result(endpoint: Writing, item: BatchItem) -> Result:
    row = item.generation
    assert row is not None
    if row.state == GenerationState.DONE:
        return Result(
            item.pk,
            200,
            endpoint.shape(row, checked_body(endpoint, item.body)),
            generation=row,
            prompt_tokens=row.prompt_tokens,
            cached_tokens=row.cached_tokens,
            answer_tokens=row.answer_tokens,
        )
    if row.state == GenerationState.CANCELLED:
        return Result(item.pk, 503, _lost(), again=True)
    status = 400 if row.error_code in CALLERS_FAULTS else 503
    response = error_body(status, str(row.error_message), code=row.error_code)
    return Result(item.pk, status, response, generation=row, again=row.error_code in AGAIN)


def _lost() -> dict[str, Any]:
    return error_body(503, say("This request could not be answered. Try again."), code="given_up")


# --- the files of results --------------------------------------------------------------------------------------


def _make_files(run: Run, batch: ApiBatch) -> None:
    """Good results in one file, all others in another; neither of them without a line."""
    folder = work_folder(run)
    output = _written(folder / "output.jsonl", items_of(batch, ItemState.COMPLETED))
    errors = _written(folder / "errors.jsonl", items_of(batch, ItemState.FAILED))
    services.end_batch(run=run, batch=batch, output=output, errors=errors)


def _written(path: Path, items: Iterator[BatchItem]) -> Path | None:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        for item in items:
            handle.write(one_line(line_of(item)) + "\n")
            count += 1
    return path if count else None


def one_line(document: Mapping[str, Any]) -> str:
    """JSON that stays one line also for readers that end lines at every separator Unicode has."""
    plain = json.dumps(document, ensure_ascii=False)
    return plain.translate({ord(mark): f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"})


def line_of(item: BatchItem) -> dict[str, Any]:
    """A line of a file of results, as OpenAI has it."""
    error = {"code": item.error_code, "message": str(item.error_message)} if item.error_code else None
    response = None
    if item.status_code is not None:
        response = {"status_code": item.status_code, "request_id": f"req_{item.pk}", "body": item.response}
    return {"id": f"batch_req_{item.pk}", "custom_id": item.custom_id, "response": response, "error": error}
