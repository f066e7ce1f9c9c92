"""Curves of a run told to trackers outside: an event file always, W&B and MLflow where the installation names them.

A tracker that fails, hangs or is not installed never touches the run: each has its own thread and its own queue, its
first failure is one warning in the job's log, and from then on it is left alone.
"""

import contextlib
import importlib
import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings

from apps.training import event_files, services
from apps.training.models import TrainingJob
from apps.training.selectors import EVENT_FOLDER
from core.jobs.run import Run
from core.redaction import redacted
from words import say

logger = logging.getLogger(__name__)

WAITING = 10_000  # batches of points a slow tracker may be behind
PATIENCE_SECONDS = 10.0  # for a tracker at the end of a run
Points = Sequence[tuple[str, int, float]]  # name, step, value


class Tracker(Protocol):
    """Where curves go; any method may raise whatever it likes."""

    def begin(self) -> None: ...
    def tell(self, points: Points) -> None: ...
    def end(self, *, succeeded: bool) -> None: ...


class EventFile:
    """A TensorBoard event file of this attempt, below the run's folder."""

    def __init__(self, folder: Path, token: int) -> None:
        self.path = folder / f"events.out.tfevents.{int(time.time())}.lingxi.{token}"

    def begin(self) -> None:
        """Make the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(event_files.begin(time.time()))

    def tell(self, points: Points) -> None:
        """Append."""
        now = time.time()
        with self.path.open("ab") as file:
            file.write(b"".join(event_files.scalar(now, step, name, value) for name, step, value in points))

    def end(self, *, succeeded: bool) -> None:
        """Nothing is left to do."""


class Wandb:
    """Weights & Biases; a resumed run goes on in the same place."""

    def __init__(self, training_job: TrainingJob) -> None:
        self.training_job = training_job

    def begin(self) -> None:
        """Log in and open the run."""
        wandb: Any = importlib.import_module("wandb")
        if settings.WANDB_API_KEY:
            wandb.login(key=settings.WANDB_API_KEY, host=settings.WANDB_URL or None)
        self.run = wandb.init(
            project=settings.WANDB_PROJECT,
            id=f"lingxi-{self.training_job.pk}",
            name=self.training_job.name,
            config={**self.training_job.spec, "recipe": self.training_job.recipe},
            resume="allow",
            dir=str(services.run_folder(self.training_job)),
        )

    def tell(self, points: Points) -> None:
        """One log call a step, as the service counts steps."""
        for step, values in _by_step(points).items():
            self.run.log(values, step=step)

    def end(self, *, succeeded: bool) -> None:
        """Close the run."""
        self.run.finish(exit_code=0 if succeeded else 1)


class Mlflow:
    """An MLflow tracking server; a resumed run is found by its tag."""

    TAG = "lingxi.training_job"

    def __init__(self, training_job: TrainingJob) -> None:
        self.training_job = training_job

    def begin(self) -> None:
        """Find or make experiment and run."""
        mlflow: Any = importlib.import_module("mlflow")
        self.entities: Any = importlib.import_module("mlflow.entities")
        self.client = mlflow.MlflowClient(tracking_uri=settings.MLFLOW_URL)
        known = self.client.get_experiment_by_name(settings.MLFLOW_EXPERIMENT)
        experiment = known.experiment_id if known else self.client.create_experiment(settings.MLFLOW_EXPERIMENT)
        number = str(self.training_job.pk)
        found = self.client.search_runs([experiment], f"tags.`{self.TAG}` = '{number}'")
        if found:
            self.run_id = found[0].info.run_id
            return
        made = self.client.create_run(experiment, tags={self.TAG: number}, run_name=self.training_job.name)
        self.run_id = made.info.run_id
        for name, value in self.training_job.spec.items():
            self.client.log_param(self.run_id, name, str(value)[:500])

    def tell(self, points: Points) -> None:
        """One batch; the server takes a thousand at most."""
        now = int(time.time() * 1000)
        for start in range(0, len(points), 1000):
            batch = [self.entities.Metric(name, value, now, step) for name, step, value in points[start : start + 1000]]
            self.client.log_batch(self.run_id, metrics=batch)

    def end(self, *, succeeded: bool) -> None:
        """Close the run."""
        self.client.set_terminated(self.run_id, "FINISHED" if succeeded else "KILLED")


class Mirror:
    """One tracker behind a queue and a thread; `failure` is what it said when it failed."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        self.name = name
        self.tracker = tracker
        self.failure = ""
        self._told = False
        self._queue: queue.Queue[Points | bool] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, name=f"mirror-{name}", daemon=True)
        self._thread.start()

    def tell(self, points: Points) -> None:
        """Hand over; never waits."""
        if self.failure:
            return
        try:
            self._queue.put_nowait(points)
        except queue.Full:
            self.failure = "it fell too far behind"

    def end(self, *, succeeded: bool) -> None:
        """Let it finish, but not for long."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(succeeded)
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive() and not self.failure:
            self.failure = "it did not finish in time"

    def news(self) -> str:
        """The failure, the first time it is asked for."""
        if not self.failure or self._told:
            return ""
        self._told = True
        return self.failure

    def _work(self) -> None:
        try:
            self.tracker.begin()
            while not isinstance(found := self._queue.get(), bool):
                self.tracker.tell(found)
            self.tracker.end(succeeded=found)
        except Exception as error:  # noqa: BLE001 - foreign code, whose failures must not reach the run
            logger.warning("mirror %s failed: %s", self.name, redacted(repr(error)))
            self.failure = redacted(f"{type(error).__name__}: {error}")[:300]


class Mirrors:
    """All mirrors of one run."""

    def __init__(self, run: Run, trackers: dict[str, Tracker]) -> None:
        self.run = run
        self.mirrors = [Mirror(name, tracker) for name, tracker in trackers.items()]

    def tell(self, points: Points) -> None:
        """To every mirror that works."""
        for mirror in self.mirrors:
            mirror.tell(points)
        self.warn()

    def warn(self) -> None:
        """One line in the job's log for each that has failed since."""
        for mirror in self.mirrors:
            if said := mirror.news():
                self.run.log(
                    say("Curves are no longer mirrored to {name}: {said}", name=mirror.name, said=said), level="warning"
                )


@contextlib.contextmanager
def mirrored(run: Run, training_job: TrainingJob) -> Iterator[Mirrors]:
    """The mirrors of a run, ended with it whatever happens."""
    mirrors = Mirrors(run, trackers_of(training_job, run.token))
    succeeded = False
    try:
        yield mirrors
        succeeded = True
    finally:
        for mirror in mirrors.mirrors:
            mirror.end(succeeded=succeeded)
    mirrors.warn()


def trackers_of(training_job: TrainingJob, token: int) -> dict[str, Tracker]:
    """Those that the installation wants."""
    trackers: dict[str, Tracker] = {"TensorBoard": EventFile(services.run_folder(training_job) / EVENT_FOLDER, token)}
    if settings.WANDB_PROJECT:
        trackers["Weights & Biases"] = Wandb(training_job)
    if settings.MLFLOW_URL:
        trackers["MLflow"] = Mlflow(training_job)
    return trackers


def _by_step(points: Points) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for name, step, value in points:
        found.setdefault(step, {})[name] = value
    return dict(sorted(found.items()))
