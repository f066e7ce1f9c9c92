"""Requests become examples of a dataset, by an import that can be repeated."""

from apps.datasets import services as datasets
from apps.datasets.models import Dataset, ImportJob
from apps.inference.sampling import CLASSIFICATION, COLUMNS, META, MOST_SAMPLED, Sampled, Wanted, sampled
from core.access import Actor, require
from core.errors import Refused
from words import say


def sample_requests(*, actor: Actor, wanted: Wanted, dataset: Dataset | None = None, name: str = "") -> ImportJob:
    """Import what `wanted` chooses into a dataset of its kind, or into a new one called `name`.

    What is there from an earlier run is found again by the id of its request, and changed when it was corrected since.
    """
    require(actor, "datasets.write")
    rows = require_sampled(actor, wanted)
    if dataset is None:
        several = wanted.kind == CLASSIFICATION and any(len(row.said["labels"]) > 1 for row in rows)
        dataset = datasets.create(actor=actor, name=name, kind=wanted.kind, multi_label=several)
    elif dataset.kind != wanted.kind:
        raise Refused(
            "wrong_kind", say("“{dataset}” is of another kind than these examples.", dataset=dataset), field="dataset"
        )
    return datasets.import_requests(
        actor=actor,
        dataset=dataset,
        name=f"requests-{wanted.kind}-{wanted.seed}.jsonl",
        rows=[row.row for row in rows],
        columns=COLUMNS[wanted.kind],
        meta=META,
        origin=wanted.origin,
    )


def require_sampled(actor: Actor, wanted: Wanted) -> list[Sampled]:
    """The examples; refused when there are none, or too many were asked for."""
    if not 1 <= wanted.most <= MOST_SAMPLED:
        raise Refused("bad_count", say("Take 1 to {most} examples at once.", most=MOST_SAMPLED), field="most")
    rows = sampled(actor, wanted)
    if not rows:
        raise Refused("nothing_found", say("No request matches. Requests that are not to be stored are never taken."))
    return rows
