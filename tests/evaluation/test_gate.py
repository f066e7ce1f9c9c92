"""The gate: a protected alias names only what passed its suite; who asked, who approved and what was found is kept."""

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from apps.accounts.access import actor_of_member
from apps.accounts.models import AuditEntry, Membership
from apps.datasets.models import DatasetVersion
from apps.evaluation import services
from apps.evaluation.models import EvaluationJob, Gate, Suite
from apps.evaluation.services import CheckPlan
from apps.registry import services as registry
from apps.registry.models import Alias, AliasMove, ModelVersion
from apps.registry.selectors import card_of
from core.access import Actor
from core.errors import Refused

Version = Callable[..., ModelVersion]
Made = Callable[..., Suite]
Evaluated = Callable[..., EvaluationJob]
Page = Callable[[Any], Any]
Api = Callable[..., Any]


@pytest.fixture
def passing(version: Version, evaluated: Evaluated) -> ModelVersion:
    """The better of two measured versions."""
    rows = [evaluated(version(seed)) for seed in (1, 2, 3)]
    ranked = sorted(rows, key=lambda row: row.headline["accuracy"]["value"])
    assert ranked[0].headline["accuracy"]["value"] < ranked[-1].headline["accuracy"]["value"]
    return ranked[-1].model_version


@pytest.fixture
def failing(passing: ModelVersion) -> ModelVersion:
    """The worst version of the same family."""
    rows = EvaluationJob.objects.select_related("model_version__family")
    return min(rows, key=lambda row: row.headline["accuracy"]["value"]).model_version


@pytest.fixture
def gate(actor: Actor, suite: Made, data: DatasetVersion, passing: ModelVersion, failing: ModelVersion) -> Gate:
    """Lets the passing version through and keeps the failing one out; both were run."""
    threshold = EvaluationJob.objects.get(model_version=passing).headline["accuracy"]["value"]
    made = suite(CheckPlan(data, "accuracy", threshold), CheckPlan(data, "loss", 1000.0, direction="<="))
    gate = services.set_gate(actor=actor, family=passing.family, suite=made, aliases=["champion", "production"])
    assert gate is not None
    for version in (passing, failing):
        services.run_suite(actor=actor, suite=made, model_version=version)
    return gate


@pytest.fixture
def four_eyes(workspace: Any, actor: Actor, bob: Any) -> Actor:
    """Bob as an admin, in a workspace where a second person approves."""
    workspace.four_eyes = actor.workspace.four_eyes = True
    workspace.save()
    Membership.objects.filter(user=bob).update(role="admin")
    return actor_of_member(bob, workspace.slug)


def move(actor: Actor, version: ModelVersion, name: str = "champion", **more: Any) -> Alias:
    return services.move_alias(actor=actor, family=version.family, name=name, version=version, **more)


def test_a_protected_alias_is_kept_from_a_version_that_fails_with_every_figure_that_failed(
    actor: Actor, gate: Gate, failing: ModelVersion
) -> None:
    with pytest.raises(Refused) as refused:
        move(actor, failing)

    assert (refused.value.code, refused.value.status) == ("gate_not_passed", 409)
    codes = [(problem.code, problem.field) for problem in refused.value.problems]
    assert codes == [("gate_not_passed", ""), ("check_failed", "accuracy")]
    assert "the suite wants >=" in str(refused.value.problems[1].message)
    assert not Alias.objects.exists()


def test_a_version_that_passed_becomes_champion_and_the_history_says_why(
    actor: Actor, gate: Gate, passing: ModelVersion
) -> None:
    move(actor, passing, evidence={"ticket": "AB-1", "gate": {"suite": "forged"}, "approval": "forged"})

    evidence = AliasMove.objects.get().evidence
    assert evidence["ticket"] == "AB-1" and "approval" not in evidence
    assert evidence["gate"]["suite"]["hash"] == gate.suite.content_hash
    assert evidence["gate"]["verdict"] == "passed"
    measured = EvaluationJob.objects.get(model_version=passing).headline["accuracy"]
    assert {side: evidence["gate"]["checks"][0][side] for side in measured} == measured


