"""What a run can be ordered to do with a chat version: measure it on chats, see whether it answers."""

from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.base_models import own_description
from engine.chat_model import MAX_NEW_TOKENS, Answer, load_chat_model
from engine.corpus_tasks import evaluate_on_texts
from engine.data import ChatRows, iterate_rows, read_chats, write_whole
from engine.evaluate_chat import ANSWER_TOKENS, evaluate_chats, write_chat_rows
from engine.measured import kept_evaluation
from engine.preference_tasks import evaluate_on_preferences
from engine.render import Messages
from engine.report import Report
from words import say


def evaluate_chat_version(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Measure a folder that writes on the rows of data.split (all splits when it is empty): chats, pairs, questions, plain
    texts or preferences.

    Pairs and questions are told as chats, behind the instruction that the version was trained with.
    """
    kind = order["data"].get("kind") or "chat"
    if kind == "corpus":
        return evaluate_on_texts(order, data, out, report)
    if kind == "preference":
        return evaluate_on_preferences(order, data, out, report)
    split = order["data"].get("split", "")
    instruction = own_description(order["model"]).get("spec", {}).get("instruction", "")
    found = read_chats(data, kind, instruction)
    rows = ChatRows()
    for name in sorted(found):
        if not split or name == split:
            rows.extend(found[name])
    measured, examples = evaluate_chats(
        load_chat_model(Path(order["model"])),
        rows,
        seed=int(order.get("seed", 17)),
        report=report,
        max_new_tokens=int(order.get("max_new_tokens") or ANSWER_TOKENS),
    )
    if measured["left_out"]:
        report.log(
            "warning",
            say("{count} chats hold no answer that could be measured; they are left out", count=measured["left_out"]),
        )
    write_chat_rows(out / "examples.parquet", examples)
    return kept_evaluation(out, measured)


def answer_rows(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Answer the rows of a small Parquet file, to see whether a folder can answer at all; one Parquet part.

    The column holds a text, which is what a user said, or messages. Whoever has many prompts asks `engine.generate`.
    """
    column = order["data"].get("column", "text")
    model = load_chat_model(Path(order["model"]))
    rows = list(chain.from_iterable(iterate_rows(data, ("example_id", column))))
    answers = model.answers(
        [_prompt(row[column]) for row in rows],
        max_new_tokens=int(order.get("max_new_tokens") or MAX_NEW_TOKENS),
        report=report,
    )
    path = out / "part-0000000000.parquet"
    _write_part(path, [row["example_id"] for row in rows], answers)
    report.part(str(path), 0, len(rows))
    return {"rows": len(rows), "template_hash": model.template.description()["hash"]}


def _prompt(value: Any) -> Messages:
    if isinstance(value, list):
        return [{"role": message["role"] or "", "content": message["content"] or ""} for message in value]
    return [{"role": "user", "content": value or ""}]


def _write_part(path: Path, ids: list[int], answers: list[Answer]) -> None:
    """Answers as Parquet: example_id, answer, finish, answer_tokens."""
    table = pa.table(
        {
            "example_id": pa.array(ids, pa.int64()),
            "answer": pa.array([answer.text for answer in answers], pa.string()),
            "finish": pa.array([answer.finish for answer in answers], pa.string()),
            "answer_tokens": pa.array([answer.tokens for answer in answers], pa.int64()),
        }
    )
    write_whole(path, table)
