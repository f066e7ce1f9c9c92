"""Pages of imports: upload, columns with preview, try, run, errors."""

import csv
from collections.abc import Iterator
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.datasets import services
from apps.datasets.formats.mapping import missing_fields
from apps.datasets.forms import FIELD_NAMES, MappingForm, ReadForm, UploadForm
from apps.datasets.models import ImportJob
from apps.datasets.preview import preview
from apps.datasets.selectors import bad_rows, imports
from apps.datasets.services.imports import BAD_ROWS_KEPT, read_mapping, read_options, repeat, sniffed
from apps.datasets.views.shared import dataset_of, framed, one_of, show_refusal
from core.access import PageRequest, page
from core.errors import Refused
from core.once import once
from core.pages import keyset, workspace_url
from core.spreadsheets import harmless
from core.storage import home
from core.streaming import streamed
from words import say

ERRORS_SHOWN = 50


@require_GET
@page("datasets.read")
def index(request: PageRequest, pk: int) -> HttpResponse:
    """Imports of a dataset, newest first."""
    dataset = dataset_of(request, pk)
    return render(request, "datasets/imports.html", framed(dataset, "imports", page=keyset(request, imports(dataset))))


@require_http_methods(["GET", "POST"])
@page("datasets.write")
@once()
def new(request: PageRequest, pk: int) -> HttpResponse:
    """Upload a file, or give an address, which the worker fetches."""
    dataset = dataset_of(request, pk, "datasets.write")
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            if upload := form.cleaned_data["file"]:
                import_job = services.receive(actor=request.actor, dataset=dataset, upload=upload)
                name = "datasets:import_columns"
            else:
                import_job = services.receive_url(actor=request.actor, dataset=dataset, url=form.cleaned_data["url"])
                services.start(actor=request.actor, import_job=import_job)
                name = "datasets:import"
        except Refused as refused:
            show_refusal(form, refused)
            return render(
                request, "datasets/import_new.html", framed(dataset, "imports", form=form), status=refused.status
            )
        return redirect(workspace_url(request.actor, name, pk=dataset.pk, number=import_job.pk))
    context = framed(dataset, "imports", form=form)
    return render(request, "datasets/import_new.html", context, status=422 if form.errors else 200)


def _import(request: PageRequest, pk: int, number: int, permission: str) -> ImportJob:
    dataset = dataset_of(request, pk, permission)
    found: ImportJob = one_of(imports(dataset), pk=number)
    found.dataset = dataset
    return found


@require_http_methods(["GET", "POST"])
@page("datasets.write")
def columns(request: PageRequest, pk: int, number: int) -> HttpResponse:
    """How the file is read and which column is which field, with the first rows as they would become."""
    import_job = _import(request, pk, number, "datasets.write")
    dataset = import_job.dataset
    if import_job.job_id is not None or not import_job.file_path:
        return redirect(workspace_url(request.actor, "datasets:import", pk=dataset.pk, number=import_job.pk))
    if request.method == "POST" and "reread" in request.POST:
        _reread(request, import_job)
        return redirect(workspace_url(request.actor, "datasets:import_columns", pk=dataset.pk, number=number))
    form = MappingForm(request.POST or None, kind=dataset.kind, columns=import_job.columns, mapping=import_job.mapping)
    if request.method == "POST" and form.is_valid():
        try:
            services.choose(actor=request.actor, import_job=import_job, mapping=form.mapping())
            if "preview" not in request.POST:
                started = services.start(actor=request.actor, import_job=import_job, dry_run="try" in request.POST)
                return redirect(workspace_url(request.actor, "datasets:import", pk=dataset.pk, number=started.pk))
        except Refused as refused:
            form.add_error(None, f"{refused.message} {refused.hint}".strip())
    return render(
        request, "datasets/import_columns.html", _columns(import_job, form), status=422 if form.errors else 200
    )


def _reread(request: PageRequest, import_job: ImportJob) -> None:
    form = ReadForm(request.POST, options=import_job.options)
    if form.is_valid():
        services.choose(actor=request.actor, import_job=import_job, options=form.cleaned_data)
    else:
        raise Refused("bad_options", say("These ways of reading do not fit together. Choose again."))


def _columns(import_job: ImportJob, form: MappingForm) -> dict[str, Any]:
    dataset = import_job.dataset
    options, mapping = read_options(import_job.options), read_mapping(dataset.kind, import_job.mapping)
    path = home() / import_job.file_path
    doubts = [text for _code, text in sniffed(path, import_job.file_name).problems]
    return framed(
        dataset,
        "imports",
        import_job=import_job,
        form=form,
        read_form=ReadForm(options=import_job.options),
        rows=preview(dataset.kind, path, options, mapping),
        missing=[FIELD_NAMES[name] for name in missing_fields(dataset.kind, mapping)],
        doubts=doubts,
    )


@require_POST
@page("datasets.write")
def start(request: PageRequest, pk: int, number: int) -> HttpResponse:
    """Import in earnest what was tried before."""
    import_job = _import(request, pk, number, "datasets.write")
    started = services.start(actor=request.actor, import_job=import_job)
    return redirect(workspace_url(request.actor, "datasets:import", pk=pk, number=started.pk))


@require_POST
@page("datasets.write")
def again(request: PageRequest, pk: int, number: int) -> HttpResponse:
    """The same file with other columns."""
    import_job = _import(request, pk, number, "datasets.write")
    copy = repeat(actor=request.actor, import_job=import_job)
    return redirect(workspace_url(request.actor, "datasets:import_columns", pk=pk, number=copy.pk))


@require_GET
@page("datasets.read")
def detail(request: PageRequest, pk: int, number: int) -> HttpResponse:
    """Progress, counts and refused rows of one import."""
    import_job = _import(request, pk, number, "datasets.read")
    context = framed(
        import_job.dataset,
        "imports",
        import_job=import_job,
        job=import_job.job,
        errors=bad_rows(import_job)[:ERRORS_SHOWN],
        errors_kept=BAD_ROWS_KEPT,
    )
    return render(request, "datasets/import.html", context)


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, value: str) -> str:
        """Give the line to the response."""
        return value


@require_GET
@page("datasets.read")
def errors_csv(request: PageRequest, pk: int, number: int) -> HttpResponseBase:
    """All refused rows that were kept, as CSV that no spreadsheet runs."""
    import_job = _import(request, pk, number, "datasets.read")
    name = f"import-{import_job.pk}-errors.csv"
    return streamed(error_lines(import_job), filename=name, content_type="text/csv; charset=utf-8")


def error_lines(import_job: ImportJob) -> Iterator[str]:
    """CSV lines: row, line, code, field, message, snippet."""
    writer = csv.writer(_Echo())
    yield "\ufeff"
    yield writer.writerow(["row", "line", "code", "field", "message", "snippet"])
    for found in bad_rows(import_job).iterator(chunk_size=1_000):
        texts = (found.code, found.field, str(found.message), found.snippet)
        yield writer.writerow([found.row, found.line, *(harmless(text) for text in texts)])
