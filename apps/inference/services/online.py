"""Ask a version something while somebody waits: a committed row that the resident role answers."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.inference.models import OnlineKind, OnlineRequest, OnlineState
from apps.inference.services.asking import ONLINE_CHANNEL, require_usable
from apps.inference.services.guarding import Guarded, keep_passed, require_guarded
from apps.inference.services.metering import count_online, require_quota
from apps.inference.services.routes import Route, as_shadow
from apps.inference.tasks import use_of
from apps.registry.models import ModelVersion
from apps.registry.selectors import version_folder
from core.access import Actor
from core.api.throttle import take_slot
from core.errors import Refused
from core.queue import notify
from words import say

MAX_ONLINE_TEXTS = 256
MAX_RANKED_TEXTS = 100
MAX_RANKED_CHARACTERS = 1_000_000  # of all of them
MAX_TEXT_CHARACTERS = 100_000
MAX_SENTENCE_CHARACTERS = 1000  # far more than the tokens that are shown
EXPLANATION_DAYS = 7


@transaction.atomic
def ask(
    *,
    actor: Actor,
    version: ModelVersion,
    texts: Sequence[str],
    task: str = "",
    is_whole: bool = False,
    route: Route | None = None,
    guarded: Guarded | None = None,
) -> OnlineRequest:
    """Ask for labels (of a tagger: spans) of a few texts now; the resident role answers within a moment.

    With `task` a version of another task is refused, as one that does not read texts always is. `is_whole` asks a
    classifier for the probability of every label. `route` is how the version was found, `guarded` how guards let the
    texts pass: it is needed where a policy holds, and its texts are the ones that are read.
    """
    cleaned = checked_texts(version, guarded.texts if guarded else texts, task)
    return make_request(actor, route or Route(version), guarded, texts=cleaned, is_whole=is_whole)


def checked_texts(version: ModelVersion, texts: Sequence[str], task: str = "") -> list[str]:
    """The texts that are not blank; Refused when the version cannot be asked about them at once."""
    require_usable(version)
    if use_of(version).reads != "text" or (task and version.task != task):
        raise Refused(
            "wrong_task",
            say("“{version}” does something else. Choose a version of another task.", version=version),
            field="model",
        )
    cleaned = [text for text in texts if text.strip()]
    if not 1 <= len(cleaned) <= MAX_ONLINE_TEXTS:
        raise Refused(
            "bad_count",
            say("Send 1 to {max_online_texts} texts; use a batch for more.", max_online_texts=MAX_ONLINE_TEXTS),
            field="texts",
        )
    if any(len(text) > MAX_TEXT_CHARACTERS or "\0" in text for text in cleaned):
        raise Refused(
            "text_too_long",
            say(
                "A text has at most {max_text_characters} characters and no NUL.",
                max_text_characters=MAX_TEXT_CHARACTERS,
            ),
            field="texts",
        )
    return cleaned


@transaction.atomic
def ask_question(
    *,
    actor: Actor,
    version: ModelVersion,
    question: str,
    context: str,
    route: Route | None = None,
    guarded: Guarded | None = None,
) -> OnlineRequest:
    """Ask a reader for the answer to a question in a passage now; guards look at both."""
    if guarded:
        question, context = guarded.texts
    check_question(version, question, context)
    return make_request(actor, route or Route(version), guarded, texts=[question, context])


def check_question(version: ModelVersion, question: str, context: str) -> None:
    """Refused when the version cannot be asked this."""
    require_usable(version)
    if use_of(version).reads != "question":
        raise Refused(
            "wrong_task",
            say("“{version}” does something else. Choose a version of another task.", version=version),
            field="model",
        )
    for name, text in (("question", question), ("context", context)):
        if not text.strip():
            raise Refused("empty", say("“{name}” is empty.", name=name), field=name)
        if len(text) > MAX_TEXT_CHARACTERS or "\0" in text:
            raise Refused(
                "text_too_long",
                say(
                    "A text has at most {max_text_characters} characters and no NUL.",
                    max_text_characters=MAX_TEXT_CHARACTERS,
                ),
                field=name,
            )


@transaction.atomic
def ask_ranking(
    *,
    actor: Actor,
    version: ModelVersion,
    query: str,
    texts: Sequence[str],
    route: Route | None = None,
    guarded: Guarded | None = None,
) -> OnlineRequest:
    """Ask for the order of a few texts by how well each answers a query; guards look at the query and them."""
    if guarded:
        query, *texts = guarded.texts
    check_ranking(version, query, texts)
    return make_request(actor, route or Route(version), guarded, texts=[query, *texts])


def check_ranking(version: ModelVersion, query: str, texts: Sequence[str]) -> None:
    """Refused when the version cannot be asked for this order."""
    require_usable(version)
    if use_of(version).reads != "pair":
        raise Refused(
            "wrong_task",
            say("“{version}” does something else. Choose a version of another task.", version=version),
            field="model",
        )
    if not query.strip():
        raise Refused("empty", say("“{name}” is empty.", name="query"), field="query")
    if not 1 <= len(texts) <= MAX_RANKED_TEXTS:
        raise Refused("bad_count", say("Send 1 to {most} texts.", most=MAX_RANKED_TEXTS), field="texts")
    if any(len(text) > MAX_TEXT_CHARACTERS or "\0" in text for text in [query, *texts]):
        raise Refused(
            "text_too_long",
            say(
                "A text has at most {max_text_characters} characters and no NUL.",
                max_text_characters=MAX_TEXT_CHARACTERS,
            ),
            field="texts",
        )
    if sum(map(len, texts)) > MAX_RANKED_CHARACTERS:
        raise Refused(
            "text_too_long",
            say("All texts together have at most {most:,} characters.", most=MAX_RANKED_CHARACTERS),
            field="texts",
        )


@transaction.atomic
def ask_explanation(*, actor: Actor, version: ModelVersion, text: str, guarded: Guarded | None = None) -> OnlineRequest:
    """Ask for everything a GPT computes on the way from a sentence to its next token."""
    if guarded:
        [text] = guarded.texts
    require_usable(version)
    if not version.task_page.is_explained:
        raise Refused(
            "wrong_task",
            say("“{version}” gives labels. Choose a version that writes.", version=version),
            field="model",
        )
    version_folder(version)
    if not text.strip() or "\0" in text:
        raise Refused("empty", say("Write a sentence."), field="text")
    if len(text) > MAX_SENTENCE_CHARACTERS:
        raise Refused(
            "text_too_long",
            say("A sentence has at most {most} characters.", most=MAX_SENTENCE_CHARACTERS),
            field="text",
        )
    return make_request(actor, Route(version), guarded, kind=OnlineKind.EXPLAIN, texts=[text])


def make_request(actor: Actor, route: Route, guarded: Guarded | None, **columns: Any) -> OnlineRequest:
    """The committed row, and beside it a shadow's where the route has one; refused when the quota is used up."""
    require_quota(actor)
    require_guarded(actor, route.deployment, guarded)
    values = {
        "workspace": actor.workspace,
        "model_version": route.version,
        "deployment": route.deployment,
        "arm": route.arm,
        "is_stored": route.is_stored,
        "requested_by": actor.user,
        "api_key": actor.key,
        **columns,
    }
    made = OnlineRequest.objects.create(**values, slot=take_slot(actor))
    if route.shadow is not None:
        OnlineRequest.objects.create(**values | as_shadow(route))
    if guarded:
        keep_passed(actor, [guarded])
    notify(ONLINE_CHANNEL)
    return made


