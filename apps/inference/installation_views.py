"""The page of the whole installation."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.accounts.models import User
from apps.inference.installation import installation


@login_required
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Queues, workers, requests and memory of all workspaces; for operators, a 404 for others."""
    assert isinstance(request.user, User)
    if not request.user.is_operator:
        raise Http404
    return render(request, "inference/installation.html", {"all": installation()})
