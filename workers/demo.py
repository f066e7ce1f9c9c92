"""The demo: the main job of the platform on the sample data, one step after the other."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile

import apps.dashboard
from apps.accounts.access import actor_of_member
from apps.datasets import services as datasets
from apps.datasets.models import Dataset, DatasetVersion, Kind
from apps.datasets.services.splitting import SplitPlan
from apps.evaluation import services as evaluation
from apps.inference import services as inference
from apps.inference.models import BatchJob
from apps.registry.models import ModelVersion
from apps.sentiment.selectors import waiting_count
from apps.training import services as training
from apps.training.models import TrainingJob
from core.access import Actor
from core.errors import Refused
from core.jobs.models import Job
from core.jobs.run import Run
from core.jobs.states import State
from words import say
from workers.demo_monitor import make_monitor, replay_rules

DEMO = Path(apps.dashboard.__file__).parent / "demo"
LOOK_SECONDS = 0.5
SCORED_WITHIN = 600.0  # seconds that the demo waits for the resident role to read its comments
SPEC = {"epochs": 5, "max_length_tokens": 64, "seed": 17}


@dataclass(frozen=True)
class Lesson:
    """A dataset, and the training job and family that come of it."""

    dataset: str
    model: str
    shares: tuple[float, float, float]  # train, dev, test


QUESTIONS = Lesson("Service questions (English)", "Intents", (0.7, 0.1, 0.2))
COMMENTS = Lesson("News comments 评论", "Comments", (0.6, 0.1, 0.3))


def run_demo(run: Run) -> Mapping[str, Any]:
    """Import, split, freeze, fine-tune, evaluate, label; a step that is done is not done again."""
    assert run.job.requested_by is not None
    actor = actor_of_member(run.job.requested_by, run.job.workspace.slug)
    steps: list[tuple[str, Callable[[Run, Actor], None]]] = [
        (
            say("importing"),
            lambda r, a: _import(r, a, QUESTIONS.dataset, Kind.CLASSIFICATION, "service_questions.jsonl", "en"),
        ),
        (say("splitting"), lambda r, a: _split(r, a, QUESTIONS)),
        (say("freezing"), lambda r, a: _freeze(r, a, QUESTIONS)),
        (
            say("importing"),
            lambda r, a: _import(r, a, "客服问题（中文）", Kind.CLASSIFICATION, "service_questions.jsonl", "zh"),
        ),
        (
            say("importing"),
            lambda r, a: _import(r, a, COMMENTS.dataset, Kind.CLASSIFICATION, "news_comments.jsonl"),
        ),
        (say("importing"), lambda r, a: _import(r, a, "Support chats 客服对话", Kind.CHAT, "support_chats.jsonl")),
        (say("splitting"), lambda r, a: _split(r, a, COMMENTS)),
        (say("freezing"), lambda r, a: _freeze(r, a, COMMENTS)),
        (say("training"), lambda r, a: _train(r, a, QUESTIONS)),
        (say("evaluating"), lambda r, a: _evaluate(r, a, QUESTIONS)),
        (say("labelling"), _predict),
        (say("training"), lambda r, a: _train(r, a, COMMENTS)),
        (say("evaluating"), lambda r, a: _evaluate(r, a, COMMENTS)),
        (say("watching"), _watch),
    ]
    for number, (phase, step) in enumerate(steps):
        run.progress(number, len(steps), unit="steps", phase=phase, now=True)
        step(run, actor)
    run.progress(len(steps), len(steps), unit="steps", now=True)
    return {"steps": len(steps)}


def _wait(run: Run, job: Job) -> None:
    """Until the job of a step has ended well; its failure is ours."""
    while not job.ended:
        time.sleep(LOOK_SECONDS)
        run.beat()
        run.check()
        job.refresh_from_db()
    if job.state != State.SUCCEEDED:
        raise Refused(
            "demo_step_failed",
            say("A step of the demo ended: {title}. {why}", title=job.title, why=job.error_message),
            hint=say("Look at that job, then retry this one."),
        )


def _import(run: Run, actor: Actor, name: str, kind: str, file: str, language: str = "") -> None:
    dataset = Dataset.objects.filter(workspace=actor.workspace, name=name).first()
    if dataset is None:
        dataset = datasets.create(actor=actor, name=name, kind=kind, language=language)
    if dataset.example_count:
        return
    started = dataset.imports.exclude(job=None).order_by("-id").first()
    if started is None or started.job is None or started.job.ended:
        lines = (DEMO / file).read_text(encoding="utf-8").split("\n")
        kept = [line for line in lines if line and (not language or json.loads(line)["meta"]["language"] == language)]
        upload = SimpleUploadedFile(file, ("\n".join(kept) + "\n").encode())
        started = datasets.start(actor=actor, import_job=datasets.receive(actor=actor, dataset=dataset, upload=upload))
    assert started.job is not None
    _wait(run, started.job)


def _dataset(actor: Actor, lesson: Lesson) -> Dataset:
    return Dataset.objects.get(workspace=actor.workspace, name=lesson.dataset)


def _version(actor: Actor, lesson: Lesson) -> DatasetVersion:
    return DatasetVersion.objects.filter(dataset=_dataset(actor, lesson)).latest("number")


def demo_training(actor: Actor, lesson: Lesson = QUESTIONS) -> TrainingJob | None:
    """The demo's own training job, whatever people start meanwhile."""
    jobs = TrainingJob.objects.filter(
        workspace=actor.workspace, dataset_version__dataset__name=lesson.dataset, name=lesson.model
    )
    return jobs.order_by("id").first()


