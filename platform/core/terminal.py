"""Follow a job from the terminal: a progress bar for people, one JSON document for programs."""

import json
import sys
import time
from typing import Any, TextIO

from core.jobs.models import Job
from core.jobs.states import State
from words import spoken

LOOK_SECONDS = 0.5
LONELY_SECONDS = 20.0
WIDTH = 30


def follow(job: Job, *, as_json: bool = False, stream: TextIO | None = None) -> bool:
    """Wait until `job` has ended and show how far it is; True when it ended well.

    Says so when nobody takes the job. Ctrl-C leaves the job running.
    """
    out = stream or sys.stderr
    quiet = as_json or not out.isatty()
    waited, told = 0.0, False
    while not job.ended and job.state != State.PAUSED:
        if not quiet:
            out.write("\r\x1b[K" + line_of(job))
            out.flush()
        if job.state == State.QUEUED and waited > LONELY_SECONDS and not told:
            told = True
            out.write(f"\nThe job waits in the queue {job.queue!r}. Is Lingxi running? Start it with ./lingxi up\n")
        time.sleep(LOOK_SECONDS)
        waited += LOOK_SECONDS
        job.refresh_from_db()
    if not quiet:
        out.write("\r\x1b[K" + line_of(job) + "\n")
    if job.error_message and not as_json:
        out.write(f"{job.error_message} {job.error_hint}".strip() + "\n")
    return job.state == State.SUCCEEDED


def line_of(job: Job) -> str:
    """One line: a bar, counts, speed and what is left."""
    share = job.share
    bar = "·" * WIDTH if share is None else "█" * int(share * WIDTH) + "·" * (WIDTH - int(share * WIDTH))
    total = f"/{job.total_count:,}" if job.total_count else ""
    words = [f"{str(job.title)[:40]:40}", bar, f"{job.done_count:,}{total} {job.unit}", str(job.state), str(job.phase)]
    if job.rate_per_second and job.state == State.RUNNING:
        words.append(f"{job.rate_per_second:,.1f}/s")
    if job.remaining_seconds is not None:
        words.append(f"{job.remaining_seconds:,.0f} s left")
    return "  ".join(word for word in words if word)


def as_dict(job: Job, **more: Any) -> dict[str, Any]:
    """What --json prints of a job."""
    return {
        "job": job.pk,
        "kind": job.kind,
        "state": str(job.state),
        "result": spoken(job.result),
        "error": {"code": job.error_code, "message": str(job.error_message), "hint": str(job.error_hint)}
        if job.error_code
        else None,
        **more,
    }


def show(stream: Any, document: dict[str, Any]) -> None:
    """Print one JSON document."""
    stream.write(json.dumps(document, ensure_ascii=False, indent=1, default=str) + "\n")