def test_other_aliases_move_freely(actor: Actor, gate: Gate, failing: ModelVersion) -> None:
    assert move(actor, failing, "candidate").version == failing
    assert "gate" not in AliasMove.objects.get().evidence


def test_the_registry_itself_moves_no_protected_alias_without_the_gate(
    actor: Actor, gate: Gate, passing: ModelVersion
) -> None:
    with pytest.raises(Refused, match="protected"):
        registry.move_alias(
            actor=actor, family=passing.family, name="production", version=passing, evidence={"note": "trust me"}
        )


def test_a_version_that_was_never_run_waits_outside(actor: Actor, gate: Gate, version: Version) -> None:
    with pytest.raises(Refused) as refused:
        move(actor, version(9))

    assert {problem.code for problem in refused.value.problems} == {"gate_not_passed", "check_waiting"}


def test_one_click_goes_back_to_a_version_that_stood_there_before_the_gate(
    actor: Actor, suite: Made, data: DatasetVersion, passing: ModelVersion, failing: ModelVersion, four_eyes: Actor
) -> None:
    actor.workspace.four_eyes = False
    move(actor, failing)
    made = suite(
        CheckPlan(data, "accuracy", EvaluationJob.objects.get(model_version=passing).headline["accuracy"]["value"])
    )
    services.set_gate(actor=actor, family=passing.family, suite=made, aliases=["champion"])
    services.run_suite(actor=actor, suite=made, model_version=passing)
    move(actor, passing)
    actor.workspace.four_eyes = True

    alias = registry.rollback_alias(actor=actor, family=passing.family, name="champion", reason="it answers nonsense")

    assert alias.version == failing
    assert AliasMove.objects.latest("id").kind == "rollback"
    with pytest.raises(Refused, match="second person"):
        move(four_eyes, passing)


def test_a_second_person_approves_and_the_alias_moves(
    actor: Actor, gate: Gate, passing: ModelVersion, four_eyes: Actor
) -> None:
    with pytest.raises(Refused, match="second person"):
        move(actor, passing, "production")
    asked = registry.request_approval(actor=actor, version=passing, alias="production", reason="best so far")
    with pytest.raises(Refused, match="yourself"):
        services.approve(actor=actor, approval=asked)
    assert not Alias.objects.exists()

    done = services.approve(actor=four_eyes, approval=asked, note="looked at 50 rows")

    assert Alias.objects.get(name="production").version == passing
    kept = AliasMove.objects.get()
    assert kept.by == "bob@example.org" and kept.reason == "best so far"
    assert kept.evidence["approval"]["asked_by"] == "alice@example.org"
    assert kept.evidence["approval"]["approved_by"] == "bob@example.org"
    assert kept.evidence["approval"]["is_self_approval"] is False
    assert kept.evidence["gate"] == done.evidence["gate"]
    entry = AuditEntry.objects.get(action="approval.approved")
    assert entry.detail["suite_hash"] == gate.suite.content_hash


def test_nobody_approves_what_did_not_pass(actor: Actor, gate: Gate, failing: ModelVersion, four_eyes: Actor) -> None:
    asked = registry.request_approval(actor=actor, version=failing, alias="champion")

    with pytest.raises(Refused, match="has not passed"):
        services.approve(actor=four_eyes, approval=asked)

    asked.refresh_from_db()
    assert asked.decision == "open"
    registry.reject(actor=four_eyes, approval=asked)


def test_self_approval_is_recorded_where_one_person_may_decide(actor: Actor, gate: Gate, passing: ModelVersion) -> None:
    asked = registry.request_approval(actor=actor, version=passing, alias="champion")

    services.approve(actor=actor, approval=asked)

    assert AliasMove.objects.get().evidence["approval"]["is_self_approval"] is True
    assert "Approved by the person who asked" in card_of(passing).generated


