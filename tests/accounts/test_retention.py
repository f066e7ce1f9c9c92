"""Retention: what is due goes, what is needed stays."""

from datetime import timedelta
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from apps.accounts.models import AuditEntry, Invitation, Workspace
from apps.accounts.services import apply_retention, invite
from core.api.idempotency import IdempotencyKey
from core.jobs import services as jobs
from core.jobs.models import Job, JobLog
from workers.tasks import clean_up


def days_ago(days: float) -> Any:
    return timezone.now() - timedelta(days=days)


def test_audit_entries_go_only_where_a_period_is_set(workspace: Any, stranger: Any) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(audit_retention_days=30)
    for place in (workspace, stranger.workspace):
        for age in (10, 50):
            AuditEntry.objects.create(workspace_id=place.pk, actor="a", action=f"old.{age}", at=days_ago(age))

    apply_retention()

    left = AuditEntry.objects.filter(action__startswith="old.").values_list("workspace_id", "action")
    assert set(left) == {
        (workspace.pk, "old.10"),
        (stranger.workspace.pk, "old.10"),
        (stranger.workspace.pk, "old.50"),
    }


def test_old_ended_jobs_go_and_running_or_young_ones_stay(workspace: Any) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(job_retention_days=30)
    old, young, waiting = (
        jobs.create(kind="test", workspace=workspace, queue="io", title=name) for name in ("old", "young", "waiting")
    )
    Job.objects.filter(pk=old.pk).update(state="succeeded", finished_at=days_ago(31))
    Job.objects.filter(pk=young.pk).update(state="succeeded", finished_at=days_ago(29))
    Job.objects.filter(pk=waiting.pk).update(created_at=days_ago(100))
    JobLog.objects.create(job=old, message="line")

    apply_retention()

    assert set(Job.objects.values_list("title", flat=True)) == {"young", "waiting"}


def test_links_keys_and_sessions_past_their_time_go(workspace: Any, actor: Any, alice: Any) -> None:
    for name, columns in {
        "open": {},
        "lately accepted": {"accepted_at": days_ago(3)},
        "long expired": {"expires_at": days_ago(40)},
        "long revoked": {"revoked_at": days_ago(40)},
    }.items():
        invitation, _token = invite(actor=actor, role="viewer", email=f"{name.replace(' ', '.')}@example.org")
        Invitation.objects.filter(pk=invitation.pk).update(**columns)
    IdempotencyKey.objects.create(workspace=workspace, key="old", fingerprint="f", created_at=days_ago(2.1))
    IdempotencyKey.objects.create(workspace=workspace, key="new", fingerprint="f", created_at=days_ago(1.9))
    client = Client()
    client.post("/login", {"login": alice.email, "password": "correct horse battery"})
    Session.objects.update(expire_date=days_ago(1))

    clean_up()

    left = {invitation.email.split("@")[0] for invitation in Invitation.objects.all()}
    assert left == {"open", "lately.accepted"}
    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["new"]
    assert not Session.objects.exists() and not UserSession.objects.exists()


def test_running_twice_changes_nothing_more(workspace: Any) -> None:
    apply_retention()

    assert set(apply_retention().values()) == {0}
