"""Batch predictions: a job, its rows, single texts answered while somebody waits, and answers that are written."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.inference.batch_models import ApiBatch as ApiBatch
from apps.inference.batch_models import BatchItem as BatchItem
from apps.inference.batch_models import BatchState as BatchState
from apps.inference.batch_models import ItemState as ItemState
from apps.inference.batch_models import RowAtWork as RowAtWork
from apps.inference.deployments import Arm as Arm
from apps.inference.deployments import Deployment as Deployment
from apps.inference.deployments import DeploymentEvent as DeploymentEvent
from apps.inference.deployments import EventKind as EventKind
from apps.inference.deployments import Sticky as Sticky
from apps.inference.guards.models import GuardDecision as GuardDecision
from apps.inference.guards.models import GuardPolicy as GuardPolicy
from core.jobs.models import Job
from core.openai.ids import public_id
from core.words import WordsField, WordsJSONField


class Source(models.TextChoices):
    """Where the texts of a batch come from."""

    VERSION = "version", _("Dataset version")
    UPLOAD = "upload", _("File")
    TEXTS = "texts", _("List of texts")


class BatchJob(models.Model):
    """A model version over many texts; the version is fixed when the batch is made."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="batch_jobs")
    job = models.OneToOneField(Job, models.CASCADE, related_name="batch")
    model_version = models.ForeignKey("registry.ModelVersion", models.RESTRICT, related_name="batch_jobs")
    deployment = models.ForeignKey(
        Deployment, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )  # of the alias that was asked for; its guards hold
    reference = models.CharField(max_length=140, blank=True)  # what was asked for: a name, an alias or an id
    source = models.CharField(max_length=10, choices=Source.choices)
    dataset_version = models.ForeignKey(
        "datasets.DatasetVersion", models.PROTECT, null=True, blank=True, related_name="batch_jobs"
    )
    split = models.CharField(max_length=10, blank=True)
    file_name = models.CharField(max_length=255, blank=True)
    file_path = models.CharField(max_length=300, blank=True)  # the upload, below HOME
    options = models.JSONField(default=dict, blank=True)  # how the upload is read
    text_column = models.CharField(max_length=200, blank=True)
    context_column = models.CharField(
        max_length=200, blank=True, default="", db_default=""
    )  # of a reader: passages; of a ranker: the second texts
    id_column = models.CharField(max_length=200, blank=True)
    max_new_tokens = models.PositiveIntegerField(default=256)  # longest answer of a chat version
    input_path = models.CharField(max_length=300, blank=True)  # the prepared Parquet file, below HOME
    row_count = models.BigIntegerField(null=True, blank=True)
    stored_count = models.BigIntegerField(default=0)
    bad_count = models.BigIntegerField(default=0)
    bad_rows = WordsJSONField(default=list, blank=True)  # the first of them: number, code, message
    label_counts = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    api_key = models.ForeignKey("accounts.ApiKey", models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="batch_workspace")]

    def __str__(self) -> str:
        return self.file_name or str(self.dataset_version or _("Batch %(number)d") % {"number": self.pk})

    @property
    def labels_by_count(self) -> list[tuple[str, int]]:
        """Labels given so far, most frequent first."""
        return sorted(self.label_counts.items(), key=lambda item: (-item[1], item[0]))


class Finish(models.TextChoices):
    """How a written answer ended."""

    STOP = "stop", _("Ended by the model")
    LENGTH = "length", _("Cut at the longest length")
    TOO_LONG = "too_long", _("The prompt leaves no room")
    UNREADABLE = "unreadable", _("The model cannot read this chat")
    BLOCKED = "blocked", _("Blocked by a guard")
    REFUSED = "refused", _("Refused by the server")


