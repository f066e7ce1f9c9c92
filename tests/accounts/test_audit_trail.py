"""The audit trail: append-only, filtered, paged, exported."""

import csv
import io
import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.test.client import AsyncClient

from apps.accounts.models import AuditEntry
from apps.accounts.services import audit


@pytest.mark.parametrize("statement", ["UPDATE accounts_auditentry SET actor = 'x'", "DELETE FROM accounts_auditentry"])
def test_the_database_itself_refuses_to_change_the_trail(statement: str, actor: Any) -> None:
    audit(actor=actor, action="test.entry")

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert AuditEntry.objects.filter(action="test.entry").exists()


def test_retention_cannot_change_entries_either(actor: Any) -> None:
    audit(actor=actor, action="test.entry")

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lingxi.retention = 'on'; UPDATE accounts_auditentry SET actor = 'x'")


def test_the_page_filters_by_actor_action_object_and_day(actor: Any, alice: Any, page: Any) -> None:
    for action, label in (
        ("dataset.create", actor.workspace),
        ("dataset.freeze", actor.workspace),
        ("model.export", None),
    ):
        audit(actor=actor, action=action, obj=label)
    client, base = page(alice), f"/w/{actor.workspace.slug}/settings/audit"

    def actions(query: str) -> set[str]:
        entries = client.get(f"{base}?{query}").context["entries"]
        return {entry.action for entry in entries}

    assert actions("action=dataset.") == {"dataset.create", "dataset.freeze"}
    assert actions("actor=nobody") == set()
    assert "model.export" in actions("actor=ALICE")
    assert actions("object=harbour&action=dataset.f") == {"dataset.freeze"}
    assert actions("until=2001-01-01") == set()
    assert actions("since=not-a-day") == set()
    assert client.get(f"{base}?actor=%00").status_code == 200


def test_the_trail_pages_by_keyset_and_keeps_filters(actor: Any, alice: Any, page: Any) -> None:
    for number in range(120):
        audit(actor=actor, action="test.entry", number=number)
    client, base = page(alice), f"/w/{actor.workspace.slug}/settings/audit"

    first = client.get(f"{base}?action=test").context["entries"]
    second = client.get(f"{base}?action=test&{first.next_cursor}").context["entries"]

    assert [entry.detail["number"] for entry in (*first, *second)] == list(range(119, 19, -1))
    assert client.get(f"{base}?before=x").status_code == 404


def test_exports_hold_every_entry_and_disarm_formulas(actor: Any, alice: Any, page: Any) -> None:
    for number in range(1500):
        audit(actor=actor, action="test.entry", number=number)
    AuditEntry.objects.create(
        workspace_id=actor.workspace.pk, actor="=HYPERLINK(1)", action="test.evil", object_label="灵犀"
    )
    client, base = page(alice), f"/w/{actor.workspace.slug}/settings/audit/export"

    text = client.get(f"{base}.csv?action=test").getvalue().decode()
    lines = client.get(f"{base}.jsonl?action=test").getvalue().decode().splitlines()

    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == len(lines) == 1501
    assert rows[0]["actor"] == "'=HYPERLINK(1)" and rows[0]["object_label"] == "灵犀"
    assert json.loads(lines[0])["actor"] == "=HYPERLINK(1)"
    assert client.get(f"{base}.exe").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_exports_leave_an_asynchronous_server_piece_by_piece(actor: Any, alice: Any) -> None:
    AuditEntry.objects.bulk_create(
        AuditEntry(workspace_id=actor.workspace.pk, actor="a", action="test.entry") for _each in range(2500)
    )

    async def download() -> tuple[bool, list[bytes]]:
        client = AsyncClient()
        await client.aforce_login(alice)
        answer = await client.get(f"/w/{actor.workspace.slug}/settings/audit/export.jsonl?action=test")
        return answer.is_async, [piece async for piece in answer]

    is_async, pieces = async_to_sync(download)()

    assert is_async and len(pieces) == 3
    assert sum(piece.count(b"\n") for piece in pieces) == 2500


def test_entries_of_another_workspace_stay_there(actor: Any, stranger: Any, charlie: Any) -> None:
    audit(actor=actor, action="test.secret")
    client = Client()
    client.force_login(charlie)

    html = client.get("/w/elsewhere/settings/audit").content.decode()

    assert "test.secret" not in html
