"""Saved views on the pages and by the API: kept with one form, opened by a link, changed by whoever may."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.access import actor_of_member
from apps.accounts.models import User
from apps.sentiment import services
from apps.sentiment.collecting.items import Item
from apps.sentiment.models import Dimension, Monitor, OpeningView, SavedView, Source, Topic
from core.access import Actor

Written = Callable[..., Item]


@pytest.fixture
def articles(client: Client, actor: Actor, pushed_source: Source, written: Written) -> str:
    """Alice is logged in; the address of the articles of her monitor, of which there are two."""
    client.force_login(actor.user)
    items = [written(1, "Harbour opens", language="en"), written(2, "港口开放", language="zh")]
    services.ingest(pushed_source, items)
    return f"/w/{actor.workspace.slug}/monitors/{pushed_source.monitor_id}/articles"


@pytest.fixture
def keep(client: Client, articles: str) -> Callable[..., SavedView]:
    """Saves by the form of the page."""

    def saved(name: str, query: str = "", *, place: str = "articles", **given: str) -> SavedView:
        given |= {"name": name, "query": query, "place": place}
        answer = client.post(articles.replace("/articles", "/views"), given)
        assert answer.status_code == 302, answer.content.decode()
        (number,) = parse_qs(urlsplit(answer.headers["Location"]).query)["view"]
        return SavedView.objects.get(pk=number)

    return saved


def shown(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return str(answer.content.decode())


def titles(page: str) -> list[bool]:
    return ["Harbour opens" in page, "港口开放" in page]


def test_what_the_page_shows_is_kept_and_opened_again(
    client: Client, articles: str, keep: Callable[..., SavedView]
) -> None:
    asked = client.get(f"{articles}?q=harbour&source=&sentiment=")

    view = keep("Harbour", asked.context["bar"].kept_query)
    page = client.get(f"{articles}?view={view.pk}")

    assert (view.filters, view.is_shared, view.kind) == ({"q": "harbour"}, False, "articles")
    assert titles(page.content.decode()) == [True, False]
    assert 'name="q" value="harbour"' in page.content.decode()
    assert f'href="?view={view.pk}" aria-current="true"' in page.content.decode()
    assert not page.context["bar"].is_changed


def test_filters_of_the_address_win_and_the_page_says_that_they_differ(
    client: Client, articles: str, keep: Callable[..., SavedView]
) -> None:
    view = keep("Harbour", "q=harbour")

    same = shown(client, f"{articles}?view={view.pk}&q=harbour&source=&language=")
    other = client.get(f"{articles}?view={view.pk}&q=港口&language=")

    assert "The filters differ" not in same
    assert titles(other.content.decode()) == [False, True]
    assert "The filters differ" in other.content.decode()
    url = articles.rsplit("/", 2)[0] + f"/views/{view.pk}/filters"
    assert client.post(url, {"query": other.context["bar"].kept_query}).headers["Location"].endswith(f"?view={view.pk}")
    view.refresh_from_db()
    assert view.filters == {"q": "港口"}
    assert client.post(url, {"query": "q=港口&sentiment=furious"}).status_code == 302
    view.refresh_from_db()
    assert view.filters == {"q": "港口"}


def test_the_live_page_opens_the_same_views_and_asks_on_with_their_filters(
    client: Client, articles: str, keep: Callable[..., SavedView]
) -> None:
    live = articles.replace("/articles", "/live")
    view = keep("Harbour", "q=harbour", place="live")

    page = shown(client, f"{live}?view={view.pk}")

    assert view.kind == "articles"
    assert titles(page) == [True, False]
    assert f'hx-get="{live}?q=harbour&amp;seen=' in page


def test_a_trend_is_kept_and_opened_with_its_terms(
    client: Client, articles: str, keep: Callable[..., SavedView]
) -> None:
    trends = articles.replace("/articles", "/trends")

    view = keep("By language", "dimension=language&key=zh&clock=received&span=day", place="trends")
    page = client.get(f"{trends}?view={view.pk}")

    assert (view.kind, view.filters["key"]) == ("trends", ["zh"])
    asked = page.context["asked"]
    assert (asked.dimension, asked.keys, asked.clock) == (Dimension.LANGUAGE, ("zh",), "received")
    assert page.context["bar"].query in page.content.decode().replace("&amp;", "&")
    assert client.get(articles, {"view": view.pk}).status_code == 404  # it is of the other page


def test_a_page_opens_with_the_view_that_was_chosen_unless_the_address_says_otherwise(
    client: Client, articles: str, keep: Callable[..., SavedView]
) -> None:
    view = keep("Harbour", "q=harbour")
    url = articles.rsplit("/", 2)[0] + f"/views/{view.pk}/opening"

    client.post(url, {"on": "1"})

    assert titles(shown(client, articles)) == [True, False]
    assert titles(shown(client, f"{articles}?before=999999999")) == [True, False]  # the next portion of the same
    for query in ("view=all", "q=", "q=港口"):
        assert titles(shown(client, f"{articles}?{query}"))[1]
    assert titles(shown(client, articles.replace("/articles", "/live"))) == [True, True]
    client.post(url, {"on": "0"})
    assert titles(shown(client, articles)) == [True, True]
    assert not OpeningView.objects.exists()


def test_what_is_gone_is_said_and_the_rest_is_shown(
    client: Client, articles: str, keep: Callable[..., SavedView], recall_topic: Topic
) -> None:
    view = keep("Recalls", f"topic={recall_topic.pk}&q=harbour")
    trend = keep("Recalls", f"dimension=topic&key={recall_topic.pk}", place="trends")
    recall_topic.delete()

    page = client.get(f"{articles}?view={view.pk}")
    lines = shown(client, articles.replace("/articles", "/trends") + f"?view={trend.pk}")

    assert titles(page.content.decode()) == [True, False]
    for text in (page.content.decode(), lines):
        assert "Topic: “Recall” is gone and left out." in text
        assert "Save changes" in text
    assert "Undo changes" not in lines  # there is nothing to go back to
    assert page.context["bar"].kept_query == "q=harbour"


def test_two_equal_forms_keep_one_view(client: Client, articles: str) -> None:
    given = {"name": "Harbour", "query": "q=harbour", "place": "articles"}

    first, second = (client.post(articles.replace("/articles", "/views"), given) for _time in range(2))

    assert first.headers["Location"] == second.headers["Location"]
    assert SavedView.objects.count() == 1


def test_a_name_that_is_taken_and_filters_that_make_no_sense_come_back_with_a_sentence(
    client: Client, articles: str, keep: Callable[..., SavedView]
) -> None:
    view, other = keep("Harbour"), keep("Other")
    url = articles.replace("/articles", "/views")

    taken = client.post(url, {"name": "HARBOUR", "query": "q=x"})
    wrong = client.post(url, {"name": "New", "query": "sentiment=furious"})
    nameless = client.post(url, {"name": " ", "query": "q=x"})
    renamed = client.post(articles.rsplit("/", 2)[0] + f"/views/{other.pk}", {"name": view.name})

    assert [each.status_code for each in (taken, wrong, nameless, renamed)] == [422] * 4
    assert "There is a view of this name already." in taken.content.decode()
    assert 'value="HARBOUR"' in taken.content.decode() and 'value="q=x"' in taken.content.decode()
    assert "furious" in wrong.content.decode()
    assert SavedView.objects.count() == 2


def test_a_view_is_renamed_shared_and_deleted_from_the_page(
    client: Client, articles: str, keep: Callable[..., SavedView]
) -> None:
    view = keep("Harbour")
    room = articles.rsplit("/", 2)[0]

    client.post(f"{room}/views/{view.pk}", {"name": "Port", "is_shared": "on"})
    view.refresh_from_db()
    answer = client.post(f"{room}/views/{view.pk}/delete")

    assert (view.name, view.is_shared) == ("Port", True)
    assert answer.headers["Location"] == f"{articles}?view=all"
    assert not SavedView.objects.exists()


def test_teammates_open_what_is_shared_and_find_nothing_else(
    client: Client, articles: str, keep: Callable[..., SavedView], bob: User
) -> None:
    mine, ours = keep("Mine", "q=harbour"), keep("Ours", "q=港口", is_shared="on")
    room = articles.rsplit("/", 2)[0]
    client.force_login(bob)

    page = shown(client, f"{articles}?view={ours.pk}")

    assert titles(page) == [False, True]
    assert "Shared by Alice" in page and "Mine" not in page
    assert client.get(f"{articles}?view={mine.pk}").status_code == 404
    assert titles(shown(client, f"{articles}?view={mine.pk}&q=")) == [True, True]  # the filters stand for themselves
    for name in ("", "/filters", "/opening", "/delete"):
        assert client.post(f"{room}/views/{mine.pk}{name}", {"name": "x"}).status_code == 404
    unshared = client.post(f"{room}/views/{ours.pk}", {"name": "Ours"})  # bob may change the monitor
    assert unshared.headers["Location"] == f"{articles}?view=all"
    assert client.get(f"{articles}?view={ours.pk}").status_code == 404


def test_viewers_keep_their_own_and_are_offered_no_change_of_others(
    client: Client, articles: str, keep: Callable[..., SavedView], bob: User
) -> None:
    ours = keep("Ours", "q=港口", is_shared="on")
    bob.memberships.update(role="viewer")
    client.force_login(bob)

    page = shown(client, f"{articles}?view={ours.pk}&q=harbour")
    his = keep("His", "q=harbour")

    assert "The filters differ" in page and "Save changes" not in page and "Edit view" not in page
    assert his.owner.user == bob
    answer = client.post(articles.rsplit("/", 2)[0] + f"/views/{ours.pk}/delete")
    assert answer.status_code == 403


def test_views_of_a_monitor_one_may_not_see_are_not_there(
    client: Client,
    articles: str,
    keep: Callable[..., SavedView],
    bob: User,
    actor: Actor,
    api: Callable[..., APIClient],
) -> None:
    ours = keep("Ours", is_shared="on")
    services.change_monitor(actor=actor, monitor=ours.monitor, is_restricted=True)
    client.force_login(bob)
    call = f"/api/v1/monitors/{ours.monitor_id}/views"
    caller = api(actor_of_member(bob, actor.workspace.slug))

    assert client.post(articles.replace("/articles", "/views"), {"name": "x"}).status_code == 404
    assert client.post(articles.rsplit("/", 2)[0] + f"/views/{ours.pk}/delete").status_code == 404
    assert [caller.get(each).status_code for each in (call, f"{call}/{ours.pk}")] == [404, 404]
    assert caller.post(call, {"name": "x", "kind": "articles", "filters": {}}, format="json").status_code == 404


def test_the_row_and_the_open_view_are_said_in_chinese(
    client: Client, articles: str, keep: Callable[..., SavedView]
) -> None:
    view = keep("Harbour", "q=harbour", is_shared="on")

    page = client.get(f"{articles}?view={view.pk}&q=port", headers={"Accept-Language": "zh-hans"}).content.decode()

    for words in ("全部文章", "保存更改", "筛选条件与视图“Harbour”不同", "与工作区共享"):
        assert words in page


def test_programs_keep_read_change_and_delete_views(
    api: Callable[..., APIClient], actor: Actor, brand_monitor: Monitor, recall_topic: Topic
) -> None:
    caller, call = api(actor), f"/api/v1/monitors/{brand_monitor.pk}/views"
    topic = recall_topic.pk
    given = {"name": "Recalls", "kind": "articles", "filters": {"topic": topic, "sentiment": "negative"}}

    made = caller.post(call, given, format="json")
    one = f"{call}/{made.json()['id']}"
    changed = caller.patch(one, {"is_shared": True, "filters": {"topic": str(topic)}}, format="json")
    recall_topic.delete()
    found = caller.get(one)

    assert made.status_code == 201
    assert made.json()["filters"] == {"topic": str(topic), "sentiment": "negative"}
    assert (changed.status_code, changed.json()["is_shared"], changed.json()["owner"]) == (200, True, actor.user.email)
    assert found.json()["gone"] == [{"filter": "topic", "value": str(topic), "name": "Recall"}]
    assert found.json()["query"] == ""
    assert caller.patch(one, {"name": "x"}, format="json", headers={"If-Match": '"old"'}).status_code == 412
    assert [row["name"] for row in caller.get(call, {"kind": "articles"}).json()["results"]] == ["Recalls"]
    assert caller.get(call, {"kind": "trends"}).json()["results"] == []
    assert caller.delete(one).status_code == 204
    assert caller.get(one).status_code == 404


def test_programs_say_with_which_view_a_page_opens_for_each_person_alone(
    client: Client,
    api: Callable[..., APIClient],
    actor: Actor,
    bob: User,
    charlie: User,
    articles: str,
    keep: Callable[..., SavedView],
) -> None:
    first, other = keep("First", "q=harbour", is_shared="on"), keep("Other", "q=port")
    caller, bobs = api(actor), api(actor_of_member(bob, actor.workspace.slug))
    one, two = (f"/api/v1/monitors/{view.monitor_id}/views/{view.pk}" for view in (first, other))

    def opening(who: APIClient) -> list[str]:
        found = who.get(one.rsplit("/", 1)[0]).json()["results"]
        return [row["name"] for row in found if row["is_opening"]]

    answers = [caller.put(f"{each}/opening") for each in (one, two, two)]

    assert [(each.status_code, each.json()["is_opening"]) for each in answers] == [(200, True)] * 3
    assert (opening(caller), opening(bobs)) == (["Other"], [])
    assert client.get(articles).context["bar"].open == other
    assert (caller.get(one).json()["is_opening"], caller.get(two).json()["is_opening"]) == (False, True)
    assert caller.patch(two, {"name": "Another"}, format="json").json()["is_opening"]
    assert caller.delete(f"{one}/opening").status_code == 200 and opening(caller) == ["Another"]
    assert not caller.delete(f"{two}/opening").json()["is_opening"] and opening(caller) == []
    assert [bobs.put(f"{each}/opening").status_code for each in (one, two)] == [200, 404]
    assert api(actor_of_member(charlie, "elsewhere")).put(f"{one}/opening").status_code == 404


@pytest.mark.parametrize(
    ("given", "status", "field"),
    [
        ({"filters": {"sentiment": "furious"}}, 422, "filters.sentiment"),
        ({"filters": {"password": "x"}}, 422, "filters.password"),
        ({"filters": "q=x"}, 422, "filters"),
        ({"filters": {"q": {"deep": 1}}}, 422, "filters"),
        ({"filters": {"language": "\ud800"}}, 422, "filters.language"),
        ({"kind": "trends", "filters": {"dimension": "language", "key": ["\x00"]}}, 422, "filters.key"),
        ({"kind": "everything"}, 422, "kind"),
        ({"name": "x" * 101}, 422, "name"),
        ({"name": "TAKEN"}, 409, "name"),
    ],
)
def test_programs_are_told_which_part_is_wrong(
    api: Callable[..., APIClient], actor: Actor, brand_monitor: Monitor, given: dict[str, Any], status: int, field: str
) -> None:
    caller, call = api(actor), f"/api/v1/monitors/{brand_monitor.pk}/views"
    good = {"name": "Taken", "kind": "articles", "filters": {}}
    assert caller.post(call, good, format="json").status_code == 201

    body = json.dumps({**good, "name": "New", **given})
    answer = caller.post(call, body, content_type="application/json")

    assert answer.status_code == status
    assert [each["field"] for each in answer.json()["errors"]] == [field]


def test_listings_take_a_view_in_place_of_filters_and_say_what_is_gone(
    api: Callable[..., APIClient], actor: Actor, articles: str, keep: Callable[..., SavedView], recall_topic: Topic
) -> None:
    view = keep("Harbour", f"q=harbour&topic={recall_topic.pk}")
    trend = keep("Chinese", "dimension=language&key=zh", place="trends")
    recall_topic.delete()
    caller, call = api(actor), f"/api/v1/monitors/{view.monitor_id}"

    found = caller.get(f"{call}/articles", {"view": view.pk, "limit": 10})
    lines = caller.get(f"{call}/trend", {"view": trend.pk})

    assert [row["title"] for row in found.json()["results"]] == ["Harbour opens"]
    assert (found.headers["X-Lingxi-Gone"], "X-Lingxi-Gone" in lines.headers) == ("topic", False)
    assert [series["key"] for series in lines.json()["series"]] == ["zh"]
    told = caller.get(f"{call}/views/{trend.pk}").json()
    assert caller.get(f"{call}/trend?{told['query']}").json()["series"] == lines.json()["series"]
    refused = caller.get(f"{call}/articles", {"view": view.pk, "sentiment": "negative"})
    assert (refused.status_code, refused.json()["code"]) == (422, "view_and_filters")
    assert caller.get(f"{call}/articles", {"view": trend.pk}).json()["code"] == "other_kind"
    assert [caller.get(f"{call}/articles", {"view": each}).status_code for each in ("x", 2**70)] == [404, 404]


def test_keys_see_and_change_what_their_makers_may(
    api: Callable[..., APIClient], actor: Actor, bob: User, articles: str, keep: Callable[..., SavedView]
) -> None:
    mine, ours = keep("Mine"), keep("Ours", is_shared="on")
    call = f"/api/v1/monitors/{mine.monitor_id}/views"
    bobs = actor_of_member(bob, actor.workspace.slug)
    reader, editor = api(bobs, ["sentiment.read"]), api(bobs)

    assert [row["name"] for row in reader.get(call).json()["results"]] == ["Ours"]
    assert [each.get(f"{call}/{mine.pk}").status_code for each in (reader, editor)] == [404, 404]
    assert reader.patch(f"{call}/{ours.pk}", {"name": "x"}, format="json").status_code == 403
    assert editor.patch(f"{call}/{ours.pk}", {"name": "x"}, format="json").status_code == 200
    assert reader.post(call, {"name": "His", "kind": "articles", "filters": {}}, format="json").status_code == 201
    assert api(bobs, ["datasets.read"]).get(call).status_code == 403
