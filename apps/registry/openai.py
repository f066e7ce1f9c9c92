"""/v1/models: the names under which callers of the OpenAI-compatible API find model versions."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.registry import services
from apps.registry.models import ModelVersion
from apps.registry.selectors import served_names, usable_version
from core.errors import Refused
from core.openai.paging import page
from core.openai.views import OpenAIViewSet, deleted
from words import say


class ServedModels(OpenAIViewSet):
    """Aliases and versions that can be used."""

    read_permission = "registry.read"
    write_permission = "registry.write"

    def list(self, request: Request) -> Response:
        """Every name, of the newest versions first; there is no paging."""
        names = served_names(self.actor.workspace)
        return page([self._shown(name, version) for name, version in names], has_more=False)

    def retrieve(self, request: Request, model: str) -> Response:
        """Any name that `model` of other requests may have, also one that the list leaves out."""
        version = usable_version(self.actor.workspace, model)
        return Response(self._shown(model, version))

    def destroy(self, request: Request, model: str) -> Response:
        """Delete the one version that the name means for good; a name that moves deletes nothing."""
        version = usable_version(self.actor.workspace, model, damaged=True)
        if model.strip() not in (str(version.pk), f"{version.family.name}:{version.number}"):
            raise Refused(
                "name_moves",
                say("Name the version to delete, as in “{name}”.", name=f"{version.family.name}:{version.number}"),
                field="model",
            )
        services.delete_version(actor=self.actor, version=version)
        return deleted("model", model)

    def _shown(self, name: str, version: ModelVersion) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": int(version.created_at.timestamp()),
            "owned_by": self.actor.workspace.slug,
            "task": version.task,
        }
