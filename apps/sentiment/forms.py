"""Forms of monitors and sources."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.registry.models import Task
from apps.registry.selectors import served_names
from apps.sentiment.models import Monitor, Source, SourceKind
from apps.sentiment.models.monitors import MOST_WEIGHT
from apps.sentiment.services.sources import LEAST_MINUTES, MOST_MINUTES
from core.requests import zones


def _zones() -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in sorted(zones()))


class MonitorForm(forms.ModelForm):  # type: ignore[type-arg]
    """Everything about one monitor."""

    time_zone = forms.ChoiceField(label=_("Time zone"), choices=_zones, initial="UTC")
    sentiment_model = forms.ChoiceField(
        label=_("Sentiment model"),
        required=False,
        help_text=_("A version that labels texts. By an alias, the monitor follows whatever version is approved."),
    )

    class Meta:
        model = Monitor
        fields = (
            "name", "description", "time_zone", "sentiment_model", "negative_label", "positive_label", "abstain_below",
            "body_days",
        )  # fmt: skip
        help_texts = {
            "negative_label": _("As the version calls it. All labels besides these two count as neutral."),
            "positive_label": _("As the version calls it; empty where it has none."),
            "abstain_below": _("An article whose likeliest meaning is less probable counts as not sure."),
        }

    def __init__(self, *args: Any, workspace: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [name for name, version in served_names(workspace) if version.task == Task.CLASSIFICATION]
        if self.instance.sentiment_model and self.instance.sentiment_model not in names:
            names.append(self.instance.sentiment_model)
        model: Any = self.fields["sentiment_model"]
        model.choices = [("", _("None: articles are only counted")), *((name, name) for name in names)]

    def _post_clean(self) -> None:
        """The service sets columns; the form leaves its instance alone."""


class SourceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A source; its kind is chosen once."""

    kind = forms.ChoiceField(
        label=_("Kind"), choices=[each for each in SourceKind.choices if each[0] != SourceKind.FILE]
    )
    url = forms.CharField(
        label=_("Web address"),
        required=False,
        max_length=2_000,
        widget=forms.URLInput,
        help_text=_("Leave it empty where a program pushes articles."),
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        choices=lambda: (("", _("That of the monitor")), *_zones()),
        help_text=_("Of times of publication that name none."),
    )
    weight = forms.IntegerField(
        label=_("Weight"),
        min_value=1,
        max_value=MOST_WEIGHT,
        initial=1,
        help_text=_("From 1 to 3; 3 is a first-rate source."),
    )
    interval_minutes = forms.IntegerField(
        label=_("Minutes between readings"), min_value=LEAST_MINUTES, max_value=MOST_MINUTES, initial=10
    )

    class Meta:
        model = Source
        fields = ("kind", "name", "url", "interval_minutes", "time_zone", "weight", "is_enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            del self.fields["kind"]
            if self.instance.kind not in (SourceKind.FEED, SourceKind.SITEMAP):
                del self.fields["url"], self.fields["interval_minutes"]

    def _post_clean(self) -> None:
        """The service sets columns; the form leaves its instance alone."""
