"""Who acts, in which workspace, and what they may: permission and fetch in one place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils.module_loading import import_string

from core.limits import Limits

M = TypeVar("M", bound=models.Model)


@dataclass(frozen=True)
class Actor:
    """Someone acting in one workspace, by session or by API key.

    `permissions` are names such as "datasets.write"; the role table in accounts grants them.
    """

    workspace: Any
    user: Any
    permissions: frozenset[str]
    role: str = ""
    key: Any = None
    ip: str | None = None
    limits: Limits | None = None  # of the key
    extra: dict[str, Any] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"key {self.key}" if self.key is not None else str(self.user)

    def may(self, permission: str) -> bool:
        """Whether the actor holds `permission`."""
        return permission in self.permissions


def require(actor: Actor, permission: str) -> None:
    """Raise PermissionDenied (403) unless the actor holds `permission`."""
    if not actor.may(permission):
        raise PermissionDenied(permission)


def rows_of(actor: Actor, source: type[M] | models.QuerySet[M], within: str = "workspace") -> models.QuerySet[M]:
    """The rows of the actor's workspace that the actor may see; every list and every single row comes through here.

    A model whose rows are not open to the whole workspace has `seen_by(actor)`: the rows of it that the actor may see, None for
    all. It holds for its own rows and for those below it, to whom it is on the path `within`.
    """
    rows = source._default_manager.all() if isinstance(source, type) else source
    rows = rows.filter(**{within: actor.workspace})
    for path, model in _on_the_way(rows.model, within):
        seen = model.seen_by(actor) if hasattr(model, "seen_by") else None
        if seen is not None:
            rows = rows.filter(**{f"{path}__in": seen})
    return rows


def _on_the_way(model: Any, within: str) -> Iterator[tuple[str, Any]]:
    """("pk", the model itself), then each model on the path with the path to it."""
    yield "pk", model
    steps = within.split("__")
    for count, step in enumerate(steps[:-1], 1):
        model = model._meta.get_field(step).related_model
        yield "__".join(steps[:count]), model


def fetch(
    actor: Actor,
    source: type[M] | models.QuerySet[M],
    permission: str,
    *,
    within: str = "workspace",
    **lookup: Any,
) -> M:
    """The one row of the actor's workspace that `lookup` names.

    A row of another workspace, or one that the actor may not see, is a 404, so that ids tell nothing; a row of one's own
    without the permission is a 403. `within` is the path to the workspace, e.g. "dataset__workspace".
    """
    try:
        row = rows_of(actor, source, within).get(**lookup)
    except (ObjectDoesNotExist, ValueError, OverflowError) as error:
        raise Http404 from error
    require(actor, permission)
    return row


class PageRequest(HttpRequest):
    """A request to a page of a workspace."""

    actor: Actor
    htmx: Any


View = Callable[..., HttpResponseBase]


def page(permission: str) -> Callable[[View], View]:
    """Decorate a view below /w/<workspace>/: log in, resolve the actor, check the permission.

    People who are not members get a 404. The view receives a PageRequest and no `workspace` argument.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapped(request: PageRequest, workspace: str, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
            request.actor = import_string(settings.ACTOR_FOR_PAGE)(request, workspace)
            require(request.actor, permission)
            return view(request, **kwargs)

        wrapped.permission = permission  # type: ignore[attr-defined]
        return wrapped

    return decorate
