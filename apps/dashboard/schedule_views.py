"""Pages of schedules: what runs when, how it went, and what can be done about it."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.dashboard import scheduling
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.pages import show_refusal, workspace_url
from core.requests import zones
from core.schedules.actions import action
from core.schedules.cron import LONGEST, described
from core.schedules.models import Schedule

READ, WRITE = "schedules.read", "schedules.write"


class ScheduleForm(forms.Form):
    """When it runs."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=120)
    expression = forms.CharField(
        label=gettext_lazy("Cron expression"),
        max_length=LONGEST,
        help_text=gettext_lazy("Minute, hour, day of month, month, day of week: 0 8 * * 1-5 is Monday to Friday at 8."),
    )
    time_zone = forms.ChoiceField(
        label=gettext_lazy("Time zone"), choices=lambda: tuple((name, name) for name in sorted(zones()))
    )
    arguments = forms.JSONField(
        label=gettext_lazy("Arguments"), widget=forms.Textarea(attrs={"rows": 6, "class": "font-monospace"})
    )
    is_enabled = forms.BooleanField(label=gettext_lazy("Runs"), required=False)


@require_GET
@page(READ)
def schedules(request: PageRequest) -> HttpResponse:
    """All schedules of the workspace."""
    rows = Schedule.objects.filter(workspace=request.actor.workspace).order_by("name", "id")
    return render(request, "dashboard/schedules.html", {"schedules": [_shown(row) for row in rows]})


def _shown(schedule: Schedule) -> dict[str, Any]:
    """A schedule with what its action says of it; an action that this installation no longer has says nothing."""
    try:
        found = action(schedule.action)
    except Refused:
        return {"row": schedule, "title": schedule.action, "habit": described(schedule.expression), "page": ""}
    page_of = found.page(schedule.arguments) if schedule.arguments else ""
    return {"row": schedule, "title": found.title, "habit": described(schedule.expression), "page": page_of}


@require_http_methods(["GET", "HEAD", "POST"])
@page(READ)
def edit(request: PageRequest, pk: int) -> HttpResponse:
    """One schedule and its form."""
    found = fetch(request.actor, Schedule, WRITE if request.method == "POST" else READ, pk=pk)
    initial = {name: getattr(found, name) for name in ("name", "expression", "time_zone", "arguments", "is_enabled")}
    form = ScheduleForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            scheduling.change(actor=request.actor, schedule=found, **form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, _("Saved."))
            return redirect(workspace_url(request.actor, "dashboard:schedules"))
    context = {"form": form, "schedule": found, **_shown(found)}
    return render(request, "dashboard/schedule.html", context, status=422 if form.errors else 200)


@require_POST
@page(WRITE)
def run(request: PageRequest, pk: int) -> HttpResponse:
    """Run it as soon as a worker is free."""
    found = fetch(request.actor, Schedule, WRITE, pk=pk)
    scheduling.run_now(actor=request.actor, schedule=found)
    messages.success(request, _("It runs as soon as a worker is free."))
    return redirect(workspace_url(request.actor, "dashboard:schedules"))


@require_POST
@page(WRITE)
def switch(request: PageRequest, pk: int) -> HttpResponse:
    """Pause it, or let it run again."""
    found = fetch(request.actor, Schedule, WRITE, pk=pk)
    scheduling.change(actor=request.actor, schedule=found, is_enabled=not found.is_enabled)
    return redirect(workspace_url(request.actor, "dashboard:schedules"))


@require_POST
@page(WRITE)
def delete(request: PageRequest, pk: int) -> HttpResponse:
    """Take it away."""
    found = fetch(request.actor, Schedule, WRITE, pk=pk)
    scheduling.delete(actor=request.actor, schedule=found)
    messages.success(request, _("“%s” is deleted.") % found.name)
    return redirect(workspace_url(request.actor, "dashboard:schedules"))
