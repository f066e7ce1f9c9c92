"""From the figures of an evaluation to the data of charts."""

from typing import Any

from django import template

register = template.Library()

LABELS_SHOWN = 40


@register.filter
def confusion_chart(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """Data of a heatmap; with many labels only those that are confused most, None without a confusion matrix."""
    found = metrics.get("confusion")
    if not found:
        return None
    labels, cells = found["labels"], found["cells"]
    if len(labels) <= LABELS_SHOWN:
        shown = list(range(len(labels)))
    else:
        mistakes = [0] * len(labels)
        for gold, said, count in cells:
            if gold != said:
                mistakes[gold] += count
                mistakes[said] += count
        shown = sorted(sorted(range(len(labels)), key=lambda at: (-mistakes[at], at))[:LABELS_SHOWN])
    place = {label: at for at, label in enumerate(shown)}
    values = [[0] * len(shown) for _label in shown]
    for gold, said, count in cells:
        if gold in place and said in place:
            values[place[gold]][place[said]] = count
    names = [labels[at] for at in shown]
    return {"rows": names, "columns": names, "values": values, "left_out": len(labels) - len(shown)}


@register.filter
def reliability_chart(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """Data of a reliability diagram, None without calibration."""
    bins = metrics.get("calibration", {}).get("bins")
    return {"bins": bins} if bins else None


@register.filter
def worst_pairs(metrics: dict[str, Any], limit: int = 10) -> list[dict[str, Any]]:
    """The pairs of labels that are confused most often: gold, said, count."""
    found = metrics.get("confusion")
    if not found:
        return []
    wrong = sorted(
        (cell for cell in found["cells"] if cell[0] != cell[1]), key=lambda cell: (-cell[2], cell[0], cell[1])
    )
    return [{"gold": found["labels"][g], "said": found["labels"][s], "count": n} for g, s, n in wrong[:limit]]
