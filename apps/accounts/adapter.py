"""How allauth behaves here: nobody signs up uninvited; single sign-on joins existing users only."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """E-mail log-in without open registration."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Accounts come from invitations and commands."""
        return False


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """OpenID Connect for people who already have an account."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Single sign-on never makes an account by itself."""
        return False
