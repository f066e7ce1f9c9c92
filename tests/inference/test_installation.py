"""The whole installation for its operators: numbers of all workspaces, and no text of any."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User, Workspace
from apps.inference.memory import ROLE
from apps.inference.models import Generation, GenerationState
from core.jobs.models import Job
from core.jobs.states import State
from core.residents import leave, tell

SECRET = "a secret of dora"


@pytest.fixture
def busy(db: None, workspace: Workspace, named_version: Callable[..., Any]) -> Any:
    """A running and a late job, a waiting chat and a version in memory, of a workspace that guards its texts."""
    version, now = named_version(name=SECRET), timezone.now()
    job = {"workspace": workspace, "title": SECRET, "queue": "train", "kind": "training.run"}
    lease = {"worker": "host:1", "lease_expires_at": now + timedelta(minutes=1), "started_at": now}
    Job.objects.create(**job, state=State.RUNNING, **lease)
    Job.objects.create(**job, state=State.QUEUED, run_after=now - timedelta(minutes=5))
    Generation.objects.create(
        workspace=workspace, model_version=version, reference=SECRET, kind="chat", seed=1,
        state=GenerationState.WAITING, messages=[{"role": "user", "content": SECRET}],
    )  # fmt: skip
    held = {"version": version.pk, "workspace": workspace.pk, "use": "generate", "state": "ready", "reason": SECRET}
    held |= {
        "bytes": 7_000_000,
        "loaded_at": 1.0,
        "last_used_at": 2.0,
        "is_pinned": True,
        "way": "",
        "equal_share": None,
    }
    tell(ROLE, "host:2", {"versions": [held]})
    yield version
    leave(ROLE, "host:2")


def test_operators_see_numbers_of_all_workspaces_and_no_texts(busy: Any, charlie: User, workspace: Workspace) -> None:
    User.objects.filter(pk=charlie.pk).update(is_operator=True)
    client = Client()
    client.force_login(charlie)

    page = client.get("/installation")
    answer = client.get("/api/v1/installation").json()

    assert page.status_code == 200 and SECRET not in page.content.decode()
    assert SECRET not in str(answer)
    queues = {queue["name"]: queue for queue in answer["queues"]}
    assert (queues["train"]["running"], queues["train"]["queued"]) == (1, 1) and queues["train"]["oldest_at"]
    assert [(each["name"], each["queue"]) for each in answer["workers"]] == [
        ("host:1", "train"),
        ("host:2", "generation"),
    ]
    assert answer["places"] == [
        {"workspace": workspace.name, "running": 0, "waiting": 1, "versions": 1, "bytes": 7_000_000}
    ]
    assert [(each["version"], each["is_pinned"]) for each in answer["memory"]] == [(busy.pk, True)]
    assert (answer["waiting"], answer["bytes"]) == (1, 7_000_000)


def test_an_owner_of_a_workspace_is_no_operator(busy: Any, alice: User, actor: Any, api: Callable[..., Any]) -> None:
    client = Client()
    assert client.get("/installation").status_code == 302
    client.force_login(alice)

    assert client.get("/installation").status_code == 404
    assert client.get("/api/v1/installation").status_code == 404
    User.objects.filter(pk=alice.pk).update(is_operator=True)
    assert api(actor).get("/api/v1/installation").status_code == 403


def test_a_larger_installation_costs_no_more_queries(
    busy: Any, alice: User, django_assert_max_num_queries: Any
) -> None:
    User.objects.filter(pk=alice.pk).update(is_operator=True)
    client = Client()
    client.force_login(alice)
    job = Job.objects.filter(state=State.RUNNING).get()
    for _each in range(5):
        job.pk = None
        job.save()

    with django_assert_max_num_queries(14):
        client.get("/installation")
