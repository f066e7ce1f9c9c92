"""The earlier tasks of a run that goes on from a version: frozen data that it rehearses, or learns importance from."""

from typing import Any

from apps.datasets.models import DatasetVersion
from apps.datasets.selectors import version_file
from apps.registry.models import ModelVersion
from apps.registry.selectors import generations_of
from core.errors import Problem, Refused
from engine import specs
from engine.specs.continuing import ContinueOptions
from words import say


def earlier_data(recipe: str, parsed: Any, version: DatasetVersion) -> list[DatasetVersion]:
    """What a run on `version` reads of earlier tasks, the first task first: what it names, else what its bases learnt from.

    Of the lineage only other data than the run's own, of kinds the recipe learns from.
    """
    if not isinstance(parsed, ContinueOptions) or not parsed.rehearses:
        return []
    workspace = version.dataset.workspace_id
    named = parsed.earlier_numbers()
    if named:
        rows = DatasetVersion.objects.select_related("dataset").filter(dataset__workspace=workspace, pk__in=named)
        found = {row.pk: row for row in rows}
        return [found[number] for number in named if number in found]
    base: Any = parsed
    number = int(base.base_model.name) if base.base_model.kind == "version" else 0
    start = ModelVersion.objects.filter(workspace=workspace, pk=number).first()
    learnt = [row.dataset_version for row in generations_of(start)] if start is not None else []
    kinds = specs.RECIPES[recipe].data_kinds
    fitting = [row for row in learnt if row is not None and row.pk != version.pk and row.dataset.kind in kinds]
    return list({row.pk: row for row in fitting}.values())


def earlier_problems(recipe: str, parsed: Any, version: DatasetVersion) -> list[Problem]:
    """Why the earlier tasks of a run cannot be read."""
    if not isinstance(parsed, ContinueOptions) or not parsed.rehearses:
        return []
    found = earlier_data(recipe, parsed, version)
    missing = [number for number in parsed.earlier_numbers() if number not in {row.pk for row in found}]
    reasons = [
        ("unknown_earlier_data", say("This workspace has no dataset version {number}.", number=number))
        for number in missing
    ]
    for row in found:
        if row.dataset.kind not in specs.RECIPES[recipe].data_kinds:
            reasons.append(
                (
                    "wrong_kind",
                    say(
                        "“{data}” holds {kind} data, which this recipe does not learn from.",
                        data=row,
                        kind=row.dataset.kind,
                    ),
                )
            )
        elif not row.counts.get("splits", {}).get(getattr(parsed, "train_split", "train")):
            reasons.append(("too_few_rows", say("“{data}” has no rows to learn from.", data=row)))
    if not found and not missing:
        reasons.append(
            ("no_earlier_data", say("The base version and its bases learnt from no other data of this workspace."))
        )
    hint = say("Name dataset versions in earlier_data, or choose L2-SP.")
    return [Problem(code=code, field="spec.earlier_data", message=reason, hint=hint) for code, reason in reasons]


def earlier_files(parsed: Any, version: DatasetVersion) -> list[dict[str, str]]:
    """The earlier tasks for the engine's order; Refused when one that is named is gone."""
    recipe = next((name for name, known in specs.RECIPES.items() if type(parsed) is known.spec), "")
    problems = earlier_problems(recipe, parsed, version)
    if problems:
        raise Refused(problems[0].code, problems[0].message, hint=problems[0].hint)
    return [
        {"path": str(version_file(row)), "hash": row.content_hash, "name": str(row), "kind": row.dataset.kind}
        for row in earlier_data(recipe, parsed, version)
    ]
