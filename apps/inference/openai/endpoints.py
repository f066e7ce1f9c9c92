"""What a line of a batch may ask, one entry an endpoint: its body, its checks, how it is begun and how its answer is shaped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apps.inference import services
from apps.inference.models import Generation
from apps.inference.openai.bodies import (
    ChatBody,
    CompletionBody,
    extras_of,
    messages_of,
    prompts_of,
    sampling_of_chat,
    sampling_of_completion,
)
from apps.inference.openai.encoders import (
    ClassifyBody,
    EmbeddingBody,
    RerankBody,
    ScoreBody,
    Shape,
    documents_of,
    labels_shaped,
    order_shaped,
    scores_shaped,
    texts_of,
    vectors_shaped,
)
from apps.inference.openai.shapes import Shape as Written
from apps.inference.openai.shapes import counts_of
from apps.inference.services.asking import BATCH_PRIORITY
from apps.inference.services.guarding import contents_of, with_contents
from apps.registry.models import ModelVersion, Task
from core.access import Actor
from core.errors import Refused
from core.openai.body import Body
from words import say

Asked = dict[str, Any]
Row = tuple[str, str]  # a text and, of a pair, the second one


@dataclass(frozen=True)
class Begun:
    """One request on its way to the role: who asks whom, under which name, for what, and how guards let it pass."""

    actor: Actor
    route: services.Route
    reference: str
    asked: Asked
    guarded: services.Guarded | None = None


@dataclass(frozen=True)
class Writing:
    """An endpoint whose answers are written by the resident role."""

    body: type[Body]
    check: Callable[[ModelVersion, Asked], None]  # raises Refused
    texts: Callable[[Asked], tuple[list[str], set[int]]]  # what guards look at, and which of it gives orders by right
    begin: Callable[[Begun], Generation]  # one row
    shape: Callable[[Generation, Asked], dict[str, Any]]


@dataclass(frozen=True)
class Encoding:
    """An endpoint whose texts go through an encoder in bulk."""

    body: type[Body]
    check: Callable[[ModelVersion, Asked], None]
    texts: Callable[[Asked], list[str]]  # what guards look at, and what is read
    rows: Callable[[Sequence[str]], list[Row]]  # of these texts
    kind: str  # of the rows, as the engine names it
    said: Callable[[ModelVersion, list[Mapping[str, Any]]], list[dict[str, Any]]]  # of the engine's rows: Done.results
    shape: Shape


def checked_body(endpoint: Writing | Encoding, body: Any) -> Asked:
    """The values of a line's body; raises ValidationError or Refused."""
    asked = endpoint.body(data=body)
    asked.is_valid(raise_exception=True)
    values = dict(asked.validated_data)
    if values.get("stream"):
        raise Refused("unsupported_parameter", say("A batch cannot stream."), field="stream")
    return values


def _extras(asked: Asked, guarded: services.Guarded | None = None) -> services.Extras:
    return replace(extras_of(asked, guarded), priority=BATCH_PRIORITY)


def _check_chat(version: ModelVersion, asked: Asked) -> None:
    services.checked_chat(version, messages_of(asked), sampling_of_chat(asked), _extras(asked))


def _chat_texts(asked: Asked) -> tuple[list[str], set[int]]:
    return contents_of(messages_of(asked))


def _begin_chat(begun: Begun) -> Generation:
    messages = messages_of(begun.asked)
    return services.generate_chat(
        actor=begun.actor,
        version=begun.route.version,
        route=begun.route,
        reference=begun.reference,
        messages=messages if begun.guarded is None else with_contents(messages, begun.guarded.texts),
        sampling=sampling_of_chat(begun.asked),
        extras=_extras(begun.asked, begun.guarded),
    )


def _check_completion(version: ModelVersion, asked: Asked) -> None:
    services.check_texts(version, prompts_of(asked), sampling_of_completion(asked), _extras(asked))


