"""Texts of requests that are not kept any longer; the rows and their counts stay."""

from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts.models import Workspace
from apps.inference.models import Deployment, Generation, GuardDecision, ItemState, OnlineRequest, OnlineState
from apps.inference.services.generations import OPEN, UNREAD


def expire_texts(*, now: datetime | None = None) -> dict[str, int]:
    """Blank texts that are older than their deployment keeps them, and answers to keep nowhere that nobody came for."""
    now = now or timezone.now()
    done = {"generation_texts": 0, "online_texts": _blank_online(_unread(now))}
    for deployment in Deployment.objects.exclude(retention_days=None).order_by("id"):
        before = now - max(timedelta(days=deployment.retention_days or 0), UNREAD)
        written = Generation.objects.filter(deployment=deployment, finished_at__lt=before, is_stored=True)
        written = written.exclude(batch_item__state=ItemState.RUNNING)  # whose batch will read it
        done["generation_texts"] += written.exclude(state__in=OPEN).update(
            messages=[], prompts=[], answers=[], metadata={}, end_user="", is_stored=False
        )
        asked = OnlineRequest.objects.filter(deployment=deployment, answered_at__lt=before, is_stored=True)
        done["online_texts"] += _blank_online(asked)
    return done


def expire_decisions(*, now: datetime | None = None) -> dict[str, int]:
    """Forget what guards decided when the workspace's audit trail of that day goes."""
    now, count = now or timezone.now(), 0
    for pk, days in Workspace.objects.exclude(audit_retention_days=None).values_list("pk", "audit_retention_days"):
        old = GuardDecision.objects.filter(workspace_id=pk, created_at__lt=now - timedelta(days=days or 0))
        count += old.delete()[0]
    return {"guard_decisions": count}


def _unread(now: datetime) -> QuerySet[OnlineRequest]:
    rows = OnlineRequest.objects.filter(answered_at__lt=now - UNREAD, is_stored=False)
    return rows.exclude(texts=[], results=[])


def _blank_online(rows: QuerySet[OnlineRequest]) -> int:
    ended = rows.exclude(state=OnlineState.WAITING)
    return ended.update(texts=[], results=[], is_stored=False)
