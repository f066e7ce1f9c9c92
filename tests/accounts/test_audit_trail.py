"""The audit trail: append-only, filtered, paged, exported."""

import ast
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.test.client import AsyncClient
from django.utils import translation

from apps.accounts.actions import ACTIONS, action_name
from apps.accounts.models import AuditEntry
from apps.accounts.services import audit
from apps.registry.models import Decision, MoveKind

ROOT = Path(__file__).resolve().parents[2]


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


FAMILIES = {
    "alias": MoveKind.values,
    "approval": [value for value in Decision.values if value != Decision.OPEN],
    "alert": ["acknowledged", "assigned", "noted", "judged", "resolved"],
    "example": ["edit", "restore", "bulk_relabel", "bulk_split", "bulk_delete"],
}


def actions_in_sources() -> set[str]:
    """Every action that the code writes into the trail; those made of a family and a name by their family."""
    found = set()
    for path in (ROOT / "apps").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "audit"):
                continue
            given = next(word.value for word in node.keywords if word.arg == "action")
            for value in ast.walk(given):
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and "." in value.value:
                    family, _point, name = value.value.partition(".")
                    found |= {value.value} if name and name != "bulk_" else {f"{family}.{n}" for n in FAMILIES[family]}
    return found


def test_every_action_has_words_in_both_languages() -> None:
    actions = actions_in_sources()

    assert {"dataset.create", "alias.rollback", "example.bulk_relabel"} <= actions
    assert actions - set(ACTIONS) == set()
    with translation.override("zh-hans"):
        assert action_name("dataset.create") == "创建数据集"
    assert action_name("something.unheard") == "something.unheard"
