"""Pages and API of schedules: seen in words, changed, paused and run by who may."""

from typing import Any

from apps.accounts.models import AuditEntry, Membership, User
from core.access import Actor
from core.schedules import services
from core.schedules.actions import Planned
from core.schedules.models import Schedule
from workers import tasks


def scheduled(actor: Actor) -> Schedule:
    return services.create(
        workspace=actor.workspace, by=actor.user, action_name="test.note", name="Morning", arguments={"word": "hi"},
        expression="0 8 * * 1-5", time_zone="Asia/Shanghai",
    )  # fmt: skip


def test_the_list_says_in_words_when_and_how_it_went(
    actor: Actor, page: Any, alice: User, noting: list[Planned]
) -> None:
    schedule = scheduled(actor)
    client, base = page(alice), f"/w/{actor.workspace.slug}/schedules"
    before = client.get(base).content.decode()
    client.post(f"{base}/{schedule.pk}/run")
    tasks.run_schedule(schedule.pk)
    after = client.get(base).content.decode()

    assert "Monday to Friday at 08:00" in before and "Asia/Shanghai" in before and "Noted." not in before
    assert "Noted." in after and len(noting) == 1


def test_alice_changes_pauses_and_deletes_with_entries_in_the_trail(
    actor: Actor, page: Any, alice: User, noting: list[Planned]
) -> None:
    schedule = scheduled(actor)
    client, base = page(alice), f"/w/{actor.workspace.slug}/schedules/{schedule.pk}"
    form = {
        "name": "Evening",
        "expression": "0 20 * * *",
        "time_zone": "UTC",
        "arguments": '{"word": "ho"}',
        "is_enabled": "on",
    }

    wrong = client.post(base, {**form, "expression": "sometimes"})
    client.post(base, form)
    client.post(f"{base}/switch")
    schedule.refresh_from_db()
    assert wrong.status_code == 422 and "cron expression" in wrong.content.decode()
    assert (schedule.name, schedule.arguments, schedule.next_run_at) == ("Evening", {"word": "ho"}, None)
    client.post(f"{base}/delete")

    assert not Schedule.objects.exists()
    trail = AuditEntry.objects.filter(action__startswith="schedule.").order_by("id").values_list("action", flat=True)
    assert list(trail) == ["schedule.change", "schedule.change", "schedule.delete"]


def test_a_viewer_looks_and_a_stranger_sees_nothing(
    actor: Actor, page: Any, bob: User, charlie: User, noting: list[Planned]
) -> None:
    schedule = scheduled(actor)
    Membership.objects.filter(user=bob).update(role="viewer")
    base = f"/w/{actor.workspace.slug}/schedules"
    paths = [f"{base}/{schedule.pk}/{name}" for name in ("run", "switch", "delete")]
    client = page(bob)

    assert client.get(base).status_code == 200 and {client.post(path).status_code for path in paths} == {403}
    client = page(charlie)
    assert client.get(base).status_code == 404 and {client.post(path).status_code for path in paths} == {404}


def test_the_api_creates_changes_runs_and_deletes(actor: Actor, api: Any, noting: list[Planned]) -> None:
    client = api(actor)
    given = {
        "name": "Morning", "action": "test.note", "arguments": {"word": "hi"}, "expression": "0 8 * * *",
        "time_zone": "Asia/Shanghai",
    }  # fmt: skip
    made = client.post("/api/v1/schedules", given, format="json")
    address = f"/api/v1/schedules/{made.json()['id']}"

    assert made.status_code == 201 and made.json()["description"] == "Every day at 08:00"
    assert client.post("/api/v1/schedules", {**given, "action": "os.system"}, format="json").status_code == 422
    assert client.post("/api/v1/schedules", given, format="json").status_code == 409
    assert client.patch(address, {"is_enabled": False}, format="json").json()["next_run_at"] is None
    assert client.post(f"{address}/run").status_code == 202 and client.post(f"{address}/run").status_code == 409
    assert client.delete(address).status_code == 204


def test_a_key_without_the_actions_permission_cannot_schedule_it(actor: Actor, api: Any, noting: list[Planned]) -> None:
    client = api(actor, ["schedules.read", "schedules.write"])
    given = {"name": "Morning", "action": "test.note", "arguments": {}, "expression": "0 8 * * *"}

    assert client.post("/api/v1/schedules", given, format="json").status_code == 403
