"""Who acts in a bench, and doing its jobs in this process as a worker would."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from django.core.files.uploadedfile import TemporaryUploadedFile
from django.utils import timezone

from apps.accounts.access import actor_of_member
from apps.accounts.models import Membership, Workspace
from apps.accounts.services import create_user, create_workspace, erase_workspace
from core.access import Actor
from core.jobs.models import Job
from core.jobs.states import State
from workers.loop import run_next

LOOK_SECONDS = 0.2


@contextmanager
def own_workspace() -> Iterator[Actor]:
    """The owner of a fresh workspace, erased afterwards."""
    user = create_user(email=f"bench-{uuid4().hex[:8]}@localhost", password=None)
    workspace = create_workspace(name=f"Bench {uuid4().hex[:8]}", owner=user)
    try:
        yield actor_of_member(user, workspace.slug)
    finally:
        Workspace.objects.filter(pk=workspace.pk).update(deleting_at=timezone.now())
        erase_workspace(workspace=workspace)
        user.delete()


def first_owner() -> Actor:
    """The owner of the installation's first workspace, so that runs can be looked at; on an empty one, a new owner."""
    found = Membership.objects.select_related("user", "workspace").filter(role="owner").order_by("id").first()
    if found is None:
        user = create_user(email="bench@localhost", password=None)
        return actor_of_member(user, create_workspace(name="Bench", owner=user).slug)
    return actor_of_member(found.user, found.workspace.slug)


def finish(job: Job) -> Job:
    """The job once it ended well, done here or by a worker of the installation; RuntimeError if it did not."""
    job.refresh_from_db()
    while not job.ended:
        if run_next(job.queue) is None:
            time.sleep(LOOK_SECONDS)
        job.refresh_from_db()
    if job.state != State.SUCCEEDED:
        raise RuntimeError(f"{job.title}: {job.state} {job.error_message}")
    return job


def as_upload(path: Path, content_type: str = "text/csv") -> TemporaryUploadedFile:
    """A file of this machine as if it had been uploaded."""
    upload = TemporaryUploadedFile(path.name, content_type, 0, "utf-8")
    Path(upload.temporary_file_path()).write_bytes(path.read_bytes())
    upload.size = path.stat().st_size
    return upload
