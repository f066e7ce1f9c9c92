"""Batches, predictions and explanations as pages, API and workers read them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from django.db.models import Count, Q, QuerySet, Value
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Coalesce, Left

from apps.inference.attributing import picture_of
from apps.inference.models import (
    ApiBatch,
    Arm,
    BatchItem,
    BatchJob,
    Deployment,
    Feedback,
    Generation,
    GuardDecision,
    GuardPolicy,
    ItemState,
    OnlineKind,
    OnlineRequest,
    OnlineState,
    Prediction,
    Thumb,
)
from apps.registry.models import Alias
from apps.registry.selectors import resolve
from core.errors import Refused
from core.jobs.states import State
from core.leftovers import Names
from engine.specs.explanation import Row, head_rows
from words import say

EXPORT_ROWS = 2000
ITEM_ROWS = 200  # which may be large


def batch_jobs(workspace: Any) -> QuerySet[BatchJob]:
    """Batches of a workspace, newest first, with job, model and data joined."""
    return (
        BatchJob.objects.filter(workspace=workspace)
        .select_related("job", "model_version__family", "dataset_version__dataset", "created_by")
        .order_by("-id")
    )


def api_batches(workspace: Any) -> QuerySet[ApiBatch]:
    """Batches by /v1/batches of a workspace, newest first, with job and model joined."""
    rows = ApiBatch.objects.filter(workspace=workspace)
    files = ("output_file", "error_file")
    return rows.select_related("job", "model_version__family", "created_by", *files).order_by("-id")


def batch_items(batch: ApiBatch) -> QuerySet[BatchItem]:
    """The requests of such a batch in the order of its file."""
    return BatchItem.objects.filter(batch=batch).order_by("position")


def items_of(batch: ApiBatch, state: ItemState, *, behind: int = -1) -> Iterator[BatchItem]:
    """Every request in a state behind a position, in order, in memory of a few hundred."""
    while rows := list(batch_items(batch).filter(state=state, position__gt=behind)[:ITEM_ROWS]):
        yield from rows
        behind = rows[-1].position


def predictions(batch_job: BatchJob) -> QuerySet[Prediction]:
    """The stored rows of a batch in the order of its input."""
    return Prediction.objects.filter(batch_job=batch_job).order_by("position")


def exported_rows(batch_job: BatchJob) -> Iterator[Prediction]:
    """Every stored row in order, in memory of a few thousand."""
    done = -1
    while rows := list(predictions(batch_job).filter(position__gt=done)[:EXPORT_ROWS]):
        yield from rows
        done = rows[-1].position


def label_chart(batch_job: BatchJob, limit: int = 30) -> dict[str, Any]:
    """The distribution of labels in the shape that the chart module draws."""
    shown = batch_job.labels_by_count[:limit]
    return {
        "categories": [label for label, _n in shown],
        "series": [{"name": "texts", "values": [n for _l, n in shown]}],
    }


def file_places() -> list[tuple[str, Names]]:
    """Where batches keep their files: the upload, and a folder for each batch with one for each attempt."""
    return [("*/predictions/*", _batch_folders), ("*/predictions/*/*", _batch_files)]


def _batch_folders() -> set[str]:
    rows = BatchJob.objects.values_list("workspace_id", "pk", "file_path")
    uploads = {PurePosixPath(path).parent.as_posix() for _workspace, _pk, path in rows if path}
    return uploads | {f"files/{workspace}/predictions/{pk}" for workspace, pk, _path in rows}


def _batch_files() -> set[str]:
    files = {path for paths in BatchJob.objects.values_list("file_path", "input_path") for path in paths}
    running = BatchJob.objects.filter(job__state=State.RUNNING)
    return files | {
        f"files/{workspace}/predictions/{pk}/{token}"
        for workspace, pk, token in running.values_list("workspace_id", "pk", "job__lease_token")
    }


def shown_requests() -> QuerySet[OnlineRequest]:
    """Single requests whose answers somebody asked for: neither explanations nor what a shadow said."""
    return OnlineRequest.objects.filter(kind=OnlineKind.PREDICT).exclude(arm=Arm.SHADOW)


def written_requests() -> QuerySet[Generation]:
    """Requests to versions that write, without what a shadow was asked."""
    return Generation.objects.exclude(arm=Arm.SHADOW)


def explanations(workspace: Any) -> QuerySet[OnlineRequest]:
    """Explained sentences of a workspace with their versions, newest first."""
    rows = OnlineRequest.objects.filter(workspace=workspace, kind=OnlineKind.EXPLAIN)
    return rows.select_related("model_version__family").order_by("-id")


def attributions(workspace: Any) -> QuerySet[OnlineRequest]:
    """Texts of a workspace of which was asked why they get a label, newest first."""
    rows = OnlineRequest.objects.filter(workspace=workspace, kind=OnlineKind.ATTRIBUTE)
    return rows.select_related("model_version__family").order_by("-id")


def attribution_picture(asked: OnlineRequest) -> dict[str, Any] | None:
    """What a page shows of it; None until it is done."""
    told = explanation_of(asked)
    return None if told is None else picture_of(asked.texts[0], told, str(asked.model_version))


def explanation_of(asked: OnlineRequest) -> dict[str, Any] | None:
    """What the model told of the text; None until it is done."""
    return dict(asked.results[0]) if asked.state == OnlineState.DONE else None


def attention_rows(told: dict[str, Any], layer: int, head: int) -> list[Row]:
    """What one head looks at, position by position; Refused for a head that was not kept."""
    layers, heads = told["scores"]["layers"], told["shape"]["heads"]
    if layer not in layers:
        raise Refused(
            "unknown_layer",
            say("Choose one of these layers: {layers}", layers=", ".join(map(str, layers))),
            field="layer",
        )
    if not 0 <= head < heads:
        raise Refused("unknown_head", say("The heads are numbered 0 to {last}.", last=heads - 1), field="head")
    place = layers.index(layer)
    return head_rows(told["scores"]["numbers"], tokens=len(told["tokens"]), heads=heads, place=place, head=head)


def deployments(workspace: Any) -> QuerySet[Deployment]:
    """Deployments of a workspace with their aliases and versions, newest first."""
    versions = ("alias__version__family", "candidate__family", "serving__family")
    joined = ("alias__family", *versions, "guard_policy", "created_by")
    return Deployment.objects.filter(workspace=workspace).select_related(*joined).order_by("-id")


def deployment_choices(workspace: Any) -> QuerySet[Deployment]:
    """Only what a choice needs: id and the name of the alias, by name."""
    rows = Deployment.objects.filter(workspace=workspace).select_related("alias__family")
    return rows.only("alias__name", "alias__family__name").order_by("alias__family__name", "alias__name")


def named_policy(workspace: Any, pk: int) -> GuardPolicy:
    """The guard policy of this number; Refused where there is none."""
    found = GuardPolicy.objects.filter(workspace=workspace, pk=pk).first()
    if found is None:
        raise Refused("unknown_policy", say("There is no such policy in this workspace."), field="guard_policy")
    return found


def alias_of(workspace: Any, reference: str) -> Alias:
    """The alias that a reference means: "name@alias", or "name" for its champion; Refused where there is none."""
    meant = resolve(workspace, reference)
    if meant.alias_id is None:
        raise Refused("unknown_alias", say("“{reference}” names no alias.", reference=reference[:100]), field="alias")
    return Alias.objects.select_related("family", "version__family").get(pk=meant.alias_id)


def similarities(request: OnlineRequest) -> list[tuple[str, float]]:
    """(text, similarity to the first text) of all others of an answered request for vectors, the most similar first."""
    vectors = [row["vector"] for row in request.results if "vector" in row]
    others = zip(request.texts[1:], vectors[1:], strict=False)
    found = [(text, sum(a * b for a, b in zip(vectors[0], vector, strict=True))) for text, vector in others]
    return sorted(found, key=lambda pair: -pair[1])


def ranked(request: OnlineRequest) -> list[tuple[str, float]]:
    """(text, score) of an answered request for an order, the best first."""
    return [(request.texts[1 + row["index"]], row["score"]) for row in request.results if "index" in row]


def guard_policies(workspace: Any) -> QuerySet[GuardPolicy]:
    """Policies by name, each with its number of deployments."""
    rows = GuardPolicy.objects.filter(workspace=workspace).select_related("classifier__family")
    return rows.annotate(deployment_count=Count("deployments")).order_by("name")


def guard_decisions(workspace: Any) -> QuerySet[GuardDecision]:
    """Decisions with their policies and keys, newest first."""
    return GuardDecision.objects.filter(workspace=workspace).select_related("policy", "api_key").order_by("-id")


@dataclass(frozen=True)
class FeedbackShare:
    """How many liked what was said, of those who showed a thumb."""

    up: int
    down: int

    @property
    def share(self) -> float | None:
        """Thumbs up of all thumbs, 0..1; None without any."""
        return self.up / (self.up + self.down) if self.up + self.down else None


def side_thumbs(deployment: Deployment, *, since: datetime) -> dict[str, FeedbackShare]:
    """Side -> thumbs for what it said, given from `since` on; only sides that got any. One query.

    Only answers that came through the deployment count: the same version, asked by its number, is nobody's side.
    """
    rows = Feedback.objects.filter(workspace=deployment.workspace_id, updated_at__gte=since).exclude(thumb="")
    rows = rows.filter(Q(generation__deployment=deployment) | Q(online_request__deployment=deployment)).order_by()
    up, down = Count("pk", filter=Q(thumb=Thumb.UP)), Count("pk", filter=Q(thumb=Thumb.DOWN))
    arm = Coalesce("generation__arm", "online_request__arm")
    found = rows.values_list(arm).annotate(up=up, down=down)
    return {name: FeedbackShare(up=up, down=down) for name, up, down in found}


@dataclass(frozen=True)
class SaidAnswer:
    """What a version said, as far as it can be corrected."""

    text: str = ""
    labels: Sequence[str] = ()


def said_answer(row: Generation | OnlineRequest | Prediction, index: int) -> SaidAnswer:
    """One answer of a row; blank where its texts are not kept."""
    if isinstance(row, Prediction):
        return SaidAnswer(row.answer, row.labels)
    told = row.answers if isinstance(row, Generation) else row.results
    found = told[index] if index < len(told) else {}
    return SaidAnswer(found.get("text", found.get("answer", "")), found.get("labels", ()))


def feedback_of(workspace: Any) -> QuerySet[Feedback]:
    """All feedback of a workspace with versions and authors, newest first."""
    rows = Feedback.objects.filter(workspace=workspace).select_related("model_version__family", "user", "api_key")
    return rows.order_by("-id")


SNIPPET = 160  # characters of what was asked that a list shows


def generations(workspace: Any, *, texts: bool = False) -> QuerySet[Generation]:
    """Requests to versions that write with version, caller and feedback, newest first.

    Without `texts` each has only the beginning of what was asked last (`asked`) and how its first answer ended (`finish`).
    """
    rows = written_requests().filter(workspace=workspace)
    rows = rows.select_related("model_version__family", "deployment__alias__family", "api_key", "requested_by")
    rows = rows.prefetch_related("feedback").order_by("-id")
    if texts:
        return rows
    said = KeyTextTransform("content", KeyTransform("-1", "messages"))
    return rows.defer("messages", "prompts", "answers").annotate(
        asked=Left(Coalesce(said, KeyTextTransform("0", "prompts"), Value("")), SNIPPET),
        finish=KeyTextTransform("finish", KeyTransform("0", "answers")),
    )


def online_requests(workspace: Any) -> QuerySet[OnlineRequest]:
    """Single requests to versions that read with version, caller and feedback, newest first."""
    rows = shown_requests().filter(workspace=workspace)
    joined = ("model_version__family", "deployment__alias__family", "api_key", "requested_by")
    return rows.select_related(*joined).prefetch_related("feedback").order_by("-id")
