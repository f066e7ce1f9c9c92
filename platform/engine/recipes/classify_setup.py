"""What a classifier run is made of before it starts: rows by part, pooling, reading length, learning rates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from engine import base_models, int8
from engine.continuing import Earlier, earlier_rows, union, widened
from engine.data import TextRows, parts_of, read_texts
from engine.decoder import POOLING, ends_texts, is_decoder, load_decoder_classifier, pad_of
from engine.encoder import PackedEncoder, TextClassifier, can_pack
from engine.evaluate import gold_table
from engine.failures import RunFailed
from engine.int8 import lay_on_grid
from engine.methods import Attached, attach
from engine.model_folder import describe, holds_classifier, open_classifier
from engine.preflight_classify import classification_problems
from engine.specs import ClassifySpec, Problem
from engine.specs.methods import VIRTUAL
from engine.teaching import spread_evenly
from words import say


def arrange(
    spec: ClassifySpec, splits: dict[str, TextRows], *, known: Sequence[str] = ()
) -> tuple[dict[str, TextRows], list[str], list[Problem]]:
    """(rows by part, labels in order, problems): dev is held out of train when the dataset has none.

    `known` are the labels of a teacher, who also has something to say of texts to learn from that have no label.
    """
    parts = parts_of(spec, splits, TextRows, groups=lambda rows: rows.labels)
    for name in parts:  # an unlabelled text teaches nothing where exactly one label is due
        if not spec.multi_label and not (known and name == "train"):
            parts[name] = parts[name].pick([at for at, labels in enumerate(parts[name].labels) if labels])
    outside = outside_label(spec)
    labels = sorted({label for names in parts["train"].labels for label in names} - {outside})
    problems = classification_problems(spec, parts, labels, outside=outside, kept=kept_labels(spec))
    strange = [name for name in labels if known and name not in known]
    if strange:
        problems.append(
            Problem(
                "unknown_label",
                "teacher",
                say("The teacher does not know the label “{name}”.", name=strange[0]),
                say("Choose a teacher of the same labels, or rename them."),
            )
        )
    return parts, list(known) or labels, problems


def outside_label(spec: Any) -> str:
    """The label of texts about none of the others, "" when there is none."""
    return str(getattr(spec, "outside_label", ""))


def aims(rows: TextRows, labels: Sequence[str], outside: str) -> tuple[Tensor, list[int]]:
    """(targets [N, K], positions of the rows about one of the labels); about none of them all labels are equally right."""
    table = torch.from_numpy(gold_table(rows.labels, [*labels, outside] if outside else labels, rows.ids)).float()
    if not outside:
        return table, list(range(len(rows)))
    is_outside = table[:, -1] > 0
    targets = torch.where(is_outside[:, None], torch.full_like(table[:, :-1], 1 / len(labels)), table[:, :-1])
    return targets, torch.nonzero(~is_outside).flatten().tolist()


def kept_labels(spec: ClassifySpec) -> list[str]:
    """The labels whose outputs go on: those of the base version, in its order; none for a new head.

    RunFailed("not_together") when the version gives several labels per text and the run one, or the other way round.
    """
    if not spec.keeps_labels:
        return []
    folder = Path(base_models.locate(spec.base_model))
    if not holds_classifier(folder):
        if spec.keep == "ewc":
            raise RunFailed(
                "not_together",
                say("The base version gives no labels, so nothing tells what its weights mean."),
                say("Choose L2-SP or replay, or a version that gives labels."),
            )
        return []
    found = describe(folder)
    if bool(found["multi_label"]) != spec.multi_label:
        raise RunFailed(
            "not_together",
            say("The base version and this run do not give the same number of labels per text."),
            say("Set multi_label as the version has it, or set known_labels to replace."),
        )
    return list(found["labels"])


def earlier_texts(spec: ClassifySpec, parts: Mapping[str, TextRows], earlier: Sequence[Earlier]) -> list[TextRows]:
    """The labelled training rows of each earlier task where the spec reads them; RunFailed when there are none."""
    if not spec.rehearses:
        return []
    measured = [parts["dev"], parts["test"]]
    found = earlier_rows(spec, earlier, lambda task: read_texts(task.path), lambda rows: rows.texts, measured)
    return [rows.pick([at for at, labels in enumerate(rows.labels) if labels or spec.multi_label]) for rows in found]


def all_labels(kept: Sequence[str], rows: TextRows, outside: str = "") -> list[str]:
    """The labels of the head: those that are kept, then the others of the rows, but for the one about none of them."""
    return union(kept, sorted({label for names in rows.labels for label in names} - {outside}))


def going_on(spec: ClassifySpec, labels: Sequence[str], kept: Sequence[str]) -> tuple[TextClassifier, Any]:
    """(the base version with its head widened to `labels`, its tokenizer); `kept` are the labels it knows."""
    model, tokenizer, _ = open_classifier(Path(base_models.locate(spec.base_model)), dropout=spec.dropout)
    if spec.pooling not in ("auto", model.pooling):
        raise RunFailed(
            "not_together",
            say("The head of the base version reads another kind of pooling."),
            say("Choose pooling “auto”, or set known_labels to replace."),
        )
    name = head_layer(model)
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, widened(cast(nn.Linear, model.get_submodule(name)), kept, labels))
    return model, tokenizer


def head_layer(model: TextClassifier) -> str:
    """The name of the layer that gives a number for each label."""
    if model.pooling != "native":
        return "head"
    inner = {id(module) for module in model.encoder.modules()}
    parts: list[tuple[str, nn.Module]] = list(model.named_modules())
    return [name for name, part in parts if isinstance(part, nn.Linear) and id(part) not in inner][-1]


def output_names(model: TextClassifier) -> list[str]:
    """The parameters with a row for each label."""
    name = head_layer(model)
    return [f"{name}.{part}" for part, _ in model.get_submodule(name).named_parameters()]


def beginning(spec: ClassifySpec, label_count: int) -> tuple[TextClassifier, Any]:
    """(the base model under a new head, its tokenizer): an encoder, or a decoder whose texts end with its end token."""
    place = base_models.locate(spec.base_model)
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    config = base_models.load_config(place, spec.base_model.revision)
    pooling = choose_pooling(spec, config)
    check_student(spec, config)
    if is_decoder(config):
        folder = base_models.fetched(spec.base_model)
        tokenizer = ends_texts(tokenizer)
        return load_decoder_classifier(folder, config, tokenizer, label_count, dropout=spec.dropout), tokenizer
    network = base_models.load_network(place, label_count, revision=spec.base_model.revision)
    keep_layers(network, getattr(spec, "student_layers", 0))
    model = TextClassifier(network, label_count, pooling=pooling, dropout=spec.dropout)
    if makes_int8(spec):
        lay_on_grid(model)
    return model, tokenizer


def makes_int8(spec: Any) -> bool:
    """Whether the run makes a student of int8 weights."""
    return getattr(spec, "student_weights", "") == int8.WEIGHTS


def check_student(spec: Any, config: Any) -> None:
    """RunFailed("not_together") when the base model is none that such a student can be made of."""
    if not is_decoder(config):
        return
    if wanted := getattr(spec, "student_layers", 0):
        raise cannot_keep(wanted)
    if makes_int8(spec):
        raise RunFailed(
            "not_together",
            say("A student of int8 weights is an encoder, and this base model writes."),
            say("Choose an encoder as the base model, or set student_weights to float32."),
        )


def hiding_token(tokenizer: Any) -> int:
    """What stands in the place of a hidden token: the mask, the unknown or else the padding token."""
    found = next((token for token in (tokenizer.mask_token_id, tokenizer.unk_token_id) if token is not None), None)
    return pad_of(tokenizer) if found is None else int(found)  # the token's number may be 0


def cannot_keep(wanted: int) -> RunFailed:
    """The failure of a base model that so many layers cannot be taken from."""
    return RunFailed(
        "not_together",
        say("{wanted} layers cannot be kept of this base model.", wanted=wanted),
        say("Choose a BERT-like base model with at least as many layers."),
    )


def keep_layers(network: Any, wanted: int) -> None:
    """Take layers out of a BERT-like network until `wanted` are left (0: all), spread evenly with the last among them.

    RunFailed("not_together") for another architecture or more layers than there are.
    """
    count = network.config.num_hidden_layers
    if not wanted or wanted == count:
        return
    if not can_pack(network.config) or wanted > count:
        raise cannot_keep(wanted)
    layers = network.base_model.encoder.layer
    network.base_model.encoder.layer = type(layers)([layers[at] for at in spread_evenly(count, wanted)])
    network.config.num_hidden_layers = wanted


def choose_pooling(spec: Any, config: Any) -> str:
    """The pooling a spec means for this architecture; RunFailed if the mean is asked for and not possible."""
    if spec.pooling == "mean" and not can_pack(config):
        raise RunFailed(
            "not_together",
            say("Mean pooling is not available for {model_type} models.", model_type=config.model_type),
            say("Choose pooling “native”."),
        )
    if is_decoder(config):
        return POOLING
    return "native" if spec.pooling == "native" or not can_pack(config) else "mean"


def reading_length(spec: Any, config: Any, tokenizer: Any) -> int:
    """The shortest of what the spec, the positions and the tokenizer allow."""
    offset = 0 if config.model_type == "bert" or is_decoder(config) else 2
    positions = getattr(config, "max_position_embeddings", None) or 1 << 30
    return int(min(spec.max_length_tokens, positions - offset, tokenizer.model_max_length))


def parameter_groups(model: PackedEncoder, spec: Any) -> list[dict[str, Any]]:
    """AdamW groups with their peak rate: head, then each layer below slower by `layer_decay`."""
    if spec.is_adapter:
        return adapter_groups(model, spec)
    depth, head = int(getattr(model.config, "num_hidden_layers", 1)), head_names(model)
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name in head:
            peak = spec.head_learning_rate
        else:
            number = next((int(word) for word in name.split(".") if word.isdigit()), -1)
            peak = spec.learning_rate * spec.layer_decay ** (depth - 1 - number)
        decay = spec.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((peak, decay), []).append(parameter)
    return [{"params": found, "peak": peak, "weight_decay": decay} for (peak, decay), found in groups.items()]


def adapter_groups(model: PackedEncoder, spec: Any) -> list[dict[str, Any]]:
    """AdamW groups of what an adapter method trains: the new module, and the head."""
    named, names = [(name, p) for name, p in model.named_parameters() if p.requires_grad], head_names(model)
    head = [p for name, p in named if name in names]
    added = [p for name, p in named if name not in names]
    return [
        {"params": added, "peak": spec.adapter_learning_rate, "weight_decay": 0.0},
        {"params": head, "peak": spec.head_learning_rate, "weight_decay": spec.weight_decay},
    ]


def head_names(model: PackedEncoder) -> set[str]:
    """The names of the parameters that are not the encoder's: the head, and the encoder's pooler."""
    inner = {id(parameter) for parameter in model.encoder.parameters()}
    return {name for name, p in model.named_parameters() if id(p) not in inner or "pooler" in name.split(".")}


def attach_method(model: PackedEncoder, spec: Any, vocabulary: int) -> Attached | None:
    """Put the spec's adapter into the encoder and let the head learn beside it; None for the whole encoder.

    Virtual tokens begin as what the encoder makes of random tokens of its vocabulary.
    """
    if spec.method == "frozen":
        model.encoder.requires_grad_(False)
    if not spec.is_adapter:
        return None
    encoder = model.encoder
    if spec.method in VIRTUAL and not model.is_packed:
        raise RunFailed(
            "not_together",
            say("Virtual tokens are not available for {model_type} models.", model_type=model.config.model_type),
            say("Choose LoRA, or a BERT-like base model."),
        )
    attached = attach(encoder, spec)
    head = head_names(model)
    for name, parameter in model.named_parameters():
        if name in head:
            parameter.requires_grad_(True)
    if attached.virtual is not None and vocabulary:
        drawn = torch.randint(vocabulary, (spec.virtual_tokens,)).tolist()
        del encoder.virtual
        start = model.virtual_start(drawn, is_prefix=attached.virtual.is_prefix)
        encoder.virtual = attached.virtual
        attached.virtual.start(start)
    return attached
