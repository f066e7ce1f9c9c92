"""Why a version gives a label, as pages show it: the text in pieces, each with its sign and strength."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _

BEYOND_SHOWN = 300  # characters of what the version does not read


@dataclass(frozen=True)
class Segment:
    """A piece of the text; `strength` is 1 for the strongest word, `speaks` "for", "against" or nothing."""

    text: str
    speaks: str = ""
    strength: float = 0.0
    worth: str = ""


def picture_of(text: str, told: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The context of inference/_attribution.html: what `engine.explain.attribute` told of a text."""
    rest = text[told["read_characters"] :].strip()
    return {
        "told": told,
        "version": version,
        "segments": list(segments_of(text, told)),
        "beyond": rest if len(rest) <= BEYOND_SHOWN else f"{rest[:BEYOND_SHOWN]}…",
    }


def segments_of(text: str, told: Mapping[str, Any]) -> Iterator[Segment]:
    """The text that the version has read, word by word, with what stands between words."""
    most = max((abs(word["attribution"]) for word in told["words"]), default=0.0) or 1.0
    at = 0
    for word in told["words"]:
        if word["start"] > at:
            yield Segment(text[at : word["start"]])
        value = word["attribution"]
        speaks = "for" if value > 0 else "against" if value < 0 else ""
        yield Segment(text[word["start"] : word["end"]], speaks, abs(value) / most, _worth(word))
        at = word["end"]


def _worth(word: Mapping[str, Any]) -> str:
    """In log-odds, and what leaving it out does."""
    said = _("Worth %(value)s") % {"value": _signed(word["attribution"])}
    if word["occlusion"] is None:
        return said
    return said + " · " + _("without it %(value)s") % {"value": _signed(-word["occlusion"])}


def _signed(value: float) -> str:
    return ("+" if value > 0 else "−" if value < 0 else "") + number_format(abs(value), 2)
