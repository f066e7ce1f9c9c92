"""The audit trail: append one entry for everything a person changes."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec

from apps.accounts.models import AuditEntry, User
from core.access import Actor

P = ParamSpec("P")


def audit_entry(
    *,
    actor: Actor | None,
    action: str,
    obj: Any = None,
    workspace: Any = None,
    by: User | None = None,
    ip: str | None = None,
    **detail: Any,
) -> AuditEntry:
    """An entry of the trail, not stored.

    `action` is "<thing>.<verb>", e.g. "dataset.create". Outside a workspace `by` names the person;
    without an actor or a person the system did it.
    """
    place = workspace or (actor.workspace if actor else None)
    person = actor.user if actor else by
    return AuditEntry(
        workspace_id=place.pk if place else None,
        user_id=person.pk if person else None,
        key_id=actor.key.pk if actor and actor.key else None,
        actor=str(actor or by or "system")[:300],
        action=action,
        object_type=obj._meta.model_name if obj is not None else "",
        object_id=str(obj.pk) if obj is not None else "",
        object_label=str(obj)[:300] if obj is not None else "",
        detail=detail,
        ip=actor.ip if actor else ip,
    )


def _appended(make: Callable[P, AuditEntry]) -> Callable[P, AuditEntry]:
    @wraps(make)
    def appended(*args: P.args, **kwargs: P.kwargs) -> AuditEntry:
        made = make(*args, **kwargs)
        made.save(force_insert=True)
        return made

    return appended


audit = _appended(audit_entry)
"""Append one entry, as `audit_entry` makes it, in the caller's transaction."""


def audit_many(entries: Iterable[AuditEntry]) -> None:
    """Append many entries, in the caller's transaction."""
    AuditEntry.objects.bulk_create(entries)