class Prediction(models.Model):
    """What a model version said of one text or chat; exactly one row per position of a batch.

    A classifier fills labels and probabilities, a tagger spans and their labels, a reader the passage, the answer and its
    span, a chat version messages, answer and finish, one that makes vectors the vector, and one that scores pairs the second
    text (context) and the score (probability).
    """

    batch_job = models.ForeignKey(BatchJob, models.CASCADE, related_name="predictions", db_index=False)
    model_version = models.ForeignKey("registry.ModelVersion", models.RESTRICT, related_name="+")  # what made the row
    position = models.BigIntegerField()  # from 0, in the order of the input
    custom_id = models.CharField(max_length=500, blank=True)
    text = models.TextField()  # of a chat: what was asked last; of a reader: the question
    context = models.TextField(blank=True, default="", db_default="")  # of a reader: the passage
    messages = models.JSONField(null=True)  # of a chat: all that was said before the answer
    labels = ArrayField(models.TextField(), default=list)
    label = models.TextField(blank=True)  # the surest one, for filters
    probability = models.FloatField(null=True)  # of `label`, 0..1; none for an answer
    probabilities = models.JSONField(default=list)  # [[label, probability], ...], the highest few
    spans = models.JSONField(
        null=True
    )  # of a tagger: [{"start", "end", "label", "probability"}], of a reader one start and end; code points
    vector = ArrayField(models.FloatField(), null=True)
    answer = models.TextField(blank=True, default="", db_default="")
    finish = models.CharField(max_length=10, blank=True, choices=Finish.choices, default="", db_default="")
    answer_tokens = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["batch_job", "position"], name="prediction_once"),
            models.CheckConstraint(
                condition=models.Q(probability__gte=0, probability__lte=1), name="prediction_probability_share"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["batch_job", "label", "id"], name="prediction_label"),
            models.Index(fields=["batch_job", "probability", "id"], name="prediction_probability"),
        ]

    def __str__(self) -> str:
        return f"{self.label or self.answer[:60]}: {self.text[:60]}"


class OnlineState(models.TextChoices):
    """Where a single request is."""

    WAITING = "waiting", _("Waiting")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


class OnlineKind(models.TextChoices):
    """What a single request asks for."""

    PREDICT = "predict", _("Labels or an answer")
    EXPLAIN = "explain", _("How it works")
    ATTRIBUTE = "attribute", _("Why a label")


