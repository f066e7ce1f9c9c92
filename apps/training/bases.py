"""What a run may start from: base models that fit its recipe, and versions of the workspace itself."""

from pathlib import Path
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from apps.registry.models import BaseModel, ModelVersion, Source, VersionState
from apps.registry.selectors import shared_base, version_choices, version_folder
from core.errors import Problem
from engine import specs
from engine.specs import BaseModel as Reference
from engine.specs.fields import infos
from engine.specs.methods import ADAPTERS, MERGEABLE
from words import say

FAMILIES = {"generation": "decoder"}  # task of a recipe -> family of base models; others read by an encoder


def base_choices(*, recipe: str, default: Reference, workspace: Any) -> list[tuple[str, str]]:
    """(reference, name) of everything a run of `recipe` may start from, the default first."""
    tasks = base_tasks(recipe)
    versions = {
        f"version:{row.pk}": str(row)
        for row in version_choices(workspace).filter(task__in=tasks).exclude(source=Source.REMOTE)
    }
    if default.kind == "version":
        return list(versions.items()) or [("", _("There is no model to start from yet"))]
    known = BaseModel.objects.filter(Q(workspace=None) | Q(workspace=workspace)).order_by("id")
    rows = known.filter(task_family__in={FAMILIES.get(task, "encoder") for task in tasks})
    found = {f"{row.kind}:{row.reference}": row.name for row in rows}
    found |= versions
    _spec, problems = specs.parse_spec(recipe, {"base_model": str(default)})
    needs_none = all(problem.field != "base_model" for problem in problems)
    new = {str(default): _("A new network")} if default.is_new and needs_none else {}
    if not new and not found and default.is_new:
        return [("", _("There is no model to start from yet"))]
    return list((new | found or {str(default): str(default)}).items())


def base_tasks(recipe: str) -> tuple[str, ...]:
    """Tasks of the versions a run of `recipe` may start from, its own first."""
    known = specs.RECIPES[recipe]
    return (known.task, *known.starts_from)


def named_versions(parsed: Any) -> dict[str, str]:
    """Field -> number of every version a spec names and looks at: its base, its teacher."""
    known = {info.name: info for info in infos(type(parsed))} if parsed is not None else {}
    values = {name: getattr(parsed, name) for name in known}
    plain = {name: str(value) for name, value in values.items()}
    return {
        name: value.name
        for name, value in values.items()
        if isinstance(value, Reference) and value.kind == "version" and known[name].is_looked_at(plain, known)
    }


def base_version(parsed: Any, workspace: Any) -> ModelVersion | None:
    """The version a run goes on from: the one it starts from, else its teacher; None when it names none of the workspace."""
    numbers = named_versions(parsed)
    number = numbers.get("base_model") or numbers.get("teacher")
    found = ModelVersion.objects.filter(workspace=workspace).select_related("family")
    return found.filter(pk=int(number)).first() if number is not None else None


def base_problems(recipe: str, parsed: Any, workspace: Any) -> list[Problem]:
    """Why the versions a spec names cannot be gone on from."""
    problems = []
    for name, number in named_versions(parsed).items():
        found = ModelVersion.objects.filter(workspace=workspace, pk=int(number)).select_related("family").first()
        if found is None:
            reason = say("This workspace has no model version {number}.", number=number)
        elif found.task not in base_tasks(recipe):
            reason = say("“{version}” does something else than this recipe makes.", version=found)
        elif found.state == VersionState.DAMAGED:
            reason = say("The files of “{version}” are not what was registered. Choose another version.", version=found)
        elif name == "base_model" and getattr(parsed, "goes_on", True) and stands_beside(trained_on(parsed, found)):
            reason = say(
                "What “{version}” learnt stands beside its weights and cannot be trained on. "
                "Choose a version of another method.",
                version=found,
            )
        else:
            continue
        hint = say("Choose another base model.")
        problems.append(Problem(code="unknown_base", field=f"spec.{name}", message=reason, hint=hint))
    return problems


def stands_beside(version: ModelVersion) -> bool:
    """Whether what the version learnt is not in its weights: virtual tokens, bottleneck adapters."""
    method = version.spec.get("method")
    return method in ADAPTERS and method not in MERGEABLE


def trained_on(parsed: Any, version: ModelVersion) -> ModelVersion:
    """The version whose weights a run starts from: of an adapter for each task, what all of them share."""
    return shared_base(version) if getattr(parsed, "keep", "") == "adapter_per_task" else version


def places(parsed: Any, workspace: Any) -> dict[str, str]:
    """Where the engine finds the versions a spec names, for its order."""
    numbers = named_versions(parsed)
    rows = {row.pk: row for row in ModelVersion.objects.filter(workspace=workspace, pk__in=map(int, numbers.values()))}
    found = {f"version:{pk}": str(Path(version_folder(row))) for pk, row in rows.items()}
    if (base := rows.get(int(numbers.get("base_model", 0)))) is not None:
        found[f"version:{base.pk}"] = str(Path(version_folder(trained_on(parsed, base))))
    return found
