"""What a run may start from: base models that fit its recipe, and versions of the workspace itself."""

from pathlib import Path
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from apps.registry.models import BaseModel, ModelVersion, VersionState
from apps.registry.selectors import version_choices, version_folder
from core.errors import Problem
from engine import specs
from engine.specs import BaseModel as Reference
from words import say

FAMILIES = {"generation": "decoder"}  # task of a recipe -> family of base models; others read by an encoder


def base_choices(*, recipe: str, default: Reference, workspace: Any) -> list[tuple[str, str]]:
    """(reference, name) of everything a run of `recipe` may start from, the default first."""
    task = specs.RECIPES[recipe].task
    known = BaseModel.objects.filter(Q(workspace=None) | Q(workspace=workspace)).order_by("id")
    rows = known.filter(task_family=FAMILIES.get(task, "encoder"))
    found = {f"{row.kind}:{row.reference}": row.name for row in rows}
    found |= {f"version:{row.pk}": str(row) for row in version_choices(workspace).filter(task=task)}
    needs_none = specs.parse_spec(recipe, {"base_model": str(default)})[0] is not None
    new = {str(default): _("A new network")} if default.is_new and needs_none else {}
    if not new and not found and default.is_new:
        return [("", _("There is no model to start from yet"))]
    return list((new | found or {str(default): str(default)}).items())


def base_version(parsed: Any, workspace: Any) -> ModelVersion | None:
    """The version a spec starts from, if it starts from one of this workspace."""
    named = getattr(parsed, "base_model", None)
    if named is None or named.kind != "version":
        return None
    return ModelVersion.objects.filter(workspace=workspace, pk=int(named.name)).select_related("family").first()


def base_problems(recipe: str, parsed: Any, workspace: Any) -> list[Problem]:
    """Why the version a spec names cannot be started from."""
    named = getattr(parsed, "base_model", None)
    if named is None or named.kind != "version":
        return []
    found = base_version(parsed, workspace)
    if found is None:
        reason = say("This workspace has no model version {number}.", number=named.name)
    elif found.task != specs.RECIPES[recipe].task:
        reason = say("“{version}” does something else than this recipe makes.", version=found)
    elif found.state == VersionState.DAMAGED:
        reason = say("The files of “{version}” are not what was registered. Choose another version.", version=found)
    else:
        return []
    return [
        Problem(code="unknown_base", field="spec.base_model", message=reason, hint=say("Choose another base model."))
    ]


def places(version: ModelVersion | None) -> dict[str, str]:
    """Where the engine finds the version a run starts from, for its order."""
    return {f"version:{version.pk}": str(Path(version_folder(version)))} if version is not None else {}
