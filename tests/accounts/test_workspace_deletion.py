"""Deleting a workspace: closed at once, everything goes, nothing of others does."""

from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models
from django.test import Client

from apps.accounts import services
from apps.accounts.access import actor_of_key
from apps.accounts.models import AuditEntry, Membership, User, Workspace
from apps.notifications.services import notify
from core.jobs import services as jobs
from core.jobs.models import Job
from core.jobs.states import State
from core.storage import workspace_folder
from workers.loop import run_next


def ask(user: User, workspace: Any, name: str = "Harbour") -> Any:
    client = Client()
    client.force_login(user)
    return client.post(f"/w/{workspace.slug}/settings/delete", {"name": name})


def test_only_an_owner_who_types_the_name_deletes(workspace: Any, alice: User, bob: User, charlie: User) -> None:
    Membership.objects.filter(user=bob).update(role="admin")

    codes = [
        ask(charlie, workspace).status_code,
        ask(bob, workspace).status_code,
        ask(alice, workspace, "harbor").status_code,
    ]

    assert codes == [404, 403, 200]
    workspace.refresh_from_db()
    assert workspace.deleting_at is None


def test_from_the_moment_it_is_asked_nobody_enters_and_nothing_runs(workspace: Any, alice: User, actor: Any) -> None:
    _key, secret = services.create_api_key(actor=actor, name="k", scopes=["datasets.read"])
    waiting = jobs.create(kind="test", workspace=workspace, queue="train", title="Waiting")
    running = jobs.create(kind="test", workspace=workspace, queue="infer", title="Running")
    run = jobs.claim(queue="infer", worker="w")
    assert run is not None

    answer = ask(alice, workspace)

    client = Client()
    client.force_login(alice)
    waiting.refresh_from_db()
    running.refresh_from_db()
    assert answer["Location"] == "/workspaces"
    assert client.get(f"/w/{workspace.slug}/settings/").status_code == 404
    assert b"Is being deleted" in client.get("/workspaces").content
    assert actor_of_key(secret, None) is None
    assert waiting.state == State.CANCELLED and running.stop_requested == "cancel"


def test_the_job_removes_rows_and_files_and_leaves_other_workspaces_alone(
    workspace: Any, alice: User, actor: Any, stranger: Any, settings: Any, tmp_path: Any
) -> None:
    settings.HOME = tmp_path
    for place, user in ((workspace, alice), (stranger.workspace, stranger.user)):
        (workspace_folder(place.pk, "uploads") / "a.csv").write_text("text")
        jobs.create(kind="test", workspace=place, queue="train", title="Job", by=user)
        notify(workspace=place, user=user, kind="job.failed", event_key="x", title="t")
    services.create_api_key(actor=actor, name="k", scopes=["datasets.read"])
    services.invite(actor=actor, role="viewer")
    ask(alice, workspace)

    assert run_next("io") is not None

    assert not Workspace.objects.filter(pk=workspace.pk).exists()
    assert left_behind(workspace.pk) == []
    assert not (tmp_path / "files" / str(workspace.pk)).exists()
    assert (tmp_path / "files" / str(stranger.workspace.pk) / "uploads" / "a.csv").exists()
    assert Job.objects.filter(workspace=stranger.workspace).count() == 1
    assert User.objects.filter(pk=alice.pk).exists()
    assert AuditEntry.objects.filter(workspace_id=workspace.pk, action="workspace.erased").exists()


def left_behind(workspace_id: int) -> list[str]:
    """Tables with a workspace column that still name the workspace; dangling keys would fail here too."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    columns = [
        field
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, models.ForeignKey) and field.related_model is Workspace
    ]
    return [
        field.model._meta.label
        for field in columns
        if field.model._default_manager.filter(**{field.attname: workspace_id}).exists()
    ]


def test_the_deletion_waits_for_a_running_job_to_let_go(workspace: Any, alice: User) -> None:
    jobs.create(kind="test", workspace=workspace, queue="infer", title="Running")
    run = jobs.claim(queue="infer", worker="w")
    assert run is not None
    ask(alice, workspace)
    job = Job.objects.get(kind="accounts.delete_workspace")

    assert services.others_at_work(job) == 1
    run.stop("cancel")
    assert services.others_at_work(job) == 0


def test_a_job_that_slipped_in_is_cancelled_before_rows_go(workspace: Any, alice: User) -> None:
    ask(alice, workspace)
    late = jobs.create(kind="test", workspace=workspace, queue="train", title="Late")
    job = Job.objects.get(kind="accounts.delete_workspace")

    services.others_at_work(job)

    late.refresh_from_db()
    assert late.state == State.CANCELLED


def test_a_failed_deletion_is_tried_again_by_the_clean_up(
    workspace: Any, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(alice, workspace)
    with monkeypatch.context() as broken:
        broken.setattr("apps.accounts.services.remove_files", refuse)
        run_next("io")
    assert Job.objects.get(kind="accounts.delete_workspace").state == State.FAILED

    services.apply_retention()
    run_next("io")

    assert not Workspace.objects.filter(pk=workspace.pk).exists()


def refuse(_workspace: Any) -> None:
    raise PermissionError("the folder is read-only")


def test_asking_twice_is_one_deletion(workspace: Any, alice: User, actor: Any) -> None:
    ask(alice, workspace)

    assert ask(alice, workspace).status_code == 404
    assert Job.objects.filter(kind="accounts.delete_workspace").count() == 1
