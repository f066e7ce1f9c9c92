"""Filters of a page as plain values that can be kept under a name, and what is left of kept ones when they are opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django import forms
from django.db.models import Model
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.sentiment.filters import ArticleFilter, moments_of
from apps.sentiment.forms_trends import TrendForm
from apps.sentiment.models import Article, Dimension, Monitor, SavedView, ViewKind
from apps.sentiment.selectors_meaning import entities_named
from apps.sentiment.selectors_trends import names_of
from apps.sentiment.services.saved_views import LONGEST_NAME
from apps.sentiment.within import NAMES
from core.characters import has_lone_surrogate
from core.errors import Problem, Refused
from words import say

Values = dict[str, str | list[str]]
KEY = "key"  # of a series; a trend may name several
FIELDS: dict[str, tuple[str, ...]] = {
    ViewKind.ARTICLES: tuple(ArticleFilter.base_filters),
    ViewKind.TRENDS: (*TrendForm.base_fields, KEY),
}
"""What a page is asked by, and nothing else is kept."""


class SavedViewForm(forms.Form):
    """The name of a view, and whether others see it."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=LONGEST_NAME)
    is_shared = forms.BooleanField(
        label=gettext_lazy("Shared with the workspace"),
        required=False,
        help_text=gettext_lazy("Whoever sees the monitor sees the view."),
    )


@dataclass(frozen=True)
class Kept:
    """Values of a page's form, and what the rows among them are called ("topic:12" -> "Recall")."""

    values: Values = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def is_of(self, view: SavedView) -> bool:
        """Whether a view keeps the same; series in whatever order."""
        return _sorted(self.values) == _sorted(view.filters)


@dataclass(frozen=True)
class Gone:
    """A value of a view that means nothing any more: of which field, what that is called, and what it was called."""

    field: str
    value: str
    label: str
    name: str


@dataclass(frozen=True)
class Opened:
    """What is left of a view, as its page's form takes it, and what is gone."""

    data: QueryDict
    gone: list[Gone]


def query_of(values: Mapping[str, Any]) -> QueryDict:
    """Values as an address has them."""
    made = QueryDict(mutable=True)
    for name, value in values.items():
        made.setlist(name, value if isinstance(value, list) else [value])
    return made


def kept_of(monitor: Monitor, kind: str, data: QueryDict) -> Kept:
    """What `data` asks of a page, checked by the page's form; blank ones are left out.

    Raises:
        Refused: with every field that is not valid, or that the page does not have.
    """
    if unknown := [name for name in data if name not in FIELDS[kind]]:
        raise _refused([(name, _("This page has no such filter.")) for name in unknown])
    if odd := [name for name, values in data.lists() if not all(map(_can_be_kept, values))]:
        raise _refused([(name, _("It holds characters that nobody can store.")) for name in odd])
    return _kept_articles(monitor, data) if kind == ViewKind.ARTICLES else _kept_trend(monitor, data)


def opened(view: SavedView) -> Opened:
    """A view as its page can show it today: what names something gone is left out and told."""
    monitor, data = view.monitor, query_of(view.filters)
    form: Any = _form(monitor, view.kind, data)
    wrong = {name: data.getlist(name) for name in form.errors if name in data}
    if "entity" in data and not entities_named(monitor.workspace_id, data.get("entity", "")).exists():
        wrong["entity"] = data.getlist("entity")
    keys = data.getlist(KEY) if view.kind == ViewKind.TRENDS else []
    known = names_of(monitor, data.get("dimension", ""), keys)
    if missing := [key for key in keys if key not in known]:
        wrong[KEY] = missing
    for name, values in wrong.items():
        data.setlist(name, [value for value in data.getlist(name) if value not in values])
        if not data.getlist(name):
            del data[name]
    labels = {name: str(each.label) for name, each in form.fields.items()}
    labels[KEY] = str(dict(Dimension.choices).get(data.get("dimension", ""), _("Series")))
    return Opened(
        data,
        [
            Gone(name, value, labels[name], view.names.get(f"{name}:{value}", value))
            for name, values in wrong.items()
            for value in values
        ],
    )


def _form(monitor: Monitor, kind: str, data: QueryDict) -> Any:
    if kind == ViewKind.ARTICLES:
        return ArticleFilter(data, Article.objects.none(), monitor=monitor).form
    return TrendForm(data, monitor=monitor)


def _kept_articles(monitor: Monitor, data: QueryDict) -> Kept:
    form = _form(monitor, ViewKind.ARTICLES, data)
    check(form)
    found = {name: value for name, value in form.cleaned_data.items() if value not in (None, "")}
    wrong = [name for name in ("published", "received") if name in found and None in moments_of(found[name])]
    if wrong:
        raise _refused([(name, _("This is no span of time.")) for name in wrong])
    rows: dict[str, Any] = {name: value for name, value in found.items() if isinstance(value, Model)}
    if "entity" in found:
        rows["entity"] = entities_named(monitor.workspace_id, found["entity"]).first()
        if rows["entity"] is None:
            raise _refused([("entity", _("There is no entity of this name."))])
    values = {name: _plain(value) for name, value in found.items()}
    return Kept({**values}, {f"{name}:{values[name]}": row.name for name, row in rows.items()})


def _kept_trend(monitor: Monitor, data: QueryDict) -> Kept:
    form = _form(monitor, ViewKind.TRENDS, data)
    check(form)
    given = form.cleaned_data
    values: Values = {name: str(form.data[name]) for name in ("measure", "dimension", "span", "clock")}
    if given["span"] == "dates":
        values |= {name: _plain(given[name]) for name in ("since", "until") if given[name]}
    values |= {name: str(form.data[name]) for name in ("seconds", "market") if form.data.get(name)}
    values |= {name: "on" for name in ("compare", "voice") if given[name]}
    limits = {name: given[name] for name in NAMES if given[name]}
    values |= {name: str(form.data[name]).strip() if name == "entity" else _plain(row) for name, row in limits.items()}
    called = {f"{name}:{values[name]}": str(row) for name, row in limits.items() if isinstance(row, Model)}
    if given["dimension"] == Dimension.TOTAL or not form.keys:
        return Kept(values, called)
    names = names_of(monitor, given["dimension"], form.keys)
    if missing := [key for key in form.keys if key not in names]:
        raise _refused([(KEY, say("This monitor has no such series.")) for _key in missing])
    called |= {f"{KEY}:{key}": name for key, name in names.items()}
    return Kept({**values, KEY: list(form.keys)}, called)


def _sorted(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: sorted(value) if isinstance(value, list) else value for name, value in values.items()}


def _plain(value: Any) -> str:
    if isinstance(value, Model):
        return str(value.pk)
    return value.isoformat() if isinstance(value, date) else str(value)


def _can_be_kept(text: str) -> bool:
    return "\0" not in text and not has_lone_surrogate(text)


def check(form: Any) -> None:
    """Refused with all that a page's form finds wrong."""
    if not form.is_valid():
        raise _refused(
            [(name if name in form.fields else "", error) for name in form.errors for error in form.errors[name]]
        )


def _refused(wrong: list[tuple[str, str]]) -> Refused:
    problems = [Problem("bad_filter", message, field) for field, message in wrong]
    return Refused("bad_filter", problems[0].message, problems=problems)
