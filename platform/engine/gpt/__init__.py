"""A decoder-only transformer from its formulas: read config, positions, norms, attention, feed_forward, block, model, loss.

Letters of all shapes: B sequences, T positions, N tokens laid end to end, D width, H query heads, G key-value heads,
d width of a head, F feed-forward width, V vocabulary, L layers.
"""

from engine.gpt.cache import Cache
from engine.gpt.config import GptConfig
from engine.gpt.loss import NO_TARGET, Lesson, next_token_targets, token_losses
from engine.gpt.model import Gpt
from engine.gpt.runs import Run

__all__ = ["NO_TARGET", "Cache", "Gpt", "GptConfig", "Lesson", "Run", "next_token_targets", "token_losses"]
