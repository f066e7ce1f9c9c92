"""The audit trail: append one entry for everything a person changes."""

from collections.abc import Iterable
from typing import Any

from apps.accounts.models import AuditEntry, User
from core.access import Actor


def audit(
    *,
    actor: Actor | None,
    action: str,
    obj: Any = None,
    workspace: Any = None,
    by: User | None = None,
    ip: str | None = None,
    **detail: Any,
) -> AuditEntry:
    """Append one entry to the trail, in the caller's transaction.

    `action` is "<thing>.<verb>", e.g. "dataset.create". Outside a workspace `by` names the person;
    without an actor or a person the system did it.
    """
    made = audit_entry(actor=actor, action=action, obj=obj, workspace=workspace, by=by, ip=ip, **detail)
    made.save(force_insert=True)
    return made


def audit_many(entries: Iterable[AuditEntry]) -> None:
    """Append many entries, in the caller's transaction."""
    AuditEntry.objects.bulk_create(entries)


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
    """An entry as `audit` appends it, not stored."""
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
