"""Fine-tuning jobs of the OpenAI-compatible API: create, begin the training, control, keep the results."""

import csv
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.services import audit
from apps.datasets import services as datasets
from apps.datasets.models import ApiFile, DatasetVersion, FilePurpose, FileState, Kind
from apps.registry.models import Task
from apps.registry.selectors import base_models_of, resolve_version, version_folder
from apps.training.bases import base_problems
from apps.training.models import AUTO, FineTuningJob, TrainingJob
from apps.training.selectors import curves
from apps.training.services.runs import start
from core.access import Actor
from core.errors import Problem, Refused, conflict
from core.jobs import services as jobs
from core.jobs.models import Job, Stop
from core.jobs.run import Run
from core.jobs.states import ENDED, OPEN, State
from core.openai.errors import unknown_model, whole
from core.openai.ids import public_id
from core.queue import wake
from engine import specs
from words import say

KIND = "training.fine_tune"
PRIORITY = 10  # each step takes a moment, and the next one waits for it
STEPS = frozenset({"datasets.import", "datasets.freeze"})  # jobs whose end the chain waits for


@dataclass(frozen=True)
class Method:
    """How a method of OpenAI's is done here."""

    recipe: str
    kind: str  # of the data it learns from
    options: Mapping[str, str]  # hyperparameter -> option of the recipe


_SHARED = {"n_epochs": "epochs", "batch_size": "batch_size", "learning_rate_multiplier": "learning_rate"}
METHODS = {
    "supervised": Method("sft", Kind.CHAT.value, _SHARED),
    "dpo": Method("prefer", Kind.PREFERENCE.value, {**_SHARED, "beta": "beta"}),
}
PARAMS = {"spec.seed": "seed", "spec.base_model": "model"} | {
    f"spec.{option}": f"hyperparameters.{name}" for name, option in METHODS["dpo"].options.items()
}
"""Field of our own training API -> parameter of OpenAI's."""


@transaction.atomic
def create_fine_tuning(
    *,
    actor: Actor,
    model: str,
    training_file: ApiFile,
    validation_file: ApiFile | None = None,
    method: str = "supervised",
    hyperparameters: Mapping[str, Any] | None = None,
    suffix: str = "",
    seed: int | None = None,
    metadata: Mapping[str, str] | None = None,
    integrations: list[Mapping[str, Any]] | None = None,
) -> FineTuningJob:
    """Queue the chain that ends in a trained version. Everything that can be said at the door is refused here."""
    how = METHODS[method]
    _require_mirrored(integrations or [])
    base, base_name = _base(actor.workspace, model)
    seed = secrets.randbelow(2**31) if seed is None else seed
    asked = {name: (hyperparameters or {}).get(name, AUTO) for name in how.options}
    spec = _spec(how, base, asked, seed)
    parsed, found = specs.parse_spec(how.recipe, spec)
    problems = [
        Problem(each.code, each.message, f"spec.{each.field}", each.hint) for each in found if each.severity == "error"
    ]
    problems += base_problems(how.recipe, parsed, actor.workspace) if parsed else []
    if problems:
        raise _as_asked(problems)
    _require_fit(training_file, how, "training_file")
    if validation_file is not None:
        _require_fit(validation_file, how, "validation_file")
    job = jobs.create(
        kind=KIND,
        workspace=actor.workspace,
        queue="io",
        title=say("Fine-tune {model}", model=model),
        by=actor.user,
        priority=PRIORITY,
        unit="steps",
    )
    made = FineTuningJob.objects.create(
        workspace=actor.workspace,
        job=job,
        model=model,
        base=base,
        family_name=_family_name(base_name, actor.workspace.slug, suffix),
        method=method,
        hyperparameters=asked,
        suffix=suffix,
        seed=seed,
        metadata=dict(metadata or {}),
        integrations=[dict(each) for each in integrations or []],
        training_file=training_file.pk,
        validation_file=validation_file.pk if validation_file else None,
        created_by=actor.user,
    )
    made.dataset = datasets.create(
        actor=actor, name=f"{training_file.name[:90]} ({public_id('fine_tuning_job', made.pk)})", kind=how.kind
    )
    made.save(update_fields=["dataset"])
    for file, split in ((training_file, "train"), (validation_file, "dev")):
        if file is not None:
            datasets.import_file(actor=actor, dataset=made.dataset, file=file, split=split)
    job.page = f"datasets/{made.dataset.pk}"
    job.save(update_fields=["page"])
    audit(actor=actor, action="fine_tuning.create", obj=made, method=method, model=model)
    return made


