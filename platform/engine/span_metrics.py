"""Figures of marked spans: a span counts when its borders and its label are all right, as seqeval's strict IOB2 counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import metrics
from engine.spans import Span

Rows = Sequence[Sequence[Span]]
ERRORS = ("boundary", "label", "label_and_boundary", "missing", "spurious")
FIGURES = ("entity_f1", "precision", "recall", "macro_f1", "weighted_f1")


def row_counts(gold: Rows, said: Rows, labels: Sequence[str]) -> NDArray[np.int64]:
    """[N, 3, K]: of each row and label the hits, the spans said and the gold spans; each span counts once a row."""
    place = {label: at for at, label in enumerate(labels)}
    table = np.zeros((len(gold), 3, len(labels)), dtype=np.int64)
    for at, (true, found) in enumerate(zip(gold, said, strict=True)):
        for which, spans in enumerate((set(true) & set(found), set(found), set(true))):
            for span in spans:
                table[at, which, place[span.label]] += 1
    return table


def averages(tables: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Figures of several tables at once, [R, 3, K] -> [R] each.

    Precision, recall and entity F1 are micro averages over all spans; macro and weighted F1 are over the labels that
    are gold or said, as seqeval's report gives them with zero_division=0.
    """
    _, _, f1 = metrics.f1_scores(np.asarray(tables))
    hit, said, true = (np.asarray(tables)[:, at].sum(1).astype(np.float64) for at in range(3))
    seen = (tables[:, 1] + tables[:, 2]) > 0
    return {
        "entity_f1": metrics.ratio(2 * hit, said + true),
        "precision": metrics.ratio(hit, said),
        "recall": metrics.ratio(hit, true),
        "macro_f1": metrics.ratio((f1 * seen).sum(1), seen.sum(1).astype(np.float64)),
        "weighted_f1": metrics.ratio((f1 * tables[:, 2]).sum(1), true),
    }


def headline(table: NDArray[np.int64], *, seed: int) -> dict[str, dict[str, float]]:
    """Each figure of row counts [N, 3, K] with its 95 % percentile bootstrap interval over rows."""
    rows, _, size = table.shape
    values = averages(table.sum(0, keepdims=True))
    sums = metrics.resampled_sums(table.reshape(rows, -1).astype(np.float64), metrics.BOOTSTRAP_ROUNDS, seed)
    drawn = averages(sums.reshape(-1, 3, size))
    found = {}
    for name in FIGURES:
        low, high = np.quantile(drawn[name], (0.025, 0.975))
        found[name] = {"value": float(values[name][0]), "low": float(low), "high": float(high)}
    return found


def errors(gold: Rows, said: Rows) -> dict[str, int]:
    """What is wrong with the spans that do not count, each gold and each said span in one place at most.

    boundary: right label, overlapping borders; label: right borders, another label; label_and_boundary: they only
    overlap; missing: a gold span that nothing overlaps; spurious: a said span that overlaps no gold span left.
    """
    counts = Counter(dict.fromkeys(ERRORS, 0))
    for true, found in zip(gold, said, strict=True):
        left, wrong = sorted(set(true) - set(found)), sorted(set(found) - set(true))
        for kind in ("label", "boundary", "label_and_boundary"):
            for span in list(wrong):
                near = next((other for other in left if _kind(span, other) == kind), None)
                if near is not None:
                    counts[kind] += 1
                    left.remove(near)
                    wrong.remove(span)
        counts["missing"] += len(left)
        counts["spurious"] += len(wrong)
    return dict(counts)


def mixed_up(gold: Rows, said: Rows) -> list[dict[str, Any]]:
    """Spans with the right borders and another label: gold, said and how often, the most frequent first."""
    pairs: Counter[tuple[str, str]] = Counter()
    for true, found in zip(gold, said, strict=True):
        by_place = {(span.start, span.end): span.label for span in found}
        for span in true:
            other = by_place.get((span.start, span.end))
            if other is not None and other != span.label:
                pairs[span.label, other] += 1
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [{"gold": one, "said": other, "count": count} for (one, other), count in ordered]


def conll_report(table: NDArray[np.int64], labels: Sequence[str], units: Mapping[str, int]) -> str:
    """The figures in the form of the report that CoNLL's evaluation prints; `units` names units, right ones and spans."""
    hit, said, true = (table[at] for at in range(3))
    precision, recall, f1 = metrics.f1_scores(table)
    whole = {name: float(value[0]) for name, value in averages(table[None]).items()}
    share = 100 * units["right"] / max(1, units["all"])
    lines = [
        f"processed {units['all']} tokens with {int(true.sum())} phrases; "
        f"found: {int(said.sum())} phrases; correct: {int(hit.sum())}.",
        f"accuracy: {share:6.2f}%; precision: {100 * whole['precision']:6.2f}%; "
        f"recall: {100 * whole['recall']:6.2f}%; FB1: {100 * whole['entity_f1']:6.2f}",
    ]
    lines += [
        f"{' '.join(labels[at].split()):>17}: precision: {100 * precision[at]:6.2f}%; "
        f"recall: {100 * recall[at]:6.2f}%; FB1: {100 * f1[at]:6.2f}  {int(said[at])}"
        for at in sorted(range(len(labels)), key=lambda at: labels[at])
    ]
    return "\n".join(lines) + "\n"


def _kind(one: Span, other: Span) -> str:
    if (one.start, one.end) == (other.start, other.end):
        return "label"
    if one.start < other.end and other.start < one.end:
        return "boundary" if one.label == other.label else "label_and_boundary"
    return ""
