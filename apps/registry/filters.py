"""Which versions a page or an API call shows."""

import django_filters
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.registry.models import ModelVersion, Source, VersionState


class VersionFilter(django_filters.FilterSet):
    """Filters of model versions."""

    family = django_filters.NumberFilter(field_name="family_id", label=_("Model"))
    name = django_filters.CharFilter(field_name="family__name", lookup_expr="icontains", label=_("Name"))
    alias = django_filters.CharFilter(method="by_alias", label=_("Alias"))
    task = django_filters.CharFilter(label=_("Task"))
    source = django_filters.ChoiceFilter(choices=Source.choices, label=_("Source"))
    state = django_filters.ChoiceFilter(choices=VersionState.choices, label=_("State"))

    class Meta:
        model = ModelVersion
        fields = ("family", "name", "alias", "task", "source", "state")

    def by_alias(self, rows: QuerySet[ModelVersion], name: str, value: str) -> QuerySet[ModelVersion]:
        """Versions that the alias names now."""
        return rows.filter(aliases__name=value)