def test_the_card_shows_suite_thresholds_figures_and_who_decided(
    actor: Actor, gate: Gate, passing: ModelVersion, four_eyes: Actor
) -> None:
    registry.edit_card(actor=actor, version=passing, limits="Not for medical texts.")
    asked = registry.request_approval(actor=actor, version=passing)

    services.approve(actor=four_eyes, approval=asked)

    card = card_of(passing)
    assert (card.number, card.limits) == (3, "Not for medical texts.")
    for words in ("## Evidence", gate.suite.content_hash, "<= 1000.0", "bob@example.org", "| passed |"):
        assert words in card.generated


def test_a_gate_that_is_taken_away_no_longer_holds(actor: Actor, gate: Gate, failing: ModelVersion) -> None:
    with pytest.raises(Refused, match="requires this suite"):
        services.delete_suite(actor=actor, suite=gate.suite)

    services.set_gate(actor=actor, family=failing.family, suite=None)

    assert move(actor, failing).version == failing
    services.delete_suite(actor=actor, suite=gate.suite)


@pytest.mark.parametrize(("aliases", "task"), [([], ""), (["Champion"], ""), (["champion"], "generation")])
def test_a_gate_needs_aliases_and_a_suite_for_the_task(
    actor: Actor, suite: Made, version: Version, aliases: list[str], task: str
) -> None:
    wanted = services.create_suite(actor=actor, name="Other", task=task) if task else suite()

    with pytest.raises(Refused):
        services.set_gate(actor=actor, family=version().family, suite=wanted, aliases=aliases)


def address(name: str, /, **kwargs: Any) -> str:
    return reverse(f"evaluation:{name}", kwargs={"workspace": "harbour", **kwargs})


def test_the_whole_way_by_page(
    page: Page, alice: Any, bob: Any, data: DatasetVersion, passing: ModelVersion, failing: ModelVersion, four_eyes: Any
) -> None:
    value = EvaluationJob.objects.get(model_version=passing).headline["accuracy"]["value"]
    browser = page(alice)
    browser.post(address("new_suite"), {"name": "Release", "task": "classification"})
    suite = Suite.objects.get()
    check = {"dataset_version": data.pk, "split": "test", "figure": "accuracy", "direction": ">=", "threshold": value}
    assert browser.post(address("suite", pk=suite.pk), {**check, "bound": "value"}).status_code == 302
    assert browser.post(address("suite", pk=suite.pk), {**check, "bound": "value", "figure": "joy"}).status_code == 422
    for version in (passing, failing):
        browser.post(address("run_suite", pk=suite.pk), {"model_version": version.pk})
    family = passing.family_id
    browser.post(address("set_gate", family_pk=family), {"suite": suite.pk, "aliases": "champion, production"})

    shown = browser.get(address("suite", pk=suite.pk)).content.decode()
    refused = browser.post(address("move", family_pk=family), {"name": "champion", "version": failing.pk})
    browser.post(address("request_approval", version_pk=passing.pk), {"alias": "champion", "reason": "good"})
    part = browser.get(address("version_gate", version_pk=passing.pk)).content.decode()
    answered = page(bob).post(address("decide", pk=passing.approvals.get().pk), {"decision": "approve"})

    assert "passed" in shown and "failed" in shown
    assert refused.status_code == 409 and "the suite wants &gt;=" in refused.content.decode()
    assert "required" in part and "Waiting" in part
    assert answered.status_code == 302 and Alias.objects.get().version == passing
    history = page(bob).get(reverse("registry:family", kwargs={"workspace": "harbour", "pk": family})).content.decode()
    assert "asked by alice@example.org, approved by bob@example.org" in history
    assert (
        "may only name versions that passed" in page(bob).get(address("family_gate", family_pk=family)).content.decode()
    )


