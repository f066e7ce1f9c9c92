"""Imports: idempotent, resumable, honest about bad rows, kept out of trouble by bad files."""

import csv
import gzip
import io
import json
import random
import zipfile
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.datasets import services
from apps.datasets.models import BadRow, Dataset, Example, ExampleRevision, ImportJob, ImportSeen
from apps.datasets.services import imports
from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.models import Job
from core.jobs.run import Stopped
from core.jobs.states import State
from workers import datasets as runners
from workers.loop import run_next

WITH_IDS = "id,text,label\n1,lost card,lost\n2,where is my money,transfer\n"


def texts(dataset: Dataset) -> list[str]:
    return list(Example.objects.filter(dataset=dataset, deleted_at=None).order_by("id").values_list("text", flat=True))


def counts(import_job: ImportJob) -> tuple[int, int, int, int]:
    return (import_job.new_count, import_job.updated_count, import_job.unchanged_count, import_job.bad_count)


def test_the_same_file_twice_changes_nothing(dataset: Dataset, bring: Any) -> None:
    bring(dataset, WITH_IDS)
    revision = dataset.revision

    again = bring(dataset, WITH_IDS)

    assert counts(again) == (0, 0, 2, 0)
    assert (dataset.example_count, dataset.revision) == (2, revision)


def test_a_row_with_a_known_id_is_updated_and_its_past_kept(dataset: Dataset, bring: Any) -> None:
    bring(dataset, WITH_IDS)

    again = bring(dataset, WITH_IDS.replace("lost card,lost", "my card is lost,lost"))

    assert counts(again) == (0, 1, 1, 0)
    assert texts(dataset) == ["my card is lost", "where is my money"]
    before = ExampleRevision.objects.get()
    assert (before.record["text"], before.source) == ("lost card", "import")


def test_equal_rows_without_ids_are_counted_by_occurrence(dataset: Dataset, bring: Any) -> None:
    three = "text,label\nhi,a\nhi,a\nhi,a\n"
    bring(dataset, three)

    again = bring(dataset, three + "hi,a\n")

    assert counts(again) == (1, 0, 3, 0)
    assert dataset.example_count == 4


def test_an_id_that_stands_twice_in_a_file_is_named(dataset: Dataset, bring: Any) -> None:
    import_job = bring(dataset, "id,text,label\n1,first,a\n1,second,a\n")

    bad = BadRow.objects.get(import_job=import_job)
    assert (bad.row, bad.code) == (2, "id_again")
    assert texts(dataset) == ["first"]


def test_a_row_deleted_before_comes_back_with_the_file_that_holds_it(actor: Any, dataset: Dataset, bring: Any) -> None:
    bring(dataset, WITH_IDS)
    services.remove(actor=actor, example=Example.objects.get(external_id="1"))

    again = bring(dataset, WITH_IDS)

    assert counts(again) == (1, 0, 1, 0)
    assert dataset.example_count == 2


