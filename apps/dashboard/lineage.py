"""Where a dataset version or a model version comes from, and what was made from it: nodes, edges and their layers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Q, QuerySet, Window
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.dashboard.kinds import Kind
from apps.dashboard.selectors import model_versions
from apps.datasets.models import DatasetVersion, ImportJob
from apps.datasets.models import Source as DataSource
from apps.evaluation.models import EvaluationJob
from apps.inference.models import BatchJob
from apps.registry.models import Alias, BaseModel, ModelVersion, Source, VersionExport, VersionImport
from apps.registry.services import users_of
from apps.training.models import TrainingJob
from core.access import Actor
from core.dependents import dependents
from core.jobs.states import State
from core.pages import workspace_url

SHOWN = 25  # of one kind; what is left out is counted
DEEPEST = 10  # generations of versions made from versions

KINDS: dict[str, tuple[Kind, str]] = {  # kind of node -> words and icon, permission that shows it
    "import": (Kind(_("Import"), "file-import"), "datasets.read"),
    "requests": (Kind(_("Requests to model versions"), "list-details"), "datasets.read"),
    "dataset_version": (Kind(_("Dataset version"), "database"), "datasets.read"),
    "base_model": (Kind(_("Base model"), "stack-2"), "registry.read"),
    "model_import": (Kind(_("Import a model"), "package-import"), "registry.read"),
    "training": (Kind(_("Training"), "chart-line"), "training.read"),
    "model_version": (Kind(_("Model version"), "cube"), "registry.read"),
    "evaluation": (Kind(_("Evaluation"), "target-arrow"), "evaluation.read"),
    "alias": (Kind(_("Alias"), "tag"), "registry.read"),
    "batch": (Kind(_("Batch prediction"), "tags"), "inference.read"),
    "export": (Kind(_("Export"), "package-export"), "registry.read"),
}

KIND_CODES = tuple(KINDS)

Key = tuple[str, int]


@dataclass(frozen=True)
class Node:
    """One thing: `key` is its kind and id, `side` whether it lies before, at or behind what is looked at."""

    key: Key
    title: str
    url: str
    detail: str = ""
    side: str = "downstream"

    @property
    def kind(self) -> str:
        """The kind by code."""
        return self.key[0]

    @property
    def words(self) -> str | Promise:
        """The kind for people."""
        return KINDS[self.kind][0].title

    @property
    def icon(self) -> str:
        """The kind's picture."""
        return KINDS[self.kind][0].icon