def test_an_analyst_runs_suites_but_neither_gates_nor_approves(
    gate: Gate, passing: ModelVersion, actor: Actor, page: Page, bob: Any, charlie: Any
) -> None:
    asked = registry.request_approval(actor=actor, version=passing)
    places = [address("suites"), address("suite", pk=gate.suite_id), address("version_gate", version_pk=passing.pk)]

    for place in places:
        assert page(bob).get(place).status_code == 200
        assert page(charlie).get(place).status_code == 404
    run = {"model_version": passing.pk, "back": "version"}
    assert page(bob).post(address("run_suite", pk=gate.suite_id), run).status_code == 302
    assert page(bob).post(address("set_gate", family_pk=passing.family_id), {"suite": ""}).status_code == 403
    assert page(bob).post(address("decide", pk=asked.pk), {"decision": "approve"}).status_code == 403
    assert page(charlie).post(address("run_suite", pk=gate.suite_id), run).status_code == 404
    Membership.objects.filter(user=bob).update(role="viewer")
    assert page(bob).post(address("run_suite", pk=gate.suite_id), run).status_code == 403


def test_the_whole_way_by_api(
    api: Api, actor: Actor, four_eyes: Actor, data: DatasetVersion, passing: ModelVersion, failing: ModelVersion,
    stranger: Actor,
) -> None:  # fmt: skip
    value = EvaluationJob.objects.get(model_version=passing).headline["accuracy"]["value"]
    client, second = api(actor), api(four_eyes)
    check = {"dataset_version": data.pk, "figure": "accuracy", "threshold": value}
    made = client.post(
        "/api/v1/suites", {"name": "Release", "task": "classification", "checks": [check]}, format="json"
    )
    suite = made.json()["id"]
    ran = [
        client.post(f"/api/v1/suites/{suite}/runs", {"model_version": str(version.pk)}, format="json").json()
        for version in (passing, failing)
    ]
    assert [found["state"] for found in ran] == ["passed", "failed"]
    frozen = client.put(f"/api/v1/suites/{suite}/checks", {"checks": [check]}, format="json")
    assert (frozen.status_code, frozen.json()["code"]) == (409, "suite_sealed")
    family = passing.family_id
    gate = client.put(f"/api/v1/models/{family}/gate", {"suite": suite, "aliases": ["champion"]}, format="json")
    assert gate.json() == {"suite": suite, "aliases": ["champion"]}

    refused = client.post(
        f"/api/v1/models/{family}/aliases", {"name": "champion", "version": failing.pk}, format="json"
    )
    asked = client.post(f"/api/v1/model-versions/{passing.pk}/approvals", {"alias": "champion"}, format="json").json()
    own = client.post(f"/api/v1/approvals/{asked['id']}/decision", {"decision": "approve"}, format="json")
    done = second.post(f"/api/v1/approvals/{asked['id']}/decision", {"decision": "approve"}, format="json")

    assert refused.status_code == 409
    assert [problem["code"] for problem in refused.json()["errors"]] == ["gate_not_passed", "check_failed"]
    assert (own.status_code, own.json()["code"]) == (409, "four_eyes")
    assert done.json()["evidence"]["gate"]["verdict"] == "passed"
    [move] = client.get(f"/api/v1/models/{family}/alias-moves").json()["results"]
    assert move["to_version_id"] == passing.pk and move["evidence"]["gate"]["suite"]["id"] == suite
    [verdict] = client.get(f"/api/v1/model-versions/{passing.pk}/suites").json()
    assert (verdict["is_required"], verdict["checks"][0]["value"]) == (True, value)
    revised = client.post(f"/api/v1/suites/{suite}/revisions").json()
    assert (revised["revision"], revised["is_sealed"], len(revised["checks"])) == (2, False, 1)
    assert client.delete(f"/api/v1/suites/{suite}").status_code == 409
    assert client.delete(f"/api/v1/models/{family}/gate").status_code == 204
    assert client.get(f"/api/v1/models/{family}/gate").status_code == 404
    assert api(stranger).get(f"/api/v1/suites/{suite}").status_code == 404
