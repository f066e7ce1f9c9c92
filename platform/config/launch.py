"""The roles of an installation and how each is started on one machine."""

import os
import sys
from collections.abc import Mapping

from django.conf import settings

from core.supervisor import Role

WEB_POOL = 10
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

AS_ROOT = {"PYTHONWARNINGS": "ignore:You're running the worker with superuser"}  # often the only user of a container


def celery(*words: str) -> list[str]:
    """A Celery command of our application."""
    return [sys.executable, "-m", "celery", "-q", "-A", "config.celery", *words]


def worker(queue: str, *words: str) -> list[str]:
    """A worker of one queue; quiet about neighbours, because the database is the truth."""
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return celery("worker", "-Q", queue, "-n", f"{queue}@%h", "-l", "WARNING", *quiet, *words)


def roles(*, host: str, port: int) -> list[Role]:
    """Everything that runs beside the two servers. Web and io workers never load torch; the others only for a job."""
    common = {**import_paths(), **unless_set({**ONE_THREAD, "TOKENIZERS_PARALLELISM": "false", **AS_ROOT})}
    serve = ["--host", host, "--port", str(port), "--timeout-graceful-shutdown", "3", "--no-access-log"]
    web = [sys.executable, "-m", "uvicorn", "config.asgi:application", *serve, "--log-level", "warning"]
    return [
        Role("web", web, {**common, **unless_set({"LINGXI_DATABASE_POOL": str(WEB_POOL)})}),
        Role("worker-io", worker("io", "-P", "prefork", "-c", "2"), common),
        Role("worker-train", worker("train", "-P", "solo"), common),
        Role("worker-infer", worker("infer", "-P", "solo"), common),
        Role("generation", [sys.executable, str(settings.ROOT / "manage.py"), "generation"], common),
        Role("beat", celery("beat", "-l", "WARNING"), common),
    ]


def import_paths() -> dict[str, str]:
    """Rooms are importable in every child, whatever its folder."""
    paths = [str(settings.ROOT), str(settings.ROOT / "platform"), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(path for path in paths if path))}


def unless_set(wanted: Mapping[str, str]) -> dict[str, str]:
    """What the person has not chosen already."""
    return {name: value for name, value in wanted.items() if name not in os.environ}
