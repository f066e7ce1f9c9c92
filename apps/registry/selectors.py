"""What pages, the API and other rooms read of the registry."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import F, OuterRef, Prefetch, Q, QuerySet, Subquery

from apps.registry.files import compare_with_manifest
from apps.registry.models import (
    Alias,
    AliasMove,
    Approval,
    BaseModel,
    CardRevision,
    ExportKind,
    ModelFamily,
    ModelVersion,
    Task,
    VersionExport,
    VersionImport,
    VersionState,
)
from apps.registry.options import FIGURES
from core.errors import Refused, conflict
from core.leftovers import Names
from core.openai.errors import unknown_model
from engine.specs.methods import MERGEABLE
from words import say


def version_folder(version: ModelVersion) -> Path:
    """The folder of a version's model; Refused when it is damaged, gone or on another server."""
    if version.is_remote:
        raise Refused(
            "answered_elsewhere",
            say("“{version}” is answered by another server: its weights are not here.", version=version),
            field="model_version",
            hint=say("Choose a version that was trained or imported."),
        )
    return _whole_folder(version)


def server_of(version: ModelVersion) -> dict[str, Any]:
    """Where a remote version is answered: address, model, dialect, context_tokens."""
    found: dict[str, Any] = json.loads((_whole_folder(version) / SERVER_FILE).read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name != "kind"}


def server_headers(address: str) -> dict[str, str]:
    """What a request to a server carries: the key that LINGXI_REMOTE_KEYS gives for its address, if it gives one."""
    key = settings.REMOTE_KEYS.get(address.rstrip("/"), "")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _whole_folder(version: ModelVersion) -> Path:
    if version.state == VersionState.DAMAGED or not version.path.is_dir():
        raise conflict(
            "version_damaged",
            say("The files of {version} are damaged or missing.", version=version),
            hint=say("Restore the backup or use another version."),
        )
    return version.path


SERVER_FILE = "lingxi.json"
GGUF_SHAPES = {"gpt2", "llama", "mistral", "qwen2", "qwen3"}


def damaged_files(version: ModelVersion) -> list[str]:
    """Files of a version that are missing or not what was registered; reads all of them."""
    found = compare_with_manifest(_whole_folder(version), version.files)
    return [each["path"] for each in found if each["problem"] != "additional"]


def export_kinds(version: ModelVersion) -> list[str]:
    """The kinds of export that make sense for what the version's folder holds; the conversion itself decides."""
    if version.is_remote:
        return []
    found: list[str] = [ExportKind.ARCHIVE]
    has_adapter = any(str(file["path"]).startswith("adapter/") for file in version.files)
    if has_adapter:
        found.append(ExportKind.ADAPTER)
    if has_adapter and _json_of(version, "adapter/options.json").get("method", MERGEABLE[0]) not in MERGEABLE:
        return found  # the weights beside it are the base's: alone they are another model
    found += [ExportKind.ONNX] if reads_case(version) else [ExportKind.MERGED, ExportKind.ONNX]
    if version.task == Task.GENERATION and _json_of(version, "config.json").get("model_type") in GGUF_SHAPES:
        found.append(ExportKind.GGUF)
    return found


def reads_case(version: ModelVersion) -> bool:
    """Whether a tagger reads how each word is written, which transformers' own class would leave out."""
    return bool(_json_of(version, "lingxi.json").get("case_features"))


def _json_of(version: ModelVersion, name: str) -> dict[str, Any]:
    path = version.path / name
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def base_models_of(workspace: Any) -> QuerySet[BaseModel]:
    """Built-in base models and the workspace's own, built-in first."""
    return BaseModel.objects.filter(Q(workspace=None) | Q(workspace=workspace)).order_by("workspace_id", "id")


def families_of(workspace: Any) -> QuerySet[ModelFamily]:
    """Families with their aliases (and the versions these name) and `newest_id`, newest work first."""
    newest = ModelVersion.objects.filter(family=OuterRef("pk")).order_by("-number").values("pk")[:1]
    aliases = Alias.objects.select_related("version").order_by("name")
    return (
        ModelFamily.objects.filter(workspace=workspace)
        .annotate(newest_id=Subquery(newest))
        .prefetch_related(Prefetch("aliases", queryset=aliases))
        .order_by("-newest_id", "-id")
    )


def versions_of(workspace: Any) -> QuerySet[ModelVersion]:
    """Versions with family, base model, data and aliases, newest first, without their example rows."""
    return (
        ModelVersion.objects.filter(workspace=workspace)
        .select_related("family", "base_model", "created_by", "dataset_version__dataset", "parent__family")
        .prefetch_related(Prefetch("aliases", queryset=Alias.objects.order_by("name")))
        .defer("samples")
        .order_by("-id")
    )


