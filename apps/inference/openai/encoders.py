"""POST /v1/embeddings as OpenAI has it, /v1/classify, /v1/rerank and /v1/score as vLLM has them."""

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpResponseBase, JsonResponse
from rest_framework import serializers
from rest_framework.request import Request

from apps.inference import services
from apps.inference.following import Lease
from apps.inference.models import OnlineRequest, OnlineState
from apps.inference.openai.doors import Committed, Door
from apps.inference.openai.guarded import guarded
from apps.registry.models import Task
from core.characters import has_lone_surrogate
from core.errors import Refused
from core.events import hub
from core.openai.body import Body, Flag, Text, Whole, read_body
from core.openai.ids import public_id
from core.openai.shape import error_body
from core.streaming import releasing
from words import say, spoken


@dataclass(frozen=True)
class Done:
    """What was said of one request: `results` as OnlineRequest keeps them, `tokens` read."""

    number: int
    at: datetime
    results: Sequence[Mapping[str, Any]]
    tokens: int
    name: str = ""  # of a request in a batch, which has no row of its own

    def id(self, kind: str) -> str:
        """The id of its answer."""
        return self.name or public_id(kind, self.number)


Shape = Callable[[Mapping[str, Any], Done], dict[str, Any]]


class EmbeddingBody(Body):
    """POST /v1/embeddings."""

    model = Text(max_length=300)
    input = serializers.JSONField()
    encoding_format = serializers.ChoiceField(["float", "base64"], default="float")
    dimensions = Whole(required=False)
    user = Text(required=False, max_length=200)


class ClassifyBody(Body):
    """POST /v1/classify."""

    model = Text(max_length=300)
    input = serializers.JSONField()
    user = Text(required=False, max_length=200)


class RerankBody(Body):
    """POST /v1/rerank."""

    model = Text(max_length=300)
    query = Text(max_length=100_000)
    documents = serializers.JSONField()
    top_n = Whole(required=False)
    return_documents = Flag(default=True)
    user = Text(required=False, max_length=200)


class ScoreBody(Body):
    """POST /v1/score."""

    model = Text(max_length=300)
    text_1 = Text(max_length=100_000)
    text_2 = serializers.JSONField()
    user = Text(required=False, max_length=200)


class EncoderDoor(Door):
    """A door behind which an encoder reads texts, as the guards let them pass."""

    def committed(
        self,
        asked: Mapping[str, Any],
        route: services.Route,
        texts: Sequence[str],
        ask: Callable[..., OnlineRequest],
        shape: Shape,
    ) -> Committed:
        """Commit what `ask` asks for, with the caller, the version, the route and how guards let `texts` pass."""

        def commit(found: services.Guarded | None) -> Committed:
            row = ask(actor=self.actor, version=route.version, route=route, guarded=found)
            return Committed(partial(_answer, row, asked, shape))

        return guarded(self.actor, route.deployment, texts, commit)


class EmbeddingDoor(EncoderDoor):
    """Texts to vectors."""

    def post(self, request: Request) -> Committed:
        """Ask for vectors."""
        asked = read_body(request, EmbeddingBody)
        texts = texts_of(asked["input"], "input")
        found = self.route_of(asked)
        services.checked_texts(found.version, texts, Task.EMBEDDING)
        ask = partial(services.ask, texts=texts, task=Task.EMBEDDING)
        return self.committed(asked, found, texts, ask, vectors_shaped)


class ClassifyDoor(EncoderDoor):
    """Texts to labels."""

    def post(self, request: Request) -> Committed:
        """Ask for labels with all probabilities."""
        asked = read_body(request, ClassifyBody)
        found = self.route_of(asked)
        texts = texts_of(asked["input"], "input")
        services.checked_texts(found.version, texts, Task.CLASSIFICATION)
        ask = partial(services.ask, texts=texts, task=Task.CLASSIFICATION, is_whole=True)
        return self.committed(asked, found, texts, ask, labels_shaped)


class RerankDoor(EncoderDoor):
    """Documents in the order in which they answer a query."""

    def post(self, request: Request) -> Committed:
        """Ask for the order."""
        asked = read_body(request, RerankBody)
        documents = documents_of(asked)
        found = self.route_of(asked)
        services.check_ranking(found.version, asked["query"], documents)
        ask = partial(services.ask_ranking, query=asked["query"], texts=documents)
        return self.committed(asked, found, [asked["query"], *documents], ask, order_shaped)


class ScoreDoor(EncoderDoor):
    """How well each second text answers the first."""

    def post(self, request: Request) -> Committed:
        """Ask for scores."""
        asked = read_body(request, ScoreBody)
        seconds = texts_of(asked["text_2"], "text_2")
        found = self.route_of(asked)
        services.check_ranking(found.version, asked["text_1"], seconds)
        ask = partial(services.ask_ranking, query=asked["text_1"], texts=seconds)
        return self.committed(asked, found, [asked["text_1"], *seconds], ask, scores_shaped)