def test_a_trial_counts_and_stores_nothing(dataset: Dataset, bring: Any) -> None:
    bring(dataset, WITH_IDS)

    trial = bring(dataset, "id,text,label\n1,lost card,lost\n2,new words,transfer\n3,third,x\n4,,x\n", dry_run=True)

    assert counts(trial) == (1, 1, 1, 1)
    assert texts(dataset) == ["lost card", "where is my money"]
    assert dataset.labels == ["lost", "transfer"]


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_worker_killed_between_batches_resumes_without_loss_or_doubling(
    with_ids: bool, actor: Any, dataset: Dataset, monkeypatch: Any
) -> None:
    monkeypatch.setattr(runners, "BATCH_ROWS", 7)
    dice = random.Random(3)
    rows = [(n, f"text {dice.randrange(30)}", f"label {n % 3}") for n in range(100)]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["id", "text", "label"] if with_ids else ["number", "text", "label"])
    writer.writerows(rows)
    import_job = services.receive(
        actor=actor, dataset=dataset, upload=SimpleUploadedFile("a.csv", out.getvalue().encode())
    )
    services.choose(actor=actor, import_job=import_job, mapping={"meta": []})
    services.start(actor=actor, import_job=import_job)
    real, stored = imports.store_batch, []

    def dying(**batch: Any) -> None:
        if len(stored) % 3 == 2:
            stored.append("died")
            raise Stopped("lost")  # what a worker that is gone looks like to the row: nothing is written
        real(**batch)
        stored.append("batch")

    monkeypatch.setattr(imports, "store_batch", dying)
    attempts = 0
    while not Job.objects.get(pk=import_job.job_id).ended:
        run_next("io")
        attempts += 1
        job = Job.objects.get(pk=import_job.job_id)
        if job.state == State.RUNNING:
            Job.objects.filter(pk=job.pk).update(lease_expires_at=job.created_at, max_attempts=99)
            jobs.sweep()

    import_job.refresh_from_db()
    assert attempts > 3
    assert import_job.row_count == 100
    assert sorted(texts(dataset)) == sorted(text for _n, text, _label in rows)
    assert counts(import_job) == (100, 0, 0, 0)
    assert not ImportSeen.objects.exists()


def test_a_cancelled_import_keeps_what_went_in_and_a_retry_finishes_it(
    actor: Any, alice: Any, dataset: Dataset, monkeypatch: Any
) -> None:
    monkeypatch.setattr(runners, "BATCH_ROWS", 2)
    rows = "text,label\n" + "".join(f"text {n},a\n" for n in range(9))
    import_job = services.receive(actor=actor, dataset=dataset, upload=SimpleUploadedFile("a.csv", rows.encode()))
    services.start(actor=actor, import_job=import_job)
    real = imports.store_batch

    def cancelling(**batch: Any) -> None:
        real(**batch)
        jobs.cancel(job=import_job.job, by=alice)
        jobs.cancel(job=import_job.job, by=alice)

    monkeypatch.setattr("core.jobs.run.PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(imports, "store_batch", cancelling)
    run_next("io")
    import_job.refresh_from_db()
    assert (import_job.job.state, import_job.new_count) == (State.CANCELLED, 2)

    monkeypatch.setattr(imports, "store_batch", real)
    jobs.retry(job=Job.objects.get(pk=import_job.job_id), by=alice)
    run_next("io")

    import_job.refresh_from_db()
    assert counts(import_job) == (9, 0, 0, 0)
    assert len(texts(dataset)) == 9


def test_bad_rows_are_named_while_good_ones_go_in(dataset: Dataset, bring: Any, page: Any, alice: Any) -> None:
    content = b"text,label\ngood one,a\nragged,a,b,c\n,empty\nwith nul \x00,a\ninvalid \xff\xfe utf,a\nlast one,a\n"

    import_job = bring(dataset, content, options={"encoding": "utf-8"})

    codes = {bad.row: bad.code for bad in BadRow.objects.filter(import_job=import_job)}
    assert {"ragged_row", "empty", "nul_byte", "invalid_encoding"} <= set(codes.values())
    assert texts(dataset)[0] == "good one"
    assert "last one" in texts(dataset)
    assert import_job.job.state == State.SUCCEEDED
    workspace = dataset.workspace.slug
    got = page(alice).get(f"/w/{workspace}/datasets/{dataset.pk}/imports/{import_job.pk}/errors.csv")
    lines = list(csv.reader(io.StringIO(b"".join(got.streaming_content).decode("utf-8-sig"))))
    assert lines[0] == ["row", "line", "code", "field", "message", "snippet"]
    assert len(lines) == 1 + BadRow.objects.count()


def test_a_huge_cell_is_refused_by_row(dataset: Dataset, bring: Any) -> None:
    import_job = bring(dataset, "text,label\n" + "x" * 5_000_000 + ",a\nfine,a\n")

    assert BadRow.objects.get(import_job=import_job).code == "cell_too_large"
    assert texts(dataset) == ["fine"]


def test_a_truncated_gzip_keeps_the_rows_before_the_cut(dataset: Dataset, bring: Any) -> None:
    dice = random.Random(1)
    rows = "text,label\n" + "".join(f"{dice.random()} café,a\n" for _ in range(40_000))
    packed = gzip.compress(rows.encode())

    import_job = bring(dataset, packed[: len(packed) // 2], "rows.csv.gz")

    assert import_job.job.error_code == "truncated_gzip"
    assert 0 < import_job.new_count < 40_000
    assert dataset.example_count == import_job.new_count


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", "text,label\n" + "a,a\n" * 10_000_000)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.csv", b"", "empty_file"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "binary_file"),
        ("noise.csv", bytes(range(1, 9)) * 500, "binary_file"),
        ("broken.zip", b"PK\x03\x04" + b"\x00" * 40, "damaged_zip"),
        ("pickle.csv", b"\x80\x04\x95" + b"\x01" * 100, "binary_file"),
    ],
)
def test_files_that_are_no_data_are_refused_at_the_door(
    name: str, content: bytes, code: str, actor: Any, dataset: Dataset
) -> None:
    with pytest.raises(Refused) as refused:
        services.receive(actor=actor, dataset=dataset, upload=SimpleUploadedFile(name, content))

    assert refused.value.code == code
    assert not ImportJob.objects.exists()
    assert list(imports.import_folder(dataset).iterdir()) == []


