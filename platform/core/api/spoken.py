"""Fields of the API whose stored sentences are said in the caller's language."""

from typing import Any

from rest_framework import serializers

from words import spoken


class SpokenListField(serializers.ListField):
    """A list whose sentences are said in the caller's language."""

    def to_representation(self, data: Any) -> list[Any]:
        """The list as the caller reads it."""
        return super().to_representation(spoken(data))


class SpokenJSONField(serializers.JSONField):
    """Any JSON whose sentences are said in the caller's language."""

    def to_representation(self, value: Any) -> Any:
        """The value as the caller reads it."""
        return spoken(super().to_representation(value))
