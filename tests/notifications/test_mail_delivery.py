"""Mails about notices over a real SMTP dialogue: sent once, tried again, given up, in the person's language."""

from datetime import timedelta
from email.message import Message
from typing import Any

from django.utils import timezone

from apps.accounts.models import User
from apps.notifications.models import MAX_ATTEMPTS, Delivery, Notice
from apps.notifications.models.deliveries import pause_after
from apps.notifications.services import deliver, deliver_due, notify
from tests.fixtures.outside import SmtpServer
from workers import tasks


def tell(actor: Any, **columns: Any) -> Delivery:
    notice = notify(
        workspace=actor.workspace,
        user=User.objects.get(pk=actor.user.pk),
        kind="job.failed",
        event_key="e1",
        title=columns.pop("title", "Failed: Import"),
        body="The file is empty.",
        page="datasets/3",
    )
    assert notice is not None
    return Delivery.objects.get(notice=notice)


def text_of(message: Message) -> str:
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def again(delivery: Delivery) -> Delivery:
    """Let the pause pass, then try."""
    Delivery.objects.filter(pk=delivery.pk).update(next_try_at=timezone.now())
    deliver(delivery_id=delivery.pk)
    delivery.refresh_from_db()
    return delivery


def test_a_mail_arrives_with_the_words_and_the_link(actor: Any, smtp: SmtpServer, settings: Any) -> None:
    settings.SITE_URL = "https://nlp.example.org/"
    delivery = tell(actor)

    tasks.deliver(delivery.pk)

    (message,) = smtp.mails
    delivery.refresh_from_db()
    assert delivery.state == "sent" and delivery.sent_at is not None
    assert message["To"] == "alice@example.org" and message["Subject"] == "[Lingxi] Failed: Import"
    assert "The file is empty." in text_of(message)
    assert "https://nlp.example.org/w/harbour/datasets/3" in text_of(message)
    assert "https://nlp.example.org/profile" in text_of(message)


def test_a_message_that_arrives_twice_sends_one_mail(actor: Any, smtp: SmtpServer) -> None:
    delivery = tell(actor)

    tasks.deliver(delivery.pk)
    tasks.deliver(delivery.pk)

    assert len(smtp.mails) == 1


def test_the_mail_speaks_the_persons_language(actor: Any, smtp: SmtpServer) -> None:
    User.objects.filter(pk=actor.user.pk).update(language="zh-hans")

    tasks.deliver(tell(actor).pk)

    assert "您启动的任务" in text_of(smtp.mails[0])


def test_who_wants_no_mail_gets_only_the_notice(actor: Any, smtp: SmtpServer) -> None:
    User.objects.filter(pk=actor.user.pk).update(mail_notices=False)

    notify(workspace=actor.workspace, user=User.objects.get(pk=actor.user.pk), kind="k", event_key="e", title="t")

    assert Notice.objects.count() == 1 and not Delivery.objects.exists()


def test_without_a_mail_server_notices_stay_in_the_dashboard(actor: Any, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

    notify(workspace=actor.workspace, user=actor.user, kind="k", event_key="e", title="t")

    assert Notice.objects.count() == 1 and not Delivery.objects.exists()


def test_a_trouble_that_passes_is_tried_again_after_growing_pauses(actor: Any, smtp: SmtpServer) -> None:
    smtp.answers["RCPT"] = "451 come back later"
    delivery, pauses = tell(actor), []
    for _attempt in range(2):
        before = timezone.now()
        again(delivery)
        pauses.append(delivery.next_try_at - before)
        assert delivery.state == "waiting" and "451" in delivery.last_error
    assert deliver(delivery_id=delivery.pk) is None  # not due yet

    smtp.answers.clear()
    again(delivery)

    assert delivery.state == "sent" and delivery.attempt_count == 3 and len(smtp.mails) == 1
    assert (
        timedelta(0)
        <= pauses[0] - pause_after(1)
        < timedelta(minutes=1)
        <= pauses[1] - pauses[0] + timedelta(seconds=30)
    )


def test_it_gives_up_after_eight_attempts_and_keeps_the_reason(actor: Any, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = "127.0.0.1", 1, False
    delivery = tell(actor)

    for _attempt in range(MAX_ATTEMPTS + 2):
        again(delivery)

    assert delivery.state == "failed" and delivery.attempt_count == MAX_ATTEMPTS
    assert "refused" in delivery.last_error.lower()


def test_a_refused_recipient_is_not_tried_again(actor: Any, smtp: SmtpServer) -> None:
    smtp.answers["RCPT"] = "550 no such person"

    delivery = again(tell(actor))

    assert delivery.state == "failed" and delivery.attempt_count == 1
    assert delivery.last_error == f"{actor.user.email}: 550 no such person"


def test_the_sweeper_finds_due_deliveries_and_those_of_dead_senders(actor: Any, smtp: SmtpServer) -> None:
    delivery = tell(actor)
    assert deliver_due() == [delivery.pk]
    Delivery.objects.update(state="sending", attempt_count=1, next_try_at=timezone.now() + timedelta(minutes=5))
    assert deliver_due() == []
    Delivery.objects.update(next_try_at=timezone.now())

    assert deliver_due() == [delivery.pk]
    deliver(delivery_id=delivery.pk)
    assert len(smtp.mails) == 1


def test_a_title_cannot_smuggle_headers(actor: Any, smtp: SmtpServer) -> None:
    again(tell(actor, title="Failed: x\r\nBcc: eve@example.org"))

    (message,) = smtp.mails
    assert message["Bcc"] is None and "Bcc" in message["Subject"]


def test_two_attempts_carry_one_message_id(actor: Any, smtp: SmtpServer) -> None:
    delivery = again(tell(actor))
    Delivery.objects.update(state="waiting")
    again(delivery)

    assert len(smtp.mails) == 2 and smtp.mails[0]["Message-ID"] == smtp.mails[1]["Message-ID"]
