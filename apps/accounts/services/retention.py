"""What is older than its retention period goes, hour by hour."""

from datetime import datetime, timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import connection, models, transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import AuditEntry, Invitation, Workspace
from apps.accounts.services.workspaces import DELETE_KIND, ERASED
from core.api.idempotency import IdempotencyKey
from core.jobs import services as jobs
from core.jobs.models import Job, JobAttempt, JobLog, JobTransition
from core.jobs.states import ENDED, State

IDEMPOTENCY_HOURS = 48
INVITATION_DAYS = 30
OWN_TABLES = (JobAttempt, JobLog, JobTransition)


def apply_retention() -> dict[str, int]:
    """Remove what is due; returns how many rows of each kind went. Safe to call at any time, also twice."""
    now = timezone.now()
    done = {
        "audit": sum(_trim_audit(pk, days, now) for pk, days in _audit_periods()),
        "jobs": sum(_trim_jobs(place, now) for place in Workspace.objects.exclude(job_retention_days=None)),
        "invitations": _trim_invitations(now),
        "idempotency_keys": _deleted(
            IdempotencyKey.objects.filter(created_at__lt=now - timedelta(hours=IDEMPOTENCY_HOURS))
        ),
        "sessions": _trim_sessions(now),
    }
    _retry_deletions()
    return done


def _audit_periods() -> list[tuple[int, int]]:
    """(workspace, days) wherever a period is set; a deleted workspace keeps the one it had."""
    standing = Workspace.objects.values_list("pk", "audit_retention_days")
    erased = AuditEntry.objects.filter(action=ERASED).exclude(workspace_id__in=Workspace.objects.values("pk"))
    found = [*standing, *erased.values_list("workspace_id", "detail__audit_retention_days")]
    return [(pk, days) for pk, days in found if pk is not None and days is not None]


def _trim_audit(workspace_id: int, days: int, now: datetime) -> int:
    limit = now - timedelta(days=days)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lingxi.retention = 'on'")
        return _deleted(AuditEntry.objects.filter(workspace_id=workspace_id, at__lt=limit))


def _trim_jobs(workspace: Workspace, now: datetime) -> int:
    """Old jobs go; one that made something still kept (a version, a model) stays, only its log lines go."""
    limit = now - timedelta(days=workspace.job_retention_days or 0)
    old = Job.objects.filter(workspace=workspace, state__in=ENDED, finished_at__lt=limit)
    JobLog.objects.filter(job__in=old).delete()
    needed = Q()
    for relation in Job._meta.related_objects:
        if relation.related_model not in OWN_TABLES:
            pointing = relation.related_model._base_manager.exclude(**{relation.field.name: None})
            needed |= Q(pk__in=pointing.values(relation.field.attname))
    return _deleted(old.exclude(needed) if needed else old)


def _trim_invitations(now: datetime) -> int:
    limit = now - timedelta(days=INVITATION_DAYS)
    ended = Q(expires_at__lt=limit) | Q(accepted_at__lt=limit) | Q(revoked_at__lt=limit)
    return _deleted(Invitation.objects.filter(ended))


def _trim_sessions(now: datetime) -> int:
    gone = _deleted(Session.objects.filter(expire_date__lt=now))
    UserSession.objects.exclude(session_key__in=Session.objects.values("session_key")).delete()
    return gone


def _retry_deletions() -> None:
    """A deletion that failed is tried again: nobody can enter the workspace to do it by hand."""
    for job in Job.objects.filter(kind=DELETE_KIND, state__in=[State.FAILED, State.CANCELLED]):
        jobs.retry(job=job, by=None)


def _deleted(rows: models.QuerySet[models.Model]) -> int:
    return sum(rows.delete()[1].get(label, 0) for label in [rows.model._meta.label])
