"""Measure a version that writes on preference pairs, beside the model that its lineage learnt preferences from."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine import metrics
from engine.base_models import fetched
from engine.chat_model import ChatModel, load_chat_model
from engine.failures import RunFailed
from engine.measured import kept_evaluation
from engine.preferences import PreferenceRows, answer_alone, pair_figures, read_preferences
from engine.render import Chat, Unrenderable
from engine.report import Report
from engine.specs import BaseModel, PreferSpec
from words import say


@dataclass(frozen=True)
class PairExample:
    """How one pair fared."""

    example_id: int
    text: str  # what was asked last
    gold_text: str  # the chosen answer
    predicted_text: str  # the rejected one
    loss: float
    probability: float  # that the chosen answer is preferred: sigmoid of the margin
    correct: bool  # the chosen answer gained more on the reference than the rejected one


def evaluate_on_preferences(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Win rate, reward margin and loss of the pairs of data.split (all splits when it is empty).

    order.preferred_over names the base and the beta of the first run of the lineage that learnt preferences, so that every
    version of the lineage is held against one model; a version without it is its own base, and no pair moved.
    """
    known = order.get("preferred_over") or {}
    beta = float(known.get("beta", PreferSpec().beta))
    rows, model = rows_of_split(data, order["data"].get("split", "")), load_chat_model(Path(order["model"]))
    reference = reference_of(known, order.get("bases") or {})
    chats = measurable(model, rows, min(one.context_tokens for one in (model, reference or model)))
    if not chats:
        raise RunFailed("no_rows", say("There is no pair of answers to measure on."), say("Choose another split."))
    flat = [chat for pair in chats.values() for chat in pair]
    sums = _sums(model, flat, report, say("measuring"))
    base = _sums(reference, flat, report, say("reading with the base")) if reference else sums
    margins = beta * ((sums - base)[:, 0] - (sums - base)[:, 1])
    losses = np.logaddexp(0, -margins)  # -log sigmoid
    seed = int(order.get("seed", 17))
    measured = {
        "rows": len(chats),
        "headline": pair_figures(losses, margins, seed=seed),
        "left_out": len(rows) - len(chats),
        "beta": beta,
        "interval": {"method": "percentile bootstrap over pairs", "rounds": metrics.BOOTSTRAP_ROUNDS, "seed": seed},
    }
    write_pairs(out / "examples.parquet", rows.pick(list(chats)), losses, margins)
    return kept_evaluation(out, measured)


def rows_of_split(data: Path, split: str) -> PreferenceRows:
    """The pairs of a split, of all splits when it is empty."""
    rows, found = PreferenceRows(), read_preferences(data)
    for name in sorted(found):
        if not split or name == split:
            rows.extend(found[name])
    return rows


def reference_of(known: Mapping[str, Any], places: Mapping[str, str]) -> ChatModel | None:
    """The model an order names as the base of the preferences; `places` says where versions lie."""
    if not known:
        return None
    base, problems = BaseModel.read("preferred_over", known["base_model"])
    if problems:
        raise RunFailed("base_model_missing", problems[0].message, problems[0].hint)
    return load_chat_model(fetched(dataclasses.replace(base, place=places.get(str(base), ""))))


def measurable(model: ChatModel, rows: PreferenceRows, context_tokens: int) -> dict[int, list[Chat]]:
    """By position in `rows`: both answers of each pair that the template takes and the context holds whole.

    The base reads the same tokens: its lineage shares one tokenizer.
    """
    found: dict[int, list[Chat]] = {}
    for at in range(len(rows)):
        answers = (rows.chosen[at], rows.rejected[at])
        try:
            both = [answer_alone(rows.answered(at, text), model.template, context_tokens) for text in answers]
        except Unrenderable:
            continue
        if all(any(chat.learnt[1:]) and len(chat.full) <= context_tokens for chat in both):
            found[at] = both
    return found


def write_pairs(path: Path, rows: PreferenceRows, losses: NDArray[np.float64], margins: NDArray[np.float64]) -> None:
    """One row a pair as Parquet, columns as in PairExample."""
    wins = 1 / (1 + np.exp(-margins))
    examples = [
        PairExample(
            int(rows.ids[at]),
            rows.prompts[at][-1]["content"] if rows.prompts[at] else "",
            rows.chosen[at],
            rows.rejected[at],
            float(losses[at]),
            float(wins[at]),
            bool(margins[at] > 0),
        )
        for at in range(len(rows))
    ]
    schema = pa.schema(
        [
            ("example_id", pa.int64()),
            ("text", pa.string()),
            ("gold_text", pa.string()),
            ("predicted_text", pa.string()),
            ("loss", pa.float64()),
            ("probability", pa.float64()),
            ("correct", pa.bool_()),
        ]
    )
    pq.write_table(pa.Table.from_pylist([asdict(example) for example in examples], schema=schema), path)


def _sums(model: ChatModel, chats: Sequence[Chat], report: Report, phase: str) -> NDArray[np.float64]:
    """Log-probabilities of the chosen and the rejected answer of each pair, [N, 2]."""
    return -model.losses(chats, report=report, phase=phase).sums.reshape(-1, 2)
