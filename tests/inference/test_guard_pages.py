"""Pages and API of policies, decisions and usage: alice may, bob may as his role says, charlie sees nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import ApiKey, AuditEntry, User, Workspace
from apps.inference import services
from apps.inference.models import Generation, GuardDecision, GuardPolicy, Usage
from core.access import Actor
from core.dependents import dependents

MAIL = "ana@example.com"
GUARDS = ("personal_input", "personal_output", "terms_input", "terms_output", "injection_input", "classifier_input")
OFF = dict.fromkeys((*GUARDS, "classifier_output"), "off")
REDACTING = {"personal_input": "redact"}
FORM = {**OFF, "name": "House", "injection_threshold": "0.6", "classifier_threshold": "0.5"}


@pytest.fixture
def visitor(db: None) -> Callable[[User], Client]:
    """A browser in which somebody is logged in."""

    def log_in(user: User) -> Client:
        made = Client()
        made.force_login(user)
        return made

    return log_in


@pytest.fixture
def policy(actor: Actor) -> GuardPolicy:
    return services.create_policy(actor=actor, name="House", is_default=True, personal_input="redact")


@pytest.fixture
def used(workspace: Workspace) -> Usage:
    row = {"workspace": workspace, "day": timezone.now().date(), "version_id": 3, "version_name": "bot:1"}
    counts = {"requests": 4, "errors": 1, "prompt_tokens": 70, "answer_tokens": 30, "seconds": 2.5}
    Usage.objects.create(**row | {"version_id": 4, "version_name": "=other:2"}, requests=2)
    return Usage.objects.create(**row, key_id=9, key_name="shop", **counts)


def test_a_policy_is_made_changed_tried_and_deleted_on_pages(
    visitor: Callable[[User], Client], alice: User, workspace: Workspace
) -> None:
    page, base = visitor(alice), f"/w/{workspace.slug}/predictions/guards"
    assert page.get(base).status_code == 200

    made = page.post(f"{base}/new", {**FORM, "is_default": "on", "terms": "badword\n赌博", "terms_input": "block"})
    policy = GuardPolicy.objects.get()
    assert made.status_code == 302 and policy.terms == ["badword", "赌博"] and policy.is_default
    page.post(f"{base}/{policy.pk}", {**FORM, "name": "New house", "terms": "badword", "personal_input": "redact"})
    policy.refresh_from_db()
    assert (policy.name, policy.terms, policy.personal_input) == ("New house", ["badword"], "redact")
    shown = page.get(f"{base}/{policy.pk}").content.decode()
    assert "badword" in shown and "New house" in shown

    tried = page.post(f"{base}/{policy.pk}/test", {"text": f"I am {MAIL}", "direction": "input"}).content.decode()
    assert "I am [EMAIL]" in tried and not GuardDecision.objects.exists()

    assert page.post(f"{base}/{policy.pk}/delete").status_code == 302
    assert not GuardPolicy.objects.exists()


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"terms": "!!!"}, {"classifier_input": "block"}, {"injection_input": "redact"}]
)
def test_a_form_that_cannot_be_says_why(
    visitor: Callable[[User], Client], alice: User, workspace: Workspace, wrong: dict[str, str]
) -> None:
    answer = visitor(alice).post(f"/w/{workspace.slug}/predictions/guards/new", {**FORM, **wrong})

    assert answer.status_code == 422 and "lx-field-error" in answer.content.decode()
    assert not GuardPolicy.objects.exists()


def test_a_teammate_reads_and_may_not_change(
    visitor: Callable[[User], Client], bob: User, charlie: User, workspace: Workspace, policy: GuardPolicy
) -> None:
    base = f"/w/{workspace.slug}/predictions/guards"
    mate, stranger = visitor(bob), visitor(charlie)

    assert mate.get(f"{base}/{policy.pk}").status_code == 200
    assert mate.post(f"{base}/{policy.pk}", FORM).status_code == 403
    assert mate.post(f"{base}/{policy.pk}/delete").status_code == 403
    assert stranger.get(base).status_code == stranger.get(f"{base}/{policy.pk}").status_code == 404


def test_decisions_are_listed_and_filtered(
    visitor: Callable[[User], Client], alice: User, actor: Actor, workspace: Workspace, policy: GuardPolicy
) -> None:
    services.screen(actor, policy, [f"I am {MAIL}"])
    guarded = services.guard_input(actor, policy, [f"I am {MAIL}"])
    services.guarding.keep_decisions(guarded.decisions, policy=policy, workspace=workspace, direction="input")
    base = f"/w/{workspace.slug}/predictions/guards"

    shown = visitor(alice).get(base).content.decode()
    none = visitor(alice).get(f"{base}?action=block").content.decode()

    assert "e-mail addresses" in shown and MAIL not in shown
    assert "e-mail addresses" not in none


def test_the_api_does_what_the_pages_do(api: Callable[..., Any], actor: Actor) -> None:
    client = api(actor)
    made = client.post("/api/v1/guard-policies", {"name": "House", "personal_input": "redact"}, format="json")
    policy = GuardPolicy.objects.get()
    address = f"/api/v1/guard-policies/{policy.pk}"
    assert made.status_code == 201 and made.json()["personal_input"] == "redact"

    changed = client.patch(address, {"terms": ["badword"], "terms_input": "block"}, format="json")
    assert changed.status_code == 200 and changed.json()["terms"] == ["badword"]
    tried = client.post(f"{address}/test", {"text": f"B4dword {MAIL}"}, format="json").json()
    assert (tried["is_blocked"], tried["text"]) == (True, "B4dword [EMAIL]")
    assert {each["stage"]: each["spans"] for each in tried["decisions"]} == {"personal": [[8, 23]], "terms": [[0, 7]]}
    refused = client.patch(address, {"injection_input": "redact"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_action")
    assert client.post("/api/v1/guard-policies", {"name": "house"}, format="json").status_code == 409
    assert client.patch(address, {"classifier": 10**12}, format="json").status_code == 404
    assert client.get("/api/v1/guard-decisions?stage=terms").json()["results"] == []
    assert client.delete(address).status_code == 204


def test_usage_is_shown_filtered_and_given_out(
    visitor: Callable[[User], Client],
    alice: User,
    api: Callable[..., Any],
    actor: Actor,
    workspace: Workspace,
    used: Usage,
) -> None:
    page, base = visitor(alice), f"/w/{workspace.slug}/predictions/usage"

    shown = page.get(base).content.decode()
    only = page.get(f"{base}?key=9").content.decode()
    file = b"".join(page.get(f"{base}/export.csv?key=9").streaming_content).decode()
    rows = api(actor).get("/api/v1/usage?version=3").json()["results"]
    sheet = b"".join(api(actor).get("/api/v1/usage/export.spreadsheet").streaming_content).decode()

    assert "shop" in shown and "=other:2" in shown
    assert "<td" in only and "=other:2</td>" not in only
    today = timezone.now().date().isoformat()
    assert file.splitlines()[1] == f"{today},9,shop,3,bot:1,request,4,1,70,0,30,2.5"
    assert [(row["key_name"], row["requests"]) for row in rows] == [("shop", 4)]
    assert "'=other:2" in sheet
    assert page.get(f"{base}/export.exe").status_code == 404
    assert page.get(f"{base}?since=nonsense").status_code == 200


def test_limits_of_a_key_are_set_on_its_page_and_by_api(
    visitor: Callable[[User], Client],
    alice: User,
    bob: User,
    api: Callable[..., Any],
    actor: Actor,
    workspace: Workspace,
) -> None:
    client = api(actor)
    key = ApiKey.objects.get()
    page, address = visitor(alice), f"/w/{workspace.slug}/settings/keys/{key.pk}/limits"

    assert page.get(address).status_code == 200
    assert page.post(address, {"requests_per_minute": "0"}).status_code == 422
    assert page.post(address, {"requests_per_minute": "50", "tokens_per_minute": ""}).status_code == 302
    assert visitor(bob).get(address).status_code == 403
    patched = client.patch(f"/api/v1/api-keys/{key.pk}", {"concurrent_requests": 3}, format="json")

    key.refresh_from_db()
    assert (key.requests_per_minute, key.tokens_per_minute, key.concurrent_requests) == (50, None, 3)
    assert patched.json()["requests_per_minute"] == 50 and patched["RateLimit-Limit"] == "50"
    assert client.patch(f"/api/v1/api-keys/{key.pk}", {"concurrent_requests": 0}, format="json").status_code == 422
    assert AuditEntry.objects.filter(action="api_key.limit").count() == 2


def test_the_workspace_sets_limits_of_its_keys_and_a_quota(
    visitor: Callable[[User], Client], alice: User, bob: User, workspace: Workspace
) -> None:
    address = f"/w/{workspace.slug}/settings/limits"

    assert visitor(bob).get(address).status_code == 200
    assert visitor(bob).post(address, {"tokens_per_month": "5"}).status_code == 403
    assert visitor(alice).post(address, {"tokens_per_month": "-1"}).status_code == 422
    assert (
        visitor(alice).post(address, {"tokens_per_month": "5000", "key_requests_per_minute": "60"}).status_code == 302
    )

    workspace.refresh_from_db()
    assert (workspace.tokens_per_month, workspace.key_requests_per_minute) == (5000, 60)


def test_the_playground_goes_by_the_guards(
    visitor: Callable[[User], Client], alice: User, workspace: Workspace, actor: Actor, chat_version: Any
) -> None:
    version = chat_version()
    policy = services.create_policy(actor=actor, name="House", is_default=True, personal_output="log", **REDACTING)
    base = f"/w/{workspace.slug}/predictions/playground/ask"
    asked = {"model_version": version.pk, "max_tokens": 8, "temperature": 1, "top_p": 1, "top_k": 0}
    asked |= {"repetition_penalty": 1, "probabilities": "on"}
    said = {**asked, "messages": json.dumps([{"role": "user", "content": f"I am {MAIL}"}])}

    answer = visitor(alice).post(base, said)
    row = Generation.objects.get()
    services.change_policy(actor=actor, policy=policy, personal_input="block")
    blocked = visitor(alice).post(base, said)

    assert answer.status_code == 200 and row.messages == [{"role": "user", "content": "I am [EMAIL]"}]
    assert (row.guard_policy, row.sampling["logprobs"]) == (policy, None)
    assert blocked.status_code == 422 and "House" in blocked.json()["error"]
    assert Generation.objects.count() == 1


def test_a_classifier_that_guards_cannot_be_deleted(actor: Actor, classifier_version: Any) -> None:
    version = classifier_version()
    services.create_policy(
        actor=actor, name="House", classifier=version, classifier_labels=["card"], classifier_input="log"
    )

    assert dependents(version) == ["guard policy House"]
