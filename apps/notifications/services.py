"""Tell people what happened: a notice in the dashboard, and a mail that is tried until it arrives."""

import logging
import smtplib
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.accounts.models import Membership, User
from apps.notifications import mail
from apps.notifications.models import MAX_ATTEMPTS, SENDER_DEAD_AFTER, Channel, Delivery, Notice, pause_after
from apps.notifications.selectors import due_delivery_ids, notices
from core.access import Actor
from core.jobs.models import Job, JobLog, JobTransition, Stop
from core.jobs.states import State
from core.queue import Task, enqueue
from words import join, say

logger = logging.getLogger(__name__)

DELIVER = Task("workers.deliver", "io")
READ_KEPT = timedelta(days=90)
UNREAD_KEPT = timedelta(days=365)


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
    if user.mail_notices and mail.mail_configured():
        delivery = Delivery.objects.create(notice=notice, channel=Channel.MAIL, address=user.email)
        enqueue(DELIVER, delivery.pk)
    return notice


def deliver(*, delivery_id: int) -> Delivery | None:
    """Try one delivery; None when there is nothing to do (sent, not due, or in another worker's hands)."""
    now = timezone.now()
    due = Delivery.objects.filter(pk=delivery_id, state__in=["waiting", "sending"], next_try_at__lte=now)
    if not due.update(
        state=Delivery.State.SENDING, attempt_count=F("attempt_count") + 1, next_try_at=now + SENDER_DEAD_AFTER
    ):
        return None
    delivery = Delivery.objects.select_related("notice__user", "notice__workspace").get(pk=delivery_id)
    if delivery.attempt_count > MAX_ATTEMPTS:  # the last sender died without an answer
        return _move(delivery, state=Delivery.State.FAILED)
    try:
        mail.message(delivery).send()
    except (smtplib.SMTPException, OSError) as error:
        return _failed(delivery, error)
    return _move(delivery, state=Delivery.State.SENT, sent_at=timezone.now(), last_error="")


def deliver_due() -> list[int]:
    """Wake workers for deliveries whose time has come; returns their ids."""
    ids = due_delivery_ids()
    for pk in ids:
        enqueue(DELIVER, pk)
    return ids


def _failed(delivery: Delivery, error: Exception) -> Delivery:
    """Wait longer each time; give up at once where trying again cannot help."""
    logger.warning("delivery %s, attempt %s: %s", delivery.pk, delivery.attempt_count, error)
    text = f"{type(error).__name__}: {error}"[:2000]
    if delivery.attempt_count >= MAX_ATTEMPTS or _is_final(error):
        return _move(delivery, state=Delivery.State.FAILED, last_error=text)
    again = timezone.now() + pause_after(delivery.attempt_count)
    return _move(delivery, state=Delivery.State.WAITING, last_error=text, next_try_at=again)


def _is_final(error: Exception) -> bool:
    """A 5xx answer to the recipient or the message stays a 5xx; log-in and network troubles get repaired."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _text in error.recipients.values())
    return isinstance(error, smtplib.SMTPDataError | smtplib.SMTPSenderRefused) and error.smtp_code >= 500


def _move(delivery: Delivery, **columns: Any) -> Delivery:
    for name, value in columns.items():
        setattr(delivery, name, value)
    Delivery.objects.filter(pk=delivery.pk, attempt_count=delivery.attempt_count).update(**columns)
    return delivery


def mark_read(*, actor: Actor, notice: Notice) -> Notice:
    """Read once; a second time changes nothing."""
    Notice.objects.filter(pk=notice.pk, read_at=None).update(read_at=timezone.now())
    notice.refresh_from_db()
    return notice


def mark_all_read(*, actor: Actor) -> int:
    """Everything of the actor in this workspace; returns how many were unread."""
    return notices(actor).filter(read_at=None).update(read_at=timezone.now())


def apply_retention() -> int:
    """Notices go 90 days after they were read, and after a year in any case; returns how many went."""
    now = timezone.now()
    due = Notice.objects.filter(Q(read_at__lt=now - READ_KEPT) | Q(created_at__lt=now - UNREAD_KEPT))
    return due.delete()[1].get(Notice._meta.label, 0)
