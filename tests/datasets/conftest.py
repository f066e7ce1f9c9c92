"""What tests of the datasets room share: a dataset, and files that go through the real import job."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.datasets import services
from apps.datasets.models import Dataset, DatasetVersion, ImportJob
from core.access import Actor
from workers.loop import run_next


@pytest.fixture(autouse=True)
def no_beats(settings: Any) -> None:
    """A beat comes from another connection, which does not see what a test has not committed."""
    settings.JOB_BEAT_SECONDS = 3600


@pytest.fixture
def dataset(actor: Actor) -> Dataset:
    """An empty classification dataset of alice."""
    return services.create(actor=actor, name="Questions", kind="classification")


@pytest.fixture
def bring(actor: Actor) -> Callable[..., ImportJob]:
    """Upload content into a dataset and run the import job."""

    def bring_in(dataset: Dataset, content: str | bytes, name: str = "data.csv", **choices: Any) -> ImportJob:
        data = content.encode() if isinstance(content, str) else content
        dry_run = choices.pop("dry_run", False)
        import_job = services.receive(actor=actor, dataset=dataset, upload=SimpleUploadedFile(name, data))
        if choices:
            import_job = services.choose(actor=actor, import_job=import_job, **choices)
        services.start(actor=actor, import_job=import_job, dry_run=dry_run)
        run_next("io")
        import_job.refresh_from_db()
        dataset.refresh_from_db()
        return import_job

    return bring_in


@pytest.fixture
def frozen(actor: Actor) -> Callable[[Dataset], DatasetVersion]:
    """Freeze a dataset and run the job."""

    def freeze(dataset: Dataset) -> DatasetVersion:
        version = services.freeze(actor=actor, dataset=dataset)
        run_next("io")
        return DatasetVersion.objects.select_related("dataset").get(pk=version.pk)

    return freeze
