"""LoRA, rsLoRA, DoRA, AdaLoRA and IA3 by peft, put into a network in place.

LoRA (Hu et al. 2022):      W x + (alpha / r) B A x,   A [r, in], B [out, r], B starts at zero
rsLoRA (Kalajdzievski 2023): the same with alpha / sqrt(r)
DoRA (Liu et al. 2024):     m * (W + s B A) / ||W + s B A||_row,  m starts at ||W||_row
AdaLoRA (Zhang et al. 2023): W x + s B diag(E) A x; the least important of E are set to zero until rank r is left on average
IA3 (Liu et al. 2022):      keys, values and the inner feed-forward values times a learnt vector that starts at one
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from engine.methods.anatomy import Anatomy
from engine.specs.methods import MethodOptions

NAME = "default"  # peft's name of the one adapter
WARM_SHARE, STILL_SHARE, CUTS = 0.1, 0.3, 100  # AdaLoRA: full rank at first, fixed rank at last, cuts in between
ORTHOGONAL_WEIGHT = 0.5
UNSET_STEPS = 1 << 30
_SMOOTHED = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def peft_config(options: MethodOptions, anatomy: Anatomy) -> Any:
    """peft's configuration of the options."""
    from peft import AdaLoraConfig, IA3Config, LoraConfig  # takes seconds; only runs with an adapter wait for it

    if options.method == "ia3":
        return IA3Config(target_modules=anatomy.rescaled(), feedforward_modules=anatomy.feed_forward_out)
    common: dict[str, Any] = {
        "target_modules": anatomy.targets(options.adapter_targets),
        "lora_alpha": options.adapter_alpha,
        "lora_dropout": options.adapter_dropout,
    }
    if options.method == "adalora":
        start = math.ceil(1.5 * options.adapter_rank)
        return AdaLoraConfig(
            **common,
            init_r=start,
            target_r=options.adapter_rank,
            orth_reg_weight=ORTHOGONAL_WEIGHT,
            total_step=UNSET_STEPS,
        )
    return LoraConfig(
        **common,
        r=options.adapter_rank,
        use_rslora=options.method == "rslora",
        use_dora=options.method == "dora",
    )


def inject(network: nn.Module, config: Any) -> Any:
    """peft's tuner around `network`, whose matrices are replaced in place; all other weights are frozen."""
    from peft import AdaLoraConfig, AdaLoraModel, IA3Config, IA3Model, LoraModel

    kind = {AdaLoraConfig: AdaLoraModel, IA3Config: IA3Model}.get(type(config), LoraModel)
    return kind(network, {NAME: config}, NAME)


class RankBudget:
    """AdaLoRA's part of the training loop: the penalty before a step, the allocation after it, its state in checkpoints."""

    def __init__(self, tuner: Any) -> None:
        self.tuner = tuner
        self.config = tuner.peft_config[NAME]
        self.allocator = tuner.rankallocator

    def begin(self, total_steps: int) -> None:
        """Spread the cuts over the run."""
        self.config.total_step = max(1, total_steps)
        self.config.tinit = int(total_steps * WARM_SHARE)
        self.config.tfinal = int(total_steps * STILL_SHARE)
        self.config.deltaT = max(1, total_steps // CUTS)

    def before_step(self) -> None:
        """Add the gradient of the orthogonality of A and B: mean over matrices of ||P^T P - I||_F."""
        penalties = []
        for name, parameter in self.tuner.model.named_parameters():
            if f"lora_A.{NAME}" in name or f"lora_B.{NAME}" in name:
                product = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
                penalties.append(torch.linalg.matrix_norm(product - torch.eye(len(product), device=product.device)))
        (ORTHOGONAL_WEIGHT * torch.stack(penalties).mean()).backward()  # type: ignore[no-untyped-call]

    def after_step(self, step: int) -> None:
        """Score the triplets by their gradients and keep the best; gradients must still be there."""
        self.tuner.update_and_allocate(step)

    def tensors(self) -> dict[str, Tensor]:
        """Scores and masks, for a checkpoint."""
        found = {
            f"{kind}/{name}": tensor for kind in _SMOOTHED for name, tensor in getattr(self.allocator, kind).items()
        }
        pattern: Mapping[str, list[bool]] = self.config.rank_pattern or {}
        return found | {f"pattern/{name}": torch.tensor(mask) for name, mask in pattern.items()}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` gave."""
        device = next(self.tuner.model.parameters()).device
        for key, tensor in saved.items():
            kind, _, name = key.partition("/")
            if kind == "pattern":
                self.config.rank_pattern = {**(self.config.rank_pattern or {}), name: tensor.tolist()}
            else:
                getattr(self.allocator, kind)[name] = tensor.to(device)
