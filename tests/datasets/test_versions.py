"""Frozen versions, splits, exports and deletion: what is frozen stays, what is in use stays, files are exact."""

import csv
import hashlib
import io
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.db import DatabaseError, OperationalError, models, transaction
from django.utils import timezone
from psycopg.errors import DiskFull

from apps.datasets import services
from apps.datasets.formats.writers import formats_for
from apps.datasets.kinds import kind_cards
from apps.datasets.models import Dataset, DatasetVersion, Example, ExportJob
from apps.datasets.selectors import version_file
from apps.datasets.services.splitting import SplitPlan, checked_plan, preview_split
from core.errors import Refused
from core.storage import home
from workers.loop import run_next


def add(actor: Any, dataset: Dataset, *rows: tuple[str, str], **more: Any) -> list[dict[str, Any]]:
    items = [
        {"external_id": text, "record": {"text": text, "labels": [label] if label else [], **more}}
        for text, label in rows
    ]
    return services.add(actor=actor, dataset=dataset, items=items)


def test_a_version_says_what_changed_since_the_one_before(actor: Any, dataset: Dataset, frozen: Any) -> None:
    add(actor, dataset, ("a", "x"), ("b", "x"), ("c", "y"), ("d", "y"), ("e", "y"))
    first = frozen(dataset)
    by_text = {row.text: row for row in Example.objects.all()}
    services.edit(actor=actor, example=by_text["a"], record={"text": "a", "labels": ["y"]})
    services.edit(actor=actor, example=by_text["b"], record={"text": "B", "labels": ["x"]})
    services.edit(actor=actor, example=by_text["c"], split="test")
    services.remove(actor=actor, example=by_text["d"])
    add(actor, dataset, ("f", "x"))

    second = frozen(dataset)

    expected = {"added": 1, "removed": 1, "changed": 1, "relabelled": 1, "moved": 1, "unchanged": 1}
    assert {name: second.diff[name] for name in expected} == expected
    assert second.diff["examples"]["relabelled"] == [by_text["a"].pk]
    assert (first.diff, second.previous_id, second.number) == ({}, first.pk, 2)


def test_equal_content_has_an_equal_hash_and_equal_bytes(actor: Any, dataset: Dataset, frozen: Any) -> None:
    add(actor, dataset, ("a", "x"), ("b", "y"))
    first = frozen(dataset)
    one = Example.objects.get(text="a")
    services.edit(actor=actor, example=one, split="dev")
    services.edit(actor=actor, example=one, split="")

    second = frozen(dataset)

    assert second.content_hash == first.content_hash
    assert version_file(second).read_bytes() == version_file(first).read_bytes()
    assert hashlib.sha256(version_file(first).read_bytes()).hexdigest() == first.file_hash


def test_a_version_never_changes(actor: Any, dataset: Dataset, frozen: Any) -> None:
    add(actor, dataset, ("a", "x"))
    version = frozen(dataset)

    for change in ({"content_hash": "0"}, {"row_count": 7}, {"frozen_at": None}, {"labels": []}, {"path": "x"}):
        with pytest.raises(DatabaseError, match="frozen"), transaction.atomic():
            DatasetVersion.objects.filter(pk=version.pk).update(**change)
    DatasetVersion.objects.filter(pk=version.pk).update(note="a word about it")


def test_freezing_nothing_new_or_nothing_at_all_is_refused(actor: Any, dataset: Dataset, frozen: Any) -> None:
    with pytest.raises(Refused, match="no examples"):
        services.freeze(actor=actor, dataset=dataset)
    add(actor, dataset, ("a", "x"))
    frozen(dataset)

    with pytest.raises(Refused, match="version 1"):
        services.freeze(actor=actor, dataset=dataset)


def test_a_version_still_being_written_is_nobodys_to_use(actor: Any, dataset: Dataset) -> None:
    add(actor, dataset, ("a", "x"))

    services.freeze(actor=actor, dataset=dataset)

    assert not DatasetVersion.objects.exists()
    with pytest.raises(Refused, match="being frozen"):
        services.freeze(actor=actor, dataset=dataset)
    with pytest.raises(Refused, match="still at work"):
        services.delete(actor=actor, dataset=dataset)


@pytest.mark.parametrize("error", [models.ProtectedError, models.RestrictedError])
def test_a_version_in_use_cannot_be_deleted(
    error: Any, actor: Any, dataset: Dataset, frozen: Any, monkeypatch: Any
) -> None:
    add(actor, dataset, ("a", "x"))
    version = frozen(dataset)

    def used(*_args: Any, **_kwargs: Any) -> None:
        raise error("used", set())

    monkeypatch.setattr(DatasetVersion, "delete", used)
    monkeypatch.setattr(Dataset, "delete", used)
    with pytest.raises(Refused, match="must stay") as refused:
        services.delete_version(actor=actor, version=version)
    with pytest.raises(Refused, match="must stay"):
        services.delete(actor=actor, dataset=dataset)

    assert refused.value.status == 409
    assert version_file(version).is_file()


