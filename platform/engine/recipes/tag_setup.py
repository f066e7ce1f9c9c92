"""What a tagger run is made of before it starts: rows by part, labels, unit, windows, learning rates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine import base_models
from engine.continuing import Earlier, earlier_rows, union, widened
from engine.data import SpanRows, parts_of, read_spans
from engine.encoder import set_dropout
from engine.preflight_tag import span_problems
from engine.spans import tag_names
from engine.specs import Problem, TagSpec
from engine.tagger import TokenTagger
from engine.tagger_folder import describe, open_tagger
from engine.units import unit_by_script


def arrange(spec: TagSpec, splits: dict[str, SpanRows]) -> tuple[dict[str, SpanRows], list[str], list[Problem]]:
    """(rows by part, labels in order, problems): dev is held out of train when the dataset has none."""
    parts = parts_of(
        spec, splits, SpanRows, groups=lambda rows: [spans[0].label if spans else "" for spans in rows.spans]
    )
    labels = sorted({span.label for spans in parts["train"].spans for span in spans})
    return parts, labels, span_problems(spec, parts, labels)


def kept_labels(spec: TagSpec) -> list[str]:
    """The labels whose tags go on: those of the base version, in its order; none for a new head."""
    return list(describe(Path(base_models.locate(spec.base_model)))["labels"]) if spec.keeps_labels else []


def earlier_marked(spec: TagSpec, parts: Mapping[str, SpanRows], earlier: Sequence[Earlier]) -> list[SpanRows]:
    """The training rows of each earlier task where the spec reads them; RunFailed when there are none."""
    if not spec.rehearses:
        return []
    measured = [parts["dev"], parts["test"]]
    return earlier_rows(spec, earlier, lambda task: read_spans(task.path), lambda rows: rows.texts, measured)


def all_labels(kept: Sequence[str], rows: SpanRows) -> list[str]:
    """The labels of the head: those that are kept, then the others of the rows."""
    return union(kept, sorted({span.label for spans in rows.spans for span in spans}))


def open_network(spec: TagSpec, place: str, tokenizer: Any, labels: Sequence[str], kept: Sequence[str]) -> TokenTagger:
    """The tagger a run trains: with a new head, or with head and case features of the base version for the labels it keeps."""
    if not kept:
        network = base_models.load_network(
            place, len(tag_names(labels)), revision=spec.base_model.revision, head="TokenClassification"
        )
        return TokenTagger(network, case_features=reads_case(spec, tokenizer), dropout=spec.dropout)
    model = open_tagger(Path(place)).model
    model.network.classifier = widened(model.network.classifier, tag_names(kept), tag_names(labels))
    model.dropout_share = spec.dropout
    set_dropout(model, spec.dropout)
    return model


def choose_unit(spec: TagSpec, texts: list[str]) -> str:
    """The unit a spec means for these training texts; where tags of a version go on, the version's."""
    if spec.unit == "auto" and spec.keeps_labels:
        return str(describe(Path(base_models.locate(spec.base_model)))["unit"])
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
