"""What the pages of one dataset share: fetching, tabs, and refusals shown in a form."""

from typing import Any

from django import forms
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from apps.datasets.models import Dataset
from core import pages
from core.access import PageRequest, fetch
from core.errors import Refused


def dataset_of(request: PageRequest, pk: int, permission: str = "datasets.read") -> Dataset:
    """The dataset of the page."""
    rows = Dataset.objects.select_related("workspace", "created_by", "profile_job", "split_job")
    return fetch(request.actor, rows, permission, pk=pk)


def tabs() -> list[tuple[str, str, str]]:
    """(url name, words, icon) of the tabs of a dataset."""
    return [
        ("detail", _("Examples"), "list"),
        ("imports", _("Imports"), "file-import"),
        ("profile", pgettext("dataset", "Profile"), "report-analytics"),
        ("splits", _("Splits"), "arrows-shuffle"),
        ("versions", _("Versions"), "versions"),
        ("exports", _("Exports"), "file-export"),
        ("settings", _("Settings"), "settings"),
    ]


def framed(dataset: Dataset, tab: str, **context: Any) -> dict[str, Any]:
    """Context of a page below a dataset."""
    return {"dataset": dataset, "tab": tab, "tabs": tabs(), **context}


def show_refusal(form: forms.Form, refused: Refused) -> None:
    """Put each problem beside the field it names; one of a record beside its part."""
    pages.show_refusal(form, refused, lambda name: name.removeprefix("record.").split(".")[0])


def one_of(rows: Any, **lookup: Any) -> Any:
    """The row of this dataset that `lookup` names, else a 404."""
    try:
        found = rows.filter(**lookup).first()
    except (ValueError, OverflowError) as error:
        raise Http404 from error
    if found is None:
        raise Http404
    return found
