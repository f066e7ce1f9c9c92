"""Runs beside each other: the options that differ, the figures of what they made, and how far each is from the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.registry.selectors import figure_order
from apps.training.models import TrainingJob

SPLITS = ("test", "dev")


@dataclass(frozen=True)
class Beside:
    """One figure of one run."""

    figure: Mapping[str, float] | None  # value, low, high
    delta: float | None  # value minus that of the first run


@dataclass(frozen=True)
class FigureRow:
    """One figure of all runs."""

    split: str
    name: str
    cells: Sequence[Beside]


def differing_options(runs: Sequence[TrainingJob]) -> list[tuple[str, list[Any]]]:
    """Only the options that are not the same in all runs; one that a recipe does not know is None."""
    keys = sorted({key for run in runs for key in run.spec})
    values = [(key, [run.spec.get(key) for run in runs]) for key in keys]
    return [(key, found) for key, found in values if len({repr(value) for value in found}) > 1]


def figures_of(runs: Sequence[TrainingJob]) -> list[FigureRow]:
    """The headline figures on test and dev, of the versions that the runs made."""
    rows = []
    for split in SPLITS:
        found = [_headline(run, split) for run in runs]
        for name in sorted({name for headline in found for name in headline}, key=figure_order):
            figures = [headline.get(name) for headline in found]
            rows.append(FigureRow(split, name, [Beside(figure, _delta(figures[0], figure)) for figure in figures]))
    return rows


def _headline(run: TrainingJob, split: str) -> Mapping[str, Any]:
    if run.model_version is None:
        return {}
    headline: Mapping[str, Any] = run.model_version.metrics.get(split, {}).get("headline", {})
    return headline


def _delta(first: Mapping[str, float] | None, figure: Mapping[str, float] | None) -> float | None:
    return figure["value"] - first["value"] if first is not None and figure is not None else None
