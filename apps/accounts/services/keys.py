"""API keys: made with scopes of their maker, shown once, revoked for good."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import ApiKey, hash_token, new_token
from apps.accounts.roles import PERMISSIONS
from apps.accounts.services.trail import audit
from core.access import Actor
from core.errors import Refused
from core.limits import LARGEST_LIMIT
from words import say

LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")


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
def limit_api_key(*, actor: Actor, key: ApiKey, **limits: int | None) -> ApiKey:
    """Change what of LIMITS is given; None leaves it to the workspace. Holds from the next request on."""
    if unknown := set(limits) - set(LIMITS):
        raise ValueError(f"not a limit of a key: {sorted(unknown)}")
    if any(value is not None and not 1 <= value <= LARGEST_LIMIT for value in limits.values()):
        raise Refused("bad_limit", say("A limit lies between 1 and {most:,}, or is empty.", most=LARGEST_LIMIT))
    found = ApiKey.objects.select_for_update().get(pk=key.pk)
    changed = {name: value for name, value in limits.items() if getattr(found, name) != value}
    if changed:
        before = {name: getattr(found, name) for name in changed}
        ApiKey.objects.filter(pk=key.pk).update(**changed)
        audit(actor=actor, action="api_key.limit", obj=key, before=before, after=changed)
    found.refresh_from_db()
    return found


@transaction.atomic
def revoke_api_key(*, actor: Actor, key: ApiKey) -> ApiKey:
    """End a key at once; revoking twice is harmless."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
        audit(actor=actor, action="api_key.revoke", obj=key)
    key.refresh_from_db()
    return key