def vectors_shaped(asked: Mapping[str, Any], done: Done) -> dict[str, Any]:
    """OpenAI's list of embeddings; Refused for a size that the version does not make."""
    vectors, wanted = [each["vector"] for each in done.results], asked.get("dimensions")
    if wanted is not None and vectors and wanted != len(vectors[0]):
        raise Refused(
            "unsupported_parameter",
            say("This version makes vectors of {count} numbers and of no other size.", count=len(vectors[0])),
            field="dimensions",
        )
    return {
        "id": done.id("embedding"),
        "object": "list",
        "model": asked["model"],
        "data": [
            {"object": "embedding", "index": at, "embedding": encoded(vector, asked["encoding_format"])}
            for at, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": done.tokens, "total_tokens": done.tokens},
    }


def labels_shaped(asked: Mapping[str, Any], done: Done) -> dict[str, Any]:
    """Labels with all probabilities."""
    data = [
        {
            "index": at,
            "label": ", ".join(each["labels"]) or None,
            "probs": [probability for _label, probability in each["all"]],
            "num_classes": len(each["all"]),
            "labels": [label for label, _probability in each["all"]],
        }
        for at, each in enumerate(done.results)
    ]
    return {"id": done.id("classification"), "object": "list", **_tail(done, asked), "data": data}


def order_shaped(asked: Mapping[str, Any], done: Done) -> dict[str, Any]:
    """Documents, the best first."""
    documents = documents_of(asked)
    results = [
        {
            "index": each["index"],
            "relevance_score": each["score"],
            **({"document": {"text": documents[each["index"]]}} if asked["return_documents"] else {}),
        }
        for each in done.results[: asked.get("top_n", len(documents))]
    ]
    return {"id": done.id("rerank"), **_tail(done, asked), "results": results}


def scores_shaped(asked: Mapping[str, Any], done: Done) -> dict[str, Any]:
    """Scores in the order of the texts."""
    found = sorted(done.results, key=lambda each: each["index"])
    data = [{"index": each["index"], "object": "score", "score": each["score"]} for each in found]
    return {"id": done.id("score"), "object": "list", **_tail(done, asked), "data": data}


async def _answer(waiting: OnlineRequest, asked: Mapping[str, Any], shape: Shape) -> HttpResponseBase:
    lease = Lease(waiting.slot)
    async for _event in hub().follow(f"online:{waiting.pk}", patience=0.5):
        await lease.keep()
        row = await sync_to_async(releasing(_stored))(waiting.pk)
        if row.state == OnlineState.FAILED:
            return JsonResponse(error_body(503, spoken(row.error_message), code="not_answered"), status=503)
        if row.state == OnlineState.DONE:
            try:
                document = shape(asked, Done(row.pk, row.created_at, row.results, row.token_count))
            except Refused as refused:
                field = refused.problems[0].field
                return JsonResponse(error_body(400, refused.message, code=refused.code, param=field), status=400)
            if not row.is_stored:
                await sync_to_async(releasing(services.forget_online))(row.pk)
            return JsonResponse(document)
    raise AssertionError("following never ends by itself")


def _stored(pk: int) -> OnlineRequest:
    return OnlineRequest.objects.get(pk=pk)


def texts_of(given: Any, field: str) -> list[str]:
    """One text or a list of them; token ids are not read by encoders."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise Refused("invalid_type", say("“{name}” is a text or a list of texts.", name=field), field=field)
    if not all(text.strip() for text in texts):
        raise Refused("empty", say("“{name}” is empty.", name=field), field=field)
    if any(has_lone_surrogate(text) for text in texts):
        raise Refused(
            "lone_surrogate", say("“{field}” holds half a character (a lone surrogate).", field=field), field=field
        )
    return list(texts)


def documents_of(asked: Mapping[str, Any]) -> list[str]:
    """The documents of a request for an order: texts, or objects with a text."""
    given = asked["documents"]
    if isinstance(given, list) and all(isinstance(each, Mapping) for each in given):
        given = [each.get("text") for each in given]
    return texts_of(given, "documents")


def encoded(vector: Sequence[float], form: str) -> str | list[float]:
    """Numbers, or 32-bit floats, the least significant byte first, in base64."""
    if form == "float":
        return list(vector)
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _tail(done: Done, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "created": int(done.at.timestamp()),
        "model": asked["model"],
        "usage": {"prompt_tokens": done.tokens, "completion_tokens": 0, "total_tokens": done.tokens},
    }
