"""Divide a dataset into train, dev and test: preview, job, and writing the result."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.accounts.services import audit
from apps.datasets.models import Dataset
from apps.datasets.profile.duplicates import text_key
from apps.datasets.selectors import examples, snapshot
from apps.datasets.services.rows import lock, touch
from apps.datasets.splits import SPLITS, assign_split, check_shares, stratified_splits
from core.access import Actor
from core.errors import Refused, conflict
from core.jobs import services as jobs
from words import say

PREVIEWED_EXACTLY = 20_000
METHODS = ("stratified", "group", "random")
_APPLY = """
UPDATE datasets_example e SET split = t.split, updated_at = %s
FROM unnest(%s::bigint[], %s::text[]) AS t(id, split)
WHERE e.id = t.id AND e.dataset_id = %s AND e.deleted_at IS NULL AND e.split IS DISTINCT FROM t.split
"""


@dataclass(frozen=True)
class SplitPlan:
    """How to divide. Equal texts always go together, so that none leaks from train into test."""

    method: str = "stratified"  # stratified: every label meets the shares; group: by `group_key`; random: by text alone
    train: float = 0.8
    dev: float = 0.1
    test: float = 0.1
    seed: int = 0
    group_key: str = ""  # a meta field whose equal values stay together
    keep: bool = True  # examples that have a split keep it

    @property
    def shares(self) -> dict[str, float]:
        """Shares by split."""
        return {"train": self.train, "dev": self.dev, "test": self.test}


def checked_plan(values: Mapping[str, Any]) -> SplitPlan:
    """A plan from plain values; refused with a sentence."""
    try:
        plan = SplitPlan(**values)
        check_shares(plan.shares)
    except (TypeError, ValueError) as error:
        raise Refused(
            "bad_shares", say("The shares of train, dev and test must each be 0 to 1 and add up to 1."), field="train"
        ) from error
    if plan.method not in METHODS:
        raise Refused("bad_method", say("Choose stratified, group or random."), field="method")
    if plan.method == "group" and not plan.group_key:
        raise Refused(
            "group_missing", say("Name the extra column whose equal values stay together."), field="group_key"
        )
    return plan


@transaction.atomic
def request_split(*, actor: Actor, dataset: Dataset, plan: SplitPlan) -> Dataset:
    """Queue the division; its job is `dataset.split_job`."""
    dataset = lock(dataset)
    if not dataset.example_count:
        raise conflict("dataset_empty", say("The dataset has no examples yet. Import some first."))
    if dataset.split_job is not None and not dataset.split_job.ended:
        raise conflict("split_running", say("This dataset is being split right now. Wait until it is done."))
    dataset.split_settings = asdict(plan)
    dataset.split_job = jobs.create(
        kind="datasets.split",
        queue="io",
        workspace=dataset.workspace,
        title=say("Split {dataset}", dataset=dataset),
        by=actor.user,
        page=f"datasets/{dataset.pk}/splits",
        unit="rows",
    )
    dataset.save(update_fields=["split_settings", "split_job"])
    audit(actor=actor, action="dataset.split", obj=dataset, **asdict(plan))
    return dataset


def preview_split(dataset: Dataset, plan: SplitPlan) -> dict[str, Any]:
    """{"splits": {split: rows}, "labels": [{"label", "train", "dev", "test"}], "exact": bool} of a plan."""
    if dataset.example_count > PREVIEWED_EXACTLY:
        rows = {split: round(share * dataset.example_count) for split, share in plan.shares.items()}
        return {"splits": rows, "labels": [], "exact": False}
    held = list(split_rows(dataset, plan))
    placed = dict(assign(held, plan))
    splits: Counter[str] = Counter(placed.values())
    by_label: dict[str, Counter[str]] = {}
    for example_id, labels, _key, _split in held:
        for label in labels:
            by_label.setdefault(label, Counter())[placed[example_id]] += 1
    table = [
        {"label": label, **{split: by_label[label][split] for split in SPLITS}}
        for label in sorted(by_label, key=lambda name: -sum(by_label[name].values()))
    ]
    return {"splits": {split: splits[split] for split in SPLITS}, "labels": table, "exact": True}


Held = tuple[int, Sequence[str], str, str]  # example id, labels, key, present split


def split_rows(dataset: Dataset, plan: SplitPlan) -> Iterator[Held]:
    """What deciding needs to know of each example."""
    for example_id, labels, text, meta, split in snapshot(examples(dataset), "id", "labels", "text", "meta", "split"):
        group = meta.get(plan.group_key) if plan.group_key else None
        key = f"g{group}" if group not in (None, "") else f"t{text_key(text):x}"
        yield example_id, labels, key, split


def assign(rows: Iterable[Held], plan: SplitPlan) -> Iterator[tuple[int, str]]:
    """(example id, split) of every row; equal keys get equal splits, kept rows decide for their key."""
    held = list(rows)
    existing = {key: split for _id, _labels, key, split in held if split} if plan.keep else {}
    if plan.method == "stratified":
        placed = stratified_splits(
            ((list(labels), key) for _id, labels, key, _split in held), plan.shares, plan.seed, existing
        )
    else:
        placed = {
            key: existing.get(key) or assign_split(key, plan.shares, plan.seed) for _id, _labels, key, _split in held
        }
    for example_id, _labels, key, split in held:
        yield example_id, split if plan.keep and split else placed[key]


def write_splits(*, dataset: Dataset, placed: Sequence[tuple[int, str]]) -> int:
    """Store one batch of decisions; the caller holds a fenced transaction. How many examples moved."""
    dataset = lock(dataset)
    with connection.cursor() as cursor:
        ids, splits = [pk for pk, _split in placed], [split for _pk, split in placed]
        cursor.execute(_APPLY, [timezone.now(), ids, splits, dataset.pk])
        moved = int(cursor.rowcount)
    if moved:
        touch(dataset)
    return moved
