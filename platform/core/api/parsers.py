"""Reading JSON bodies: what nests without end is refused before it is parsed."""

from collections.abc import Mapping
from typing import IO, Any, cast

from rest_framework import parsers, serializers

from core.nesting import DepthGuard


class JsonParser(parsers.JSONParser):
    """JSON as usual; a body nested too deeply is as unreadable as a broken one."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """The value, or ParseError."""
        return super().parse(cast(IO[Any], DepthGuard(stream)), media_type, parser_context)


class JsonTextField(serializers.JSONField):
    """JSON, also as text inside a form, which no parser has looked at."""

    def to_internal_value(self, data: Any) -> Any:
        """The value, or a validation error."""
        try:
            return super().to_internal_value(data)
        except RecursionError:
            self.fail("invalid")
