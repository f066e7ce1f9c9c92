"""What happens to people: made, changed, deactivated, given a new password."""

import secrets
from typing import Any

from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from apps.accounts.models import User
from apps.accounts.selectors import workspaces_owned_alone
from apps.accounts.services.trail import audit
from core.errors import Problem, Refused, conflict
from words import say

PROFILE_FIELDS = ("name", "language", "time_zone", "theme", "mail_notices")


@transaction.atomic
def create_user(*, email: str, password: str | None, vouched: bool = True, **columns: Any) -> User:
    """A user by address; refused when the address is taken or no address.

    `vouched` says that whoever makes the account knows the address to be the person's. An address nobody
    vouched for loses its password when single sign-on later proves who owns the address.
    """
    try:
        validate_email(email.strip())
    except ValidationError as error:
        raise Refused("invalid_email", say("This is no e-mail address."), field="email") from error
    try:
        with transaction.atomic():
            user = User.objects.create_user(email, password, **columns)
    except IntegrityError as error:
        raise Refused("email_taken", say("Somebody with this address exists already."), field="email") from error
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=vouched)
    return user


def check_password_strength(password: str, user: User) -> None:
    """Refuse a weak password, naming every reason."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        reasons = [str(message) for message in error.messages]
        problems = [Problem(code="weak_password", message=reason, field="password") for reason in reasons]
        raise Refused("weak_password", " ".join(reasons), problems=problems) from error


def random_password() -> str:
    """A password of 96 random bits that can be typed."""
    return "-".join(secrets.token_hex(3) for _each in range(4))


@transaction.atomic
def reset_password(*, user: User, password: str) -> None:
    """Set a password from the command line; the person is logged out everywhere."""
    check_password_strength(password, user)
    user.set_password(password)
    user.save(update_fields=["password"])
    end_sessions(user=user)
    audit(actor=None, action="user.password", obj=user)


@transaction.atomic
def update_profile(*, user: User, **columns: Any) -> User:
    """Change one's own name, language, time zone, theme or mail notices."""
    unknown = set(columns) - set(PROFILE_FIELDS)
    if unknown:
        raise ValueError(f"not in a profile: {sorted(unknown)}")
    for name, value in columns.items():
        setattr(user, name, value)
    user.save(update_fields=list(columns))
    return user


@transaction.atomic
def deactivate_user(*, by: User, user: User) -> None:
    """Lock a person out everywhere: log-in, sessions and API keys. Only an operator may."""
    require_operator(by)
    if by.pk == user.pk:
        raise conflict("deactivate_self", say("You cannot deactivate yourself. Ask another operator."))
    alone = [workspace.name for workspace in workspaces_owned_alone(user)]
    if alone:
        raise conflict(
            "last_owner",
            say("They are the only owner of: {alone}. Make someone else an owner there first.", alone=", ".join(alone)),
        )
    User.objects.filter(pk=user.pk).update(is_active=False)
    end_sessions(user=user)
    audit(actor=None, by=by, action="user.deactivate", obj=user)


@transaction.atomic
def reactivate_user(*, by: User, user: User) -> None:
    """Let a deactivated person in again."""
    require_operator(by)
    User.objects.filter(pk=user.pk).update(is_active=True)
    audit(actor=None, by=by, action="user.reactivate", obj=user)


def require_operator(by: User) -> None:
    """Refuse people who do not run this installation."""
    if not by.is_operator:
        raise Refused("not_operator", say("Only an operator of this installation may do this."), status=403)


def end_sessions(*, user: User, pk: int | None = None, keep: str | None = None) -> int:
    """End one session of `user` (by its row), or all but the one with key `keep`; returns how many ended."""
    rows = UserSession.objects.filter(user=user)
    if pk is not None:
        rows = rows.filter(pk=pk)
    if keep is not None:
        rows = rows.exclude(session_key=keep)
    ended = list(rows)
    for session in ended:
        session.end()
    return len(ended)
