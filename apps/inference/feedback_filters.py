"""Filters of feedback, shared by page and API."""

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import BooleanFilter, ChoiceFilter, DateFilter, FilterSet, NumberFilter

from apps.inference.models import Feedback, Reason, Thumb


def with_correction(rows: QuerySet[Feedback], _name: str, value: bool | None) -> QuerySet[Feedback]:
    """Rows that say what would have been right, or those that do not."""
    corrected = ~Q(corrected_answer="") | Q(corrected_labels__isnull=False)
    return rows.filter(corrected) if value else rows.exclude(corrected)


class FeedbackFilter(FilterSet):
    """By answer, version, thumb, reason, correction and day."""

    generation = NumberFilter(field_name="generation_id")
    request = NumberFilter(field_name="online_request_id")  # type: ignore[assignment]
    prediction = NumberFilter(field_name="prediction_id")
    model_version = NumberFilter(field_name="model_version_id", label=_("Model version id"))
    thumb = ChoiceFilter(choices=Thumb.choices)
    reason = ChoiceFilter(choices=Reason.choices)
    corrected = BooleanFilter(method=with_correction)
    since = DateFilter(field_name="updated_at", lookup_expr="date__gte")
    until = DateFilter(field_name="updated_at", lookup_expr="date__lte")

    class Meta:
        model = Feedback
        fields: tuple[str, ...] = ()
