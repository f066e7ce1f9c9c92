"""The form of a receiver."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import User
from apps.notifications.models import Receiver, ReceiverKind
from apps.notifications.selectors import people_of
from apps.notifications.services.receivers import LONGEST_URL
from apps.notifications.wording import LONGEST_SUBJECT, LONGEST_TEMPLATE, default_body, default_subject


class _People(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """People by name and address."""

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.display_name} · {obj.email}"


class ReceiverForm(forms.Form):
    """Everything about one receiver; its kind is chosen once, and its address is shown to nobody."""

    kind = forms.ChoiceField(label=_("Kind"), choices=ReceiverKind.choices)
    name = forms.CharField(label=_("Name"), max_length=80)
    addresses = forms.CharField(
        label=_("Mail addresses"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "press@example.com"}),
        help_text=_("One in each line. Each gets a mail of its own."),
    )
    url = forms.CharField(label=_("Web address"), required=False, max_length=LONGEST_URL, widget=forms.TextInput)
    people = _People(
        label=_("People"),
        queryset=User.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)
    subject_template = forms.CharField(label=_("Subject"), required=False, max_length=LONGEST_SUBJECT)
    body_template = forms.CharField(
        label=_("Body"), required=False, max_length=LONGEST_TEMPLATE, widget=forms.Textarea(attrs={"rows": 8})
    )
    is_enabled = forms.BooleanField(label=_("Messages are sent"), required=False, initial=True)

    def __init__(self, data: Any = None, *, workspace: Any, instance: Receiver | None = None) -> None:
        super().__init__(data, initial=_initial(instance))
        people: Any = self.fields["people"]
        people.queryset = people_of(workspace)
        self.fields["url"].widget.attrs["autocomplete"] = "off"
        if instance is not None:
            del self.fields["kind"]
            for name in {"addresses", "url", "people"} - _fields_of(instance.kind):
                del self.fields[name]
            if "url" in self.fields:
                self.fields["url"].help_text = _("Leave it empty to keep %s.") % instance.shown_url
        self.fields["subject_template"].widget.attrs["placeholder"] = default_subject()
        self.fields["body_template"].widget.attrs["placeholder"] = default_body()

    def clean_addresses(self) -> list[str]:
        """The lines, also when people put commas between addresses."""
        return [part for part in self.cleaned_data["addresses"].replace(",", "\n").split("\n") if part.strip()]

    def columns(self) -> dict[str, Any]:
        """What the service is given: of the addresses only that of the kind."""
        given = dict(self.cleaned_data)
        kind = given.get("kind")
        if kind:
            for name in {"addresses", "url", "people"} - _fields_of(kind):
                given.pop(name)
        return given


def _fields_of(kind: str) -> set[str]:
    """The address of each kind."""
    return {ReceiverKind.MAIL.value: {"addresses"}, ReceiverKind.PEOPLE.value: {"people"}}.get(kind, {"url"})


def _initial(receiver: Receiver | None) -> dict[str, Any]:
    if receiver is None:
        return {"language": settings.LANGUAGE_CODE, "is_enabled": True}
    names = ("name", "language", "is_enabled", "subject_template", "body_template")
    return {
        **{name: getattr(receiver, name) for name in names},
        "addresses": "\n".join(receiver.addresses),
        "people": list(receiver.people.all()),
    }
