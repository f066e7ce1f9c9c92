"""The spec of learning from preferences: of two answers to one prompt, the chosen one."""

from dataclasses import dataclass

from engine.specs.base_models import BaseModel, no_new_network
from engine.specs.common import RunOptions
from engine.specs.continuing import ContinueOptions
from engine.specs.fields import bound_problems, option
from engine.specs.methods import MethodOptions
from engine.specs.problems import Problem


@dataclass(frozen=True)
class PreferSpec(ContinueOptions, MethodOptions, RunOptions):
    """Options of the recipe "prefer": direct preference optimisation (Rafailov et al. 2023) of a model that writes."""

    base_model: BaseModel = option(
        BaseModel("scratch", "gpt"),
        "Model that writes, tuned on answers before; it is also what the run is held against",
    )
    beta: float = option(
        0.1, "How dearly leaving the base model is paid; larger stays closer to it", minimum=0.001, maximum=10
    )
    label_smoothing: float = option(
        0.0, "Share of pairs that are taken to be the wrong way round (conservative DPO)", minimum=0, maximum=0.49
    )
    answer_weight: float = option(
        0.0, "Weight of the chosen answers' own loss beside the preference", minimum=0, maximum=10
    )
    template: str = option("lingxi-chat-1", "How messages become tokens", choices=("lingxi-chat-1",))
    context_tokens: int = option(1024, "Longest sequence the model can read", minimum=16, maximum=32_768)
    epochs: int = option(2, "Passes over the training split", minimum=1, maximum=1000)
    max_steps: int = option(
        0, "Stop after this many optimiser steps; 0 lets epochs decide", minimum=0, maximum=10_000_000
    )
    learning_rate: float = option(1e-5, "Peak learning rate", minimum=0, maximum=1)
    final_learning_rate_share: float = option(
        0.1, "The cosine ends at this share of the peak learning rate", minimum=0, maximum=1
    )
    warmup_share: float = option(0.1, "Share of all steps over which the learning rate rises", minimum=0, maximum=0.9)
    weight_decay: float = option(0.0, "Decoupled weight decay on matrices", minimum=0, maximum=1)
    beta2: float = option(0.95, "AdamW's memory of squared gradients", minimum=0.5, maximum=0.9999)
    max_gradient_norm: float = option(
        1.0, "Gradients are scaled down to this norm; 0 leaves them", minimum=0, maximum=1000
    )
    batch_size: int = option(8, "Pairs in one micro-batch", minimum=1, maximum=4096)
    gradient_accumulation: int = option(1, "Micro-batches in one optimiser step", minimum=1, maximum=1024)
    dropout: float = option(
        0.0,
        "Share of values dropped after the embedding, in attention and after each half of a block",
        minimum=0,
        maximum=0.9,
    )
    early_stopping_patience: int = option(
        0, "Stop after this many epochs without a lower dev loss; 0 never stops early", minimum=0, maximum=100
    )
    sample_count: int = option(8, "Dev chats answered at the end for the sample table", minimum=0, maximum=200)
    sample_tokens: int = option(64, "Longest generated answer in the sample table", minimum=1, maximum=2048)

    loss_on = "assistant"

    def problems(self) -> list[Problem]:
        """Everything that is wrong with this spec, fields first, then what does not go together."""
        found = bound_problems(self)
        if self.base_model.is_new:
            found.append(no_new_network())
        return found + self.run_problems() + self.method_problems("prefer") + self.continue_problems()
