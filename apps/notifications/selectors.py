"""What pages and API read about notices, receivers and deliveries."""

from typing import Any

from django.conf import settings
from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from apps.accounts.models import User
from apps.notifications.models import Delivery, Dispatch, Notice, Receiver
from core.access import Actor

COUNT_LIMIT = 99
MENU_SIZE = 8
CONSOLE = "django.core.mail.backends.console.EmailBackend"


def mail_configured() -> bool:
    """Whether mails go anywhere; without an SMTP server notices stay in the dashboard."""
    return bool(settings.EMAIL_BACKEND != CONSOLE)


def notices(actor: Actor) -> QuerySet[Notice]:
    """The actor's own notices in this workspace, newest first."""
    return Notice.objects.filter(user=actor.user, workspace=actor.workspace).order_by("-id")


def unread_count(actor: Actor) -> int:
    """How many are unread, counted up to 100 so that the bell costs the same for everybody."""
    return notices(actor).filter(read_at=None).order_by()[: COUNT_LIMIT + 1].count()


def bounded(count: int) -> str:
    """The count as the bell shows it: 0 to 99, then "99+"."""
    return f"{COUNT_LIMIT}+" if count > COUNT_LIMIT else str(count)


def menu(actor: Actor) -> dict[str, Any]:
    """What the bell shows: the newest notices and the bounded count."""
    count = unread_count(actor)
    rows = list(notices(actor)[:MENU_SIZE])
    return {"notices": rows, "unread_count": count, "unread_label": bounded(count)}


def due_delivery_ids(limit: int = 100) -> list[int]:
    """Deliveries whose time has come, also those whose sender died."""
    due = Delivery.objects.filter(state__in=["waiting", "sending"], next_try_at__lte=timezone.now())
    return list(due.order_by("next_try_at").values_list("pk", flat=True)[:limit])


def receivers_of(workspace: Any) -> QuerySet[Receiver]:
    """Receivers by name, each with its last message and how many deliveries failed or still wait."""
    deliveries = "dispatches__deliveries"
    rows = Receiver.objects.filter(workspace=workspace).annotate(
        last_at=Max("dispatches__created_at"),
        failed_count=Count(deliveries, filter=Q(**{f"{deliveries}__state": "failed"})),
        waiting_count=Count(deliveries, filter=Q(**{f"{deliveries}__state__in": ["waiting", "sending"]})),
    )
    return rows.prefetch_related("people").order_by("name", "id")


def deliveries_of(receiver: Receiver) -> QuerySet[Delivery]:
    """What was sent to a receiver, newest first."""
    return Delivery.objects.filter(dispatch__receiver=receiver).select_related("dispatch").order_by("-id")


def kinds_of(receiver: Receiver) -> list[str]:
    """Kinds of messages that it was sent."""
    return sorted(Dispatch.objects.filter(receiver=receiver).values_list("kind", flat=True).distinct())


def people_of(workspace: Any) -> QuerySet[User]:
    """Members of a workspace who can be told something."""
    return User.objects.filter(memberships__workspace=workspace, is_active=True).order_by("email")
