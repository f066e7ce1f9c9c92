"""Saved views: what is kept of a page, who sees and changes it, and what is said of what is gone."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, close_old_connections, connection, transaction
from django.http import Http404, QueryDict

from apps.accounts.access import actor_of_member
from apps.accounts.models import AuditEntry, Membership, User
from apps.accounts.services import remove_member
from apps.sentiment import services
from apps.sentiment.forms_saved import Kept, kept_of, opened
from apps.sentiment.models import Entity, Monitor, OpeningView, SavedView, Source, Topic
from apps.sentiment.selectors_saved import views_of
from apps.sentiment.services import saved_views
from core.access import Actor
from core.errors import Refused

Save = Callable[..., SavedView]


@pytest.fixture
def bobs(bob: User, workspace: Any) -> Actor:
    """Bob, an analyst of the workspace."""
    return actor_of_member(bob, workspace.slug)


@pytest.fixture
def viewer(db: None, workspace: Any) -> Actor:
    """Vera, who may look and nothing else."""
    vera = User.objects.create_user("vera@example.org", name="Vera")
    Membership.objects.create(workspace=workspace, user=vera, role="viewer")
    return actor_of_member(vera, workspace.slug)


@pytest.fixture
def save(brand_monitor: Monitor, actor: Actor) -> Save:
    """Keeps what an address asks for; alice's view of the articles unless said otherwise."""

    def made(
        name: str, query: str = "", *, by: Actor | None = None, kind: str = "articles", **columns: Any
    ) -> SavedView:
        kept = kept_of(brand_monitor, kind, QueryDict(query))
        given = {"actor": by or actor, "monitor": brand_monitor, "kind": kind, **columns}
        return services.save_view(name=name, filters=kept.values, names=kept.names, **given)

    return made


def names(actor: Actor, monitor: Monitor) -> list[str]:
    return [view.name for view in views_of(actor, monitor)]


def test_articles_are_kept_as_checked_values_with_the_names_of_rows(
    brand_monitor: Monitor, pushed_source: Source, recall_topic: Topic
) -> None:
    asked = QueryDict(
        f"q=+harbour+&source={pushed_source.pk}&topic={recall_topic.pk}&sentiment=negative&since=2026-03-01&language="
    )

    kept = kept_of(brand_monitor, "articles", asked)

    assert kept == Kept(
        {
            "q": "harbour", "source": str(pushed_source.pk), "topic": str(recall_topic.pk), "sentiment": "negative",
            "since": "2026-03-01",
        },
        {f"source:{pushed_source.pk}": "Crawler", f"topic:{recall_topic.pk}": recall_topic.name},
    )  # fmt: skip


def test_a_trend_is_kept_with_what_its_form_takes_for_granted_and_without_what_does_not_count(
    brand_monitor: Monitor, recall_topic: Topic
) -> None:
    asked = f"dimension=topic&key={recall_topic.pk}&compare=on&span=month&since=2026-01-01&seconds=86400"

    assert kept_of(brand_monitor, "trends", QueryDict("")).values == {
        "measure": "article_count", "dimension": "total", "span": "week", "clock": "published",
    }  # fmt: skip
    assert kept_of(brand_monitor, "trends", QueryDict(asked)) == Kept(
        {
            "measure": "article_count", "dimension": "topic", "span": "month", "clock": "published", "seconds": "86400",
            "compare": "on", "key": [str(recall_topic.pk)],
        },
        {f"key:{recall_topic.pk}": recall_topic.name},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "query", "fields"),
    [
        ("articles", "sentiment=furious&topic=99", ["sentiment", "topic"]),
        ("articles", "since=yesterday", ["since"]),
        ("articles", "published=now", ["published"]),
        ("articles", "entity=Nobody", ["entity"]),
        ("articles", "password=1", ["password"]),
        ("articles", "measure=article_count", ["measure"]),
        ("articles", "language=%00", ["language"]),
        ("trends", "measure=happiness&clock=cuckoo", ["measure", "clock"]),
        ("trends", "dimension=topic&key=99", ["key"]),
        ("trends", "span=year&seconds=300", [""]),
        ("trends", "dimension=language&" + "&".join(f"key={at}" for at in range(9)), [""]),
        ("trends", "q=harbour", ["q"]),
    ],
)
def test_what_the_page_would_not_take_is_not_kept(
    brand_monitor: Monitor, kind: str, query: str, fields: list[str]
) -> None:
    with pytest.raises(Refused) as refused:
        kept_of(brand_monitor, kind, QueryDict(query))

    assert [problem.field for problem in refused.value.problems] == fields