def _trained(actor: Actor, lesson: Lesson) -> ModelVersion:
    training_job = demo_training(actor, lesson)
    assert training_job is not None and training_job.model_version is not None
    return training_job.model_version


def _split(run: Run, actor: Actor, lesson: Lesson) -> None:
    dataset = _dataset(actor, lesson)
    if dataset.split_job is None or dataset.split_job.state in {State.FAILED, State.CANCELLED}:
        train, dev, test = lesson.shares
        plan = SplitPlan(train=train, dev=dev, test=test, seed=17)
        dataset = datasets.request_split(actor=actor, dataset=dataset, plan=plan)
    assert dataset.split_job is not None
    _wait(run, dataset.split_job)


def _freeze(run: Run, actor: Actor, lesson: Lesson) -> None:
    dataset = _dataset(actor, lesson)
    version = DatasetVersion.everything.filter(dataset=dataset).order_by("-number").first()
    if version is None or version.job is None or version.job.state in {State.FAILED, State.CANCELLED}:
        version = datasets.freeze(actor=actor, dataset=dataset, note="demo")
    assert version.job is not None
    _wait(run, version.job)


def _train(run: Run, actor: Actor, lesson: Lesson) -> None:
    training_job = demo_training(actor, lesson)
    if training_job is None:
        training_job = training.start(
            actor=actor,
            recipe="classify",
            spec=SPEC,
            version=_version(actor, lesson),
            name=lesson.model,
            family_name=lesson.model,
        )
    _wait(run, training_job.job)


def _evaluate(run: Run, actor: Actor, lesson: Lesson) -> None:
    version = _trained(actor, lesson)
    found = version.evaluations.order_by("-id").first()
    if found is None:
        found = evaluation.start_evaluation(actor=actor, model_version=version, dataset_version=_version(actor, lesson))
    _wait(run, found.job)


def _predict(run: Run, actor: Actor) -> None:
    version = _trained(actor, QUESTIONS)
    batch_job = BatchJob.objects.filter(model_version=version).order_by("id").first()
    if batch_job is None:
        batch_job = inference.predict_version(
            actor=actor, version=version, data=_version(actor, QUESTIONS), split="test"
        )
    _wait(run, batch_job.job)


def _watch(run: Run, actor: Actor) -> None:
    """The monitor, read by the version that learnt from comments; then its rules run over all of it."""
    monitor = make_monitor(actor, DEMO / "news_comments.jsonl", model=COMMENTS.model)
    deadline = time.monotonic() + SCORED_WITHIN
    while (left := waiting_count(monitor)) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        run.beat()
        run.check()
    if left:
        run.log(say("Articles still wait to be read: {count:,}. Is the generation role running?", count=left))
    replay = replay_rules(actor, monitor)
    if replay is not None:
        _wait(run, replay.job)
