"""Guessing which column of a file is which field, from the names people give columns and from a few rows."""

import json
import re
from collections.abc import Mapping as Values
from collections.abc import Sequence
from typing import Any

from apps.datasets.formats.mapping import FIELDS, Mapping
from apps.datasets.formats.plain import is_tag

_NAMES: dict[str, tuple[str, ...]] = {
    "external_id": ("id", "external_id", "uid", "uuid", "guid", "example_id", "doc_id", "编号", "序号"),
    "split": ("split", "subset", "partition", "fold_name", "数据集划分", "划分"),
    "meta": ("meta", "metadata", "元数据"),
    "text": (
        "text", "content", "sentence", "review", "comment", "utterance", "message", "query", "document", "body", "post",
        "tweet", "title", "input", "文本", "内容", "句子", "评论", "评价", "正文", "语料", "问题", "标题",
    ),
    "label": (
        "label", "labels", "intent", "intents", "category", "categories", "class", "target", "sentiment", "topic",
        "topics", "tag", "tags", "polarity", "标签", "类别", "分类", "意图", "情感", "主题",
    ),
    "spans": ("spans", "entities", "entity", "annotations", "label", "labels", "ner", "实体", "标注"),
    "tokens": ("tokens", "words", "token", "词", "分词"),
    "tags": ("tags", "ner_tags", "ner", "labels", "bio", "标签"),
    "source": ("source", "src", "input", "document", "article", "text", "en", "question", "prompt", "原文", "源文", "问题"),
    "target": (
        "target", "tgt", "output", "summary", "highlights", "translation", "zh", "answer", "response", "completion",
        "译文", "摘要", "目标", "回答", "答案",
    ),
    "question": ("question", "query", "问题"),
    "context": ("context", "passage", "paragraph", "document", "上下文", "段落", "文章"),
    "answers": ("answers",),
    "answer_text": ("answer", "answer_text", "答案", "回答"),
    "answer_start": ("answer_start", "start"),
    "messages": ("messages", "conversations", "conversation", "dialog", "dialogue", "chat", "对话"),
    "instruction": ("instruction", "指令"),
    "input": ("input", "输入"),
    "output": ("output", "response", "answer", "completion", "输出", "回答"),
    "system": ("system", "system_prompt"),
    "history": ("history",),
    "prompt": ("prompt", "messages", "conversations", "question", "query", "input.messages", "提示", "问题"),
    "chosen": ("chosen", "preferred_output", "preferred", "accepted", "better", "优选"),
    "rejected": ("rejected", "non_preferred_output", "dispreferred", "refused", "worse", "拒绝"),
}  # fmt: skip
_ORDER = {  # fields that look at each other's names are guessed in this order
    "classification": ("text", "label"),
    "spans": ("tokens", "tags", "text", "spans"),
    "pairs": ("instruction", "input", "source", "target"),
    "qa": ("question", "context", "answers", "answer_text", "answer_start"),
    "chat": ("messages", "instruction", "input", "output", "system", "history"),
    "preference": ("chosen", "rejected", "instruction", "input", "prompt", "system", "history"),
    "corpus": ("text",),
}
_SEPARATORS = ("|", ";", "；", "、")
_MAX_CLASSES = 50


