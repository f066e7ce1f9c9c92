"""Worker side of accounts: delete a workspace with its rows and files."""

from typing import Any

from apps.accounts import services
from core.jobs.run import Run, shutting_down

WAIT_SECONDS = 1.0


def run_delete_workspace(run: Run) -> dict[str, Any]:
    """Wait until the workspace's other jobs let go, then remove files and rows.

    Files go first: as long as the rows stand, a second attempt finds the rest. The job's own row goes last.
    """
    while busy := services.others_at_work(run.job):
        run.progress(0, phase=f"waiting for {busy} jobs", now=True)
        shutting_down.wait(WAIT_SECONDS)
    run.progress(0, phase="files", now=True)
    services.remove_files(run.job.workspace)
    run.progress(0, phase="rows", now=True)
    with run.fenced():
        count = services.erase_workspace(workspace=run.job.workspace)
    return {"rows": count}
