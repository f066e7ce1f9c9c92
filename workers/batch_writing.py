"""Rows of a batch prediction that are answered: a few at a time before the resident role, stored in their order."""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.inference import services
from apps.inference.models import BatchJob, Finish, Generation, GenerationState, RowAtWork
from apps.inference.services import Extras, Guarded, Route
from apps.inference.services.asking import BATCH_PRIORITY
from core.access import Actor
from core.errors import Refused
from core.jobs.run import Run, Stopped
from engine.specs.sampling import Sampling
from words import say
from workers.looks import Looks, asker

AT_ONCE = 32  # rows in the hands of the resident role
WINDOW = 128  # rows from the first that is not stored to the last that was asked for
ATTEMPTS = 3
COLUMNS = (
    "position",
    "custom_id",
    "text",
    "messages",
    "answer",
    "finish",
    "answer_tokens",
    "labels",
    "label",
    "probabilities",
)
ENDED = (GenerationState.DONE, GenerationState.FAILED, GenerationState.CANCELLED)
ENDS = {
    "context_length_exceeded": Finish.TOO_LONG,
    "template_refused": Finish.UNREADABLE,
    "remote_refused": Finish.REFUSED,
    "unsupported_by_server": Finish.REFUSED,
    "content_filter": Finish.BLOCKED,
}
"""How an answer ended in the words of requests -> in those of predictions."""

Row = Mapping[str, Any]
Said = tuple[str, str, int]  # answer, finish, tokens


@dataclass
class Waiting:
    """Rows of the input from the first that is not stored on, read no further than needed."""

    rows: Iterator[Row]
    first: int  # position of the first that is held
    held: deque[Row] = field(default_factory=deque)

    def at(self, position: int) -> Row:
        """The row at a position that is not stored."""
        while len(self.held) <= position - self.first:
            self.held.append(next(self.rows))
        return self.held[position - self.first]

    def take(self) -> Row:
        """The first row, which is stored with this."""
        row = self.at(self.first)
        self.held.popleft()
        self.first += 1
        return row


def write_rows(run: Run, batch_job: BatchJob, rows: Iterator[Row]) -> None:
    """Let every row from the stored ones on be answered; a batch that is cancelled ends its answers."""
    desk = Rows(run, batch_job, Waiting(rows, batch_job.stored_count))
    looks = Looks(run)
    try:
        while batch_job.stored_count < (batch_job.row_count or 0):
            looks.rest(moved=desk.look())
    except Stopped as stopped:
        if stopped.reason == "cancel":
            services.let_rows_go(batch_job)
        raise
    except Refused:
        services.let_rows_go(batch_job)  # who sends the batch again finds no failed attempts
        raise


class Rows:
    """The rows of one attempt between its input, the resident role and the stored predictions."""

    def __init__(self, run: Run, batch_job: BatchJob, waiting: Waiting) -> None:
        self._run, self._batch_job, self._waiting = run, batch_job, waiting
        self._actor: Actor = asker(batch_job, None)
        policy = services.policy_for(self._actor, batch_job.deployment)
        self._guarded = None if policy is None else Guarded(policy, [])  # what was asked went by them when it was read
        self._sampling = Sampling(temperature=0.0, max_tokens=batch_job.max_new_tokens)

    def look(self) -> bool:
        """Store what was answered and ask for more; whether anything moved."""
        kept, asked = self._harvest(), self._hand_out()
        done, total = self._batch_job.stored_count, self._batch_job.row_count
        self._run.progress(done, total, unit="texts", phase=say("answering"))
        return bool(kept or asked)

    def _at_work(self) -> list[RowAtWork]:
        rows = RowAtWork.objects.filter(batch_job=self._batch_job).order_by("position")
        return list(rows.select_related("generation"))

    def _harvest(self) -> int:
        """Store the answers that are there in an unbroken line behind the stored ones; how many rows moved."""
        ready: list[RowAtWork] = []
        answers: list[Said] = []
        again: list[RowAtWork] = []
        is_unbroken, expected = True, self._batch_job.stored_count
        for row in self._at_work():
            is_unbroken = is_unbroken and row.position == expected
            expected += 1
            if row.generation is not None and row.generation.state not in ENDED:
                is_unbroken = False
            elif (found := _said(row)) is None:
                is_unbroken = False
                again += [row] if row.generation is not None else []
            elif is_unbroken:
                ready.append(row)
                answers.append(found)
        if again:
            services.ask_again(run=self._run, rows=again)
        if ready:
            kept = [_kept(self._waiting.take(), said) for said in answers]
            services.keep_answers(run=self._run, batch_job=self._batch_job, at_work=ready, columns=COLUMNS, rows=kept)
        return len(ready) + len(again)

    def _hand_out(self) -> int:
        """Fill the hands of the resident role; how many rows were asked for."""
        at_work = {row.position: row for row in self._at_work()}
        first = self._batch_job.stored_count
        end = min(first + WINDOW, self._batch_job.row_count or 0)
        is_open = [row.generation is not None and row.generation.state not in ENDED for row in at_work.values()]
        free = [at for at in range(first, end) if at not in at_work or at_work[at].generation is None]
        chosen = free[: max(0, AT_ONCE - sum(is_open))]
        if chosen:
            services.begin_rows(run=self._run, batch_job=self._batch_job, positions=chosen, begin=self._begin)
        return len(chosen)

    def _begin(self, position: int) -> Generation:
        version = self._batch_job.model_version
        return services.generate_chat(
            actor=self._actor,
            version=version,
            route=Route(version, self._batch_job.deployment),
            reference=self._batch_job.reference or str(version),
            messages=self._waiting.at(position)["messages"],
            sampling=self._sampling,
            extras=Extras(is_stored=False, priority=BATCH_PRIORITY, guarded=self._guarded),
        )


def _kept(row: Row, said: Said) -> tuple[Any, ...]:
    messages = json.dumps(row["messages"], ensure_ascii=False)
    return (row["example_id"], row["custom_id"] or "", row["text"], messages, *said, [], "", "[]")


def _said(row: RowAtWork) -> Said | None:
    """What was answered, or why there is no answer; None when it is to be asked for again. Refused when that is in vain."""
    asked = row.generation
    if asked is None:
        return None
    if asked.state == GenerationState.DONE:
        answer = asked.answers[0]
        finish = ENDS.get(answer["finish"], answer["finish"])
        return answer["text"].strip(), str(finish), answer["tokens"]
    if asked.error_code in ENDS:
        return "", str(ENDS[asked.error_code]), 0
    if row.attempt_count >= ATTEMPTS:
        raise Refused(asked.error_code or "cancelled", asked.error_message or say("The request was cancelled."))
    return None
