"""A chat model measured on chats: the loss of the given answers, and its own answers beside them."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine import metrics
from engine.chat_model import Answer, ChatModel
from engine.data import ChatRows
from engine.failures import RunFailed
from engine.render import AnyTemplate, Chat, Messages, Template, Unrenderable, rendered
from engine.report import Report
from engine.sandbox import pass_at_1
from engine.text_metrics import headline, row_figures
from words import say

LARGEST_EXPONENT = 700.0
HISTOGRAM_BINS = 20
ANSWER_TOKENS = 128
TEXT_FIGURES = ("token_f1", "bleu", "chrf", "rouge_1", "rouge_2", "rouge_l")


@dataclass(frozen=True)
class ChatExample:
    """How one chat fared: its answers' loss, and what the model wrote in place of the last of them."""

    example_id: int
    text: str  # what was asked last
    gold_text: str
    predicted_text: str
    finish: str
    answer_tokens: int  # of all given answers, ends included
    loss: float  # mean over these tokens
    probability: float  # geometric mean over these tokens
    correct: bool  # the written answer is the given one, apart from space around it


def loss_figures(sums: NDArray[Any], counts: NDArray[Any], *, seed: int) -> dict[str, dict[str, float]]:
    """Mean loss per token and perplexity with 95 % bootstrap intervals over chats."""
    value = float(sums.sum() / counts.sum())
    low, high = metrics.bootstrap_ratio(sums, counts, seed=seed)
    loss = {"value": value, "low": low, "high": high}
    return {"loss": loss, "perplexity": {side: math.exp(min(at, LARGEST_EXPONENT)) for side, at in loss.items()}}


def last_answer(messages: Messages) -> int:
    """The position of the assistant's last message; 0 where it says nothing or nothing was said before."""
    return max((at for at, message in enumerate(messages) if message["role"] == "assistant"), default=0)


def evaluate_chats(
    model: ChatModel,
    rows: ChatRows,
    *,
    seed: int,
    report: Report,
    max_new_tokens: int = ANSWER_TOKENS,
    answered_rows: int | None = None,
    phase: str = "",
) -> tuple[dict[str, Any], list[ChatExample]]:
    """Figures over the tokens of the given answers and over written answers, and one row per answered chat.

    `answered_rows` chats, drawn by the seed, are answered (None: all).

    Chats that the template refuses, that hold no answer, or are longer than the context are left out and counted: the
    loss of half an answer could not be compared with that of another version. RunFailed("no_rows") when nothing is left.
    """
    chats = measurable(model.template, rows, model.context_tokens)
    if not chats:
        raise RunFailed("no_rows", say("There is no chat with an answer to measure on."), say("Choose another split."))
    kept = rows.pick(list(chats))
    losses = model.losses(list(chats.values()), report=report, phase=phase or say("measuring"))
    chosen = drawn(len(kept), answered_rows, seed)
    lasts = [last_answer(messages) for messages in kept.messages]
    written = model.answers(
        [kept.messages[at][: lasts[at]] for at in chosen],
        max_new_tokens=max_new_tokens,
        report=report,
    )
    examples = [
        _example(kept, at, lasts[at], answer, losses.sums[at], losses.counts[at])
        for at, answer in zip(chosen, written, strict=True)
    ]
    compared, notes = answer_figures(kept, examples, seed=seed, report=report)
    accuracy = losses.hits.sum() / losses.counts.sum()
    low, high = metrics.bootstrap_ratio(losses.hits, losses.counts, seed=seed)
    return {
        "rows": len(kept),
        "answered": len(examples),
        "tokens": int(losses.counts.sum()),
        "left_out": len(rows) - len(kept),
        "headline": {
            **loss_figures(losses.sums, losses.counts, seed=seed),
            "token_accuracy": {"value": float(accuracy), "low": low, "high": high},
            **compared,
        },
        **notes,
        "finish": _counted([answer.finish for answer in written]),
        "losses": loss_histogram(losses.sums / losses.counts),
        "max_new_tokens": max_new_tokens,
        "interval": {"method": "percentile bootstrap over chats", "rounds": metrics.BOOTSTRAP_ROUNDS, "seed": seed},
    }, examples


