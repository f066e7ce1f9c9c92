"""The row of saved views above a page: which there are, which is open, and what the page shows because of it."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import Http404, QueryDict

from apps.sentiment.forms_saved import FIELDS, KEY, Gone, Kept, Opened, kept_of, opened, query_of
from apps.sentiment.models import Monitor, SavedView, ViewKind
from apps.sentiment.selectors_saved import views_of
from apps.sentiment.services import may_change
from core.access import PageRequest
from core.errors import Refused

ALL = "all"  # ?view=all: none, also where the page opens with one
PLACES = {"articles": ViewKind.ARTICLES, "live": ViewKind.ARTICLES, "trends": ViewKind.TRENDS}
"""Page -> whose views it opens."""


@dataclass(frozen=True)
class Bar:
    """What a page shows (`data`, as its form takes it) and the views beside it.

    `kept` is None where the filters are not valid. `is_explicit`: the address names filters, which win over the view's.
    """

    place: str
    kind: str
    views: list[SavedView]  # own ones first
    open: SavedView | None
    data: QueryDict
    gone: list[Gone]
    kept: Kept | None
    is_explicit: bool
    may_change: bool

    @property
    def is_filtered(self) -> bool:
        """Whether the page shows less than everything."""
        return any(self.data.get(name) for name in self.data)

    @property
    def inputs(self) -> dict[str, int]:
        """What the page's form sends besides: with which view its filters are compared."""
        return {"view": self.open.pk} if self.open else {}

    @property
    def is_changed(self) -> bool:
        """Whether the address asks for something else than the open view keeps."""
        return self.open is not None and self.is_explicit and (self.kept is None or not self.kept.is_of(self.open))

    @property
    def has_lost_its_series(self) -> bool:
        """Whether a trend named series and none of them is left, so that the largest are drawn."""
        return KEY not in self.data and any(each.field == KEY for each in self.gone)

    @property
    def query(self) -> str:
        """The filters as an address, without the view."""
        return self.data.urlencode()

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The same as a form's hidden inputs."""
        return [(name, value) for name, values in self.data.lists() for value in values]

    @property
    def kept_query(self) -> str:
        """What would be kept, as a form sends it."""
        return urlencode(self.kept.values, doseq=True) if self.kept else ""


def bar_of(request: PageRequest, monitor: Monitor, place: str) -> Bar:
    """The views of a page (`PLACES`) and what it shows: the filters of the address, else those of the view it names,
    else of the one that it opens with. A view that is not there is a 404, unless filters stand beside it.
    """
    kind = PLACES[place]
    rows = views_of(request.actor, monitor).filter(kind=kind)
    views = sorted(rows, key=lambda view: view.owner.user_id != request.actor.user.pk)
    asked = {name: request.GET.getlist(name) for name in FIELDS[kind] if name in request.GET}
    named = request.GET.get("view", "")
    found = next((view for view in views if str(view.pk) == named), None)
    if found is None and named not in ("", ALL) and not asked:
        raise Http404
    if not named and not asked and place == kind:  # nobody waits for news with a filter they did not ask for
        found = next((view for view in views if view.is_opening), None)
    shown = opened(found) if found and not asked else Opened(query_of(asked), [])
    return Bar(
        place,
        kind,
        views,
        found,
        shown.data,
        shown.gone,
        _kept(monitor, kind, shown.data),
        is_explicit=bool(asked),
        may_change=found is not None and may_change(request.actor, found),
    )


def _kept(monitor: Monitor, kind: str, data: QueryDict) -> Kept | None:
    try:
        return kept_of(monitor, kind, data)
    except Refused:
        return None
