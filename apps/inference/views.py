"""Pages of prediction: list, new batch, live result, download, and the try-it box of a model version."""

from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from apps.inference import services
from apps.inference.exports import FORMATS, download
from apps.inference.filters import BatchFilter, row_filter
from apps.inference.forms import ASK_FORMS, AskForm, BatchForm, QuestionForm, RankForm, RerankForm, TryForm
from apps.inference.models import BatchJob, Generation, GenerationKind, OnlineRequest, OnlineState
from apps.inference.selectors import batch_jobs, label_chart, ranked, shown_requests, similarities, written_requests
from apps.inference.tasks import use_of
from apps.registry.models import ModelVersion
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.once import once
from core.pages import is_filtered, keyset, workspace_url


@require_GET
@page("inference.read")
def index(request: PageRequest) -> HttpResponse:
    """All batches, newest first."""
    filters = BatchFilter(request.GET, queryset=batch_jobs(request.actor.workspace))
    context = {"filter": filters, "page": keyset(request, filters.qs), "filtered": is_filtered(request, filters)}
    return render(request, "inference/list.html", context)


@require_http_methods(["GET", "POST"])
@page("inference.write")
@once(seconds=30)
def new(request: PageRequest) -> HttpResponse:
    """Choose a version and a source, then start."""
    form = BatchForm(
        request.POST or None,
        request.FILES or None,
        actor=request.actor,
        initial={"model_version": request.GET.get("version")},
    )
    if request.method == "POST" and form.is_valid():
        try:
            batch_job = _start(request, form.cleaned_data)
        except Refused as refused:
            for problem in refused.problems:
                form.add_error(problem.field if problem.field in form.fields else None, problem.message)
        else:
            return redirect(workspace_url(request.actor, "inference:detail", pk=batch_job.pk))
    return render(request, "inference/new.html", {"form": form}, status=422 if form.errors else 200)


def _start(request: PageRequest, values: dict[str, Any]) -> BatchJob:
    version = values["model_version"]
    if values["file"]:
        return services.predict_upload(
            actor=request.actor,
            version=version,
            upload=values["file"],
            text_column=values["text_column"],
            context_column=values["context_column"],
            max_new_tokens=values["max_new_tokens"],
        )
    return services.predict_version(
        actor=request.actor,
        version=version,
        data=values["dataset_version"],
        split=values["split"],
        max_new_tokens=values["max_new_tokens"],
    )


@require_GET
@page("inference.read")
def detail(request: PageRequest, pk: int) -> HttpResponse:
    """Progress, distribution and rows."""
    batch_job = fetch(request.actor, batch_jobs(request.actor.workspace), "inference.read", pk=pk)
    return render(request, "inference/detail.html", _detail(request, batch_job))


@require_GET
@page("inference.read")
def live(request: PageRequest, pk: int) -> HttpResponse:
    """The part that changes while the batch runs."""
    batch_job = fetch(request.actor, batch_jobs(request.actor.workspace), "inference.read", pk=pk)
    return render(request, "inference/_live.html", _detail(request, batch_job))


@require_GET
@page("inference.read")
def rows(request: PageRequest, pk: int) -> HttpResponse:
    """The filtered table of rows."""
    batch_job = fetch(request.actor, batch_jobs(request.actor.workspace), "inference.read", pk=pk)
    return render(request, "inference/_rows_table.html", _detail(request, batch_job))


def _detail(request: PageRequest, batch_job: BatchJob) -> dict[str, Any]:
    filters = row_filter(request.GET, batch_job)
    return {
        "batch_job": batch_job,
        "job": batch_job.job,
        "use": use_of(batch_job.model_version),
        "chart": label_chart(batch_job),
        "filter": filters,
        "page": keyset(request, filters.qs, size=25),
        "formats": list(FORMATS),
    }


@require_GET
@page("inference.read")
def file(request: PageRequest, pk: int) -> HttpResponseBase:
    """Download the stored rows."""
    batch_job = fetch(request.actor, batch_jobs(request.actor.workspace), "inference.read", pk=pk)
    return download(batch_job, request.GET.get("file_format", "csv"))


@require_http_methods(["GET", "POST"])
@page("inference.write")
def ask(request: PageRequest, version_pk: int) -> HttpResponse:
    """The try-it box: an htmx part with a form, then the answer that asks for itself until it is there."""
    version = fetch(request.actor, ModelVersion, "inference.write", pk=version_pk)
    services.require_usable(version)
    use = use_of(version)
    form = ASK_FORMS[use.asks or use.reads](request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = _ask(request, version, form)
        except Refused as refused:
            form.add_error(None, refused.message)
        else:
            part = "inference/_written.html" if isinstance(made, Generation) else "inference/_asked.html"
            return render(request, part, {"asked": made})
    return render(request, "inference/_try.html", {"form": form, "version": version, "use": use})


def _ask(
    request: PageRequest, version: ModelVersion, form: AskForm | QuestionForm | RankForm | TryForm
) -> OnlineRequest | Generation:
    actor = request.actor
    if isinstance(form, RerankForm):
        query, *texts = form.texts()
        passed = services.guard_texts(actor, None, [query, *texts])
        return services.ask_ranking(actor=actor, version=version, query=query, texts=texts, guarded=passed)
    if isinstance(form, QuestionForm):
        passed = services.guard_texts(actor, None, [form.cleaned_data["question"], form.cleaned_data["context"]])
        return services.ask_question(actor=actor, version=version, guarded=passed, **form.cleaned_data)
    if isinstance(form, RankForm | TryForm):
        texts = form.texts() if isinstance(form, RankForm) else form.lines()
        passed = services.guard_texts(actor, None, texts)
        return services.ask(actor=actor, version=version, texts=texts, guarded=passed)
    said = {"role": "user", "content": form.cleaned_data["message"]}
    return services.answer_chat(actor=actor, version=version, reference=str(version), messages=[said])


@require_GET
@page("inference.read")
def asked(request: PageRequest, pk: int) -> HttpResponse:
    """The answer to a single request, or a part that asks again."""
    rows = shown_requests().select_related("model_version")
    found = fetch(request.actor, rows, "inference.read", pk=pk)
    is_done = found.state == OnlineState.DONE
    context = {
        "asked": found,
        "use": use_of(found.model_version),
        "pairs": list(zip(found.texts, found.results, strict=False)) if is_done else [],
        "similarities": similarities(found),
        "ranked": ranked(found),
    }
    return render(request, "inference/_asked.html", context)


@require_GET
@page("inference.read")
def written(request: PageRequest, pk: int) -> HttpResponse:
    """The answer to a chat, or a part that asks again."""
    rows = written_requests().filter(kind=GenerationKind.CHAT)
    found = fetch(request.actor, rows, "inference.read", pk=pk)
    return render(request, "inference/_written.html", {"asked": found})