def test_an_archive_made_to_explode_is_stopped(actor: Any, dataset: Dataset) -> None:
    with pytest.raises(Refused) as refused:
        services.receive(actor=actor, dataset=dataset, upload=SimpleUploadedFile("rows.zip", zip_bomb()))

    assert refused.value.code == "compression_bomb"


def test_an_archive_that_names_its_monstrous_size_is_not_unpacked_at_all(actor: Any, dataset: Dataset) -> None:
    noise = random.Random(1).randbytes(300_000).hex()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", f"text,label\n{noise},a\n" + "a,a\n" * 30_000_000)

    with pytest.raises(Refused) as refused:
        services.receive(actor=actor, dataset=dataset, upload=SimpleUploadedFile("rows.zip", out.getvalue()))

    assert refused.value.code == "compression_bomb"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"text,text,label\na,b,c\n", "duplicate_headers"),
        (b"text,label\n", "no_rows"),
        (b"text,label\n" + b"a" * 2_000_000, "ragged_row"),
        (b"[" * 3_000, "nested_too_deeply"),
    ],
)
def test_a_file_of_which_nothing_can_be_read_says_why(
    content: bytes, code: str, actor: Any, dataset: Dataset, api: Any
) -> None:
    upload = SimpleUploadedFile("rows.json" if content.startswith(b"[") else "rows.csv", content)

    answer = api(actor).post(f"/api/v1/datasets/{dataset.pk}/imports", {"file": upload}, format="multipart")

    assert (answer.status_code, answer.data["code"]) == (422, code)


def test_a_missing_column_is_named_with_those_there_are(actor: Any, dataset: Dataset) -> None:
    import_job = services.receive(
        actor=actor, dataset=dataset, upload=SimpleUploadedFile("a.csv", b"number,amount\n1,2\n3,4\n")
    )
    services.choose(actor=actor, import_job=import_job, mapping={"columns": {}})

    with pytest.raises(Refused, match="number, amount") as refused:
        services.start(actor=actor, import_job=import_job)

    assert [problem.field for problem in refused.value.problems] == ["mapping.text"]


def test_a_column_that_the_table_does_not_have_is_named_before_the_import(actor: Any, dataset: Dataset) -> None:
    import_job = services.receive(
        actor=actor, dataset=dataset, upload=SimpleUploadedFile("a.csv", b"body,label\nhello,a\n")
    )
    services.choose(actor=actor, import_job=import_job, mapping={"columns": {"text": "nope", "label": "label"}})

    with pytest.raises(Refused, match=r"nope.*body, label") as refused:
        services.start(actor=actor, import_job=import_job)

    assert refused.value.code == "column_unknown"


