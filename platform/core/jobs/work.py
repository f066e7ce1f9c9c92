"""Scratch folders of attempts: one per attempt, gone at its end, and swept when the attempt died."""

from pathlib import Path

from core.jobs.models import Job
from core.jobs.run import Run
from core.jobs.states import State
from core.leftovers import Names
from core.storage import workspace_folder


def work_folder(run: Run) -> Path:
    """The scratch folder of this attempt."""
    return workspace_folder(run.job.workspace_id, "work", f"{run.job.pk}-{run.token}")


def file_places() -> list[tuple[str, Names]]:
    """Where scratch folders lie, and which belong to an attempt at work."""
    return [("*/work/*", _at_work)]


def _at_work() -> set[str]:
    running = Job.objects.filter(state=State.RUNNING).values_list("workspace_id", "pk", "lease_token")
    return {f"files/{workspace}/work/{pk}-{token}" for workspace, pk, token in running}
