"""One pre-norm block (Xiong et al. 2020): each half adds to the stream what it makes of the stream's norm.

    x = x + attention(norm1(x))        x = x + feed_forward(norm2(x))

The path along the x's is the identity, so gradients reach the first layer without passing a norm.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from engine.gpt.attention import Attention, Rotation
from engine.gpt.cache import LayerCache
from engine.gpt.config import GptConfig
from engine.gpt.feed_forward import FeedForward
from engine.gpt.norms import norm_of
from engine.gpt.runs import Run


class Block(nn.Module):
    """[N, D] -> [N, D]"""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.norm1 = norm_of(config)
        self.attention = Attention(config)
        self.norm2 = norm_of(config)
        self.feed_forward = FeedForward(config)
        self.dropout = config.dropout

    def forward(
        self,
        hidden: Tensor,
        runs: Sequence[Run],
        rotation: Rotation | None = None,
        cache: LayerCache | None = None,
        prefix: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Both halves."""
        mixed = self.attention(self.norm1(hidden), runs, rotation, cache, prefix)
        hidden = hidden + F.dropout(mixed, self.dropout, self.training)
        worked = self.feed_forward(self.norm2(hidden))
        return hidden + F.dropout(worked, self.dropout, self.training)
