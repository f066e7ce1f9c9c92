"""Pages of digests: seen, downloaded as PDF, and set up to be sent."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.sentiment.digest_forms import DigestScheduleForm
from apps.sentiment.digest_pdf import pdf_of
from apps.sentiment.digest_words import context_of
from apps.sentiment.digests import DAYS, Digest, Period, begin_of_day, digest_of
from apps.sentiment.models import Monitor
from apps.sentiment.services.digests import base_url, schedule_digest, schedules_of
from core.access import PageRequest, fetch, page, require
from core.errors import Refused
from core.once import once
from core.pages import show_refusal, workspace_url
from core.schedules.cron import described

READ, WRITE = "sentiment.read", "sentiment.write"


@require_GET
@page(READ)
def digest(request: PageRequest, pk: int) -> HttpResponse:
    """The digest of a day or week, now or as it was on an earlier day."""
    found = _monitor(request, pk)
    return _page(request, found, DigestScheduleForm(workspace=request.actor.workspace))


@require_GET
@page(READ)
def pdf(request: PageRequest, pk: int) -> HttpResponse:
    """The same as a file."""
    found = _monitor(request, pk)
    made = _asked(request, found)
    name = f"digest-{made.end_at:%Y-%m-%d}.pdf"
    answer = HttpResponse(pdf_of(made, base_url(found)), content_type="application/pdf")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


@require_POST
@page(WRITE)
@once(seconds=30)
def schedule(request: PageRequest, pk: int) -> HttpResponse:
    """Let it be sent every day or week."""
    require(request.actor, "schedules.write")
    found = _monitor(request, pk, WRITE)
    form = DigestScheduleForm(request.POST, workspace=request.actor.workspace)
    if form.is_valid():
        try:
            schedule_digest(actor=request.actor, monitor=found, **form.columns())
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, _("The digest is sent from now on."))
            return redirect(workspace_url(request.actor, "sentiment:digest", pk=found.pk))
    return _page(request, found, form)


def _monitor(request: PageRequest, pk: int, permission: str = READ) -> Monitor:
    return fetch(request.actor, Monitor.objects.select_related("workspace"), permission, pk=pk)


def _page(request: PageRequest, monitor: Monitor, form: DigestScheduleForm) -> HttpResponse:
    made = _asked(request, monitor)
    length = timedelta(days=DAYS[made.period])
    today = timezone.now().astimezone(ZoneInfo(monitor.time_zone))
    later = made.end_at + length
    context: dict[str, Any] = {
        **context_of(made, base_url(monitor)),
        "monitor": monitor,
        "periods": Period.choices,
        "earlier_day": (made.end_at - length).date(),
        "later_day": later.date() if later <= today else None,
        "until": request.GET.get("until", ""),
        "schedules": [(row, described(row.expression)) for row in schedules_of(monitor)],
        "form": form,
    }
    return render(request, "sentiment/digest.html", context, status=422 if form.errors else 200)


def _asked(request: PageRequest, monitor: Monitor) -> Digest:
    """?period=day|week and ?until=YYYY-MM-DD, whose begin ends the period; up to now without it."""
    period = request.GET.get("period", Period.DAY.value)
    try:
        day = parse_date(request.GET.get("until", ""))
    except ValueError:
        day = None
    until = (begin_of_day(day, ZoneInfo(monitor.time_zone)) if day else None) or timezone.now()
    return digest_of(monitor, period=period if period in DAYS else Period.DAY.value, until=until)