def suggest_mapping(
    kind: str,
    columns: Sequence[str],
    sample_rows: Sequence[Values[str, Any]],
    label_names: Values[str, Sequence[str]] | None = None,
) -> Mapping:
    """A first mapping for a person to check; `label_names` are the class names a Parquet file stores by column."""
    found: dict[str, str] = {}
    for name in ("external_id", "split", "meta", *_ORDER[kind]):
        column = _by_name(name, columns, sample_rows, found)
        if column:
            found[name] = column
    _settle(kind, found, columns, sample_rows)
    names = (label_names or {}).get(found.get("label", found.get("tags", "")), [])
    return Mapping(
        columns=found,
        label_separator=_separator(kind, found, sample_rows),
        label_names={str(at): label for at, label in enumerate(names)},
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _by_name(field: str, columns: Sequence[str], rows: Sequence[Values[str, Any]], taken: dict[str, str]) -> str:
    for wanted in _NAMES[field]:
        if "." in wanted:
            parent, child = wanted.split(".")
            if any(isinstance(row.get(parent), dict) and child in row[parent] for row in rows):
                return wanted
        for column in columns:
            if _plain(column) == wanted and column not in taken.values() and _fits(field, column, rows):
                return column
    return ""


def _fits(field: str, column: str, rows: Sequence[Values[str, Any]]) -> bool:
    """Whether the values of a column can be this field at all, as far as the sample shows."""
    values = [row[column] for row in rows if row.get(column) not in (None, "")]
    if not values:
        return True
    check = _SHAPES.get(field)
    return check is None or sum(map(check, values)) * 2 > len(values)


def _listed(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _is_messages(value: Any) -> bool:
    value = _listed(value)
    return isinstance(value, list) and all(isinstance(m, dict) and m.keys() & {"role", "from"} for m in value)


def _is_spans(value: Any) -> bool:
    value = _listed(value)
    return isinstance(value, list) and all(
        isinstance(s, dict) or (isinstance(s, list) and len(s) == 3 and isinstance(s[0], int)) for s in value
    )


def _is_tags(value: Any) -> bool:
    value = _listed(value)
    return isinstance(value, list) and all(isinstance(t, int) or (isinstance(t, str) and is_tag(t)) for t in value)


def _is_label(value: Any) -> bool:
    value = _listed(value)
    return (
        all(isinstance(v, str | int | float) for v in value) if isinstance(value, list) else not isinstance(value, dict)
    )


_SHAPES = {
    "text": lambda v: isinstance(v, str),
    "source": lambda v: isinstance(v, str),
    "target": lambda v: isinstance(v, str),
    "label": _is_label,
    "spans": _is_spans,
    "tags": _is_tags,
    "tokens": lambda v: isinstance(_listed(v), list),
    "messages": lambda v: _is_messages(v) or (isinstance(v, str) and "Human: " in v),
    "external_id": lambda v: isinstance(v, str | int) and not isinstance(v, bool),
    "meta": lambda v: isinstance(_listed(v), dict),
    "history": lambda v: isinstance(_listed(v), list),
    "input": lambda v: isinstance(v, str),
    "split": lambda v: isinstance(v, str),
}


def _settle(kind: str, found: dict[str, str], columns: Sequence[str], rows: Sequence[Values[str, Any]]) -> None:
    """Drop what does not belong together and fill what names did not tell."""
    if kind == "spans" and not ("tokens" in found and "tags" in found):
        for name in ("tokens", "tags"):
            found.pop(name, None)
        for name in ("text", "spans"):  # a column given to tokens or tags in vain may be theirs
            if name not in found and (column := _by_name(name, columns, rows, found)):
                found[name] = column
    if kind == "spans" and "tags" in found:
        found.pop("spans", None)
    if kind == "pairs" and "instruction" in found:
        found.pop("source", None)
    elif kind == "pairs":
        if found.get("input") and "source" not in found:
            found["source"] = found["input"]
        found.pop("input", None)
        _translation(found, rows)
    if kind == "chat" and ("messages" in found or "instruction" not in found):
        for name in ("instruction", "input", "output", "history"):
            found.pop(name, None)
    if kind == "preference" and "instruction" not in found:
        for name in ("input", "history"):
            found.pop(name, None)
    elif kind == "preference":
        found.pop("prompt", None)
    if kind in ("classification", "corpus", "spans") and "text" not in found and "tokens" not in found:
        _longest(found, columns, rows)
    if kind == "classification" and "label" not in found:
        _few_values(found, columns, rows)
    for name in [name for name in found if name not in (*FIELDS[kind], "external_id", "split", "meta")]:
        del found[name]


def _translation(found: dict[str, str], rows: Sequence[Values[str, Any]]) -> None:
    pair: dict[str, Any] = next((row["translation"] for row in rows if isinstance(row.get("translation"), dict)), {})
    if len(pair) == 2:
        found["source"], found["target"] = (f"translation.{language}" for language in pair)


def _longest(found: dict[str, str], columns: Sequence[str], rows: Sequence[Values[str, Any]]) -> None:
    free = [c for c in columns if c not in found.values() and any(isinstance(row.get(c), str) for row in rows)]
    if free:
        found["text"] = max(
            free, key=lambda c: sum(len(row.get(c) or "") for row in rows if isinstance(row.get(c), str))
        )


def _few_values(found: dict[str, str], columns: Sequence[str], rows: Sequence[Values[str, Any]]) -> None:
    """Without a name, a label is a column of few short values that repeat."""
    for column in columns:
        values = [str(row.get(column)) for row in rows if row.get(column) not in (None, "")]
        short = values and max(map(len, values)) <= 40
        if (
            column not in found.values()
            and short
            and len(values) >= 8
            and len(set(values)) <= min(_MAX_CLASSES, len(values) // 2)
        ):
            found["label"] = column
            return


def _separator(kind: str, found: dict[str, str], rows: Sequence[Values[str, Any]]) -> str:
    if kind != "classification" or "label" not in found:
        return ""
    cells = [v for row in rows if isinstance(v := row.get(found["label"]), str) and v and not v.startswith("[")]
    counts = {separator: sum(separator in cell for cell in cells) for separator in _SEPARATORS}
    best = max(counts, key=lambda s: counts[s])
    return best if counts[best] * 10 >= max(1, len(cells)) and counts[best] else ""
