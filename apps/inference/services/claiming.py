"""Which waiting requests are answered next: workspaces take turns, and requests to one version are claimed together."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from apps.inference.models import OnlineKind, OnlineRequest, OnlineState
from apps.inference.services.metering import count_online
from words import say

ONLINE_LEASE = timedelta(seconds=30)
ATTRIBUTION_LEASE = timedelta(minutes=5)  # the longest text takes a core a minute or two
AT_ONCE = (OnlineKind.PREDICT, OnlineKind.EXPLAIN)  # answered within a moment; others would hold them up
ONLINE_ATTEMPTS = 3
MOST_TOGETHER = 64
CHARACTERS_TOGETHER = 32_768  # of all texts, and so about as many tokens at most; a single request may have more
TRIES = 3  # another process may take what was just seen


@dataclass
class Turns:
    """Workspaces in the order in which they were served last, as one process remembers it."""

    served: dict[int, int] = field(default_factory=dict)  # workspace -> number of its last turn
    count: int = 0

    def next(self, heads: list[OnlineRequest]) -> OnlineRequest:
        """Of the first request of each workspace the most urgent, of equals that of whoever waits longest for a turn."""
        return min(heads, key=lambda head: (head.priority, self.served.get(head.workspace_id, 0), head.pk))

    def took(self, workspace_id: int) -> None:
        """Remember who was served."""
        self.count += 1
        self.served[workspace_id] = self.count


def claim_online(turns: Turns, *, gather_seconds: float = 0.0, kinds: Sequence[str] = AT_ONCE) -> list[OnlineRequest]:
    """Waiting requests of one use of one version and equal urgency, the oldest first, leased under fresh tokens; empty when none waits.

    The first of them may wait `gather_seconds` after it came for others. What can be read in one batch is bounded by
    MOST_TOGETHER and CHARACTERS_TOGETHER. A request that a process lost before is claimed alone, so that one
    that ends the process takes no other with it; after a few such attempts it is given up.
    """
    for _each in range(TRIES):
        heads = list(
            _waiting(timezone.now())
            .filter(kind__in=kinds)
            .order_by("workspace_id", "priority", "id")
            .distinct("workspace_id")
            .only("workspace_id", "model_version_id", "kind", "priority", "created_at", "attempt_count")
        )
        if not heads:
            return []
        head = turns.next(heads)
        if head.attempt_count >= ONLINE_ATTEMPTS:
            _give_up(head)
            continue
        if head.kind == OnlineKind.PREDICT and not head.attempt_count:
            time.sleep(_left_to_gather(head, gather_seconds))
        if claimed := _claim(head):
            turns.took(head.workspace_id)
            return claimed
    return []


def _waiting(now: datetime) -> "QuerySet[OnlineRequest]":
    free = Q(lease_expires_at=None) | Q(lease_expires_at__lt=now)
    return OnlineRequest.objects.filter(free, state=OnlineState.WAITING)


def _left_to_gather(head: OnlineRequest, seconds: float) -> float:
    """Clocks of machines differ: never more than the whole time."""
    waited = (timezone.now() - head.created_at).total_seconds()
    return min(seconds, max(0.0, seconds - waited))


@transaction.atomic
def _claim(head: OnlineRequest) -> list[OnlineRequest]:
    """The head and those that can be read with it, as far as nobody else holds them."""
    now = timezone.now()
    rows = _waiting(now).select_for_update(skip_locked=True, of=("self",)).select_related("model_version")
    alone = rows.filter(pk=head.pk)
    alike = rows.filter(
        workspace=head.workspace_id,
        model_version=head.model_version_id,
        kind=head.kind,
        priority=head.priority,
        attempt_count=0,
    ).order_by("id")
    found = list(alone if head.attempt_count or head.kind != OnlineKind.PREDICT else alike[:MOST_TOGETHER])
    taken = _within_bounds(found)
    until = now + (ATTRIBUTION_LEASE if head.kind == OnlineKind.ATTRIBUTE else ONLINE_LEASE)
    for row in taken:
        row.token, row.attempt_count, row.lease_expires_at, row.claimed_at = (
            row.token + 1,
            row.attempt_count + 1,
            until,
            now,
        )
    OnlineRequest.objects.filter(pk__in=[row.pk for row in taken]).update(
        token=F("token") + 1, attempt_count=F("attempt_count") + 1, lease_expires_at=until, claimed_at=now
    )
    return taken


def _within_bounds(rows: list[OnlineRequest]) -> list[OnlineRequest]:
    """The first rows whose texts fit into one batch, at least one."""
    taken, characters = rows[:1], sum(map(len, rows[0].texts)) if rows else 0
    for row in rows[1:]:
        characters += sum(map(len, row.texts))
        if characters > CHARACTERS_TOGETHER:
            break
        taken.append(row)
    return taken


@transaction.atomic
def _give_up(row: OnlineRequest) -> None:
    waiting = _waiting(timezone.now()).filter(pk=row.pk)
    said = say("This request could not be answered. Try again.")
    if waiting.update(state=OnlineState.FAILED, error_message=said):
        count_online([row.pk])
