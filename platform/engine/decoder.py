"""Text classifiers on a decoder: the state of the last token decides, as in transformers' sequence classifiers."""

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from tokenizers import processors
from torch import Tensor, nn

from engine.base_models import without_end
from engine.encoder import PackedEncoder, TextClassifier, inverse
from engine.gpt import Gpt
from engine.gpt.hugging_face import LLAMA_LIKE, load_gpt, read_config, to_theirs
from engine.gpt.runs import Run, documents, runs_of
from engine.methods import plain_weights

DECODERS = ("gpt2", *LLAMA_LIKE)
POOLING = "last"
HEAD_DEVIATION = 0.02


def is_decoder(config: Any) -> bool:
    """Whether a configuration of transformers is of a decoder that this engine trains."""
    return config.model_type in DECODERS


class DecoderClassifier(TextClassifier):
    """Token ids of N texts -> logits [N, K] by our GPT; the head has no bias, as transformers' has none."""

    def __init__(self, network: Gpt, config: Any, label_count: int, *, dropout: float = 0.0) -> None:
        # Not TextClassifier's own, which builds on a network of transformers.
        PackedEncoder.__init__(self)
        self.config = config
        self.pooling = POOLING
        self.is_packed = True
        self.dropout_share = dropout
        self.base = network
        self.head = nn.Linear(network.config.width, label_count, bias=False)
        nn.init.normal_(self.head.weight, std=HEAD_DEVIATION)

    @property
    def encoder(self) -> Gpt:
        """The decoder without its head."""
        return cast(Gpt, self.base)

    def logits(self, sequences: Sequence[Sequence[int]], added: Tensor | None = None) -> Tensor:
        """Logits [N, K] of N sequences of token ids, in their order."""
        return cast(Tensor, self.head(F.dropout(self.features(sequences), self.dropout_share, self.training)))

    def features(self, sequences: Sequence[Sequence[int]], added: Tensor | None = None) -> Tensor:
        """The states of the last tokens [N, D]; an empty text is read as one token of padding."""
        filled = [sequence or [int(self.config.pad_token_id)] for sequence in sequences]
        order = sorted(range(len(filled)), key=lambda at: len(filled[at]))
        hidden, runs = self._packed_hidden(filled, order)
        last = torch.cat([documents(hidden, run)[:, -1] for run in runs])  # [N, D]
        return last[inverse(order, last.device)]

    def _packed_hidden(
        self, sequences: Sequence[Sequence[int]], order: Sequence[int], added: Tensor | None = None
    ) -> tuple[Tensor, list[Run]]:
        """Last hidden states [T, D] of the sequences laid end to end in order of length, and their runs."""
        runs = runs_of([len(sequences[at]) for at in order])
        ids = torch.tensor([token for at in order for token in sequences[at]], device=self.head.weight.device)
        return self.encoder.packed(ids, runs), runs

    def virtual_start(self, ids: Sequence[int], *, is_prefix: bool) -> Tensor:
        """Where virtual tokens begin, as the decoder says."""
        self.encoder.virtual = None
        return self.encoder.virtual_start(ids, is_prefix=is_prefix)


def load_decoder_classifier(
    folder: Path, config: Any, tokenizer: Any, label_count: int, *, dropout: float = 0.0
) -> DecoderClassifier:
    """The decoder of a folder under a new head; `config` and `tokenizer` are transformers' of that folder."""
    config.pad_token_id = pad_of(tokenizer)
    return DecoderClassifier(load_gpt(folder, dropout=dropout, headless=True), config, label_count, dropout=dropout)


def empty_decoder_classifier(config: Any, label_count: int) -> DecoderClassifier:
    """The same without weights: make it on the meta device."""
    return DecoderClassifier(Gpt(headless_config(config)), config, label_count)


def headless_config(config: Any) -> Any:
    """Our configuration of transformers' one, without an output layer of its own."""
    return dataclasses.replace(read_config(config.to_dict()), tied=True)


def pad_of(tokenizer: Any) -> int:
    """The token that fills batches up; RunFailed when the tokenizer names neither padding nor an end."""
    found = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    if found is None:
        raise without_end()
    return int(found)


def ends_texts(tokenizer: Any) -> Any:
    """The tokenizer, which from now on puts the end token behind each text: it is what the head reads.

    Where padding is the end token, transformers would take the end for padding, so that the last word is read instead.
    """
    end, pad = tokenizer.eos_token_id, pad_of(tokenizer)
    if end is None or end == pad or tokenizer("a")["input_ids"][-1:] == [end]:
        return tokenizer
    name = tokenizer.eos_token
    added = processors.TemplateProcessing(single=f"$A {name}", special_tokens=[(name, end)])
    present = tokenizer.backend_tokenizer.post_processor
    tokenizer.backend_tokenizer.post_processor = added if present is None else processors.Sequence([present, added])
    return tokenizer


def exported_decoder(
    model: DecoderClassifier, labels: Sequence[str], *, multi_label: bool
) -> tuple[Any, dict[str, Tensor]]:
    """(configuration, weights) under the names transformers uses."""
    config = copy.deepcopy(model.config)
    stem = str(config.architectures[0]).removesuffix("ForCausalLM").removesuffix("LMHeadModel")
    config.architectures = [f"{stem.removesuffix('ForSequenceClassification')}ForSequenceClassification"]
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: at for at, label in enumerate(labels)}
    config.problem_type = "multi_label_classification" if multi_label else "single_label_classification"
    weights = to_theirs(model.encoder.config, plain_weights(model.encoder.state_dict()))
    return config, {**weights, "score.weight": model.head.weight}
