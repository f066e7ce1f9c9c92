"""What versions of each task are called, and what a version's page shows of them: one entry a task."""

from dataclasses import dataclass

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Task(models.TextChoices):
    """What the versions of a family do."""

    CLASSIFICATION = "classification", _("Text classification")
    TAGGING = "tagging", _("Span tagging")
    EXTRACTION = "extraction", _("Answers from passages")
    EMBEDDING = "embedding", _("Text vectors")
    RERANKING = "reranking", _("Re-ranking")
    GENERATION = "generation", _("Chat")


@dataclass(frozen=True)
class TaskPage:
    """The templates and words of a task on the pages of its versions."""

    report: str  # template of the figures
    samples: str  # template of the sample table
    samples_title: str | Promise
    use: str | Promise  # on the button that starts a batch
    is_explained: bool = False  # whether “How it works” can follow a sentence through it


LABELLED = _("Examples, wrong and confident first")
PAGES: dict[str, TaskPage] = {
    Task.CLASSIFICATION: TaskPage(
        "evaluation/_classification_report.html", "registry/_samples.html", LABELLED, _("Label texts")
    ),
    Task.TAGGING: TaskPage("evaluation/_span_report.html", "registry/_marked_samples.html", LABELLED, _("Mark texts")),
    Task.EXTRACTION: TaskPage(
        "evaluation/_answer_report.html", "registry/_answer_samples.html", LABELLED, _("Answer questions")
    ),
    Task.EMBEDDING: TaskPage(
        "evaluation/_vector_report.html",
        "registry/_found_samples.html",
        _("Queries and what they found, wrong and confident first"),
        _("Make vectors"),
    ),
    Task.RERANKING: TaskPage(
        "evaluation/_ranking_report.html",
        "registry/_reranked_samples.html",
        _("Queries and what came first, wrong and confident first"),
        _("Score pairs"),
    ),
    Task.GENERATION: TaskPage(
        "evaluation/_chat_report.html",
        "registry/_answers.html",
        _("Answers beside the real ones"),
        _("Answer prompts"),
        is_explained=True,
    ),
}


def task_name(task: str) -> str:
    """The words for a task; one that is not known speaks for itself."""
    return str(Task(task).label) if task in Task.values else task
