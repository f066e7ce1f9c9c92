"""What pages and API read about notices."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from apps.notifications.models import Delivery, Notice
from core.access import Actor

COUNT_LIMIT = 99
MENU_SIZE = 8


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
