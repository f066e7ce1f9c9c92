"""Pages that draw where a version comes from and what was made from it."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.dashboard.drawing import HEIGHT, WIDTH, drawn
from apps.dashboard.lineage import KINDS, Graph, lineage_of_data, lineage_of_model, used_by
from apps.dashboard.selectors import dataset_versions, model_versions
from core.access import PageRequest, fetch, page


@page("registry.read")
@require_GET
def model(request: PageRequest, pk: int) -> HttpResponse:
    """Around a model version."""
    version = fetch(request.actor, model_versions(), "registry.read", pk=pk)
    return _page(request, lineage_of_model(request.actor, version), used_by(request.actor, version))


@page("datasets.read")
@require_GET
def data(request: PageRequest, pk: int) -> HttpResponse:
    """Around a dataset version."""
    version = fetch(request.actor, dataset_versions(), "datasets.read", within="dataset__workspace", pk=pk)
    return _page(request, lineage_of_data(request.actor, version), used_by(request.actor, version))


def _page(request: PageRequest, graph: Graph, users: list[str]) -> HttpResponse:
    context = {
        "graph": graph,
        "focus": graph.nodes[graph.focus],
        "layers": [[(node, graph.before(node.key)) for node in layer] for layer in graph.layers()],
        "drawing": drawn(graph),
        "box": {"width": WIDTH, "height": HEIGHT},
        "left_out": [(KINDS[kind][0].title, count) for kind, count in graph.left_out.items()],
        "users": users,
        "sees_users": request.actor.may("registry.read"),
    }
    return render(request, "dashboard/lineage.html", context)
