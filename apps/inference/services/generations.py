"""Answers that are written: asked for as committed rows, claimed by the resident role, stored under its token."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from apps.inference.guards.models import Direction
from apps.inference.models import Arm, Generation, GenerationKind, GenerationState, ItemState
from apps.inference.services.asking import answer_length, checked_messages, require_usable
from apps.inference.services.guarding import Guarded, OutputGuard, guard_messages, keep_decisions, require_guarded
from apps.inference.services.metering import count_generations, require_quota
from apps.inference.services.routes import Route, as_shadow
from apps.registry.models import ModelVersion, Task
from core.access import Actor
from core.api.throttle import take_slot
from core.errors import Refused
from core.queue import notify
from engine.specs.sampling import Grammar, Sampling
from words import say

GENERATION_CHANNEL = "lingxi:generation"
GENERATION_ATTEMPTS = 3
MAX_PROMPT_CHARACTERS = 1_000_000
MAX_PROMPTS = 64
MAX_ANSWERS = 16
UNREAD = timedelta(minutes=10)  # after which nobody reads an answer that was not to be stored
OPEN = (GenerationState.WAITING, GenerationState.RUNNING)


@dataclass(frozen=True)
class Extras:
    """What a request says besides the prompt and how it is drawn."""

    answers_per_prompt: int = 1
    is_stored: bool = True
    metadata: Mapping[str, str] | None = None
    end_user: str = ""
    priority: int = 0
    guarded: Guarded | None = None  # prompts went through the workspace's guards; needed where it has a policy


@transaction.atomic
def generate_chat(
    *,
    actor: Actor,
    version: ModelVersion,
    reference: str,
    messages: Sequence[Mapping[str, str]],
    sampling: Sampling,
    extras: Extras | None = None,
    route: Route | None = None,
) -> Generation:
    """Ask for answers to a chat; the resident role writes them. `route` is how the version was found."""
    asked = _Asked(actor, route or Route(version), reference, sampling, extras or Extras())
    found = checked_chat(asked.route.version, messages, sampling, asked.extras)
    return _make(asked, kind=GenerationKind.CHAT, messages=found)


def answer_chat(
    *,
    actor: Actor,
    version: ModelVersion,
    reference: str,
    messages: Sequence[Mapping[str, str]],
    max_new_tokens: int | None = None,
    route: Route | None = None,
) -> Generation:
    """Ask for the likeliest answer to a chat, as long as batches write them.

    For callers that may wait in their thread, outside any transaction: guards may ask a classifier first.
    """
    sampling, found = Sampling(temperature=0.0, max_tokens=answer_length(max_new_tokens)), route or Route(version)
    checked_chat(found.version, messages, sampling, Extras())
    passed, guarded = guard_messages(actor, found.deployment, messages)
    return generate_chat(
        actor=actor,
        version=version,
        reference=reference,
        messages=passed,
        sampling=sampling,
        extras=Extras(guarded=guarded),
        route=found,
    )


@transaction.atomic
def generate_texts(
    *,
    actor: Actor,
    version: ModelVersion,
    reference: str,
    prompts: Sequence[str | Sequence[int]],
    sampling: Sampling,
    extras: Extras | None = None,
    route: Route | None = None,
) -> Generation:
    """Ask for texts, or lists of token ids, to be continued."""
    asked = _Asked(actor, route or Route(version), reference, sampling, extras or Extras())
    check_texts(asked.route.version, prompts, sampling, asked.extras)
    return _make(asked, kind=GenerationKind.TEXT, prompts=list(prompts))


def checked_chat(
    version: ModelVersion, messages: Sequence[Mapping[str, str]], sampling: Sampling, extras: Extras
) -> list[dict[str, str]]:
    """The messages of a chat that could be asked for; Refused with what is wrong."""
    found = checked_messages(messages, "messages")
    _require_short(sum(len(message["content"]) for message in found), "messages")
    _require_possible(version, sampling, extras)
    return found


def check_texts(
    version: ModelVersion, prompts: Sequence[str | Sequence[int]], sampling: Sampling, extras: Extras
) -> None:
    """Refused when these prompts could not be asked for."""
    if not 1 <= len(prompts) <= MAX_PROMPTS:
        raise Refused("bad_count", say("Send 1 to {most} prompts.", most=MAX_PROMPTS), field="prompt")
    _require_short(sum(map(len, prompts)), "prompt")
    if any(isinstance(prompt, str) and "\0" in prompt for prompt in prompts):
        raise Refused("nul", say("A text holds no NUL."), field="prompt")
    _require_possible(version, sampling, extras)


def _require_possible(version: ModelVersion, sampling: Sampling, extras: Extras) -> None:
    require_usable(version)
    if version.task != Task.GENERATION:
        raise Refused(
            "wrong_task", say("“{version}” does not write. Choose a version that does.", version=version), field="model"
        )
    if problems := sampling.problems():
        raise Refused(problems[0].code, problems[0].message, field=problems[0].field, hint=problems[0].hint)
    if not 1 <= extras.answers_per_prompt <= MAX_ANSWERS:
        raise Refused("bad_count", say("n must lie between 1 and {most}.", most=MAX_ANSWERS), field="n")


@dataclass(frozen=True)
class _Asked:
    """What both kinds of requests have in common."""

    actor: Actor
    route: Route
    reference: str
    sampling: Sampling
    extras: Extras


def _make(asked: _Asked, **columns: Any) -> Generation:
    version, sampling, extras = asked.route.version, asked.sampling, asked.extras
    require_quota(asked.actor)
    _require_guarded(asked)
    values = {
        "workspace": asked.actor.workspace,
        "model_version": version,
        "deployment": asked.route.deployment,
        "arm": asked.route.arm,
        "reference": asked.reference[:300],
        "sampling": asdict(sampling),
        "seed": secrets.randbits(62) if sampling.seed is None else sampling.seed,
        "answers_per_prompt": extras.answers_per_prompt,
        "is_stored": extras.is_stored and asked.route.is_stored,
        "metadata": dict(extras.metadata or {}),
        "end_user": extras.end_user[:200],
        "priority": extras.priority,
        "requested_by": asked.actor.user,
        "api_key": asked.actor.key,
        **columns,
    }
    mine = {"slot": take_slot(asked.actor), "guard_policy": extras.guarded.policy if extras.guarded else None}
    made = Generation.objects.create(**values, **mine)
    if asked.route.shadow is not None:  # unseen, so neither limited nor guarded
        Generation.objects.create(**values | as_shadow(asked.route))
    if extras.guarded:
        keep_decisions(
            extras.guarded.decisions,
            policy=extras.guarded.policy,
            workspace=asked.actor.workspace,
            direction=Direction.INPUT,
            generation=made,
            api_key=asked.actor.key,
        )
    notify(GENERATION_CHANNEL)
    return made


def _require_guarded(asked: _Asked) -> None:
    """Refused when there are guards and this request did not come by them, or wants what they cannot give."""
    guarded = asked.extras.guarded
    require_guarded(asked.actor, asked.route.deployment, guarded)
    if guarded is not None and asked.sampling.logprobs is not None and guarded.policy.rules(Direction.OUTPUT).looks:
        raise Refused(
            "unsupported_parameter",
            say("Guarded answers come without log-probabilities."),
            field="logprobs",
            status=400,
        )


def _require_short(characters: int, field: str) -> None:
    if characters > MAX_PROMPT_CHARACTERS:
        raise Refused(
            "text_too_long",
            say("All texts together have at most {most:,} characters.", most=MAX_PROMPT_CHARACTERS),
            field=field,
        )


def sampling_of(generation: Generation) -> Sampling:
    """The options of a row."""
    found: dict[str, Any] = dict(generation.sampling)
    found["stop"], found["stop_token_ids"] = tuple(found["stop"]), tuple(found["stop_token_ids"])
    found["logit_bias"] = {int(token): float(value) for token, value in found["logit_bias"].items()}
    found["grammar"] = Grammar(**found["grammar"]) if found["grammar"] else None
    return Sampling(**found)


def _lease() -> timedelta:
    return timedelta(seconds=settings.GENERATION_LEASE_SECONDS)


CLAIM = """
    WITH open AS (
        SELECT id, priority, row_number() OVER (PARTITION BY workspace_id, priority ORDER BY id) AS turn
        FROM inference_generation
        WHERE state = 'waiting' OR (state = 'running' AND lease_expires_at < now())
    ), ranked AS (
        SELECT id, priority, turn,
               row_number() OVER (PARTITION BY priority > 0 ORDER BY priority, turn, id) AS place
        FROM open
    )
    SELECT generation.id FROM inference_generation generation JOIN ranked ON ranked.id = generation.id
    WHERE (generation.state = 'waiting' OR (generation.state = 'running' AND generation.lease_expires_at < now()))
      AND (ranked.priority <= 0 OR ranked.place <= %s)
    ORDER BY ranked.priority, ranked.turn, generation.id
    LIMIT %s
    FOR UPDATE OF generation SKIP LOCKED