class OnlineRequest(models.Model):
    """Texts labelled, or one explained, while somebody waits: a row for the resident role."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="online_requests")
    model_version = models.ForeignKey("registry.ModelVersion", models.CASCADE, related_name="online_requests")
    deployment = models.ForeignKey(
        Deployment, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )  # through which it was asked
    arm = models.CharField(max_length=10, choices=Arm.choices, default=Arm.STABLE, db_default=Arm.STABLE)
    kind = models.CharField(max_length=10, choices=OnlineKind.choices, default=OnlineKind.PREDICT)
    texts = models.JSONField(
        default=list, blank=True
    )  # of a reader question and passage; of a ranker the query and then its texts; of an explanation one sentence
    label = models.CharField(max_length=200, blank=True, default="", db_default="")  # asked about; empty: the predicted
    is_whole = models.BooleanField(default=False)  # of a classifier: the probability of every label is wanted
    priority = models.SmallIntegerField(default=0, db_default=0)  # smaller goes first
    is_stored = models.BooleanField(default=True, db_default=True)  # False: the texts go as soon as it was read
    state = models.CharField(max_length=10, choices=OnlineState.choices, default=OnlineState.WAITING)
    token = models.BigIntegerField(default=0)  # raised by each claim
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    # per text: labels and [[label, probability], ...], spans, or a vector; of a ranker index and score of each text, the
    # best first; of an explanation what `engine.gpt.explain`, of a label's reasons what `engine.explain` tells
    results = models.JSONField(default=list, blank=True)
    api_key = models.ForeignKey("accounts.ApiKey", models.SET_NULL, null=True, blank=True, related_name="+")
    slot = models.CharField(max_length=60, blank=True)  # its place among the key's requests at once
    claimed_at = models.DateTimeField(null=True, blank=True)
    token_count = models.PositiveIntegerField(default=0)  # read, of all texts together
    error_message = WordsField(blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["id"], condition=models.Q(state="waiting"), name="online_waiting"),
            models.Index(fields=["workspace", "-id"], name="online_workspace"),
            models.Index(
                fields=["deployment", "answered_at"],
                condition=models.Q(deployment__isnull=False),
                name="online_deployment",
            ),
        ]

    def __str__(self) -> str:
        return f"request {self.pk}"

    @property
    def feedback_id(self) -> str:
        """The id by which feedback of it is given, whatever it was asked through."""
        return public_id("online_request", self.pk)

    @property
    def seconds(self) -> float | None:
        """From the request to its answer."""
        return (self.answered_at - self.created_at).total_seconds() if self.answered_at else None


class GenerationKind(models.TextChoices):
    """What is continued."""

    CHAT = "chat", _("Chat")
    TEXT = "text", _("Text")


class GenerationState(models.TextChoices):
    """Where an answer is."""

    WAITING = "waiting", _("Waiting")
    RUNNING = "running", _("Being written")
    DONE = "done", _("Done")
    CANCELLED = "cancelled", _("Cancelled")
    FAILED = "failed", _("Failed")


class Generation(models.Model):
    """One request to a version that writes: a chat or prompts, and its answers once they are there.

    The row is committed before anything is written; whoever holds its lease under the newest token may write. The seed is
    drawn with the row, so another worker that takes over writes the same text again.
    """

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="generations")
    model_version = models.ForeignKey("registry.ModelVersion", models.CASCADE, related_name="generations")
    deployment = models.ForeignKey(
        Deployment, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )  # through which it was asked
    arm = models.CharField(max_length=10, choices=Arm.choices, default=Arm.STABLE, db_default=Arm.STABLE)
    reference = models.CharField(max_length=300)  # the model as it was asked for
    kind = models.CharField(max_length=10, choices=GenerationKind.choices)
    messages = models.JSONField(default=list, blank=True)
    prompts = models.JSONField(default=list, blank=True)  # of a text: texts or lists of token ids
    sampling = models.JSONField(default=dict, blank=True)  # what was asked of engine.specs.sampling.Sampling
    answers_per_prompt = models.PositiveSmallIntegerField(default=1)
    seed = models.BigIntegerField()
    priority = models.SmallIntegerField(default=0)  # smaller goes first
    is_stored = models.BooleanField(default=True)  # False: the texts go as soon as the answer was read
    metadata = models.JSONField(default=dict, blank=True)
    end_user = models.CharField(max_length=200, blank=True)  # whom the caller writes for, as it names them
    state = models.CharField(max_length=10, choices=GenerationState.choices, default=GenerationState.WAITING)
    is_unwanted = models.BooleanField(default=False)  # to be cancelled
    token = models.BigIntegerField(default=0)  # raised by each claim
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    answers = models.JSONField(
        default=list, blank=True
    )  # [{"text", "finish", "stopped_by", "tokens", "logprobs", "prompt"}]
    prompt_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    answer_tokens = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = WordsField(blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    api_key = models.ForeignKey("accounts.ApiKey", models.SET_NULL, null=True, blank=True, related_name="+")
    slot = models.CharField(max_length=60, blank=True)  # its place among the key's requests at once
    guard_policy = models.ForeignKey(GuardPolicy, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    first_token_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["priority", "id"], condition=models.Q(state__in=["waiting", "running"]), name="generation_open"
            ),
            models.Index(fields=["workspace", "-id"], name="generation_workspace"),
            models.Index(
                fields=["deployment", "finished_at"],
                condition=models.Q(deployment__isnull=False),
                name="generation_deployment",
            ),
            models.Index(
                fields=["finished_at"], condition=models.Q(finished_at__isnull=False), name="generation_finished"
            ),
        ]

    def __str__(self) -> str:
        return f"generation {self.pk}"

    @property
    def public_id(self) -> str:
        """The id under which callers of /v1 know it."""
        return public_id("chat_completion" if self.kind == GenerationKind.CHAT else "completion", self.pk)

    @property
    def feedback_id(self) -> str:
        """The id by which feedback of it is given, whatever it was asked through."""
        return public_id("generation", self.pk)

    @property
    def is_open(self) -> bool:
        """Whether it waits or is being written."""
        return self.state in (GenerationState.WAITING, GenerationState.RUNNING)

    @property
    def first_token_seconds(self) -> float | None:
        """From the request to its first token."""
        return (self.first_token_at - self.created_at).total_seconds() if self.first_token_at else None

    @property
    def seconds(self) -> float | None:
        """From the request to its end."""
        return (self.finished_at - self.created_at).total_seconds() if self.finished_at else None


class UsageKind(models.TextChoices):
    """What used a version; quotas count requests alone."""

    REQUEST = "request", _("Requests")
    PREDICTION = "prediction", _("Predictions")  # rows of prediction batches
    SHADOW = "shadow", _("Shadow")


class Usage(models.Model):
    """What one key asked of one version on one day (UTC); plain values, because it outlives both."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="usage")
    day = models.DateField()
    key_id = models.BigIntegerField(default=0)  # 0: a page
    key_name = models.CharField(max_length=80, blank=True)
    version_id = models.BigIntegerField()
    version_name = models.CharField(max_length=160)
    kind = models.CharField(max_length=10, choices=UsageKind.choices, default=UsageKind.REQUEST, db_default="request")
    requests = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)  # of those read, the ones that were still there
    answer_tokens = models.BigIntegerField(default=0)
    seconds = models.FloatField(default=0.0)  # at work

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "day", "key_id", "version_id", "kind"], name="usage_once")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.key_name} {self.version_name}"


