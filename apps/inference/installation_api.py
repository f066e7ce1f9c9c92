"""REST endpoint of the whole installation."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.inference.installation import Installation, installation
from core.api.views import WorkspaceView
from core.errors import Refused
from words import say


class QueueSerializer(serializers.Serializer[Any]):
    """Jobs of one queue in all workspaces."""

    name = serializers.CharField()
    running = serializers.IntegerField()
    queued = serializers.IntegerField()
    paused = serializers.IntegerField()
    oldest_at = serializers.DateTimeField(allow_null=True, help_text="Since when the one that waits longest is due.")


class WorkerSerializer(serializers.Serializer[Any]):
    """A worker with a job, or a process of the resident role."""

    name = serializers.CharField()
    queue = serializers.CharField(help_text="`generation` of the resident role.")
    kind = serializers.CharField(help_text="Of its job.")
    workspace = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)
    versions = serializers.IntegerField(help_text="In memory, of the resident role.")
    bytes = serializers.IntegerField()


class BusyWorkspaceSerializer(serializers.Serializer[Any]):
    """What one workspace keeps busy."""

    workspace = serializers.CharField()
    running = serializers.IntegerField(help_text="Answers that are being written.")
    waiting = serializers.IntegerField()
    versions = serializers.IntegerField(help_text="In memory.")
    bytes = serializers.IntegerField()


class InMemorySerializer(serializers.Serializer[Any]):
    """A version in memory, by number alone."""

    workspace = serializers.CharField()
    task = serializers.CharField()
    version = serializers.IntegerField(source="place.version")
    process = serializers.CharField(source="place.process")
    use = serializers.CharField(source="place.use")
    state = serializers.CharField(source="place.state")
    bytes = serializers.IntegerField(source="place.bytes")
    last_used_at = serializers.DateTimeField(source="place.last_used_at", allow_null=True)
    is_pinned = serializers.BooleanField(source="place.is_pinned")


class InstallationSerializer(serializers.Serializer[Installation]):
    """How the whole installation is doing now."""

    running = serializers.IntegerField()
    waiting = serializers.IntegerField()
    bytes = serializers.IntegerField(help_text="Of versions in memory, in all processes together.")
    queues = QueueSerializer(many=True)
    workers = WorkerSerializer(many=True)
    places = BusyWorkspaceSerializer(many=True)
    memory = InMemorySerializer(many=True)


class InstallationView(WorkspaceView):
    """The whole installation, for its operators."""

    read_permission = write_permission = "workspace.read"

    @extend_schema(summary="Get how the installation is doing", tags=["operations"], responses=InstallationSerializer)
    def get(self, request: Request) -> Response:
        """Queues, workers, requests and memory of all workspaces, without their texts; takes an operator's log-in, no key."""
        if self.actor.key is not None:
            raise Refused("session_needed", say("Log in to do this; an API key cannot."), status=403)
        if not self.actor.user.is_operator:
            raise Http404
        return Response(InstallationSerializer(installation()).data)
