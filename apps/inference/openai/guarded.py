"""Prompts on their way in: looked at by the guards before they are committed, waiting for a classifier without a thread."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from asgiref.sync import sync_to_async
from django.http import HttpResponse, HttpResponseBase, JsonResponse

from apps.inference import services
from apps.inference.models import Deployment, OnlineRequest
from apps.inference.openai.doors import Committed
from apps.inference.services.guarding import PATIENCE, Guarded, Screening
from core.access import Actor
from core.api.throttle import give_back
from core.errors import Refused
from core.events import hub
from core.openai.errors import whole
from core.openai.shape import error_body
from core.streaming import releasing
from words import spoken

LOOK_SECONDS = 0.25
Commit = Callable[[Guarded | None], Committed]
"""Commits what the guards let through; None where nothing guards."""


def guarded(
    actor: Actor,
    deployment: Deployment | None,
    texts: Sequence[str],
    commit: Commit,
    *,
    trusted: Collection[int] = (),
) -> Committed:
    """Commit at once where nothing guards, after the guards otherwise; `trusted` texts give orders by right."""
    policy = services.policy_for(actor, deployment)
    if policy is None:
        return commit(None)
    screening = services.screen(actor, policy, texts, trusted=trusted)
    if screening.question is None:
        return commit(services.screened(actor, screening, None))
    return Committed(partial(_after_classifier, actor, screening, commit))


async def answered(question: OnlineRequest | None) -> OnlineRequest | None:
    """The answered question; None when there is none or nobody answers in time."""
    if question is None:
        return None
    looks = int(PATIENCE.total_seconds() / LOOK_SECONDS)
    async for _event in hub().follow(f"online:{question.pk}", patience=LOOK_SECONDS):
        row = await sync_to_async(releasing(services.answer_to))(question.pk)
        looks -= 1
        if row is not None:
            return row
        if not looks:
            return None
    raise AssertionError("following never ends by itself")


async def _after_classifier(actor: Actor, screening: Screening, commit: Commit) -> HttpResponseBase:
    row = await answered(screening.question)
    found = await sync_to_async(releasing(_enter))(actor, screening, row, commit)
    return await found.answer() if isinstance(found, Committed) else found


def _enter(actor: Actor, screening: Screening, row: OnlineRequest | None, commit: Commit) -> HttpResponse:
    try:
        return commit(services.screened(actor, screening, row))
    except Refused as refused:
        return refusal(refused)
    finally:
        give_back(actor)


def refusal(refused: Refused) -> JsonResponse:
    """A refusal in OpenAI's shape, outside the frame of a view."""
    status = 400 if refused.status == 422 else refused.status
    field = refused.problems[0].field
    return JsonResponse(error_body(status, spoken(whole(refused)), code=refused.code, param=field), status=status)
