"""The main road of the datasets room: create, upload, import, browse, freeze, export."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.datasets import services
from apps.datasets.models import Dataset, DatasetVersion
from apps.datasets.selectors import version_file
from core.jobs.states import State
from workers.loop import run_next

CSV = "text,label\nmy card is lost,lost_card\n我的卡丢了,lost_card\nwhere is my money,transfer\n"


def imported(actor: Any, dataset: Dataset, content: str | bytes, name: str = "data.csv", **options: Any) -> Any:
    data = content.encode() if isinstance(content, str) else content
    import_job = services.receive(actor=actor, dataset=dataset, upload=SimpleUploadedFile(name, data))
    if options:
        import_job = services.choose(actor=actor, import_job=import_job, **options)
    services.start(actor=actor, import_job=import_job)
    run_next("io")
    import_job.refresh_from_db()
    return import_job


@pytest.fixture
def dataset(actor: Any) -> Dataset:
    return services.create(actor=actor, name="Questions", kind="classification")


def test_a_csv_becomes_examples_and_a_frozen_version(actor: Any, dataset: Dataset) -> None:
    import_job = imported(actor, dataset, CSV)

    dataset.refresh_from_db()
    assert import_job.job.state == State.SUCCEEDED, import_job.job.error_message
    assert (import_job.new_count, import_job.bad_count) == (3, 0)
    assert dataset.example_count == 3
    assert dataset.labels == ["lost_card", "transfer"]

    version = services.freeze(actor=actor, dataset=dataset)
    run_next("io")

    version = DatasetVersion.objects.get(pk=version.pk)
    rows = pq.read_table(Path(version_file(version))).to_pylist()
    assert [row["text"] for row in rows] == ["my card is lost", "我的卡丢了", "where is my money"]
    assert version.row_count == 3
    assert version.counts["labels"] == {"lost_card": 2, "transfer": 1}
    assert len(version.content_hash) == 64