def _completion_texts(asked: Asked) -> tuple[list[str], set[int]]:
    texts = []
    for prompt in prompts_of(asked):
        if not isinstance(prompt, str):
            raise Refused("unsupported_parameter", say("Guards read texts, not token ids."), field="prompt")
        texts.append(prompt)
    return texts, set()


def _begin_completion(begun: Begun) -> Generation:
    return services.generate_texts(
        actor=begun.actor,
        version=begun.route.version,
        route=begun.route,
        reference=begun.reference,
        prompts=prompts_of(begun.asked) if begun.guarded is None else begun.guarded.texts,
        sampling=sampling_of_completion(begun.asked),
        extras=_extras(begun.asked, begun.guarded),
    )


def _chat_shaped(row: Generation, asked: Asked) -> dict[str, Any]:
    return Written(row).whole(row.answers, counts_of(row))


def _completion_shaped(row: Generation, asked: Asked) -> dict[str, Any]:
    shows_nothing = asked["echo"] and asked.get("max_tokens") == 0
    return Written(row, echo=asked["echo"], shows_nothing=shows_nothing).whole(row.answers, counts_of(row))


def _check_texts(task: str) -> Callable[[ModelVersion, Asked], None]:
    def check(version: ModelVersion, asked: Asked) -> None:
        services.checked_texts(version, texts_of(asked["input"], "input"), task)

    return check


def _input_texts(asked: Asked) -> list[str]:
    return texts_of(asked["input"], "input")


def _rerank_texts(asked: Asked) -> list[str]:
    return [asked["query"], *documents_of(asked)]


def _score_texts(asked: Asked) -> list[str]:
    return [asked["text_1"], *texts_of(asked["text_2"], "text_2")]


def _singles(texts: Sequence[str]) -> list[Row]:
    return [(text, "") for text in texts]


def _pairs(texts: Sequence[str]) -> list[Row]:
    return [(texts[0], text) for text in texts[1:]]


def _check_pairs(texts: Callable[[Asked], list[str]]) -> Callable[[ModelVersion, Asked], None]:
    def check(version: ModelVersion, asked: Asked) -> None:
        query, *others = texts(asked)
        services.check_ranking(version, query, others)

    return check


def _vectors(_version: ModelVersion, found: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"vector": [round(value, 7) for value in row["vector"]]} for row in found]


def _labels(version: ModelVersion, found: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "labels": list(row["labels"]),
            "all": [[name, round(value, 7)] for name, value in zip(version.labels, row["probabilities"], strict=True)],
        }
        for row in found
    ]


def _order(_version: ModelVersion, found: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    scored = sorted(enumerate(row["score"] for row in found), key=lambda pair: (-pair[1], pair[0]))
    return [{"index": at, "score": round(score, 7)} for at, score in scored]


WRITING: dict[str, Writing] = {
    "/v1/chat/completions": Writing(ChatBody, _check_chat, _chat_texts, _begin_chat, _chat_shaped),
    "/v1/completions": Writing(
        CompletionBody, _check_completion, _completion_texts, _begin_completion, _completion_shaped
    ),
}
ENCODING: dict[str, Encoding] = {
    "/v1/embeddings": Encoding(
        EmbeddingBody, _check_texts(Task.EMBEDDING), _input_texts, _singles, "corpus", _vectors, vectors_shaped
    ),
    "/v1/classify": Encoding(
        ClassifyBody, _check_texts(Task.CLASSIFICATION), _input_texts, _singles, "corpus", _labels, labels_shaped
    ),
    "/v1/rerank": Encoding(
        RerankBody, _check_pairs(_rerank_texts), _rerank_texts, _pairs, "pairs", _order, order_shaped
    ),
    "/v1/score": Encoding(ScoreBody, _check_pairs(_score_texts), _score_texts, _pairs, "pairs", _order, scores_shaped),
}
ENDPOINTS: dict[str, Writing | Encoding] = {**WRITING, **ENCODING}
