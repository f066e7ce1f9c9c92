"""Pages of the dashboard: home, jobs, and what can be done with a job."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.dashboard import home as rooms
from apps.dashboard import selectors, services
from apps.dashboard.filters import page_filter
from apps.dashboard.forms import PriorityForm
from apps.dashboard.kinds import kind_of
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.jobs.models import Job
from core.jobs.places import place_of
from core.pages import is_filtered, keyset, workspace_url
from words import say

LOG_LINES = 100


@require_GET
@page("workspace.read")
def home(request: PageRequest) -> HttpResponse:
    """What is running, what needs me, recent results; ?part=now answers the part that changes."""
    context: dict[str, Any] = {"now": rooms.now(request.actor)}
    if request.GET.get("part") == "now":
        return render(request, "dashboard/_now.html", context)
    counts = selectors.counts_of(request.actor.workspace)
    steps = rooms.first_steps(request.actor, counts)
    context |= {"loop": rooms.loop(request.actor, counts), "steps": steps, "done": sum(step.done for step in steps)}
    return render(request, "dashboard/home.html", context)


@require_GET
@page("jobs.read")
def jobs(request: PageRequest) -> HttpResponse:
    """Jobs of the workspace, newest first."""
    workspace = request.actor.workspace
    chosen = page_filter(request.GET, selectors.jobs_of(workspace), selectors.kinds_used(workspace))
    found = keyset(request, chosen.qs)
    for job in found:
        job.kind_info = kind_of(job.kind)
    context = {
        "page": found,
        "filter": chosen,
        "filtered": is_filtered(request, chosen),
        "live": not request.GET.get("before") and any(not job.ended for job in found),
        "unserved": selectors.unserved_queues(workspace),
    }
    return render(request, "dashboard/jobs.html", context)


@require_GET
@page("jobs.read")
def job(request: PageRequest, pk: int) -> HttpResponse:
    """One job: progress, log, attempts and moves."""
    found = _job(request, pk, "jobs.read")
    words = request.GET.get("q", "").replace("\0", "")[:200]
    context = {
        "job": found,
        "queue_place": place_of(found),
        "kind": kind_of(found.kind),
        "words": words,
        "log": keyset(request, selectors.log_of(found, words=words), size=LOG_LINES),
        "attempts": selectors.attempts_of(found)[:50],
        "transitions": selectors.transitions_of(found)[:100],
        "priority": PriorityForm(initial={"priority": found.priority}),
    }
    return render(request, "dashboard/job.html", context)


@require_GET
@page("jobs.read")
def job_progress(request: PageRequest, pk: int) -> HttpResponse:
    """The progress part, asked for again until the job has ended."""
    found = _job(request, pk, "jobs.read")
    return render(request, "core/_job_progress.html", {"job": found, "queue_place": place_of(found)})


@require_GET
@page("jobs.read")
def job_log(request: PageRequest, pk: int) -> HttpResponse:
    """All log lines as a text file, oldest first."""
    found = _job(request, pk, "jobs.read")
    lines = [f"{line.at.isoformat()} {line.level.upper()} {line.message}\n" for line in found.log_lines.order_by("id")]
    headers = {"Content-Disposition": f'attachment; filename="job-{found.pk}.log"'}
    return HttpResponse("".join(lines), content_type="text/plain; charset=utf-8", headers=headers)


@require_POST
@page("jobs.manage")
def job_cancel(request: PageRequest, pk: int) -> HttpResponse:
    """Cancel, or ask the worker to stop."""
    return _do(request, pk, services.cancel, _("The job is being cancelled."))


@require_POST
@page("jobs.manage")
def job_pause(request: PageRequest, pk: int) -> HttpResponse:
    """Pause after the next checkpoint."""
    return _do(request, pk, services.pause, _("The job will pause at its next checkpoint."))


@require_POST
@page("jobs.manage")
def job_resume(request: PageRequest, pk: int) -> HttpResponse:
    """Go on from the last checkpoint."""
    return _do(request, pk, services.resume, _("The job is back in the queue."))


@require_POST
@page("jobs.manage")
def job_retry(request: PageRequest, pk: int) -> HttpResponse:
    """Send a failed or cancelled job again."""
    return _do(request, pk, services.retry, _("The job is back in the queue."))


@require_POST
@page("jobs.manage")
def job_prioritise(request: PageRequest, pk: int) -> HttpResponse:
    """Change the place in the queue."""
    _job(request, pk, "jobs.manage")  # a foreign job is a 404, whatever was sent
    form = PriorityForm(request.POST)
    if not form.is_valid():
        raise Refused("invalid_priority", say("Choose a place in the queue from the list."), field="priority")
    priority = form.cleaned_data["priority"]
    return _do(request, pk, services.prioritise, _("The place in the queue is changed."), priority=priority)


def _job(request: PageRequest, pk: int, permission: str) -> Job:
    rows = Job.objects.select_related("requested_by", "workspace")
    return fetch(request.actor, rows, permission, pk=pk)


def _do(request: PageRequest, pk: int, service: Callable[..., Any], done: str, **values: Any) -> HttpResponse:
    found = _job(request, pk, "jobs.manage")
    try:
        service(actor=request.actor, job=found, **values)
    except Refused as refused:
        messages.warning(request, refused.message)
    else:
        messages.success(request, done)
    return HttpResponseRedirect(workspace_url(request.actor, "dashboard:job", pk=found.pk))
