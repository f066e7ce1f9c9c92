"""The resident role: answers single requests at once with models that stay in memory."""

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from django.db import OperationalError, close_old_connections, connections

from apps.inference.models import OnlineKind, OnlineRequest
from apps.inference.services import ONLINE_CHANNEL, answer, claim_online
from apps.registry.models import Task
from core.events import Teller
from words import join
from workers.bell import Bell
from workers.keeping import keep
from workers.memory import Models
from workers.writing import Desk, write

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
TOP = 5
DECIMALS = 7  # of a vector's numbers, which are 32-bit


def serve(stop: threading.Event, models: Models | None = None) -> None:
    """Answer until `stop`: what is written in one thread, what is answered at once in this one, with the same models."""
    models = models or Models()
    others = [
        threading.Thread(target=_apart, args=(write, stop, Desk(models)), name="writing"),
        threading.Thread(target=_apart, args=(keep, stop, models), name="keeping"),
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


def answer_all(stop: threading.Event, models: Models) -> None:
    """Answer single requests until `stop`; Redis only wakes, the rows are looked at every second anyway."""
    logger.info("generation role is ready, process %s", os.getpid())
    teller = Teller()
    with Bell(ONLINE_CHANNEL) as bell:
        while not stop.is_set():
            try:
                close_old_connections()
                if not answer_next(models, teller):
                    bell.heard(IDLE_SECONDS)
            except OperationalError as error:
                logger.warning("database unreachable: %s", error)
                stop.wait(IDLE_SECONDS)


def answer_next(models: Models, teller: Teller | None = None) -> bool:
    """Answer one request and tell who waits for it; False when none waits."""
    from engine.failures import RunFailed

    request = claim_online()
    if request is None:
        return False
    version, use = request.model_version, _use(request)
    try:
        model = models.get(version, use)
        answer(request=request, results=ANSWERS[use](model, request), token_count=_tokens_of(model, request))
    except RunFailed as failure:
        answer(request=request, error=join([failure.message, failure.hint]))
    if teller is not None:
        teller.tell([(f"online:{request.pk}", {"id": f"{request.token}.1", "last": True})])
    return True


def _tokens_of(model: Any, request: OnlineRequest) -> int:
    """Tokens of the texts as an encoder's tokenizer reads them; 0 of what has none of its own."""
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        return 0
    read = tokenizer(list(request.texts), truncation=True, max_length=getattr(model, "max_length_tokens", None))
    return sum(map(len, read["input_ids"]))


def _use(request: OnlineRequest) -> str:
    """A task, or "explain"."""
    return "explain" if request.kind == OnlineKind.EXPLAIN else request.model_version.task


def results(classifier: Any, request: OnlineRequest) -> list[dict[str, Any]]:
    """Labels and the highest probabilities of each text."""
    found = classifier.predict(request.texts)
    rows: list[dict[str, Any]] = []
    for labels, probabilities in zip(found.labels, found.probabilities, strict=True):
        if request.is_whole:
            pairs = [
                [name, round(float(value), DECIMALS)] for name, value in zip(found.names, probabilities, strict=True)
            ]
            rows.append({"labels": list(labels), "all": pairs})
            continue
        top = sorted(zip(found.names, probabilities, strict=True), key=lambda pair: -pair[1])[:TOP]
        rows.append({"labels": list(labels), "probabilities": [[name, round(float(value), 6)] for name, value in top]})
    return rows


def marked(tagger: Any, request: OnlineRequest) -> list[dict[str, Any]]:
    """The spans of each text."""
    return [
        {"spans": [{**span._asdict(), "probability": round(sure, 6)} for span, sure in one.spans]}
        for one in tagger.mark(request.texts)
    ]


def found(reader: Any, request: OnlineRequest) -> list[dict[str, Any]]:
    """The answer to the question, from its passage."""
    question, context = request.texts
    return [
        {"answer": one.answer, "start": one.start, "end": one.end, "probability": round(min(1.0, one.probability), 6)}
        for one in reader.read([(question, context)])
    ]


def embedded(embedder: Any, request: OnlineRequest) -> list[dict[str, Any]]:
    """The vector of each text."""
    return [{"vector": [round(float(value), DECIMALS) for value in row]} for row in embedder.embed(request.texts)]


def ranked(ranker: Any, request: OnlineRequest) -> list[dict[str, Any]]:
    """The texts behind the query in order, the best first."""
    query, *texts = request.texts
    return [{"index": at, "score": round(score, DECIMALS)} for at, score in ranker.rank(query, texts)]


def explained(explainer: Any, request: OnlineRequest) -> list[dict[str, Any]]:
    """What the model computes over the sentence."""
    return [explainer.explain(request.texts[0])]


ANSWERS: dict[str, Callable[[Any, OnlineRequest], list[dict[str, Any]]]] = {
    Task.CLASSIFICATION: results,
    Task.TAGGING: marked,
    Task.EXTRACTION: found,
    Task.EMBEDDING: embedded,
    Task.RERANKING: ranked,
    "explain": explained,
}
"""For each use what a loaded model says to a request."""
