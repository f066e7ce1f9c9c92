"""A restricted monitor and everything below it is not there for members who are not named."""

from datetime import time, timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import Model
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.access import actor_of_member
from apps.accounts.models import Membership, User, Workspace
from apps.accounts.services import create_api_key
from apps.notifications.services import create_receiver
from apps.sentiment import services
from apps.sentiment.models import Alert, Monitor, Source, Topic
from apps.sentiment.services.digests import schedule_digest
from core.access import Actor
from core.errors import Refused
from tests.world import FIRST_ID, address, build, routes

METHODS = ("get", "post", "put", "patch", "delete")
HIDDEN = "harbour-in-the-dark"
ALL_OF_THE_WORKSPACE = ("entities/", "why/")  # the table of entities is everybody's; reasons are their asker's
OF_A_MONITOR = ("monitors", "alerts", "rules", "sources", "articles", "silences", "replays", "topics", "backfills",
                "lessons", "scores", "corrections", "digests")  # fmt: skip


@pytest.fixture
def hidden(db: None, bob: User) -> Any:
    """A world whose monitor is restricted; bob, an analyst there, is not named."""
    made: dict[type[Model], Any] = build()
    Monitor.objects.filter(pk=FIRST_ID).update(name=HIDDEN, is_restricted=True, created_by=None)
    Monitor.members.through.objects.all().delete()
    Topic.objects.filter(pk=FIRST_ID).update(monitor=FIRST_ID, name=HIDDEN)
    Source.objects.filter(pk=FIRST_ID).update(name=HIDDEN)
    Alert.objects.filter(pk=FIRST_ID).update(rule_name=HIDDEN)
    Membership.objects.create(workspace=made[Workspace], user=bob, role="analyst")
    return made[Workspace]


def of_a_monitor(path: str) -> bool:
    """Whether an address leads to a row below a monitor."""
    is_skipped = any(f"/{part}" in path for part in ALL_OF_THE_WORKSPACE)
    return not is_skipped and str(FIRST_ID) in path.split("/")


def addresses(slug: str) -> list[str]:
    """Every page and call of the sentiment room that names a row."""
    pages = [(route, given) for route, given in routes() if route.startswith("w/<slug:workspace>/monitors/")]
    calls = [
        (route, given)
        for route, given in routes()
        if route.startswith("api/v1/") and route.removeprefix("api/v1/").split("/")[0] in OF_A_MONITOR
    ]
    found = [address(route, given, slug) for route, given in [*pages, *calls]]
    return [path for path in found if of_a_monitor(path)]


def statuses(client: Any, path: str, **given: Any) -> dict[str, int]:
    return {method: getattr(client, method)(path, **given).status_code for method in METHODS}


def keyed(actor: Actor) -> APIClient:
    """Calls by a key of the actor."""
    _key, secret = create_api_key(actor=actor, name="all", scopes=sorted(actor.permissions))
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def tried(client: Any, path: str) -> dict[str, int]:
    return statuses(client, path, data={}, format="json") if path.startswith("/api/") else statuses(client, path)


def test_members_who_are_not_named_find_nothing_of_it(hidden: Workspace, bob: User) -> None:
    browser, caller = Client(raise_request_exception=False), keyed(actor_of_member(bob, hidden.slug))
    browser.force_login(bob)
    paths = addresses(hidden.slug)

    codes = {path: tried(caller if path.startswith("/api/") else browser, path) for path in paths}

    assert len(paths) > 60
    assert {path: found for path, found in codes.items() if not set(found.values()) <= {404, 405}} == {}
    assert [path for path, found in codes.items() if set(found.values()) == {405}] == []


def test_a_member_who_is_named_finds_it(hidden: Workspace, bob: User) -> None:
    Monitor.objects.get(pk=FIRST_ID).members.add(bob)
    browser = Client(raise_request_exception=False)
    browser.force_login(bob)

    found = [path for path in addresses(hidden.slug) if path.startswith("/w/") and browser.get(path).status_code == 200]

    assert len(found) > 15