@dataclass
class Graph:
    """Everything around one node."""

    focus: Key
    nodes: dict[Key, Node] = field(default_factory=dict)
    edges: list[tuple[Key, Key]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def layers(self) -> list[list[Node]]:
        """Nodes by the longest way that leads to them, so that every edge points to a later layer.

        What comes from nothing stands right before its first use.
        """
        depth = dict.fromkeys(self.nodes, 0)
        for _round in range(len(self.nodes)):
            moved = False
            for one, two in self.edges:
                if depth[two] <= depth[one]:
                    depth[two], moved = depth[one] + 1, True
            if not moved:
                break
        made = {two for _one, two in self.edges}
        for key in self.nodes.keys() - made:
            depth[key] = min((depth[two] for one, two in self.edges if one == key), default=1) - 1
        found: list[list[Node]] = [[] for _layer in range(max(depth.values(), default=0) + 1)]
        for key, node in self.nodes.items():
            found[depth[key]].append(node)
        return found

    def before(self, key: Key) -> list[Node]:
        """What `key` was made from directly."""
        return [self.nodes[one] for one, two in self.edges if two == key]


class _Builder:
    """Collects nodes the actor may see, and edges between nodes that are there."""

    def __init__(self, actor: Actor, focus: Key) -> None:
        self.actor = actor
        self.graph = Graph(focus)
        self.wanted: list[tuple[Key, Key]] = []

    def add(
        self,
        kind: str,
        pk: int,
        title: Any,
        place: str,
        detail: Any = "",
        /,
        *,
        side: str = "downstream",
        **kwargs: Any,
    ) -> Key:
        """A node once; `side` says where it lies. Returns its key."""
        key = (kind, pk)
        if key not in self.graph.nodes and self.actor.may(KINDS[kind][1]):
            side = "focus" if key == self.graph.focus else side
            url = workspace_url(self.actor, place, **kwargs)
            self.graph.nodes[key] = Node(key, str(title), url, str(detail), side)
        return key

    def edge(self, one: Key, two: Key) -> None:
        """`two` was made from `one`."""
        if (one, two) not in self.wanted:
            self.wanted.append((one, two))

    def few(self, kind: str, rows: QuerySet[Any]) -> list[Any]:
        """The newest rows, and a note of how many more there are."""
        found = list(rows.annotate(row_total=Window(Count("pk"))).order_by("-pk")[:SHOWN])
        if found and found[0].row_total > SHOWN:
            self.graph.left_out[kind] = self.graph.left_out.get(kind, 0) + found[0].row_total - SHOWN
        return found

    def done(self) -> Graph:
        """The graph, without edges to what is not shown."""
        nodes = self.graph.nodes
        self.graph.edges = [(one, two) for one, two in self.wanted if one in nodes and two in nodes]
        return self.graph


def lineage_of_model(actor: Actor, version: ModelVersion) -> Graph:
    """Upstream and downstream of a model version."""
    build = _Builder(actor, ("model_version", version.pk))
    ancestors = [version]
    while ancestors[-1].parent_id and len(ancestors) <= DEEPEST:
        ancestors.append(model_versions().get(pk=ancestors[-1].parent_id))
    _models(build, ancestors, side="upstream")
    data = [row.dataset_version for row in ancestors if row.dataset_version]
    _imports(build, data)
    _descendants(build, [version])
    return build.done()


def lineage_of_data(actor: Actor, version: DatasetVersion) -> Graph:
    """Upstream and downstream of a dataset version."""
    build = _Builder(actor, ("dataset_version", version.pk))
    _data(build, version)
    _imports(build, [version])
    for training in build.few("training", TrainingJob.objects.filter(dataset_version=version).select_related("job")):
        build.edge(("dataset_version", version.pk), _training(build, training))
    made = build.few("model_version", model_versions().filter(dataset_version=version))
    _models(build, made)
    _descendants(build, made, data=version)
    return build.done()


def used_by(actor: Actor, version: ModelVersion | DatasetVersion) -> list[str]:
    """What forbids deleting the version; nothing is told to who may not see models."""
    if not actor.may("registry.read"):
        return []
    return users_of(version) if isinstance(version, ModelVersion) else dependents(version)


def _models(build: _Builder, versions: Sequence[ModelVersion], *, side: str = "downstream") -> None:
    """Versions with what made them: training, data, base model, parent or upload."""
    taken_in = [version for version in versions if version.source == Source.IMPORT]
    uploads = VersionImport.objects.filter(version__in=taken_in) if taken_in else ()
    imports = {row.version_id: row for row in uploads}
    for version in versions:
        mine = build.add(
            "model_version", version.pk, version, "registry:detail", version.content_hash[:8], pk=version.pk, side=side
        )
        training = getattr(version, "training_job", None)
        made_by = mine
        if training is not None:
            made_by = _training(build, training, side=side)
            build.edge(made_by, mine)
        if version.dataset_version is not None:
            build.edge(_data(build, version.dataset_version, side=side), made_by)
        if version.base_model is not None:
            build.edge(_base(build, version.base_model), made_by)
        if version.parent_id:
            build.edge(("model_version", version.parent_id), made_by)
        if (upload := imports.get(version.pk)) is not None:
            place: dict[str, Any] = {"pk": upload.pk, "side": side}
            build.edge(build.add("model_import", upload.pk, upload.filename, "registry:import", **place), mine)


def _descendants(build: _Builder, versions: Sequence[ModelVersion], *, data: DatasetVersion | None = None) -> None:
    """Versions made from these, generation by generation, and what all of them (and `data`) are used for."""
    found, frontier = {row.pk: row for row in versions}, list(versions)
    for _generation in range(DEEPEST):
        children = build.few("model_version", model_versions().filter(parent__in=frontier).exclude(pk__in=found))
        if not children:
            break
        _models(build, children)
        found |= {row.pk: row for row in children}
        frontier = children
    used = Q(model_version__in=found) | (Q(dataset_version=data) if data else Q())
    _evaluations(build, EvaluationJob.objects.filter(used), data)
    for alias in build.few("alias", Alias.objects.filter(version__in=found)):
        key = build.add("alias", alias.pk, alias.name, "registry:family", pk=alias.family_id)
        build.edge(("model_version", alias.version_id), key)
    for batch in build.few("batch", BatchJob.objects.filter(used).select_related("job")):
        key = _batch(build, batch)
        build.edge(("model_version", batch.model_version_id), key)
        if data is not None and batch.dataset_version_id == data.pk:
            build.edge(("dataset_version", data.pk), key)
    exports = VersionExport.objects.filter(version__in=found, job__state=State.SUCCEEDED)
    for export in build.few("export", exports):
        title, place = export.get_kind_display(), {"pk": export.version_id}
        build.edge(
            ("model_version", export.version_id),
            build.add("export", export.pk, title, "registry:detail", export.sha256[:8], **place),
        )


def _evaluations(build: _Builder, rows: QuerySet[EvaluationJob], data: DatasetVersion | None) -> None:
    rows = rows.select_related("model_version__family", "dataset_version__dataset")
    for row in build.few("evaluation", rows.defer("model_version__samples", "model_version__metrics", "metrics")):
        on_it = data is not None and row.dataset_version_id == data.pk
        title = str(row.model_version) if on_it else f"{row.dataset_version} {row.split}".strip()
        key = build.add("evaluation", row.pk, title, "evaluation:detail", f"#{row.pk}", pk=row.pk)
        build.edge(("model_version", row.model_version_id), key)
        if on_it:
            build.edge(("dataset_version", row.dataset_version_id), key)


def _imports(build: _Builder, versions: Iterable[DatasetVersion]) -> None:
    """Imports that had ended when a version was frozen: what they brought may be in it."""
    by_dataset: dict[int, list[DatasetVersion]] = {}
    for version in versions:
        by_dataset.setdefault(version.dataset_id, []).append(version)
    rows = ImportJob.objects.filter(dataset__in=by_dataset, dry_run=False, job__state=State.SUCCEEDED)
    for row in build.few("import", rows.select_related("job")):
        after = [
            version
            for version in by_dataset[row.dataset_id]
            if version.frozen_at and row.job and row.job.finished_at and row.job.finished_at <= version.frozen_at
        ]
        if after:
            place: dict[str, Any] = {"pk": row.dataset_id, "number": row.pk, "side": "upstream"}
            kind = "requests" if row.source == DataSource.REQUESTS else "import"
            key = build.add(kind, row.pk, row, "datasets:import", row.file_hash[:8], **place)
            for version in after:
                build.edge(key, ("dataset_version", version.pk))


def _data(build: _Builder, version: DatasetVersion, *, side: str = "downstream") -> Key:
    place: dict[str, Any] = {"pk": version.dataset_id, "number": version.number, "side": side}
    return build.add("dataset_version", version.pk, version, "datasets:version", version.content_hash[:8], **place)


def _training(build: _Builder, training: TrainingJob, *, side: str = "downstream") -> Key:
    return build.add("training", training.pk, training, "training:detail", f"#{training.pk}", pk=training.pk, side=side)


def _base(build: _Builder, base: BaseModel) -> Key:
    return build.add("base_model", base.pk, base, "registry:base_models", base.licence, side="upstream")


def _batch(build: _Builder, batch: BatchJob) -> Key:
    return build.add("batch", batch.pk, batch, "inference:detail", f"#{batch.pk}", pk=batch.pk)
