"""Filters of deliveries, shared by page and API."""

from django import forms
from django.utils.translation import gettext_lazy as _
from django_filters import CharFilter, ChoiceFilter, DateFilter, FilterSet

from apps.notifications.models import Delivery
from apps.notifications.models.deliveries import DeliveryState, Severity


def _day() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class DeliveryFilter(FilterSet):
    """By state, kind of message, severity and day."""

    state = ChoiceFilter(choices=DeliveryState.choices, label=_("State"), empty_label=_("Any state"))
    kind = CharFilter(field_name="dispatch__kind", label=_("Kind"), widget=forms.TextInput(attrs={"size": 14}))
    severity = ChoiceFilter(
        field_name="dispatch__severity", choices=Severity.choices, label=_("Severity"), empty_label=_("Any severity")
    )
    since = DateFilter(field_name="created_at", lookup_expr="date__gte", label=_("From day"), widget=_day())
    until = DateFilter(field_name="created_at", lookup_expr="date__lte", label=_("To day"), widget=_day())

    class Meta:
        model = Delivery
        fields = ("state", "kind", "severity", "since", "until")
