"""The shape of a GPT, checked when it is made."""

from dataclasses import dataclass
from typing import Any, Literal

from engine.failures import RunFailed
from words import say


@dataclass(frozen=True)
class RopeScaling:
    """Longer contexts than a model was trained on: "linear" (all waves) or "llama3" (long waves only)."""

    kind: Literal["linear", "llama3"]
    factor: float
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0
    original_context_tokens: int = 8192


@dataclass(frozen=True)
class GptConfig:
    """A decoder-only transformer. GPT-2: learned positions, layer norm, GELU; Llama: rotary, RMS norm, SwiGLU."""

    vocabulary_size: int
    context_tokens: int
    layers: int
    heads: int
    width: int
    kv_heads: int = 0  # 0: as many as heads
    head_width: int = 0  # 0: width / heads
    feed_forward: int = 0  # 0: 4 * width for GELU, 8/3 * width rounded up to 16 for SwiGLU
    positions: Literal["learned", "sinusoidal", "rotary"] = "rotary"
    norm: Literal["layer", "rms"] = "rms"
    activation: Literal["gelu", "gelu_tanh", "swiglu"] = "swiglu"
    qkv_bias: bool = False
    output_bias: bool = False  # of the attention's output
    feed_forward_bias: bool = False
    query_key_norm: bool = False  # RMS norm of each head's queries and keys, as in Qwen3
    tied: bool = True  # the output matrix is the token embedding
    dropout: float = 0.0
    norm_epsilon: float = 1e-5
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None

    def __post_init__(self) -> None:
        """RunFailed("bad_model_shape") with what does not fit."""
        for name, value in self._derived().items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        numbers = ("vocabulary_size", "context_tokens", "layers", "heads", "width", "kv_heads", "head_width")
        for name in numbers:
            if getattr(self, name) < 1:
                raise _bad(
                    say("{name} is {value}.", name=name, value=getattr(self, name)),
                    say("Choose a value of at least {least}.", least=1),
                )
        if self.heads % self.kv_heads:
            raise _bad(
                say("{heads} heads cannot share {kv_heads} key-value heads.", heads=self.heads, kv_heads=self.kv_heads),
                say("Choose a divisor of heads."),
            )
        if self.positions == "rotary" and self.head_width % 2:
            raise _bad(
                say("Rotary positions turn pairs, and a head is {width} wide.", width=self.head_width),
                say("Choose an even width."),
            )
        if self.positions == "sinusoidal" and self.width % 2:
            raise _bad(
                say("Sinusoidal positions come in pairs, and the width is {width}.", width=self.width),
                say("Choose an even width."),
            )
        if not 0 <= self.dropout < 1:
            raise _bad(
                say("{name} is {value}.", name="dropout", value=self.dropout),
                say("Choose a share from 0 to below 1."),
            )

    def _derived(self) -> dict[str, int]:
        if not self.head_width and self.heads > 0 and self.width % self.heads:
            raise _bad(
                say("{heads} heads do not divide the width {width}.", heads=self.heads, width=self.width),
                say("Let the width be a multiple of the heads."),
            )
        wide = -(-self.width * 8 // 48) * 16 if self.activation == "swiglu" else 4 * self.width
        return {"kv_heads": self.heads, "head_width": self.width // max(self.heads, 1), "feed_forward": wide}

    def parameter_count(self) -> int:
        """Trainable numbers, by arithmetic; `tests` hold it against the real module."""
        bias, up = int(self.qkv_bias), 2 if self.activation == "swiglu" else 1
        query, keys = self.heads * self.head_width, self.kv_heads * self.head_width
        attention = self.width * (query + 2 * keys) + bias * (query + 2 * keys)
        attention += query * self.width + int(self.output_bias) * self.width
        attention += 2 * self.head_width if self.query_key_norm else 0
        ahead = (up + 1) * self.width * self.feed_forward
        ahead += int(self.feed_forward_bias) * (up * self.feed_forward + self.width)
        norm = self.width * (2 if self.norm == "layer" else 1)
        outside = self.vocabulary_size * self.width * (1 if self.tied else 2) + norm
        outside += self.context_tokens * self.width if self.positions == "learned" else 0
        return self.layers * (attention + ahead + 2 * norm) + outside


def gpt2_shape(**sizes: Any) -> GptConfig:
    """A GPT-2 (Radford et al. 2019): learned positions, layer norm, tanh GELU, biases everywhere."""
    fixed: dict[str, Any] = {"positions": "learned", "norm": "layer", "activation": "gelu_tanh"}
    return GptConfig(**{**fixed, "qkv_bias": True, "output_bias": True, "feed_forward_bias": True, **sizes})


def _bad(message: str, hint: str) -> RunFailed:
    return RunFailed("bad_model_shape", message, hint)
