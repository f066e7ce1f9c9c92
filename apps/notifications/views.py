"""The bell and the list of notices."""

from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.notifications import selectors, services
from apps.notifications.models import Notice
from core.access import PageRequest, fetch, page
from core.pages import keyset, workspace_url


@page("notifications.read")
@require_GET
def notices(request: PageRequest) -> HttpResponse:
    """Everything this person was told in this workspace."""
    rows = selectors.notices(request.actor)
    unread_only = request.GET.get("unread") == "1"
    found = keyset(request, rows.filter(read_at=None) if unread_only else rows)
    context = {"page": found, "unread_only": unread_only, "unread_count": selectors.unread_count(request.actor)}
    return render(request, "notifications/list.html", context)


@page("notifications.read")
@require_GET
def menu(request: PageRequest) -> HttpResponse:
    """The part below the bell."""
    return render(request, "notifications/_menu.html", selectors.menu(request.actor))


@page("notifications.read")
@require_GET
def count(request: PageRequest) -> HttpResponse:
    """How many are unread: a badge for the bell, or JSON when asked for; counted up to 100."""
    number = selectors.unread_count(request.actor)
    if request.htmx:
        context = {"unread_count": number, "unread_label": selectors.bounded(number)}
        return render(request, "notifications/_badge.html", context)
    return JsonResponse({"unread": number, "label": selectors.bounded(number)})


@page("notifications.read")
@require_POST
def open_notice(request: PageRequest, pk: int) -> HttpResponse:
    """Mark one as read and go to the page it speaks of."""
    mine = Notice.objects.filter(user=request.actor.user)
    notice = fetch(request.actor, mine, "notifications.read", pk=pk)
    services.mark_read(actor=request.actor, notice=notice)
    return redirect(f"/w/{request.actor.workspace.slug}/{notice.page.lstrip('/')}")


@page("notifications.read")
@require_POST
def read_all(request: PageRequest) -> HttpResponse:
    """Mark everything as read."""
    services.mark_all_read(actor=request.actor)
    if request.htmx:
        part = render(request, "notifications/_menu.html", selectors.menu(request.actor))
        part["HX-Trigger"] = "notices-read"  # the bell counts anew
        return part
    return redirect(workspace_url(request.actor, "notifications:list"))