@pytest.mark.django_db(transaction=True)
def test_deleting_takes_rows_and_files_with_it(actor: Any, dataset: Dataset, frozen: Any) -> None:
    add(actor, dataset, ("a", "x"), ("b", "x"))
    services.edit(actor=actor, example=Example.objects.get(text="a"), split="dev")
    version = frozen(dataset)
    path = version_file(version)

    services.delete_version(actor=actor, version=version)
    assert not path.exists()
    services.delete(actor=actor, dataset=Dataset.objects.get(pk=dataset.pk))

    assert not Example.objects.exists()


def test_splits_meet_the_shares_keep_equal_texts_together_and_stay(actor: Any, dataset: Dataset) -> None:
    add(actor, dataset, *((f"text {n}", "xy"[n % 2]) for n in range(100)))
    services.add(actor=actor, dataset=dataset, items=[
        {"external_id": f"again {n}", "record": {"text": f"TEXT  {n}", "labels": ["x"]}} for n in range(20)
    ])  # fmt: skip
    plan = checked_plan({"train": 0.8, "dev": 0.1, "test": 0.1, "seed": 3})
    dataset.refresh_from_db()
    said = preview_split(dataset, plan)["splits"]
    services.request_split(actor=actor, dataset=dataset, plan=plan)
    run_next("io")
    first = dict(Example.objects.values_list("external_id", "split"))
    held = {split: list(first.values()).count(split) for split in ("train", "dev", "test")}
    assert held == said
    assert held["train"] == pytest.approx(96, abs=3)
    assert all(first[f"again {n}"] == first[f"text {n}"] for n in range(20))

    add(actor, dataset, *((f"new {n}", "x") for n in range(50)))
    services.request_split(actor=actor, dataset=Dataset.objects.get(pk=dataset.pk), plan=plan)
    run_next("io")

    second = dict(Example.objects.values_list("external_id", "split"))
    assert {name: second[name] for name in first} == first
    assert all(second.values())


def test_groups_stay_together(actor: Any, dataset: Dataset) -> None:
    services.add(actor=actor, dataset=dataset, items=[
        {"record": {"text": f"text {n}", "labels": [], "meta": {"customer": n % 10}}} for n in range(100)
    ])  # fmt: skip
    services.request_split(actor=actor, dataset=dataset, plan=SplitPlan(method="group", group_key="customer", train=0.5,
                           dev=0.0, test=0.5))  # fmt: skip
    run_next("io")

    splits: dict[int, set[str]] = {}
    for meta, split in Example.objects.values_list("meta", "split"):
        splits.setdefault(meta["customer"], set()).add(split)
    assert all(len(found) == 1 for found in splits.values())


@pytest.mark.parametrize(
    "values", [{"train": 0.9}, {"train": -1, "dev": 1, "test": 1}, {"method": "odd"}, {"method": "group"}]
)
def test_a_split_that_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        checked_plan(values)


@pytest.mark.parametrize("kind", [card.name for card in kind_cards()])
def test_what_is_exported_comes_in_again_as_it_was(kind: str, actor: Any, bring: Any) -> None:
    record = next(card.record for card in kind_cards() if card.name == kind)
    source = services.create(actor=actor, name="source", kind=kind)
    item = {"external_id": "k1", "record": {**record, "meta": {"city": "Łódź", "n": 3}}, "split": "dev"}
    services.add(actor=actor, dataset=source, items=[item])
    before = Example.objects.get(dataset=source)

    for name in formats_for(kind):
        if name in {"text", "conll", "csv_spreadsheet", "openai_chat", "alpaca", "sharegpt"}:
            continue  # these say what they drop
        export_job = services.export(actor=actor, dataset=source, format=name)
        run_next("io")
        export_job.refresh_from_db()
        target = services.create(actor=actor, name=name, kind=kind)
        import_job = bring(target, (home() / export_job.path).read_bytes(), export_job.file_name)
        assert import_job.bad_count == 0, (name, list(import_job.bad_rows.values()))
        after = Example.objects.get(dataset=target)
        assert (after.content_hash, after.external_id, after.split) == (before.content_hash, "k1", "dev"), name


def test_exports_are_exact_and_spreadsheets_get_no_formula(actor: Any, dataset: Dataset) -> None:
    add(actor, dataset, ("=HYPERLINK(1)", "x"), ("+1", "x"), ('plain, "quoted"', "y"))

    exact = services.export(actor=actor, dataset=dataset, format="csv")
    run_next("io")
    safe = services.export(actor=actor, dataset=dataset, format="csv_spreadsheet")
    run_next("io")
    again = services.export(actor=actor, dataset=dataset, format="csv")
    run_next("io")
    for export_job in (exact, safe, again):
        export_job.refresh_from_db()

    rows = list(csv.reader(io.StringIO((home() / exact.path).read_text("utf-8"))))
    neutral = list(csv.reader(io.StringIO((home() / safe.path).read_text("utf-8-sig"))))
    assert [row[1] for row in rows[1:]] == ["=HYPERLINK(1)", "+1", 'plain, "quoted"']
    assert [row[1] for row in neutral[1:]] == ["'=HYPERLINK(1)", "'+1", 'plain, "quoted"']
    assert exact.dropped == [] and "apostrophe" in safe.dropped[0]
    assert exact.file_hash == again.file_hash


