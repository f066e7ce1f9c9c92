"""API keys: made with scopes of their maker, shown once, revoked for good."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import ApiKey, hash_token, new_token
from apps.accounts.roles import PERMISSIONS
from apps.accounts.services.trail import audit
from core.access import Actor
from core.errors import Refused
from words import say


@transaction.atomic
def create_api_key(
    *, actor: Actor, name: str, scopes: list[str], expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A key and its secret, which is shown this once; scopes the maker does not hold are refused."""
    unknown = [scope for scope in scopes if scope not in PERMISSIONS]
    if unknown or not scopes:
        raise Refused(
            "unknown_scope",
            say("Choose at least one scope from the list. Unknown: {value}", value=", ".join(unknown) or "-"),
            field="scopes",
        )
    beyond = sorted(set(scopes) - actor.permissions)  # a key cannot make a stronger key either
    if beyond:
        raise Refused(
            "scope_beyond_role", say("Your role or key lacks: {beyond}", beyond=", ".join(beyond)), field="scopes"
        )
    if expires_at and expires_at <= timezone.now():
        raise Refused("expiry_in_the_past", say("Choose an expiry in the future."), field="expires_at")
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


@transaction.atomic
def revoke_api_key(*, actor: Actor, key: ApiKey) -> ApiKey:
    """End a key at once; revoking twice is harmless."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
        audit(actor=actor, action="api_key.revoke", obj=key)
    key.refresh_from_db()
    return key
