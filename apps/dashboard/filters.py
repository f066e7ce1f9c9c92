"""One filter of jobs for page and API."""

from typing import Any

import django_filters
from django import forms
from django.utils.translation import gettext_lazy as _

from apps.dashboard.kinds import kind_of
from core.jobs.models import Job
from core.jobs.states import State
from core.queue import QUEUES
from core.words import holding


class JobFilter(django_filters.FilterSet):
    """By state, queue, kind and words of the title."""

    q = django_filters.CharFilter(
        method="holding_title",
        label=_("Title"),
        widget=forms.TextInput(attrs={"type": "search", "placeholder": _("Search titles"), "data-search": ""}),
    )
    state = django_filters.ChoiceFilter(choices=State.choices, label=_("State"), empty_label=_("Any state"))
    queue = django_filters.ChoiceFilter(
        choices=[(name, name) for name in QUEUES], label=_("Queue"), empty_label=_("Any queue")
    )
    kind = django_filters.CharFilter(label=_("Kind"), help_text="Kind of work, e.g. datasets.import.")

    class Meta:
        model = Job
        fields = ("q", "state", "queue", "kind")

    def holding_title(self, rows: Any, _name: str, text: str) -> Any:
        """Titles that hold the words, in the reader's language or as they were written."""
        return holding(rows, "title", text)


def page_filter(data: Any, rows: Any, kinds: list[str]) -> JobFilter:
    """The filter with its kinds as choices."""
    made = JobFilter(data, queryset=rows)
    choices = [("", _("Any kind")), *((name, kind_of(name).title) for name in kinds)]
    made.form.fields["kind"].widget = forms.Select(choices=choices)
    return made