def test_options_nested_without_end_are_refused(dataset: Dataset, actor: Any, api: Any) -> None:
    upload = SimpleUploadedFile("a.csv", b"text,label\nhello,a\n")
    body = {"file": upload, "options": "[" * 100_000}

    answer = api(actor).post(f"/api/v1/datasets/{dataset.pk}/imports", body, format="multipart")

    assert (answer.status_code, answer.data["errors"][0]["field"]) == (422, "options")


def test_an_upload_beyond_the_limit_is_refused(actor: Any, dataset: Dataset, settings: Any, api: Any) -> None:
    settings.UPLOAD_LIMIT_BYTES = 10
    upload = SimpleUploadedFile("a.csv", b"text,label\nmore than ten bytes,a\n")

    answer = api(actor).post(f"/api/v1/datasets/{dataset.pk}/imports", {"file": upload}, format="multipart")

    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")


def test_too_many_bad_rows_are_counted_but_not_all_kept(dataset: Dataset, bring: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(imports, "BAD_ROWS_KEPT", 5)

    import_job = bring(dataset, "text,label\n" + ",a\n" * 50 + "good,a\n")

    assert (import_job.bad_count, BadRow.objects.count()) == (50, 5)


def test_chinese_in_gb18030_and_windows_lines_come_in_as_they_are(dataset: Dataset, bring: Any) -> None:
    bring(dataset, 'text,label\r\n"我的卡\r\n丢了，怎么办？",挂失\r\n'.encode("gb18030"))

    assert texts(dataset) == ["我的卡\r\n丢了，怎么办？"]
    assert dataset.labels == ["挂失"]


def test_a_second_label_is_refused_where_one_is_allowed(dataset: Dataset, bring: Any) -> None:
    import_job = bring(dataset, '{"text": "a", "label": ["x", "y"]}\n{"text": "b", "label": ["x"]}\n', "a.jsonl")

    assert BadRow.objects.get(import_job=import_job).code == "several_labels"
    assert texts(dataset) == ["b"]


def test_an_archived_dataset_takes_nothing(actor: Any, dataset: Dataset) -> None:
    services.archive(actor=actor, dataset=dataset)

    with pytest.raises(Refused, match="archived"):
        services.receive(actor=actor, dataset=dataset, upload=SimpleUploadedFile("a.csv", b"text,label\na,b\n"))


def test_an_address_inside_is_refused_by_the_worker(actor: Any, dataset: Dataset) -> None:
    import_job = services.receive_url(actor=actor, dataset=dataset, url="http://127.0.0.1:1/rows.csv")
    services.start(actor=actor, import_job=import_job)
    run_next("io")

    import_job.refresh_from_db()
    assert import_job.job.error_code == "address_forbidden"


def test_the_api_takes_a_file_and_tells_all_about_it(actor: Any, api: Any, dataset: Dataset) -> None:
    client, base = api(actor), f"/api/v1/datasets/{dataset.pk}/imports"
    upload = SimpleUploadedFile("a.csv", b"body,topic,city\nhello,greet,Oslo\n,greet,Rome\n")
    mapping = json.dumps({"columns": {"text": "body", "label": "topic"}})

    made = client.post(base, {"file": upload, "mapping": mapping}, format="multipart")
    run_next("io")

    number = made.json()["id"]
    assert made.status_code == 201, made.content
    told = client.get(f"{base}/{number}").json()
    assert (told["job"]["state"], told["new_count"], told["bad_count"]) == ("succeeded", 1, 1)
    assert client.get(f"{base}/{number}/errors").json()["results"][0]["row"] == 2
    assert client.get(f"{base}/{number}/preview").json()[0]["record"]["meta"] == {"city": "Oslo"}
    assert client.post(f"{base}/{number}/start", {"dry_run": True}).status_code == 201
    assert len(client.get(base).json()["results"]) == 2
