"""The part of a form that limits what is looked at to some articles."""

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.sentiment.models import Monitor, Source, Topic
from apps.sentiment.selectors import sources_of
from apps.sentiment.selectors_meaning import entities_named, topics_of
from apps.sentiment.within import NAMES, Within


class WithinForm(forms.Form):
    """A topic, an entity by its id, name or alias, a source and a language; what is not given: any."""

    topic = forms.ModelChoiceField(
        label=_("Topic"), queryset=Topic.objects.none(), empty_label=_("Any topic"), required=False
    )
    entity = forms.CharField(
        label=_("Entity"), required=False, widget=forms.TextInput(attrs={"size": 12, "placeholder": _("Any")})
    )
    source = forms.ModelChoiceField(
        label=_("Source"), queryset=Source.objects.none(), empty_label=_("Any source"), required=False
    )
    language = forms.CharField(
        label=_("Language"),
        max_length=10,
        required=False,
        widget=forms.TextInput(attrs={"size": 4, "placeholder": "zh"}),
    )

    def offer(self, monitor: Monitor) -> None:
        """The topics and sources of a monitor."""
        rows = {"topic": topics_of(monitor.workspace_id, monitor), "source": sources_of(monitor)}
        for name, found in rows.items():
            field: Any = self.fields.get(name)
            if field is not None:
                field.queryset = found
        self.workspace_id = monitor.workspace_id

    def limits(self) -> list[Any]:
        """The fields that limit it."""
        return [self[name] for name in NAMES if name in self.fields]

    @property
    def is_limited(self) -> bool:
        """Whether not all articles are asked for."""
        return any(field.value() for field in self.limits())

    def clean_entity(self) -> Any:
        """The entity that is named; None for any."""
        name = self.cleaned_data["entity"].strip()
        found = entities_named(self.workspace_id, name).first() if name else None
        if name and found is None:
            raise forms.ValidationError(gettext("There is no entity of this name."))
        return found

    def within(self) -> Within:
        """What was asked for, when it is valid."""
        values = self.cleaned_data
        ids = {name: values[name].pk for name in ("topic", "entity", "source") if values.get(name)}
        return Within(**ids, language=values.get("language", "").strip())
