"""The home page joins the rooms: what runs, what needs someone, what came out, and the loop with its counts."""

from dataclasses import dataclass, field
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from apps.dashboard import selectors
from apps.dashboard.kinds import Kind, kind_of
from apps.registry.models import ModelVersion
from core.access import Actor
from core.jobs.models import Job
from core.navigation import room_url
from core.pages import workspace_url

SHOWN = 6


@dataclass(frozen=True)
class Task:
    """Something that waits for this person, or came out for them to see."""

    title: str
    text: str | Promise
    url: str
    icon: str
    at: datetime | None = None
    level: str = ""


@dataclass(frozen=True)
class Now:
    """The part of the home page that changes by itself; `may_see_jobs` False hides the cards of jobs."""

    running: list[tuple[Job, Kind]] = field(default_factory=list)
    needs: list[Task] = field(default_factory=list)
    results: list[Task] = field(default_factory=list)
    models: list[ModelVersion] = field(default_factory=list)
    unserved: list[selectors.Unserved] = field(default_factory=list)
    may_see_jobs: bool = True

    @property
    def busy(self) -> bool:
        """Whether to look again soon."""
        return bool(self.running)


@dataclass(frozen=True)
class Stage:
    """One station of the loop."""

    title: str | Promise
    icon: str
    url: str
    count: int
    busy: bool = False


@dataclass(frozen=True)
class Step:
    """One of the first steps of a workspace."""

    title: str | Promise
    text: str | Promise
    url: str
    action: str | Promise
    done: bool


def now(actor: Actor) -> Now:
    """What runs, what needs the actor, what came out lately."""
    may_see_jobs = actor.may("jobs.read")
    if not may_see_jobs:
        return Now(needs=_decisions(actor), models=_models(actor), may_see_jobs=False)
    workspace = actor.workspace
    return Now(
        running=[(job, kind_of(job.kind)) for job in selectors.open_jobs(workspace, limit=SHOWN)],
        needs=_decisions(actor) + [_failed(actor, job) for job in selectors.failed_jobs(workspace, limit=SHOWN)],
        results=[_result(actor, job) for job in selectors.succeeded_jobs(workspace, limit=SHOWN)],
        models=_models(actor),
        unserved=selectors.unserved_queues(workspace),
    )


def _decisions(actor: Actor) -> list[Task]:
    waiting = selectors.open_approvals(actor.workspace, limit=SHOWN) if actor.may("registry.approve") else []
    approvals = [
        Task(
            title=gettext("Approve %s?") % approval.version,
            text=approval.reason or _("Somebody asks for your decision."),
            url=workspace_url(actor, "registry:detail", pk=approval.version_id),
            icon="gavel",
            at=approval.requested_at,
            level="paused",
        )
        for approval in waiting
    ]
    invitations = [
        Task(
            title=gettext("You are invited to %s") % invitation.workspace.name,
            text=_("Open the link that you were sent."),
            url="",
            icon="mail",
            at=invitation.created_at,
            level="running",
        )
        for invitation in selectors.invitations_for(actor.user)
    ]
    return approvals + invitations


def _failed(actor: Actor, job: Job) -> Task:
    url = workspace_url(actor, "dashboard:job", pk=job.pk)
    return Task(job.title, job.error_message, url, "alert-circle", job.finished_at, "failed")


def _result(actor: Actor, job: Job) -> Task:
    kind = kind_of(job.kind)
    return Task(job.title, kind.title, _page_of(actor, job), kind.icon, job.finished_at)


def _page_of(actor: Actor, job: Job) -> str:
    if job.page:
        return workspace_url(actor, "dashboard:home") + job.page
    return workspace_url(actor, "dashboard:job", pk=job.pk)


def _models(actor: Actor) -> list[ModelVersion]:
    return selectors.newest_models(actor.workspace, limit=4) if actor.may("registry.read") else []


def loop(actor: Actor, counts: selectors.Counts) -> list[Stage]:
    """The stations of the loop that the actor may enter, each with how much is there."""
    stations = (
        ("datasets.read", pgettext("stage", "Data"), "database", "datasets:list", counts.datasets, "datasets.import"),
        (
            "datasets.read",
            pgettext("stage", "Freeze"),
            "snowflake",
            "datasets:list",
            counts.versions,
            "datasets.freeze",
        ),
        ("training.read", pgettext("stage", "Train"), "chart-line", "training:list", counts.trainings, "training.run"),
        (
            "evaluation.read",
            pgettext("stage", "Evaluate"),
            "target-arrow",
            "evaluation:list",
            counts.evaluations,
            "evaluation.run",
        ),
        ("registry.read", pgettext("stage", "Approve"), "rosette-discount-check", "registry:list", counts.approved, ""),
        ("inference.read", pgettext("stage", "Label"), "tags", "inference:list", counts.batches, "inference.batch"),
    )
    return [
        Stage(title, icon, room_url(actor, name), count, kind in counts.busy_kinds)
        for permission, title, icon, name, count, kind in stations
        if actor.may(permission)
    ]


def first_steps(actor: Actor, counts: selectors.Counts) -> list[Step]:
    """What a new workspace does first; empty once all is done or for people who only look."""
    if not (actor.may("datasets.write") and actor.may("training.write")):
        return []
    steps = [
        Step(
            _("Bring your texts"),
            _("A CSV, Excel or JSON file with texts and labels becomes a dataset."),
            room_url(actor, "datasets:new"),
            _("New dataset"),
            counts.datasets > 0,
        ),
        Step(
            _("Train a model on them"),
            _("Freeze a version of the dataset, then fine-tune a small pretrained encoder."),
            room_url(actor, "training:new"),
            _("New training"),
            counts.trainings > 0,
        ),
        Step(
            _("See how good it is"),
            _("Evaluate the model version on texts that it has not seen."),
            room_url(actor, "evaluation:new"),
            _("New evaluation"),
            counts.evaluations > 0,
        ),
        Step(
            _("Label new texts"),
            _("Give it a file; get the same file back with labels and probabilities."),
            room_url(actor, "inference:new"),
            _("New prediction"),
            counts.batches > 0,
        ),
    ]
    return [] if all(step.done for step in steps) else steps
