"""The feed-forward layer: what each token works out on its own.

GELU (Hendrycks, Gimpel 2016):   y = W2 gelu(W1 x + b1) + b2      gelu(x) = x Phi(x),
   by tanh: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
SwiGLU (Shazeer 2020):   y = W2 (silu(Wg x) * W1 x)      silu(x) = x sigmoid(x)
"""

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from engine.gpt.config import GptConfig


class FeedForward(nn.Module):
    """[N, D] -> [N, D] through F hidden units."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        bias = config.feed_forward_bias
        self.activation = config.activation
        self.gate = nn.Linear(config.width, config.feed_forward, bias=bias) if self.activation == "swiglu" else None
        self.up = nn.Linear(config.width, config.feed_forward, bias=bias)
        self.down = nn.Linear(config.feed_forward, config.width, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """The layer's formula."""
        if self.gate is not None:
            return cast(Tensor, self.down(F.silu(self.gate(hidden)) * self.up(hidden)))
        approximate = "tanh" if self.activation == "gelu_tanh" else "none"
        return cast(Tensor, self.down(F.gelu(self.up(hidden), approximate=approximate)))
