"""Filters of the audit trail, shared by the page, its export and the API."""

from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import AuditEntry


def _day() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class AuditFilter(django_filters.FilterSet):
    """Who, what and when."""

    actor = django_filters.CharFilter(lookup_expr="icontains", label=_("Who"))
    action = django_filters.CharFilter(lookup_expr="istartswith", label=_("Action"))
    object = django_filters.CharFilter(field_name="object_label", lookup_expr="icontains", label=_("What"))
    since = django_filters.DateFilter(field_name="at", lookup_expr="date__gte", label=_("From day"), widget=_day())
    until = django_filters.DateFilter(field_name="at", lookup_expr="date__lte", label=_("To day"), widget=_day())

    class Meta:
        model = AuditEntry
        fields: tuple[str, ...] = ()

    @property
    def qs(self) -> QuerySet[Any]:
        """Rows that match; nothing when a filter is no valid value, so that a typing error shows no wrong rows."""
        rows: QuerySet[Any] = super().qs
        return rows if self.is_valid() else rows.none()
