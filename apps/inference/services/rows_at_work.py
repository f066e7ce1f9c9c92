"""Rows of batch predictions whose answers are being written by the resident role: asked for, stored once, let go."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F

from apps.inference.models import BatchJob, Generation, RowAtWork
from apps.inference.services.batches import keep_predictions
from apps.inference.services.generations import cancel_generation, forget_texts
from core.jobs.run import Run
from core.jobs.states import ENDED

Begin = Callable[[int], Generation]
"""Asks for the answer to the row at a position."""


def begin_rows(*, run: Run, batch_job: BatchJob, positions: Iterable[int], begin: Begin) -> None:
    """Ask for the answers of rows, each once; a position that was asked for before is asked for again."""
    with run.fenced():
        for position in positions:
            row = begin(position)
            again = RowAtWork.objects.filter(batch_job=batch_job, position=position, generation=None)
            if not again.update(generation=row, attempt_count=F("attempt_count") + 1):
                RowAtWork.objects.create(batch_job=batch_job, position=position, generation=row)


def ask_again(*, run: Run, rows: Sequence[RowAtWork]) -> None:
    """Their answers failed, and may go better another time."""
    with run.fenced():
        RowAtWork.objects.filter(pk__in=[row.pk for row in rows]).update(generation=None)


def keep_answers(
    *,
    run: Run,
    batch_job: BatchJob,
    at_work: Sequence[RowAtWork],
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Store the next rows; in the same transaction they are at work no more, and their requests lose their texts.

    What they used was counted when their requests ended.
    """
    with run.fenced():
        keep_predictions(run=run, batch_job=batch_job, columns=columns, rows=rows)
        RowAtWork.objects.filter(pk__in=[row.pk for row in at_work]).delete()
        for row in at_work:
            if row.generation_id is not None:
                forget_texts(row.generation_id)


@transaction.atomic
def let_rows_go(batch_job: BatchJob) -> int:
    """End what is being written for a batch that goes on no more; how many rows that were."""
    held = list(RowAtWork.objects.filter(batch_job=batch_job))
    for row in held:
        if row.generation_id is not None:
            cancel_generation(row.generation_id)
    RowAtWork.objects.filter(pk__in=[row.pk for row in held]).delete()
    return len(held)


def mend_rows() -> list[int]:
    """Let go of the rows of batches that ended without doing so themselves."""
    ended = BatchJob.objects.filter(job__state__in=ENDED, rows_at_work__isnull=False).distinct()
    return [batch_job.pk for batch_job in ended if let_rows_go(batch_job)]