def measurable(template: AnyTemplate, rows: ChatRows, context_tokens: int) -> dict[int, Chat]:
    """By position in `rows`: the chats that the template takes, with an answer, and no longer than the context."""
    chats: dict[int, Chat] = {}
    for at, messages in enumerate(rows.messages):
        try:
            chat, _ = rendered(messages, answers_only(template), context_tokens)
        except Unrenderable:
            continue
        if any(chat.learnt[1:]) and len(chat.full) <= context_tokens:
            chats[at] = chat
    return chats


def answer_figures(
    rows: ChatRows, examples: Sequence[ChatExample], *, seed: int, report: Report
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """(figures of the written answers with intervals, how they were counted): exact answers and those of engine.text_metrics.

    Where every answered row comes with tests, pass@1 of the written programs, too.
    """
    if not examples:
        return {}, {}
    right = np.array([example.correct for example in examples], dtype=np.float64)
    low, high = metrics.bootstrap_mean(right, seed=seed)
    figures = {"exact_match": {"value": float(right.mean()), "low": low, "high": high}}
    golds = [[example.gold_text, *rows.others.get(example.example_id, [])] for example in examples]
    answers = [example.predicted_text for example in examples]
    counted = row_figures(golds, answers, names=TEXT_FIGURES)
    figures |= headline(counted, seed=seed)
    notes: dict[str, Any] = {"signatures": dict(counted.signatures)}
    if all(example.example_id in rows.tests for example in examples):
        tests = [rows.tests[example.example_id] for example in examples]
        found, _ = pass_at_1(answers, tests, report=report)
        figures |= found["headline"]
        notes["programs"] = {name: value for name, value in found.items() if name != "headline"}
    return figures, notes


def drawn(count: int, wanted: int | None, seed: int) -> list[int]:
    """Positions of `wanted` of `count` rows, in order, by the seed; all of them when None."""
    if wanted is None or wanted >= count:
        return list(range(count))
    return sorted(int(at) for at in np.random.default_rng(seed).permutation(count)[:wanted])


def answers_only(template: AnyTemplate) -> AnyTemplate:
    """The same template with its loss on answers, so that every version is measured on the same tokens."""
    return dataclasses.replace(template, loss_on="assistant") if isinstance(template, Template) else template


def write_chat_rows(path: Path, examples: Sequence[ChatExample]) -> None:
    """The rows as Parquet, columns as in ChatExample."""
    schema = pa.schema(
        [
            ("example_id", pa.int64()),
            ("text", pa.string()),
            ("gold_text", pa.string()),
            ("predicted_text", pa.string()),
            ("finish", pa.string()),
            ("answer_tokens", pa.int64()),
            ("loss", pa.float64()),
            ("probability", pa.float64()),
            ("correct", pa.bool_()),
        ]
    )
    pq.write_table(pa.Table.from_pylist([asdict(example) for example in examples], schema=schema), path)


def _example(rows: ChatRows, at: int, last: int, answer: Answer, total: float, count: float) -> ChatExample:
    number, messages = rows.ids[at], rows.messages[at]
    right = {messages[last]["content"].strip(), *(other.strip() for other in rows.others.get(number, []))}
    gold, loss = messages[last]["content"], float(total / count)
    return ChatExample(
        example_id=int(number),
        text=messages[last - 1]["content"] if last else "",
        gold_text=gold,
        predicted_text=answer.text,
        finish=answer.finish,
        answer_tokens=int(count),
        loss=loss,
        probability=math.exp(-min(loss, LARGEST_EXPONENT)),
        correct=answer.finish == "stop" and answer.text.strip() in right,
    )


def _counted(names: Sequence[str]) -> dict[str, int]:
    return {name: names.count(name) for name in sorted(set(names))}


def loss_histogram(values: Sequence[float] | NDArray[Any]) -> dict[str, list[float]]:
    """Counts of losses in bins of equal width."""
    counts, edges = np.histogram(values, bins=HISTOGRAM_BINS)
    return {"edges": [round(float(edge), 4) for edge in edges], "counts": [int(count) for count in counts]}
