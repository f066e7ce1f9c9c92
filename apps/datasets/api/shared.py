"""What the endpoints below a dataset share."""

from typing import Any

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request

from apps.datasets.models import Dataset
from core.access import fetch
from core.api.views import WorkspaceViewSet

LARGEST_ID = 2**63 - 1


class DatasetPart(WorkspaceViewSet):
    """Endpoints below /datasets/{pk}."""

    read_permission = "datasets.read"
    write_permission = "datasets.write"
    within = "dataset__workspace"

    def dataset(self, pk: int) -> Dataset:
        """The dataset of the address."""
        permission = self.action_permissions.get(self.action) or (
            self.read_permission if self.request.method in {"GET", "HEAD"} else self.write_permission
        )
        rows = Dataset.objects.select_related("workspace", "profile_job", "split_job")
        return fetch(self.actor, rows, permission, pk=pk)


def values_of(kind: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The checked body of a request."""
    serializer = kind(data=request.data)
    serializer.is_valid(raise_exception=True)
    found: dict[str, Any] = dict(serializer.validated_data)
    return found


def row_of(rows: Any, **lookup: Any) -> Any:
    """The row that `lookup` names, else a 404."""
    if any(isinstance(value, int) and value > LARGEST_ID for value in lookup.values()):
        raise Http404
    found = rows.filter(**lookup).first()
    if found is None:
        raise Http404
    return found
