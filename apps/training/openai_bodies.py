"""What /v1/fine_tuning/jobs reads: every field by its type, and what two places say must agree."""

from typing import Any

from django.utils.translation import gettext_lazy
from rest_framework import serializers

from apps.training.models import AUTO
from core.openai.body import Body, Metadata, Text, Whole


class AutoWhole(serializers.Field[Any, Any, Any, Any]):
    """ "auto" or a whole number of at least 1."""

    default_error_messages = {"bad": gettext_lazy("“auto” or a whole number from 1 to 4096 is needed.")}

    def to_internal_value(self, data: Any) -> Any:
        """The value, or a validation error."""
        if data != AUTO and (isinstance(data, bool) or not isinstance(data, int) or not 1 <= data <= 4096):
            self.fail("bad")
        return data


class AutoNumber(serializers.Field[Any, Any, Any, Any]):
    """ "auto" or a number above 0."""

    default_error_messages = {"bad": gettext_lazy("“auto” or a number above 0 is needed.")}

    def to_internal_value(self, data: Any) -> Any:
        """The value, or a validation error."""
        if data != AUTO and (isinstance(data, bool) or not isinstance(data, int | float) or not 0 < data <= 1000):
            self.fail("bad")
        return data


class Hyperparameters(Body):
    """Of supervised fine-tuning, and of all at the top level."""

    n_epochs = AutoWhole(required=False)
    batch_size = AutoWhole(required=False)
    learning_rate_multiplier = AutoNumber(required=False)


class DpoHyperparameters(Hyperparameters):
    """Of direct preference optimisation."""

    beta = AutoNumber(required=False)


class Supervised(Body):
    """method.supervised"""

    hyperparameters = Hyperparameters(required=False)


class Dpo(Body):
    """method.dpo"""

    hyperparameters = DpoHyperparameters(required=False)


class MethodBody(Body):
    """How it learns."""

    type = serializers.ChoiceField(["supervised", "dpo"])
    supervised = Supervised(required=False)
    dpo = Dpo(required=False)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """Only options of the method that is asked for."""
        for other in {"supervised", "dpo"} - {values["type"]}:
            if other in values:
                raise serializers.ValidationError({other: gettext_lazy("The method is another one.")})
        return values


class Wandb(Body):
    """Where curves are mirrored to."""

    project = Text(max_length=200)


class Integration(Body):
    """A place that hears of the curves."""

    type = serializers.ChoiceField(["wandb"])
    wandb = Wandb()


class NewFineTuningJob(Body):
    """A fine-tuning job."""

    model = Text(max_length=300)
    training_file = Text(max_length=60)
    validation_file = Text(max_length=60, required=False)
    suffix = Text(max_length=64, required=False, default="", allow_blank=True)
    seed = Whole(required=False, min_value=0, max_value=2**31 - 1)
    hyperparameters = Hyperparameters(required=False)
    method = MethodBody(required=False)
    integrations = serializers.ListField(child=Integration(), required=False, max_length=1)
    metadata = Metadata(required=False)

    def validate_suffix(self, value: str) -> str:
        """Colons part the name of a model."""
        if ":" in value or "@" in value or not value.isprintable() or value != value.strip():
            raise serializers.ValidationError(gettext_lazy("Printable characters without : and @ are possible."))
        return value

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """`method` and `hyperparameters` merged; where both say something they must say the same."""
        method = values.get("method", {"type": "supervised"})
        inside = method.get(method["type"], {}).get("hyperparameters", {})
        outside = values.get("hyperparameters", {})
        differing = [name for name in outside if inside.get(name, outside[name]) != outside[name]]
        if differing:
            raise serializers.ValidationError(
                {"hyperparameters": {name: gettext_lazy("The method says something else.") for name in differing}}
            )
        return {**values, "method": method["type"], "hyperparameters": {**outside, **inside}}
