"""Pages of rules: the list, the form with its back-test, silences, and replays."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.sentiment import rule_words, selectors_alerts, services
from apps.sentiment.forms_rules import RuleForm, SilenceForm, SpanForm
from apps.sentiment.models import Clock, Monitor, Replay, Rule, RuleKind, Silence
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.once import once
from core.pages import keyset, show_refusal, workspace_url

READ, WRITE = "sentiment.read", "sentiment.write"
BACK_TEST_DAYS = (7, 30, 90)


@require_GET
@page(READ)
def index(request: PageRequest, pk: int) -> HttpResponse:
    """Rules of a monitor, how useful they were, and silences."""
    found = fetch(request.actor, Monitor, READ, pk=pk)
    context = {
        "monitor": found,
        "rules": list(selectors_alerts.rules_of(found)),
        "kinds": selectors_alerts.precisions(found),
        "silences": selectors_alerts.silences_of(found)[:20],
        "silence_form": SilenceForm(monitor=found),
        "now": timezone.now(),
    }
    return render(request, "sentiment/rules.html", context)


@require_GET
@page(WRITE)
def choose(request: PageRequest, pk: int) -> HttpResponse:
    """The kinds of rules."""
    found = fetch(request.actor, Monitor, WRITE, pk=pk)
    kinds = [(kind.value, kind.label, *rule_words.KINDS[kind]) for kind in RuleKind]
    return render(request, "sentiment/rule_kinds.html", {"monitor": found, "kinds": kinds})


@require_http_methods(["GET", "HEAD", "POST"])
@page(WRITE)
@once(seconds=30)
def new(request: PageRequest, pk: int, kind: str) -> HttpResponse:
    """The form of a new rule."""
    found = fetch(request.actor, Monitor, WRITE, pk=pk)
    return _form(request, found, kind, None)


@require_http_methods(["GET", "HEAD", "POST"])
@page(READ)
def rule(request: PageRequest, pk: int) -> HttpResponse:
    """A rule: what it says now, and its form."""
    rows = Rule.objects.select_related("monitor")
    found = fetch(request.actor, rows, WRITE if request.method == "POST" else READ, pk=pk, within="monitor__workspace")
    return _form(request, found.monitor, found.kind, found)


def _form(request: PageRequest, monitor: Monitor, kind: str, found: Rule | None) -> HttpResponse:
    if kind not in RuleKind.values:
        kind = RuleKind.SURGE
    form = RuleForm(request.POST or None, monitor=monitor, kind=kind, rule=found)
    if request.method == "POST" and form.is_valid():
        try:
            if found is None:
                services.create_rule(actor=request.actor, monitor=monitor, relations=form.relations(), **form.columns())
            else:
                services.change_rule(actor=request.actor, rule=found, relations=form.relations(), **form.columns())
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, _("Saved."))
            return redirect(workspace_url(request.actor, "sentiment:rules", pk=monitor.pk))
    context = {
        "form": form,
        "monitor": monitor,
        "rule": found,
        "kind": kind,
        "kind_name": RuleKind(kind).label,
        "kind_meaning": rule_words.KINDS[kind][0],
        "days": BACK_TEST_DAYS,
        "clocks": Clock.choices,
        "verdicts": _verdicts(monitor, found) if found else [],
        "alerts": selectors_alerts.alerts_of(monitor).filter(rule=found)[:8] if found else [],
    }
    return render(request, "sentiment/rule.html", context, status=422 if form.errors else 200)


def _verdicts(monitor: Monitor, found: Rule) -> list[dict[str, Any]]:
    """What a rule said last, with the names of its series."""
    names = selectors_alerts.names_of(found, [each["key"] for each in found.verdicts])
    return [
        {**each, "name": names.get(each["key"]) or _("All articles"), "how": rule_words.METHODS.get(each["method"], "")}
        for each in found.verdicts
    ]


@require_POST
@page(WRITE)
def back_test(request: PageRequest, pk: int, kind: str) -> HttpResponse:
    """Try a rule that is not saved yet on the days before."""
    monitor = fetch(request.actor, Monitor, WRITE, pk=pk)
    saved = request.POST.get("rule", "")
    rows = Rule.objects.filter(monitor=monitor)
    found = (
        fetch(request.actor, rows, WRITE, pk=int(saved), within="monitor__workspace")
        if selectors_alerts.is_id(saved)
        else None
    )
    form = RuleForm(request.POST, monitor=monitor, kind=kind if kind in RuleKind.values else RuleKind.SURGE, rule=found)
    form.fields["name"].required = False
    context: dict[str, Any] = {"monitor": monitor}
    if form.is_valid():
        now = timezone.now()
        days = request.POST.get("days", "")
        begin = now - timedelta(days=int(days) if days.isdigit() and int(days) in BACK_TEST_DAYS else 30)
        try:
            columns = form.columns()
            context["replay"] = services.back_test(
                actor=request.actor, monitor=monitor, begin_at=begin, end_at=now,
                clock=request.POST.get("clock", Clock.RECEIVED), **columns,
            )  # fmt: skip
        except Refused as refused:
            context["problem"] = refused.message
    else:
        context["problem"] = " ".join(str(error) for errors in form.errors.values() for error in errors)
    return render(request, "sentiment/_replay.html", context)


@require_POST
@page(WRITE)
def switch(request: PageRequest, pk: int) -> HttpResponse:
    """Switch a rule on or off."""
    found = fetch(request.actor, Rule.objects.select_related("monitor"), WRITE, pk=pk, within="monitor__workspace")
    services.change_rule(actor=request.actor, rule=found, is_enabled=request.POST.get("on") == "1")
    return redirect(workspace_url(request.actor, "sentiment:rules", pk=found.monitor_id))


@require_POST
@page(WRITE)
def delete(request: PageRequest, pk: int) -> HttpResponse:
    """Take a rule away; its alerts stay."""
    found = fetch(request.actor, Rule.objects.select_related("monitor"), WRITE, pk=pk, within="monitor__workspace")
    services.delete_rule(actor=request.actor, rule=found)
    messages.success(request, _("“%s” is deleted.") % found.name)
    return redirect(workspace_url(request.actor, "sentiment:rules", pk=found.monitor_id))


@require_POST
@page(WRITE)
@once(seconds=30)
def silence(request: PageRequest, pk: int) -> HttpResponse:
    """Tell nobody for a while."""
    found = fetch(request.actor, Monitor, WRITE, pk=pk)
    form = SilenceForm(request.POST, monitor=found)
    if form.is_valid():
        now = timezone.now()
        services.add_silence(
            actor=request.actor, monitor=found, begin_at=now, end_at=now + timedelta(hours=form.cleaned_data["hours"]),
            reason=form.cleaned_data["reason"], rule=form.cleaned_data["rule"],
        )  # fmt: skip
        messages.success(request, _("Nobody is told for now; alerts are kept all the same."))
    else:
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
    return redirect(workspace_url(request.actor, "sentiment:rules", pk=found.pk))


@require_POST
@page(WRITE)
def end_silence(request: PageRequest, pk: int) -> HttpResponse:
    """Tell people again."""
    found = fetch(request.actor, Silence, WRITE, pk=pk, within="monitor__workspace")
    monitor = found.monitor_id
    services.end_silence(actor=request.actor, silence=found)
    return redirect(workspace_url(request.actor, "sentiment:rules", pk=monitor))


@require_http_methods(["GET", "HEAD", "POST"])
@page(READ)
@once(seconds=30)
def replays(request: PageRequest, pk: int) -> HttpResponse:
    """Replays of a monitor, and the form of a new one."""
    permission = WRITE if request.method == "POST" else READ
    found = fetch(request.actor, Monitor, permission, pk=pk)
    form = SpanForm(request.POST or None, monitor=found)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.replay(
                actor=request.actor, monitor=found,
                begin_at=_day(found, form.cleaned_data["begin"]),
                end_at=min(_day(found, form.cleaned_data["end"] + timedelta(days=1)), timezone.now()),
                clock=form.cleaned_data["clock"],
            )  # fmt: skip
        except Refused as refused:
            form.add_error(None, refused.message)
        else:
            return redirect(workspace_url(request.actor, "sentiment:replay", pk=made.pk))
    context = {
        "monitor": found,
        "form": form,
        "page": keyset(request, selectors_alerts.replays_of(found), size=25),
    }
    return render(request, "sentiment/replays.html", context, status=422 if form.errors else 200)


def _day(monitor: Monitor, day: Any) -> datetime:
    """The begin of a day where the monitor lives."""
    return datetime.combine(day, time(), ZoneInfo(monitor.time_zone)).astimezone(UTC)


@require_GET
@page(READ)
def replay(request: PageRequest, pk: int) -> HttpResponse:
    """What a replay or a back-test found; the part alone while it runs."""
    rows = Replay.objects.select_related("monitor", "job")
    found = fetch(request.actor, rows, READ, pk=pk, within="monitor__workspace")
    context = {"replay": found, "monitor": found.monitor, "chart": _chart(found)}
    part = request.headers.get("HX-Request") == "true"
    return render(request, "sentiment/_replay.html" if part else "sentiment/replay.html", context)


def _chart(found: Replay) -> dict[str, Any]:
    """Alerts a day."""
    if not found.result or not found.result["alerts"]:
        return {}
    zone = ZoneInfo(found.monitor.time_zone)
    days = [datetime.fromisoformat(each["fired_at"]).astimezone(zone).date() for each in found.result["alerts"]]
    first, last = found.begin_at.astimezone(zone).date(), found.end_at.astimezone(zone).date()
    span = [first + timedelta(days=at) for at in range((last - first).days + 1)]
    return {
        "categories": [formats.date_format(day, _("M j")) for day in span],
        "series": [{"name": _("Alerts"), "values": [days.count(day) for day in span]}],
        "counts": True,
    }
