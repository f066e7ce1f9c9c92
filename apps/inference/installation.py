"""How the whole installation is doing, for its operators: queues, requests, workers, memory; numbers of all workspaces, texts of none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Q
from django.utils import timezone

from apps.accounts.models import Workspace
from apps.inference.memory import Loaded, all_loaded
from apps.inference.metrics import busy_versions
from apps.inference.models import Generation, GenerationState, OnlineRequest, OnlineState
from apps.registry.models import ModelVersion
from core.jobs.models import Job
from core.jobs.states import State


@dataclass(frozen=True)
class Queue:
    """Jobs of one queue in all workspaces."""

    name: str
    running: int
    queued: int
    paused: int
    oldest_at: datetime | None  # since when the one that waits longest is due


@dataclass(frozen=True)
class Worker:
    """A process at work: a worker with a job, or a process of the resident role."""

    name: str
    queue: str  # "generation" of the resident role
    kind: str = ""  # of its job
    workspace: str = ""
    since: datetime | None = None
    versions: int = 0  # in memory, of the resident role
    bytes: int = 0


@dataclass(frozen=True)
class Place:
    """What one workspace keeps busy: answers at work and waiting, versions in memory."""

    workspace: str
    running: int
    waiting: int
    versions: int
    bytes: int


@dataclass(frozen=True)
class InMemory:
    """A version in memory, by number: its name is a text of its workspace."""

    workspace: str
    task: str
    place: Loaded


@dataclass(frozen=True)
class Installation:
    """All of it at one moment."""

    queues: Sequence[Queue]
    workers: Sequence[Worker]
    places: Sequence[Place]
    memory: Sequence[InMemory]

    @property
    def running(self) -> int:
        """Answers that are being written."""
        return sum(place.running for place in self.places)

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return sum(place.waiting for place in self.places)

    @property
    def bytes(self) -> int:
        """Memory that versions take, in all processes together."""
        return sum(one.place.bytes for one in self.memory)


def installation() -> Installation:
    """Everything now, in a fixed number of queries."""
    names = dict(Workspace.objects.values_list("pk", "name"))
    loaded = [(workspace, place) for workspace, place in all_loaded() if place.state in ("ready", "loading")]
    rows = ModelVersion.objects.filter(pk__in={place.version for _workspace, place in loaded})
    tasks = dict(rows.values_list("pk", "task"))
    memory = [
        InMemory(names.get(workspace, "–"), tasks[place.version], place)
        for workspace, place in loaded
        if place.version in tasks
    ]
    return Installation(_queues(), _workers(names, loaded), _places(names, loaded), memory)


def _queues() -> list[Queue]:
    now = timezone.now()
    due = Q(state=State.QUEUED, run_after__lte=now)
    counts = {
        f"{state}_count": Count("pk", filter=Q(state=state)) for state in (State.RUNNING, State.QUEUED, State.PAUSED)
    }
    rows: Any = Job.objects.order_by("queue").values("queue").annotate(**counts, oldest=Min("run_after", filter=due))
    return [
        Queue(row["queue"], row["running_count"], row["queued_count"], row["paused_count"], row["oldest"])
        for row in rows
    ]


def _workers(names: dict[int, str], loaded: Sequence[tuple[int, Loaded]]) -> list[Worker]:
    rows = Job.objects.filter(state=State.RUNNING, lease_expires_at__gt=timezone.now()).order_by("queue", "worker")
    found = [
        Worker(job.worker, job.queue, job.kind, names.get(job.workspace_id, "–"), job.started_at)
        for job in rows.only("worker", "queue", "kind", "workspace_id", "started_at")
    ]
    for process in sorted({place.process for _workspace, place in loaded}):
        held = [place.bytes for _workspace, place in loaded if place.process == process]
        found.append(Worker(process, "generation", versions=len(held), bytes=sum(held)))
    return found


def _places(names: dict[int, str], loaded: Sequence[tuple[int, Loaded]]) -> list[Place]:
    running: dict[int, int] = {}
    waiting: dict[int, int] = {}
    for busy in busy_versions().values():
        running[busy.workspace] = running.get(busy.workspace, 0) + busy.running
        waiting[busy.workspace] = waiting.get(busy.workspace, 0) + busy.waiting
    for rows in (
        Generation.objects.filter(state=GenerationState.WAITING),
        OnlineRequest.objects.filter(state=OnlineState.WAITING),
    ):
        for workspace, count in rows.order_by().values_list("workspace").annotate(count=Count("pk")):
            waiting[workspace] = waiting.get(workspace, 0) + count
    held: dict[int, list[int]] = {}
    for workspace, place in loaded:
        held.setdefault(workspace, []).append(place.bytes)
    return [
        Place(names[pk], running.get(pk, 0), waiting.get(pk, 0), len(held.get(pk, [])), sum(held.get(pk, [])))
        for pk in sorted({*running, *waiting, *held} & names.keys(), key=lambda pk: (names[pk], pk))
    ]
