"""What people think of answers: one row an author and answer, changed in place with what it said before kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone

from apps.inference.models import (
    Feedback,
    FeedbackRevision,
    Generation,
    GenerationKind,
    GenerationState,
    OnlineRequest,
    OnlineState,
    Prediction,
    Reason,
    Thumb,
)
from apps.inference.selectors import said_answer, shown_requests, written_requests
from apps.registry.models import Task
from core.access import Actor, fetch
from core.errors import Refused, conflict
from core.openai.ids import PREFIXES, row_number
from words import say

BLANK: Final[dict[str, Any]] = {
    "thumb": "",
    "reason": "",
    "note": "",
    "corrected_answer": "",
    "corrected_labels": None,
}
"""What a feedback can say, and how each is taken back."""
TEXTS = ("note", "corrected_answer", "corrected_labels")
ANSWERS_TEXTS = (Task.GENERATION, Task.EXTRACTION)
MOST_LABELS = 50
MOST_LABEL_CHARACTERS = 200
MOST_ANSWER_CHARACTERS = 100_000
MOST_NOTE_CHARACTERS = 5_000
MOST_ANSWERS = 1_024  # of the largest request

GENERATIONS: Final = {
    "generation": {},
    "chat_completion": {"kind": GenerationKind.CHAT},
    "completion": {"kind": GenerationKind.TEXT},
}
REQUESTS: Final = {
    "online_request": {},
    "classification": {"model_version__task": Task.CLASSIFICATION},
    "embedding": {"model_version__task": Task.EMBEDDING},
    "rerank": {"model_version__task": Task.RERANKING},
    "score": {"model_version__task": Task.RERANKING},
}
"""Kind of a public id -> what its row must be."""


@dataclass(frozen=True)
class Target:
    """One answer that feedback can be about."""

    row: Generation | OnlineRequest | Prediction
    field: str  # the foreign key of Feedback that points to it
    index: int
    is_stored: bool = True  # False: no texts are kept of this answer

    @property
    def name(self) -> str:
        """The id of its row, as callers may give it."""
        return f"{PREFIXES[self.field]}{self.row.pk}"

    @property
    def labels(self) -> bool:
        """Whether it says labels, which labels correct."""
        return self.row.model_version.task == Task.CLASSIFICATION

    @property
    def writes(self) -> bool:
        """Whether it is a text, which a text corrects."""
        return self.row.model_version.task in ANSWERS_TEXTS


def feedback_target(actor: Actor, name: str, index: int, permission: str) -> Target:
    """The answer `index` of the row that an id names ("chatcmpl-7", "request-3", ...); 404 for any other.

    Refused while the answer is not there yet, and for an index beyond its answers.
    """
    kind = next((kind for kind, prefix in PREFIXES.items() if name.startswith(prefix)), "")
    if kind in GENERATIONS:
        rows = written_requests().filter(**GENERATIONS[kind])
        return _generation(_row(actor, rows, permission, kind, name), index)
    if kind in REQUESTS:
        asked = shown_requests().filter(**REQUESTS[kind])
        return _online(_row(actor, asked, permission, kind, name), index)
    if kind == "prediction":
        stored = Prediction.objects.defer("vector")
        found = _row(actor, stored, permission, kind, name, within="batch_job__workspace")
        _require_index(index, 1)
        return Target(found, "prediction", 0)
    raise Http404


def _row(actor: Actor, rows: QuerySet[Any], permission: str, kind: str, name: str, within: str = "workspace") -> Any:
    joined = rows.select_related("model_version")
    return fetch(actor, joined, permission, within=within, pk=row_number(kind, name))


def _generation(row: Generation, index: int) -> Target:
    if row.state in (GenerationState.WAITING, GenerationState.RUNNING):
        raise _too_early()
    _require_index(index, len(row.answers) if row.is_stored else MOST_ANSWERS)
    return Target(row, "generation", index, row.is_stored)


def _online(row: OnlineRequest, index: int) -> Target:
    if row.state == OnlineState.WAITING:
        raise _too_early()
    _require_index(index, len(row.results) if row.is_stored else MOST_ANSWERS)
    return Target(row, "online_request", index, row.is_stored)


def _too_early() -> Refused:
    return conflict("not_done", say("The answer is not there yet."), hint=say("Ask again in a moment."))


def _require_index(index: int, count: int) -> None:
    if not 0 <= index < count:
        raise Refused(
            "unknown_answer", say("This request has {count} answers, counted from 0.", count=count), field="index"
        )


@transaction.atomic
def give_feedback(*, actor: Actor, target: Target, said: Mapping[str, Any], end_user: str = "") -> Feedback:
    """Say, or change, what the caller thinks of an answer: what is left out stays, what is blank is taken back.

    The same again changes nothing. Callers by key speak for themselves, or for the end user they name.
    """
    given = {name: said[name] for name in BLANK if name in said}
    given = {name: BLANK[name] if value is None else value for name, value in given.items()}
    _check(target, given)
    given = _without_echo(target, given)
    end_user = end_user.strip()[:200]
    # an insert that meets another one's waits for it, so of two that come together the second changes the first
    row, made = Feedback.objects.select_for_update().get_or_create(
        **{target.field: target.row},
        index=target.index,
        author=author_of(actor, end_user),
        defaults={
            "workspace": actor.workspace,
            "model_version": target.row.model_version,
            "user": actor.user,
            "api_key": actor.key,
            "end_user": end_user,
            **given,
        },
    )
    before = {name: getattr(row, name) for name in BLANK}
    if made or before | given == before:
        return row
    now = timezone.now()
    FeedbackRevision.objects.create(feedback=row, at=now, **before)
    for name, value in {**given, "updated_at": now}.items():
        setattr(row, name, value)
    row.save(update_fields=[*given, "updated_at"])
    return row


def own_feedback(actor: Actor, target: Target) -> Feedback | None:
    """What the caller said of an answer so far."""
    mine = Feedback.objects.filter(**{target.field: target.row}, index=target.index, author=author_of(actor))
    return mine.first()


def _without_echo(target: Target, given: dict[str, Any]) -> dict[str, Any]:
    """A correction that says what was said corrects nothing."""
    said = said_answer(target.row, target.index)
    is_echo = {
        "corrected_answer": given.get("corrected_answer") == said.text,
        "corrected_labels": given.get("corrected_labels") == list(said.labels),
    }
    return {name: BLANK[name] if is_echo.get(name) else value for name, value in given.items()}


def author_of(actor: Actor, end_user: str = "") -> str:
    """Whose a feedback is: the end user's whom a caller names, else that of the key or the person."""
    if end_user:
        return f"end user {end_user}"
    return f"key {actor.key.pk}" if actor.key is not None else f"user {actor.user.pk}"