def version_choices(workspace: Any) -> QuerySet[ModelVersion]:
    """Only what a choice needs: id, name and number, newest first."""
    rows = ModelVersion.objects.filter(workspace=workspace).select_related("family")
    return rows.only("number", "family__name").order_by("-id")


MOST_GENERATIONS = 20


def generations_of(version: ModelVersion) -> list[ModelVersion]:
    """The version and those whose weights it goes on from, the first one first, with family and data; at most 20."""
    found = [version]
    rows = ModelVersion.objects.select_related("family", "dataset_version__dataset").defer(
        "samples", "metrics", "files"
    )
    while (number := base_number(found[0])) and len(found) < MOST_GENERATIONS:
        before = rows.filter(pk=number, workspace=version.workspace_id).first()
        if before is None:
            break
        found.insert(0, before)
    return found


def base_number(version: ModelVersion) -> int | None:
    """The version whose weights this one began with; a teacher, or who gave the vocabulary alone, is none."""
    base = version.spec.get("base_model")
    if version.recipe == "pretrain" and version.spec.get("weights") != "base_model":
        return None
    if version.parent_id is None or not isinstance(base, dict) or base.get("kind") != "version":
        return None
    return version.parent_id if base.get("name") == str(version.parent_id) else None


def shared_base(version: ModelVersion) -> ModelVersion:
    """The version on whose frozen weights adapters stand: the newest before it that is no adapter for one task."""
    rows = reversed(generations_of(version))
    return next((row for row in rows if row.spec.get("keep") != "adapter_per_task"), version)


def base_folder(version: ModelVersion) -> dict[str, str]:
    """ "version:id" -> folder of the version that this one was trained on; {} where it was another base model."""
    number = base_number(version)
    base = ModelVersion.objects.filter(workspace=version.workspace_id, pk=number).first() if number else None
    if base is None:
        return {}
    is_one_of_many = version.spec.get("keep") == "adapter_per_task"
    return {f"version:{base.pk}": str(version_folder(shared_base(base) if is_one_of_many else base))}


def preferred_over(version: ModelVersion) -> tuple[dict[str, Any], dict[str, str]]:
    """What the version's preferences are held against, and where that lies if it is a version; two {} before any were learnt.

    It is the base, with the beta, of the first run of the lineage that learnt preferences.
    """
    first = next((row for row in generations_of(version) if row.recipe == "prefer"), None)
    if first is None:
        return {}, {}
    return {"base_model": first.spec["base_model"], "beta": first.spec["beta"]}, base_folder(first)


def newest_versions(families: list[ModelFamily]) -> dict[int, ModelVersion]:
    """Family id -> its newest version."""
    ids = [newest for family in families if (newest := getattr(family, "newest_id", None))]
    rows = ModelVersion.objects.filter(pk__in=ids).select_related("family").defer("samples")
    return {row.family_id: row for row in rows}


def moves_of(family: ModelFamily) -> QuerySet[AliasMove]:
    """The history of a family's aliases, newest first."""
    return AliasMove.objects.filter(family=family).order_by("-id")


def approvals_of(version: ModelVersion) -> QuerySet[Approval]:
    """Requests for approval with who asked and who decided, newest first."""
    return Approval.objects.filter(version=version).select_related("requested_by", "decided_by").order_by("-id")


def exports_of(version: ModelVersion) -> QuerySet[VersionExport]:
    """Exports of a version with their jobs, newest first."""
    return VersionExport.objects.filter(version=version).select_related("job", "version__family").order_by("-id")


def card_of(version: ModelVersion) -> CardRevision:
    """The newest revision of the card; registering wrote the first one."""
    return CardRevision.objects.select_related("created_by").filter(version=version).latest("number")


@dataclass(frozen=True)
class Meant:
    """What a reference means: a version, and the alias through which it was found, if through one."""

    version: ModelVersion
    alias_id: int | None = None


def resolve_version(workspace: Any, reference: str) -> ModelVersion:
    """The version a person means: an id ("17"), "name@alias", "name:3", or "name" (its champion, else newest)."""
    return resolve(workspace, reference).version


