"""What versions that write still know: plain texts by token accuracy, preferences by the win rate over the first base."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from apps.datasets.models import Dataset, DatasetVersion
from apps.datasets.selectors import version_file
from apps.evaluation import services as evaluation
from apps.evaluation.models import Comparison, EvaluationJob, ExampleResult
from apps.evaluation.remembering import Remembering, remembering
from apps.registry.models import ModelVersion
from apps.registry.selectors import preferred_over
from apps.registry.services import Making, register_version
from engine.continuing import Earlier
from engine.report import Silent
from engine.specs import BaseModel, PreferSpec, PretrainSpec, to_mapping
from engine.tasks import TRAIN
from workers.loop import run_next

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_beats", "engine_here")]
SPLITS = ["train"] * 3 + ["dev", "test"]
COUNTS = {"splits": {"train": 12, "dev": 4, "test": 4}}
Learn = Callable[..., ModelVersion]


@pytest.fixture
def corpora(workspace: Any, freeze_rows: Callable[..., DatasetVersion]) -> list[DatasetVersion]:
    """Two frozen corpora of 20 documents."""

    def freeze(name: str, text: str) -> DatasetVersion:
        dataset = Dataset.objects.create(workspace=workspace, name=name, kind="corpus")
        rows = [
            {
                "example_id": at,
                "external_id": f"d{at}",
                "split": SPLITS[at % 5],
                "meta": "{}",
                "text": f"{at} {text} " * 4,
            }
            for at in range(20)
        ]
        return freeze_rows(dataset, pa.Table.from_pylist(rows), content_hash=name[0].lower() * 64, counts=COUNTS)

    return [freeze("Foxes", "the quick brown fox jumps"), freeze("Banks", "a loan is no refund of the card")]


@pytest.fixture
def preferences(workspace: Any, freeze_rows: Callable[..., DatasetVersion]) -> list[DatasetVersion]:
    """Two frozen datasets of 20 preferences; the second prefers the opposite manner."""
    message = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    names = ("external_id", "split", "meta", "chosen", "rejected")
    schema = pa.schema(
        [("example_id", pa.int64()), *((name, pa.string()) for name in names[:3]), ("prompt", message)]
        + [(name, pa.string()) for name in names[3:]]
    )

    def freeze(name: str, chosen: str, rejected: str) -> DatasetVersion:
        dataset = Dataset.objects.create(workspace=workspace, name=name, kind="preference")
        rows = [
            {
                "example_id": at,
                "external_id": f"p{at}",
                "split": SPLITS[at % 5],
                "meta": "{}",
                "prompt": [{"role": "user", "content": f"where is it {at}?"}],
                "chosen": f"{chosen} {at}",
                "rejected": f"{rejected} {at}",
            }
            for at in range(20)
        ]
        table = pa.Table.from_pylist(rows, schema=schema)
        return freeze_rows(dataset, table, content_hash=name[0] * 64, counts=COUNTS)

    return [freeze("card", "Please look at the map", "no"), freeze("loan", "no", "Please look at the map")]


@pytest.fixture
def learn(workspace: Any, alice: Any, tmp_path: Path) -> Learn:
    """A version that learnt `data` with the real engine, on top of `base`, registered as a run leaves it."""

    def train(
        recipe: str, spec: Any, data: DatasetVersion, base: ModelVersion | None, earlier: Sequence[DatasetVersion] = ()
    ) -> ModelVersion:
        out = tmp_path / f"{recipe}-{data.pk}"
        before = [Earlier(version_file(one), one.content_hash, str(one), one.dataset.kind) for one in earlier]
        more: dict[str, Any] = {"earlier": before} if before else {}
        TRAIN[recipe](spec, version_file(data), out, Silent(), **more)
        return register_version(
            workspace=workspace,
            name="Writer",
            folder=out / "model",
            recipe=recipe,
            task="generation",
            making=Making(spec=to_mapping(spec)),
            dataset_version=data,
            parent=base,
            by=alice,
        )

    return train


def measured(actor: Any, version: ModelVersion) -> Remembering:
    """The matrix, after everything in it was measured."""
    evaluation.measure_tasks(actor=actor, version=version)
    while run_next("infer") is not None:
        pass
    assert set(EvaluationJob.objects.values_list("job__state", flat=True)) == {"succeeded"}
    found = remembering(version)
    assert found is not None and not found.missing
    return found


def on(base: ModelVersion) -> BaseModel:
    return BaseModel("version", str(base.pk), place=str(base.path))


def by_hand(found: Remembering, figure: str) -> list[list[float]]:
    """The matrix from the evaluations themselves."""
    rows = EvaluationJob.objects.all()
    known = {(row.model_version_id, row.dataset_version_id): row.headline[figure]["value"] for row in rows}
    return [[known[step.version.pk, other.data.pk] for other in found.steps] for step in found.steps]


def test_a_lineage_of_plain_texts_tells_token_accuracy(
    learn: Learn, corpora: list[DatasetVersion], actor: Any, api: Any, page: Any, alice: Any
) -> None:
    tiny: dict[str, Any] = {
        "layers": 1, "width": 16, "heads": 2, "context_tokens": 32, "batch_size": 2, "sample_count": 0,
        "learning_rate": 0.02, "epochs": 6,
    }  # fmt: skip
    first = learn("pretrain", PretrainSpec(vocabulary="byte", **tiny), corpora[0], None)
    going = {"vocabulary": "base_model", "weights": "base_model", "base_model": on(first), "keep": "replay"}
    after = learn("pretrain", PretrainSpec(**going, **tiny), corpora[1], first, corpora[:1])

    found = measured(actor, after)

    matrix = [[cell.value for cell in row] for row in found.cells]
    assert found.figures == ["token_accuracy"] and matrix == by_hand(found, "token_accuracy")
    assert all(0 < value < 1 for row in matrix for value in row if value is not None)
    assert matrix[1][1] > matrix[0][1]  # the second corpus was learnt by the second training
    assert all(found.summary[name].value is not None for name in ("acc", "aia", "bwt", "forgetting"))
    assert found.summary["bwt"].value == pytest.approx(matrix[1][0] - matrix[0][0])
    assert found.summary["fwt"].value is None and "before the first task" in found.summary["fwt"].why
    body = api(actor).get(f"/api/v1/model-versions/{after.pk}/remembering").json()
    assert (body["figure"], [row["figure"] for row in body["rows"]]) == ("token_accuracy", ["token_accuracy"] * 2)
    browser = page(alice)
    assert "Token accuracy" in browser.get(f"/w/harbour/evaluations/versions/{after.pk}/tasks").content.decode()
    report = browser.get(f"/w/harbour/evaluations/{found.cells[1][0].evaluation}").content.decode()
    assert "Token accuracy" in report and "Bits per byte" in report


def test_an_evaluation_from_before_a_figure_was_known_is_made_again(
    learn: Learn, corpora: list[DatasetVersion], actor: Any, chat_version: Callable[..., ModelVersion]
) -> None:
    version = chat_version(dataset_version=corpora[0], making=Making(spec={}), recipe="pretrain")
    row = evaluation.start_evaluation(actor=actor, model_version=version, dataset_version=corpora[0])
    run_next("infer")
    row.refresh_from_db()
    del row.metrics["headline"]["token_accuracy"]
    row.save(update_fields=["metrics"])

    before = remembering(version)
    again = evaluation.measure_tasks(actor=actor, version=version)

    assert before is not None and before.cells[0][0].why == "The evaluation has no figure of this name."
    assert [made.dataset_version_id for made in again] == [corpora[0].pk]


def test_a_lineage_of_preferences_tells_win_rates_over_its_first_base(
    learn: Learn,
    preferences: list[DatasetVersion],
    chat_version: Callable[..., ModelVersion],
    actor: Any,
    api: Any,
    page: Any,
    alice: Any,
    charlie: Any,
) -> None:
    base = chat_version("llama")
    tiny: dict[str, Any] = {
        "context_tokens": 96, "epochs": 8, "batch_size": 4, "learning_rate": 5e-3, "sample_count": 0, "beta": 0.3,
    }  # fmt: skip
    first = learn("prefer", PreferSpec(base_model=on(base), **tiny), preferences[0], base)
    after = learn("prefer", PreferSpec(base_model=on(first), **tiny), preferences[1], first)

    found = measured(actor, after)

    start = ({"base_model": to_mapping(PreferSpec(base_model=on(base)))["base_model"], "beta": 0.3},)
    folder = {f"version:{base.pk}": str(base.path)}
    assert preferred_over(first) == preferred_over(after) == (*start, folder) and preferred_over(base) == ({}, {})
    matrix = [[cell.value for cell in row] for row in found.cells]
    assert found.figures == ["win_rate"] and matrix == by_hand(found, "win_rate")
    assert [cell.value for cell in found.initial] == [0.5, 0.5] and found.initial_version == base
    assert matrix[0][0] == 1.0 and matrix[1][1] == 1.0 and matrix[1][0] == 0.0  # the opposite manner was learnt
    summary = {name: figure.value for name, figure in found.summary.items()}
    assert summary == {
        "acc": 0.5, "aia": 0.75, "bwt": -1.0, "fwt": matrix[0][1] - 0.5, "forgetting": 1.0, "most_forgotten": 1.0
    }  # fmt: skip
    assert found.summary["bwt"].low is not None  # a win rate is a share of rows

    browser, cell = page(alice), found.cells[1][0].evaluation
    assert "Win rate" in browser.get(f"/w/harbour/evaluations/versions/{after.pk}/tasks").content.decode()
    shown = browser.get(f"/w/harbour/evaluations/{cell}").content.decode()
    assert "a pair is won when" in shown and "Chosen preferred" in shown and "Please look at the map 4" in shown
    rows = api(actor).get(f"/api/v1/evaluations/{cell}/results?order=sure").json()["results"]
    sure = [row["probability"] for row in rows]
    assert sure == sorted(sure, reverse=True) and not any(row["correct"] for row in rows)
    made = evaluation.start_comparison(
        actor=actor,
        first=EvaluationJob.objects.get(pk=found.cells[0][0].evaluation),
        second=EvaluationJob.objects.get(pk=cell),
    )
    run_next("io")
    made = Comparison.objects.get(pk=made.pk)
    assert (made.figures["unit"], made.figures["win_rate"]["difference"]) == ("pair", -1.0)
    page_of_two = browser.get(f"/w/harbour/evaluations/comparisons/{made.pk}?flips=first_only").content.decode()
    assert "Win rate, second minus first" in page_of_two and "Please look at the map 4" in page_of_two
    assert ExampleResult.objects.filter(evaluation=cell, correct=False).count() == 4
    assert page(charlie).get(f"/w/harbour/evaluations/{cell}").status_code == 404
