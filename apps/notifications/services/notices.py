"""Tell people what happened: a notice in the dashboard, and a mail when they want mails."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Membership, User
from apps.notifications.models import Channel, Delivery, Notice
from apps.notifications.selectors import mail_configured, notices
from apps.notifications.services.waking import wake
from core.access import Actor
from core.jobs.models import Job, JobLog, JobTransition, Stop
from core.jobs.states import State
from words import join, say


def job_ended(*, job: Job) -> Notice | None:
    """Tell the person who started a job how it ended; None when they need not be told.

    They are told when it failed, when somebody else cancelled it, or when it ran for some while. The
    call may arrive twice, too early, or after the job is gone.
    """
    fresh = Job.objects.select_related("workspace", "requested_by").filter(pk=job.pk).first()
    user = fresh.requested_by if fresh else None
    if fresh is None or user is None or not fresh.ended:
        return None
    if not _worth_telling(fresh, user) or not _may_see(user, fresh):
        return None
    title, body = _words(fresh)
    return notify(
        workspace=fresh.workspace,
        user=user,
        kind=f"job.{fresh.state}",
        event_key=f"job-{fresh.pk}-{fresh.lease_token}-{fresh.state}",
        title=title,
        body=body,
        page=fresh.page or f"jobs/{fresh.pk}",
    )


def _worth_telling(job: Job, user: Any) -> bool:
    if job.state == State.FAILED:
        return True
    if job.state == State.CANCELLED:
        return not _cancelled_by(job, user)
    return job.duration is not None and job.duration.total_seconds() >= settings.NOTICE_SECONDS


def _cancelled_by(job: Job, user: Any) -> bool:
    """Whether the person cancelled the job: while it waited (the move says so) or while it ran (the log does)."""
    last = JobTransition.objects.filter(job=job, to_state=State.CANCELLED).order_by("-id").first()
    if last is not None and last.by == str(user):
        return True
    asked = JobLog.objects.filter(job=job, detail__stop=Stop.CANCEL.value).order_by("-id")
    return asked.values_list("detail__by", flat=True).first() == str(user)


def _may_see(user: Any, job: Job) -> bool:
    """Notices go to members only; who left hears nothing more."""
    return user.is_active and Membership.objects.filter(user=user, workspace=job.workspace).exists()


def _words(job: Job) -> tuple[str, str]:
    """Title and body."""
    if job.state == State.FAILED:
        return say("Failed: {title}", title=job.title), join([job.error_message, job.error_hint], "\n")
    if job.state == State.CANCELLED:
        return say("Cancelled: {title}", title=job.title), say("Someone else cancelled this job.")
    return say("Done: {title}", title=job.title), ""


@transaction.atomic
def notify(
    *, workspace: Any, user: User, kind: str, event_key: str, title: str, body: str = "", page: str = ""
) -> Notice | None:
    """A notice, and a mail when the person wants mails; the second call for one event does nothing."""
    notice, made = Notice.objects.get_or_create(
        user=user,
        event_key=event_key,
        defaults={"workspace": workspace, "kind": kind, "title": title, "body": body, "page": page},
    )
    if not made:
        return None
    if user.mail_notices and mail_configured():
        delivery = Delivery.objects.create(notice=notice, channel=Channel.MAIL, address=user.email)
        wake(delivery.pk)
    return notice


def mark_read(*, actor: Actor, notice: Notice) -> Notice:
    """Read once; a second time changes nothing."""
    Notice.objects.filter(pk=notice.pk, read_at=None).update(read_at=timezone.now())
    notice.refresh_from_db()
    return notice


def mark_all_read(*, actor: Actor) -> int:
    """Everything of the actor in this workspace; returns how many were unread."""
    return notices(actor).filter(read_at=None).update(read_at=timezone.now())
