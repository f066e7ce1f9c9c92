"""What a tagger run is made of before it starts: rows by part, labels, unit, windows, learning rates."""

from typing import Any

from engine.data import SpanRows, parts_of
from engine.preflight_tag import span_problems
from engine.specs import Problem, TagSpec
from engine.units import unit_by_script


def arrange(spec: TagSpec, splits: dict[str, SpanRows]) -> tuple[dict[str, SpanRows], list[str], list[Problem]]:
    """(rows by part, labels in order, problems): dev is held out of train when the dataset has none."""
    parts = parts_of(
        spec, splits, SpanRows, groups=lambda rows: [spans[0].label if spans else "" for spans in rows.spans]
    )
    labels = sorted({span.label for spans in parts["train"].spans for span in spans})
    return parts, labels, span_problems(spec, parts, labels)


def choose_unit(spec: TagSpec, texts: list[str]) -> str:
    """The unit a spec means for these training texts."""
    return unit_by_script(texts) if spec.unit == "auto" else spec.unit


def stride(spec: TagSpec, max_length_tokens: int) -> int:
    """Tokens that windows share: fewer than the spec says where the base model's windows are short."""
    return min(spec.stride_tokens, max_length_tokens // 2 - 1)


def reads_case(spec: TagSpec, tokenizer: Any) -> bool:
    """Whether the head is told how words are written; auto asks whether the tokenizer takes it away."""
    if spec.case_features != "auto":
        return spec.case_features == "on"
    small, large = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("hello", "HELLO"))
    return bool(small == large)