def _base(workspace: Any, model: str) -> tuple[dict[str, str], str]:
    """What `model` names, as a spec writes it, and its name inside the new model's: a version, else a base model."""
    try:
        version = resolve_version(workspace, model)
    except Refused as error:
        for row in base_models_of(workspace).filter(task_family="decoder"):
            if model in (row.name, row.reference, f"{row.kind}:{row.reference}"):
                return row.as_spec(), row.name
        raise unknown_model(model) from error
    if version.task != Task.GENERATION:
        raise Refused("model_not_available", say("“{version}” does not write texts.", version=version), field="model")
    version_folder(version)
    name = version.family.name
    return {"kind": "version", "name": str(version.pk)}, name.split(":")[1] if name.startswith("ft:") else name


def _family_name(base: str, workspace: str, suffix: str) -> str:
    """The part of ft:<base>:<workspace>:<suffix>:<id> that all of its versions share; their number is the id."""
    return f"ft:{base.replace(':', '-')[:100]}:{workspace}:{suffix}"


def _spec(how: Method, base: Mapping[str, str], asked: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The options of the recipe; what is "auto" stays the recipe's own default."""
    found: dict[str, Any] = {"base_model": dict(base), "seed": seed}
    usual = {info.name: info.default for info in specs.spec_fields(how.recipe)}
    for name, option in how.options.items():
        if asked[name] != AUTO:
            by_factor = name == "learning_rate_multiplier"
            found[option] = usual[option] * asked[name] if by_factor else asked[name]
    return found


def _require_fit(file: ApiFile, how: Method, param: str) -> None:
    if file.purpose != FilePurpose.FINE_TUNE:
        raise Refused("invalid_file", say("“{file}” was not uploaded for fine-tune.", file=file), field=param)
    if file.state == FileState.UPLOADED:
        raise Refused(
            "file_not_ready", say("“{file}” is still being looked into. Try again in a moment.", file=file), field=param
        )
    if file.state == FileState.ERROR:
        raise Refused(f"invalid_{param}", file.problem, field=param)
    if file.kind != how.kind:
        raise Refused(
            f"invalid_{param}",
            say(
                "“{file}” holds {kind} data; this method learns from {wanted} data.",
                file=file,
                kind=file.kind,
                wanted=how.kind,
            ),
            field=param,
        )


def _require_mirrored(integrations: list[Mapping[str, Any]]) -> None:
    """Curves go to the Weights & Biases project that the installation names, and to no other."""
    for at, each in enumerate(integrations):
        if each["wandb"]["project"] != settings.WANDB_PROJECT:
            raise Refused(
                "unsupported_integration",
                say("This installation does not mirror to that project. Its administrator names one with {setting}.",
                    setting="LINGXI_WANDB_PROJECT"),
                field=f"integrations.{at}.wandb.project",
            )  # fmt: skip


def _as_asked(problems: list[Problem]) -> Refused:
    """Problems of a spec under the names that the caller knows."""
    renamed = [Problem(p.code, p.message, PARAMS.get(p.field, p.field), p.hint, p.rows) for p in problems]
    return Refused("invalid_fine_tuning_job", say("This training job cannot start yet."), problems=renamed)


# --- what the worker does ------------------------------------------------------------------------------------


def begin_training(*, run: Run, actor: Actor, fine_tuning: FineTuningJob, version: DatasetVersion) -> TrainingJob:
    """Start the training on the frozen data, once; called by the worker."""
    how = METHODS[fine_tuning.method]
    with run.fenced():
        held = FineTuningJob.objects.select_for_update(of=("self",)).select_related("training").get(pk=fine_tuning.pk)
        if held.training is not None:
            return held.training
        run.beat()
        run.check()  # a cancel that waited for this row
        training_job = _started(
            actor=actor,
            recipe=how.recipe,
            spec=_spec(how, held.base, held.hyperparameters, held.seed),
            version=version,
            name=public_id("fine_tuning_job", held.pk),
            family_name=held.family_name,
        )
        FineTuningJob.objects.filter(pk=held.pk).update(training=training_job)
        Job.objects.filter(pk=held.job_id).update(page=training_job.job.page)
    return training_job


def _started(**arguments: Any) -> TrainingJob:
    """As `start`; a refusal tells all in one sentence, because a job has room for one."""
    try:
        return start(**arguments)
    except Refused as refused:
        by_data = any(problem.field == "dataset_version" for problem in refused.problems)
        raise Refused("invalid_training_file" if by_data else refused.code, whole(refused)) from refused


def call_fine_tuning_of(job: Job) -> None:
    """An import or a freeze ended: let the chain that waits for it go on."""
    if job.kind not in STEPS or job.state not in ENDED:
        return
    dataset = getattr(job, "import_job", None) or getattr(job, "dataset_version", None)
    if dataset is not None:
        call_chain_of(dataset.dataset_id)


def call_chain_of(dataset_id: int | None) -> None:
    """Wake the chains of a dataset that lie in the queue."""
    waiting = Job.objects.filter(kind=KIND, state=State.QUEUED, fine_tuning__dataset=dataset_id)
    if waiting.update(run_after=timezone.now()):
        wake("io")


def keep_results(*, run: Run, training_job: TrainingJob) -> None:
    """The curves of a finished run as a file of its fine-tuning job, if it has one; once."""
    fine_tuning = FineTuningJob.objects.filter(training=training_job).first()
    if fine_tuning is None:
        return
    with run.fenced():
        held = FineTuningJob.objects.select_for_update().get(pk=fine_tuning.pk)
        if held.result_file_id is not None:
            return
        held.result_file = datasets.make_file(
            workspace=held.workspace,
            by=held.created_by,
            purpose=FilePurpose.FINE_TUNE_RESULTS,
            name=f"{public_id('fine_tuning_job', held.pk)}-results.csv",
            write=lambda path: write_results(path, training_job),
        )
        held.save(update_fields=["result_file"])


OPENAI_NAMES = {"train_loss": "train_loss", "dev_loss": "full_valid_loss"}  # ours -> theirs, in their order


def write_results(path: Path, training_job: TrainingJob) -> None:
    """A CSV with a row for each step that was measured; a figure that it lacks is empty."""
    found = curves(training_job)
    names = [name for name in OPENAI_NAMES if name in found] + sorted(set(found) - set(OPENAI_NAMES))
    steps: dict[int, dict[str, float]] = {}
    for name, points in found.items():
        for step, value in points:
            steps.setdefault(int(step), {})[name] = value
    with path.open("w", newline="", encoding="utf-8") as target:
        rows = csv.writer(target)
        rows.writerow(["step", *(OPENAI_NAMES.get(name, name) for name in names)])
        for step, values in sorted(steps.items()):
            rows.writerow([step, *(values.get(name, "") for name in names)])


# --- what people do ------------------------------------------------------------------------------------------


@transaction.atomic
def cancel_fine_tuning(*, actor: Actor, fine_tuning: FineTuningJob) -> FineTuningJob:
    """Cancel whatever is at work for it; cancelling twice is harmless, an ended one is refused."""
    held = _held(fine_tuning)
    jobs.cancel(job=held.at_work, by=actor.user)
    if held.training is None:
        for job in _steps_of(held):
            jobs.cancel(job=job, by=actor.user)
    audit(actor=actor, action="fine_tuning.cancel", obj=held)
    return held


@transaction.atomic
def pause_fine_tuning(*, actor: Actor, fine_tuning: FineTuningJob) -> FineTuningJob:
    """Pause the training; before there is one there is nothing to pause."""
    held = _held(fine_tuning)
    if held.training is None:
        raise conflict("not_training_yet", say("Its files are still being read. Only a training can be paused."))
    jobs.pause(job=held.training.job, by=actor.user)
    audit(actor=actor, action="fine_tuning.pause", obj=held)
    return held


@transaction.atomic
def resume_fine_tuning(*, actor: Actor, fine_tuning: FineTuningJob) -> FineTuningJob:
    """Send a paused training on its way."""
    held = _held(fine_tuning)
    jobs.resume(job=held.at_work, by=actor.user)
    audit(actor=actor, action="fine_tuning.resume", obj=held)
    return held


def _held(fine_tuning: FineTuningJob) -> FineTuningJob:
    """The row, locked: a training does not begin while somebody decides over it."""
    rows = FineTuningJob.objects.select_for_update(of=("self",)).select_related("job", "training__job", "workspace")
    return rows.get(pk=fine_tuning.pk)


def _steps_of(fine_tuning: FineTuningJob) -> list[Job]:
    dataset = fine_tuning.dataset_id
    imports = Job.objects.filter(import_job__dataset=dataset, state__in=OPEN).exclude(stop_requested=Stop.CANCEL)
    freezes = Job.objects.filter(dataset_version__dataset=dataset, state__in=OPEN).exclude(stop_requested=Stop.CANCEL)
    return [*imports, *freezes] if dataset is not None else []
