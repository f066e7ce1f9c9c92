"""Bodies of /v1: nothing is guessed. Unknown fields and wrong types are refused by name, null is as good as nothing."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.request import Request

METADATA_PAIRS = 16
METADATA_KEY_CHARACTERS = 64
METADATA_VALUE_CHARACTERS = 512
SURROGATES = re.compile("[\ud800-\udfff]")
_NESTED = re.compile(r"(\w+)\[(\w+)\]")


class Body(serializers.Serializer[Any]):
    """An object of a body. `ignored` names fields that are read over because they ask for nothing we could do."""

    ignored: ClassVar[tuple[str, ...]] = ()

    def to_internal_value(self, data: Any) -> Any:
        """The checked values; a field that nobody knows is an error that names it."""
        if not isinstance(data, Mapping):
            return super().to_internal_value(data)
        unknown = [str(name) for name in data if name not in self.fields and name not in self.ignored]
        if unknown:
            raise serializers.ValidationError(
                {name: [ErrorDetail(_unrecognized(name), code="unknown_parameter")] for name in unknown}
            )
        return super().to_internal_value({name: value for name, value in data.items() if value is not None})


def read_body(request: Request, body: type[Body]) -> dict[str, Any]:
    """The checked values of a JSON body: only what was given and what has a default."""
    return _checked(body, request.data)


def read_form(request: Request, body: type[Body]) -> dict[str, Any]:
    """The checked values of a multipart body; `outer[inner]` is how a form writes an object inside."""
    if not isinstance(request.data, QueryDict):
        raise serializers.ValidationError(_("Send the file as multipart/form-data."))
    data: dict[str, Any] = {}
    for name, value in request.data.items():
        found = _NESTED.fullmatch(name)
        if found is None:
            data[name] = value
        elif isinstance(data.setdefault(found[1], {}), dict):
            data[found[1]][found[2]] = value
    return _checked(body, data)


def _checked(body: type[Body], data: Any) -> dict[str, Any]:
    for name, value in data.items() if isinstance(data, Mapping) else ():
        if not all(map(_is_kept, _texts(value))):
            said = ErrorDetail(
                _("A text holds NUL or half a surrogate pair, which cannot be stored."), code="invalid_text"
            )
            raise serializers.ValidationError({name: [said]})
    asked = body(data=data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


class Text(serializers.CharField):
    """A JSON string, kept as it is; a number is not taken for one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"trim_whitespace": False, "max_length": 1_000_000, **options})

    def to_internal_value(self, data: Any) -> str:
        """The text, or a validation error."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A JSON integer; neither true nor "3" is one."""

    def to_internal_value(self, data: Any) -> int:
        """The number, or a validation error."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)


class Number(serializers.FloatField):
    """A JSON number that is finite."""

    def to_internal_value(self, data: Any) -> float:
        """The number, or a validation error."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        found = super().to_internal_value(data)
        if found != found or found in (float("inf"), float("-inf")):
            self.fail("invalid")
        return found


class Flag(serializers.BooleanField):
    """true or false and nothing else."""

    def to_internal_value(self, data: Any) -> bool:
        """The value, or a validation error."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Metadata(serializers.DictField):
    """Up to 16 pairs of texts: keys of up to 64 characters, values of up to 512."""

    default_error_messages: ClassVar = {
        "pairs": gettext_lazy("At most 16 pairs are possible."),
        "key": gettext_lazy("Keys are texts of 1 to 64 characters."),
        "value": gettext_lazy("Values are texts of up to 512 characters."),
    }

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """The pairs, or a validation error."""
        if not isinstance(data, Mapping):
            self.fail("not_a_dict", input_type=type(data).__name__)
        if len(data) > METADATA_PAIRS:
            self.fail("pairs")
        if not all(_is_text(key, METADATA_KEY_CHARACTERS) and key for key in data):
            self.fail("key")
        if not all(_is_text(value, METADATA_VALUE_CHARACTERS) for value in data.values()):
            self.fail("value")
        return dict(data)


def _is_text(value: Any, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and "\0" not in value


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys of objects included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for part in [*value, *value.values()] if isinstance(value, Mapping) else value:
            yield from _texts(part)


def _is_kept(text: str) -> bool:
    return "\0" not in text and not SURROGATES.search(text)


def _unrecognized(name: str) -> str:
    return _("Unrecognized request argument supplied: %s") % name[:200]
