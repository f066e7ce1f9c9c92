"""What a monitor's pages show as files, for pages and API alike: asked by the same filters, or by a saved view."""

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, QueryDict, StreamingHttpResponse
from django.utils.translation import gettext_lazy

from apps.sentiment import alert_files, article_files, services, trend_files
from apps.sentiment.api_saved import filters_of, told_what_is_gone
from apps.sentiment.filters import AlertFilter, ArticleFilter
from apps.sentiment.forms_saved import FIELDS, check
from apps.sentiment.forms_trends import TrendForm
from apps.sentiment.models import Alert, Article, Monitor, ViewKind
from apps.sentiment.selectors_trends import trend_of
from core import parquet_out, rows_out
from core.access import Actor
from core.pages import workspace_url
from core.streaming import streamed

TEXTS = rows_out.CONTENT_TYPES
TABLES = ("csv", "spreadsheet")  # what a page offers of figures
CONTENT_TYPES = {**TEXTS, "parquet": parquet_out.CONTENT_TYPE}
NAMES = {"csv": "CSV", "spreadsheet": gettext_lazy("CSV for spreadsheets"), "jsonl": "JSON Lines", "parquet": "Parquet"}
ENDINGS = {"spreadsheet": "csv"}
WANTED = ("1", "true", "on", "yes")


def menu(actor: Actor, page: str, forms: Iterable[str], **kwargs: Any) -> list[tuple[str, str]]:
    """(name, address) of each form that a page offers."""
    return [(str(NAMES[form]), workspace_url(actor, page, kind=form, **kwargs)) for form in forms]


def articles_file(*, actor: Actor, monitor: Monitor, params: QueryDict, form: str) -> StreamingHttpResponse:
    """Exactly the articles that these filters show, with `texts` also what was written.

    Raises:
        Refused: filters that are not valid, or that leave too many.
        Http404: another form than those of `CONTENT_TYPES`.
    """
    _must_be(form, CONTENT_TYPES)
    asked, gone = filters_of(actor, monitor, ViewKind.ARTICLES, params)
    filters: Any = ArticleFilter(asked, Article.objects.filter(monitor=monitor), monitor=monitor)
    check(filters.form)
    with_texts = params.get("texts", "").lower() in WANTED
    told = {name: asked[name] for name in FIELDS[ViewKind.ARTICLES] if asked.get(name)}
    rows = services.export_articles(
        actor=actor, monitor=monitor, rows=filters.qs, form=form, with_texts=with_texts, filters=told
    )
    return told_what_is_gone(
        _file(article_files.written(monitor, rows, form, with_texts=with_texts), f"articles-{monitor.pk}", form), gone
    )


def trend_file(*, actor: Actor, monitor: Monitor, params: QueryDict, form: str) -> StreamingHttpResponse:
    """What the page of trends draws, with all figures: a row for each bucket and series.

    Raises:
        Refused: what the page would not take.
        Http404: another form than those of text.
    """
    _must_be(form, TEXTS)
    asked, gone = filters_of(actor, monitor, ViewKind.TRENDS, params)
    question = TrendForm(asked, monitor=monitor)
    check(question)
    rows = list(trend_files.rows_of(monitor, trend_of(monitor, question.asked())))
    pieces = rows_out.lines_of([rows] if rows else [], form, trend_files.COLUMNS, lambda row: row)
    return told_what_is_gone(_file(pieces, f"trend-{monitor.pk}", form), gone)


def alerts_file(*, actor: Actor, rows: QuerySet[Alert], params: QueryDict, form: str) -> StreamingHttpResponse:
    """The alerts among `rows` that the filters of the inbox show.

    Raises:
        Refused: filters that are not valid.
        Http404: another form than those of text.
    """
    _must_be(form, TEXTS)
    filters: Any = AlertFilter(params, rows, user=actor.user)
    check(filters.form)
    return _file(alert_files.written(filters.qs, form), "alerts", form)


def _must_be(form: str, forms: Any) -> None:
    if form not in forms:
        raise Http404


def _file(pieces: Any, name: str, form: str) -> StreamingHttpResponse:
    return streamed(pieces, filename=f"{name}.{ENDINGS.get(form, form)}", content_type=CONTENT_TYPES[form])
