"""The form that lets a digest be sent at set times."""

from typing import Any

from django import forms
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _

from apps.notifications.models import Receiver
from apps.sentiment.digests import Period


class DigestScheduleForm(forms.Form):
    """Every day or once a week, at a time of the monitor's zone, to these receivers."""

    period = forms.ChoiceField(label=_("How often"), choices=[("day", _("Every day")), ("week", _("Every week"))])
    weekday = forms.TypedChoiceField(
        label=_("Day of the week"),
        choices=[(str(at + 1), words) for at, words in WEEKDAYS.items()],
        coerce=int,
        required=False,
    )
    at = forms.TimeField(
        label=_("Time of day"), initial="08:00", widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    receivers = forms.ModelMultipleChoiceField(
        label=_("Receivers"),
        queryset=Receiver.objects.none(),
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, data: Any = None, *, workspace: Any) -> None:
        super().__init__(data, initial={"period": Period.DAY.value, "weekday": "1", "at": "08:00"})
        receivers: Any = self.fields["receivers"]
        receivers.queryset = Receiver.objects.filter(workspace=workspace, is_enabled=True).order_by("name")

    def columns(self) -> dict[str, Any]:
        """What the service is given."""
        return {
            **self.cleaned_data,
            "weekday": self.cleaned_data["weekday"] or 1,
            "receivers": list(self.cleaned_data["receivers"]),
        }