def test_a_filter_may_be_long_but_not_endless(save: Save) -> None:
    with pytest.raises(Refused) as refused:
        save("Long", f"q={'x' * (saved_views.LONGEST_VALUE + 1)}")

    assert refused.value.problems[0].field == "q"
    assert save("Less long", f"q={'x' * saved_views.LONGEST_VALUE}").pk


def test_what_is_gone_is_told_by_the_name_it_had_and_the_rest_is_shown(
    save: Save, brand_monitor: Monitor, pushed_source: Source, recall_topic: Topic, actor: Actor
) -> None:
    maotai = services.create_entity(actor=actor, name="Maotai")
    view = save(
        "All of it", f"source={pushed_source.pk}&topic={recall_topic.pk}&entity=maotai&sentiment=negative&q=oil"
    )
    trend = save("Lines", f"dimension=topic&key={recall_topic.pk}&compare=on", kind="trends")
    assert opened(view).gone == opened(trend).gone == []
    recall_topic.delete()
    services.remove_source(actor=actor, source=pushed_source)
    Entity.objects.filter(pk=maotai.pk).delete()

    found, lines = opened(view), opened(trend)

    assert found.data.dict() == {"sentiment": "negative", "q": "oil"}
    assert [(each.label, each.name) for each in found.gone] == [
        ("Source", "Crawler"), ("Topic", recall_topic.name), ("Entity", "Maotai"),
    ]  # fmt: skip
    assert (lines.data.getlist("key"), lines.data["compare"]) == ([], "on")
    assert [(each.field, each.label, each.name) for each in lines.gone] == [("key", "Topic", recall_topic.name)]


def test_a_measure_that_the_software_knows_no_more_is_told_too(save: Save) -> None:
    view = save("Old", "measure=negative_share", kind="trends")
    SavedView.objects.filter(pk=view.pk).update(filters=view.filters | {"measure": "happiness", "never": "heard of"})
    view.refresh_from_db()

    assert [(each.label, each.name) for each in opened(view).gone] == [("Measure", "happiness")]


def test_a_private_view_is_there_for_its_owner_alone_and_a_shared_one_for_all(
    save: Save, brand_monitor: Monitor, actor: Actor, bobs: Actor, viewer: Actor
) -> None:
    save("Mine")
    save("Ours", is_shared=True)
    save("Bob's", by=bobs)

    assert names(actor, brand_monitor) == ["Mine", "Ours"]  # alice owns the workspace, and yet
    assert names(bobs, brand_monitor) == ["Bob's", "Ours"]
    assert names(viewer, brand_monitor) == ["Ours"]


def test_a_name_is_there_once_for_a_person_a_monitor_and_a_page(save: Save, bobs: Actor) -> None:
    save("Oil")
    save("Oil", kind="trends")
    other = save("Oil", by=bobs)

    with pytest.raises(Refused, match="view of this name already"):
        save(" oil ")
    with pytest.raises(Refused, match="view of this name already"):
        services.change_view(actor=bobs, view=save("Gas", by=bobs), name=other.name)
    with pytest.raises(IntegrityError), transaction.atomic():
        SavedView.objects.filter(name="Gas").update(name="OIL")


@pytest.mark.parametrize("name", ["", "   ", "x" * 101])
def test_a_name_has_1_to_100_characters(save: Save, name: str) -> None:
    with pytest.raises(Refused) as refused:
        save(name)

    assert refused.value.problems[0].field == "name"


def test_there_is_a_bound_on_own_and_on_shared_ones(
    save: Save, actor: Actor, bobs: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_views, "MOST_OWN", 2)
    monkeypatch.setattr(saved_views, "MOST_SHARED", 1)
    save("A", is_shared=True)
    mine = save("B")

    with pytest.raises(Refused, match="Delete one first"):
        save("C")
    with pytest.raises(Refused, match="Stop sharing one first"):
        save("C", by=bobs, is_shared=True)
    with pytest.raises(Refused, match="Stop sharing one first"):
        services.change_view(actor=bobs, view=save("C", by=bobs), is_shared=True)
    services.delete_view(actor=actor, view=mine)
    assert save("C").pk


