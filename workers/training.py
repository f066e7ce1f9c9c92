"""The runner of training jobs: one engine child per attempt, resumed from the newest checkpoint."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.conf import settings
from django.http import Http404

from apps.accounts.access import actor_of_member
from apps.datasets.selectors import version_file
from apps.evaluation.services import measure_tasks
from apps.registry.models import ModelVersion
from apps.registry.selectors import base_number
from apps.training import services
from apps.training.bases import places
from apps.training.earlier import earlier_files
from apps.training.models import TrainingJob
from apps.training.selectors import EVENT_FOLDER, attempt_folder, newest_checkpoint
from core import storage
from core.errors import Refused
from core.jobs.run import HandBack, Run, Stopped
from engine import specs
from words import say
from workers.child import Child, engine_child
from workers.mirrors import Mirrors, mirrored
from workers.sweeps import falls_behind

SAMPLES = 200
SAMPLE_CHARACTERS = 2000
STACK_LINES = 200
NOT_METRICS = {"type", "step"}


def run_training(run: Run) -> Mapping[str, Any]:
    """Train in a child, keep what it reports, register the finished version."""
    training_job = TrainingJob.objects.select_related(
        "dataset_version__dataset", "workspace", "sweep", "base_version"
    ).get(job=run.job)
    storage.require_free_space()
    if training_job.pruned_at_epoch is not None:  # a person sent it again
        services.prune(run=run, training_job=training_job, epoch=None)
    threads = services.fix_threads(training_job=training_job, threads=settings.TRAIN_THREADS)
    folder = services.run_folder(training_job) / str(run.token)
    checkpoint = newest_checkpoint(training_job)
    version = training_job.dataset_version
    parsed = specs.parse_spec(training_job.recipe, training_job.spec)[0]
    order = {
        "task": "train",
        "recipe": training_job.recipe,
        "spec": training_job.spec,
        "data": {"path": str(version_file(version)), "kind": version.dataset.kind, "hash": version.content_hash},
        "out": str(folder),
        "bases": places(parsed, training_job.workspace),
        "earlier": earlier_files(parsed, version),
        "cache": str(folder.parent / "cache"),
        "resume_from": str(storage.home() / checkpoint.path) if checkpoint else None,
        "micro_batch": training_job.micro_batch,
        "stall_seconds": settings.TRAIN_STALL_SECONDS,
        "estimate": not training_job.estimate,
    }
    if checkpoint:
        run.log(say("resuming from step {step}", step=checkpoint.step))
    with mirrored(run, training_job) as mirrors, engine_child(order, folder, threads=threads) as child:
        try:
            _follow(run, training_job, child, mirrors)
        except Stopped as stopped:
            if stopped.reason != "lost" and not stopped.why:
                for event in child.ask_to_stop():
                    _keep(run, training_job, event)
            raise
        if child.result is None:
            raise _reason(run, training_job, child)
    run.progress(run.job.done_count, run.job.total_count, phase=say("registering"), now=True)
    outcome = _outcome(child.result, Path(version_file(version)))
    version_made = services.finish(run=run, training_job=training_job, outcome=outcome)
    services.keep_results(run=run, training_job=training_job)
    _drop_older_attempts(training_job)
    _measure_earlier_tasks(run, version_made)
    return {"model_version": version_made.pk, "label": str(version_made)}


def _follow(run: Run, training_job: TrainingJob, child: Child, mirrors: Mirrors) -> None:
    points: list[tuple[str, int, float]] = []
    for event in child.events():
        if event is not None and event["type"] == "metric":
            points += _points(event)
        judged = event is not None and _is_judged(training_job, event)
        if points and (event is None or event["type"] != "metric" or len(points) >= 200 or judged):
            services.keep_metrics(run=run, training_job=training_job, points=points)
            mirrors.tell(points)
            points = []
        if judged and event is not None:
            _prune(run, training_job, event)
        if event is None:
            run.check()
        else:
            _keep(run, training_job, event)
    if points:
        services.keep_metrics(run=run, training_job=training_job, points=points)
        mirrors.tell(points)


def _is_judged(training_job: TrainingJob, event: Mapping[str, Any]) -> bool:
    """Whether the event ends an epoch, not the last one, of a run whose sweep gives up what falls behind."""
    sweep = training_job.sweep
    if sweep is None or not sweep.pruning or event.get(f"dev_{sweep.objective}") is None:
        return False
    return int(event["epoch"]) < int(training_job.spec.get("epochs", 0))


def _prune(run: Run, training_job: TrainingJob, event: Mapping[str, Any]) -> None:
    if not falls_behind(training_job):
        return
    epoch = int(event["epoch"])
    services.prune(run=run, training_job=training_job, epoch=epoch)
    why = say("pruned: after epoch {epoch} other runs of the sweep were better", epoch=epoch)
    run.log(why)
    raise Stopped("cancel", why)


def _points(event: Mapping[str, Any]) -> list[tuple[str, int, float]]:
    return [
        (name, int(event["step"]), float(value))
        for name, value in event.items()
        if name not in NOT_METRICS and value is not None
    ]


def _keep(run: Run, training_job: TrainingJob, event: Mapping[str, Any]) -> None:
    kind = event["type"]
    if kind == "progress":
        run.progress(event["done"], event["total"], unit=event["unit"], phase=event["phase"])
    elif kind == "log":
        run.log(event["message"], level=event["level"])
    elif kind == "checkpoint":
        services.keep_checkpoint(
            run=run,
            training_job=training_job,
            path=Path(event["path"]),
            step=event["step"],
            metrics=event["metrics"],
            is_best=event["is_best"],
        )
    elif kind == "preflight":
        services.keep_estimate(run=run, training_job=training_job, found=event)
    elif kind == "seen":
        services.keep_seen(run=run, training_job=training_job, found=_without_type(event))
    elif kind == "failed":
        services.keep_problems(run=run, training_job=training_job, problems=event.get("problems", []))


def _without_type(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "type"}


def _reason(run: Run, training_job: TrainingJob, child: Child) -> Exception:
    """Why a child ended without a result, as the exception that ends the job rightly."""
    if child.failure is not None:
        failure = child.failure
        rows = ", ".join(str(row) for row in failure.get("rows", []))
        message = failure["message"]
        if rows:
            message = say("{message} (rows {rows})", message=message, rows=rows)
        if failure["code"] == "process_died":
            return HandBack(message, code="engine_died", hint=failure.get("hint", ""))
        if failure["code"] != "out_of_memory":
            return Refused(failure["code"], message, hint=failure.get("hint", ""))
    if child.out_of_memory or child.failure is not None:
        smaller = services.halve_micro_batch(run=run, training_job=training_job)
        hint = say("Choose shorter texts (max_length_tokens), a smaller base model, or a machine with more memory.")
        if smaller is None:
            return Refused("out_of_memory", say("The run needs more memory than this machine has."), hint=hint)
        return HandBack(
            say("Out of memory; the next attempt takes {smaller} rows at once.", smaller=smaller),
            code="out_of_memory",
            hint=hint,
        )
    if child.hung:
        run.log(child.last_words(STACK_LINES), level="error")
        return HandBack(
            say("A training step did not end; the next attempt goes on from the last checkpoint."),
            code="engine_hung",
            hint=say("The job's log says where every thread was."),
        )
    run.log(child.last_words(), level="error")
    return HandBack(
        say("The engine ended unexpectedly (exit code {returncode}).", returncode=child.process.returncode),
        code="engine_died",
        hint=say("The job's log holds its last words."),
    )


def _outcome(result: Mapping[str, Any], data: Path) -> services.Outcome:
    """The result event with the files it names read."""
    metrics = {
        split: json.loads(Path(found["metrics"]).read_text(encoding="utf-8"))
        for split, found in result["evaluations"].items()
    }
    shown = result["evaluations"].get("test") or result["evaluations"].get("dev") or {}
    if "examples" in shown:
        samples = wrong_and_confident(Path(shown["examples"]), data)
    elif "samples" in result:
        samples = json.loads(Path(result["samples"]).read_text(encoding="utf-8"))
    else:
        samples = []
    return services.Outcome(
        folder=Path(result["model"]),
        labels=result.get("labels", []),
        metrics=metrics,
        samples=samples,
        environment=result["environment"],
        template_hash=result.get("template_hash", ""),
        parameter_count=result.get("parameters"),
        summary={
            name: result[name]
            for name in ("steps", "tokens_seen", "seconds", "memory_bytes", "best_epoch")
            if name in result
        },
    )


def wrong_and_confident(examples: Path, data: Path) -> list[dict[str, Any]]:
    """Rows of the example table with their texts: wrong ones first, the surest of them on top."""
    rows = pq.read_table(examples).to_pylist()
    rows.sort(key=lambda row: (row["correct"], -row["probability"]))
    rows = rows[:SAMPLES]
    texts = {} if rows and "text" in rows[0] else _texts_of(data, [row["example_id"] for row in rows])
    return [{**row, "text": (row.get("text") or texts.get(row["example_id"], ""))[:SAMPLE_CHARACTERS]} for row in rows]


def _texts_of(data: Path, numbers: list[int]) -> dict[int, str]:
    table = pq.read_table(data, columns=["example_id", "text"])
    table = table.filter(pc.is_in(table["example_id"], value_set=pa.array(numbers, pa.int64())))
    return dict(zip(table["example_id"].to_pylist(), table["text"].to_pylist(), strict=True))


def _measure_earlier_tasks(run: Run, version: ModelVersion) -> None:
    """Order the evaluations that show what a version that goes on from another has kept, as who started it."""
    person = run.job.requested_by
    if base_number(version) is None or person is None:
        return
    try:
        actor = actor_of_member(person, version.workspace.slug)
    except Http404:
        run.log(say("Who started this run is no member any more; earlier tasks are not measured."), level="warning")
        return
    try:
        ordered = measure_tasks(actor=actor, version=version)
    except Refused as refused:  # the version stands; its page says what is missing
        run.log(say("Earlier tasks are not measured: {why}", why=refused.message), level="warning")
        return
    run.log(say("{count} evaluations of earlier tasks are queued", count=len(ordered)))


def _drop_older_attempts(training_job: TrainingJob) -> None:
    """Only the last checkpoint rows' folders matter once the version stands."""
    kept = {storage.home() / attempt_folder(row.path) for row in training_job.checkpoints.all()}
    for attempt in services.run_folder(training_job).iterdir():
        if attempt.is_dir() and attempt not in kept and attempt.name != EVENT_FOLDER:
            shutil.rmtree(attempt, ignore_errors=True)
