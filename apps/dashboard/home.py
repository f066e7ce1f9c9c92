"""The home page joins the rooms: what runs, what needs someone, what came out, and the loop with its counts."""

from dataclasses import dataclass, field

from django.utils.functional import Promise

from apps.dashboard import selectors
from apps.dashboard.kinds import Kind, kind_of
from core.access import Actor
from core.jobs.models import Job
from core.jobs.states import State
from core.pages import workspace_url

SHOWN = 6


@dataclass(frozen=True)
class Task:
    """Something that waits for this person, or came out for them to see."""

    title: str
    text: str | Promise
    url: str
    icon: str
    at: object = None
    level: str = ""


@dataclass(frozen=True)
class Now:
    """The part of the home page that changes by itself."""

    running: list[tuple[Job, Kind]]
    needs: list[Task]
    results: list[Task]
    unserved: list[selectors.Unserved]
    may_see_jobs: bool = True

    @property
    def busy(self) -> bool:
        """Whether to look again soon."""
        return bool(self.running)


@dataclass(frozen=True)
class Stage:
    """One station of the loop; `count` None where the actor may not look."""

    title: str | Promise
    icon: str
    url: str
    count: int | None = None
    busy: bool = False


@dataclass(frozen=True)
class Step:
    """One of the first steps of a workspace."""

    title: str | Promise
    text: str | Promise
    url: str
    action: str | Promise
    done: bool = False


@dataclass(frozen=True)
class FirstSteps:
    """The checklist of a workspace that has not yet been once round the loop."""

    steps: list[Step] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Whether something is left to do."""
        return any(not step.done for step in self.steps)

    @property
    def done_count(self) -> int:
        """How many are behind us."""
        return sum(step.done for step in self.steps)


def now(actor: Actor) -> Now:
    """What runs, what needs the actor, what came out lately."""
    if not actor.may("jobs.read"):
        return Now([], [], [], [], may_see_jobs=False)
    running = selectors.open_jobs(actor.workspace, limit=SHOWN)
    return Now(
        running=[(job, kind_of(job.kind)) for job in running],
        needs=_failed(actor),
        results=_succeeded(actor),
        unserved=selectors.unserved_queues(actor.workspace),
    )


def _failed(actor: Actor) -> list[Task]:
    rows = selectors.jobs_of(actor.workspace).filter(state=State.FAILED).order_by("-finished_at")[:SHOWN]
    return [
        Task(
            title=job.title,
            text=job.error_message,
            url=workspace_url(actor, "dashboard:job", pk=job.pk),
            icon="alert-circle",
            at=job.finished_at,
            level="failed",
        )
        for job in rows
    ]


def _succeeded(actor: Actor) -> list[Task]:
    rows = selectors.jobs_of(actor.workspace).filter(state=State.SUCCEEDED).order_by("-finished_at")[:SHOWN]
    return [
        Task(
            title=job.title,
            text=kind_of(job.kind).title,
            url=_page_of(actor, job),
            icon=kind_of(job.kind).icon,
            at=job.finished_at,
        )
        for job in rows
    ]


def _page_of(actor: Actor, job: Job) -> str:
    if job.page:
        return workspace_url(actor, "dashboard:home") + job.page
    return workspace_url(actor, "dashboard:job", pk=job.pk)


def loop(actor: Actor) -> list[Stage]:
    """The stations of the loop."""
    return []


def first_steps(actor: Actor) -> FirstSteps:
    """What a new workspace does first."""
    return FirstSteps()
