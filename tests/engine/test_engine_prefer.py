"""Learning from preferences: the formula, what is learnt, resumes bit by bit, bad rows are named."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from engine.chat_model import load_chat_model
from engine.continuing import Earlier
from engine.failures import Refused, Stopped
from engine.gpt.hugging_face import load_gpt
from engine.preferences import read_preferences
from engine.preflight import preflight
from engine.recipes import prefer
from engine.recipes.prefer_setup import render_pairs
from engine.recipes.sft_setup import beginning, room
from engine.render import render
from engine.report import Silent
from engine.specs import BaseModel, PreferSpec
from engine.specs.methods import ADAPTERS
from engine.tasks import perform

Row = tuple[str, str, str, str]  # question, chosen, rejected, split
POLITE: list[Row] = [
    (
        f"where is card {at}?",
        f"Please look at map {at}.",
        f"no {at}",
        "train" if at < 12 else "dev" if at < 16 else "test",
    )
    for at in range(20)
]


@pytest.fixture
def preferences(tmp_path: Path) -> Callable[[list[Row]], Path]:
    def write(rows: list[Row]) -> Path:
        message = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
        columns = {
            "example_id": pa.array(range(100, 100 + len(rows)), pa.int64()),
            "split": pa.array([row[3] for row in rows], pa.string()),
            "prompt": pa.array([[{"role": "user", "content": row[0]}] for row in rows], message),
            "chosen": pa.array([row[1] for row in rows], pa.string()),
            "rejected": pa.array([row[2] for row in rows], pa.string()),
        }
        path = tmp_path / "preferences.parquet"
        pq.write_table(pa.table(columns), path)
        return path

    return write


def spec_of(folder: Path, **options: Any) -> PreferSpec:
    settings: dict[str, Any] = {
        "base_model": BaseModel("folder", str(folder)),
        "context_tokens": 96,
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "adapter_learning_rate": 1e-3,
        "adapter_rank": 4,
        "virtual_tokens": 4,
        "bottleneck_width": 4,
        "sample_count": 2,
        "sample_tokens": 4,
    }
    return PreferSpec(**(settings | options))


def weights(result: dict[str, Any]) -> dict[str, str]:
    return {name: found["sha256"] for name, found in result["files"].items() if name.endswith(".safetensors")}


@pytest.mark.parametrize("kind", ["own", "llama", "gpt2"])
def test_the_loss_is_the_formula_by_hand(tiny_chat: Any, preferences: Any, kind: str) -> None:
    spec = spec_of(tiny_chat(kind), beta=0.5, label_smoothing=0.1)
    parts = {"train": read_preferences(preferences(POLITE))["train"]}
    start = beginning(spec)
    pairs, _ = render_pairs(parts, start, room(spec, start.config))
    torch.manual_seed(0)
    base, model = load_gpt(Path(spec.base_model.name)), load_gpt(Path(spec.base_model.name))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)

    def by_hand(network: Any, answer: str) -> float:
        ids, spans = render(parts["train"].answered(0, answer), start.template)
        with torch.no_grad():
            known = torch.log_softmax(network(torch.tensor([ids]))[0], -1)
        return float(sum(known[at - 1, ids[at]] for at in range(*spans[-1])))

    chosen, rejected = parts["train"].chosen[0], parts["train"].rejected[0]
    gained = [by_hand(model, answer) - by_hand(base, answer) for answer in (chosen, rejected)]
    margin = 0.5 * (gained[0] - gained[1])
    expected = -0.9 * math.log(1 / (1 + math.exp(-margin))) - 0.1 * math.log(1 / (1 + math.exp(margin)))
    known = {"train": prefer.log_probabilities(base, pairs["train"], Silent(), "")}
    work = prefer.PreferWork(spec, model, pairs, known, parts["train"].ids, Silent(), 4)

    losses, margins = work.losses("train", [0])

    assert float(margins[0]) == pytest.approx(margin, abs=1e-3)
    assert float(losses[0]) == pytest.approx(expected, abs=1e-3)


def test_the_chosen_manner_wins_on_new_prompts(tiny_chat: Any, preferences: Any, tmp_path: Path) -> None:
    result = prefer.train(spec_of(tiny_chat("llama"), epochs=8), preferences(POLITE), tmp_path / "out", Silent())

    found = result["evaluations"]["test"]["headline"]
    assert found["win_rate"]["value"] == 1.0
    assert found["reward_margin"]["low"] > 0
    assert found["loss"]["value"] < math.log(2)
    assert (
        len(load_chat_model(Path(result["model"])).answers([[{"role": "user", "content": "hi"}]], max_new_tokens=2))
        == 1
    )


def test_an_evaluation_tells_what_the_run_told(tiny_chat: Any, preferences: Any, tmp_path: Path) -> None:
    long = ("where is card 9?", "Please look " * 60, "no", "test")
    spec = spec_of(tiny_chat("own"), beta=0.4)
    run = prefer.train(spec, preferences(POLITE), tmp_path / "out", Silent())
    known = {"base_model": {"kind": "folder", "name": spec.base_model.name}, "beta": 0.4}
    order = {"task": "evaluate", "out": str(tmp_path / "measured"), "data": {"kind": "preference", "split": "test"}}
    order["data"] |= {"path": str(preferences([*POLITE, long]))}

    found = perform({**order, "model": run["model"], "preferred_over": known}, None, Silent())
    itself = perform({**order, "model": spec.base_model.name, "out": str(tmp_path / "itself")}, None, Silent())

    wanted = run["evaluations"]["test"]["headline"]
    for name, figure in found["headline"].items():
        assert figure == pytest.approx(wanted[name], abs=1e-3), name
    measured = json.loads(Path(itself["metrics"]).read_text())
    assert (itself["rows"], measured["left_out"]) == (4, 1)
    assert {name: figure["value"] for name, figure in itself["headline"].items()} == {
        "loss": pytest.approx(math.log(2)), "reward_margin": 0.0, "win_rate": 0.5,
    }  # fmt: skip
    rows = pq.read_table(found["examples"]).to_pylist()
    assert [row["example_id"] for row in rows] == [116, 117, 118, 119]
    assert sum(row["loss"] for row in rows) / 4 == pytest.approx(found["headline"]["loss"]["value"])


@pytest.mark.parametrize("method", ["full", *ADAPTERS])
def test_every_method_resumes_to_the_same_weights(
    tiny_chat: Any, preferences: Any, tmp_path: Path, told: Any, method: str
) -> None:
    data, spec = preferences(POLITE), spec_of(tiny_chat("llama"), method=method)
    whole = prefer.train(spec, data, tmp_path / "whole", Silent())
    first = told(stop_after=3)
    with pytest.raises(Stopped):
        prefer.train(spec, data, tmp_path / "first", first)

    resumed = prefer.train(spec, data, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert weights(resumed) == weights(whole)
    assert resumed["history"] == whole["history"]
    assert (whole["trainable_parameters"] < whole["parameters"]) == (method != "full")


def test_smaller_micro_batches_learn_the_same(tiny_chat: Any, preferences: Any, tmp_path: Path) -> None:
    data, base = preferences(POLITE), tiny_chat("own")
    runs = [
        prefer.train(spec_of(base), data, tmp_path / "whole", Silent()),
        prefer.train(spec_of(base), data, tmp_path / "halved", Silent(), micro_batch=1),
        prefer.train(spec_of(base, batch_size=2, gradient_accumulation=2), data, tmp_path / "accumulated", Silent()),
    ]

    losses = [run["evaluations"]["test"]["headline"]["loss"]["value"] for run in runs]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-3)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (("where?", "Here.", " here. ", "train"), "same_answers"),
        (("where?", "", "no", "train"), "empty_text"),
        (("very long question " * 60, "yes", "no", "train"), "no_loss_tokens"),
        (("where?", "again and again " * 60, "no", "train"), "missing_end"),
        ((*POLITE[0][:3], "test"), "test_leaks"),
    ],
)
def test_a_bad_row_refuses_the_run_by_its_number(
    tiny_chat: Any, preferences: Any, tmp_path: Path, row: Row, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        prefer.train(spec_of(tiny_chat("own")), preferences([*POLITE, row]), tmp_path / "out", Silent())

    errors = [problem for problem in refused.value.problems if problem.severity == "error"]
    assert [(problem.code, problem.rows) for problem in errors] == [(code, (120,))]


@pytest.mark.parametrize("keep", ["replay", "l2_sp", "ewc"])
def test_a_stopped_continuation_resumes_to_the_same_weights(
    keep: str, tiny_chat: Any, preferences: Any, tmp_path: Path, told: Any
) -> None:
    more = {"replay": {"replay_share": 0.5}, "l2_sp": {"l2_sp_alpha": 0.5}, "ewc": {"fisher_rows": 6}}[keep]
    base = BaseModel("version", "7", place=str(tiny_chat("llama")))
    data = preferences(POLITE)
    spec = spec_of(Path(), base_model=base, keep=keep, **more)
    tasks: dict[str, Any] = {"earlier": [Earlier(data, "hash")]}
    whole = prefer.train(spec, data, tmp_path / "whole", Silent(), **tasks)

    stopped = told(stop_after=3)
    with pytest.raises(Stopped):
        prefer.train(spec, data, tmp_path / "first", stopped, **tasks)
    resumed = prefer.train(
        spec, data, tmp_path / "second", Silent(), resume_from=Path(stopped.checkpoints[-1]), **tasks
    )

    assert weights(resumed) == weights(whole) and resumed["history"] == whole["history"]
    found = preflight(spec, data, Silent(), **tasks)
    assert found["estimate"]["steps"] == whole["steps"] == 2 * (6 if keep == "replay" else 3)


def test_what_a_weight_means_to_a_preference_is_the_slope_of_its_margin(tiny_chat: Any, preferences: Any) -> None:
    spec = spec_of(tiny_chat("llama"), beta=0.5)
    start = beginning(spec)
    parts = {"train": read_preferences(preferences(POLITE))["train"]}
    pairs, _ = render_pairs(parts, start, room(spec, start.config))
    model = start.network().eval()

    said = torch.log_softmax(prefer.preference_logits(model, pairs["train"], spec.beta, 0), -1)
    slope = torch.autograd.grad(said[0, 0], model.tokens.weight)[0]

    sums = prefer.answer_sums(model, pairs["train"][:1])[0][0]
    wanted = torch.autograd.grad(spec.beta * (sums[0] - sums[1]), model.tokens.weight)[0] / 2
    assert float(said.exp()[0, 0].detach()) == 0.5
    torch.testing.assert_close(slope, wanted)
