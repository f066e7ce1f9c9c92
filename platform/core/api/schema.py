"""The OpenAPI description of a view: every operation names its permission and its errors."""

from typing import Any, Literal

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from core.api.problems import ProblemSerializer


class Schema(AutoSchema):
    """Adds problem responses and the Idempotency-Key header to every operation."""

    global_params = (
        OpenApiParameter(
            "Idempotency-Key",
            str,
            OpenApiParameter.HEADER,
            description="A key of yours (up to 200 characters); sent again it returns the first answer.",
        ),
    )

    def get_override_parameters(self) -> list[Any]:
        """Creates take an Idempotency-Key."""
        return list(self.global_params) if self.method == "POST" else []

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for code, words in {
            "400": "The request cannot be read.",
            "401": "No valid API key or session.",
            "403": "The role or key does not allow this.",
            "404": "Not in this workspace.",
            "409": "The state does not allow this.",
            "422": "Some values are not valid; `errors` names all of them.",
            "429": "Too many requests; see Retry-After.",
        }.items():
            if code not in bodies:
                bodies[code] = self._get_response_for_code(  # type: ignore[no-untyped-call]
                    OpenApiResponse(ProblemSerializer, description=words),
                    code,
                    media_types=["application/problem+json"],
                )
        return bodies