def _check(target: Target, given: Mapping[str, Any]) -> None:
    if not given:
        raise Refused("nothing_said", say("Say what you think: {names}.", names=", ".join(BLANK)), field="thumb")
    for name, choices in (("thumb", Thumb), ("reason", Reason)):
        if given.get(name, "") not in ("", *choices.values):
            raise Refused("unknown_value", say("Choose one of: {values}", values=", ".join(choices.values)), field=name)
    if not target.is_stored and (kept := [name for name in TEXTS if given.get(name)]):
        raise Refused(
            "not_stored",
            say("The texts of this request are not kept, so only a thumb and a reason are taken."),
            field=kept[0],
        )
    _check_correction(target, given)
    for name, most in (("note", MOST_NOTE_CHARACTERS), ("corrected_answer", MOST_ANSWER_CHARACTERS)):
        text = given.get(name, "")
        if len(text) > most or "\0" in text:
            raise Refused(
                "text_too_long",
                say("A text has at most {max_text_characters} characters and no NUL.", max_text_characters=most),
                field=name,
            )


def _check_correction(target: Target, given: Mapping[str, Any]) -> None:
    if given.get("corrected_answer") and not target.writes:
        raise Refused(
            "wrong_task", say("This answer is not a text. Send what is right as it says it."), field="corrected_answer"
        )
    labels = given.get("corrected_labels")
    if labels is None:
        return
    if not target.labels:
        raise Refused("wrong_task", say("This answer has no labels to correct."), field="corrected_labels")
    fine = all(label.strip() and len(label) <= MOST_LABEL_CHARACTERS and "\0" not in label for label in labels)
    if not fine or len(labels) > MOST_LABELS:
        raise Refused(
            "bad_label",
            say(
                "Send at most {most} labels of 1 to {characters} characters.",
                most=MOST_LABELS,
                characters=MOST_LABEL_CHARACTERS,
            ),
            field="corrected_labels",
        )
