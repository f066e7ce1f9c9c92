"""Page on which requests become examples: choose, look at what is left of personal data, make the dataset."""

from collections import Counter
from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from apps.datasets.models import Dataset
from apps.inference import services
from apps.inference.models import Generation, OnlineRequest
from apps.inference.sampling import CHAT, CLASSIFICATION, FILTERS, MOST_SAMPLED, Sampled, Wanted
from core.access import Actor, PageRequest, page, require
from core.errors import Refused
from core.once import once
from core.pages import workspace_url

SHOWN = 10


class SampleForm(forms.Form):
    """How many examples, drawn how, and into which dataset they go."""

    most = forms.IntegerField(label=_("Examples at most"), initial=200, min_value=1, max_value=MOST_SAMPLED)
    seed = forms.IntegerField(
        label=_("Seed"), initial=1, min_value=0, max_value=10**9, help_text=_("The same seed draws the same requests.")
    )
    redacts = forms.BooleanField(label=_("Replace personal data by placeholders"), initial=True, required=False)
    dataset = forms.ModelChoiceField(
        Dataset.objects.none(), label=_("Add to"), required=False, empty_label=_("A new dataset")
    )
    name = forms.CharField(label=_("Name of the new dataset"), max_length=120, required=False)

    def __init__(self, *args: Any, actor: Actor, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["dataset"]
        assert isinstance(choice, forms.ModelChoiceField)
        rows = Dataset.objects.filter(workspace=actor.workspace, kind=kind, archived_at=None)
        choice.queryset = rows.only("name").order_by("name")


@require_http_methods(["GET", "POST"])
@page("inference.read")
@once(seconds=30)
def sample(request: PageRequest) -> HttpResponse:
    """GET shows what would be taken, POST takes it."""
    require(request.actor, "datasets.write")
    values = request.POST if request.method == "POST" else request.GET
    kind = CLASSIFICATION if values.get("kind") == CLASSIFICATION else CHAT
    names = FILTERS[kind].base_filters.keys()
    chosen = {name: values.get(name, "") for name in names}
    form = SampleForm(values if "most" in values else None, actor=request.actor, kind=kind)
    context: dict[str, Any] = {"form": form, "kind": kind, "chosen": chosen, "filter": _filter(request, kind, chosen)}
    if form.is_bound and form.is_valid():
        wanted = Wanted(kind, chosen, **{name: form.cleaned_data[name] for name in ("most", "seed", "redacts")})
        try:
            if request.method == "POST":
                return _made(request, wanted, form.cleaned_data)
            context |= _seen(services.require_sampled(request.actor, wanted))
        except Refused as refused:
            for problem in refused.problems:
                form.add_error(problem.field if problem.field in form.fields else None, problem.message)
    return render(request, "inference/sample.html", context, status=422 if form.errors else 200)


def _filter(request: PageRequest, kind: str, chosen: dict[str, str]) -> Any:
    model = Generation if kind == CHAT else OnlineRequest
    return FILTERS[kind](chosen, queryset=model.objects.none(), request=request)


def _made(request: PageRequest, wanted: Wanted, values: dict[str, Any]) -> HttpResponse:
    made = services.sample_requests(
        actor=request.actor, wanted=wanted, dataset=values["dataset"], name=values["name"] or ""
    )
    return redirect(workspace_url(request.actor, "datasets:import", pk=made.dataset_id, number=made.pk))


def _seen(rows: list[Sampled]) -> dict[str, Any]:
    counts = sum((row.counts for row in rows), Counter[str]())
    return {
        "rows": rows[:SHOWN],
        "count": len(rows),
        "corrected": sum(row.corrected for row in rows),
        "findings": [(kind.upper(), number) for kind, number in counts.most_common()],
        "touched": sum(bool(row.found) for row in rows),
        "marked": [
            (text, [{"start": each.start, "end": each.end, "label": each.kind.upper()} for each in found])
            for row in rows
            for text, found in row.found
        ][:SHOWN],
    }
