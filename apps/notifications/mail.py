"""The mail channel: a notice as a plain text mail in the person's language."""

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from apps.notifications.models import Delivery, Notice
from core.language import in_language_of

CONSOLE = "django.core.mail.backends.console.EmailBackend"


def mail_configured() -> bool:
    """Whether mails go anywhere; without an SMTP server notices stay in the dashboard."""
    return bool(settings.EMAIL_BACKEND != CONSOLE)


def notice_url(notice: Notice) -> str:
    """The full address of the page a notice speaks of."""
    return f"{settings.SITE_URL.rstrip('/')}/w/{notice.workspace.slug}/{notice.page.lstrip('/')}"


def message(delivery: Delivery) -> EmailMessage:
    """The mail of a delivery; the Message-ID is the same at every attempt, so a mail that went out twice shows once."""
    notice = delivery.notice
    with in_language_of(notice.user):
        body = render_to_string(
            "notifications/mail/notice.txt",
            {"notice": notice, "url": notice_url(notice), "settings_url": f"{settings.SITE_URL.rstrip('/')}/profile"},
        )
        subject = " ".join(str(notice.title).split())
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip(">") or "localhost"
    return EmailMessage(
        subject=f"[Lingxi] {subject}",
        body=body,
        to=[delivery.address],
        headers={
            "Message-ID": f"<notice-{notice.pk}.delivery-{delivery.pk}@{domain}>",
            "Auto-Submitted": "auto-generated",
        },
    )
