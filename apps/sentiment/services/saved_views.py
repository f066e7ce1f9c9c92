"""Saved views: kept, changed, shared and taken away by whoever may."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.http import Http404

from apps.accounts.models import Membership
from apps.accounts.services import audit
from apps.sentiment.models import Monitor, OpeningView, SavedView
from core.access import Actor, require, rows_of
from core.errors import Refused, conflict
from words import say

WRITE = "sentiment.write"
LONGEST_NAME = 100
MOST_OWN = 50  # of one person on a monitor
MOST_SHARED = 100  # on a monitor, of everybody
LONGEST_VALUE = 500  # characters of one filter


@transaction.atomic
def save_view(
    *,
    actor: Actor,
    monitor: Monitor,
    kind: str,
    name: str,
    filters: Mapping[str, Any],
    names: Mapping[str, str],
    is_shared: bool = False,
) -> SavedView:
    """Keep what a page of the monitor shows. `filters` and `names` are those of `forms_saved.Kept`: checked by the page's form."""
    owner = Membership.objects.select_for_update().get(user=actor.user, workspace=actor.workspace)  # one at a time
    if SavedView.objects.filter(monitor=monitor, owner=owner).count() >= MOST_OWN:
        said = say("You have {most} views of this monitor. Delete one first.", most=MOST_OWN)
        raise conflict("too_many_views", said)
    made = SavedView(monitor=monitor, owner=owner, kind=kind, is_shared=is_shared)
    _set(made, name, filters, names)
    if is_shared:
        _check_shared(monitor)
    _save(made)
    if is_shared:
        audit(actor=actor, action="saved_view.share", obj=made, after=_told(made))
    return made


@transaction.atomic
def change_view(
    *,
    actor: Actor,
    view: SavedView,
    name: str | None = None,
    filters: Mapping[str, Any] | None = None,
    names: Mapping[str, str] | None = None,
    is_shared: bool | None = None,
) -> SavedView:
    """Change what is given. Somebody else's shared view takes the right to change the monitor.

    A view that is shared no more closes for the others: no page of theirs opens with it.
    """
    found = _to_change(actor, view)
    before, was_shared = _told(found), found.is_shared
    _set(found, name, filters, names)
    if is_shared is not None:
        found.is_shared = is_shared
    if found.is_shared and not was_shared:
        _check_shared(found.monitor)
    if was_shared and not found.is_shared:
        OpeningView.objects.filter(view=found).exclude(member=found.owner).delete()
    after = _told(found)
    if after == before:
        return found
    _save(found)
    if found.is_shared or was_shared:
        audit(
            actor=actor,
            action="saved_view.change"
            if found.is_shared == was_shared
            else ("saved_view.share" if found.is_shared else "saved_view.unshare"),
            obj=found,
            before=before,
            after=after,
        )
    return found


@transaction.atomic
def delete_view(*, actor: Actor, view: SavedView) -> None:
    """Take a view away; pages that opened with it open with everything."""
    found = _to_change(actor, view)
    if found.is_shared:
        audit(actor=actor, action="saved_view.delete", obj=found, before=_told(found))
    found.delete()


@transaction.atomic
def open_with(*, actor: Actor, view: SavedView, is_wanted: bool) -> None:
    """Let the page of a view open with it for this person, in place of another one, or with it no more."""
    found = _held(actor, view)
    member = Membership.objects.get(user=actor.user, workspace=actor.workspace)
    if is_wanted:
        OpeningView.objects.update_or_create(
            member=member, monitor=found.monitor, kind=found.kind, defaults={"view": found}
        )
    else:
        OpeningView.objects.filter(member=member, view=found).delete()


def may_change(actor: Actor, view: SavedView) -> bool:
    """Whether it is the actor's own, or shared in a monitor that they may change."""
    return view.owner.user_id == actor.user.pk or (view.is_shared and actor.may(WRITE))


def _held(actor: Actor, view: SavedView) -> SavedView:
    """The view as it is now, locked; 404 when it is gone meanwhile, or shared no more."""
    rows = SavedView.objects.select_for_update(of=("self",)).select_related("owner__user", "monitor")
    found = rows_of(actor, rows, "monitor__workspace").filter(pk=view.pk).first()
    if found is None:
        raise Http404
    return found


def _to_change(actor: Actor, view: SavedView) -> SavedView:
    """The same for whoever may change it, else 403."""
    found = _held(actor, view)
    if not may_change(actor, found):
        require(actor, WRITE)
    return found


def _check_shared(monitor: Monitor) -> None:
    """Room for one more. The monitor stays locked until it is there: of several at once each sees those before."""
    if not Monitor.objects.select_for_update(no_key=True).filter(pk=monitor.pk).exists():
        raise Http404
    if SavedView.objects.filter(monitor=monitor, is_shared=True).count() >= MOST_SHARED:
        said = say("This monitor has {most} shared views. Stop sharing one first.", most=MOST_SHARED)
        raise conflict("too_many_views", said)


def _set(view: SavedView, name: str | None, filters: Mapping[str, Any] | None, names: Mapping[str, str] | None) -> None:
    if name is not None:
        view.name = name.strip()
        if not 0 < len(view.name) <= LONGEST_NAME:
            said = say("A name has 1 to {most} characters.", most=LONGEST_NAME)
            raise Refused("bad_name", said, field="name")
    if filters is not None:
        for field, value in filters.items():
            if len(value if isinstance(value, str) else max(value, key=len, default="")) > LONGEST_VALUE:
                said = say("A filter of a view has at most {most} characters.", most=LONGEST_VALUE)
                raise Refused("too_long", said, field=field)
        view.filters, view.names = dict(filters), dict(names or {})


def _save(view: SavedView) -> None:
    try:
        with transaction.atomic():
            view.save()
    except IntegrityError as error:
        said = say("There is a view of this name already.")
        raise Refused("name_taken", said, field="name", status=409) from error


def _told(view: SavedView) -> dict[str, Any]:
    return {
        "monitor": view.monitor.name,
        "kind": view.kind,
        "name": view.name,
        "filters": view.filters,
        "is_shared": view.is_shared,
    }
