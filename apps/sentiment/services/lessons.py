"""How corrections become a dataset version, and that a training job: one dataset for each version that is to learn."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.datasets import selectors as kept
from apps.datasets import services as datasets
from apps.datasets.models import Correction, Dataset, DatasetVersion, Kind
from apps.registry.models import ModelVersion, Task
from apps.registry.selectors import resolve_version
from apps.sentiment.models import AspectKind, Lesson, Monitor
from apps.sentiment.services.aspects import of_kind
from apps.sentiment.services.corrections import SOURCE
from apps.sentiment.services.learners import learners, version_of
from apps.sentiment.services.lesson_rows import sentiment_rows, target_rows
from apps.sentiment.services.lesson_splits import put_rows
from apps.sentiment.services.lesson_topics import topic_rows
from apps.training import services as training
from apps.training.models import TrainingJob
from core.access import Actor, require
from core.errors import Refused, conflict
from core.jobs.states import ENDED
from words import say

MOST_CORRECTIONS = 20_000  # of one dataset version
SAMPLE_SHARES = (0, 1, 2)  # confident articles for each correction
NAMES = {
    AspectKind.SENTIMENT: gettext_lazy("%s · corrections"),
    AspectKind.TOPIC: gettext_lazy("%s · topics"),
    AspectKind.TARGET: gettext_lazy("%s · entities"),
}
ROWS = {AspectKind.SENTIMENT: sentiment_rows, AspectKind.TOPIC: topic_rows, AspectKind.TARGET: target_rows}


@transaction.atomic
def make_lesson(
    *,
    actor: Actor,
    monitor: Monitor,
    aspect: str = AspectKind.SENTIMENT,
    model: str = "",
    sample_share: int = 1,
) -> Lesson:
    """Freeze what people said of one aspect of a monitor's articles as the next version of a dataset.

    `model` is the version that is to learn, as the monitor names it; the first of those that give the aspect when empty. With
    the corrections go `sample_share` articles for each that a version was confident about and nobody corrected, so that not
    only mistakes are learnt. Asked twice, or with nothing new, it is the same lesson.
    """
    require(actor, "datasets.write")
    if aspect not in AspectKind.values:
        raise Refused(
            "unknown_value", say("Choose one of: {values}", values=", ".join(AspectKind.values)), field="aspect"
        )
    if sample_share not in SAMPLE_SHARES:
        shares = ", ".join(map(str, SAMPLE_SHARES))
        raise Refused("unknown_value", say("Choose one of: {values}", values=shares), field="sample_share")
    monitor = Monitor.objects.select_for_update().get(pk=monitor.pk)
    model = _learner(monitor, aspect, model)
    last = Lesson.objects.filter(monitor=monitor, aspect=aspect, model=model).order_by("-id")
    newest = last.select_related("dataset_version__job", "dataset_version__dataset").first()
    if newest is not None and _is_being_frozen(newest):
        return newest
    corrections = _corrections(monitor, aspect)
    version = version_of(monitor, model)
    made = ROWS[AspectKind(aspect)](monitor, version, corrections, sample_share * len(corrections))
    if not made.correction_count:
        raise conflict("nothing_to_learn", _nothing(AspectKind(aspect), version))
    dataset = _dataset(actor, monitor, AspectKind(aspect), model, newest)
    before = dataset.revision
    put_rows(actor, dataset, made.records)
    dataset.refresh_from_db()
    if newest is not None and dataset.revision == before == newest.dataset_version.dataset_revision:
        return newest
    return Lesson.objects.create(
        monitor=monitor,
        aspect=aspect,
        model=model,
        dataset_version=datasets.freeze(actor=actor, dataset=dataset, note=_("Corrections of %s") % monitor.name),
        last_correction=max(each.pk for each in corrections),
        correction_count=made.correction_count,
        left_count=len(corrections) - made.correction_count,
        sample_count=made.sample_count,
        created_by=actor.user,
    )


def _corrections(monitor: Monitor, aspect: str) -> list[Correction]:
    """What counts of one aspect, newest first; Refused when that is nothing, or too much for one version."""
    found = list(kept.corrections_of(monitor.workspace, SOURCE, f"{monitor.pk}/").filter(of_kind(aspect)))
    if not found:
        raise conflict("nothing_corrected", say("Nobody has corrected an article of this monitor yet."))
    if len(found) > MOST_CORRECTIONS:
        raise conflict("too_many", say("At most {most:,} corrections fit into one version.", most=MOST_CORRECTIONS))
    return found


def _learner(monitor: Monitor, aspect: str, model: str) -> str:
    named = learners(monitor, aspect)
    if model and model not in named:
        raise Refused("unknown_value", say("Choose one of: {values}", values=", ".join(named) or "–"), field="model")
    return model or next(iter(named), "")


def _nothing(aspect: AspectKind, version: ModelVersion | None) -> str:
    if aspect == AspectKind.TARGET:
        return say("None of the corrected articles speaks of the entity any more, so there is nothing to read.")
    if version is not None and not version.multi_label:
        return say(
            "“{version}” gives one label to a text. It can learn from articles that are about exactly one of its topics.",
            version=version,
        )
    return say("None of the corrected topics is one that “{version}” could give.", version=version or "–")


def _is_being_frozen(lesson: Lesson) -> bool:
    version = lesson.dataset_version
    return version.frozen_at is None and version.job is not None and version.job.state not in ENDED


def _dataset(actor: Actor, monitor: Monitor, aspect: AspectKind, model: str, last: Lesson | None) -> Dataset:
    """That of the last lesson, else a new one named after the monitor."""
    if last is not None and last.dataset_version.dataset.archived_at is None:
        return last.dataset_version.dataset
    name = (str(NAMES[aspect]) % monitor.name)[:110]
    taken = set(
        Dataset.objects.filter(workspace=monitor.workspace, name__startswith=name).values_list("name", flat=True)
    )
    free = next(each for each in (name, *(f"{name} {at}" for at in range(2, len(taken) + 3))) if each not in taken)
    return datasets.create(
        actor=actor, name=free, kind=Kind.CLASSIFICATION, multi_label=aspect == AspectKind.TOPIC, description=model
    )


@transaction.atomic
def train_lesson(*, actor: Actor, lesson: Lesson) -> TrainingJob:
    """Let the version that a lesson is for go on learning from it; asked twice, it is the same job.

    What the version learnt before is rehearsed where its data are in the workspace, else its weights are held back (L2-SP).
    """
    require(actor, "training.write")
    lesson = Lesson.objects.select_for_update(of=("self",)).get(pk=lesson.pk)
    if lesson.training_job is not None:
        return lesson.training_job
    version = DatasetVersion.objects.filter(pk=lesson.dataset_version_id).select_related("dataset__workspace").first()
    if version is None:
        raise conflict("not_frozen", say("The dataset version is not frozen yet. Wait a moment."))
    base = resolve_version(lesson.monitor.workspace, _still_named(lesson))
    if base.task != Task.CLASSIFICATION:
        raise Refused("not_a_classifier", say("The version “{version}” does not label texts.", version=base))
    lesson.training_job = training.start(
        actor=actor,
        recipe="classify",
        spec=_spec(base, version),
        version=version,
        name=f"{lesson.monitor.name} · {base.family.name}",
        family_name=base.family.name,
    )
    lesson.save(update_fields=["training_job"])
    return lesson.training_job


def _still_named(lesson: Lesson) -> str:
    """The version whose labels the rows carry, if the monitor is still read by it."""
    named = learners(lesson.monitor, lesson.aspect)
    if not named:
        raise conflict("no_version", WITHOUT[AspectKind(lesson.aspect)])
    if lesson.model not in named:
        raise conflict(
            "other_version",
            say("The monitor names other versions by now. Make a dataset version again, then it carries their labels."),
        )
    return lesson.model


WITHOUT = {
    AspectKind.SENTIMENT: say("No version says how articles are meant. Name one in the monitor's settings."),
    AspectKind.TOPIC: say(
        "Words alone give topics here, so no version can go on learning. Train one on this dataset version with several "
        "labels per text, and name it in the monitor's settings."
    ),
    AspectKind.TARGET: say("No version says how entities are spoken of. Name one in the monitor's settings."),
}
"""Why nothing can be trained where no version gives an aspect."""


def _spec(base: ModelVersion, version: DatasetVersion) -> dict[str, Any]:
    spec = {"base_model": f"version:{base.pk}", "known_labels": "keep", "multi_label": base.multi_label}
    if not version.counts.get("splits", {}).get("dev"):
        spec["holdout_share"] = 0  # too few to measure by
    for keep in ("replay", "l2_sp"):
        _parsed, problems = training.check(recipe="classify", spec={**spec, "keep": keep}, version=version)
        if not any(problem.code == "no_earlier_data" for problem in problems):
            break
    return {**spec, "keep": keep}
