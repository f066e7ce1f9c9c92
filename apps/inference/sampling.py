"""Examples from requests: which ones, what their right answers are, and their texts without personal data."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

from django.db.models import CharField, QuerySet, TextField, Value
from django.db.models.functions import MD5, Cast, Concat

from apps.inference.guards.pii import Finding, redact
from apps.inference.models import (
    Feedback,
    Generation,
    GenerationKind,
    GenerationState,
    OnlineRequest,
    OnlineState,
)
from apps.inference.request_filters import GenerationFilter, OnlineFilter, RequestFilter
from apps.inference.selectors import shown_requests, written_requests
from apps.registry.models import Task
from core.access import Actor
from core.errors import Refused
from core.openai.ids import public_id
from words import say

CHAT, CLASSIFICATION = "chat", "classification"
FILTERS: Final[dict[str, type[RequestFilter]]] = {CHAT: GenerationFilter, CLASSIFICATION: OnlineFilter}
MOST_SAMPLED = 2_000  # examples of one run; another seed brings others
COLUMNS: Final = {
    CHAT: {"external_id": "id", "messages": "messages"},
    CLASSIFICATION: {"external_id": "id", "text": "text", "label": "labels"},
}
META = ("request", "model_version", "corrected", "thumb")


@dataclass(frozen=True)
class Wanted:
    """Which examples: the kind of dataset, filters of the requests page, how many, drawn with which seed."""

    kind: str
    filters: Mapping[str, str] = field(default_factory=dict)
    most: int = 200
    seed: int = 0
    redacts: bool = True

    @property
    def origin(self) -> dict[str, Any]:
        """How the examples were chosen, for the import that brings them."""
        filters = {name: value for name, value in self.filters.items() if value}
        return {**filters, "most": self.most, "seed": self.seed, "redacted": self.redacts}


@dataclass(frozen=True)
class Sampled:
    """One example, and what was found in its texts."""

    id: str  # of the answer: the same in every run
    said: dict[str, Any]  # what the example says, as COLUMNS names it
    request: str
    model_version: int
    corrected: bool
    thumb: str
    found: Sequence[tuple[str, list[Finding]]] = ()  # texts as they were, with the places of personal data

    @property
    def row(self) -> dict[str, Any]:
        """A line of the import."""
        return {"id": self.id, **self.said, **{name: getattr(self, name) for name in META}}

    @property
    def counts(self) -> Counter[str]:
        """Personal data by kind."""
        return Counter(str(each.kind) for _text, found in self.found for each in found)


def sampled(actor: Actor, wanted: Wanted) -> list[Sampled]:
    """The examples, in an order that the seed alone decides; refused when a filter is not valid."""
    if wanted.kind not in FILTERS:
        raise Refused("unknown_value", say("Choose one of: {values}", values=", ".join(FILTERS)), field="kind")
    shown: QuerySet[Any] = written_requests() if wanted.kind == CHAT else shown_requests()
    rows = shown.filter(workspace=actor.workspace)
    asking: Any = SimpleNamespace(actor=actor)
    filters = FILTERS[wanted.kind](dict(wanted.filters), queryset=rows, request=asking)
    if not filters.is_valid():
        name, words = next(iter(filters.form.errors.items()))
        raise Refused("invalid", str(words[0]), field=name)
    found: list[Sampled] = []
    for row in _drawn(filters.qs, wanted):
        found += _examples(row, wanted)
        if len(found) >= wanted.most:
            break
    return found[: wanted.most]


def _drawn(rows: QuerySet[Any], wanted: Wanted) -> Iterator[Any]:
    """Requests whose texts are there, by the digest of number and seed: any order, and always the same."""
    rows = rows.filter(**_USABLE[wanted.kind])
    rows = rows.exclude(answers=[]) if wanted.kind == CHAT else rows
    place = MD5(Concat(Cast("pk", CharField()), Value(f"/{wanted.seed}"), output_field=TextField()))
    return iter(rows.prefetch_related("feedback").order_by(place, "pk")[: wanted.most])


_USABLE: Final[dict[str, dict[str, Any]]] = {
    CHAT: {"kind": GenerationKind.CHAT, "state": GenerationState.DONE, "is_stored": True},
    CLASSIFICATION: {
        "state": OnlineState.DONE,
        "is_stored": True,
        "model_version__task": Task.CLASSIFICATION,
    },
}


def _examples(row: Any, wanted: Wanted) -> list[Sampled]:
    opinions: dict[int, list[Feedback]] = {}
    for each in sorted(row.feedback.all(), key=lambda each: each.updated_at, reverse=True):
        opinions.setdefault(each.index, []).append(each)
    if isinstance(row, Generation):
        return _chat(row, opinions, wanted)
    return _labelled(row, opinions, wanted)


def _wanted(opinions: Sequence[Feedback], filters: Mapping[str, str]) -> bool:
    """Whether this answer, not only its request, has the thumb and the correction that are asked for."""
    thumb, corrected = filters.get("thumb"), filters.get("corrected") == "true"
    return (not thumb or any(each.thumb == thumb for each in opinions)) and (
        not corrected or any(_corrects(each) for each in opinions)
    )


def _corrects(opinion: Feedback) -> bool:
    return bool(opinion.corrected_answer) or opinion.corrected_labels is not None


def _thumb(opinions: Sequence[Feedback]) -> str:
    return next((each.thumb for each in opinions if each.thumb), "")


def _chat(row: Generation, opinions: Mapping[int, list[Feedback]], wanted: Wanted) -> list[Sampled]:
    """One example a request: its corrected answer, else one that was liked, else the first."""
    able = [at for at in range(len(row.answers)) if _wanted(opinions.get(at, []), wanted.filters)]
    if not able:
        return []

    def worth(at: int) -> tuple[bool, bool]:
        said = opinions.get(at, [])
        return any(each.corrected_answer for each in said), _thumb(said) == "up"

    best = max(able, key=worth)
    said = opinions.get(best, [])
    correction = next((each.corrected_answer for each in said if each.corrected_answer), "")
    answer = correction or row.answers[best]["text"]
    if not answer.strip():
        return []
    clean = _Cleaner(wanted.redacts)
    messages = [
        {"role": message["role"], "content": clean(message["content"])}
        for message in [*row.messages, {"role": "assistant", "content": answer}]
    ]
    name = row.public_id
    says = {"messages": messages}
    return [Sampled(name, says, name, row.model_version_id, bool(correction), _thumb(said), clean.found)]


def _labelled(row: OnlineRequest, opinions: Mapping[int, list[Feedback]], wanted: Wanted) -> list[Sampled]:
    """One example a text: its corrected labels, else those it got."""
    name, made = public_id("classification", row.pk), []
    for at, (text, result) in enumerate(zip(row.texts, row.results, strict=False)):
        said = opinions.get(at, [])
        if not _wanted(said, wanted.filters):
            continue
        correction = next((each.corrected_labels for each in said if each.corrected_labels is not None), None)
        clean = _Cleaner(wanted.redacts)
        labels = result["labels"] if correction is None else correction
        says = {"text": clean(text), "labels": list(labels)}
        is_corrected = correction is not None
        made.append(Sampled(f"{name}#{at}", says, name, row.model_version_id, is_corrected, _thumb(said), clean.found))
    return made


class _Cleaner:
    """Redacts texts and remembers what it found in which."""

    def __init__(self, redacts: bool) -> None:
        self.redacts = redacts
        self.found: list[tuple[str, list[Finding]]] = []

    def __call__(self, text: str) -> str:
        if not self.redacts:
            return text
        clean, found = redact(text)
        self.found += [(text, found)] if found else []
        return clean
