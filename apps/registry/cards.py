"""The model card: what the platform knows of a version, as Markdown."""

from typing import Any

from django.utils.translation import gettext as _

from apps.registry.models import Approval, CardRevision, Decision, ModelVersion
from apps.registry.options import FIGURES, SPAN_ERRORS, VALUES
from apps.registry.selectors import base_number

CURVE_FIGURES = ("accuracy", "macro_f1")


def generated_card(version: ModelVersion) -> str:
    """The part of the card that follows from the version's record."""
    parts = [
        _making(version),
        _figures(version),
        _curve(version),
        _classes(version),
        _errors(version),
        _evidence(version),
    ]
    parts.append(_files(version))
    return "\n\n".join(part for part in parts if part) + "\n"


def full_card(version: ModelVersion, revision: CardRevision) -> str:
    """The whole card with what people wrote, as the README of an export."""
    written = [
        (_("Intended use"), revision.intended_use),
        (_("Limits"), revision.limits),
        (_("Licence"), revision.licence),
        (_("Personal data"), revision.privacy),
        (_("Notes"), revision.notes),
    ]
    parts = [f"# {_cell(str(version))}", version.description.strip()]
    parts += [f"## {title}\n\n{text.strip()}" for title, text in written if text.strip()]
    return "\n\n".join(part for part in [*parts, revision.generated.strip()] if part) + "\n"


def _making(version: ModelVersion) -> str:
    base = str(version.base_model) if version.base_model else ""
    lines = [
        (_("Task"), version.task),
        (_("Recipe"), version.recipe),
        (_("Base model"), base or _("none named")),
        (_("Made from version"), str(version.parent) if version.parent else ""),
        (_("Kept of earlier tasks"), _kept(version)),
        (_("Data"), _cell(str(version.dataset_version)) if version.dataset_version else ""),
        (_("Data hash"), f"`{version.dataset_hash}`" if version.dataset_hash else ""),
        (_("Spec hash"), f"`{version.spec_hash}`" if version.spec_hash else ""),
        (_("Seed"), "" if version.seed is None else str(version.seed)),
        (_("Template hash"), f"`{version.template_hash}`" if version.template_hash else ""),
        (_("Parameters"), f"{version.parameter_count:,}" if version.parameter_count else ""),
        (_("Environment"), ", ".join(f"{name} {value}" for name, value in sorted(version.environment.items()))),
    ]
    return _section(_("How it was made"), [f"- {name}: {value}" for name, value in lines if value])


def _kept(version: ModelVersion) -> str:
    """What the training did so that the version before it was not forgotten; empty when it goes on from none."""
    spec = version.spec
    if base_number(version) is None or "keep" not in spec:
        return ""
    said = str(VALUES.get(spec["keep"], spec["keep"]))
    if spec["keep"] == "replay":
        return _("%(way)s, %(share)s of each step") % {"way": said, "share": f"{spec['replay_share']:.0%}"}
    if spec["keep"] == "adapter_per_task":
        return _("%(way)s: for %(data)s alone") % {"way": said, "data": _cell(str(version.dataset_version or "?"))}
    return said


def _figures(version: ModelVersion) -> str:
    parts = []
    for split, report in sorted(version.metrics.items()):
        rows = [
            f"| {FIGURES.get(name, name)} | {_interval(figure)} |"
            for name, figure in sorted(report.get("headline", {}).items())
        ]
        more = [(_("Calibration error"), report.get("calibration", {}).get("ece")), ("ROC-AUC", report.get("roc_auc"))]
        rows += [f"| {name} | {value:.4f} |" for name, value in more if value is not None]
        if rows:
            title = _("Figures on %(split)s (%(rows)s rows)") % {"split": split, "rows": report.get("rows", "?")}
            parts.append(
                _section(title, [_row(_("Figure"), _("Value and its interval (95 percent)")), "|---|---|", *rows])
            )
    return "\n\n".join(parts)


def _curve(version: ModelVersion) -> str:
    """The learning curve of a few-shot run, measured on dev."""
    points = version.metrics.get("dev", {}).get("curve", [])
    if not points:
        return ""
    rows = [
        _row(str(point["count"]), str(point["rows"]), *(_interval(point["headline"][name]) for name in CURVE_FIGURES))
        for point in points
    ]
    head = _row(_("Texts a class"), _("Rows"), *(str(FIGURES[name]) for name in CURVE_FIGURES))
    return _section(_("Learning curve on dev"), [head, "|---|---|---|---|", *rows])


def _classes(version: ModelVersion) -> str:
    rows = [
        f"| {_cell(row['label'])} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
        for row in version.report.get("per_class", [])
    ]
    if not rows:
        return ""
    head = _row(_("Label"), _("Precision"), _("Recall"), "F1", _("Rows"))
    return _section(_("By label"), [head, "|---|---|---|---|---|", *rows])


def _errors(version: ModelVersion) -> str:
    """What went wrong with spans, and the report in CoNLL's form."""
    counts, report = version.report.get("errors"), version.report.get("conll", "")
    if not counts:
        return ""
    lines = [f"- {SPAN_ERRORS.get(name, name)}: {count}" for name, count in sorted(counts.items())]
    return _section(_("Errors"), [*lines, "", "```", report.replace("`", "'").rstrip(), "```"])


def _evidence(version: ModelVersion) -> str:
    """What the gate found at each approval: the suite with its hash, thresholds and figures, and who decided."""
    rows = Approval.objects.filter(version=version, decision=Decision.APPROVED).exclude(evidence={})
    parts = []
    for approval in rows.select_related("requested_by", "decided_by").order_by("id"):
        gate = approval.evidence["gate"]
        suite = gate["suite"]
        lines = [
            f"- {_('Suite')}: {_cell(suite['name'])} {suite['revision']}, `{suite['hash']}`",
            f"- {_('Asked by')}: {_cell(str(approval.requested_by or '?'))}",
            f"- {_('Approved by')}: {_cell(str(approval.decided_by or '?'))}",
            *([f"- {_('Approved by the person who asked')}"] if approval.is_self_approval else []),
            "",
            _row(_("Figure"), _("Data"), _("Threshold"), _("Value and its interval (95 percent)"), _("Verdict")),
            "|---|---|---|---|---|",
        ]
        for check in gate["checks"]:
            cells = (
                str(FIGURES.get(check["figure"], check["figure"])),
                _cell(f"{check['data']} {check['split']}" if check["data"] else _("the tasks of its lineage")),
            )
            wanted = f"{check['direction']} {check['threshold']}"
            lines.append(_row(*cells, wanted, _interval(check), _("passed")))
        parts.append(_section(_("Evidence"), lines))
    return "\n\n".join(parts)


def _files(version: ModelVersion) -> str:
    lines = [f"- `{file['path']}` {file['bytes']:,} B, sha256 `{file['sha256']}`" for file in version.files]
    return _section(_("Files"), lines)


def _section(title: str, lines: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _interval(figure: dict[str, Any]) -> str:
    if figure["low"] is None:
        return f"{figure['value']:.4f}"
    return f"{figure['value']:.4f} ({figure['low']:.4f} – {figure['high']:.4f})"


def _cell(text: str) -> str:
    """User text inside a Markdown table: no new rows, no new cells, no markup."""
    flat = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\|`*_[]<>#" else sign for sign in flat)
