"""What can be said of a training job at the door, from its options and the frozen version's counts alone."""

from collections.abc import Mapping
from typing import Any

from apps.datasets.models import DatasetVersion
from apps.training.bases import base_problems
from apps.training.earlier import earlier_problems
from core.errors import Problem
from engine import specs
from words import say


def check(*, recipe: str, spec: Mapping[str, Any], version: DatasetVersion) -> tuple[Any, list[Problem]]:
    """The parsed spec (None when it has errors) and every problem of spec and data found at the door.

    Rows are read by the run itself; here speak the frozen version's counts.
    """
    parsed, found = specs.parse_spec(recipe, spec)
    problems = [
        Problem(code=item.code, field=f"spec.{item.field}".rstrip("."), message=item.message, hint=item.hint)
        for item in found
        if item.severity == "error"
    ]
    if recipe in specs.RECIPES:
        problems += _data_problems(recipe, parsed, version)
        problems += base_problems(recipe, parsed, version.dataset.workspace)
        problems += earlier_problems(recipe, parsed, version)
    return (None if problems else parsed), problems


def _data_problems(recipe: str, parsed: Any, version: DatasetVersion) -> list[Problem]:
    wanted, least = specs.RECIPES[recipe].data_kinds, specs.RECIPES[recipe].least_rows
    if version.dataset.kind not in wanted:
        return [
            Problem(
                code="wrong_kind",
                field="dataset_version",
                message=say(
                    "This recipe learns from {wanted} data, and the dataset holds {kind} data.",
                    wanted=", ".join(wanted),
                    kind=version.dataset.kind,
                ),
                hint=say("Choose another dataset or recipe."),
            )
        ]
    train_split = getattr(parsed, "train_split", "train")
    rows = version.counts.get("splits", {}).get(train_split, 0)
    problems: list[Problem] = []
    if rows < least:
        problems.append(
            Problem(
                code="too_few_rows",
                field="dataset_version",
                message=say(
                    "The split “{split}” has {rows} rows; training needs at least {least}.",
                    split=train_split,
                    rows=rows,
                    least=least,
                ),
                hint=say("Split the dataset and freeze a new version, or choose another split."),
            )
        )
    least = 1 if getattr(parsed, "keeps_labels", False) else specs.RECIPES[recipe].least_labels
    if len(version.labels) < least:
        problems.append(
            Problem(
                code="too_few_labels",
                field="dataset_version",
                message=say(
                    "This recipe needs at least {least} labels; this version has {labels_count}.",
                    least=least,
                    labels_count=len(version.labels),
                ),
                hint=say("Label more examples, then freeze a new version."),
            )
        )
    return problems
