"""REST endpoints that give a monitor's articles, trends and alerts as files."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from apps.sentiment import downloads, selectors_alerts
from apps.sentiment.api import ARTICLE_FILTERS, READ, TAG
from apps.sentiment.api_rules import ALERT_FILTERS, of_asked_monitor
from apps.sentiment.api_trends import TREND_FILTERS
from apps.sentiment.models import Monitor
from core.access import fetch
from core.api.views import WorkspaceView

FILES: dict[tuple[int, str], Any] = {
    (200, "text/csv"): OpenApiTypes.STR,
    (200, "application/x-ndjson"): OpenApiTypes.STR,
}


def _kind(forms: Any) -> OpenApiParameter:
    said = "csv and jsonl are exact; in spreadsheet (CSV) no cell is calculated."
    return OpenApiParameter("kind", str, OpenApiParameter.PATH, enum=list(forms), description=said)


class ArticleExportView(WorkspaceView):
    """Articles of a monitor as a file."""

    read_permission = write_permission = READ

    @extend_schema(
        operation_id="monitors_articles_export",
        summary="Export articles",
        tags=TAG,
        parameters=[
            _kind(downloads.CONTENT_TYPES),
            *ARTICLE_FILTERS,
            OpenApiParameter("texts", bool, description="With what was written; texts that were let go are empty."),
        ],
        responses={**FILES, (200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, pk: int, kind: str) -> Any:
        """All that the filters of the list show, by ascending id; it is sent as it is read and told in the audit trail."""
        monitor = fetch(self.actor, Monitor, self.read_permission, pk=pk)
        return downloads.articles_file(actor=self.actor, monitor=monitor, params=request.query_params, form=kind)


class TrendExportView(WorkspaceView):
    """A trend of a monitor as a file."""

    read_permission = write_permission = READ

    @extend_schema(
        operation_id="monitors_trend_export",
        summary="Export a trend",
        tags=TAG,
        parameters=[_kind(downloads.TEXTS), *TREND_FILTERS],
        responses=FILES,
    )
    def get(self, request: Request, pk: int, kind: str) -> Any:
        """A row for each bucket and series with all figures; what is not known is empty, and no zero."""
        monitor = fetch(self.actor, Monitor, self.read_permission, pk=pk)
        return downloads.trend_file(actor=self.actor, monitor=monitor, params=request.query_params, form=kind)


class AlertExportView(WorkspaceView):
    """Alerts as a file."""

    read_permission = write_permission = READ

    @extend_schema(
        operation_id="alerts_export",
        summary="Export alerts",
        tags=TAG,
        parameters=[_kind(downloads.TEXTS), *ALERT_FILTERS],
        responses=FILES,
    )
    def get(self, request: Request, kind: str) -> Any:
        """All that the filters of the list show, by ascending id, with what was seen when they fired."""
        rows = of_asked_monitor(selectors_alerts.alerts_everywhere(self.actor), request)
        return downloads.alerts_file(actor=self.actor, rows=rows, params=request.query_params, form=kind)
