"""Going on from a version of the recipes whose rows are learnt against each other: vectors, preferences, few texts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.base_models import load_tokenizer
from engine.continuing import Earlier
from engine.contrastive import rehearsed_batches, rehearsed_size
from engine.failures import Stopped
from engine.preflight import preflight
from engine.recipes import embed, embed_rehearsal, embed_setup, few_shot
from engine.report import Silent
from engine.specs import BaseModel, EmbedSpec, parse_spec
from engine.specs.few_shot import FewShotSpec

OF_KEEP: dict[str, dict[str, Any]] = {
    "replay": {"replay_share": 0.4},
    "l2_sp": {"l2_sp_alpha": 0.5},
    "ewc": {"fisher_rows": 12, "ewc_lambda": 50.0},
}


def version(folder: Path) -> BaseModel:
    return BaseModel("version", "7", place=str(folder))


def hashes(result: dict[str, Any]) -> str:
    return str(result["files"]["model.safetensors"]["sha256"])


@pytest.mark.parametrize("keep", OF_KEEP)
def test_a_stopped_continuation_of_an_embedder_resumes_to_the_same_weights(
    keep: str, encoder: Path, pairs: Path, texts: Path, tmp_path: Path, told: Any
) -> None:
    """Classes are rehearsed beside pairs: each task is told apart by itself."""
    options: dict[str, Any] = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-2, "max_length_tokens": 16}
    begin = EmbedSpec(base_model=BaseModel("folder", str(encoder)), **{**options, "epochs": 1})
    made = embed.train(begin, texts, tmp_path / "base", Silent(), data_kind="classification")
    spec = EmbedSpec(base_model=version(Path(made["model"])), keep=keep, **OF_KEEP[keep], **options)
    more: dict[str, Any] = {"earlier": [Earlier(texts, "hash", "first", "classification")]}
    whole = embed.train(spec, pairs, tmp_path / "whole", Silent(), **more)

    stopped = told(stop_after=4)
    with pytest.raises(Stopped):
        embed.train(spec, pairs, tmp_path / "first", stopped, **more)
    resumed = embed.train(spec, pairs, tmp_path / "second", Silent(), resume_from=Path(stopped.checkpoints[-1]), **more)

    assert hashes(resumed) == hashes(whole) and resumed["history"] == whole["history"]
    found = preflight(spec, pairs, Silent(), data_kind="pairs", **more)
    assert found["estimate"]["steps"] == whole["steps"]


@pytest.fixture
def lessons(encoder: Path, pairs: Path, texts: Path) -> Any:
    """(spec, a lesson of pairs with one of classes rehearsed beside it)."""
    spec = EmbedSpec(base_model=version(encoder), keep="replay", replay_share=0.25, batch_size=16)
    tokenizer = load_tokenizer(str(encoder))
    parts = embed_setup.arrange(spec, pairs, "pairs")[0]
    earlier = [Earlier(texts, "hash", "first", "classification")]
    old = embed_rehearsal.earlier_lessons(spec, parts, earlier, tokenizer, 16, "pairs")
    return spec, embed_rehearsal.Rehearsal([embed_setup.lesson_of(spec, parts["train"], tokenizer, 16), *old], 0.25)


def test_a_share_of_each_contrastive_step_is_of_earlier_tasks_told_apart_by_themselves(lessons: Any) -> None:
    spec, lesson = lessons
    first = len(lesson.lessons[0].ids)

    steps = lesson.batches(0, spec.batch_size)

    assert sorted(at for step in steps for at in step if at < first) == list(range(first))
    assert {sum(at >= first for at in step) for step in steps} == {4}
    assert steps == lesson.batches(0, spec.batch_size) != lesson.batches(1, spec.batch_size)
    rows = steps[0]
    count = len(lesson.sequences(rows))
    torch.manual_seed(1)
    vectors = torch.nn.functional.normalize(torch.randn(count, 8), dim=-1)
    new, old = rows[:-4], [at - first for at in rows[-4:]]
    apart = [lesson.lessons[0].losses(vectors[: count - 4], new), lesson.lessons[1].losses(vectors[count - 4 :], old)]
    assert torch.equal(lesson.losses(vectors, rows), torch.cat(apart))
    turned = [*rows[-4:], *rows[:-4]]  # in whatever order rows come, each has its own loss
    assert torch.equal(lesson.losses(vectors, turned), torch.cat(apart[::-1]))


def test_what_a_row_is_told_apart_from_is_what_its_loss_is_made_of(lessons: Any) -> None:
    pairs, classes = lessons[1].lessons
    of_pairs, of_one_class = pairs.batches(0, 8)[0], [0, 3, 6, 9]
    torch.manual_seed(2)

    def vectors(lesson: Any, batch: list[int]) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.randn(len(lesson.sequences(batch)), 8), dim=-1)

    found = vectors(pairs, of_pairs)
    logits = pairs.logits(found, of_pairs)
    there, back = torch.log_softmax(logits, -1).diagonal(), torch.log_softmax(logits.T, -1).diagonal()
    torch.testing.assert_close(pairs.losses(found, of_pairs), -(there + back) / 2)
    found = vectors(classes, of_one_class)
    said = torch.log_softmax(classes.logits(found, of_one_class), -1)
    torch.testing.assert_close(classes.losses(found, of_one_class)[0], -said[0, 1:].mean())


def test_earlier_tasks_take_turns_and_begin_again_when_they_are_used_up() -> None:
    new = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]

    def task(first: int, rounds: list[int]) -> Any:
        def batches(number: int) -> list[list[int]]:
            rounds.append(number)
            return [[first + 4, first + 5], [first + 10 * number, first + 1, first + 2], [first + 3]]

        return batches

    one: list[int] = []
    found = rehearsed_batches(new, [task(100, one), task(200, [])])

    assert [batch[:2] for batch in found] == new
    assert [batch[2:] for batch in found] == [
        [100, 101, 102], [200, 201, 202], [104, 105], [204, 205], [110, 101, 102],
    ]  # fmt: skip
    assert one == [0, 0, 1]  # looked at once, then two rounds
    assert rehearsed_batches(new, [lambda _number: [[7]]]) == new
    assert [rehearsed_size(size, 0.25) for size in (4, 16, 64)] == [2, 4, 16]


@pytest.mark.parametrize("keep", ["replay", "l2_sp"])
def test_a_few_shot_continuation_resumes_to_the_same_weights(
    keep: str, encoder: Path, texts: Path, text_file: Any, tmp_path: Path, told: Any
) -> None:
    options: dict[str, Any] = {
        "epochs": 3, "batch_size": 8, "learning_rate": 1e-2, "max_length_tokens": 32, "curve": "3,4", "base_share": 0.2,
    }  # fmt: skip
    rows = [
        (f"{('where', 'today')[at % 2]} {'is it not with a why '[: 4 + at % 9 * 2]}{at}", [("where", "today")[at % 2]])
        for at in range(24)
    ]
    splits = ["train"] * 12 + ["dev"] * 6 + ["test"] * 6
    data = text_file(tmp_path / "new.parquet", [(*row, split) for row, split in zip(rows, splits, strict=True)])
    spec = FewShotSpec(base_model=version(encoder), keep=keep, **OF_KEEP[keep], **options)
    more: dict[str, Any] = {"earlier": [Earlier(texts, "hash", "first", "classification")]}
    whole = few_shot.train(spec, data, tmp_path / "whole", Silent(), **more)

    stopped = told(stop_after=5)
    with pytest.raises(Stopped):
        few_shot.train(spec, data, tmp_path / "first", stopped, **more)
    resumed = few_shot.train(
        spec, data, tmp_path / "second", Silent(), resume_from=Path(stopped.checkpoints[-1]), **more
    )

    assert hashes(resumed) == hashes(whole) and resumed["history"] == whole["history"]
    old = ["card", "loan", "transfer"] if keep == "replay" else []
    assert whole["labels"] == [*old, "today", "where"]
    assert {count: len(ids) for count, ids in whole["example_ids"].items()} == {"3": 6, "4": 8}
    found = preflight(spec, data, Silent(), **more)
    assert found["rows"]["train"] == 8 and found["estimate"]["steps"] >= whole["steps"]


def test_an_adapter_of_its_own_learns_a_few_shot_task_beside_the_base(
    encoder: Path, texts: Path, text_file: Any, tmp_path: Path, told: Any
) -> None:
    options: dict[str, Any] = {
        "epochs": 3, "batch_size": 8, "learning_rate": 1e-2, "max_length_tokens": 32, "shots": 4, "base_share": 0.0,
    }  # fmt: skip
    first = few_shot.train(
        FewShotSpec(base_model=BaseModel("folder", str(encoder)), **options), texts, tmp_path / "base", Silent()
    )
    rows = [(f"{('where', 'today')[at % 2]} is it {at}", [("where", "today")[at % 2]]) for at in range(24)]
    splits = ["train"] * 12 + ["dev"] * 6 + ["test"] * 6
    data = text_file(tmp_path / "new.parquet", [(*row, split) for row, split in zip(rows, splits, strict=True)])
    own = {"keep": "adapter_per_task", "method": "lora", "adapter_rank": 2, "adapter_learning_rate": 1e-2}
    spec = FewShotSpec(base_model=version(Path(first["model"])), **own, **options)
    whole = few_shot.train(spec, data, tmp_path / "whole", Silent())

    stopped = told(stop_after=2)
    with pytest.raises(Stopped):
        few_shot.train(spec, data, tmp_path / "first", stopped)
    resumed = few_shot.train(spec, data, tmp_path / "second", Silent(), resume_from=Path(stopped.checkpoints[-1]))

    assert whole["labels"] == ["today", "where"] and first["labels"] == ["card", "loan", "transfer"]
    assert whole["trainable_parameters"] < whole["parameters"] / 2
    adapter = "adapter/adapter_model.safetensors"
    assert resumed["files"][adapter] == whole["files"][adapter] and resumed["history"] == whole["history"]
    before, after = (load_file(Path(run["model"]) / "model.safetensors") for run in (first, whole))
    moved = {name for name in before.keys() & after.keys() if not torch.equal(before[name], after[name])}
    assert moved and not any("LayerNorm" in name or "embeddings" in name for name in moved)  # what LoRA leaves alone


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("few_shot", {"keep": "ewc"}),
        ("few_shot", {"keep": "replay", "way": "verbaliser"}),
        ("embed", {"keep": "ewc", "method": "lora"}),
        ("prefer", {"keep": "l2_sp", "method": "lora"}),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(recipe: str, options: dict[str, Any]) -> None:
    spec, problems = parse_spec(recipe, {"base_model": "version:3", **options})

    assert spec is None and [problem.field for problem in problems] == ["keep"]
