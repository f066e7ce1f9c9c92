"""Forms of topics and entities."""

import re
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.sentiment.models import Alias, Entity, EntityKind, Monitor, Topic
from apps.sentiment.services.entities import LONGEST_NAME, MOST_ALIASES
from core.access import Actor, rows_of

SEPARATORS = re.compile(r"[,，;；、\n]+")
LONGEST_TEXT = 20_000  # of the try-out


class Parted(forms.CharField):
    """Several words in one field, parted by commas or lines."""

    def to_python(self, value: Any) -> Any:
        """A list without blanks and empty words."""
        return [word.strip() for word in SEPARATORS.split(super().to_python(value) or "") if word.strip()]

    def prepare_value(self, value: Any) -> Any:
        """As it is typed."""
        return ", ".join(value) if isinstance(value, list) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compares words, not commas."""
        return bool(list(initial or []) != self.to_python(data or ""))


class EntityForm(forms.ModelForm):  # type: ignore[type-arg]
    """Who or what is found; its aliases stand beside it."""

    name = forms.CharField(label=_("Name"), max_length=LONGEST_NAME)
    kind = forms.ChoiceField(label=_("Kind"), choices=EntityKind.choices)
    tickers = Parted(label=_("Tickers"), required=False, help_text=_("Such as 600519.SH, 0700.HK, AAPL."))

    class Meta:
        model = Entity
        fields = ("name", "kind", "tickers", "is_enabled")

    def _post_clean(self) -> None:
        """The service sets columns; the form leaves its instance alone."""


class AliasForm(forms.Form):
    """One name of an entity."""

    text = forms.CharField(label=_("Alias"), max_length=LONGEST_NAME, required=False)
    is_ambiguous = forms.BooleanField(label=_("Ambiguous"), required=False)
    required = Parted(label=_("Words that must stand near"), required=False)
    forbidden = Parted(label=_("Words that must not stand near"), required=False)


AliasForms = forms.formset_factory(AliasForm, extra=3, max_num=MOST_ALIASES, validate_max=True)


def aliases_of(forms: Any) -> list[dict[str, Any]]:
    """What the rows hold; one whose name was emptied is gone."""
    rows = [form.cleaned_data for form in forms if form.cleaned_data.get("text")]
    return [{name: row[name] for name in ("text", "is_ambiguous", "required", "forbidden")} for row in rows]


def alias_rows(entity: Entity | None) -> list[dict[str, Any]]:
    """What the rows show at first."""
    names = ("text", "is_ambiguous", "required", "forbidden")
    if entity is None:
        return []
    return list(Alias.objects.filter(entity=entity).order_by("id").values(*names))


class ImportForm(forms.Form):
    """A table of entities as CSV."""

    file = forms.FileField(
        label=_("CSV file"),
        help_text=_(
            "Columns: name, kind, tickers, is_enabled, alias, language, is_ambiguous, required, forbidden."
            " Part words of a cell by semicolons. A new entity is found by its own name, too."
        ),
    )


class TryForm(forms.Form):
    """A text to try the table on."""

    text = forms.CharField(label=_("Text"), max_length=LONGEST_TEXT, widget=forms.Textarea(attrs={"rows": 4}))


class TopicForm(forms.ModelForm):  # type: ignore[type-arg]
    """A topic: where it stands, and how articles get it."""

    key = forms.CharField(
        label=_("Key"), max_length=60, required=False, help_text=_("Stands for it in the API; empty: its name.")
    )
    words = Parted(
        label=_("Words"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("An article that holds one of them has the topic. Part them by commas."),
    )
    labels = Parted(
        label=_("Labels"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Labels of the topic versions of a monitor that mean this topic, besides its key."),
    )

    class Meta:
        model = Topic
        fields = ("name", "key", "description", "parent", "monitor", "words", "labels", "is_enabled")
        labels = {"parent": _("Below"), "monitor": _("Monitor")}

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        parent, monitor = self.fields["parent"], self.fields["monitor"]
        topics = rows_of(actor, Topic).order_by("name")
        parent.queryset = topics.exclude(pk=self.instance.pk) if self.instance.pk else topics  # type: ignore[attr-defined]
        monitor.queryset = rows_of(actor, Monitor).order_by("name")  # type: ignore[attr-defined]
        parent.empty_label, monitor.empty_label = _("None: it stands alone"), _("All monitors")  # type: ignore[attr-defined]

    def _post_clean(self) -> None:
        """The service sets columns; the form leaves its instance alone."""
