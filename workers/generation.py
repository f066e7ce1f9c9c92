"""The resident role: answers single requests at once with models that stay in memory."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import OperationalError, close_old_connections, connections, transaction

from apps.inference.models import OnlineKind, OnlineRequest
from apps.inference.services import ONLINE_CHANNEL, Turns, answer, claim_online
from apps.inference.services.claiming import AT_ONCE
from core.events import Teller
from words import join, say
from workers.bell import Bell
from workers.encoders import TOGETHER, token_counts
from workers.evidence import Evidence
from workers.keeping import keep
from workers.memory import Models
from workers.scoring import score
from workers.writing import Desk, write

if TYPE_CHECKING:
    from engine.failures import RunFailed

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
APART = (OnlineKind.ATTRIBUTE,)


def serve(stop: threading.Event, models: Models | None = None) -> None:
    """Answer until `stop`: what is written in one thread, what is answered at once in this one, with the same models.

    Why a label is given takes seconds: it has a thread of its own, so that nothing waits for it. When nobody asks, that thread
    tells it of the samples of alerts.
    """
    models = models or Models()
    others = [
        threading.Thread(target=_apart, args=(write, stop, Desk(models)), name="writing"),
        threading.Thread(target=_apart, args=(keep, stop, models), name="keeping"),
        threading.Thread(target=_apart, args=(score, stop, models), name="scoring"),
        threading.Thread(
            target=_apart, args=(answer_all, stop, models, APART, Evidence(models).next), name="attributing"
        ),
    ]
    for thread in others:
        thread.start()
    try:
        answer_all(stop, models)
    finally:
        stop.set()
        for thread in others:
            thread.join()


def _apart(work: Callable[..., None], *given: Any) -> None:
    """Work in a thread that leaves no connection behind."""
    try:
        work(*given)
    finally:
        connections.close_all()


def _nothing() -> bool:
    return False


def answer_all(
    stop: threading.Event,
    models: Models,
    kinds: Sequence[str] = AT_ONCE,
    meanwhile: Callable[[], bool] = _nothing,
) -> None:
    """Answer single requests of these kinds until `stop`; Redis only wakes, the rows are looked at every second anyway.
    `meanwhile` does a piece of work when nobody waits, and says whether it had any."""
    logger.info("generation role is ready, process %s", os.getpid())
    teller, turns = Teller(), Turns()
    with Bell(ONLINE_CHANNEL) as bell:
        while not stop.is_set():
            try:
                close_old_connections()
                if not answer_next(models, teller, turns, kinds) and not meanwhile():
                    bell.heard(IDLE_SECONDS)
            except OperationalError as error:
                logger.warning("database unreachable: %s", error)
                stop.wait(IDLE_SECONDS)


def answer_next(
    models: Models, teller: Teller | None = None, turns: Turns | None = None, kinds: Sequence[str] = AT_ONCE
) -> bool:
    """Answer the next request, or several that are read together, and tell who waits; False when none waits."""
    gather_seconds = settings.ONLINE_GATHER_MILLISECONDS / 1000
    requests = claim_online(turns or Turns(), gather_seconds=gather_seconds, kinds=kinds)
    found = answers(models, requests)
    with transaction.atomic():
        for request, said in zip(requests, found, strict=True):
            answer(request=request, **said)
    if teller is not None:
        teller.tell([(f"online:{each.pk}", {"id": f"{each.token}.1", "last": True}) for each in requests])
    return bool(requests)


def answers(models: Models, requests: Sequence[OnlineRequest]) -> list[dict[str, Any]]:
    """For each request to one version what `services.answer` is given; one that fails takes no other with it."""
    from engine.failures import RunFailed

    if not requests:
        return []
    version, use = requests[0].model_version, _use(requests[0])
    try:
        model = models.get(version, use)
    except RunFailed as failure:
        return [_failed(failure)] * len(requests)
    try:
        return _said(model, use, requests)
    except RunFailed as failure:
        if len(requests) == 1:
            return [_failed(failure)]
    except Exception:
        if len(requests) == 1:
            logger.exception("request %s could not be answered", requests[0].pk)
            return [{"error": say("This request could not be answered. Try again.")}]
    return [said for request in requests for said in answers(models, [request])]


def _said(model: Any, use: str, requests: Sequence[OnlineRequest]) -> list[dict[str, Any]]:
    if use in TOGETHER:
        found, counts = TOGETHER[use](model, requests), token_counts(model, requests)
        return [{"results": rows, "token_count": count} for rows, count in zip(found, counts, strict=True)]
    told = [ALONE[use](model, request) for request in requests]
    return [{"results": rows, "token_count": sum(row.get("token_count", 0) for row in rows)} for rows in told]


def _failed(failure: "RunFailed") -> dict[str, Any]:
    return {"error": join([failure.message, failure.hint])}


def _use(request: OnlineRequest) -> str:
    """A task, or the name of another kind of request."""
    return request.model_version.task if request.kind == OnlineKind.PREDICT else request.kind


def explained(explainer: Any, request: OnlineRequest) -> list[dict[str, Any]]:
    """What the model computes over the sentence."""
    return [explainer.explain(request.texts[0])]


def attributed(attributor: Any, request: OnlineRequest) -> list[dict[str, Any]]:
    """The words of the text that speak for the label."""
    found: list[dict[str, Any]] = attributor.attribute(request.texts, request.label)
    return found


ALONE: dict[str, Callable[[Any, OnlineRequest], list[dict[str, Any]]]] = {
    OnlineKind.EXPLAIN: explained,
    OnlineKind.ATTRIBUTE: attributed,
}
"""For each use that is answered one request at a time what a loaded model says; the others are in `workers.encoders`."""
