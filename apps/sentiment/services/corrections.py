"""What people say is right about articles, and how that becomes a dataset version and a training job."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _

from apps.datasets import selectors as kept
from apps.datasets import services as datasets
from apps.datasets.models import Correction, Dataset, DatasetVersion, Kind
from apps.datasets.services.corrections import text_hash
from apps.registry.models import ModelVersion, Task
from apps.registry.selectors import resolve_version
from apps.sentiment.models import Article, Lesson, Monitor, Score, Sentiment
from apps.training import services as training
from apps.training.models import TrainingJob
from core.access import Actor, require
from core.errors import Refused, conflict
from core.jobs.states import ENDED
from words import say

SOURCE = "sentiment"
SENTIMENT, TOPIC, TARGET = "sentiment", "topic", "target:"
SAID = (Sentiment.NEGATIVE, Sentiment.NEUTRAL, Sentiment.POSITIVE)  # what a person says; whoever is unsure says nothing
MOST_CORRECTIONS = 20_000  # of one dataset version
AT_ONCE = 1_000
CONFIDENT = 0.9  # a probability
SAMPLE_SHARES = (0, 1, 2)  # confident articles for each correction
DEV_EVERY = 5  # one text of so many measures what the others teach


def correct_article(
    *, actor: Actor, article: Article, label: str, aspect: str = SENTIMENT, note: str = ""
) -> Correction:
    """Say how an article is meant, what it is about, or how it speaks of a target; the newest word counts."""
    require(actor, "sentiment.write")
    _check(label, aspect)
    return _correct(actor, article, label, aspect, note)


def take_back(*, actor: Actor, article: Article, aspect: str = SENTIMENT) -> None:
    """What was said of an article does not count any more; it stays in the history."""
    require(actor, "sentiment.write")
    if kept.corrected_texts(actor.workspace, [text_hash(article.text)], aspect):
        _correct(actor, article, "", aspect, "")


def _check(label: str, aspect: str) -> None:
    if aspect == TOPIC:
        if not label.strip():
            raise Refused("bad_label", say("A label has 1 to 200 characters."), field="label")
    elif aspect != SENTIMENT and not (aspect.startswith(TARGET) and 0 < len(aspect) - len(TARGET) <= 190):
        raise Refused(
            "unknown_value", say("Choose one of: {values}", values="sentiment, topic, target:<name>"), field="aspect"
        )
    elif label not in SAID:
        raise Refused("unknown_value", say("Choose one of: {values}", values=", ".join(SAID)), field="label")


def _correct(actor: Actor, article: Article, label: str, aspect: str, note: str) -> Correction:
    if article.text_hash not in ("", text_hash(article.text)):
        raise conflict(
            "text_gone", say("The text of this article is not kept any more, so nothing can be learnt from it.")
        )
    score = _newest_score(article) if aspect == SENTIMENT else None
    return datasets.correct(
        actor=actor,
        text=article.text,
        label=label,
        aspect=aspect,
        previous_label=score.sentiment if score else "",
        model_version=str(score.model_version) if score else "",
        model_version_id=score.model_version_id if score else None,
        source=SOURCE,
        source_id=f"{article.monitor_id}/{article.pk}",
        note=note,
    )


def _newest_score(article: Article) -> Score | None:
    return Score.objects.filter(article=article).select_related("model_version__family").order_by("-id").first()


# --- from corrections to a dataset version -------------------------------------------------------------------


@transaction.atomic
def make_lesson(*, actor: Actor, monitor: Monitor, sample_share: int = 1) -> Lesson:
    """Freeze what people said of a monitor's articles as the next version of its dataset.

    With it go `sample_share` articles for each correction that a version was confident about and nobody corrected, so that not only
    mistakes are learnt. Asked twice, or with nothing new, it is the same lesson.
    """
    require(actor, "datasets.write")
    if sample_share not in SAMPLE_SHARES:
        shares = ", ".join(map(str, SAMPLE_SHARES))
        raise Refused("unknown_value", say("Choose one of: {values}", values=shares), field="sample_share")
    monitor = Monitor.objects.select_for_update().get(pk=monitor.pk)
    last = Lesson.objects.filter(monitor=monitor).select_related("dataset_version__job").order_by("-id").first()
    if last is not None and _is_being_frozen(last):
        return last
    corrections = list(kept.corrections_of(monitor.workspace, SOURCE, f"{monitor.pk}/").filter(aspect=SENTIMENT))
    if not corrections:
        raise conflict("nothing_corrected", say("Nobody has corrected an article of this monitor yet."))
    if len(corrections) > MOST_CORRECTIONS:
        raise conflict("too_many", say("At most {most:,} corrections fit into one version.", most=MOST_CORRECTIONS))
    dataset, names = _dataset(actor, monitor, last), label_names(monitor)
    before = dataset.revision
    rows = {each.text_hash: _row(each.text, names[each.label], {"corrected": True}) for each in corrections}
    samples = _samples(monitor, corrections, sample_share * len(corrections))
    rows |= {digest: _row(text, names[said], {"corrected": False}) for digest, (text, said) in samples.items()}
    _put(actor, dataset, rows)
    dataset.refresh_from_db()
    if last is not None and dataset.revision == before == last.dataset_version.dataset_revision:
        return last
    version = datasets.freeze(actor=actor, dataset=dataset, note=_("Corrections of %s") % monitor.name)
    return Lesson.objects.create(
        monitor=monitor,
        dataset_version=version,
        last_correction=max(each.pk for each in corrections),
        correction_count=len(corrections),
        sample_count=len(samples),
        created_by=actor.user,
    )


def label_names(monitor: Monitor) -> dict[str, str]:
    """Sentiment -> what the monitor's version calls it; its third label, where it has one, is the neutral one."""
    named = {
        Sentiment.NEGATIVE.value: monitor.negative_label,
        Sentiment.POSITIVE.value: monitor.positive_label or "positive",
    }
    version = _version(monitor)
    others = [name for name in (version.labels if version else []) if name not in named.values()]
    return {**named, Sentiment.NEUTRAL.value: others[0] if len(others) == 1 else "neutral"}


