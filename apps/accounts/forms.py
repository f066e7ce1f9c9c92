"""Forms of profile, invitation and workspace settings."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import ApiKey, Invitation, User, Workspace
from apps.accounts.roles import ANALYST, OWNER, PERMISSIONS, ROLE_NAMES
from core.access import Actor
from core.limits import LARGEST_LIMIT
from core.requests import zones

THEMES = [("", _("As the system")), ("light", _("Light")), ("dark", _("Dark"))]
EXPIRIES = [("30", _("30 days")), ("90", _("90 days")), ("365", _("1 year")), ("", _("Never"))]
LINK_DAYS = [("1", _("1 day")), ("7", _("7 days")), ("30", _("30 days"))]


def time_zones() -> list[tuple[str, Any]]:
    """All zones by name, the installation's first."""
    return [("", _("As the installation (%s)") % settings.TIME_ZONE)] + [(name, name) for name in sorted(zones())]


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a person may change about themselves."""

    language = forms.ChoiceField(
        label=_("Language"), required=False, choices=[("", _("As the browser")), *settings.LANGUAGES]
    )
    time_zone = forms.ChoiceField(label=_("Time zone"), required=False, choices=time_zones)
    theme = forms.ChoiceField(label=_("Appearance"), required=False, choices=THEMES)

    class Meta:
        model = User
        fields = ("name", "language", "time_zone", "theme", "mail_notices")
        labels = {"name": _("Name"), "mail_notices": _("Mail me when a job ends")}
        help_texts = {
            "mail_notices": _("For jobs of yours that failed or ran for a while. Notices in the dashboard stay.")
        }


class WorkspaceForm(forms.ModelForm):  # type: ignore[type-arg]
    """General settings of a workspace."""

    class Meta:
        model = Workspace
        fields = ("name", "four_eyes", "audit_retention_days", "job_retention_days", "file_retention_days")
        labels = {
            "name": _("Name"),
            "four_eyes": _("Four eyes"),
            "audit_retention_days": _("Keep the audit trail for (days)"),
            "job_retention_days": _("Keep ended jobs for (days)"),
            "file_retention_days": _("Keep uploaded and exported files for (days)"),
        }
        help_texts = {
            "four_eyes": _("A model version is approved by somebody other than the person who made it."),
            "audit_retention_days": _("Empty: for ever."),
            "job_retention_days": _("Empty: for ever. A job that made a model or a version stays without its log."),
            "file_retention_days": _("Empty: for ever. Frozen versions and models always stay."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("audit_retention_days", "job_retention_days", "file_retention_days"):
            field = self.fields[name]
            assert isinstance(field, forms.IntegerField)
            field.widget.attrs.update(min=1, max=36500)

    def clean(self) -> dict[str, Any]:
        """Periods are whole days, at least one."""
        cleaned = super().clean() or {}
        for name in ("audit_retention_days", "job_retention_days", "file_retention_days"):
            days = cleaned.get(name)
            if days is not None and not 1 <= days <= 36500:
                self.add_error(name, _("Between 1 and 36500 days, or empty."))
        return cleaned


class LimitsForm(forms.ModelForm):  # type: ignore[type-arg]
    """What each key may do, and the workspace in a month."""

    class Meta:
        model = Workspace
        fields = (
            "key_requests_per_minute",
            "key_tokens_per_minute",
            "key_concurrent_requests",
            "requests_per_month",
            "tokens_per_month",
        )
        labels = {
            "key_requests_per_minute": _("Requests a minute of each key"),
            "key_tokens_per_minute": _("Tokens a minute of each key"),
            "key_concurrent_requests": _("Requests at once of each key"),
            "requests_per_month": _("Requests a month of the workspace"),
            "tokens_per_month": _("Tokens a month of the workspace"),
        }
        help_texts = {
            "key_requests_per_minute": _("Empty: the limit of this installation."),
            "key_tokens_per_minute": _("Tokens read and written. Empty: no limit."),
            "key_concurrent_requests": _("Of requests that ask a model. Empty: no limit."),
            "requests_per_month": _("Of all keys and pages in a calendar month (UTC). Empty: no limit."),
            "tokens_per_month": _("Read and written in a calendar month (UTC). Empty: no limit."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _limit(self)


class KeyLimitsForm(forms.ModelForm):  # type: ignore[type-arg]
    """What one key may do."""

    class Meta:
        model = ApiKey
        fields = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
        labels = {
            "requests_per_minute": _("Requests a minute"),
            "tokens_per_minute": _("Tokens a minute"),
            "concurrent_requests": _("Requests at once"),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _limit(self)
        place = self.instance.workspace
        for name, field in self.fields.items():
            theirs = getattr(place, f"key_{name}")
            field.help_text = (
                _("Empty: the workspace's limit for keys, %s.") % f"{theirs:,}"
                if theirs
                else _("Empty: the workspace's limit for keys, which is not set.")
            )


def _limit(form: Any) -> None:
    """Whole numbers from 1 on, or nothing."""
    for field in form.fields.values():
        field.min_value, field.max_value = 1, LARGEST_LIMIT
        field.validators += [MinValueValidator(1), MaxValueValidator(LARGEST_LIMIT)]
        field.widget.attrs.update(min=1, max=LARGEST_LIMIT)


class NewWorkspaceForm(forms.Form):
    """An operator opens a workspace."""

    name = forms.CharField(label=_("Name"), max_length=120)


class InviteForm(forms.Form):
    """Who is invited, as what, for how long."""

    email = forms.EmailField(
        label=_("E-mail address"),
        required=False,
        max_length=254,
        help_text=_("Only this person can use the link. Empty: whoever opens it first."),
    )
    role = forms.ChoiceField(label=_("Role"), initial=ANALYST)
    days = forms.TypedChoiceField(label=_("The link works for"), choices=LINK_DAYS, coerce=int, initial="7")

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["role"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(name, label) for name, label in ROLE_NAMES.items() if name != OWNER or actor.role == OWNER]


class KeyForm(forms.Form):
    """Name, scopes and expiry of an API key."""

    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("What uses it, for example “nightly import”."))
    expires_in = forms.ChoiceField(label=_("Expires after"), choices=EXPIRIES, required=False, initial="90")
    scopes = forms.MultipleChoiceField(label=_("Scopes"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["scopes"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(name, meaning) for name, (meaning, _roles) in PERMISSIONS.items() if actor.may(name)]

    def expires_at(self) -> datetime | None:
        """The moment the key ends; None for never."""
        days = self.cleaned_data["expires_in"]
        return timezone.now() + timedelta(days=int(days)) if days else None


class NewcomerForm(forms.Form):
    """Someone without an account accepts an invitation."""

    email = forms.EmailField(label=_("E-mail address"), max_length=254)
    name = forms.CharField(label=_("Name"), max_length=120)
    password = forms.CharField(
        label=_("Password"),
        max_length=200,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("At least 10 characters."),
    )

    def __init__(self, *args: Any, invitation: Invitation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if invitation.email:
            self.fields["email"].disabled = True
            self.fields["email"].initial = invitation.email


class DeleteWorkspaceForm(forms.Form):
    """Deleting needs the name typed."""

    name = forms.CharField(
        label=_("Name of the workspace"), max_length=120, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
