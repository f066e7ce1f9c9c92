"""Mail: notices to a person in their language, and messages to a receiver in its."""

import smtplib

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation

from apps.notifications.channels.outcome import NotDelivered, Outcome
from apps.notifications.models import Delivery, Dispatch, Notice
from apps.notifications.selectors import mail_configured
from apps.notifications.wording import worded
from core.language import in_language_of
from words import say


def bring(delivery: Delivery) -> Outcome:
    """Send it; SMTP has no answer worth keeping."""
    if not mail_configured():
        raise NotDelivered(say("This installation has no mail server (LINGXI_SMTP_HOST)."), is_final=True)
    try:
        message(delivery).send()
    except (smtplib.SMTPException, OSError) as error:
        raise NotDelivered(_reason(error), is_final=_is_final(error), status=_code(error)) from error
    return Outcome(250)


def _reason(error: Exception) -> str:
    """What the server said, as it said it; else what went wrong."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        said = [f"{whom}: {code} {_read(text)}" for whom, (code, text) in error.recipients.items()]
        return "; ".join(said)[:2_000]
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_read(error.smtp_error)}"[:2_000]
    return f"{type(error).__name__}: {error}"[:2_000]


def _read(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _is_final(error: Exception) -> bool:
    """A 5xx answer to the recipient or the message stays a 5xx; log-in and network troubles get repaired."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _text in error.recipients.values())
    return isinstance(error, smtplib.SMTPDataError | smtplib.SMTPSenderRefused) and error.smtp_code >= 500


def _code(error: Exception) -> int | None:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return next((code for code, _text in error.recipients.values()), None)
    code = getattr(error, "smtp_code", None)
    return code if isinstance(code, int) and 0 < code < 1_000 else None


def message(delivery: Delivery) -> EmailMessage:
    """The mail of a delivery; the Message-ID is the same at every attempt, so a mail that went out twice shows once."""
    if delivery.notice is not None:
        return _of_notice(delivery, delivery.notice)
    assert delivery.dispatch is not None
    return _of_dispatch(delivery, delivery.dispatch)


def _of_notice(delivery: Delivery, notice: Notice) -> EmailMessage:
    with in_language_of(notice.user):
        body = render_to_string(
            "notifications/mail/notice.txt",
            {"notice": notice, "url": notice_url(notice), "settings_url": f"{settings.SITE_URL.rstrip('/')}/profile"},
        )
        subject = " ".join(str(notice.title).split())
    return EmailMessage(
        subject=f"[Lingxi] {subject}",
        body=body,
        to=[delivery.address],
        headers=_headers(f"notice-{notice.pk}.delivery-{delivery.pk}"),
    )


def _of_dispatch(delivery: Delivery, dispatch: Dispatch) -> EmailMessage:
    receiver = dispatch.receiver
    words = worded(dispatch, receiver)
    with translation.override(receiver.language):
        html = dispatch.content.get("html") or render_to_string(
            "notifications/mail/message.html", {"words": words, "dispatch": dispatch, "receiver": receiver}
        )
    mail = EmailMultiAlternatives(
        subject=words.subject,
        body=words.body,
        to=[delivery.address],
        headers=_headers(f"message-{dispatch.pk}.delivery-{delivery.pk}"),
    )
    mail.attach_alternative(html, "text/html")
    for file in dispatch.attachments.all():
        mail.attach(file.name, bytes(file.content), file.content_type)
    return mail


def _headers(identity: str) -> dict[str, str]:
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip(">") or "localhost"
    return {"Message-ID": f"<{identity}@{domain}>", "Auto-Submitted": "auto-generated"}


def notice_url(notice: Notice) -> str:
    """The full address of the page a notice speaks of."""
    return f"{settings.SITE_URL.rstrip('/')}/w/{notice.workspace.slug}/{notice.page.lstrip('/')}"
