"""Rows of a batch prediction on their way in: the guards look at them while the input is read."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from apps.datasets.formats.problems import Position, RowError
from apps.inference import services
from apps.inference.guards.models import GuardPolicy
from apps.inference.models import BatchJob
from apps.inference.services.guarding import contents_of, with_contents
from core.access import Actor
from workers.looks import asker

TOGETHER = 64  # rows; as many the resident role reads in one batch of the classifier

Item = tuple[str, str, dict[str, Any]]  # id, text, and what else a version reads by column


def guarded_rows(batch_job: BatchJob, rows: Iterator[Item | RowError]) -> Iterator[Item | RowError]:
    """The rows as the guards let them through, in their order; those that are blocked are refused rows."""
    policy = services.policy_of(batch_job.workspace, batch_job.deployment)
    if policy is None:
        yield from rows
        return
    actor, numbered = asker(batch_job, None), enumerate(rows, start=1)
    while group := dict(islice(numbered, TOGETHER)):
        yield from _let_through(actor, policy, group)


def _let_through(actor: Actor, policy: GuardPolicy, group: dict[int, Item | RowError]) -> Iterator[Item | RowError]:
    texts = {number: _texts(row) for number, row in group.items() if not isinstance(row, RowError)}
    passed, refused = services.guard_many(actor, policy, texts)
    services.keep_passed(actor, passed.values())
    for number, row in group.items():
        if isinstance(row, RowError):
            yield row
        elif number in refused:
            why = refused[number]
            yield RowError(number, why.code, why.message, "", Position(), "")
        else:
            yield _with_texts(row, passed[number].texts)


def _texts(item: Item) -> tuple[list[str], set[int]]:
    """What the guards look at, and which of it gives orders by right."""
    _name, text, more = item
    if "messages" in more:
        return contents_of(more["messages"])
    return [text, *more.values()], set()


def _with_texts(item: Item, texts: list[str]) -> Item:
    name, _text, more = item
    if "messages" in more:
        return name, texts[-1], {"messages": with_contents(more["messages"], texts)}
    return name, texts[0], dict(zip(more, texts[1:], strict=True))
