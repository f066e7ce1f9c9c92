"""Examples: found, edited with history, restored, changed together; who may do it."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Membership
from apps.datasets import services
from apps.datasets.models import Dataset, Example, ExampleRevision
from apps.datasets.selectors import all_examples
from core.errors import Refused
from core.search import found_by

ROWS = [
    ("The refund has not arrived yet", "refund", "train"),
    ("我的信用卡丢了，怎么挂失？", "lost_card", "train"),
    ("I lost my card in Oslo", "lost_card", "dev"),
    ("信用额度能提高吗", "limit", ""),
    ("Nothing to see", None, "test"),
]


@pytest.fixture
def filled(actor: Any, dataset: Dataset) -> Dataset:
    items = [
        {"record": {"text": text, "labels": [label] if label else []}, "split": split, "external_id": f"e{number}"}
        for number, (text, label, split) in enumerate(ROWS)
    ]
    services.add(actor=actor, dataset=dataset, items=items)
    dataset.refresh_from_db()
    return dataset


def example(number: int) -> Example:
    return Example.objects.get(external_id=f"e{number}")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("refund", [0]),
        ("REFUND arrived", [0]),
        ("refu", [0]),
        ("信用", [1, 3]),
        ("信用卡", [1]),
        ("卡", [1]),
        ("丢了 挂失", [1]),
        ("lost card", [2]),
        ("card'; DROP TABLE datasets_example; --", []),
        ("!!!", []),
        ("lost & | ! ( ) : *", [2]),
    ],
)
def test_texts_are_found_by_their_words_in_any_language(filled: Dataset, query: str, found: list[int]) -> None:
    rows = found_by(all_examples(filled), query, "search")

    assert sorted(row.external_id or "" for row in rows) == [f"e{n}" for n in found]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"label": "lost_card"}, {1, 2}),
        ({"split": "train"}, {0, 1}),
        ({"split": "none"}, {3}),
        ({"unlabelled": "true"}, {4}),
        ({"label": "lost_card", "split": "dev"}, {2}),
        ({"q": "nothing"}, {4}),
        ({"deleted": "true"}, set()),
    ],
)
def test_page_and_api_filter_alike(filled: Dataset, actor: Any, alice: Any, api: Any, page: Any, query: Any,
                                   found: set[int]) -> None:  # fmt: skip
    shown = page(alice).get(f"/w/{filled.workspace.slug}/datasets/{filled.pk}", query).content.decode()
    told = api(actor).get(f"/api/v1/datasets/{filled.pk}/examples", query).json()["results"]

    assert {row["external_id"] for row in told} == {f"e{n}" for n in found}
    assert {n for n, (text, _label, _split) in enumerate(ROWS) if text in shown} == found


def test_an_edit_keeps_what_was_and_can_be_undone(filled: Dataset, actor: Any) -> None:
    one = example(0)

    services.edit(actor=actor, example=one, record={"text": "Changed", "labels": ["other"]}, split="test")
    changed = example(0)
    assert (changed.text, changed.labels, changed.split, changed.revision) == ("Changed", ["other"], "test", 2)
    assert [row.pk for row in found_by(all_examples(filled), "changed", "search")] == [one.pk]
    filled.refresh_from_db()
    assert "other" in filled.labels

    services.restore(actor=actor, example=changed, revision=ExampleRevision.objects.get())
    back = example(0)
    assert (back.text, back.labels, back.split, back.revision) == (ROWS[0][0], ["refund"], "train", 3)
    assert back.content_hash == one.content_hash
    assert ExampleRevision.objects.filter(example=one).count() == 2


def test_a_change_of_an_old_state_is_refused(filled: Dataset, actor: Any) -> None:
    services.edit(actor=actor, example=example(0), split="dev")

    with pytest.raises(Refused) as refused:
        services.edit(actor=actor, example=example(0), split="test", revision=1)

    assert (refused.value.code, refused.value.status) == ("changed_meanwhile", 409)


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"text": "", "labels": []}, "empty"),
        ({"text": "a\0b", "labels": []}, "nul_character"),
        ({"text": "a", "labels": ["x", "y"]}, "several_labels"),
        ({"text": "a", "labels": ["x" * 201]}, "label_too_long"),
        ({"text": "a"}, "missing_field"),
        ({"text": "a", "labels": [], "more": 1}, "unknown_field"),
        ({"text": "\ud800", "labels": []}, "lone_surrogate"),
    ],
)
def test_records_that_are_none_are_refused_by_name(
    filled: Dataset, actor: Any, record: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        services.edit(actor=actor, example=example(0), record=record)

    assert refused.value.code == code
    assert example(0).revision == 1


def test_equal_texts_without_ids_may_meet_by_edit(dataset: Dataset, actor: Any) -> None:
    items = [{"record": {"text": text, "labels": []}} for text in ("a", "b", "c")]
    results = services.add(actor=actor, dataset=dataset, items=items)

    for result in results[1:]:
        services.edit(actor=actor, example=Example.objects.get(pk=result["id"]), record={"text": "a", "labels": []})

    assert sorted(Example.objects.values_list("text", "occurrence")) == [("a", 1), ("a", 2), ("a", 3)]


def test_deleting_twice_is_harmless_and_restoring_counts_again(filled: Dataset, actor: Any) -> None:
    services.remove(actor=actor, example=example(0))
    services.remove(actor=actor, example=example(0))
    filled.refresh_from_db()
    assert filled.example_count == 4

    services.restore(actor=actor, example=example(0))
    filled.refresh_from_db()
    assert filled.example_count == 5
    assert example(0).deleted_at is None


def test_many_are_relabelled_split_and_deleted_with_history(filled: Dataset, actor: Any) -> None:
    rows = all_examples(filled)

    relabelled = services.bulk_change(
        actor=actor, dataset=filled, rows=rows.filter(split="train"), action="relabel", labels=["card"]
    )
    moved = services.bulk_change(actor=actor, dataset=filled, rows=rows, action="split", split="test")
    deleted = services.bulk_change(actor=actor, dataset=filled, rows=rows.filter(labels=["card"]), action="delete")

    filled.refresh_from_db()
    assert (relabelled, moved, deleted) == (2, 4, 2)
    assert filled.example_count == 3
    assert "card" in filled.labels
    assert example(0).record["labels"] == ["card"]
    sources = list(example(0).revisions.order_by("id").values_list("source", flat=True))
    assert sources == ["bulk", "bulk", "delete"]


def test_a_bulk_action_by_page_takes_the_chosen_or_all_that_match(filled: Dataset, alice: Any, page: Any) -> None:
    client, here = page(alice), f"/w/{filled.workspace.slug}/datasets/{filled.pk}"

    client.post(f"{here}/examples/bulk", {"action": "split", "split": "dev", "ids": [example(3).pk]})
    assert example(3).split == "dev"
    client.post(
        f"{here}/examples/bulk",
        {"action": "delete", "everything": "1", "query": "label=lost_card", "ids": [example(3).pk]},
    )

    assert set(Example.objects.exclude(deleted_at=None).values_list("external_id", flat=True)) == {"e1", "e2"}


def test_a_bulk_action_by_api_needs_a_known_filter(filled: Dataset, actor: Any, api: Any) -> None:
    client, where = api(actor), f"/api/v1/datasets/{filled.pk}/examples/bulk"

    assert client.post(where, {"action": "delete"}).status_code == 422
    assert client.post(where, {"action": "delete", "filter": {"lable": "x"}}).json()["code"] == "unknown_filter"
    assert client.post(where, {"action": "split", "split": "dev", "filter": {"label": "limit"}}).json() == {
        "changed": 1
    }


def test_pushed_records_are_answered_one_by_one_and_harmless_twice(dataset: Dataset, actor: Any, api: Any) -> None:
    client, where = api(actor), f"/api/v1/datasets/{dataset.pk}/examples"
    body = {
        "items": [
            {"external_id": "a", "record": {"text": "one", "labels": ["x"]}},
            {"record": {"text": "two", "labels": []}, "split": "nowhere"},
            {"record": {"text": "three", "labels": []}, "split": "dev"},
            {"record": 7},
            {"external_id": "a", "record": {"text": "again", "labels": []}},
        ]
    }

    first, second = client.post(where, body).json()["results"], client.post(where, body).json()["results"]

    assert [row["status"] for row in first] == ["new", "bad", "new", "bad", "bad"]
    assert [row.get("code") for row in first] == [None, "bad_split", None, "wrong_type", "id_again"]
    assert [row["status"] for row in second] == ["unchanged", "bad", "unchanged", "bad", "bad"]
    assert first[0]["id"] == second[0]["id"]
    too_many = client.post(where, {"items": [{"record": {"text": "x", "labels": []}}] * 1_001})
    assert (too_many.status_code, too_many.json()["code"]) == (413, "too_many_items")


def test_an_etag_guards_an_edit_by_api(filled: Dataset, actor: Any, api: Any) -> None:
    client, where = api(actor), f"/api/v1/datasets/{filled.pk}/examples/{example(0).pk}"
    tag = client.get(where)["ETag"]

    assert client.patch(where, {"split": "dev"}, headers={"If-Match": tag}).status_code == 200
    assert client.patch(where, {"split": "test"}, headers={"If-Match": tag}).status_code == 412


def test_html_in_texts_is_shown_as_text(dataset: Dataset, actor: Any, alice: Any, page: Any) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    result = services.add(actor=actor, dataset=dataset, items=[{"record": {"text": evil, "labels": ["<b>bold</b>"]}}])
    client, here = page(alice), f"/w/{dataset.workspace.slug}/datasets/{dataset.pk}"

    for part in ("", f"/examples/{result[0]['id']}", "?q=script", "/settings"):
        shown = client.get(here + part).content.decode()
        assert "<script>alert" not in shown and "<img src=x" not in shown and "<b>bold" not in shown, part


def test_the_history_of_an_example_cannot_be_rewritten(filled: Dataset, actor: Any) -> None:
    services.edit(actor=actor, example=example(0), split="dev")

    with pytest.raises(DatabaseError, match="history"), transaction.atomic():
        ExampleRevision.objects.update(record={})


def test_a_list_costs_the_same_number_of_queries_however_long(
    filled: Dataset, actor: Any, alice: Any, api: Any, page: Any
) -> None:
    client, here = page(alice), f"/w/{filled.workspace.slug}/datasets/{filled.pk}"
    key, there = api(actor), f"/api/v1/datasets/{filled.pk}/examples"
    client.get(here), key.get(there)
    with CaptureQueriesContext(connection) as few:
        client.get(here), key.get(there)
    items = [{"record": {"text": f"text {n}", "labels": ["x"]}} for n in range(200)]
    services.add(actor=actor, dataset=filled, items=items)

    with CaptureQueriesContext(connection) as many:
        client.get(here), key.get(there)

    assert len(many) == len(few) <= 16
    assert not [query for query in many.captured_queries if "COUNT(" in query["sql"].upper()]


def test_roles_read_or_write_and_strangers_see_nothing(
    filled: Dataset, bob: Any, charlie: Any, actor: Any, stranger: Any, page: Any, api: Any
) -> None:
    here = f"/w/{filled.workspace.slug}/datasets/{filled.pk}"
    one = f"{here}/examples/{example(0).pk}"
    assert page(bob).post(f"{one}/delete").status_code == 302
    Membership.objects.filter(user=bob).update(role="viewer")
    assert page(bob).get(here).status_code == 200
    assert page(bob).post(f"{one}/restore").status_code == 403
    assert page(bob).get(f"{here}/imports/new").status_code == 403
    assert page(charlie).get(here).status_code == 404
    assert api(stranger).get(f"/api/v1/datasets/{filled.pk}/examples").status_code == 404
    assert api(actor, ["datasets.read"]).delete(f"/api/v1/datasets/{filled.pk}").status_code == 403
