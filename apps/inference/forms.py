"""Forms of the prediction pages."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.datasets.models import DatasetVersion, Split
from apps.inference.selectors import deployments
from apps.inference.services import LARGEST_ANSWER_TOKENS, MAX_SENTENCE_CHARACTERS, Route, StickyKey, route
from apps.inference.tasks import USES
from apps.registry.models import ModelVersion, Task
from apps.registry.selectors import version_choices
from core.access import Actor
from core.errors import Refused
from engine.specs.explanation import DEFAULT_SENTENCE
from engine.specs.sampling import Sampling

ALTERNATIVES = 5  # tokens that are shown beside each one


class BatchForm(forms.Form):
    """A model version, and either a file or a frozen dataset version: texts for a classifier, chats for a writer."""

    model_version = forms.ModelChoiceField(ModelVersion.objects.none(), label=_("Model version"))
    file = forms.FileField(
        label=_("File"),
        required=False,
        help_text=_("CSV, TSV, JSONL, JSON, Excel, Parquet or one text per line."),
    )
    text_column = forms.CharField(
        label=_("Text column"),
        required=False,
        max_length=200,
        help_text=_("Texts, or for a chat version prompts or messages. Empty lets Lingxi find it."),
    )
    context_column = forms.CharField(
        label=_("Column of the passages"),
        required=False,
        max_length=200,
        help_text=_("Versions that answer from passages or score pairs only: the passages, or the second texts."),
    )
    dataset_version = forms.ModelChoiceField(DatasetVersion.objects.none(), label=_("Dataset version"), required=False)
    split = forms.ChoiceField(label=_("Split"), required=False, choices=[("", _("All examples")), *Split.choices[1:]])
    max_new_tokens = forms.IntegerField(
        label=_("Longest answer in tokens"),
        min_value=1,
        max_value=LARGEST_ANSWER_TOKENS,
        required=False,
        help_text=_("Chat versions only; 256 when empty."),
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        models, data = self.fields["model_version"], self.fields["dataset_version"]
        assert isinstance(models, forms.ModelChoiceField)
        assert isinstance(data, forms.ModelChoiceField)
        models.queryset = (
            ModelVersion.objects.filter(workspace=actor.workspace, task__in=USES)
            .select_related("family")
            .order_by("-id")
        )
        data.queryset = (
            DatasetVersion.objects.filter(
                dataset__workspace=actor.workspace,
                dataset__kind__in={kind for use in USES.values() for kind in use.data_kinds},
            )
            .select_related("dataset")
            .order_by("-id")
        )

    def clean(self) -> dict[str, Any]:
        """Exactly one source."""
        values = super().clean() or {}
        if bool(values.get("file")) == bool(values.get("dataset_version")):
            raise forms.ValidationError(_("Choose a file or a dataset version, one of the two."), code="one_source")
        return values


class TryForm(forms.Form):
    """A few texts, one a line."""

    texts = forms.CharField(
        label=_("Texts, one a line"),
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=100_000,
    )

    def lines(self) -> list[str]:
        """The texts without blank lines."""
        return [line for line in self.cleaned_data["texts"].splitlines() if line.strip()]


class AskForm(forms.Form):
    """What a person says to a chat version."""

    message = forms.CharField(label=_("Your message"), widget=forms.Textarea(attrs={"rows": 3}), max_length=100_000)


class QuestionForm(forms.Form):
    """A question, and the passage in which a reader looks for the answer."""

    question = forms.CharField(label=_("Question"), max_length=10_000)
    context = forms.CharField(label=_("Passage"), widget=forms.Textarea(attrs={"rows": 5}), max_length=100_000)


class RankForm(forms.Form):
    """A text, and those that are brought into the order of their similarity to it."""

    query = forms.CharField(label=_("Text to compare with"), max_length=10_000)
    candidates = forms.CharField(
        label=_("Texts to bring into order, one a line"), widget=forms.Textarea(attrs={"rows": 5}), max_length=100_000
    )

    def texts(self) -> list[str]:
        """The query and behind it the others, without blank lines."""
        lines = [line for line in self.cleaned_data["candidates"].splitlines() if line.strip()]
        return [self.cleaned_data["query"], *lines]


class RerankForm(RankForm):
    """A query, and the texts that are brought into the order in which they answer it."""

    query = forms.CharField(label=_("Query"), max_length=10_000)


ASK_FORMS: dict[str, type[TryForm] | type[RankForm] | type[QuestionForm] | type[AskForm]] = {
    "text": TryForm,
    "ranking": RankForm,
    "pair": RerankForm,
    "question": QuestionForm,
    "messages": AskForm,
}
"""By what a version reads, or is asked."""


class ExplainForm(forms.Form):
    """A version that writes, and the sentence to follow through it."""

    model_version = forms.ModelChoiceField(ModelVersion.objects.none(), label=_("Model version"))
    text = forms.CharField(
        label=_("Sentence"), max_length=MAX_SENTENCE_CHARACTERS, strip=False, initial=DEFAULT_SENTENCE
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        models = self.fields["model_version"]
        assert isinstance(models, forms.ModelChoiceField)
        models.queryset = version_choices(actor.workspace).filter(task=Task.GENERATION)
        models.initial = models.queryset.values_list("pk", flat=True).first()


class PlaygroundForm(forms.Form):
    """What is said so far, to which version or deployment, and how the answer is drawn."""

    model_version = forms.CharField(label=_("Model version"), max_length=300)  # an id, or an alias with a deployment
    messages = forms.JSONField(label=_("Messages"), widget=forms.HiddenInput)
    temperature = forms.FloatField(
        label=_("Temperature"),
        initial=0.8,
        min_value=0,
        max_value=2,
        help_text=_("0 always takes the likeliest token."),
    )
    top_p = forms.FloatField(
        label=_("Top p"),
        initial=0.95,
        min_value=0,
        max_value=1,
        help_text=_("The likeliest tokens of this share together."),
    )
    top_k = forms.IntegerField(
        label=_("Top k"),
        initial=0,
        min_value=0,
        max_value=100_000,
        help_text=_("So many of the likeliest; 0 takes all."),
    )
    repetition_penalty = forms.FloatField(
        label=_("Repetition penalty"),
        initial=1,
        min_value=0.1,
        max_value=10,
        help_text=_("Above 1 nothing is said twice so easily."),
    )
    max_tokens = forms.IntegerField(label=_("Longest answer, tokens"), initial=200, min_value=1, max_value=4096)
    seed = forms.IntegerField(label=_("Seed"), required=False, help_text=_("The same seed gives the same answer."))
    stop = forms.CharField(
        label=_("Stop texts, one a line"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        max_length=4000,
    )
    probabilities = forms.BooleanField(label=_("Show how sure each token was"), required=False)

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._actor = actor
        self.versions = version_choices(actor.workspace).filter(task=Task.GENERATION)
        self.deployments = deployments(actor.workspace).filter(alias__family__task=Task.GENERATION)

    def clean_model_version(self) -> Route:
        """Who answers; one session stays on one side of a deployment."""
        try:
            found = route(self._actor, self.cleaned_data["model_version"], self.sticky_key)
        except Refused as refused:
            raise forms.ValidationError(refused.message, code=refused.code) from refused
        return found

    @property
    def sticky_key(self) -> StickyKey:
        """The person stands for both: the playground is one long conversation."""
        return StickyKey(user=str(self._actor.user.pk), conversation=f"playground {self._actor.user.pk}")

    def sampling(self) -> Sampling:
        """The options of the answer."""
        given = self.cleaned_data
        plain = ("temperature", "top_p", "top_k", "repetition_penalty", "max_tokens", "seed")
        return Sampling(
            **{name: given[name] for name in plain},
            stop=tuple(line for line in given["stop"].splitlines() if line),
            logprobs=ALTERNATIVES if given["probabilities"] else None,
        )