def test_lists_leave_it_out(hidden: Workspace, bob: User) -> None:
    browser, caller = Client(), keyed(actor_of_member(bob, hidden.slug))
    browser.force_login(bob)
    room = f"/w/{hidden.slug}/monitors/"
    lists = [room, f"{room}alerts", f"{room}topics", f"{room}topics/new", f"{room}entities"]
    calls = ["/api/v1/monitors", "/api/v1/alerts", "/api/v1/topics"]

    def told() -> dict[str, bool]:
        shown = {path: HIDDEN in browser.get(path).content.decode() for path in lists}
        return shown | {path: HIDDEN in caller.get(path).content.decode() for path in calls}

    before = told()
    Monitor.objects.filter(pk=FIRST_ID).update(is_restricted=False)
    after = told()

    assert not any(before.values())
    assert {path for path, there in after.items() if there} == {*lists, *calls} - {f"{room}entities"}


def test_owners_and_whoever_made_it_see_it_always(
    brand_monitor: Monitor, actor: Actor, bob: User, page: Any, alice: User, workspace: Any
) -> None:
    mine = services.create_monitor(actor=actor_of_member(bob, workspace.slug), name="Mine", is_restricted=True)
    services.change_monitor(actor=actor, monitor=brand_monitor, is_restricted=True)
    addresses = [f"/w/{workspace.slug}/monitors/{each.pk}" for each in (mine, brand_monitor)]

    assert [page(alice).get(path).status_code for path in addresses] == [200, 200]
    assert [page(bob).get(path).status_code for path in addresses] == [200, 404]


def test_it_is_chosen_by_page_and_api(
    brand_monitor: Monitor, actor: Actor, bob: User, charlie: User, page: Any, alice: User, workspace: Any, api: Any
) -> None:
    edit = f"/w/{workspace.slug}/monitors/{brand_monitor.pk}/edit"
    browser = page(alice)
    given = browser.get(edit).context["form"].initial | {"is_restricted": "on", "members": [bob.pk]}
    answer = browser.post(edit, {name: value for name, value in given.items() if value is not None})
    brand_monitor.refresh_from_db()
    client, call = api(actor), f"/api/v1/monitors/{brand_monitor.pk}"

    told = client.get(call).json()
    client.patch(call, {"members": []}, format="json")

    assert (answer.status_code, brand_monitor.is_restricted) == (302, True)
    assert (told["is_restricted"], told["members"]) == (True, [bob.email])
    assert list(brand_monitor.members.all()) == []
    assert client.patch(call, {"members": [charlie.email]}, format="json").status_code == 422
    with pytest.raises(Refused):
        services.change_monitor(actor=actor, monitor=brand_monitor, members=[charlie])


def test_lists_of_jobs_and_schedules_do_not_name_it(
    brand_monitor: Monitor, actor: Actor, bob: User, page: Any, workspace: Any, ruled: Any
) -> None:
    monitor = services.change_monitor(actor=actor, monitor=brand_monitor, is_restricted=True, name=HIDDEN)
    now = timezone.now()
    day = {"begin_at": now - timedelta(days=1), "end_at": now}
    ruled("static", since=now, name=f"{HIDDEN} rule", options={"threshold": 3})
    services.replay(actor=actor, monitor=monitor, **day)
    services.back_test(actor=actor, monitor=monitor, kind="static", name=f"{HIDDEN} draft", **day)
    upload = SimpleUploadedFile(f"{HIDDEN}.csv", b"id,title,published\n1,A,2024-03-05\n")
    services.start_backfill(
        actor=actor, backfill=services.receive_backfill(actor=actor, monitor=monitor, upload=upload)
    )
    receiver, _secret = create_receiver(actor=actor, kind="mail", name="Press", addresses=["press@example.com"])
    schedule_digest(actor=actor, monitor=monitor, period="day", at=time(8), weekday=1, receivers=[receiver])

    browser = page(bob)
    jobs, schedules = (browser.get(f"/w/{workspace.slug}/{name}").content.decode() for name in ("jobs", "schedules"))

    assert HIDDEN not in jobs + schedules
    assert jobs.count(f"#{monitor.pk}") >= 3 and f"#{monitor.pk}" in schedules
