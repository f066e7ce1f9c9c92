"""REST endpoints of the registry: models, versions, aliases, approvals, base models."""

from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from apps.registry import selectors, services
from apps.registry import serializers as shapes
from apps.registry.downloads import export_response
from apps.registry.filters import VersionFilter
from apps.registry.models import (
    BaseModel,
    ModelFamily,
    ModelVersion,
    VersionCheck,
    VersionExport,
    VersionImport,
)
from core.access import fetch
from core.api.views import WorkspaceViewSet
from core.errors import Refused
from words import say

TAG = ["models"]


class Models(mixins.ListModelMixin, WorkspaceViewSet):
    """Models with their aliases."""

    read_permission = "registry.read"
    write_permission = "registry.write"
    queryset = ModelFamily.objects.all()
    serializer_class = shapes.ModelFamilySerializer

    def get_queryset(self) -> Any:
        """With aliases and the id of the newest version."""
        if getattr(self, "swagger_fake_view", False):
            return ModelFamily.objects.none()
        return selectors.families_of(self.actor.workspace)

    @extend_schema(summary="List models", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Get a model", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """One model with its aliases."""
        return self.etag_response(fetch(self.actor, self.get_queryset(), "registry.read", pk=pk))

    @extend_schema(
        summary="Roll an alias back", tags=TAG, request=shapes.ReasonSerializer, responses=shapes.AliasSerializer
    )
    def rollback(self, request: Request, pk: int, name: str) -> Response:
        """Point the alias to the version it named before."""
        family = fetch(self.actor, ModelFamily, "registry.write", pk=pk)
        data = shapes.ReasonSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        alias = services.rollback_alias(actor=self.actor, family=family, name=name, **data.validated_data)
        return Response(shapes.AliasSerializer(alias).data)

    @extend_schema(summary="Remove an alias", tags=TAG, responses={204: None})
    def remove(self, request: Request, pk: int, name: str) -> Response:
        """Take the alias away; its history stays."""
        family = fetch(self.actor, ModelFamily, "registry.write", pk=pk)
        services.remove_alias(actor=self.actor, family=family, name=name)
        return Response(status=204)

    @extend_schema(summary="List moves of aliases", tags=TAG, responses=shapes.AliasMoveSerializer(many=True))
    def moves(self, request: Request, pk: int) -> Response:
        """Who moved which alias where, when and why; newest first."""
        family = fetch(self.actor, ModelFamily, "registry.read", pk=pk)
        rows = self.paginate_queryset(selectors.moves_of(family))
        return self.get_paginated_response(shapes.AliasMoveSerializer(rows, many=True).data)


class ModelVersions(mixins.ListModelMixin, WorkspaceViewSet):
    """Frozen versions."""

    read_permission = "registry.read"
    write_permission = "registry.write"
    queryset = ModelVersion.objects.all()
    filterset_class = VersionFilter

    def get_queryset(self) -> Any:
        """With family, base model and aliases, without example rows."""
        if getattr(self, "swagger_fake_view", False):
            return ModelVersion.objects.none()
        return selectors.versions_of(self.actor.workspace)

    def get_serializer_class(self) -> Any:
        """Short in lists."""
        short = self.action == "list"
        return shapes.ModelVersionSerializer if short else shapes.ModelVersionDetailSerializer

    def _version(self, permission: str, pk: int) -> ModelVersion:
        found: ModelVersion = fetch(self.actor, self.get_queryset(), permission, pk=pk)
        return found

    @extend_schema(summary="List model versions", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Get a model version", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """Everything but the example rows."""
        return self.etag_response(self._version("registry.read", pk))

    @extend_schema(
        summary="Describe a model version",
        tags=TAG,
        request=shapes.DescriptionSerializer,
        responses=shapes.ModelVersionDetailSerializer,
        examples=[
            OpenApiExample("Describe", value={"description": "Trained on the spring dialogues."}, request_only=True)
        ],
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """Change the description, the only part of a version that is not frozen."""
        version = self._version("registry.write", pk)
        self.check_if_match(version)
        data = shapes.DescriptionSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        return self.etag_response(services.describe(actor=self.actor, version=version, **data.validated_data))

    @extend_schema(summary="Delete a model version", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """Refused (409) while an alias, a child version or a result depends on it."""
        version = self._version("registry.write", pk)
        self.check_if_match(version)
        services.delete_version(actor=self.actor, version=version)
        return Response(status=204)

    @extend_schema(summary="List examples of a model version", tags=TAG, responses=shapes.SampleSerializer(many=True))
    def samples(self, request: Request, pk: int) -> Response:
        """Examples of its test split, wrong and confident first, at most 200."""
        version = self._version("registry.read", pk)
        return Response(shapes.SampleSerializer(version.samples, many=True).data)

    @extend_schema(
        summary="Compare model versions",
        tags=TAG,
        parameters=[OpenApiParameter("version", int, many=True, required=True, description="2 to 4 ids")],
        responses=shapes.ComparedSerializer,
    )
    def compare(self, request: Request) -> Response:
        """Figures and differing settings side by side, in the order of `version`; other workspaces' ids are a 404."""
        wanted = request.query_params.getlist("version")
        if not 2 <= len(set(wanted)) <= 4 or not all(part.isascii() and part.isdigit() for part in wanted):
            raise Refused("bad_versions", say("Name 2 to 4 model versions by their ids."), field="version")
        versions = [self._version("registry.read", int(part)) for part in dict.fromkeys(wanted)]
        figures, settings = selectors.figures_beside(versions), selectors.settings_beside(versions)
        answer = {"versions": [version.pk for version in versions], "figures": figures, "settings": settings}
        return Response(shapes.ComparedSerializer(answer).data)

    @extend_schema(
        summary="Export a model version",
        tags=TAG,
        request=shapes.ExportWriteSerializer,
        responses={202: shapes.ModelExportSerializer},
        examples=[OpenApiExample("For llama.cpp", value={"kind": "gguf"}, request_only=True)],
    )
    def export(self, request: Request, pk: int) -> Response:
        """Pack it as a zip, as a job; what is converted is measured, and refused when it is another model."""
        version = self._version("registry.write", pk)
        data = shapes.ExportWriteSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        made = services.start_export(actor=self.actor, version=version, **data.validated_data)
        return Response(shapes.ModelExportSerializer(made).data, status=202)

    @extend_schema(summary="List exports", tags=TAG, responses=shapes.ModelExportSerializer(many=True))
    def exports(self, request: Request, pk: int) -> Response:
        """Exports of this version with their measured parity, newest first."""
        rows = selectors.exports_of(self._version("registry.read", pk))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(shapes.ModelExportSerializer(page, many=True).data)

    @extend_schema(
        summary="Verify a model version", tags=TAG, request=None, responses={202: shapes.ModelCheckSerializer}
    )
    def verify(self, request: Request, pk: int) -> Response:
        """Compare its files with their registered hashes, as a job."""
        made = services.start_check(actor=self.actor, version=self._version("registry.write", pk))
        return Response(shapes.ModelCheckSerializer(made).data, status=202)

    @extend_schema(summary="Get a model card", tags=TAG, responses=shapes.CardSerializer)
    def card(self, request: Request, pk: int) -> Response:
        """Its newest revision."""
        return Response(shapes.CardSerializer(selectors.card_of(self._version("registry.read", pk))).data)

    @extend_schema(
        summary="Write a model card",
        tags=TAG,
        request=shapes.CardSerializer,
        responses={201: shapes.CardSerializer},
        examples=[
            OpenApiExample(
                "Card", value={"limits": "Not for medical texts.", "licence": "Apache-2.0"}, request_only=True
            )
        ],
    )
    def edit_card(self, request: Request, pk: int) -> Response:
        """Save what people write as a new revision."""
        version = self._version("registry.write", pk)
        data = shapes.CardSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        revision = services.edit_card(actor=self.actor, version=version, **data.validated_data)
        return Response(shapes.CardSerializer(revision).data, status=201)

    @extend_schema(summary="List approvals", tags=TAG, responses=shapes.ApprovalSerializer(many=True))
    def approvals(self, request: Request, pk: int) -> Response:
        """Requests for approval of this version, newest first."""
        rows = selectors.approvals_of(self._version("registry.read", pk))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(shapes.ApprovalSerializer(page, many=True).data)

    @extend_schema(
        summary="Ask for approval",
        tags=TAG,
        request=shapes.ApprovalRequestSerializer,
        responses={201: shapes.ApprovalSerializer},
    )
    def request_approval(self, request: Request, pk: int) -> Response:
        """One request is open at a time; with `alias` approving lets the alias name the version."""
        version = self._version("registry.write", pk)
        data = shapes.ApprovalRequestSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        made = services.request_approval(actor=self.actor, version=version, **data.validated_data)
        return Response(shapes.ApprovalSerializer(made).data, status=201)


class BaseModels(mixins.ListModelMixin, WorkspaceViewSet):
    """Base models of the installation and of the workspace."""

    read_permission = "registry.read"
    write_permission = "registry.write"
    queryset = BaseModel.objects.all()
    serializer_class = shapes.BaseModelSerializer
    filterset_fields: ClassVar = ("kind", "task_family")

    def get_queryset(self) -> Any:
        """Built-in ones too."""
        if getattr(self, "swagger_fake_view", False):
            return BaseModel.objects.none()
        return selectors.base_models_of(self.actor.workspace)

    @extend_schema(summary="List base models", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Pretrained weights that a training can start from."""
        return super().list(request, *args, **kwargs)

    @extend_schema(
        summary="Add a base model",
        tags=TAG,
        responses={201: shapes.BaseModelSerializer},
        examples=[
            OpenApiExample(
                "Hub id",
                value={"name": "BERT", "kind": "hub", "reference": "owner/bert-base", "task_family": "encoder"},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """A package, a folder on the server (in an allowed place) or a hub id."""
        data = self.get_serializer(data=request.data)
        data.is_valid(raise_exception=True)
        made = services.add_base_model(actor=self.actor, **data.validated_data)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(summary="Remove a base model", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """Refused for built-in ones and while versions were made from it."""
        row = fetch(self.actor, BaseModel, "registry.write", pk=pk)
        services.delete_base_model(actor=self.actor, base_model=row)
        return Response(status=204)


class ModelImports(mixins.ListModelMixin, WorkspaceViewSet):
    """Uploads of model folders."""

    read_permission = "registry.read"
    write_permission = "registry.write"
    queryset = VersionImport.objects.select_related("job")
    serializer_class = shapes.ModelImportSerializer

    @extend_schema(summary="List model imports", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Get a model import", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """How the import goes, and the version it became."""
        return self.etag_response(fetch(self.actor, self.get_queryset(), "registry.read", pk=pk))

    @extend_schema(
        summary="Import a model",
        tags=TAG,
        request={"multipart/form-data": shapes.ModelImportWriteSerializer},
        responses={202: shapes.ModelImportSerializer},
    )
    def create(self, request: Request) -> Response:
        """A zip of a Hugging Face folder of a text classifier: safetensors only, no code; loaded once as a check."""
        data = shapes.ModelImportWriteSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        upload = data.validated_data.pop("file")
        made = services.start_import(actor=self.actor, upload=upload, **data.validated_data)
        return Response(self.get_serializer(made).data, status=202)


class ModelConnections(WorkspaceViewSet):
    """Models that other servers answer."""

    read_permission = "registry.read"
    write_permission = "registry.write"
    serializer_class = shapes.ModelVersionDetailSerializer

    @extend_schema(
        summary="Connect a model on another server",
        tags=TAG,
        request=shapes.ModelConnectionSerializer,
        responses={201: shapes.ModelVersionDetailSerializer},
    )
    def create(self, request: Request) -> Response:
        """A version whose answers vLLM, SGLang, llama.cpp's server, Ollama or another Lingxi writes."""
        data = shapes.ModelConnectionSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        values = data.validated_data
        name, description = values.pop("name"), values.pop("description")
        made = services.connect_server(
            actor=self.actor, name=name, connection=services.Connection(**values), description=description
        )
        version = selectors.versions_of(self.actor.workspace).get(pk=made.pk)
        return Response(self.get_serializer(version).data, status=201)


class ModelExports(WorkspaceViewSet):
    """Zips of versions."""

    read_permission = "registry.read"
    write_permission = "registry.write"
    queryset = VersionExport.objects.select_related("job", "version__family")
    serializer_class = shapes.ModelExportSerializer

    @extend_schema(summary="Get a model export", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """How the export goes."""
        return self.etag_response(fetch(self.actor, self.get_queryset(), "registry.read", pk=pk))

    @extend_schema(
        summary="Download a model export",
        tags=TAG,
        responses={(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, description="The zip.")},
    )
    def file(self, request: Request, pk: int) -> StreamingHttpResponse:
        """The zip, 404 until the job is done."""
        return export_response(fetch(self.actor, self.get_queryset(), "registry.read", pk=pk))


class ModelChecks(WorkspaceViewSet):
    """Comparisons of files with hashes."""

    read_permission = "registry.read"
    write_permission = "registry.write"
    queryset = VersionCheck.objects.select_related("job")
    serializer_class = shapes.ModelCheckSerializer

    @extend_schema(summary="Get a model check", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """What the check found."""
        return self.etag_response(fetch(self.actor, self.get_queryset(), "registry.read", pk=pk))
