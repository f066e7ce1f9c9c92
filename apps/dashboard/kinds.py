"""What the kinds of jobs are called, with an icon each."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


@dataclass(frozen=True)
class Kind:
    """A kind of job for people."""

    title: str | Promise
    icon: str


KINDS = {
    "dashboard.demo": Kind(_("Demo"), "sparkles"),
    "evaluation.compare": Kind(_("Comparison"), "arrows-diff"),
    "datasets.check_file": Kind(_("Look into a file"), "file-import"),
    "datasets.import": Kind(_("Import"), "file-import"),
    "datasets.export": Kind(_("Export"), "file-export"),
    "datasets.freeze": Kind(_("Freeze a version"), "snowflake"),
    "datasets.profile": Kind(pgettext_lazy("dataset", "Profile"), "report-analytics"),
    "datasets.split": Kind(_("Split"), "arrows-shuffle"),
    "registry.import": Kind(_("Import a model"), "package-import"),
    "registry.export": Kind(_("Export a model"), "package-export"),
    "registry.verify": Kind(_("Check a model's files"), "shield-check"),
    "accounts.delete_workspace": Kind(_("Delete the workspace"), "trash"),
    "training.fine_tune": Kind(_("Fine-tuning"), "adjustments"),
    "training.preflight": Kind(_("Check before training"), "calculator"),
    "training.run": Kind(_("Training"), "chart-line"),
    "training.sweep": Kind(_("Sweep"), "adjustments"),
    "evaluation.run": Kind(_("Evaluation"), "target-arrow"),
    "inference.batch": Kind(_("Batch prediction"), "tags"),
    "inference.api_batch": Kind(_("Batch of requests"), "tags"),
    "sentiment.backfill": Kind(_("Bring history in"), "history"),
    "sentiment.replay": Kind(_("Replay of rules"), "player-play"),
}


def kind_of(name: str) -> Kind:
    """The kind called `name`; an unknown one speaks for itself."""
    return KINDS.get(name) or Kind(name, "activity")
