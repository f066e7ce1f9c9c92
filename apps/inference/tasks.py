"""What batches of each task read, keep, show and give out: one entry a task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.datasets.models import Kind
from apps.inference.models import Prediction
from apps.registry.models import ModelVersion, Task
from words import say

TEXT_COLUMNS = ("text", "content", "sentence", "review", "question", "query", "文本", "内容", "正文", "评论", "问题")
PROMPT_COLUMNS = ("messages", "conversations", "conversation", "dialogue", "对话", "prompt", "提示", *TEXT_COLUMNS)
QUESTION_COLUMNS = ("question", "query", "问题", "提问", "text")
CONTEXT_COLUMNS = ("context", "passage", "paragraph", "document", "上下文", "段落", "篇章")
QUERY_COLUMNS = ("query", "question", "source", "查询", "问题", "提问", "text")
JUDGED_COLUMNS = ("target", "candidate", "answer", "候选", "答案", *CONTEXT_COLUMNS)
TEXT_KINDS = (Kind.CLASSIFICATION, Kind.CORPUS, Kind.SPANS)  # datasets whose examples are single texts


@dataclass(frozen=True)
class Use:
    """How versions of a task are used."""

    data_kinds: tuple[Kind, ...]  # of datasets whose examples it can read
    other_data: Callable[[], str]  # why another dataset is refused
    reads: str  # "text", "question" (with a passage), "pair" (a query and a text) or "messages"
    columns: tuple[str, ...]  # of a file, guessed in this order
    title: Callable[[Any], str]  # of a job, from what it works on
    rows: str  # template of the stored rows
    answer: str  # template of the answer to a single request; "" where it is written
    now: str | Promise  # on the button of the try-it box
    header: tuple[str, ...]  # of an export as a table
    said: Callable[[Prediction], dict[str, Any]]  # what the version said of a row, for exports
    beside: tuple[str, ...] = ()  # columns of the second text of a row, guessed in this order; () where there is none
    asks: str = ""  # the form of the try-it box, where it is not that of what it reads


def _labels(row: Prediction) -> dict[str, Any]:
    return {
        "label": row.label,
        "labels": row.labels,
        "probability": row.probability,
        "probabilities": row.probabilities,
    }


def _spans(row: Prediction) -> dict[str, Any]:
    return {"spans": row.spans, "labels": row.labels, "probability": row.probability}


def _found(row: Prediction) -> dict[str, Any]:
    place = row.spans[0] if row.spans else {}
    return {
        "context": row.context,
        "answer": row.answer,
        "start": place.get("start"),
        "end": place.get("end"),
        "probability": row.probability,
    }


def _score(row: Prediction) -> dict[str, Any]:
    return {"context": row.context, "score": row.probability}


def _vector(row: Prediction) -> dict[str, Any]:
    return {"vector": row.vector}


def _answer(row: Prediction) -> dict[str, Any]:
    return {
        "messages": row.messages,
        "answer": row.answer,
        "finish": row.finish,
        "answer_tokens": row.answer_tokens,
    }


MADE_BY = ("model_version", "model_version_id")
USES: dict[str, Use] = {
    Task.CLASSIFICATION: Use(
        data_kinds=TEXT_KINDS,
        other_data=lambda: say("Choose a dataset whose examples are single texts."),
        reads="text",
        columns=TEXT_COLUMNS,
        title=lambda data: say("Label {data}", data=data),
        rows="inference/_rows_labels.html",
        answer="inference/_asked_labels.html",
        now=_("Label now"),
        header=("position", "id", "text", "label", "labels", "probability", *MADE_BY),
        said=_labels,
    ),
    Task.TAGGING: Use(
        data_kinds=TEXT_KINDS,
        other_data=lambda: say("Choose a dataset whose examples are single texts."),
        reads="text",
        columns=TEXT_COLUMNS,
        title=lambda data: say("Mark {data}", data=data),
        rows="inference/_rows_spans.html",
        answer="inference/_asked_spans.html",
        now=_("Mark now"),
        header=("position", "id", "text", "spans", "labels", "probability", *MADE_BY),
        said=_spans,
    ),
    Task.EXTRACTION: Use(
        data_kinds=(Kind.QA,),
        other_data=lambda: say("A reader answers questions about passages. Choose a dataset of that kind."),
        reads="question",
        columns=QUESTION_COLUMNS,
        title=lambda data: say("Answer {data}", data=data),
        rows="inference/_rows_found.html",
        answer="inference/_asked_found.html",
        now=_("Answer now"),
        header=("position", "id", "text", "context", "answer", "start", "end", "probability", *MADE_BY),
        said=_found,
        beside=CONTEXT_COLUMNS,
    ),
    Task.EMBEDDING: Use(
        data_kinds=TEXT_KINDS,
        other_data=lambda: say("Choose a dataset whose examples are single texts."),
        reads="text",
        columns=TEXT_COLUMNS,
        title=lambda data: say("Vectors of {data}", data=data),
        rows="inference/_rows_vectors.html",
        answer="inference/_asked_vectors.html",
        now=_("Compare now"),
        header=("position", "id", "text", "vector", *MADE_BY),
        said=_vector,
        asks="ranking",
    ),
    Task.RERANKING: Use(
        data_kinds=(Kind.PAIRS,),
        other_data=lambda: say("A version that scores pairs reads a dataset of pairs."),
        reads="pair",
        columns=QUERY_COLUMNS,
        title=lambda data: say("Score {data}", data=data),
        rows="inference/_rows_scores.html",
        answer="inference/_asked_ranked.html",
        now=_("Rank now"),
        header=("position", "id", "text", "context", "score", *MADE_BY),
        said=_score,
        beside=JUDGED_COLUMNS,
    ),
    Task.GENERATION: Use(
        data_kinds=(Kind.CHAT,),
        other_data=lambda: say("A chat version answers chats. Choose a chat dataset."),
        reads="messages",
        columns=PROMPT_COLUMNS,
        title=lambda data: say("Answer {data}", data=data),
        rows="inference/_rows_answers.html",
        answer="",
        now=_("Answer now"),
        header=("position", "id", "text", "messages", "answer", "finish", "answer_tokens", *MADE_BY),
        said=_answer,
    ),
}


def use_of(version: ModelVersion) -> Use:
    """How this version is used; of an unknown task, which `require_usable` refuses, as a classifier's is."""
    return USES.get(version.task, USES[Task.CLASSIFICATION])
