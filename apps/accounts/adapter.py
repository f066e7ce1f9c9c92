"""How allauth behaves here: nobody signs up uninvited; single sign-on joins existing users only."""

import smtplib
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.http import HttpRequest
from django.urls import reverse

from apps.accounts.access import client_ip
from core.errors import Refused
from words import say


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """E-mail log-in without open registration."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Accounts come from invitations and commands."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """The peer's address; behind a Unix socket there is none."""
        return client_ip(request) or "0.0.0.0"  # noqa: S104 - a value to show, nothing listens

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Back to the profile."""
        return reverse("profile")

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Mail, or a sentence when the mail server does not answer."""
        try:
            super().send_mail(template_prefix, email, context)
        except (smtplib.SMTPException, OSError) as error:
            raise Refused(
                "mail_unavailable",
                say("The mail could not be sent. Try again later, or ask your administrator for a new password."),
                status=503,
            ) from error


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """OpenID Connect for people who already have an account."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Single sign-on never makes an account by itself."""
        return False
