"""The spec of supervised fine-tuning: answers to chats, instructions and questions, by one renderer."""

from dataclasses import dataclass

from engine.specs.base_models import BaseModel
from engine.specs.common import RunOptions
from engine.specs.continuing import ContinueOptions
from engine.specs.fields import bound_problems, option
from engine.specs.gpt_shape import shape_problems
from engine.specs.methods import MethodOptions
from engine.specs.problems import Problem
from words import say

_NEW = ("base_model", ("scratch:gpt",))


@dataclass(frozen=True)
class SftSpec(ContinueOptions, MethodOptions, RunOptions):
    """Options of the recipe "sft". Without a base model a Llama-shaped decoder and a byte-level BPE are made new."""

    base_model: BaseModel = option(
        BaseModel("scratch", "gpt"), "Model that writes to start from, or a new one of the shape given below"
    )
    instruction: str = option(
        "", "System message put before pairs and questions, such as “Translate into Chinese”; chats keep their own"
    )
    layers: int = option(4, "Transformer layers", minimum=1, maximum=64, when=_NEW)
    width: int = option(128, "Width of the hidden vectors; a multiple of heads", minimum=8, maximum=8192, when=_NEW)
    heads: int = option(4, "Attention heads", minimum=1, maximum=128, when=_NEW)
    kv_heads: int = option(
        4, "Key-value heads; fewer than heads shares them (grouped queries)", minimum=1, maximum=128, when=_NEW
    )
    feed_forward: int = option(
        0,
        "Width of the feed-forward layer; 0 takes 8/3 of the width, rounded up to 16",
        minimum=0,
        maximum=65_536,
        when=_NEW,
    )
    context_tokens: int = option(256, "Longest sequence the model can read", minimum=16, maximum=32_768)
    vocabulary_size: int = option(
        4096, "Most entries of the byte-level BPE learnt on the data", minimum=300, maximum=200_000, when=_NEW
    )
    tie_embeddings: bool = option(True, "Input and output embeddings are one matrix", when=_NEW)
    template: str = option("lingxi-chat-1", "How messages become tokens", choices=("lingxi-chat-1",))
    loss_on: str = option(
        "assistant", "Which tokens are learnt: the assistant's answers, or everything", choices=("assistant", "all")
    )
    epochs: int = option(5, "Passes over the training split", minimum=1, maximum=1000)
    max_steps: int = option(
        0, "Stop after this many optimiser steps; 0 lets epochs decide", minimum=0, maximum=10_000_000
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
    packing: bool = option(True, "Put several chats into one sequence, kept apart by positions")
    dropout: float = option(
        0.0,
        "Share of values dropped after the embedding, in attention and after each half of a block",
        minimum=0,
        maximum=0.9,
    )
    early_stopping_patience: int = option(
        0, "Stop after this many epochs without a lower dev loss; 0 never stops early", minimum=0, maximum=100
    )
    answered_rows: int = option(
        100,
        "Rows of dev and of test whose answers are written at the end and compared with the given ones; 0 writes none",
        minimum=0,
        maximum=100_000,
    )
    sample_count: int = option(8, "Dev chats answered at the end for the sample table", minimum=0, maximum=200)
    sample_tokens: int = option(64, "Longest generated answer in the sample table", minimum=1, maximum=2048)

    def problems(self) -> list[Problem]:
        """Everything that is wrong with this spec, fields first, then what does not go together."""
        found = bound_problems(self)
        if found:
            return found
        found += shape_problems(self)
        if self.base_model.is_new and self.method != "full":
            found.append(
                Problem(
                    "not_together",
                    "method",
                    say("A model that starts from random weights must train all of them."),
                    say("Choose a base model, or train all weights."),
                )
            )
        return found + self.run_problems() + self.method_problems("sft") + self.continue_problems()
