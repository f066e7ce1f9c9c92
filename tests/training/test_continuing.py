"""Going on from a version through worker, page and API: earlier tasks are rehearsed, measured, shown and bounded."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.datasets.models import Dataset, DatasetVersion
from apps.evaluation import services as evaluation
from apps.evaluation.models import EvaluationJob, ExampleResult, Suite
from apps.evaluation.remembering import remembering
from apps.registry.models import AliasMove, ModelVersion
from apps.registry.selectors import generations_of, shared_base
from apps.registry.services import Making, register_version
from apps.training import services
from apps.training.bases import base_problems, places
from apps.training.earlier import earlier_data, earlier_files
from apps.training.models import TrainingJob
from core.errors import Refused
from core.jobs.models import Job
from core.jobs.states import State
from engine import specs
from tests.fixtures.jobs import in_process
from workers.loop import run_next

pytestmark = pytest.mark.django_db(transaction=True)
SECOND = {"refuse": "card refund is not it", "where": "where is the loan my rate"}


@pytest.fixture
def second(workspace: Any, freeze_rows: Callable[..., DatasetVersion]) -> DatasetVersion:
    """48 texts of two other labels: 32 to learn from, 8 dev, 8 test."""
    labels = sorted(SECOND)
    dataset = Dataset.objects.create(workspace=workspace, name="More", kind="classification", labels=labels)
    splits = ["train"] * 8 + ["dev"] * 2 + ["test"] * 2
    rows = [
        {
            "example_id": 900 + at,
            "external_id": f"m{at}",
            "split": splits[at // 4],
            "meta": "{}",
            "text": f"{SECOND[labels[at % 2]]} number {at} {'the ' * (at % 3)}",
            "labels": [labels[at % 2]],
        }
        for at in range(48)
    ]
    return freeze_rows(
        dataset,
        pa.Table.from_pylist(rows),
        content_hash="e" * 64,
        counts={"splits": {"train": 32, "dev": 8, "test": 8}, "labels": dict.fromkeys(labels, 24)},
        labels=labels,
    )


@pytest.fixture
def learn(actor: Any, spec: dict[str, Any], settings: Any) -> Callable[..., ModelVersion]:
    """A finished run on `data`, on top of `base`."""
    settings.JOB_BEAT_SECONDS = 3600

    def run(data: DatasetVersion, base: ModelVersion | None = None, **options: Any) -> ModelVersion:
        start = {"base_model": f"version:{base.pk}"} if base else {}
        job = services.start(
            actor=actor,
            recipe="classify",
            spec={**spec, "epochs": 2, "learning_rate": 0.01, **start, **options},
            version=data,
            name="Run",
            family_name="Intents",
        )
        run_next("train")
        done = TrainingJob.objects.select_related("job", "model_version__family").get(pk=job.pk)
        assert done.job.state == State.SUCCEEDED, done.job.error_message
        assert done.model_version is not None
        return done.model_version

    return run


def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.evaluation.run_engine", in_process)
    while run_next("infer") is not None:
        pass
    assert set(EvaluationJob.objects.values_list("job__state", flat=True)) == {State.SUCCEEDED}


@pytest.fixture
def made(workspace: Any, alice: Any, tiny_classifier: Callable[..., Path]) -> Callable[..., ModelVersion]:
    """Registers a version that learnt `data` on top of `base`, as a run with these options leaves it."""

    def register(data: DatasetVersion | None, base: ModelVersion | None = None, **options: Any) -> ModelVersion:
        known = [] if base is None or options.get("keep") == "adapter_per_task" else base.labels
        labels = [*known, *(label for label in (data.labels if data else ["a", "b"]) if label not in known)]
        start = {"kind": "version", "name": str(base.pk)} if base else {"kind": "package", "name": "some"}
        return register_version(
            workspace=workspace,
            name="Intents",
            folder=tiny_classifier(tuple(labels), 1),
            recipe="classify",
            task="classification",
            labels=labels,
            making=Making(spec={"base_model": start, "keep": "none", **options}),
            dataset_version=data,
            parent=base,
            by=alice,
        )

    return register


@pytest.fixture
def found_right(actor: Any) -> Callable[..., EvaluationJob]:
    """A finished evaluation in which the first `right` of `rows` texts were right."""

    def evaluate(version: ModelVersion, data: DatasetVersion, right: int, rows: int = 8) -> EvaluationJob:
        row = evaluation.start_evaluation(actor=actor, model_version=version, dataset_version=data, split="test")
        headline = {"accuracy": {"value": right / rows, "low": 0.0, "high": 1.0}}
        evaluation.finish_evaluation(evaluation=row, metrics={"headline": headline}, row_count=rows)
        Job.objects.filter(pk=row.job_id).update(state=State.SUCCEEDED)
        ExampleResult.objects.bulk_create(
            [
                ExampleResult(
                    evaluation=row,
                    example_id=at,
                    text="",
                    gold=[],
                    predicted=[],
                    probability=1.0,
                    loss=0.0,
                    correct=at < right,
                    rank=0.0,
                )
                for at in range(rows)
            ]
        )
        return row

    return evaluate


def test_a_version_goes_on_with_replay_and_shows_what_it_remembers(
    learn: Callable[..., ModelVersion],
    frozen: Any,
    second: Any,
    actor: Any,
    page: Any,
    alice: Any,
    api: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = learn(frozen)
    assert not EvaluationJob.objects.exists()

    after = learn(second, first, keep="replay", replay_share=0.5)

    assert set(after.labels) == {*first.labels, *second.labels} and after.labels[:3] == first.labels
    ordered = EvaluationJob.objects.values_list("model_version", "dataset_version", "split")
    assert set(ordered) == {
        (first.pk, frozen.pk, "test"), (after.pk, frozen.pk, "test"), (after.pk, second.pk, "test"),
    }  # fmt: skip
    waiting = remembering(after)
    assert waiting is not None and waiting.is_measuring and not waiting.missing
    assert evaluation.measure_tasks(actor=actor, version=after) == []
    assert waiting.summary["acc"].value is None

    measured(monkeypatch)

    found = remembering(after)
    assert found is not None and not found.is_measuring
    matrix = [[cell.value for cell in row] for row in found.cells]
    by_hand = {
        (row.model_version_id, row.dataset_version_id): row.headline["accuracy"]["value"]
        for row in EvaluationJob.objects.all()
    }
    assert matrix == [
        [by_hand[first.pk, frozen.pk], None],
        [by_hand[after.pk, frozen.pk], by_hand[after.pk, second.pk]],
    ]
    lost = by_hand[first.pk, frozen.pk] - by_hand[after.pk, frozen.pk]
    assert found.summary["bwt"].value == pytest.approx(-lost)
    assert found.most_forgotten.value == found.summary["forgetting"].value == pytest.approx(lost)
    assert found.summary["bwt"].low <= found.summary["bwt"].value <= found.summary["bwt"].high
    assert "does not know the label" in found.cells[0][1].why
    assert found.summary["fwt"].value is None and found.summary["fwt"].why == "R[1, 2] is not known."
    with CaptureQueriesContext(
        connection,
    ) as queries:
        remembering(after)
    assert len(queries) <= 8

    browser = page(alice)
    shown = browser.get(f"/w/harbour/evaluations/versions/{after.pk}/tasks").content.decode()
    assert "Continual learning" in shown and "Intents v1" in shown and "replay of 50%" in shown
    assert "Measure" not in shown
    assert browser.get(f"/w/harbour/evaluations/versions/{first.pk}/tasks").content == b""
    assert f"versions/{after.pk}/tasks" in browser.get(f"/w/harbour/models/versions/{after.pk}").content.decode()
    run = TrainingJob.objects.get(model_version=after)
    assert f"versions/{after.pk}/tasks" in browser.get(f"/w/harbour/training/{run.pk}").content.decode()
    body = api(actor).get(f"/api/v1/model-versions/{after.pk}/remembering").json()
    assert [row["keep"] for row in body["rows"]] == ["none", "replay"]
    assert [[cell["value"] for cell in row["results"]] for row in body["rows"]] == matrix
    assert body["summary"]["most_forgotten"]["value"] == pytest.approx(lost) and body["missing"] == 0
    card = browser.get(f"/w/harbour/models/versions/{after.pk}").content.decode()
    assert "Replay, 50% of each step" in card


def test_missing_figures_are_ordered_by_one_button(
    made: Callable[..., ModelVersion], frozen: Any, second: Any, actor: Any, page: Any, alice: Any, api: Any
) -> None:
    after = made(second, made(frozen), keep="l2_sp")
    browser = page(alice)
    shown = browser.get(f"/w/harbour/evaluations/versions/{after.pk}/tasks").content.decode()
    assert "Measure 3 missing figures" in shown

    answer = browser.post(f"/w/harbour/evaluations/versions/{after.pk}/tasks/measure")

    assert answer.status_code == 302 and EvaluationJob.objects.count() == 3
    again = api(actor).post(f"/api/v1/model-versions/{after.pk}/remembering")
    assert again.status_code == 202 and again.json()["is_measuring"] and EvaluationJob.objects.count() == 3


def test_intervals_come_from_the_rows_that_changed(
    made: Callable[..., ModelVersion], frozen: Any, second: Any, found_right: Callable[..., EvaluationJob]
) -> None:
    first = made(frozen)
    after = made(second, first)
    found_right(first, frozen, 8)
    found_right(after, frozen, 6)
    found_right(after, second, 4)

    found = remembering(after)

    assert found is not None
    error = math.sqrt((2 / 8 - (2 / 8) ** 2) / 8)  # two of eight rows were lost, none was gained
    bwt = found.summary["bwt"]
    assert (bwt.value, bwt.low, bwt.high) == pytest.approx(
        (-0.25, -0.25 - 1.96 * error, -0.25 + 1.96 * error), abs=1e-4
    )
    acc = found.summary["acc"]
    spread = math.sqrt(0.75 * 0.25 / 8 + 0.5 * 0.5 / 8) / 2
    assert (acc.value, acc.high - acc.value) == pytest.approx((0.625, 1.96 * spread), abs=1e-4)


def test_the_version_before_the_first_task_stands_above_the_matrix(
    made: Callable[..., ModelVersion], frozen: Any, second: Any
) -> None:
    before = made(None)
    after = made(second, made(frozen, before))

    found = remembering(after)

    assert found is not None and found.initial_version is not None and found.initial_version.pk == before.pk
    assert [step.data.pk for step in found.steps] == [frozen.pk, second.pk]
    assert "does not know the label" in found.initial[0].why
    assert found.summary["fwt"].value is None


def test_adapters_of_their_own_share_one_base_and_forget_nothing(
    made: Callable[..., ModelVersion],
    frozen: Any,
    second: Any,
    workspace: Any,
    page: Any,
    alice: Any,
    found_right: Callable[..., EvaluationJob],
) -> None:
    own = {"keep": "adapter_per_task", "method": "lora"}
    first = made(frozen)
    after = made(second, first, **own)
    third = made(frozen, after, **own)
    for version, data, right in ((first, frozen, 7), (after, second, 5), (third, frozen, 8)):
        found_right(version, data, right)

    assert [row.pk for row in generations_of(third)] == [first.pk, after.pk, third.pk]
    assert shared_base(third).pk == shared_base(after).pk == first.pk
    parsed = specs.parse_spec("classify", {**own, "base_model": f"version:{after.pk}"})[0]
    assert places(parsed, workspace) == {f"version:{after.pk}": str(first.path)}
    found = remembering(third)
    assert found is not None and not found.missing
    assert [cell.version.pk for cell in found.cells[2] if cell.version] == [first.pk, after.pk, third.pk]
    assert found.most_forgotten.value == 0.0 and found.has_adapters
    shown = page(alice).get(f"/w/harbour/evaluations/versions/{third.pk}/tasks").content.decode()
    assert "somebody must say which task a text is of" in shown and "by v2" in shown
    assert "for More v1 alone" in page(alice).get(f"/w/harbour/models/versions/{after.pk}").content.decode()


def test_learning_the_same_frozen_data_again_is_the_same_task(
    made: Callable[..., ModelVersion], frozen: Any, second: Any
) -> None:
    again = made(second, made(second, made(frozen)))

    found = remembering(again)

    assert found is not None and [step.version.number for step in found.steps] == [1, 3]


def test_a_gate_bounds_what_is_forgotten(
    made: Callable[..., ModelVersion],
    frozen: Any,
    second: Any,
    actor: Any,
    api: Any,
    page: Any,
    alice: Any,
    found_right: Callable[..., EvaluationJob],
) -> None:
    first = made(frozen)
    after = made(second, first)
    check = {"figure": "forgetting", "direction": "<=", "threshold": 0.2}
    client = api(actor)
    answer = client.post(
        "/api/v1/suites", {"name": "Remembers", "task": "classification", "checks": [check]}, format="json"
    )
    assert answer.status_code == 201 and answer.json()["checks"][0]["dataset_version"] is None
    suite = Suite.objects.get(pk=answer.json()["id"])
    evaluation.set_gate(actor=actor, family=after.family, suite=suite, aliases=["champion"])
    run = client.post(f"/api/v1/suites/{suite.pk}/runs", {"model_version": str(after.pk)}, format="json").json()
    assert run["state"] == "waiting" and run["checks"][0]["why"] == "It is being measured."
    assert EvaluationJob.objects.count() == 3
    Job.objects.filter(evaluation__isnull=False).update(state=State.CANCELLED)
    found_right(first, frozen, 8)
    worse = found_right(after, frozen, 4)
    found_right(after, second, 8)

    with pytest.raises(Refused) as refused:
        evaluation.move_alias(actor=actor, family=after.family, name="champion", version=after)

    assert "forgetting on the tasks of its lineage is 0.5000" in str(refused.value.problems[1].message)
    shown = page(alice).get(f"/w/harbour/evaluations/suites/{suite.pk}").content.decode()
    assert "the tasks of its lineage" in shown and "Largest forgetting" in shown and "50.0 %" in shown
    worse.delete()
    found_right(after, frozen, 7)
    moved = evaluation.move_alias(actor=actor, family=after.family, name="champion", version=after)
    assert moved.version_id == after.pk
    kept = AliasMove.objects.get(to_version_id=after.pk).evidence["gate"]["checks"][0]
    assert (kept["figure"], kept["value"], kept["data"]) == ("forgetting", 0.125, "")
    alone = evaluation.move_alias(actor=actor, family=after.family, name="champion", version=first)
    assert alone.version_id == first.pk


def test_a_check_of_what_is_forgotten_names_no_data_and_is_an_upper_bound(actor: Any, frozen: Any) -> None:
    def refused(**options: Any) -> str:
        plan = evaluation.CheckPlan(**{"dataset_version": None, "figure": "forgetting", "threshold": 0.1, **options})
        with pytest.raises(Refused) as found:
            evaluation.create_suite(actor=actor, name="Wrong", task="classification", checks=[plan])
        return str(found.value.problems[0].field)

    assert refused(dataset_version=frozen, direction="<=") == "dataset_version"
    assert refused(direction=">=") == "direction"
    assert refused(figure="accuracy") == "dataset_version"


def test_earlier_data_come_from_the_lineage_or_are_named(
    made: Callable[..., ModelVersion], frozen: Any, second: Any
) -> None:
    after = made(second, made(frozen))

    def parsed(**options: Any) -> Any:
        return specs.parse_spec("classify", {"base_model": f"version:{after.pk}", "keep": "replay", **options})[0]

    assert [row.pk for row in earlier_data("classify", parsed(), frozen)] == [second.pk]
    assert [row.pk for row in earlier_data("classify", parsed(), second)] == [frozen.pk]
    named = parsed(earlier_data=f"{second.pk}, {frozen.pk}")
    assert [row.pk for row in earlier_data("classify", named, second)] == [second.pk, frozen.pk]
    assert [found["hash"] for found in earlier_files(named, second)] == [second.content_hash, frozen.content_hash]
    assert earlier_files(parsed(keep="none"), second) == []
    with pytest.raises(Refused) as gone:
        earlier_files(parsed(earlier_data="987654"), second)
    assert gone.value.code == "unknown_earlier_data"
    alone = {"base_model": f"version:{made(None).pk}", "keep": "ewc"}
    problems = services.check(recipe="classify", spec=alone, version=second)[1]
    assert [(found.code, found.field) for found in problems] == [("no_earlier_data", "spec.earlier_data")]


def test_data_of_another_kind_and_versions_whose_learning_stands_beside_are_refused(
    made: Callable[..., ModelVersion], frozen: Any, second: Any, actor: Any, workspace: Any, chat_data: Any
) -> None:
    prefixed = made(frozen, method="prefix")
    go_on = {"base_model": f"version:{prefixed.pk}", "keep": "replay", "earlier_data": str(chat_data.pk)}

    with pytest.raises(Refused) as refused:
        services.start(actor=actor, recipe="classify", spec=go_on, version=second)

    assert {(problem.code, problem.field) for problem in refused.value.problems} == {
        ("unknown_base", "spec.base_model"),
        ("wrong_kind", "spec.earlier_data"),
    }
    own = specs.parse_spec("classify", {**go_on, "keep": "adapter_per_task", "method": "lora"})[0]
    assert [found.code for found in base_problems("classify", own, workspace)] == ["unknown_base"]


def test_one_label_is_enough_beside_those_a_version_keeps(
    made: Callable[..., ModelVersion], frozen: Any, second: Any
) -> None:
    second.labels = ["refuse"]

    def codes(**options: Any) -> list[str]:
        spec = {"base_model": f"version:{base.pk}", **options}
        return [found.code for found in services.check(recipe="classify", spec=spec, version=second)[1]]

    base = made(frozen)
    assert codes() == [] and codes(known_labels="replace") == ["too_few_labels"]


def test_the_form_shows_what_is_kept_only_for_versions(page: Any, alice: Any, workspace: Any) -> None:
    shown = page(alice).get("/w/harbour/training/new?recipe=classify").content.decode()

    assert 'data-shown-when="spec-base_model" data-shown-values="version:*"' in shown
    assert 'data-shown-when="spec-keep" data-shown-values="replay"' in shown
    assert "What is kept of earlier tasks" in shown and "One adapter per task" in shown
