"""Pages on which a file of articles brings history in: upload, columns with preview, progress."""

from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods

from apps.sentiment import services
from apps.sentiment.models import Backfill, Monitor
from apps.sentiment.services.backfills import FIELDS, previewed
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.once import once
from core.pages import show_refusal, workspace_url

READ, WRITE = "sentiment.read", "sentiment.write"
FIELD_NAMES = {
    "title": _("Title"),
    "body": _("Text"),
    "published_at": _("Published"),
    "url": _("Web address"),
    "external_id": _("Id"),
    "author": _("Author"),
    "language": _("Language"),
}


class FileForm(forms.Form):
    """A file, and the source its articles go to."""

    file = forms.FileField(label=_("File"), max_length=1000)
    name = forms.CharField(
        label=_("Source"),
        required=False,
        max_length=120,
        help_text=_(
            "Empty takes the file's name. A file that is sent again goes to the same source and adds nothing twice."
        ),
    )


class ColumnsForm(forms.Form):
    """Which column is what."""

    def __init__(self, *args: Any, columns: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in FIELDS:
            self.fields[field] = forms.ChoiceField(
                label=FIELD_NAMES[field], required=False, choices=[("", "–"), *((each, each) for each in columns)]
            )


@require_http_methods(["GET", "HEAD", "POST"])
@page(WRITE)
@once(seconds=10)
def new(request: PageRequest, pk: int) -> HttpResponse:
    """Upload a file of articles of the past."""
    monitor = fetch(request.actor, Monitor, WRITE, pk=pk)
    form = FileForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.receive_backfill(
                actor=request.actor, monitor=monitor, upload=form.cleaned_data["file"], name=form.cleaned_data["name"]
            )
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return redirect(workspace_url(request.actor, "sentiment:backfill", pk=made.pk))
    context = {"form": form, "monitor": monitor}
    return render(request, "sentiment/backfill_new.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@page(READ)
@once(seconds=5)
def one(request: PageRequest, pk: int) -> HttpResponse:
    """Before it is started: the columns and what the first rows become. Then how far it is."""
    rows = Backfill.objects.select_related("source__monitor__workspace", "job")
    permission = WRITE if request.method == "POST" else READ
    found = fetch(request.actor, rows, permission, pk=pk, within="source__monitor__workspace")
    context: dict[str, Any] = {"backfill": found, "monitor": found.source.monitor}
    if found.job_id is not None:
        return render(request, "sentiment/backfill.html", context)
    form = ColumnsForm(request.POST or request.GET or None, columns=found.columns, initial=found.mapping)
    if form.is_bound and form.is_valid():
        found.mapping = form.cleaned_data
        if request.method == "POST":
            try:
                services.start_backfill(actor=request.actor, backfill=found, mapping=form.cleaned_data)
            except Refused as refused:
                show_refusal(form, refused)
            else:
                return redirect(workspace_url(request.actor, "sentiment:backfill", pk=found.pk))
    told, problems = previewed(found, now=timezone.now())
    context |= {"form": form, "rows": told, "problems": problems}
    return render(request, "sentiment/backfill_columns.html", context, status=422 if form.errors else 200)


@require_GET
@page(READ)
def live(request: PageRequest, pk: int) -> HttpResponse:
    """The part that changes while it is read."""
    rows = Backfill.objects.select_related("source", "job")
    found = fetch(request.actor, rows, READ, pk=pk, within="source__monitor__workspace")
    return render(request, "sentiment/_backfill_counts.html", {"backfill": found})
