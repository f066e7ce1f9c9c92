"""The part of a version's page that tells what it still knows of the tasks of its lineage."""

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.evaluation import services
from apps.evaluation.remembering import remembering
from apps.registry.models import ModelVersion
from core.access import PageRequest, fetch, page
from core.once import once
from core.pages import workspace_url

VERSIONS = ModelVersion.objects.select_related("family", "dataset_version__dataset").defer(
    "samples", "metrics", "files"
)


@page("evaluation.read")
@require_GET
def version_tasks(request: PageRequest, version_pk: int) -> HttpResponse:
    """The accuracy matrix with its figures; nothing for a version that does not go on from another."""
    version = fetch(request.actor, VERSIONS, "evaluation.read", pk=version_pk)
    found = remembering(version)
    if found is None or (len(found.steps) < 2 and found.initial_version is None):
        return HttpResponse("")
    return render(request, "evaluation/_remembering.html", {"version": version, "found": found})


@page("evaluation.write")
@require_POST
@once()
def measure(request: PageRequest, version_pk: int) -> HttpResponse:
    """Order the evaluations that the matrix lacks."""
    version = fetch(request.actor, VERSIONS, "evaluation.write", pk=version_pk)
    services.measure_tasks(actor=request.actor, version=version)
    return redirect(workspace_url(request.actor, "registry:detail", pk=version.pk))
