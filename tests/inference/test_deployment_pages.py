"""Deployments as pages and API: who may see and change them, and what they show."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.access import actor_of_member
from apps.accounts.models import Membership, User
from apps.inference import services
from apps.inference.models import Deployment, EventKind, Generation
from apps.registry.models import ModelVersion
from apps.registry.services import move_alias
from core.access import Actor
from core.residents import leave, tell
from words import to_text

Named = Callable[..., ModelVersion]
Deploy = Callable[..., Deployment]
Api = Callable[..., APIClient]
GATE = {"figure": "error_share", "bound": 0.02, "window_minutes": 30, "min_count": 100}


def test_a_rollout_by_the_api(actor: Actor, named_version: Named, api: Api) -> None:
    old, new = named_version(), named_version()
    move_alias(actor=actor, family=old.family, name="champion", version=old)
    client = api(actor)

    made = client.post(
        "/api/v1/deployments",
        {"alias": "bot", "candidate": "bot:2", "candidate_share": 0.25, "gates": [GATE], "is_warm": False},
        format="json",
    )
    assert made.status_code == 201, made.json()
    assert made.json()["alias"] == "bot@champion" and made.json()["gates"] == [GATE]
    address = f"/api/v1/deployments/{made.json()['id']}"
    tag = client.get(address).headers["ETag"]
    changed = client.patch(
        address, {"candidate_share": 0.5, "reason": "calm"}, format="json", headers={"If-Match": tag}
    )
    assert changed.status_code == 200 and changed.json()["candidate_share"] == 0.5
    stale = client.patch(address, {"candidate_share": 0.6}, format="json", headers={"If-Match": tag})
    assert stale.status_code == 412
    back = client.post(f"{address}/rollback", {"reason": "tone"}, format="json")
    assert (back.json()["candidate_share"], back.json()["candidate"]) == (0.0, new.pk)
    done = client.post(f"{address}/promote", {"reason": "better"}, format="json")
    assert (done.json()["version"], done.json()["candidate"]) == (new.pk, None)

    events = client.get(f"{address}/events").json()["results"]
    assert [event["kind"] for event in events] == ["promoted", "rolled_back", "changed", "created"]
    assert events[2]["detail"] == {"before": {"candidate_share": 0.25}, "after": {"candidate_share": 0.5}}
    assert events[2]["reason"] == "calm" and events[2]["by"].startswith("key ")
    figures = client.get(f"{address}/figures?hours=1").json()
    assert [arm["arm"] for arm in figures] == ["stable", "candidate", "shadow"]
    assert client.get("/api/v1/deployments").json()["results"][0]["alias"] == "bot@champion"
    assert client.delete(address).status_code == 204 and not Deployment.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"alias": "nobody"}, "model_version"),
        ({"alias": "bot:1"}, "alias"),
        ({"alias": "bot", "candidate": "bot:1"}, "candidate"),
        ({"alias": "bot", "candidate_share": 2}, "candidate_share"),
        ({"alias": "bot", "gates": [{"figure": "charm", "bound": 1}]}, "gates"),
    ],
)
def test_wrong_bodies_are_refused_by_field(
    actor: Actor, named_version: Named, api: Api, body: dict[str, Any], field: str
) -> None:
    version = named_version()
    move_alias(actor=actor, family=version.family, name="champion", version=version)

    answer = api(actor).post("/api/v1/deployments", body, format="json")

    assert answer.status_code == 422, answer.json()
    assert answer.json()["errors"][0]["field"].startswith(field)


def test_owners_change_viewers_look_and_strangers_see_nothing(
    actor: Actor, bob: User, charlie: User, page: Callable[[User], Client], named_version: Named, deploy: Deploy
) -> None:
    old, new = named_version(), named_version()
    deployment = deploy(old)
    Membership.objects.filter(user=bob).update(role="viewer")
    home = f"/w/{actor.workspace.slug}/deployments"
    change = {"candidate": new.pk, "percent": "12.5", "is_shadow": "on", "reason": "try"}

    assert page(bob).get(f"{home}/{deployment.pk}").status_code == 200
    assert page(bob).post(f"{home}/{deployment.pk}", change).status_code == 403
    assert page(charlie).get(f"{home}/{deployment.pk}").status_code == 404
    assert page(actor.user).post(f"{home}/{deployment.pk}", change).status_code == 302

    deployment.refresh_from_db()
    assert (deployment.candidate, deployment.candidate_share, deployment.is_shadow) == (new, 0.125, True)
    shown = page(actor.user).get(f"{home}/{deployment.pk}").content.decode()
    assert "bot v2 answers 12 % of the requests too, unseen" in shown and "try" in shown
    for verb in ("roll-back", "promote"):
        assert page(bob).post(f"{home}/{deployment.pk}/{verb}").status_code == 403
        assert page(actor.user).post(f"{home}/{deployment.pk}/{verb}").status_code == 302
    kinds = [event.kind for event in deployment.events.order_by("id")]
    assert kinds == [EventKind.CREATED, EventKind.CHANGED, EventKind.ROLLED_BACK, EventKind.PROMOTED]
    assert page(actor.user).post(f"{home}/{deployment.pk}/delete").status_code == 302
    assert "No deployment yet" in page(actor.user).get(home + "/").content.decode()


def test_a_deployment_is_set_up_and_its_rules_are_changed_by_forms(
    actor: Actor, page: Callable[[User], Client], named_version: Named
) -> None:
    version = named_version()
    alias = move_alias(actor=actor, family=version.family, name="champion", version=version)
    home = f"/w/{actor.workspace.slug}/deployments"
    client = page(actor.user)
    given = {
        "alias": alias.pk,
        "sticky": "user",
        "retention_days": "30",
        "is_pinned": "on",
        "error_share_bound": "0.05",
    }

    assert "bot@champion" in client.get(f"{home}/new").content.decode()
    assert client.post(f"{home}/new", given).status_code == 302

    deployment = Deployment.objects.get()
    gate = {"figure": "error_share", "bound": 0.05, "window_minutes": 60, "min_count": 50}
    assert (deployment.retention_days, deployment.is_pinned, deployment.is_warm) == (30, True, False)
    assert deployment.gates == [gate]
    rules = {**given, "error_share_bound": "", "whole_p95_seconds_bound": "2", "whole_p95_seconds_count": "7"}
    assert client.post(f"{home}/{deployment.pk}/settings", rules).status_code == 302
    deployment.refresh_from_db()
    assert deployment.gates == [{"figure": "whole_p95_seconds", "bound": 2.0, "window_minutes": 60, "min_count": 7}]
    assert client.post(f"{home}/{deployment.pk}/settings", {**rules, "sticky": "moon"}).status_code == 422
    assert "p95 of the whole answer" in client.get(f"{home}/{deployment.pk}").content.decode()


def test_the_policy_of_a_deployment_is_named_by_its_form_by_the_api_and_by_the_policys_form(
    actor: Actor, stranger: Actor, api: Api, page: Callable[[User], Client], named_version: Named, deploy: Deploy
) -> None:
    deployment = deploy(named_version())
    strict, mild = (services.create_policy(actor=actor, name=name) for name in ("Strict", "Mild"))
    foreign = services.create_policy(actor=stranger, name="Foreign")
    settings = f"/w/{actor.workspace.slug}/deployments/{deployment.pk}/settings"
    address, client = f"/api/v1/deployments/{deployment.pk}", api(actor)

    form = page(actor.user).get(settings).content.decode()
    assert page(actor.user).post(settings, {"sticky": "user", "guard_policy": strict.pk}).status_code == 302
    by_form = client.get(address).json()["guard_policy"]
    by_api = client.patch(address, {"guard_policy": mild.pk}, format="json").json()["guard_policy"]
    other = client.patch(address, {"guard_policy": foreign.pk}, format="json")
    services.change_policy(actor=actor, policy=strict, deployments=[deployment])
    by_policy = client.get(address).json()["guard_policy"]
    none = client.patch(address, {"guard_policy": None}, format="json").json()["guard_policy"]

    assert "Strict" in form and "Foreign" not in form
    assert (by_form, by_api, by_policy, none) == (strict.pk, mild.pk, strict.pk, None)
    assert (other.status_code, other.json()["code"]) == (422, "unknown_policy")
    told = [event.detail["after"].get("guard_policy") for event in deployment.events.order_by("id")]
    assert told == [None, "Strict", "Mild", "Strict", None]
    assert "Mild" in page(actor.user).get(f"/w/{actor.workspace.slug}/deployments/{deployment.pk}").content.decode()


def test_who_may_not_change_policies_names_none_and_keeps_the_one_that_is_named(
    actor: Actor, bob: User, page: Callable[[User], Client], named_version: Named, deploy: Deploy
) -> None:
    deployment = deploy(named_version())
    strict, mild = (services.create_policy(actor=actor, name=name) for name in ("Strict", "Mild"))
    services.change_deployment(actor=actor, deployment=deployment, guard_policy=strict)
    Membership.objects.filter(user=bob).update(role="analyst")
    settings = f"/w/{actor.workspace.slug}/deployments/{deployment.pk}/settings"
    teammate = actor_of_member(bob, actor.workspace.slug)
    assert teammate.may("registry.write") and not teammate.may("workspace.manage")

    assert "guard_policy" not in page(bob).get(settings).content.decode()
    assert page(bob).post(settings, {"sticky": "user", "guard_policy": mild.pk}).status_code == 302

    deployment.refresh_from_db()
    assert (deployment.sticky, deployment.guard_policy) == ("user", strict)
    with pytest.raises(PermissionDenied):
        services.change_deployment(actor=teammate, deployment=deployment, guard_policy=None)


def test_what_is_in_memory_is_shown_to_its_workspace_only(
    actor: Actor, stranger: Actor, api: Api, page: Callable[[User], Client], named_version: Named, deploy: Deploy
) -> None:
    version = named_version()
    deployment = deploy(version)
    facts = {
        "version": version.pk, "workspace": actor.workspace.pk, "use": "writing", "state": "ready",
        "reason": to_text(""), "bytes": 5_000_000, "loaded_at": 0.0, "last_used_at": None, "is_pinned": True,
        "way": "openvino int8", "equal_share": 0.9375,
    }  # fmt: skip
    tell("generation", "here:1", {"versions": [facts]})
    try:
        found = api(actor).get("/api/v1/loaded-versions").json()
        other = api(stranger).get("/api/v1/loaded-versions").json()
        shown = page(actor.user).get(f"/w/{actor.workspace.slug}/deployments/{deployment.pk}").content.decode()
    finally:
        leave("generation", "here:1")

    assert other == []
    assert [(each["version"], each["state"], each["bytes"]) for each in found] == [(version.pk, "ready", 5_000_000)]
    assert datetime.fromisoformat(found[0]["loaded_at"]) == datetime(1970, 1, 1, tzinfo=UTC)
    assert (found[0]["way"], found[0]["equal_share"]) == ("openvino int8", 0.9375)
    assert "here:1" in shown and "pinned" in shown and "94% of its answers as in fp32" in shown


def test_the_playground_talks_to_deployments_and_versions(
    actor: Actor, page: Callable[[User], Client], named_version: Named, deploy: Deploy
) -> None:
    old, new = named_version(), named_version()
    deployment = deploy(old, candidate=new, candidate_share=1.0)
    home, client = f"/w/{actor.workspace.slug}/predictions/playground", page(actor.user)
    said = {
        "messages": '[{"role": "user", "content": "x"}]', "temperature": 0, "top_p": 1, "top_k": 0,
        "repetition_penalty": 1, "max_tokens": 5,
    }  # fmt: skip

    assert "bot@champion" in client.get(home).content.decode()
    for model in ("bot@champion", str(old.pk)):
        assert client.post(f"{home}/ask", {**said, "model_version": model}).status_code == 200
    refused = client.post(f"{home}/ask", {**said, "model_version": "nobody"})

    assert refused.status_code == 422 and "nobody" in refused.json()["error"]
    rows = Generation.objects.order_by("id").values_list("model_version", "deployment", "arm", "reference")
    assert list(rows) == [(new.pk, deployment.pk, "candidate", "bot@champion"), (old.pk, None, "stable", "bot:1")]


def test_the_chart_counts_requests_by_side(
    actor: Actor, named_version: Named, deploy: Deploy, page: Callable[[User], Client]
) -> None:
    from django.utils import timezone

    from apps.inference.arms import traffic_chart

    deployment = deploy(named_version(), candidate=named_version(), candidate_share=0.5)
    for arm in ("stable", "stable", "candidate"):
        Generation.objects.create(
            workspace=actor.workspace, model_version=deployment.alias.version, deployment=deployment, arm=arm,
            reference="bot", kind="chat", seed=1, state="done", finished_at=timezone.now(),
        )  # fmt: skip

    chart = traffic_chart(deployment, hours=24)

    assert [(series["name"], sum(series["values"])) for series in chart["series"]] == [("Stable", 2), ("Candidate", 1)]