"""
"""The most urgent first; among equals each workspace in turn, its oldest first."""


def claim_generations(most: int, *, patient: int | None = None) -> list[Generation]:
    """Up to `most` open requests, leased to the caller under fresh tokens; those tried too often are given up.

    At most `patient` of them are such that nobody waits for (priority above 0).
    """
    if most < 1:
        return []
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(CLAIM, [most if patient is None else patient, most])
            found = [row[0] for row in cursor.fetchall()]
        if not found:
            return []
        rows = Generation.objects.filter(pk__in=found)
        tired = list(rows.filter(attempt_count__gte=GENERATION_ATTEMPTS).values_list("pk", flat=True))
        if tired:
            Generation.objects.filter(pk__in=tired).update(
                state=GenerationState.FAILED,
                error_code="given_up",
                error_message=say("This request could not be answered. Try again."),
                finished_at=timezone.now(),
            )
            count_generations(tired)
        rows.exclude(state=GenerationState.FAILED).update(
            state=GenerationState.RUNNING,
            token=F("token") + 1,
            attempt_count=F("attempt_count") + 1,
            lease_expires_at=timezone.now() + _lease(),
            started_at=timezone.now(),
        )
    claimed = Generation.objects.filter(pk__in=found, state=GenerationState.RUNNING)
    return list(claimed.select_related("model_version__family", "guard_policy").order_by("priority", "pk"))


def beat_generations(tokens: Mapping[int, int]) -> set[int]:
    """Lengthen the leases of rows {pk: token}; returns those that are not the caller's any more, or unwanted."""
    rows = Generation.objects.filter(pk__in=tokens, state=GenerationState.RUNNING)
    rows.update(lease_expires_at=timezone.now() + _lease())
    mine = {
        pk
        for pk, token, is_unwanted in rows.values_list("pk", "token", "is_unwanted")
        if token == tokens[pk] and not is_unwanted
    }
    return set(tokens) - mine


