"""Reading of saved views."""

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Lower

from apps.sentiment.models import Monitor, OpeningView, SavedView
from core.access import Actor, rows_of


def views_of(actor: Actor, monitor: Monitor) -> QuerySet[Any]:
    """Views of a monitor that the actor may see, by name, with their owners; `is_opening`: the actor's page opens with it."""
    opening = OpeningView.objects.filter(view=OuterRef("pk"), member__user=actor.user)
    rows = rows_of(actor, SavedView.objects.filter(monitor=monitor), "monitor__workspace")
    return (
        rows.select_related("owner__user", "monitor").annotate(is_opening=Exists(opening)).order_by(Lower("name"), "id")
    )


def is_opening(actor: Actor, view: SavedView) -> bool:
    """Whether the actor's page opens with a view."""
    return OpeningView.objects.filter(view=view, member__user=actor.user).exists()
