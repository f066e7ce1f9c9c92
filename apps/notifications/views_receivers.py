"""Pages of receivers and of what was sent to them."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.notifications import selectors, services
from apps.notifications.channels.apprise import SERVICES
from apps.notifications.filters import DeliveryFilter
from apps.notifications.forms import ReceiverForm
from apps.notifications.models import Delivery, Receiver
from apps.notifications.wording import PLACES
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.once import once
from core.pages import is_filtered, keyset, show_refusal, workspace_url

READ, WRITE = "receivers.read", "receivers.write"
OWN_DELIVERIES = "dispatch__receiver__workspace"


@require_GET
@page(READ)
def index(request: PageRequest) -> HttpResponse:
    """All receivers."""
    context = {
        "receivers": selectors.receivers_of(request.actor.workspace),
        "mail_configured": selectors.mail_configured(),
    }
    return render(request, "notifications/receivers.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page(WRITE)
@once(seconds=30)
def new(request: PageRequest) -> HttpResponse:
    """A receiver's form; the secret of a webhook is in this answer only."""
    form = ReceiverForm(request.POST or None, workspace=request.actor.workspace)
    if request.method == "POST" and form.is_valid():
        try:
            receiver, secret = services.create_receiver(actor=request.actor, **form.columns())
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return _with_secret(request, receiver, secret)
    return _edited(request, form, None)


@require_http_methods(["GET", "HEAD", "POST"])
@page(WRITE)
def edit(request: PageRequest, pk: int) -> HttpResponse:
    """Change a receiver."""
    found = fetch(request.actor, Receiver, WRITE, pk=pk)
    form = ReceiverForm(request.POST or None, workspace=request.actor.workspace, instance=found)
    if request.method == "POST" and form.is_valid():
        try:
            services.change_receiver(actor=request.actor, receiver=found, **form.columns())
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, _("Saved."))
            return redirect(workspace_url(request.actor, "receivers:one", pk=found.pk))
    return _edited(request, form, found)


def _edited(request: PageRequest, form: ReceiverForm, found: Receiver | None) -> HttpResponse:
    context = {
        "form": form,
        "receiver": found,
        "services": list(dict.fromkeys(SERVICES.values())),
        "places": [f"{{{name}}}" for name in PLACES],
    }
    return render(request, "notifications/receiver_edit.html", context, status=422 if form.errors else 200)


def _with_secret(request: PageRequest, receiver: Receiver, secret: str) -> HttpResponse:
    if not secret:
        messages.success(request, _("Saved. Send a test to see whether messages arrive."))
        return redirect(workspace_url(request.actor, "receivers:one", pk=receiver.pk))
    response = render(
        request, "notifications/receiver_secret.html", {"receiver": receiver, "secret": secret}, status=201
    )
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@page(WRITE)
def preview(request: PageRequest) -> HttpResponse:
    """The part that shows how an example reads by the templates of the form."""
    try:
        words = services.preview(
            actor=request.actor,
            language=request.POST.get("language", ""),
            subject_template=request.POST.get("subject_template", ""),
            body_template=request.POST.get("body_template", ""),
        )
    except Refused as refused:
        return render(request, "notifications/_preview.html", {"refused": refused})
    return render(request, "notifications/_preview.html", {"words": words})


@require_GET
@page(READ)
def one(request: PageRequest, pk: int) -> HttpResponse:
    """A receiver and its delivery log; the log alone when it asks for itself."""
    found = fetch(request.actor, Receiver.objects.prefetch_related("people"), READ, pk=pk)
    filters = DeliveryFilter(request.GET, selectors.deliveries_of(found))
    rows = keyset(request, filters.qs if filters.is_valid() else Delivery.objects.none(), size=50)
    context = {
        "receiver": found,
        "filter": filters,
        "filtered": is_filtered(request, filters),
        "page": rows,
        "is_moving": any(row.state in {"waiting", "sending"} for row in rows),
        "mail_missing": found.kind == "mail" and not selectors.mail_configured(),
    }
    name = "notifications/_log.html" if request.htmx else "notifications/receiver.html"
    return render(request, name, context)


@require_POST
@page(WRITE)
def test(request: PageRequest, pk: int) -> HttpResponse:
    """Send a test by the way all messages go."""
    found = fetch(request.actor, Receiver.objects.select_related("workspace"), WRITE, pk=pk)
    services.send_test(actor=request.actor, receiver=found)
    messages.success(request, _("The test is on its way; its line below says how it went."))
    return redirect(workspace_url(request.actor, "receivers:one", pk=found.pk))


@require_POST
@page(WRITE)
def rotate(request: PageRequest, pk: int) -> HttpResponse:
    """Another secret, shown in this answer only."""
    found = fetch(request.actor, Receiver, WRITE, pk=pk)
    return _with_secret(request, found, services.rotate_secret(actor=request.actor, receiver=found))


@require_POST
@page(WRITE)
def delete(request: PageRequest, pk: int) -> HttpResponse:
    """Take a receiver away with its messages."""
    found = fetch(request.actor, Receiver, WRITE, pk=pk)
    services.delete_receiver(actor=request.actor, receiver=found)
    messages.success(request, _("“%s” is deleted.") % found.name)
    return redirect(workspace_url(request.actor, "receivers:list"))


@require_POST
@page(WRITE)
def resend(request: PageRequest, pk: int) -> HttpResponse:
    """Send a delivery once more."""
    rows = Delivery.objects.select_related("dispatch__receiver")
    found = fetch(request.actor, rows, WRITE, pk=pk, within=OWN_DELIVERIES)
    assert found.dispatch is not None
    services.resend(actor=request.actor, delivery=found)
    messages.success(request, _("It is sent again."))
    return redirect(workspace_url(request.actor, "receivers:one", pk=found.dispatch.receiver_id))