@transaction.atomic
def finish_generation(
    generation: Generation, *, state: GenerationState, guard: OutputGuard | None = None, **columns: Any
) -> bool:
    """Store how it ended, and what guards decided, under the claim's token, and count it.

    False when another claim was faster: then nothing is stored.
    """
    mine = Generation.objects.filter(pk=generation.pk, token=generation.token, state=GenerationState.RUNNING)
    is_mine = bool(mine.update(state=state, finished_at=timezone.now(), **columns))
    if is_mine:
        count_generations([generation.pk])
    if is_mine and guard is not None:
        guard.keep()
    if is_mine and (state != GenerationState.DONE or generation.arm == Arm.SHADOW):  # nobody will read it
        forget_texts(generation.pk)
    return is_mine


def hand_back_generations(tokens: Mapping[int, int]) -> None:
    """Let others claim rows {pk: token} at once: the caller leaves."""
    for pk, token in tokens.items():
        Generation.objects.filter(pk=pk, token=token, state=GenerationState.RUNNING).update(
            state=GenerationState.WAITING, attempt_count=F("attempt_count") - 1, lease_expires_at=None
        )
    notify(GENERATION_CHANNEL)


def cancel_generation(pk: int) -> bool:
    """Ask for the end of an answer; one that nobody writes yet ends at once. False when it had ended."""
    with transaction.atomic():
        waiting = Generation.objects.filter(pk=pk, state=GenerationState.WAITING)
        if waiting.update(state=GenerationState.CANCELLED, is_unwanted=True, finished_at=timezone.now()):
            count_generations([pk])
            return True
    if Generation.objects.filter(pk=pk, state=GenerationState.RUNNING).update(is_unwanted=True):
        notify(GENERATION_CHANNEL, f"cancel {pk}")
        return True
    return False


def forget_texts(pk: int) -> None:
    """Blank prompts and answers of a finished row that was not to be stored."""
    _forget(Generation.objects.filter(pk=pk))


def expire_unread(*, now: datetime | None = None) -> dict[str, int]:
    """The same for rows that ended a while ago and whose caller never came back for them."""
    before = (now or timezone.now()) - UNREAD
    return {"unread_answers": _forget(Generation.objects.filter(finished_at__lt=before))}


def _forget(rows: QuerySet[Generation]) -> int:
    theirs = rows.filter(is_stored=False).exclude(state__in=OPEN).exclude(messages=[], prompts=[], answers=[])
    theirs = theirs.exclude(batch_item__state=ItemState.RUNNING)  # whose batch will read it, however late
    theirs = theirs.filter(row_at_work=None)
    return theirs.update(messages=[], prompts=[], answers=[], metadata={}, end_user="")
