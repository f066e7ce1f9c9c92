"""Policies of a workspace, and what was decided by them."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.inference.guards.chain import Rules
from core.words import WordsField


class Action(models.TextChoices):
    """What is done about a finding."""

    OFF = "off", _("Do not look")
    LOG = "log", _("Log")
    REDACT = "redact", _("Redact")
    BLOCK = "block", _("Block")


class Direction(models.TextChoices):
    """Whose text it is."""

    INPUT = "input", _("Prompt")
    OUTPUT = "output", _("Answer")


class Stage(models.TextChoices):
    """What looked at the text."""

    PERSONAL = "personal", _("Personal data")
    TERMS = "terms", _("Blocked terms")
    INJECTION = "injection", _("Prompt injection")
    CLASSIFIER = "classifier", _("Classifier")


class GuardPolicy(models.Model):
    """What is looked for in prompts and answers, and what is done about it."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="guard_policies")
    name = models.CharField(max_length=80)
    is_default = models.BooleanField(default=False)  # holds where no other policy is named
    personal_input = models.CharField(max_length=10, choices=Action.choices, default=Action.OFF)
    personal_output = models.CharField(max_length=10, choices=Action.choices, default=Action.OFF)
    personal_kinds = ArrayField(models.CharField(max_length=20), default=list, blank=True)  # empty: all
    terms = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    sounds_alike = models.BooleanField(default=False)  # Chinese terms by their sound too
    terms_input = models.CharField(max_length=10, choices=Action.choices, default=Action.OFF)
    terms_output = models.CharField(max_length=10, choices=Action.choices, default=Action.OFF)
    injection_input = models.CharField(max_length=10, choices=Action.choices, default=Action.OFF)
    injection_threshold = models.FloatField(default=0.6)
    classifier = models.ForeignKey(
        "registry.ModelVersion", models.RESTRICT, null=True, blank=True, related_name="guard_policies"
    )
    classifier_labels = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    classifier_threshold = models.FloatField(default=0.5, validators=[MinValueValidator(0), MaxValueValidator(1)])
    classifier_input = models.CharField(max_length=10, choices=Action.choices, default=Action.OFF)
    classifier_output = models.CharField(max_length=10, choices=Action.choices, default=Action.OFF)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("guard policy")
        constraints: ClassVar = [
            models.UniqueConstraint("workspace", Lower("name"), name="guard_policy_name_once"),
            models.UniqueConstraint(
                fields=["workspace"], condition=models.Q(is_default=True), name="guard_policy_one_default"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def rules(self, direction: str) -> Rules:
        """What holds for prompts or answers."""
        is_input = direction == Direction.INPUT
        return Rules(
            direction=direction,
            personal=self.personal_input if is_input else self.personal_output,
            personal_kinds=frozenset(self.personal_kinds),
            terms_action=self.terms_input if is_input else self.terms_output,
            terms=tuple(self.terms),
            sounds_alike=self.sounds_alike,
            injection=self.injection_input if is_input else Action.OFF,
            injection_threshold=self.injection_threshold,
            classifier=(self.classifier_input if is_input else self.classifier_output) if self.classifier_id else "off",
            classifier_labels=frozenset(self.classifier_labels),
            classifier_threshold=self.classifier_threshold,
        )


class GuardDecision(models.Model):
    """What a policy found in a text and did about it; never the text."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="guard_decisions")
    policy = models.ForeignKey(GuardPolicy, models.SET_NULL, null=True, blank=True, related_name="decisions")
    generation = models.ForeignKey(
        "inference.Generation", models.SET_NULL, null=True, blank=True, related_name="guard_decisions"
    )
    api_key = models.ForeignKey("accounts.ApiKey", models.SET_NULL, null=True, blank=True, related_name="+")
    direction = models.CharField(max_length=10, choices=Direction.choices)
    stage = models.CharField(max_length=12, choices=Stage.choices)
    rule = models.CharField(max_length=200)  # the kind, the term, the signs or the label
    action = models.CharField(max_length=10, choices=Action.choices)
    reason = WordsField()
    score = models.FloatField(null=True)
    part = models.PositiveIntegerField(default=0)  # which message, prompt or answer
    spans = models.JSONField(default=list)  # [[start, end], ...] in code points of the text as it was given
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="guard_decision_workspace")]

    def __str__(self) -> str:
        return f"{self.stage} {self.rule}: {self.action}"
