"""What lists show and search looks at of a record, and the labels a record can be filtered by."""

from collections.abc import Mapping
from typing import Any

from core.search import SEARCHED_CHARACTERS


def browse_text(kind: str, record: Mapping[str, Any]) -> str:
    """All that a record says, as one text."""
    if kind in {"classification", "spans", "corpus"}:
        return str(record["text"])
    if kind == "pairs":
        return f"{record['source']}\n{record['target']}"
    if kind == "qa":
        return f"{record['question']}\n{record['context']}"
    if kind == "chat":
        return "\n".join(message["content"] for message in record["messages"])
    said = [message["content"] for message in record["prompt"]]
    return "\n".join([*said, record["chosen"], record["rejected"]])


def filter_labels(kind: str, record: Mapping[str, Any]) -> list[str]:
    """The labels of a record, each once, in the order given."""
    if kind == "classification":
        return list(record["labels"])
    if kind == "spans":
        return list(dict.fromkeys(span["label"] for span in record["spans"]))
    return []


def shown(text: str) -> str:
    """As much of a text as the table's text column keeps."""
    return text[:SEARCHED_CHARACTERS]
