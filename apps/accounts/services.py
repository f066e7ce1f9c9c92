"""What happens to accounts: make workspaces, members and keys; keep the audit trail."""

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from apps.accounts.models import ApiKey, AuditEntry, Membership, User, Workspace, hash_token, new_token
from apps.accounts.roles import OWNER, PERMISSIONS, permissions_of
from core.access import Actor
from core.errors import Refused


def audit(*, actor: Actor | None, action: str, obj: Any = None, workspace: Any = None, **detail: Any) -> AuditEntry:
    """Append one entry to the trail, in the caller's transaction.

    `action` is "<thing>.<verb>", e.g. "dataset.create". Without an actor the system did it.
    """
    place = workspace or (actor.workspace if actor else None)
    return AuditEntry.objects.create(
        workspace_id=place.pk if place else None,
        user_id=actor.user.pk if actor and actor.user else None,
        key_id=actor.key.pk if actor and actor.key else None,
        actor=str(actor)[:300] if actor else "system",
        action=action,
        object_type=obj._meta.model_name if obj is not None else "",
        object_id=str(obj.pk) if obj is not None else "",
        object_label=str(obj)[:300] if obj is not None else "",
        detail=detail,
        ip=actor.ip if actor else None,
    )


@transaction.atomic
def create_workspace(*, name: str, owner: User, slug: str = "", is_demo: bool = False) -> Workspace:
    """A workspace with its first owner; the address is made from the name when none is given."""
    base = slugify(slug or name)[:50] or "workspace"
    taken = set(Workspace.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    chosen = next(s for s in (base, *(f"{base}-{n}" for n in range(2, 10_000))) if s not in taken)
    workspace = Workspace.objects.create(name=name, slug=chosen, is_demo=is_demo)
    Membership.objects.create(workspace=workspace, user=owner, role=OWNER)
    audit(actor=None, action="workspace.create", obj=workspace, workspace=workspace, owner=owner.email)
    return workspace


@transaction.atomic
def create_user(*, email: str, password: str | None, **columns: Any) -> User:
    """A user by address; refused when the address is taken."""
    try:
        with transaction.atomic():
            return User.objects.create_user(email, password, **columns)
    except IntegrityError as error:
        raise Refused("email_taken", _("Somebody with this address exists already."), field="email") from error


@transaction.atomic
def create_api_key(
    *, actor: Actor, name: str, scopes: list[str], expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A key and its secret, which is shown this once; scopes beyond the maker's role are refused."""
    unknown = [scope for scope in scopes if scope not in PERMISSIONS]
    if unknown or not scopes:
        raise Refused(
            "unknown_scope",
            _("Choose at least one scope from the list. Unknown: %s") % (", ".join(unknown) or "-"),
            field="scopes",
        )
    beyond = sorted(set(scopes) - permissions_of(actor.role))
    if beyond:
        raise Refused("scope_beyond_role", _("Your role lacks: %s") % ", ".join(beyond), field="scopes")
    secret = new_token("lx")
    key = ApiKey.objects.create(
        workspace=actor.workspace,
        user=actor.user,
        name=name,
        prefix=secret[:10],
        key_hash=hash_token(secret),
        scopes=sorted(set(scopes)),
        expires_at=expires_at,
    )
    audit(actor=actor, action="api_key.create", obj=key, scopes=key.scopes)
    return key, secret
