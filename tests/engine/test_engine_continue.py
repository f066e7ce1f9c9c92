"""Going on from a model version: outputs kept bit by bit, rehearsed steps, pulls by their formulas, resumes that are equal."""

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.continuing import Anchor, Earlier, anchor_of, estimate_importance, places_of
from engine.data import read_texts
from engine.failures import RunFailed, Stopped
from engine.model_folder import open_classifier
from engine.plan import rehearsed_windows, taken_in_turns
from engine.predict import load_classifier
from engine.preflight import preflight
from engine.recipes import classify, classify_setup, extract, sft, sft_setup, tag, tag_setup
from engine.report import Silent
from engine.specs import BaseModel, ClassifySpec, ExtractSpec, SftSpec, TagSpec, parse_spec
from engine.tagger_folder import open_tagger

COMMON: dict[str, Any] = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-2}
CLASSIFY: dict[str, Any] = {**COMMON, "head_learning_rate": 1e-2, "max_length_tokens": 32, "token_dropout": 0.0}


def version(folder: Path) -> BaseModel:
    return BaseModel("version", "7", place=str(folder))


@pytest.fixture(scope="module")
def first(encoder: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of card, loan and transfer."""
    spec = ClassifySpec(base_model=BaseModel("folder", str(encoder)), **{**CLASSIFY, "epochs": 12})
    return Path(classify.train(spec, texts, tmp_path_factory.mktemp("first"), Silent())["model"])


@pytest.fixture
def second(text_file: Any, labelled: Any, tmp_path: Path) -> Path:
    """Texts of two labels the first version does not know: long and short ones of other words."""
    rows = []
    for at in range(60):
        label = ("where", "today")[at % 2]
        text = f"{label} {'is it not with a why '[: 6 + at % 12 * 2]} {label} {'please ' * (at % 5)}{'a ' * (at % 7)}"
        rows.append((text, [label], "train" if at < 40 else "dev" if at < 50 else "test"))
    return text_file(tmp_path / "second.parquet", rows)


def task(path: Path) -> Earlier:
    return Earlier(path, "hash-of-the-first", "first")


def hashes(result: dict[str, Any]) -> str:
    return str(result["files"]["model.safetensors"]["sha256"])


def test_the_outputs_of_known_labels_are_the_same_numbers_before_the_first_step(first: Path) -> None:
    spec = ClassifySpec(base_model=version(first), **CLASSIFY)
    before = open_classifier(first)[0]

    kept = classify_setup.kept_labels(spec)
    wide = classify_setup.going_on(spec, [*kept, "new"], kept)[0]

    assert kept == ["card", "loan", "transfer"]
    assert torch.equal(wide.head.weight[:3], before.head.weight) and torch.equal(wide.head.bias[:3], before.head.bias)
    with torch.no_grad():
        torch.testing.assert_close(wide.eval()([[2, 5, 9, 3]])[:, :3], before([[2, 5, 9, 3]]))


def test_a_native_head_is_widened_where_it_gives_numbers(roberta: Path, texts: Path, tmp_path: Path) -> None:
    spec = ClassifySpec(base_model=BaseModel("folder", str(roberta)), **CLASSIFY, pooling="native")
    folder = Path(classify.train(spec, texts, tmp_path, Silent())["model"])
    again = ClassifySpec(base_model=version(folder), **CLASSIFY)
    before = open_classifier(folder)[0]

    kept_names = classify_setup.kept_labels(again)
    wide = classify_setup.going_on(again, [*kept_names, "new"], kept_names)[0]

    assert classify_setup.head_layer(wide) == "network.classifier.out_proj"
    kept = before.network.classifier.out_proj
    assert torch.equal(wide.network.classifier.out_proj.weight[:3], kept.weight)
    with torch.no_grad():
        torch.testing.assert_close(wide.eval()([[0, 5, 9, 2]])[:, :3], before([[0, 5, 9, 2]]))


def test_a_classifier_on_a_decoder_keeps_its_outputs_too(tiny_chat: Any, texts: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {**CLASSIFY, "epochs": 1}
    spec = ClassifySpec(base_model=BaseModel("folder", str(tiny_chat("own"))), **options)
    folder = Path(classify.train(spec, texts, tmp_path, Silent())["model"])
    again = ClassifySpec(base_model=version(folder), **options)
    kept = classify_setup.kept_labels(again)

    wide, _tokenizer = classify_setup.going_on(again, [*kept, "new"], kept)

    assert kept == ["card", "loan", "transfer"] and wide.head.bias is None
    assert torch.equal(wide.head.weight[:3], open_classifier(folder)[0].head.weight)
    assert classify_setup.output_names(wide) == ["head.weight"]
    other = ClassifySpec(base_model=version(tiny_chat("own")), keep="ewc", **options)
    with pytest.raises(RunFailed):  # a model that writes gives no labels that could tell what its weights mean
        classify_setup.kept_labels(other)


def test_a_tagger_keeps_the_tags_and_case_features_it_knows(encoder: Path, marked: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {**CLASSIFY, "stride_tokens": 8}
    spec = TagSpec(base_model=BaseModel("folder", str(encoder)), **options)
    folder = Path(tag.train(spec, marked, tmp_path, Silent())["model"])
    before = open_tagger(folder)
    again = TagSpec(base_model=version(folder), **options)

    wide = tag_setup.open_network(
        again, str(folder), before.tokenizer, ["card", "loan", "transfer", "new"], tag_setup.kept_labels(again)
    )

    old, now = before.model, wide
    assert now.network.classifier.weight.shape[0] == 9
    assert torch.equal(now.network.classifier.weight[:7], old.network.classifier.weight)
    assert now.case is not None and old.case is not None and torch.equal(now.case.weight, old.case.weight)
    assert now.case.weight.abs().sum() > 0


def test_a_share_of_every_step_is_of_earlier_tasks_in_turns() -> None:
    lengths, earlier = [5] * 20 + [7] * 4 + [9] * 30, [range(20, 24), range(24, 54)]
    plan: dict[str, Any] = {"share": 0.25, "seed": 3, "rows_per_step": 8, "rows_at_once": 4, "tokens_at_once": 1000}

    steps = rehearsed_windows(lengths, earlier, epoch=0, **plan)

    flat = [[at for batch in step for at in batch] for step in steps]
    assert sorted(at for step in flat for at in step if at < 20) == list(range(20))
    for step in flat:
        assert sum(20 <= at < 24 for at in step) == sum(at >= 24 for at in step) == 1
    assert steps == rehearsed_windows(lengths, earlier, epoch=0, **plan)
    assert steps != rehearsed_windows(lengths, earlier, epoch=1, **plan)
    drawn = taken_in_turns([range(3), range(10, 12)], 10, seed=1, epoch=0)
    assert sorted(drawn[0::2][:3]) == [0, 1, 2] and sorted(drawn[1::2][:2]) == sorted(drawn[1::2][2:4]) == [10, 11]


def test_windows_are_found_by_the_rows_they_are_of() -> None:
    class Piece:
        def __init__(self, row: int) -> None:
            self.row = row

    pieces = [Piece(row) for row in (0, 0, 1, 3, 3, 3, 4)]

    assert places_of(pieces, [range(1, 4), range(4, 6), range(6, 7)]) == [range(2, 6), range(6, 7)]


def test_replay_keeps_most_of_what_a_naive_run_forgets(first: Path, texts: Path, second: Path, tmp_path: Path) -> None:
    before = read_texts(texts)["test"]

    def right(keep: str) -> float:
        spec = ClassifySpec(base_model=version(first), keep=keep, replay_share=0.5, **{**CLASSIFY, "epochs": 8})
        result = classify.train(
            spec, second, tmp_path / keep, Silent(), earlier=[task(texts)] if keep == "replay" else []
        )
        assert result["labels"] == ["card", "loan", "transfer", "today", "where"]
        assert result["evaluations"]["test"]["headline"]["accuracy"]["value"] >= 0.9
        said = classify_labels(Path(result["model"]), before.texts)
        return sum(a == b[0] for a, b in zip(said, before.labels, strict=True)) / len(said)

    assert right("replay") >= 0.8 > 0.5 > right("none")


def classify_labels(folder: Path, lines: list[str]) -> list[str]:
    return [labels[0] for labels in load_classifier(folder).predict(lines).labels]


OF_KEEP: dict[str, dict[str, Any]] = {
    "replay": {"replay_share": 0.4},
    "l2_sp": {"l2_sp_alpha": 0.5, "l2_sp_beta": 0.1},
    "ewc": {"fisher_rows": 12, "ewc_lambda": 50.0},
}


@pytest.mark.parametrize("keep", OF_KEEP)
def test_a_stopped_continuation_resumes_to_the_same_weights(
    first: Path, texts: Path, second: Path, tmp_path: Path, told: Any, keep: str
) -> None:
    spec = ClassifySpec(base_model=version(first), keep=keep, **{**CLASSIFY, "token_dropout": 0.1}, **OF_KEEP[keep])
    more: dict[str, Any] = {"earlier": [task(texts)]}
    whole = classify.train(spec, second, tmp_path / "whole", Silent(), **more)

    stopped = told(stop_after=7)
    with pytest.raises(Stopped):
        classify.train(spec, second, tmp_path / "first", stopped, **more)
    resumed = classify.train(
        spec, second, tmp_path / "second", Silent(), resume_from=Path(stopped.checkpoints[-1]), **more
    )

    assert hashes(resumed) == hashes(whole) and resumed["history"] == whole["history"]
    more = {"earlier": [Earlier(texts, "another hash")], "resume_from": Path(stopped.checkpoints[-1])}
    with pytest.raises(RunFailed) as refused:
        classify.train(spec, second, tmp_path / "third", Silent(), **more)
    assert refused.value.code == "checkpoint_mismatch"


@pytest.mark.parametrize("keep", ["replay", "ewc"])
def test_a_stopped_continuation_of_a_tagger_a_reader_and_a_writer_resumes_to_the_same_weights(
    keep: str, encoder: Path, pair_encoder: Path, marked: Path, questions: Path, chats: Path, tmp_path: Path, told: Any
) -> None:
    small: dict[str, Any] = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-2}
    chat: dict[str, Any] = {
        "width": 16,
        "layers": 1,
        "heads": 2,
        "kv_heads": 2,
        "context_tokens": 64,
        "vocabulary_size": 300,
    }
    chat |= {"answered_rows": 0, "sample_count": 0}
    kinds: list[tuple[Any, Any, Path, Path | None, dict[str, Any]]] = [
        (tag, TagSpec, marked, encoder, {**small, "max_length_tokens": 48, "stride_tokens": 8}),
        (extract, ExtractSpec, questions, pair_encoder, {**small, "max_length_tokens": 32, "stride_tokens": 8}),
        (sft, SftSpec, chats, None, {**small, **chat, "batch_size": 2}),
    ]
    for recipe, kind, data, base, options in kinds:
        place = tmp_path / recipe.__name__
        begin = {"base_model": BaseModel("folder", str(base))} if base else {}
        made = recipe.train(kind(**begin, **options), data, place / "base", Silent())
        spec = kind(base_model=version(Path(made["model"])), keep=keep, **OF_KEEP[keep], **{**options, "epochs": 2})
        more: dict[str, Any] = {"earlier": [task(data)]}
        whole = recipe.train(spec, data, place / "whole", Silent(), **more)

        stopped = told(stop_after=3)
        with pytest.raises(Stopped):
            recipe.train(spec, data, place / "first", stopped, **more)
        resumed = recipe.train(
            spec, data, place / "second", Silent(), resume_from=Path(stopped.checkpoints[-1]), **more
        )

        assert hashes(resumed) == hashes(whole), recipe.__name__


def test_l2_sp_pulls_old_weights_to_their_start_and_new_outputs_to_zero() -> None:
    layer = torch.nn.Linear(2, 3)
    spec = ClassifySpec(base_model=BaseModel("version", "1"), keep="l2_sp", l2_sp_alpha=2.0, l2_sp_beta=0.5)
    start = layer.weight.detach().clone()
    anchor = anchor_of(spec, layer, {"weight": [2], "bias": [2]})
    assert anchor is not None
    with torch.no_grad():
        layer.weight.add_(1.0)
    layer.weight.grad = torch.ones(3, 2)

    anchor.before_step()

    penalty = 2.0 / 2 * (layer.weight[:2] - start[:2]).square().sum() + 0.5 / 2 * layer.weight[2].square().sum()
    (expected,) = torch.autograd.grad(penalty, layer.weight)
    torch.testing.assert_close(layer.weight.grad, 1 + expected)
    assert anchor.tensors() == {}


def test_the_fisher_of_a_logistic_unit_is_its_variance_times_the_square_of_the_input() -> None:
    layer = torch.nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.3], [-0.4]]))
    anchor = Anchor(dict(layer.named_parameters()), {"weight": layer.weight.detach().clone()}, is_learnt=True)
    spec = ClassifySpec(base_model=BaseModel("version", "1"), keep="ewc", ewc_lambda=3.0, fisher_rows=4000)

    estimate_importance(anchor, spec, [range(4000)], lambda _at: layer(torch.tensor([[2.0]])), Silent(), seed=1)

    p = torch.softmax(torch.tensor([0.6, -0.8]), -1)[0]  # E[(y - p)^2] x^2 = p (1 - p) 4
    torch.testing.assert_close(
        anchor.importance["weight"], torch.full((2, 1), float(3 * p * (1 - p) * 4)), rtol=0.05, atol=0
    )
    kept = anchor.tensors()
    again = Anchor(anchor.parameters, anchor.start, is_learnt=True)
    again.restore(kept)
    assert torch.equal(again.importance["weight"], kept["weight"])


def test_an_adapter_of_its_own_leaves_the_base_as_it_was_and_knows_its_own_task_only(
    first: Path, second: Path, tmp_path: Path
) -> None:
    spec = ClassifySpec(base_model=version(first), keep="adapter_per_task", method="lora", adapter_rank=2, **CLASSIFY)

    result = classify.train(spec, second, tmp_path, Silent())

    assert result["labels"] == ["today", "where"] and result["trainable_parameters"] < result["parameters"] / 2
    assert (Path(result["model"]) / "adapter" / "adapter_model.safetensors").is_file()


def test_texts_a_run_is_measured_on_are_not_rehearsed(
    second: Path, texts: Path, text_file: Any, tmp_path: Path
) -> None:
    parts = read_texts(second)
    clean = {"dev": parts["dev"], "test": parts["test"]}
    rows = [(parts["test"].texts[0].upper(), ["card"], "train"), ("my card", ["card"], "train")]
    spec = ClassifySpec(base_model=BaseModel("version", "1"), keep="replay")

    found = classify_setup.earlier_texts(spec, clean, [task(text_file(tmp_path / "old.parquet", rows))])

    assert [part.texts for part in found] == [["my card"]]
    with pytest.raises(RunFailed) as refused:
        classify_setup.earlier_texts(spec, clean, [])
    assert refused.value.code == "no_earlier_data"


def test_a_preflight_counts_rehearsed_steps_and_names_texts_that_change_their_label(
    first: Path, texts: Path, second: Path, text_file: Any, tmp_path: Path
) -> None:
    spec = ClassifySpec(base_model=version(first), keep="replay", replay_share=0.5, **CLASSIFY)
    clash = read_texts(second)["train"].texts[3]
    old = text_file(tmp_path / "old.parquet", [(clash, ["card"], "train"), ("my card", ["card"], "train")])

    found = preflight(spec, second, Silent(), earlier=[task(old)])
    naive = preflight(ClassifySpec(base_model=version(first), **CLASSIFY), second, Silent())

    (problem,) = [one for one in found["problems"] if one["code"] == "label_clash"]
    assert problem["rows"] == [103] and problem["severity"] == "warning"
    assert found["estimate"]["steps"] == 2 * naive["estimate"]["steps"] == 2 * 2 * 5
    assert [row["label"] for row in found["labels"]] == ["card", "loan", "transfer", "today", "where"]


def test_a_version_of_several_labels_per_text_is_not_gone_on_from_with_one(first: Path) -> None:
    spec = ClassifySpec(base_model=version(first), multi_label=True, **CLASSIFY)

    with pytest.raises(RunFailed) as refused:
        classify_setup.kept_labels(spec)

    assert refused.value.code == "not_together"
    assert classify_setup.kept_labels(ClassifySpec(base_model=version(first), known_labels="replace")) == []


def test_rehearsed_sequences_of_chats_fill_each_step() -> None:
    lengths, earlier = [10] * 16 + [30] * 5, [range(16, 21)]
    plan: dict[str, Any] = {"share": 0.5, "seed": 1, "epoch": 0, "capacity": 40, "sequences_per_step": 2}

    for packing in (True, False):
        steps = sft_setup.rehearsed_steps(lengths, earlier, packing=packing, **plan)
        assert sorted(at for step in steps for found in step for at in found if at < 16) == list(range(16))
        assert all([any(at >= 16 for at in found) for found in step] == [False, True] for step in steps)


def test_a_version_that_keeps_its_labels_may_learn_one_more(
    first: Path, texts: Path, text_file: Any, tmp_path: Path
) -> None:
    rows = [
        (f"where {'is it not with '[: at % 16]} {at}", ["where"], ("train", "train", "dev", "test")[at % 4])
        for at in range(40)
    ]
    data = text_file(tmp_path / "one.parquet", rows)

    def codes(**options: Any) -> list[str]:
        found = preflight(ClassifySpec(base_model=version(first), **CLASSIFY, **options), data, Silent())
        return [one["code"] for one in found["problems"] if one["severity"] == "error"]

    assert codes() == [] and codes(known_labels="replace") == ["one_class", "one_class_dev"]
    spec = ClassifySpec(base_model=version(first), keep="replay", replay_share=0.5, **{**CLASSIFY, "epochs": 6})
    result = classify.train(spec, data, tmp_path / "out", Silent(), earlier=[task(texts)])
    assert result["labels"] == ["card", "loan", "transfer", "where"]
    assert result["evaluations"]["test"]["headline"]["accuracy"]["value"] >= 0.9
    said = classify_labels(Path(result["model"]), read_texts(texts)["test"].texts)
    assert len(set(said) - {"where"}) >= 2


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"keep": "replay"}, "keep"),
        ({"base_model": "version:3", "keep": "adapter_per_task"}, "method"),
        ({"base_model": "version:3", "keep": "ewc", "method": "lora"}, "keep"),
        ({"base_model": "version:3", "keep": "replay", "known_labels": "replace"}, "known_labels"),
        ({"base_model": "version:3", "keep": "replay", "batch_size": 1}, "replay_share"),
        ({"base_model": "version:3", "keep": "replay", "earlier_data": "4, four"}, "earlier_data"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    spec, problems = parse_spec("classify", options)

    assert spec is None and [problem.field for problem in problems] == [field]


def test_a_student_learns_from_its_teacher_alone() -> None:
    options = {"teacher": "version:4", "base_model": "version:4", "keep": "replay"}

    spec, problems = parse_spec("distil", options)

    assert spec is None and [problem.field for problem in problems] == ["keep"]
