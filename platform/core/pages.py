"""What every page's frame needs, and small helpers for pages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.urls import reverse

from core.access import Actor
from core.errors import Refused
from core.navigation import navigation, place_of

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "lingxi_theme"


def frame(request: HttpRequest) -> dict[str, Any]:
    """Context of the frame: the actor (None outside a workspace), where we are, theme and languages."""
    actor: Actor | None = getattr(request, "actor", None)
    user: Any = getattr(request, "user", None)
    known = user is not None and user.is_authenticated
    return {
        "actor": actor,
        "workspace": actor.workspace if actor else None,
        "memberships": user.memberships.select_related("workspace").order_by("workspace__name") if known else [],
        "navigation": navigation(actor) if actor else [],
        "place": place_of(request),
        "theme": theme_of(request),
        "languages": settings.LANGUAGES,
        "oidc_name": settings.OIDC_NAME,
    }


def theme_of(request: HttpRequest) -> str:
    """auto, light or dark: what this browser chose last, else the person's setting."""
    wanted = request.COOKIES.get(THEME_COOKIE) or getattr(getattr(request, "user", None), "theme", "")
    return wanted if wanted in THEMES else "auto"


def is_filtered(request: HttpRequest, filters: Any) -> bool:
    """Whether the address names a filter of the list."""
    return any(request.GET.get(name) for name in filters.filters)


def show_refusal(form: Any, refused: Refused, field_of: Callable[[str], str] = str) -> None:
    """Put each problem beside the field it names; `field_of` leads from the name of a problem to that of a field."""
    for problem in refused.problems:
        name = field_of(problem.field)
        form.add_error(name if name in form.fields else None, f"{problem.message} {problem.hint}".strip())


def workspace_url(actor: Actor, name: str, **kwargs: Any) -> str:
    """The address of a page in the actor's workspace."""
    return reverse(name, kwargs={"workspace": actor.workspace.slug, **kwargs})


@dataclass(frozen=True)
class KeysetPage:
    """One page of rows newest first, with cursors for the links before and after it."""

    rows: list[Any]
    next_cursor: str
    previous_cursor: str

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def keyset(request: HttpRequest, rows: QuerySet[Any], *, size: int = 50) -> KeysetPage:
    """The page of `rows` (by descending id) that ?before=<id> or ?after=<id> names; no count, no offset.

    A cursor that is no number is a 404.
    """
    before, after = request.GET.get("before", ""), request.GET.get("after", "")
    try:
        if after:
            found = list(rows.filter(pk__gt=int(after)).order_by("pk")[: size + 1])[::-1]
            more_before, found = len(found) > size, found[-size:]
            more_after = True
        else:
            window = rows.filter(pk__lt=int(before)) if before else rows
            found = list(window.order_by("-pk")[: size + 1])
            more_after, found = len(found) > size, found[:size]
            more_before = bool(before)
    except ValueError as error:
        raise Http404 from error
    return KeysetPage(
        rows=found,
        next_cursor=f"before={found[-1].pk}" if found and more_after else "",
        previous_cursor=f"after={found[0].pk}" if found and more_before else "",
    )
