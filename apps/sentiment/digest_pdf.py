"""A digest as a PDF: written by ReportLab, with just the glyphs of Noto Sans SC that its words need."""

import io
import threading
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import formats, timezone
from django.utils.translation import gettext as _

from apps.sentiment.digest_words import CHART_HEIGHT, WIDTH, context_of
from apps.sentiment.digests import Digest
from apps.sentiment.models import Alert

SANS, BOLD = "LingxiSans", "LingxiSans-Bold"
WEIGHTS = {SANS: 400, BOLD: 700}
INK, PALE, LINE, ACCENT, BAD = "#1f2933", "#62707d", "#e6e9ed", "#0b7285", "#c92a2a"
CHANGES = {None: PALE, True: BAD, False: "#2b8a3e"}
ALWAYS = "".join(chr(code) for code in range(32, 127)) + "–…·•“”‘’，。：；、（）■\u00a0"
_one_at_a_time = threading.Lock()  # ReportLab keeps fonts by name for the whole process


def pdf_of(digest: Digest, base_url: str) -> bytes:
    """The document, in the language of the moment. Takes a few seconds: the font is cut to size each time."""
    with timezone.override(ZoneInfo(digest.monitor.time_zone)):
        context = context_of(digest, base_url)
        texts = _texts(context)
        with _one_at_a_time:
            _register(texts)
            return _built(context)


def _texts(context: dict[str, Any]) -> str:
    """All characters that may be shown."""
    digest: Digest = context["digest"]
    found = [context["title"], context["span"], digest.monitor.name, *(bar.label for bar in context["bars"]), *_heads()]
    found += [part for fact in context["facts"] for part in (fact.name, fact.value, fact.change)]
    found += [name for name, _colour, _count in context["legend"]]
    found += [line.story.title for line in digest.top_stories]
    found += [part for line, state in context["source_lines"] for part in (line.source.name, state)]
    found += [part for article in digest.worth_reading for part in (str(article), article.source.name, _at(article))]
    found += [part for alert in digest.alerts for part in _told(alert)]
    return "".join(found)


def _heads() -> list[str]:
    return [
        _("Alerts"), _("Articles by time of publication"), _("Worth reading"), _("Top stories"), _("Sources"),
        _("Story"), _("Articles"), _("Negative"), _("Source"), _("Negative share"), _("State"),
    ]  # fmt: skip


def _told(alert: Alert) -> tuple[str, str, str]:
    return _at_time(alert.fired_at), str(alert), f"{alert.get_severity_display()} · {alert.get_state_display()}"


def _at(article: Any) -> str:
    return _at_time(article.published_at)


def _at_time(moment: Any) -> str:
    return formats.date_format(timezone.localtime(moment), "SHORT_DATETIME_FORMAT")


@cache
def _known() -> frozenset[int]:
    """Characters that the font has."""
    from fontTools.ttLib import TTFont  # takes a moment: only who writes a PDF waits for it

    with TTFont(_path(), lazy=True) as font:
        return frozenset(font.getBestCmap())


def _path() -> str:
    return str(files("justmytype_intl_cjk") / "fonts/ofl/notosanssc/NotoSansSC[wght].ttf")


def _register(texts: str) -> None:
    """Make the two weights known, each with the glyphs of these texts."""
    from fontTools import subset
    from fontTools.ttLib import TTFont
    from fontTools.varLib import instancer
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont as PdfFont

    options = subset.Options()
    options.layout_features, options.notdef_outline = [], True
    cutter, cut = subset.Subsetter(options), io.BytesIO()
    cutter.populate(text=ALWAYS + texts)
    with TTFont(_path(), lazy=True) as whole:
        cutter.subset(whole)
        whole.save(cut)
    for name, weight in WEIGHTS.items():
        font = instancer.instantiateVariableFont(TTFont(io.BytesIO(cut.getvalue())), {"wght": weight})
        for kind in (1, 4, 6):  # by these names a document tells its fonts apart
            font["name"].setName(name, kind, 3, 1, 0x409)
        data = io.BytesIO()
        font.save(data)
        pdfmetrics._fonts.pop(name, None)  # a known name would keep the glyphs of the last document
        pdfmetrics._dynFaceNames.pop(name.encode(), None)
        pdfmetrics.registerFont(PdfFont(name, io.BytesIO(data.getvalue())))


def _built(context: dict[str, Any]) -> bytes:
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.platypus import SimpleDocTemplate

    data = io.BytesIO()
    document = SimpleDocTemplate(
        data, pagesize=A4, leftMargin=18 * mm, rightMargin=18 * mm, topMargin=16 * mm, bottomMargin=16 * mm,
        title=context["title"], author="Lingxi", lang=context["language"], invariant=1,
    )  # fmt: skip
    document.build(list(_story(context, document.width)), onFirstPage=_foot, onLaterPages=_foot)
    return data.getvalue()


def _foot(canvas: Any, document: Any) -> None:
    canvas.setFont(SANS, 8)
    canvas.setFillColor(PALE)
    canvas.drawRightString(document.pagesize[0] - document.rightMargin, 24, str(document.page))


