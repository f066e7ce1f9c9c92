"""The audit trail as a page and as a download."""

from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from apps.accounts import exports, selectors
from apps.accounts.filters import AuditFilter
from core.access import PageRequest, page
from core.pages import keyset
from core.streaming import streamed


@page("audit.read")
@require_GET
def trail(request: PageRequest) -> HttpResponse:
    """Who did what and when, newest first."""
    found = AuditFilter(request.GET, queryset=selectors.audit_entries(request.actor.workspace), request=request)
    context = {
        "filter": found,
        "entries": keyset(request, found.qs),
        "query": _without_cursor(request),
        "section": "audit",
    }
    return render(request, "accounts/audit.html", context)


@page("audit.read")
@require_GET
def export(request: PageRequest, kind: str) -> HttpResponseBase:
    """The filtered trail as a file."""
    if kind not in exports.CONTENT_TYPES:
        raise Http404
    found = AuditFilter(request.GET, queryset=selectors.audit_entries(request.actor.workspace), request=request)
    name = f"audit-{request.actor.workspace.slug}-{timezone.now():%Y%m%d}.{kind}"
    return streamed(exports.write(found.qs, kind), filename=name, content_type=exports.CONTENT_TYPES[kind])


def _without_cursor(request: PageRequest) -> str:
    query = request.GET.copy()
    for name in ("before", "after"):
        query.pop(name, None)
    return query.urlencode()
