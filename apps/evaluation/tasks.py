"""How versions of each task are measured and shown: one entry a task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.datasets.models import Kind
from apps.evaluation.models import EvaluationJob
from apps.registry.models import Task

ORDERS = {
    "rank": ("rank", False, _("Wrong and confident first")),
    "loss": ("loss", True, _("Highest loss first")),
    "unsure": ("probability", False, _("Least sure first")),
}
CHAT_ORDERS = {
    "rank": ("rank", False, _("Wrong and unlikely first")),
    "loss": ("loss", True, _("Highest loss first")),
    "likely": ("loss", False, _("Lowest loss first")),
}
QUERY_ORDERS = {
    "rank": ("rank", False, _("Wrong and confident first")),
    "loss": ("loss", True, _("Highest loss first")),
}
CORPUS_ORDERS = {
    "rank": ("rank", False, _("Highest loss first")),
    "likely": ("loss", False, _("Lowest loss first")),
}
PAIR_ORDERS = {
    "rank": ("rank", False, _("Rejected answer preferred most first")),
    "sure": ("probability", True, _("Chosen answer preferred most first")),
}
FLIPS = {
    "first_only": (True, False),
    "second_only": (False, True),
    "both_wrong": (False, False),
    "both_right": (True, True),
}
LIKELIER = {"first_likelier": "gt", "second_likelier": "lt"}  # how the loss of the other side compares


WRITTEN = _("Part of the written answer")


@dataclass(frozen=True)
class Measuring:
    """What an evaluation of a task reads, keeps and shows."""

    data_kind: Kind  # of the datasets it is measured on
    rows: str  # template of the table of example rows
    flips: str  # template of the rows that flipped
    compared: str  # template of the tests of two versions
    columns: tuple[str, ...]  # of a download
    orders: Mapping[str, tuple[str, bool, Any]]  # name -> (column, descending, words)
    flip_names: tuple[str, ...]  # the second one is shown first
    has_answers: bool = False  # rows are looked for by a part of the answer, else by label
    is_judged: bool = True  # rows are right or wrong
    answer_words: Any = WRITTEN
    remembered: str = ""  # the figure, larger being better, that tells what a version still knows of an earlier task


QUERY_COLUMNS = ("example_id", "text", "gold_text", "predicted_text", "found_at", "candidates")
JUDGED = ("probability", "loss", "correct")
MEASURING: dict[str, tuple[Measuring, ...]] = {
    Task.CLASSIFICATION: (
        Measuring(
            Kind.CLASSIFICATION,
            "evaluation/_rows_labels.html",
            "evaluation/_flips_labels.html",
            "evaluation/_compared_classifiers.html",
            ("example_id", "text", "gold", "predicted", "probability", "loss", "correct"),
            ORDERS,
            tuple(FLIPS),
            remembered="accuracy",
        ),
    ),
    Task.TAGGING: (
        Measuring(
            Kind.SPANS,
            "evaluation/_rows_spans.html",
            "evaluation/_flips_spans.html",
            "evaluation/_compared_taggers.html",
            ("example_id", "text", "gold_spans", "predicted_spans", "probability", "loss", "correct"),
            ORDERS,
            tuple(FLIPS),
            remembered="entity_f1",
        ),
    ),
    Task.EXTRACTION: (
        Measuring(
            Kind.QA,
            "evaluation/_rows_answers.html",
            "evaluation/_flips_answers.html",
            "evaluation/_compared_readers.html",
            ("example_id", "text", "gold_text", "predicted_text", "f1", "probability", "loss", "correct"),
            ORDERS,
            tuple(FLIPS),
            has_answers=True,
            remembered="f1",
        ),
    ),
    Task.EMBEDDING: tuple(
        Measuring(
            kind,
            "evaluation/_rows_queries.html",
            "evaluation/_flips_queries.html",
            "evaluation/_compared_embedders.html",
            (*QUERY_COLUMNS, *JUDGED),
            QUERY_ORDERS,
            tuple(FLIPS),
            has_answers=True,
            answer_words=_("Part of the text found first"),
            remembered="mrr",
        )
        for kind in (Kind.PAIRS, Kind.CLASSIFICATION)
    ),
    Task.RERANKING: tuple(
        Measuring(
            kind,
            "evaluation/_rows_reranked.html",
            "evaluation/_flips_queries.html",
            "evaluation/_compared_embedders.html",
            (*QUERY_COLUMNS, "first_at", *JUDGED),
            QUERY_ORDERS,
            tuple(FLIPS),
            has_answers=True,
            answer_words=_("Part of the text found first"),
            remembered="mrr",
        )
        for kind in (Kind.PAIRS, Kind.CLASSIFICATION)
    ),
    Task.GENERATION: (
        *(
            Measuring(
                kind,
                "evaluation/_rows_chats.html",
                "evaluation/_flips_chats.html",
                "evaluation/_compared_chats.html",
                (
                    "example_id",
                    "text",
                    "gold_text",
                    "predicted_text",
                    "answer_tokens",
                    "loss",
                    "probability",
                    "correct",
                ),
                CHAT_ORDERS,
                (*LIKELIER, *FLIPS),
                has_answers=True,
                remembered="token_accuracy",
            )
            for kind in (Kind.CHAT, Kind.PAIRS, Kind.QA)
        ),
        Measuring(
            Kind.CORPUS,
            "evaluation/_rows_documents.html",
            "evaluation/_flips_chats.html",
            "evaluation/_compared_chats.html",
            ("example_id", "text", "gold_text", "predicted_text", "answer_tokens", "loss", "probability", "correct"),
            CORPUS_ORDERS,
            tuple(LIKELIER),
            is_judged=False,
            remembered="token_accuracy",
        ),
        Measuring(
            Kind.PREFERENCE,
            "evaluation/_rows_preferences.html",
            "evaluation/_flips_preferences.html",
            "evaluation/_compared_preferences.html",
            ("example_id", "text", "gold_text", "predicted_text", *JUDGED),
            PAIR_ORDERS,
            tuple(FLIPS),
            has_answers=True,
            answer_words=_("Part of the rejected answer"),
            remembered="win_rate",
        ),
    ),
}
"""For each task how its versions are measured, by the kind of the data."""

DATA_KINDS: dict[str, tuple[Kind, ...]] = {
    task: tuple(way.data_kind for way in ways) for task, ways in MEASURING.items()
}


def measuring_of(evaluation: EvaluationJob) -> Measuring:
    """How this evaluation's version is measured on data of this kind; of an unknown task as a classifier's is."""
    return measuring(evaluation.model_version.task, evaluation.dataset_version.dataset.kind)


def measuring(task: str, kind: str) -> Measuring:
    """How versions of a task are measured on data of a kind; of an unknown task as classifiers are."""
    ways = MEASURING.get(task, MEASURING[Task.CLASSIFICATION])
    return next((way for way in ways if way.data_kind == kind), ways[0])


MEANS_OF_ROWS = ("accuracy", "win_rate")  # shares of right rows, whose errors follow from the rows
