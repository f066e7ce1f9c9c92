"""The spec of training a GPT from scratch on plain texts."""

from dataclasses import dataclass

from engine.specs.base_models import BaseModel, no_new_network
from engine.specs.common import RunOptions
from engine.specs.continuing import ContinueOptions
from engine.specs.fields import bound_problems, option
from engine.specs.gpt_shape import shape_problems
from engine.specs.problems import Problem
from words import say

DEFAULT_BASE = BaseModel()
LEAST_BPE_ENTRIES = 300


@dataclass(frozen=True)
class PretrainSpec(ContinueOptions, RunOptions):
    """Options of the recipe "pretrain": a vocabulary, a decoder and a corpus."""

    shape: str = option(
        "llama",
        "Llama: rotary positions, RMS norm, SwiGLU; GPT-2: learned positions, layer norm, GELU",
        choices=("llama", "gpt2"),
    )
    layers: int = option(4, "Transformer layers", minimum=1, maximum=64)
    width: int = option(128, "Width of the hidden vectors; a multiple of heads", minimum=8, maximum=8192)
    heads: int = option(4, "Attention heads", minimum=1, maximum=128)
    kv_heads: int = option(
        0,
        "Key-value heads; fewer than heads shares them (grouped queries), 0 takes as many as heads",
        minimum=0,
        maximum=128,
    )
    feed_forward: int = option(
        0,
        "Width of the feed-forward layer; 0 takes 8/3 of the width, rounded up to 16 (GPT-2: 4 times the width)",
        minimum=0,
        maximum=65_536,
    )
    context_tokens: int = option(256, "Longest sequence the model can read", minimum=16, maximum=32_768)
    tie_embeddings: bool = option(True, "Input and output embeddings are one matrix")
    vocabulary: str = option(
        "bpe",
        "What a token is: a piece learnt by byte-level BPE, a character, a byte, or as in the base model",
        choices=("bpe", "character", "byte", "base_model"),
    )
    vocabulary_size: int = option(
        4096, "Most entries of a vocabulary that is learnt from the texts", minimum=16, maximum=200_000
    )
    base_model: BaseModel = option(
        DEFAULT_BASE,
        "Whose tokenizer is taken over when the vocabulary is that of the base model",
        when=("vocabulary", ("base_model",)),
    )
    weights: str = option(
        "new",
        "Where the weights begin: new, or with those of the base model, a GPT-2 or Llama shape, whose shape then counts",
        choices=("new", "base_model"),
        when=("vocabulary", ("base_model",)),
        later=True,
    )
    layout: str = option(
        "documents",
        "What a sequence holds: whole documents that do not see each other, or a block of the texts one after the other",
        choices=("documents", "blocks"),
    )
    epochs: int = option(1, "Passes over the training split", minimum=1, maximum=1000)
    max_tokens: int = option(
        0, "Train on about so many tokens, whatever the epochs; 0 lets epochs decide", minimum=0, maximum=10**13
    )
    learning_rate: float = option(1e-3, "Peak learning rate", minimum=0, maximum=1)
    final_learning_rate_share: float = option(
        0.1, "The cosine ends at this share of the peak learning rate", minimum=0, maximum=1
    )
    warmup_share: float = option(0.05, "Share of all steps over which the learning rate rises", minimum=0, maximum=0.9)
    weight_decay: float = option(0.1, "Decoupled weight decay on matrices", minimum=0, maximum=1)
    beta2: float = option(0.95, "AdamW's memory of squared gradients", minimum=0.5, maximum=0.9999)
    max_gradient_norm: float = option(
        1.0, "Gradients are scaled down to this norm; 0 leaves them", minimum=0, maximum=1000
    )
    batch_size: int = option(8, "Sequences of context_tokens in one micro-batch", minimum=1, maximum=4096)
    gradient_accumulation: int = option(1, "Micro-batches in one optimiser step", minimum=1, maximum=1024)
    dropout: float = option(
        0.0,
        "Share of values dropped after the embedding, in attention and after each half of a block",
        minimum=0,
        maximum=0.9,
    )
    evaluate_every_steps: int = option(
        0, "Measure dev after every so many optimiser steps; 0 measures after each epoch", minimum=0, maximum=10_000_000
    )
    dev_tokens: int = option(
        500_000,
        "Most dev tokens measured on the way; the end measures all of them. 0 always measures all",
        minimum=0,
        maximum=10**12,
    )
    early_stopping_patience: int = option(
        0, "Stop after so many measurements without a lower dev loss; 0 never stops early", minimum=0, maximum=1000
    )
    sample_prompt: str = option("", "A beginning to be continued for the sample table, beside those of dev documents")
    sample_count: int = option(8, "Beginnings of dev documents continued for the sample table", minimum=0, maximum=200)
    sample_tokens: int = option(128, "Longest continuation in the sample table", minimum=1, maximum=2048)
    sample_temperature: float = option(
        0.8, "How freely continuations are drawn; 0 always takes the likeliest token", minimum=0, maximum=2
    )

    is_adapter = False
    method = "full"

    @property
    def goes_on(self) -> bool:
        """Whether the run begins with the weights of its base model."""
        return self.weights == "base_model"

    def problems(self) -> list[Problem]:
        """Everything that is wrong with this spec, fields first, then what does not go together."""
        found = bound_problems(self)
        if found:
            return found
        if self.goes_on:
            return found + self._base_problems() + self.run_problems()
        if self.shape == "gpt2" and self.kv_heads not in (0, self.heads):
            found.append(
                Problem(
                    "not_together",
                    "kv_heads",
                    say("A GPT-2 shape has as many key-value heads as heads."),
                    say("Choose 0, or the Llama shape."),
                )
            )
        else:
            found += shape_problems(
                _Sizes(self.width, self.heads, self.kv_heads or self.heads), rotary=self.shape == "llama"
            )
        least = LEAST_BPE_ENTRIES
        if self.vocabulary == "bpe" and self.vocabulary_size < least:
            found.append(
                Problem(
                    "out_of_range",
                    "vocabulary_size",
                    say("A byte-level BPE needs room for all bytes: {least} entries.", least=least),
                    say("Choose a value of at least {least}.", least=least),
                )
            )
        if self.vocabulary == "base_model" and self.base_model.is_new:
            found.append(no_new_network())
        if self.keep != "none":
            found.append(
                Problem(
                    "not_together",
                    "keep",
                    say("A network that begins anew has nothing to keep."),
                    say("Let the weights begin with those of a model version, or set keep to none."),
                )
            )
        return found + self.run_problems()

    def _base_problems(self) -> list[Problem]:
        """Of a run that goes on with the weights of its base model."""
        if self.vocabulary != "base_model":
            return [
                Problem(
                    "not_together",
                    "vocabulary",
                    say("Weights of a base model go with its vocabulary."),
                    say("Choose the vocabulary of the base model."),
                )
            ]
        if self.keep == "adapter_per_task":
            return [
                Problem(
                    "not_together",
                    "keep",
                    say("Pretraining trains all weights, so there is no adapter for each task."),
                    say("Choose replay, L2-SP or EWC."),
                )
            ]
        return [no_new_network()] if self.base_model.is_new else self.continue_problems()


@dataclass(frozen=True)
class _Sizes:
    width: int
    heads: int
    kv_heads: int
