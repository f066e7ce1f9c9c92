"""Find people and workspaces named on the command line."""

from apps.accounts.models import User
from apps.accounts.selectors import home_slug
from core.errors import Refused


def user_by_email(email: str) -> User:
    """The user of an address; refused with a sentence when there is none."""
    user = User.objects.filter(email__iexact=email.strip()).first()
    if user is None:
        raise Refused("unknown_user", f"Nobody has the address {email}.")
    return user


def slug_of(user: User, slug: str) -> str:
    """The workspace named, else the person's only or last used one."""
    found = slug or home_slug(user)
    if not found:
        raise Refused("no_workspace", f"{user} is in no workspace.", hint="Make one with createworkspace.")
    return found
