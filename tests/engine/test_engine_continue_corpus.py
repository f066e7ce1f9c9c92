"""Pretraining that goes on with a version's weights: it begins with them, rehearses earlier corpora, resumes bit by bit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.continuing import Earlier
from engine.corpus import tokenised
from engine.failures import RunFailed, Stopped
from engine.gpt.hugging_face import load_gpt
from engine.preflight import preflight
from engine.recipes import pretrain
from engine.recipes.pretrain_rehearsal import Rehearsal
from engine.recipes.pretrain_setup import learn_vocabulary, rows_of
from engine.report import Silent
from engine.specs import BaseModel, PretrainSpec, parse_spec
from engine.windows import document_pieces, plan


def spec_of(**options: Any) -> PretrainSpec:
    settings: dict[str, Any] = {
        "layers": 2,
        "width": 16,
        "heads": 4,
        "kv_heads": 2,
        "context_tokens": 32,
        "vocabulary_size": 300,
        "batch_size": 4,
        "epochs": 2,
        "learning_rate": 1e-2,
        "sample_count": 2,
        "sample_tokens": 4,
    }
    return PretrainSpec(**(settings | options))


KEEPS: list[dict[str, Any]] = [
    {"keep": "replay", "replay_share": 0.5},
    {"keep": "replay", "replay_share": 0.5, "layout": "blocks", "max_tokens": 900},
    {"keep": "l2_sp", "l2_sp_alpha": 0.5},
    {"keep": "ewc", "fisher_rows": 5},
]


@pytest.mark.parametrize("options", KEEPS)
def test_a_run_goes_on_with_a_versions_weights_and_resumes_to_the_same_ones(
    corpus: Path, corpus_file: Any, tmp_path: Path, told: Any, options: dict[str, Any]
) -> None:
    base = Path(pretrain.train(spec_of(epochs=1), corpus, tmp_path / "base", Silent())["model"])
    texts = [(f"the card of number {at} is not with it " * 3, "train") for at in range(24)]
    data = corpus_file(tmp_path / "more.parquet", [*texts, ("where is the loan today " * 9, "dev")])
    begin = BaseModel("version", "7", place=str(base))
    spec = spec_of(vocabulary="base_model", weights="base_model", base_model=begin, layers=9, **options)
    more: dict[str, Any] = {"earlier": [Earlier(corpus, "hash", "first", "corpus")], "cache": tmp_path / "cache"}
    whole = pretrain.train(spec, data, tmp_path / "whole", Silent(), **more)
    first = told(stop_after=max(1, whole["steps"] // 2))
    with pytest.raises(Stopped):
        pretrain.train(spec, data, tmp_path / "first", first, **more)

    resumed = pretrain.train(spec, data, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]), **more)

    assert resumed["files"]["model.safetensors"] == whole["files"]["model.safetensors"]
    assert resumed["history"] == whole["history"]
    assert resumed["evaluations"]["dev"]["headline"] == whole["evaluations"]["dev"]["headline"]
    assert load_gpt(Path(whole["model"])).config.layers == 2  # the base's shape
    found = preflight(spec, data, Silent(), earlier=more["earlier"])
    assert found["estimate"]["steps"] == pytest.approx(whole["steps"], rel=0.2)  # packing is estimated


def test_a_run_begins_with_the_weights_it_goes_on_with(corpus: Path, tmp_path: Path) -> None:
    base = Path(pretrain.train(spec_of(epochs=1), corpus, tmp_path / "base", Silent())["model"])
    begin = BaseModel("version", "7", place=str(base))
    still = spec_of(vocabulary="base_model", weights="base_model", base_model=begin, epochs=1, learning_rate=0.0)

    again = pretrain.train(still, corpus, tmp_path / "again", Silent())

    assert all(
        torch.equal(one, two)
        for one, two in zip(load_gpt(base).parameters(), load_gpt(Path(again["model"])).parameters(), strict=True)
    )
    with pytest.raises(RunFailed, match="a sequence holds more"):
        pretrain.train(replace(still, context_tokens=64), corpus, tmp_path / "long", Silent())


def test_each_step_holds_sequences_of_an_earlier_corpus_read_where_they_lie(corpus: Path, tmp_path: Path) -> None:
    spec = spec_of(vocabulary="byte", keep="replay")
    rows = rows_of(spec, corpus)
    vocabulary = learn_vocabulary(spec, rows)
    made = tokenised(rows, vocabulary, tmp_path, data_hash="h", report=Silent())
    joint = Rehearsal([made["dev"], made["train"], made["test"]])

    def plan_of(one: Any, epoch: int, count: int) -> Any:
        return plan(document_pieces(one, 32), 32, seed=1, epoch=epoch, sequences_per_step=count)

    steps = joint.steps(plan_of, 0, 4, 0.5)

    new, first, second = (set(corpus.ids.tolist()) for corpus in joint.corpora)
    for at in range(len(steps) - 1):  # the last one may hold fewer
        own, old = np.concatenate(steps[at][:2]), np.concatenate(steps[at][2:])
        assert len(steps[at]) == 4
        assert set(joint.joined.ids[joint.joined.documents_at(own[:, 0])].tolist()) <= new
        assert set(joint.joined.ids[joint.joined.documents_at(old[:, 0])].tolist()) <= (second if at % 2 else first)
    assert [len(step) for step in steps[1:]] == [len(steps[at]) for at in range(1, len(steps))]
    start, length = joint.starts[1], len(made["train"].tokens)
    found = joint.joined.tokens[np.arange(start, start + length)]
    assert np.array_equal(found, made["train"].tokens.astype(np.int64))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"keep": "replay"}, "keep"),
        ({"keep": "replay", "weights": "base_model", "base_model": "version:3"}, "vocabulary"),
        ({"keep": "replay", "weights": "base_model", "vocabulary": "base_model"}, "keep"),
        (
            {
                "keep": "adapter_per_task",
                "weights": "base_model",
                "vocabulary": "base_model",
                "base_model": "version:3",
            },
            "keep",
        ),
    ],
)
def test_what_a_run_cannot_keep_is_refused_by_name(options: dict[str, Any], field: str) -> None:
    spec, problems = parse_spec("pretrain", options)

    assert spec is None and [problem.field for problem in problems] == [field]
