"""Worker side of accounts: delete a workspace with its rows and files."""

from typing import Any

from apps.accounts import services
from core.jobs.run import Run, shutting_down
from words import say

WAIT_SECONDS = 1.0


def run_delete_workspace(run: Run) -> dict[str, Any]:
    """Wait until the workspace's other jobs let go, then remove files and rows.

    Files go first: as long as the rows stand, a second attempt finds the rest. The job's own row goes last.
    """
    while busy := services.others_at_work(run.job):
        run.progress(0, phase=say("waiting for {busy} jobs", busy=busy), now=True)
        shutting_down.wait(WAIT_SECONDS)
    run.progress(0, phase=say("files"), now=True)
    services.remove_files(run.job.workspace)
    run.progress(0, phase=say("rows"), now=True)
    with run.fenced():
        count = services.erase_workspace(workspace=run.job.workspace)
    return {"rows": count}
