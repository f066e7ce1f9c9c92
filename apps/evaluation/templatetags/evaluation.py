"""From the figures of an evaluation to the data of charts."""

from typing import Any

from django import template
from django.utils.translation import gettext_lazy as _

from apps.evaluation.tasks import measuring_of
from apps.registry.options import SPAN_ERRORS

register = template.Library()
register.filter("measuring", measuring_of)

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


WRITTEN = {
    "token_f1": _("Token F1"),
    "bleu": "BLEU",
    "chrf": "chrF",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "pass_at_1": "pass@1",
}
OUT_OF_100 = ("bleu", "chrf")  # sacreBLEU's scale


@register.filter
def written_figures(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Figures of written answers beside the given ones: name, value and interval on one scale of 0 to 100, signature."""
    headline, signatures = metrics.get("headline", {}), metrics.get("signatures", {})
    found = []
    for name, words in WRITTEN.items():
        if name in headline:
            scale = 1 if name in OUT_OF_100 else 100
            sides = {side: headline[name][side] * scale for side in ("value", "low", "high")}
            found.append({"name": words, "signature": signatures.get(name, ""), **sides})
    return found


ENDINGS = {
    "stop": _("Ended by the model"),
    "length": _("Cut at the longest length"),
    "too_long": _("The prompt leaves no room"),
    "unreadable": _("The model cannot read this chat"),
}


@register.filter
def loss_chart(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """Data of a histogram of the losses of chats or documents, None without them."""
    found = metrics.get("losses")
    return {**found, "x": _("Loss per token") if "bytes" in metrics else _("Loss per answer token")} if found else None


@register.filter
def endings(metrics: dict[str, Any]) -> list[tuple[Any, int]]:
    """How the written answers ended, in words, the most frequent first."""
    counts: dict[str, int] = metrics.get("finish", {})
    return [(ENDINGS.get(name, name), count) for name, count in sorted(counts.items(), key=lambda item: -item[1])]


@register.filter
def f1_chart(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """Data of a histogram of the answers' F1, None without them."""
    found = metrics.get("f1_histogram")
    return {**found, "x": _("F1 of the words")} if found else None


@register.filter
def found_chart(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """Bars of the places at which wanted texts were found, after re-ranking beside those before; None without queries."""
    rows = metrics.get("found_at", [])
    if not rows:
        return None
    names = [
        f"{row['from']}+"
        if row["to"] is None
        else str(row["from"])
        if row["from"] == row["to"]
        else f"{row['from']}–{row['to']}"
        for row in rows
    ]
    found = [row["count"] for row in rows]
    if "first_found_at" not in metrics:
        return {"categories": names, "series": [{"name": _("Queries"), "values": found}]}
    before = [row["count"] for row in metrics["first_found_at"]]
    series = [{"name": _("Search"), "values": before}, {"name": _("After re-ranking"), "values": found}]
    return {"categories": names, "series": series}


@register.filter
def span_errors(metrics: dict[str, Any]) -> list[tuple[Any, int]]:
    """The kinds of wrong spans in words, the most frequent first."""
    counts: dict[str, int] = metrics.get("errors", {})
    return [(SPAN_ERRORS.get(name, name), count) for name, count in sorted(counts.items(), key=lambda item: -item[1])]


SUMMARY = {
    "acc": ("ACC", _("Mean over all tasks after the last training")),
    "bwt": ("BWT", _("Backward transfer: mean change of earlier tasks since each was learnt")),
    "forgetting": (_("Forgetting"), _("Mean loss of earlier tasks from the best each ever was")),
    "most_forgotten": (_("Largest forgetting"), _("That of the task that lost most; what a gate may bound")),
    "fwt": ("FWT", _("Forward transfer: what a task profits from those before it, before it is learnt")),
    "aia": ("AIA", _("Mean over all trainings of the mean over the tasks learnt by then")),
}
SIGNED = ("bwt", "fwt")


@register.filter
def remembering_figures(found: Any) -> list[dict[str, Any]]:
    """The figures of an accuracy matrix in words, those looked at first first."""
    return [
        {"code": code, "name": name, "meaning": meaning, "figure": found.summary[code], "is_signed": code in SIGNED}
        for code, (name, meaning) in SUMMARY.items()
    ]


@register.filter
def signed_points(value: float, is_signed: bool) -> str:
    """A share in percent, of a difference with its sign."""
    return f"{value * 100:+.1f} %" if is_signed else f"{value * 100:.1f} %"


@register.filter
def kept_how(spec: dict[str, Any]) -> str:
    """What a training did against forgetting; empty for one that goes on from nothing."""
    base = spec.get("base_model")
    if not isinstance(base, dict) or base.get("kind") != "version":
        return ""
    if spec.get("keep") == "replay":
        return _("replay of {share:.0%}").format(share=spec.get("replay_share", 0.0))
    return str(KEPT.get(spec.get("keep", "none"), ""))


KEPT = {
    "none": _("nothing kept"),
    "l2_sp": "L2-SP",
    "ewc": "EWC",
    "adapter_per_task": _("adapter of its own"),
}


@register.filter
def p_value(value: float) -> str:
    """A p-value to four digits, and never as a zero that no test can give."""
    words = "p < 0.0001" if value < 0.0001 else f"p = {value:.4f}"
    return words.replace(" ", "\N{NO-BREAK SPACE}")
