"""The side navigation: which rooms there are, in which order, and who sees them."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from core.access import Actor


@dataclass(frozen=True)
class Room:
    """An entry: `place` is the URL namespace that makes it current, `key` follows g on the keyboard."""

    place: str
    title: str | Promise
    icon: str
    name: str
    permission: str
    key: str = ""


@dataclass(frozen=True)
class Entry:
    """A room as one actor sees it."""

    place: str
    title: str | Promise
    icon: str
    url: str
    key: str


@dataclass(frozen=True)
class Group:
    """Rooms under one small title."""

    title: str | Promise
    entries: list[Entry]


ROOMS: tuple[tuple[str | Promise, tuple[Room, ...]], ...] = (
    ("", (Room("home", _("Home"), "home", "dashboard:home", "workspace.read", "h"),)),
    (
        _("Build"),
        (
            Room("datasets", _("Datasets"), "database", "datasets:list", "datasets.read", "d"),
            Room("training", _("Training"), "chart-line", "training:list", "training.read", "t"),
            Room("registry", _("Models"), "cube", "registry:list", "registry.read", "m"),
            Room("evaluation", _("Evaluations"), "target-arrow", "evaluation:list", "evaluation.read", "e"),
        ),
    ),
    (
        _("Use"),
        (
            Room("deployments", _("Deployments"), "rocket", "deployments:list", "inference.read", "r"),
            Room("playground", _("Playground"), "messages", "inference:playground", "inference.read", "y"),
            Room("requests", _("Requests"), "list-details", "inference:requests", "inference.read", "q"),
            Room("inference", _("Predictions"), "tags", "inference:list", "inference.read", "p"),
            Room("guards", _("Guards"), "shield", "inference:guards", "inference.read"),
            Room("usage", _("Usage"), "chart-bar", "inference:usage", "inference.read"),
            Room("explain", _("How it works"), "brain", "inference:explain", "inference.read", "w"),
        ),
    ),
    (
        _("Applications"),
        (Room("sentiment", _("Monitors"), "news", "sentiment:list", "sentiment.read", "n"),),
    ),
    (
        _("Workspace"),
        (
            Room("operations", _("Operations"), "gauge", "inference:operations", "workspace.manage", "o"),
            Room("schedules", _("Schedules"), "calendar-time", "dashboard:schedules", "schedules.read"),
            Room("receivers", _("Receivers"), "send", "receivers:list", "receivers.read"),
            Room("jobs", _("Jobs"), "activity", "dashboard:jobs", "jobs.read", "j"),
            Room("accounts", _("Settings"), "settings", "accounts:settings", "workspace.read", "s"),
        ),
    ),
)


LINEAGE = {"lineage_model": "registry", "lineage_data": "datasets"}  # pages of the dashboard that belong elsewhere


def place_of(request: HttpRequest) -> str:
    """Which room a page belongs to; "" outside all of them."""
    match = request.resolver_match
    if match is None:
        return ""
    if match.namespace == "dashboard":
        name = match.url_name or ""
        place = next((place for place in ("job", "schedule") if name.startswith(place)), "")
        return f"{place}s" if place else LINEAGE.get(name, "home")
    if match.namespace == "inference":
        name = match.url_name or ""
        places = ("explain", "guards", "operations", "playground", "requests", "usage")
        return next((place for place in places if name.startswith(place)), "inference")
    return match.namespace


def navigation(actor: Actor) -> list[Group]:
    """The rooms that `actor` may enter and that this installation has."""
    groups = [Group(title, _entries(actor, rooms)) for title, rooms in ROOMS]
    return [group for group in groups if group.entries]


def room_url(actor: Actor, name: str) -> str:
    """The address of a page without parameters; "" when this installation lacks that room."""
    try:
        return reverse(name, kwargs={"workspace": actor.workspace.slug})
    except NoReverseMatch:
        return ""


def _entries(actor: Actor, rooms: tuple[Room, ...]) -> list[Entry]:
    return [
        Entry(room.place, room.title, room.icon, url, room.key)
        for room in rooms
        if actor.may(room.permission) and (url := room_url(actor, room.name))
    ]
