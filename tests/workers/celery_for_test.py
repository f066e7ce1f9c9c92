"""A real Celery worker with one extra kind of job: it writes a log line, waits a moment and ends."""

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"

import django  # noqa: E402

django.setup()

from config.celery import app  # noqa: E402
from core.jobs.run import Run  # noqa: E402
from workers.runners import RUNNERS  # noqa: E402


def slow(run: Run) -> None:
    """A twentieth of a second of work, seen in the log."""
    run.log(f"done by {os.getpid()}")
    time.sleep(0.05)


def endless(run: Run) -> None:
    """Works until somebody says stop; counts its beats."""
    done = 0
    while True:
        done += 1
        run.progress(done, None, unit="beats", now=True)
        time.sleep(0.1)


RUNNERS.update({"test.slow": slow, "test.endless": endless})

if __name__ == "__main__":
    app.worker_main(["worker", "--loglevel=WARNING", *(sys.argv[1:] if "-Q" in sys.argv else ["-Q", "io", *sys.argv[1:]])])