def test_an_export_of_a_version_is_of_that_version(actor: Any, dataset: Dataset, frozen: Any, api: Any) -> None:
    add(actor, dataset, ("a", "x"), ("b", "y"))
    version = frozen(dataset)
    services.remove(actor=actor, example=Example.objects.get(text="a"))
    client, where = api(actor), f"/api/v1/datasets/{dataset.pk}/exports"

    made = client.post(where, {"format": "huggingface", "version": version.number}).json()
    assert client.get(f"{where}/{made['id']}/file").json()["code"] == "export_running"
    run_next("io")

    got = client.get(f"{where}/{made['id']}/file")
    with zipfile.ZipFile(io.BytesIO(b"".join(got.streaming_content))) as archive:
        names = archive.namelist()
        table = pq.read_table(io.BytesIO(archive.read("data/unsplit-00000-of-00001.parquet")))
    assert "README.md" in names
    assert table["text"].to_pylist() == ["a", "b"]
    assert client.get(f"{where}/{made['id']}").json()["row_count"] == 2


def test_files_expire_and_say_so(actor: Any, dataset: Dataset, bring: Any, api: Any) -> None:
    import_job = bring(dataset, "text,label\na,b\n")
    export_job = services.export(actor=actor, dataset=dataset, format="csv")
    run_next("io")
    export_job.refresh_from_db()
    path = home() / export_job.path

    done = services.expire_files(now=timezone.now() + timedelta(days=60))

    assert done == {"exports": 1, "uploads": 1}
    assert not path.exists()
    import_job.refresh_from_db()
    assert import_job.file_path == ""
    answer = api(actor).get(f"/api/v1/datasets/{dataset.pk}/exports/{export_job.pk}/file")
    assert (answer.status_code, answer.json()["code"]) == (410, "export_gone")
    with pytest.raises(Refused, match="retention"):
        services.start(actor=actor, import_job=import_job)


def test_a_profile_names_duplicates_conflicts_and_leaks(actor: Any, dataset: Dataset, alice: Any, page: Any) -> None:
    items = [
        {"record": {"text": "the very same words here", "labels": ["x"]}, "split": "train"},
        {"record": {"text": "The very same  words here", "labels": ["y"]}, "split": "test"},
        {"record": {"text": "something else entirely 完全不同", "labels": ["x"]}, "split": "train"},
    ]
    services.add(actor=actor, dataset=dataset, items=items)
    client, here = page(alice), f"/w/{dataset.workspace.slug}/datasets/{dataset.pk}/profile"
    client.post(here)
    run_next("io")

    dataset.refresh_from_db()
    assert dataset.profile["conflicting_labels"]["groups"] == 1
    assert dataset.profile["leakage"]["train/test"]["texts"] == 1
    ids = dataset.profile["exact_duplicates"]["examples"][0]
    assert f"?ids={ids[0]},{ids[1]}" in client.get(here).content.decode()


def test_labels_cannot_go_while_examples_carry_them(actor: Any, dataset: Dataset) -> None:
    add(actor, dataset, ("a", "x"), ("b", "y"))

    with pytest.raises(Refused, match="“x”"):
        services.set_labels(actor=actor, dataset=dataset, labels=["y"])
    services.set_labels(actor=actor, dataset=dataset, labels=["z", "y", "x"])

    assert Dataset.objects.get().labels == ["z", "y", "x"]


def test_a_name_is_taken_once_in_a_workspace(actor: Any, stranger: Any, dataset: Dataset) -> None:
    with pytest.raises(Refused, match="already"):
        services.create(actor=actor, name="  Questions ", kind="corpus")

    assert services.create(actor=stranger, name="Questions", kind="corpus").pk


def test_an_export_file_is_whole_or_missing(actor: Any, dataset: Dataset, tmp_path: Path) -> None:
    add(actor, dataset, ("a", "x"))
    export_job = services.export(actor=actor, dataset=dataset, format="jsonl")

    assert not ExportJob.objects.get(pk=export_job.pk).path
    run_next("io")

    folder = home() / ExportJob.objects.get(pk=export_job.pk).path
    assert not [path for path in folder.parent.iterdir() if path.name.endswith(".part")]


@pytest.mark.parametrize("address", ["/api/v1/datasets/{}/versions", "/w/harbour/datasets/{}/versions"])
def test_a_database_without_space_is_told_as_a_full_disk(
    address: str, actor: Any, alice: Any, dataset: Dataset, api: Any, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(actor, dataset, ("a", "x"))

    def full(**_columns: Any) -> None:
        raise OperationalError("could not extend file") from DiskFull()

    monkeypatch.setattr(DatasetVersion.everything, "create", full)
    client = api(actor) if address.startswith("/api") else page(alice)

    answer = client.post(address.format(dataset.pk), {"note": "x"})

    assert answer.status_code == 507
    assert "Free some space" in answer.content.decode()
