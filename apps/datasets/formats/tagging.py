"""Spans as CoNLL tags and back: IOB1, IOB2, IOBES, BILOU and BMES are read by one rule, the first four written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.datasets.tokens import token_spans
from core.characters import CJK
from words import say

SCHEMES = ("iob2", "iob1", "iobes", "bilou")
_WIDE = re.compile(f"[{CJK}\u3000-\u303f\uff00-\uffef“”‘’…—]")
_BEGINS, _ENDS = frozenset("BSU"), frozenset("ESLU")


def split_tag(tag: str) -> tuple[str, str]:
    """(prefix, label) of a tag; O has no label. ValueError where `tag` is neither."""
    if tag == "O":
        return "O", ""
    if len(tag) > 2 and tag[0] in "BIESLUM" and tag[1] in "-_":
        return tag[0], tag[2:]
    raise ValueError(say("“{tag}” is not a tag like O, B-LABEL or I-LABEL", tag=tag))


def decode_tags(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """(first token, token after the last, label) of each span, as conlleval reads chunks: a span starts at B, S, U,
    at a new label and after an end; it ends before a start, at O and after E, S, L, U."""
    spans: list[tuple[int, int, str]] = []
    begun, label, ended = -1, "", True
    for at, tag in enumerate(tags):
        prefix, now = split_tag(tag)
        goes_on = prefix != "O" and not ended and now == label and prefix not in _BEGINS
        if begun >= 0 and not goes_on:
            spans.append((begun, at, label))
            begun = -1
        if prefix != "O" and not goes_on:
            begun = at
        label, ended = now, prefix == "O" or prefix in _ENDS
    return [*spans, (begun, len(tags), label)] if begun >= 0 else spans


def detect_scheme(sentences: Sequence[Sequence[str]]) -> str:
    """The scheme the tags follow: iob1, iob2, iobes, bilou or bmes; "" when there is no span."""
    prefixes = {tag[0] for tags in sentences for tag in tags if tag != "O"}
    if not prefixes:
        return ""
    if "M" in prefixes:
        return "bmes"
    if prefixes & {"L", "U"}:
        return "bilou"
    if prefixes & {"E", "S"}:
        return "iobes"
    loose = any(
        tag[0] == "I" and (at == 0 or tags[at - 1] == "O" or tags[at - 1][2:] != tag[2:])
        for tags in sentences
        for at, tag in enumerate(tags)
    )
    return "iob1" if loose else "iob2"


def join_tokens(tokens: Sequence[str], join: str = "auto") -> tuple[str, list[tuple[int, int]]]:
    """(text, [start, end) of each token). `join` is space, none, or auto: no space between two wide characters."""
    text, spans, length, last = [], [], 0, ""
    for token in tokens:
        if last and (join == "space" or (join == "auto" and not (_WIDE.match(last[-1]) and _WIDE.match(token[0])))):
            text.append(" ")
            length += 1
        text.append(token)
        spans.append((length, length + len(token)))
        length += len(token)
        last = token
    return "".join(text), spans


@dataclass(slots=True)
class Tagged:
    """A text as tokens and tags, and how many of its spans could not be said that way."""

    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    nested: int = 0
    partial: int = 0


def encode_tags(text: str, spans: Sequence[dict[str, Any]], tokenizer: str, scheme: str) -> Tagged:
    """Tokens and tags; of overlapping spans the longest (then first) stays, a span that cuts a token is left out."""
    bounds = list(token_spans(text, tokenizer))
    starts = {start: at for at, (start, _) in enumerate(bounds)}
    ends = {end: at for at, (_, end) in enumerate(bounds)}
    result = Tagged([text[start:end] for start, end in bounds], ["O"] * len(bounds))
    owner: list[tuple[int, str] | None] = [None] * len(bounds)
    by_size = sorted(enumerate(spans), key=lambda s: (s[1]["start"] - s[1]["end"], s[1]["start"], s[0]))
    for number, span in by_size:
        first, last = starts.get(span["start"]), ends.get(span["end"])
        if first is None or last is None or any(c in "\t\r\n" for c in span["label"]):
            result.partial += 1
        elif any(owner[at] for at in range(first, last + 1)):
            result.nested += 1
        else:
            owner[first : last + 1] = [(number, span["label"])] * (last + 1 - first)
            result.tags[first : last + 1] = _tags(span["label"], last + 1 - first, scheme)
    if scheme == "iob1":
        for at, tag in enumerate(result.tags):
            before = owner[at - 1] if at else None
            if tag[0] == "B" and not (before and before[1] == tag[2:]):
                result.tags[at] = f"I-{tag[2:]}"
    return result


def _tags(label: str, count: int, scheme: str) -> list[str]:
    single, last = {"iobes": ("S", "E"), "bilou": ("U", "L")}.get(scheme, ("B", "I"))
    if count == 1:
        return [f"{single}-{label}"]
    return [f"B-{label}", *[f"I-{label}"] * (count - 2), f"{last}-{label}"]