def _story(context: dict[str, Any], width: float) -> Iterable[Any]:
    from reportlab.platypus import Spacer

    digest: Digest = context["digest"]
    yield _text(context["title"], size=18, bold=True, after=2)
    yield _text(context["span"], size=9, colour=PALE, after=10)
    yield _figures(context["facts"], width)
    if digest.alerts:
        yield _head(_("Alerts"))
        rows = [_told(alert) for alert in digest.alerts]
        yield _table((), rows, (0.2, 0.55, 0.25), width)
    if context["legend"]:
        yield _head(_("Articles by time of publication"))
        yield _chart(context, width)
        yield _legend(context["legend"])
    if digest.worth_reading:
        yield _head(_("Worth reading"))
        for article in digest.worth_reading:
            yield _text(
                str(article)[:200], bold=True, after=0, link=f"{context['base_url']}monitors/articles/{article.pk}"
            )
            yield _text(f"{article.source.name} · {_at(article)}", size=8.5, colour=PALE, after=6)
    if digest.top_stories:
        yield _head(_("Top stories"))
        heads = (_("Story"), _("Articles"), _("Sources"), _("Negative"))
        lines = [
            (line.story.title[:160], f"{line.article_count:,}", f"{line.source_count:,}", _count(line.negative_count))
            for line in digest.top_stories
        ]
        yield _table(heads, lines, (0.58, 0.14, 0.14, 0.14), width)
    if context["source_lines"]:
        yield _head(_("Sources"))
        heads = (_("Source"), _("Articles"), _("Negative share"), _("State"))
        shown = [
            (line.source.name, f"{line.article_count:,}", _percent(line.negative_share), state)
            for line, state in context["source_lines"]
        ]
        yield _table(heads, shown, (0.46, 0.16, 0.2, 0.18), width)
    yield Spacer(1, 1)


def _legend(tones: Sequence[tuple[str, str, int]]) -> Any:
    """A square in the colour of each tone before its name and count."""
    marked = [f'<font color="{colour}">■</font> {escape(name)} {count:,}' for name, colour, count in tones]
    return _paragraph(" \u00a0 ".join(marked), size=8.5, colour=PALE, before=4)


def _count(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.1f} %"


def _head(text: str) -> Any:
    return _text(text, size=12.5, bold=True, before=14, after=5)


def _text(text: str, *, link: str = "", **style: Any) -> Any:
    """A paragraph of plain text without the characters that the font lacks."""
    known = _known()
    clean = escape("".join(char for char in text if ord(char) in known))
    return _paragraph(f'<a href="{escape(link)}" color="{ACCENT}">{clean}</a>' if link else clean, **style)


def _paragraph(
    marked: str, *, size: float = 10, bold: bool = False, colour: str = INK, before: float = 0, after: float = 3,
    right: bool = False,
) -> Any:  # fmt: skip
    """One with Chinese is broken between any two characters, one without between words."""
    from reportlab.lib.enums import TA_LEFT, TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    style = ParagraphStyle(
        "text", fontName=BOLD if bold else SANS, fontSize=size, leading=size * 1.4, textColor=colour,
        spaceBefore=before, spaceAfter=after, alignment=TA_RIGHT if right else TA_LEFT,
        wordWrap="CJK" if any("\u2e80" <= char <= "\uffef" for char in marked) else None,
    )  # fmt: skip
    return Paragraph(marked, style)


def _figures(facts: Sequence[Any], width: float) -> Any:
    from reportlab.platypus import Table

    cells = [
        [
            _text(fact.name, size=9, colour=PALE, after=0),
            _text(fact.value, size=18, bold=True, after=0),
            _text(fact.change, size=8.5, colour=CHANGES[fact.is_bad], after=0),
        ]
        for fact in facts
    ]
    style: list[Any] = [("BACKGROUND", (0, 0), (-1, -1), "#f4f7f9"), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    style += [("LEFTPADDING", (0, 0), (-1, -1), 10), ("TOPPADDING", (0, 0), (-1, -1), 7)]
    style += [("BOTTOMPADDING", (0, 0), (-1, -1), 9), ("LINEAFTER", (0, 0), (-2, -1), 6, "#ffffff")]
    return Table([cells], colWidths=[width / len(cells)] * len(cells), style=style, hAlign="LEFT")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], shares: Sequence[float], width: float) -> Any:
    """Rows under pale heads; all columns but the first two of prose stand right."""
    from reportlab.platypus import Table

    body = [
        [_text(cell, size=9.5, after=0, right=bool(heads) and at > 0) for at, cell in enumerate(row)] for row in rows
    ]
    top = (
        [[_text(head, size=8.5, colour=PALE, after=0, right=at > 0) for at, head in enumerate(heads)]] if heads else []
    )
    style: list[Any] = [("LINEBELOW", (0, 0), (-1, -1), 0.5, LINE), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    style += [("LEFTPADDING", (0, 0), (-1, -1), 0), ("RIGHTPADDING", (0, 0), (-1, -1), 6)]
    return Table(
        [*top, *body], colWidths=[share * width for share in shares], style=style, hAlign="LEFT", repeatRows=len(top)
    )


def _chart(context: dict[str, Any], width: float) -> Any:
    from reportlab.graphics.shapes import Drawing, Line, Rect, String

    scale, foot = width / WIDTH, 14
    drawing = Drawing(width, CHART_HEIGHT + foot)
    for at, bar in enumerate(context["bars"]):
        for part in bar.parts:
            drawing.add(
                Rect(bar.x * scale, foot + CHART_HEIGHT - part.y - part.height, bar.width * scale, part.height,
                     fillColor=_colour(part.colour), strokeWidth=0, strokeColor=None)
            )  # fmt: skip
        if len(context["bars"]) < 10 or at % context["label_every"] == 0:
            middle = (bar.x + bar.width / 2) * scale
            drawing.add(
                String(middle, 3, bar.label, fontName=SANS, fontSize=7.5, fillColor=_colour(PALE), textAnchor="middle")
            )
    drawing.add(Line(0, foot, width, foot, strokeColor=_colour("#adb5bd"), strokeWidth=0.7))
    return drawing


def _colour(written: str) -> Any:
    from reportlab.lib.colors import HexColor

    return HexColor(written)
