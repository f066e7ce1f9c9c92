"""Filters of datasets and examples, shared by pages and API."""

from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from apps.datasets.models import Dataset, Example, Kind
from core.search import found_by

SPLITS = [("train", _("Train")), ("dev", _("Dev")), ("test", _("Test")), ("none", _("No split"))]
MOST_IDS = 500


class DatasetFilter(django_filters.FilterSet):
    """By words of the name and by kind."""

    q = django_filters.CharFilter(
        field_name="name",
        lookup_expr="icontains",
        label=_("Name"),
        widget=forms.TextInput(attrs={"type": "search", "placeholder": _("Search names"), "data-search": ""}),
    )
    kind = django_filters.ChoiceFilter(choices=Kind.choices, label=_("Kind"), empty_label=_("Any kind"))

    class Meta:
        model = Dataset
        fields = ("q", "kind")


class ExampleFilter(django_filters.FilterSet):
    """By words of the text, label, split, missing labels, ids, and deleted ones instead of living ones."""

    q = django_filters.CharFilter(
        method="words",
        label=_("Text"),
        help_text="Every word must be in the text; the last one may be a beginning. Chinese needs no spaces.",
        widget=forms.TextInput(attrs={"type": "search", "placeholder": _("Search texts"), "data-search": ""}),
    )
    label = django_filters.CharFilter(method="labelled", label=_("Label"), help_text="Examples that carry this label.")
    split = django_filters.ChoiceFilter(
        method="in_split",
        choices=SPLITS,
        label=_("Split"),
        empty_label=_("Any split"),
        help_text="none: not split yet.",
    )
    unlabelled = django_filters.BooleanFilter(
        method="without_labels",
        label=_("Without a label"),
        help_text="true: only examples without a label.",
        widget=forms.CheckboxInput,
    )
    ids = django_filters.CharFilter(
        method="by_ids",
        label=_("Numbers"),
        help_text="Up to 500 example ids, separated by commas.",
        widget=forms.HiddenInput,
    )
    deleted = django_filters.BooleanFilter(
        method="nothing",
        label=_("Deleted"),
        help_text="true: deleted examples instead of living ones.",
        widget=forms.CheckboxInput,
    )

    class Meta:
        model = Example
        fields = ("q", "label", "split", "unlabelled", "ids", "deleted")

    def filter_queryset(self, queryset: QuerySet[Example]) -> QuerySet[Example]:
        """Living examples unless deleted ones are asked for."""
        found: QuerySet[Example] = super().filter_queryset(queryset)
        return found.filter(deleted_at__isnull=not self.form.cleaned_data.get("deleted"))

    def words(self, rows: QuerySet[Example], name: str, value: str) -> QuerySet[Example]:
        """Full-text search."""
        return found_by(rows, value, "search")

    def labelled(self, rows: QuerySet[Example], name: str, value: str) -> QuerySet[Example]:
        """Examples with the label."""
        return rows.filter(labels__contains=[value])

    def in_split(self, rows: QuerySet[Example], name: str, value: str) -> QuerySet[Example]:
        """Examples of the split."""
        return rows.filter(split="" if value == "none" else value)

    def without_labels(self, rows: QuerySet[Example], name: str, value: bool) -> QuerySet[Example]:
        """Examples nobody labelled yet."""
        return rows.filter(labels=[]) if value else rows

    def by_ids(self, rows: QuerySet[Example], name: str, value: str) -> QuerySet[Example]:
        """Examples by number; what is no number is passed over."""
        parts = [part.strip() for part in value.split(",")][:MOST_IDS]
        return rows.filter(pk__in=[int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 19])

    def nothing(self, rows: QuerySet[Example], name: str, value: Any) -> QuerySet[Example]:
        """Handled in filter_queryset."""
        return rows


def page_filter(data: Any, rows: QuerySet[Example], dataset: Dataset) -> ExampleFilter:
    """The filter with the dataset's labels to choose from, where it has any."""
    made = ExampleFilter(data, queryset=rows)
    fields = made.form.fields
    if dataset.has_labels:
        choices = [("", _("Any label")), *((label, label) for label in dataset.labels)]
        fields["label"].widget = forms.Select(choices=choices)
    else:
        del fields["label"], fields["unlabelled"]
    return made
