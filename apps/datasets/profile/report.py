"""The profile of a dataset, built row by row."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from apps.datasets.profile.duplicates import ExactIndex, NearIndex
from apps.datasets.profile.texts import Lengths, language, token_count

LABELS_SHOWN = 500
LANGUAGE_EVERY = 20_000  # texts whose language is told one by one; of more, each n-th


def main_text(kind: str, record: Mapping[str, Any]) -> str:
    """The text by which two records are called the same."""
    if kind in ("classification", "spans", "corpus"):
        return str(record["text"])
    if kind == "pairs":
        return str(record["source"])
    if kind == "qa":
        return f"{record['question']}\n{record['context']}"
    messages = record["messages"] if kind == "chat" else record["prompt"]
    said = [message["content"] for message in messages]
    return "\n".join(said if kind == "chat" else [*said, record["chosen"], record["rejected"]])


def label_text(kind: str, record: Mapping[str, Any]) -> str | None:
    """What must be equal where texts are equal; None for kinds where both may be right, and without a label."""
    if kind == "classification" and record["labels"]:
        return json.dumps(sorted(record["labels"]))
    if kind == "spans":
        return json.dumps(sorted([s["start"], s["end"], s["label"]] for s in record["spans"]))
    if kind == "qa":
        return json.dumps(sorted([a["start"], a["text"]] for a in record["answers"]))
    return None


def record_labels(kind: str, record: Mapping[str, Any]) -> list[str]:
    """The labels a record counts for: classes, span labels, roles, answered or not."""
    if kind == "classification":
        return list(record["labels"])
    if kind == "spans":
        return [span["label"] for span in record["spans"]]
    if kind == "qa":
        return ["answered" if record["answers"] else "unanswerable"]
    return [message["role"] for message in record["messages"]] if kind == "chat" else []


class Profile:
    """Add every row once, then ask for the report. Memory grows as ExactIndex and NearIndex say."""

    def __init__(self, kind: str, *, near: bool = True, threshold: float = 0.8, near_limit: int = 50_000) -> None:
        self.kind, self.rows = kind, 0
        self._labels: Counter[str] = Counter()
        self._by_split: dict[str, Counter[str]] = defaultdict(Counter)
        self._splits: Counter[str] = Counter()
        self._languages: Counter[str] = Counter()
        self._unlabelled = 0
        self._labels_per_row: Counter[int] = Counter()
        self._characters, self._tokens = Lengths(), Lengths()
        self._exact = ExactIndex()
        self._near = NearIndex(threshold, near_limit) if near else None

    def add(self, example_id: int, record: Mapping[str, Any], split: str = "") -> None:
        """Count one canonical record."""
        self.rows += 1
        text = main_text(self.kind, record)
        labels = record_labels(self.kind, record)
        self._splits[split] += 1
        self._labels.update(labels)
        self._by_split[split].update(labels)
        self._unlabelled += not labels
        self._labels_per_row[len(labels)] += 1
        self._characters.add(len(text))
        self._tokens.add(token_count(text))
        if self.rows <= LANGUAGE_EVERY or self.rows % 10 == 0:
            self._languages[language(text)] += 1
        if self._exact.add(example_id, text, split, label_text(self.kind, record)) and self._near:
            self._near.add(example_id, text, split)

    def report(self) -> dict[str, Any]:
        """Plain JSON: counts, shares (0..1) and example ids; what is cut off says so."""
        looked = sum(self._languages.values())
        report = {
            "kind": self.kind,
            "rows": self.rows,
            "splits": dict(sorted(self._splits.items())),
            "labels": self._label_report(),
            "characters": self._characters.report(),
            "tokens": self._tokens.report(),
            "languages": {code: round(n / looked, 4) for code, n in self._languages.most_common()},
            **self._exact.report(),
        }
        return report | (self._near.report() if self._near else {})

    def _label_report(self) -> dict[str, Any]:
        total = sum(self._labels.values())
        ranked = sorted(self._labels.items(), key=lambda entry: (-entry[1], entry[0]))
        return {
            "classes": len(ranked),
            "unlabelled": self._unlabelled,
            "balance": [
                {
                    "label": label,
                    "count": count,
                    "share": round(count / total, 4),
                    "splits": {split: n[label] for split, n in sorted(self._by_split.items()) if n[label]},
                }
                for label, count in ranked[:LABELS_SHOWN]
            ],
            "imbalance": round(ranked[0][1] / ranked[-1][1], 2) if ranked else None,
            "per_row": {str(n): count for n, count in sorted(self._labels_per_row.items())},
        }


def profile(kind: str, rows: Iterable[tuple[int, Mapping[str, Any], str]], **options: Any) -> dict[str, Any]:
    """The report over (example id, record, split) rows; options as for Profile."""
    found = Profile(kind, **options)
    for example_id, record, split in rows:
        found.add(example_id, record, split)
    return found.report()
