"""Several processes share the steps of a run: the same as one of them would have made, resumed bit by bit, told by one."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine import tasks
from engine.plan import divided
from engine.report import Silent
from engine.specs import parse_spec

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1] / "platform")}
GPT = {
    "layers": 2,
    "width": 16,
    "heads": 4,
    "kv_heads": 2,
    "learning_rate": 0.01,
    "sample_count": 1,
    "sample_tokens": 4,
}
# A step's window has two micro-batches in one process; the last window of an epoch is a partial one.
PRETRAIN = {**GPT, "context_tokens": 32, "vocabulary": "byte", "batch_size": 3, "gradient_accumulation": 2}
SFT = {**GPT, "context_tokens": 64, "vocabulary_size": 300, "packing": False, "batch_size": 1, "epochs": 1}
DISTIL = {
    **{name: value for name, value in SFT.items() if name != "vocabulary_size"},
    "teacher": "folder:{home}/sft/model",
    "layers": 1,
    "gradient_accumulation": 6,
    "answered_rows": 2,
}
CLASSIFY = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "average_decay": 0.9, "dropout": 0.0}
SHARDED = {"sharding": "sharded"}
DROPOUT = {"dropout": 0.2, "checkpoint_every_steps": 100}


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory, write_chat_file: Any) -> Path:
    """Answers of 1 to 40 words: the mean over tokens is far from a mean of means."""
    chats = []
    for at in range(26):
        answer = " ".join(["card"] * (1 + (at * 17) % 40))
        messages = [{"role": "user", "content": f"say {at}"}, {"role": "assistant", "content": answer}]
        chats.append((messages, "train" if at < 20 else "dev"))
    return Path(write_chat_file(tmp_path_factory.mktemp("uneven") / "chats.parquet", chats))


Order = tuple[str, dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def orders(encoder: Path, corpus: Path, texts: Path, uneven: Path) -> list[Order]:
    """(name, order, options) of all that the two processes do."""
    data = {"pretrain": corpus, "sft": uneven, "distil_text": uneven, "classify": texts}

    def of(name: str, recipe: str, spec: Mapping[str, Any], **options: Any) -> Order:
        order = {"task": "train", "recipe": recipe, "spec": spec, "data": {"path": str(data[recipe]), "hash": "d"}}
        return (name, order, options)

    classify = {**CLASSIFY, "token_dropout": 0.0, "base_model": f"folder:{encoder}"}
    adapted = {**SFT, "base_model": "folder:{home}/sft/model", "method": "lora", "gradient_accumulation": 5}
    return [
        of("pretrain", "pretrain", PRETRAIN),
        of("pretrain-sharded", "pretrain", PRETRAIN | SHARDED | {"gradient_checkpointing": True}),
        of("sft", "sft", {**SFT, "gradient_accumulation": 6}),
        of("sft-sharded", "sft", adapted | SHARDED),
        of("distil_text", "distil_text", DISTIL),
        of("distil_text-sharded", "distil_text", DISTIL | SHARDED),
        of("classify", "classify", classify),
        of("classify-sharded", "classify", classify | SHARDED),
        of("whole", "pretrain", PRETRAIN | DROPOUT),
        of("stopped", "pretrain", PRETRAIN | DROPOUT, stop_after=5, stops=1),
        of("resumed", "pretrain", PRETRAIN | DROPOUT, resume="stopped"),
        of("whole-sharded", "classify", classify | SHARDED | DROPOUT),
        of("stopped-sharded", "classify", classify | SHARDED | DROPOUT, stop_after=5, stops=0),
        of("resumed-sharded", "classify", classify | SHARDED | DROPOUT, resume="stopped-sharded"),
        of("poisoned", "pretrain", PRETRAIN, poisoned=1),
    ]


@pytest.fixture(scope="module")
def two(orders: list[Order], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes did all orders, one pair of processes for all of them."""
    folder = tmp_path_factory.mktemp("two")
    written = []
    for name, order, options in orders:
        resume = {"resume_from": f"{folder}/{options['resume']}/checkpoints"} if "resume" in options else {}
        written.append((name, {**order, "out": str(folder / name), **resume}, options))
    (folder / "orders.json").write_text(json.dumps(written).replace("{home}", str(folder)))
    members = [
        subprocess.Popen(
            [sys.executable, str(HERE / "team_member.py"), str(folder), str(number), "2"],
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    try:
        errors = [member.communicate(timeout=300)[1] for member in members]
    finally:
        for member in members:
            member.kill()
    assert [member.returncode for member in members] == [0, 0], errors
    return folder


def said(folder: Path, name: str, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}-{number}.json").read_text())
    return found


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


@pytest.mark.parametrize(
    "name", [recipe + kind for recipe in ("pretrain", "sft", "distil_text", "classify") for kind in ("", "-sharded")]
)
def test_two_processes_learn_what_one_learns(two: Path, orders: list[Order], tmp_path: Path, name: str) -> None:
    order = next(order for known, order, _ in orders if known == name)
    order = json.loads(json.dumps(order).replace("{home}", str(two)))
    spec, problems = parse_spec(order["recipe"], order["spec"])
    assert not problems

    alone = tasks.perform({**order, "out": str(tmp_path)}, spec, Silent())

    together = said(two, name)["result"]
    assert together["steps"] == alone["steps"] and together["tokens_seen"] == alone["tokens_seen"]
    losses = [[measured["dev_loss"] for measured in run["history"]] for run in (together, alone)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    one, other = weights(tmp_path), weights(two / name)
    assert one.keys() == other.keys()
    assert max(float((one[at] - other[at]).abs().max()) for at in one) < 1e-4
    assert said(two, name, 1)["end"] == "Finished"


@pytest.mark.parametrize("kind", ["", "-sharded"])
def test_a_stop_that_one_process_hears_stops_all_and_the_resume_is_bit_equal(two: Path, kind: str) -> None:
    ends = [said(two, f"stopped{kind}", number)["end"] for number in range(2)]
    resumed, whole = said(two, f"resumed{kind}"), said(two, f"whole{kind}")

    assert ends == ["Stopped", "Stopped"]
    assert said(two, f"stopped{kind}")["checkpoints"][-1].endswith("step-00000005")
    assert resumed["result"]["files"]["model.safetensors"] == whole["result"]["files"]["model.safetensors"]
    assert resumed["result"]["history"] == whole["result"]["history"]
    assert not any("not bit-equal" in line for line in resumed["logs"])


def test_a_checkpoint_of_two_processes_is_resumed_by_one_and_says_that_bits_may_differ(
    two: Path, orders: list[Order], tmp_path: Path, told: Any
) -> None:
    order = next(order for name, order, _ in orders if name == "resumed")
    spec, _ = parse_spec(order["recipe"], order["spec"])
    report = told()

    result = tasks.perform(
        {**order, "out": str(tmp_path), "resume_from": said(two, "stopped")["checkpoints"][-1]}, spec, report
    )

    assert result["steps"] == said(two, "whole")["result"]["steps"]
    assert any("processes differs from the checkpoint (2 -> 1)" in line for line in report.logs)


def test_processes_meet_when_tokens_are_made_and_one_of_them_makes_them(two: Path) -> None:
    events = [said(two, "pretrain", number)["events"] for number in range(2)]

    assert sorted(events) == [["met"], ["tokenised", "met"]]


def test_a_loss_that_is_no_number_in_one_process_is_named_by_all(two: Path) -> None:
    failures = [said(two, "poisoned", number)["failed"] for number in range(2)]

    assert failures[0] == failures[1]
    assert failures[0][0] == "loss_not_finite" and 0 < len(failures[0][1]) < 6


def test_a_step_is_divided_by_its_tokens() -> None:
    assert divided("abcde", [9, 1, 1, 4, 4], 2) == [["a", "c"], ["b", "d", "e"]]
    assert divided("ab", [1, 2], 3) == [["b"], ["a"], []]