def _version(monitor: Monitor) -> ModelVersion | None:
    try:
        return resolve_version(monitor.workspace, monitor.sentiment_model) if monitor.sentiment_model else None
    except Refused:
        return None  # the page of the monitor says why


def _is_being_frozen(lesson: Lesson) -> bool:
    version = lesson.dataset_version
    return version.frozen_at is None and version.job is not None and version.job.state not in ENDED


def _dataset(actor: Actor, monitor: Monitor, last: Lesson | None) -> Dataset:
    """That of the last lesson, else a new one named after the monitor."""
    if last is not None and last.dataset_version.dataset.archived_at is None:
        return last.dataset_version.dataset
    name = (_("%s · corrections") % monitor.name)[:110]
    taken = set(
        Dataset.objects.filter(workspace=monitor.workspace, name__startswith=name).values_list("name", flat=True)
    )
    free = next(each for each in (name, *(f"{name} {at}" for at in range(2, len(taken) + 3))) if each not in taken)
    labels = list(label_names(monitor).values())
    return datasets.create(actor=actor, name=free, kind=Kind.CLASSIFICATION, labels=list(dict.fromkeys(labels)))


def _row(text: str, label: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": text, "labels": [label], "meta": dict(meta)}


def _samples(monitor: Monitor, corrections: list[Correction], most: int) -> dict[str, tuple[str, str]]:
    """Text hash -> (text, what a version was confident about), as many of each sentiment as there are, the newest first."""
    found: dict[str, tuple[str, str]] = {}
    corrected = {each.text_hash for each in corrections}
    newest = Score.objects.filter(article=OuterRef("pk")).order_by("-id")
    articles = Article.objects.filter(monitor=monitor).annotate(
        newest=Subquery(newest.values("sentiment")[:1]), sure=Subquery(newest.values("probability")[:1])
    )
    for at, said in enumerate(SAID):
        left = most * (at + 1) // len(SAID) - most * at // len(SAID)
        rows = articles.filter(newest=said, sure__gte=CONFIDENT).defer("search").order_by("-id")
        for row in rows[: left + len(corrected) + len(found)]:
            digest = text_hash(row.text)
            if left and digest not in corrected and digest not in found and row.text_hash in ("", digest):
                found[digest] = (row.text, said.value)
                left -= 1
    return found


def _put(actor: Actor, dataset: Dataset, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Make the dataset hold these rows and no other ones of corrections; a row that is there keeps its split."""
    known = dict(kept.examples(dataset).filter(external_id__startswith="text:").values_list("external_id", "split"))
    wanted = {f"text:{digest}": record for digest, record in rows.items()}
    gone = kept.examples(dataset).filter(external_id__in=set(known) - set(wanted))
    if gone.exists():
        datasets.bulk_change(actor=actor, dataset=dataset, rows=gone, action="delete")
    fresh = sorted(set(wanted) - {name for name, split in known.items() if split})
    kept_dev = sum(known.get(name) == "dev" for name in wanted)
    dev = set(fresh[: max(0, max(1, len(wanted) // DEV_EVERY) - kept_dev)])  # names are hashes: their order is no order
    items = [
        {"external_id": name, "record": record, "split": known.get(name) or ("dev" if name in dev else "train")}
        for name, record in sorted(wanted.items())
    ]
    if not dev and not kept_dev:
        items[0]["split"] = "dev"  # the one that measured was taken back
    for begin in range(0, len(items), AT_ONCE):
        datasets.add(actor=actor, dataset=dataset, items=items[begin : begin + AT_ONCE])


# --- from a dataset version to a training job ----------------------------------------------------------------


@transaction.atomic
def train_lesson(*, actor: Actor, lesson: Lesson) -> TrainingJob:
    """Let the monitor's version go on learning from a lesson; asked twice, it is the same job.

    What the version learnt before is rehearsed where its data are in the workspace, else its weights are held back (L2-SP).
    """
    require(actor, "training.write")
    lesson = Lesson.objects.select_for_update(of=("self",)).get(pk=lesson.pk)
    if lesson.training_job is not None:
        return lesson.training_job
    version = DatasetVersion.objects.filter(pk=lesson.dataset_version_id).select_related("dataset__workspace").first()
    if version is None:
        raise conflict("not_frozen", say("The dataset version is not frozen yet. Wait a moment."))
    base = resolve_version(lesson.monitor.workspace, lesson.monitor.sentiment_model)
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


def _spec(base: ModelVersion, version: DatasetVersion) -> dict[str, Any]:
    spec = {"base_model": f"version:{base.pk}", "known_labels": "keep"}
    for keep in ("replay", "l2_sp"):
        _parsed, problems = training.check(recipe="classify", spec={**spec, "keep": keep}, version=version)
        if not any(problem.code == "no_earlier_data" for problem in problems):
            break
    return {**spec, "keep": keep}