class Thumb(models.TextChoices):
    """Whether somebody liked an answer."""

    UP = "up", _("Good")
    DOWN = "down", _("Bad")


class Reason(models.TextChoices):
    """Why somebody liked an answer or not."""

    WRONG = "wrong", _("Not true")
    INCOMPLETE = "incomplete", _("Something is missing")
    OFF_TOPIC = "off_topic", _("Beside the question")
    STYLE = "style", _("Wrong tone or form")
    HARMFUL = "harmful", _("Harmful")
    OTHER = "other", _("Another reason")


class Said(models.Model):
    """What a feedback says; the texts are blank where the answer's own texts are not stored."""

    thumb = models.CharField(max_length=10, blank=True, choices=Thumb.choices)
    reason = models.CharField(max_length=12, blank=True, choices=Reason.choices)
    note = models.TextField(blank=True)
    corrected_answer = models.TextField(blank=True)
    corrected_labels = ArrayField(models.TextField(), null=True, blank=True)  # [] says that no label fits

    class Meta:
        abstract = True


class Feedback(Said):
    """What one author thinks of one answer; a change keeps what it said before as a FeedbackRevision.

    Exactly one of generation, online_request and prediction is the target, `index` says which of its answers or texts.
    """

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="feedback", db_index=False)
    model_version = models.ForeignKey("registry.ModelVersion", models.CASCADE, related_name="+", db_index=False)
    generation = models.ForeignKey(
        Generation, models.CASCADE, null=True, blank=True, related_name="feedback", db_index=False
    )
    online_request = models.ForeignKey(
        OnlineRequest, models.CASCADE, null=True, blank=True, related_name="feedback", db_index=False
    )
    prediction = models.ForeignKey(
        Prediction, models.CASCADE, null=True, blank=True, related_name="feedback", db_index=False
    )
    index = models.PositiveSmallIntegerField(default=0)
    author = models.CharField(max_length=220)  # "user 7", "key 3" or "end user ann": whose the row is
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    api_key = models.ForeignKey("accounts.ApiKey", models.SET_NULL, null=True, blank=True, related_name="+")
    end_user = models.CharField(max_length=200, blank=True)  # for whom the caller speaks, as it names them
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=[target, "index", "author"],
                condition=models.Q(**{f"{target}__isnull": False}),
                name=f"feedback_of_{target}",
            )
            for target in ("generation", "online_request", "prediction")
        ] + [
            models.CheckConstraint(
                condition=models.Q(generation__isnull=False, online_request=None, prediction=None)
                | models.Q(generation=None, online_request__isnull=False, prediction=None)
                | models.Q(generation=None, online_request=None, prediction__isnull=False),
                name="feedback_of_one_answer",
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["workspace", "-id"], name="feedback_workspace"),
            models.Index(fields=["model_version", "updated_at"], name="feedback_version"),
            models.Index(fields=["workspace", "updated_at"], name="feedback_lately"),
        ]

    def __str__(self) -> str:
        return f"feedback {self.pk}"


class FeedbackRevision(Said):
    """What a feedback said before a change; rows are only ever added."""

    feedback = models.ForeignKey(Feedback, models.CASCADE, related_name="revisions")
    at = models.DateTimeField(default=timezone.now)  # when it was changed

    def __str__(self) -> str:
        return f"revision of feedback {self.feedback_id}"
