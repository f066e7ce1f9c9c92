"""What was used: counted in the transaction that ends a request, so that each counts once; and what is left of quotas."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Sum
from django.utils import timezone

from apps.inference.models import ApiBatch, BatchJob, Generation, OnlineRequest, Usage, UsageKind
from core import limits
from core.access import Actor
from core.errors import Refused
from words import say

COUNT = """
    INSERT INTO inference_usage AS usage (
        workspace_id, day, key_id, key_name, version_id, version_name, kind,
        requests, errors, prompt_tokens, cached_tokens, answer_tokens, seconds
    )
    SELECT row.workspace_id, (now() AT TIME ZONE 'UTC')::date, COALESCE(row.api_key_id, 0), COALESCE(min(key.name), ''),
           row.model_version_id, left(min(family.name) || ':' || min(version.number), 160),
           CASE WHEN row.arm = 'shadow' THEN 'shadow' {kinds} ELSE 'request' END,
           count(*), count(*) FILTER (WHERE row.state = 'failed'), {sums}
    FROM {table} row
    JOIN registry_modelversion version ON version.id = row.model_version_id
    JOIN registry_modelfamily family ON family.id = version.family_id
    LEFT JOIN accounts_apikey key ON key.id = row.api_key_id
    WHERE row.id = ANY(%s)
    GROUP BY row.workspace_id, row.api_key_id, row.model_version_id, 7
    ON CONFLICT (workspace_id, day, key_id, version_id, kind) DO UPDATE SET
        key_name = excluded.key_name,
        version_name = excluded.version_name,
        requests = usage.requests + excluded.requests,
        errors = usage.errors + excluded.errors,
        prompt_tokens = usage.prompt_tokens + excluded.prompt_tokens,
        cached_tokens = usage.cached_tokens + excluded.cached_tokens,
        answer_tokens = usage.answer_tokens + excluded.answer_tokens,
        seconds = usage.seconds + excluded.seconds
"""
COUNT_GENERATIONS = COUNT.format(
    table="inference_generation",
    kinds="""WHEN EXISTS (SELECT 1 FROM inference_rowatwork work WHERE work.generation_id = row.id) THEN 'prediction'""",
    sums="""sum(row.prompt_tokens), sum(row.cached_tokens), sum(row.answer_tokens),
            COALESCE(sum(EXTRACT(EPOCH FROM row.finished_at - row.started_at)), 0)""",
)
COUNT_ONLINE = COUNT.format(
    table="inference_onlinerequest",
    kinds="",
    sums="""sum(row.token_count), 0, sum(CASE jsonb_typeof(row.results->0->'tokens')
            WHEN 'number' THEN (row.results->0->>'tokens')::int ELSE 0 END),
            COALESCE(sum(EXTRACT(EPOCH FROM row.answered_at - row.claimed_at)), 0)""",
)


def count_generations(pks: Sequence[int]) -> None:
    """Count rows that this transaction ended, and give their places back after it.

    A shadow's are marked as such, and those that are written for a prediction batch.
    """
    _count(COUNT_GENERATIONS, pks)
    _settle(Generation.objects.filter(pk__in=pks), F("prompt_tokens") + F("answer_tokens"))


def count_online(pks: Sequence[int]) -> None:
    """The same for single requests."""
    _count(COUNT_ONLINE, pks)
    _settle(OnlineRequest.objects.filter(pk__in=pks), F("token_count"))


def count_items(batch: ApiBatch, *, requests: int, errors: int, tokens: int, seconds: float) -> None:
    """Count requests of a batch that went through an encoder, in the transaction that stores their results."""
    _add(batch, UsageKind.REQUEST, requests=requests, errors=errors, prompt_tokens=tokens, seconds=seconds)


def count_predictions(batch_job: BatchJob, *, requests: int, seconds: float) -> None:
    """Count rows of a prediction batch that an engine of their own has read, in the transaction that stores them.

    How many tokens were read is not known: the engine does not tell it of batches.
    """
    _add(batch_job, UsageKind.PREDICTION, requests=requests, seconds=seconds)


def _add(batch: ApiBatch | BatchJob, kind: UsageKind, **counts: float) -> None:
    assert batch.model_version is not None
    day, version = timezone.now().astimezone(UTC).date(), batch.model_version
    made, _is_new = Usage.objects.get_or_create(
        workspace_id=batch.workspace_id,
        day=day,
        key_id=batch.api_key_id or 0,
        version_id=version.pk,
        kind=kind,
        defaults={
            "key_name": batch.api_key.name if batch.api_key else "",
            "version_name": f"{version.family.name}:{version.number}"[:160],
        },
    )
    Usage.objects.filter(pk=made.pk).update(**{name: F(name) + count for name, count in counts.items()})


def _count(statement: str, pks: Sequence[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(pks)])


def _settle(rows: Any, tokens: Any) -> None:
    found = list(rows.exclude(slot="").values_list("slot", tokens))

    def settle() -> None:
        for slot, used in found:
            limits.settle(slot, used)

    if found:
        transaction.on_commit(settle)


def require_quota(actor: Actor) -> None:
    """Refused (429) when the workspace has used what it may in this calendar month (UTC).

    Requests at work are not counted before they end: a quota may be passed by what is at work when it is reached.
    """
    place = actor.workspace
    if place.requests_per_month is None and place.tokens_per_month is None:
        return
    month = Usage.objects.filter(workspace=place, kind=UsageKind.REQUEST, day__gte=timezone.now().date().replace(day=1))
    used = month.aggregate(requests=Sum("requests"), tokens=Sum(F("prompt_tokens") + F("answer_tokens")))
    for name, most in (("requests", place.requests_per_month), ("tokens", place.tokens_per_month)):
        if most is not None and (used[name] or 0) >= most:
            raise Refused(
                "insufficient_quota",
                say("This workspace has used its {most:,} {what} of this month.", most=most, what=WHAT[name]),
                status=429,
            )


WHAT = {"requests": say("requests"), "tokens": say("tokens")}