@transaction.atomic
def answer(
    *, request: OnlineRequest, results: Sequence[Mapping[str, Any]] = (), token_count: int = 0, error: str = ""
) -> bool:
    """Store the answer under the claim's token and count it; False when another claim was faster."""
    is_mine = bool(
        OnlineRequest.objects.filter(pk=request.pk, token=request.token, state=OnlineState.WAITING).update(
            state=OnlineState.FAILED if error else OnlineState.DONE,
            results=list(results),
            token_count=token_count,
            error_message=error,
            answered_at=timezone.now(),
        )
    )
    if is_mine:
        count_online([request.pk])
    return is_mine


def forget_online(pk: int) -> None:
    """Blank texts and results of an answered request that was not to be stored."""
    rows = OnlineRequest.objects.filter(pk=pk, is_stored=False).exclude(state=OnlineState.WAITING)
    rows.update(texts=[], results=[])


def expire_explanations(*, now: datetime | None = None) -> dict[str, int]:
    """Forget explanations older than a few days: they are looked at once, and are the largest rows of their table."""
    before = (now or timezone.now()) - timedelta(days=EXPLANATION_DAYS)
    rows = OnlineRequest.objects.exclude(kind=OnlineKind.PREDICT).filter(created_at__lt=before)
    return {"explanations": rows.delete()[0]}