def resolve(workspace: Any, reference: str) -> Meant:
    """The same with the alias; Refused when there is no such version."""
    rows = ModelVersion.objects.filter(workspace=workspace).select_related("family")
    reference = reference.strip()
    found: Meant | None
    if reference.isascii() and reference.isdigit() and len(reference) < 19:
        found = _plain(rows.filter(pk=int(reference)))
    else:
        found = _by_name(rows, reference)
    if found is None:
        raise Refused(
            "unknown_model_version",
            say("There is no model version “{reference}” in this workspace.", reference=reference[:100]),
            field="model_version",
            hint=say("Write an id, name@alias, name:number or the name of a model."),
        )
    return found


def usable_version(workspace: Any, name: str, *, damaged: bool = False) -> ModelVersion:
    """The version that `model` of a request names; 404 as OpenAI says it, also for one whose files are damaged."""
    try:
        version = resolve_version(workspace, name)
    except Refused as error:
        raise unknown_model(name) from error
    if version.state == VersionState.DAMAGED and not damaged:
        raise unknown_model(name)
    return version


def _by_name(rows: QuerySet[ModelVersion], reference: str) -> Meant | None:
    if "\0" in reference:
        return None
    name, at, alias = reference.rpartition("@")
    if at and (found := _through(rows.filter(family__name__iexact=name), alias)):
        return found
    name, colon, number = reference.rpartition(":")
    if colon and number.isascii() and number.isdigit() and len(number) < 10:
        numbered = _plain(rows.filter(family__name__iexact=name, number=int(number)))
        if numbered:
            return numbered
    named = rows.filter(family__name__iexact=reference)
    return _through(named, "champion") or _plain(named.order_by("-number"))


def _plain(rows: QuerySet[ModelVersion]) -> Meant | None:
    version = rows.first()
    return Meant(version) if version else None


def _through(rows: QuerySet[ModelVersion], alias: str) -> Meant | None:
    found = rows.filter(aliases__name=alias).annotate(alias_id=F("aliases__id")).first()
    return Meant(found, found.alias_id) if found else None


def served_names(workspace: Any) -> list[tuple[str, ModelVersion]]:
    """(name, version) of all that can be used: "name", "name@alias" and "name:number", of the newest versions first."""
    rows = ModelVersion.objects.filter(workspace=workspace).select_related("family")
    rows = rows.prefetch_related(Prefetch("aliases", queryset=Alias.objects.order_by("name")))
    rows = rows.only("workspace", "number", "task", "state", "created_at", "family__name").order_by("-id")
    found: list[tuple[str, ModelVersion]] = []
    bare: dict[str, ModelVersion] = {}
    for version in rows:
        name, aliases = version.family.name, [alias.name for alias in version.aliases.all()]
        if "champion" in aliases or name not in bare:
            bare[name] = version
        found += [(f"{name}@{alias}", version) for alias in aliases]
        found.append((f"{name}:{version.number}", version))
    return [(name, version) for name, version in [*bare.items(), *found] if version.state == VersionState.READY]


def figure_order(name: str) -> tuple[int, str]:
    """Sort key that puts the figures people look at first; JSON in the database keeps no order."""
    known = list(FIGURES)
    return (known.index(name), "") if name in known else (len(known), name)


def figures_beside(versions: list[ModelVersion]) -> list[dict[str, Any]]:
    """One row per headline figure: its name, and for each version the figure or None.

    `clear` tells whether the intervals of the first and the last version do not touch; None when one is missing.
    """
    names = {name for version in versions for name in version.headline}
    rows = []
    for name in sorted(names, key=figure_order):
        values = [version.headline.get(name) for version in versions]
        first, last = values[0], values[-1]
        clear = None
        if first is not None and last is not None:
            clear = first["low"] > last["high"] or last["low"] > first["high"]
        rows.append({"name": name, "values": values, "clear": clear})
    return rows


def settings_beside(versions: list[ModelVersion]) -> list[dict[str, Any]]:
    """Only what differs: settings of the spec and facts of the making, by version."""
    facts = [
        {
            **version.spec,
            "recipe": version.recipe,
            "base model": str(version.base_model or ""),
            "data hash": version.dataset_hash[:16],
            "content hash": version.content_hash[:16],
            "labels": len(version.labels),
            "size in bytes": version.size_bytes,
        }
        for version in versions
    ]
    names = dict.fromkeys(name for found in facts for name in found)
    rows = [{"name": name, "values": [found.get(name) for found in facts]} for name in names]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


def file_places() -> list[tuple[str, Names]]:
    """Where the files of this room lie, and which of them a row names."""
    return [
        ("*/models/*", lambda: set(ModelVersion.objects.values_list("folder", flat=True))),
        ("*/uploads/*", lambda: set(VersionImport.objects.values_list("upload", flat=True))),
        ("*/exports/*", lambda: set(VersionExport.objects.values_list("path", flat=True))),
    ]
