"""Forms of monitors and sources."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import User
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

    target_model = forms.ChoiceField(
        label=_("Model of sentiment towards entities"),
        required=False,
        help_text=_(
            "A version that was trained on “name | text”. Without one the sentiment model reads what is said of each."
        ),
    )
    topic_models = forms.MultipleChoiceField(
        label=_("Topic models"),
        required=False,
        widget=forms.SelectMultiple(attrs={"size": 4}),
        help_text=_("Versions whose labels are topics. Words find topics without any."),
    )

    members = forms.ModelMultipleChoiceField(
        label=_("Members who see it"),
        queryset=User.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Besides who made it, owners and admins; they may do what their roles allow."),
    )

    class Meta:
        model = Monitor
        fields = (
            "name", "description", "time_zone", "sentiment_model", "negative_label", "positive_label", "abstain_below",
            "target_model", "topic_models", "topic_threshold", "link_threshold", "body_days", "is_restricted", "members",
        )  # fmt: skip
        help_texts = {
            "negative_label": _("As the version calls it. All labels besides these two count as neutral."),
            "positive_label": _("As the version calls it; empty where it has none."),
            "topic_threshold": _("A label of this probability or more gives its topic."),
            "link_threshold": _(
                "A mention of this confidence or more is linked. A ticker in digits alone has 0.6, a name without evidence 0.25."
            ),
            "body_days": _("Titles, scores and counts stay, and alerts keep the beginnings of their sample texts."),
            "is_restricted": _("Everybody else finds neither it nor anything of it."),
            "abstain_below": _("An article whose likeliest meaning is less probable counts as not sure."),
        }

    def __init__(self, *args: Any, workspace: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [name for name, version in served_names(workspace) if version.task == Task.CLASSIFICATION]
        chosen = [self.instance.sentiment_model, self.instance.target_model, *self.instance.topic_models]
        names += [name for name in dict.fromkeys(chosen) if name and name not in names]
        every = [(name, name) for name in names]
        for field, nothing in (
            ("sentiment_model", _("None: articles are only counted")),
            ("target_model", _("The sentiment model")),
        ):
            model: Any = self.fields[field]
            model.choices = [("", nothing), *every]
        people: Any = self.fields["members"]
        people.queryset = User.objects.filter(memberships__workspace=workspace, is_active=True).order_by("email")
        topics: Any = self.fields["topic_models"]
        topics.choices = every

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
