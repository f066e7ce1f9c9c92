"""Curves of a run as the chart module draws them: which belong together, and their words."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.training.models import TrainingJob
from apps.training.selectors import curves, newest_point

CURVES: dict[str, str | Promise] = {
    "train_loss": gettext_lazy("Training loss"),
    "dev_loss": gettext_lazy("Dev loss"),
    "dev_accuracy": gettext_lazy("Dev accuracy"),
    "dev_mrr": gettext_lazy("Dev MRR@10"),
    "dev_ndcg": gettext_lazy("Dev NDCG@10"),
    "dev_recall_at_1": gettext_lazy("Dev recall@1"),
    "dev_recall_at_5": gettext_lazy("Dev recall@5"),
    "dev_recall_at_10": gettext_lazy("Dev recall@10"),
    "dev_mrr_gain": gettext_lazy("Dev MRR@10 gained on the search"),
    "dev_centroid_accuracy": gettext_lazy("Dev nearest class centroid"),
    "dev_spearman": gettext_lazy("Dev Spearman's correlation"),
    "dev_entity_f1": gettext_lazy("Dev entity F1"),
    "dev_precision": gettext_lazy("Dev precision"),
    "dev_recall": gettext_lazy("Dev recall"),
    "dev_exact_match": gettext_lazy("Dev exact answers"),
    "dev_f1": gettext_lazy("Dev F1 of the words"),
    "dev_macro_f1": gettext_lazy("Dev macro F1"),
    "dev_micro_f1": gettext_lazy("Dev micro F1"),
    "dev_weighted_f1": gettext_lazy("Dev weighted F1"),
    "dev_perplexity": gettext_lazy("Dev perplexity"),
    "dev_bits_per_byte": gettext_lazy("Dev bits per byte"),
    "dev_token_accuracy": gettext_lazy("Dev token accuracy"),
    "dev_reward_margin": gettext_lazy("Dev reward margin"),
    "dev_win_rate": gettext_lazy("Dev win rate"),
    "shots_accuracy": gettext_lazy("Dev accuracy by texts a class"),
    "shots_macro_f1": gettext_lazy("Dev macro F1 by texts a class"),
    "tokens_per_second": gettext_lazy("Tokens per second"),
    "learning_rate": gettext_lazy("Learning rate"),
    "gradient_norm": gettext_lazy("Gradient norm"),
    "memory_bytes": gettext_lazy("Memory in MB"),
}
LOSS = ("train_loss", "dev_loss")
MACHINE = ("tokens_per_second", "learning_rate", "gradient_norm", "memory_bytes")
SCALES = {"memory_bytes": 1e-6}

Curves = dict[str, list[list[float]]]


@dataclass(frozen=True)
class Chart:
    """One chart of a run's page."""

    name: str
    title: str
    data: dict[str, Any]

    @property
    def is_small(self) -> bool:
        """Whether it tells of the machine, not of the model."""
        return self.name in MACHINE


def curve_name(name: str) -> str:
    """A curve's words."""
    return str(CURVES.get(name, name.replace("_", " ")))


def line_chart(series: Iterable[tuple[str, list[list[float]]]], **more: Any) -> dict[str, Any]:
    """Curves in the shape that the chart module draws."""
    return {"x": _("step"), "series": [{"name": name, "points": points} for name, points in series], **more}


def charts_of(training_job: TrainingJob) -> list[Chart]:
    """The charts of a run's page. Of an ended run only those that hold something."""
    cursor = newest_point(training_job)
    found, ended = curves(training_job), training_job.job.ended
    groups = [("loss", _("Loss"), LOSS), ("quality", _("Quality on the dev split"), tuple(_quality(found)))]
    groups += [(name, curve_name(name), (name,)) for name in MACHINE]
    return [
        Chart(name, title, line_chart(_series(found, names), since=cursor, ended=ended))
        for name, title, names in groups
        if not ended or any(curve in found for curve in names)
    ]


def chart_news(training_job: TrainingJob, name: str, since: int) -> dict[str, Any]:
    """What the chart of this name does not have yet."""
    ended = training_job.job.ended  # before the points: what is written in between comes with the next answer
    cursor = newest_point(training_job)
    found = curves(training_job, after_point=since)
    names = {"loss": LOSS, "quality": tuple(_quality(found))}.get(name, (name,))
    return line_chart(_series(found, names), since=cursor, ended=ended)


def learning_curve(found: Curves) -> list[dict[str, Any]]:
    """The points of a learning curve over counts of texts a class, as a version's figures hold them."""
    parts = {"value": "", "low": "_low", "high": "_high"}
    by_count: dict[int, dict[str, dict[str, float]]] = {}
    for figure in ("accuracy", "macro_f1"):
        for part, end in parts.items():
            for count, value in found.get(f"shots_{figure}{end}", ()):
                by_count.setdefault(int(count), {}).setdefault(figure, {})[part] = value
    return [{"count": count, "headline": by_count[count]} for count in sorted(by_count)]


def _quality(found: Curves) -> list[str]:
    return [name for name in found if name.startswith("dev_") and name != "dev_loss"]


def _series(found: Curves, names: Iterable[str]) -> Iterator[tuple[str, list[list[float]]]]:
    for name in names:
        if name in found:
            scale = SCALES.get(name, 1)
            yield curve_name(name), [[step, value * scale] for step, value in found[name]]
