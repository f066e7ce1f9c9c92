"""Which versions are in memory, as the resident roles last said."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.residents import told
from words import from_text

ROLE = "generation"
STATES: dict[str, str | Promise] = {
    "loading": _("Is being loaded"),
    "ready": _("In memory"),
    "failed": _("Could not be loaded"),
    "evicted": _("Let go"),
}


@dataclass(frozen=True)
class Loaded:
    """One version in one process of the role, for one use."""

    process: str
    version: int
    use: str
    state: str  # a key of STATES
    reason: str
    bytes: int
    loaded_at: datetime | None
    last_used_at: datetime | None
    is_pinned: bool
    way: str = ""  # what multiplies: torch, openvino fp32, openvino int8, remote
    equal_share: float | None = None  # of int8: answers to texts of its own that are fp32's, 0..1

    @property
    def how(self) -> str:
        """What multiplies, in words; "" where that is nothing special."""
        if self.equal_share is not None:
            share = f"{self.equal_share:.0%}"
            return gettext("OpenVINO in int8, {share} of its answers as in fp32").format(share=share)
        return {"openvino fp32": "OpenVINO", "remote": gettext("Another server")}.get(self.way, "")

    @property
    def said(self) -> str:
        """The state in words."""
        return str(STATES[self.state])


def loaded_versions(workspace: Any) -> dict[int, list[Loaded]]:
    """Version id -> where it is, or lately was, in memory; {} while no role is at work."""
    found: dict[int, list[Loaded]] = defaultdict(list)
    for place, each in all_loaded():
        if place == workspace.pk:
            found[each.version].append(each)
    return dict(found)


def all_loaded() -> list[tuple[int, Loaded]]:
    """(workspace id, where one of its versions is, or lately was) of all workspaces."""
    return [
        (each["workspace"], _loaded(process, each))
        for process, facts in told(ROLE).items()
        for each in facts["versions"]
    ]


def _loaded(process: str, told_of: dict[str, Any]) -> Loaded:
    names = ("version", "use", "state", "bytes", "is_pinned", "way", "equal_share")
    kept: dict[str, Any] = {name: told_of[name] for name in names}
    return Loaded(
        process=process,
        reason=from_text(told_of["reason"]),
        loaded_at=_moment(told_of["loaded_at"]),
        last_used_at=_moment(told_of["last_used_at"]),
        **kept,
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