@pytest.mark.django_db(transaction=True)
def test_who_saves_several_times_at_once_does_not_get_past_the_bound(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_views, "MOST_OWN", 1)

    def saved(name: str) -> bool:
        try:
            return bool(save(name).pk)
        except Refused:
            return False
        finally:
            close_old_connections()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(saved, ("A", "a", "B", "C")))

    assert (sum(found), SavedView.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("changes", [False, True])
def test_two_who_share_at_once_do_not_get_past_the_bound(
    save: Save, bobs: Actor, monkeypatch: pytest.MonkeyPatch, changes: bool
) -> None:
    monkeypatch.setattr(saved_views, "MOST_SHARED", 1)
    private = save("Bob's", by=bobs)

    def shared() -> str:
        try:
            if changes:
                services.change_view(actor=bobs, view=private, is_shared=True)
            else:
                save("Bob's next", by=bobs, is_shared=True)
        except Refused as refused:
            return refused.code
        finally:
            close_old_connections()
        return "shared"

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            save("Alice's", is_shared=True)
            other = pool.submit(shared)
            until(lambda: other.done() or somebody_waits())  # for what alice has not committed yet
        said = other.result(10)

    assert (said, SavedView.objects.filter(is_shared=True).count()) == ("too_many_views", 1)


def somebody_waits() -> bool:
    """Whether a lock is waited for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


def until(holds: Callable[[], bool]) -> None:
    for _each in range(1_000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("nothing happened")


def test_a_shared_view_is_changed_by_its_owner_and_by_whoever_may_change_the_monitor(
    save: Save, actor: Actor, bobs: Actor, viewer: Actor
) -> None:
    veras = save("Vera's", by=viewer, is_shared=True)
    alices = save("Alice's", is_shared=True)
    private = save("Hers alone")

    assert services.change_view(actor=bobs, view=veras, name="Better").owner == veras.owner
    assert services.change_view(actor=viewer, view=veras, filters={"q": "oil"}).filters == {"q": "oil"}
    for change in (services.delete_view, services.change_view):
        with pytest.raises(PermissionDenied):
            change(actor=viewer, view=alices)
        with pytest.raises(Http404):
            change(actor=bobs, view=private)


def test_a_view_that_is_shared_no_more_closes_for_others_and_stays_for_its_owner(
    save: Save, brand_monitor: Monitor, actor: Actor, bobs: Actor
) -> None:
    view = save("Ours", is_shared=True)
    for each in (actor, bobs):
        services.open_with(actor=each, view=view, is_wanted=True)

    services.change_view(actor=actor, view=view, is_shared=False)

    assert [row.member.user for row in OpeningView.objects.all()] == [actor.user]
    with pytest.raises(Http404):
        services.open_with(actor=bobs, view=view, is_wanted=True)


def test_a_page_opens_with_one_view_at_a_time(save: Save, actor: Actor, bobs: Actor) -> None:
    first, second, trend = save("A", is_shared=True), save("B"), save("A", kind="trends")

    for view in (first, second, second, trend):
        services.open_with(actor=actor, view=view, is_wanted=True)
    services.open_with(actor=bobs, view=first, is_wanted=True)
    services.open_with(actor=actor, view=first, is_wanted=False)  # it is another one that opens

    chosen = set(OpeningView.objects.values_list("member__user", "view"))
    assert chosen == {(actor.user.pk, second.pk), (actor.user.pk, trend.pk), (bobs.user.pk, first.pk)}


def test_the_trail_tells_of_shared_views_and_of_no_private_ones(save: Save, actor: Actor) -> None:
    view = save("Mine")
    services.change_view(actor=actor, view=view, name="My own")
    assert not AuditEntry.objects.filter(action__startswith="saved_view.").exists()

    services.change_view(actor=actor, view=view, is_shared=True)
    services.change_view(actor=actor, view=view, filters={"q": "oil"})
    services.change_view(actor=actor, view=view, filters={"q": "oil"})  # nothing new
    services.change_view(actor=actor, view=view, is_shared=False)
    services.delete_view(actor=actor, view=save("Ours", is_shared=True))

    told = AuditEntry.objects.filter(action__startswith="saved_view.").order_by("id")
    assert [entry.action.split(".")[1] for entry in told] == ["share", "change", "unshare", "share", "delete"]
    assert told[1].detail["after"]["filters"] == {"q": "oil"}


def test_views_go_with_their_owner_and_with_their_monitor(
    save: Save, brand_monitor: Monitor, actor: Actor, bobs: Actor, bob: User
) -> None:
    mine = save("Mine", is_shared=True)
    his = save("His", by=bobs, is_shared=True)
    services.open_with(actor=actor, view=his, is_wanted=True)
    services.open_with(actor=bobs, view=mine, is_wanted=True)

    remove_member(actor=actor, member=Membership.objects.get(user=bob))
    assert names(actor, brand_monitor) == ["Mine"]
    assert not OpeningView.objects.exists()

    services.delete_monitor(actor=actor, monitor=brand_monitor)
    assert not SavedView.objects.exists()


def test_whoever_comes_too_late_finds_a_view_gone(save: Save, actor: Actor) -> None:
    view = save("Mine")
    services.delete_view(actor=actor, view=SavedView.objects.get(pk=view.pk))

    for change in (services.delete_view, services.change_view):
        with pytest.raises(Http404):
            change(actor=actor, view=view)
