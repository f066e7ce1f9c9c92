"""A GPT written down as an OpenVINO graph, from the formulas of `engine.gpt` and without tracing.

Inputs input_ids, attention_mask, position_ids [B, T] and beam_idx [B]; output logits [B, T, V]; keys and values
[B, G, s, d] are the graph's own variables. OpenVINO turns exactly this form (a variable, rows gathered by beam_idx, new
tokens behind them, scaled dot-product attention) into attention over pages.
"""

from typing import Any, cast

import numpy as np
import openvino
from openvino import opset13 as op
from torch import Tensor, nn

from engine.gpt import Gpt, GptConfig
from engine.gpt.attention import Attention
from engine.gpt.block import Block
from engine.gpt.feed_forward import FeedForward
from engine.gpt.norms import LayerNorm, RmsNorm
from engine.int8 import LEVELS, scales_of

FLOAT = np.float32
NUMBER = np.int64
Node = Any  # a node of the graph, or one of its outputs


def graph_of(model: Gpt, *, is_int8: bool) -> Any:
    """The graph of a model as `openvino.Model`; with `is_int8` its matrices are whole numbers, one scale a row."""
    return _Graph(model.config, is_int8=is_int8).whole(model)


class _Graph:
    """What all layers share: the inputs, the mask and the angles."""

    def __init__(self, config: GptConfig, *, is_int8: bool) -> None:
        self.config = config
        self.is_int8 = is_int8
        self.ids = _input("input_ids", 2)
        self.seen = _input("attention_mask", 2)
        self.positions = _input("position_ids", 2)
        self.rows = op.parameter([-1], np.int32, name="beam_idx")
        self.mask = _causal(self.ids, self.seen)
        self.turning: tuple[Node, Node] | None = None
        self.sinks: list[Node] = []

    def whole(self, model: Gpt) -> Any:
        """Ids to logits."""
        hidden = self._looked_up(model.tokens.weight)
        if model.places is not None:
            hidden = op.add(hidden, op.gather(_constant(model.places.weight), self.positions, _whole(0)))
        else:
            self.turning = _angles(model.frequency, self.positions)
        for number, block in enumerate(model.blocks):
            hidden = self._block(cast(Block, block), hidden, number)
        result = op.result(self._linear(model.head, _normed(model.norm, hidden)), name="logits")
        result.output(0).get_tensor().set_names({"logits"})
        inputs = [self.ids, self.seen, self.positions, self.rows]
        for one in inputs:
            one.output(0).get_tensor().set_names({one.get_friendly_name()})
        return openvino.Model([result], self.sinks, inputs, "gpt")

    def _block(self, block: Block, hidden: Node, number: int) -> Node:
        hidden = op.add(hidden, self._attention(block.attention, _normed(block.norm1, hidden), number))
        return op.add(hidden, self._feed_forward(block.feed_forward, _normed(block.norm2, hidden)))

    def _feed_forward(self, layer: FeedForward, hidden: Node) -> Node:
        if layer.gate is not None:
            gate = op.swish(self._linear(layer.gate, hidden))
            return self._linear(layer.down, op.multiply(gate, self._linear(layer.up, hidden)))
        way = "tanh" if layer.activation == "gelu_tanh" else "erf"
        return self._linear(layer.down, op.gelu(self._linear(layer.up, hidden), way))

    def _attention(self, layer: Attention, hidden: Node, number: int) -> Node:
        query = self._turned(self._heads(layer.query, layer.query_norm, hidden, layer.heads))
        key = self._turned(self._heads(layer.key, layer.key_norm, hidden, layer.kv_heads))
        value = self._heads(layer.value, None, hidden, layer.kv_heads)
        keys = self._shared(self._kept(key, f"{number}.key"))
        values = self._shared(self._kept(value, f"{number}.value"))
        mixed = op.scaled_dot_product_attention(query, keys, values, self.mask)  # [B, H, T, d]
        mixed = op.transpose(mixed, _whole([0, 2, 1, 3]))
        return self._linear(layer.output, op.reshape(mixed, _whole([0, 0, layer.heads * layer.head_width]), True))

    def _heads(self, linear: nn.Linear, norm: nn.Module | None, hidden: Node, heads: int) -> Node:
        """[B, T, D] -> [B, H, T, d]"""
        split = op.reshape(self._linear(linear, hidden), _whole([0, 0, heads, self.config.head_width]), True)
        return op.transpose(split if norm is None else _normed(norm, split), _whole([0, 2, 1, 3]))

    def _turned(self, vectors: Node) -> Node:
        """The turn of `engine.gpt.positions`, in the order of steps that OpenVINO knows as one operation."""
        if self.turning is None:
            return vectors
        cos, sin = self.turning
        half = self.config.head_width // 2
        first = op.slice(vectors, _whole([0]), _whole([half]), _whole([1]), _whole([3]))
        second = op.slice(vectors, _whole([half]), _whole([2**31 - 1]), _whole([1]), _whole([3]))
        crossed = op.concat([op.multiply(second, _float(-1.0)), first], -1)
        return op.add(op.multiply(vectors, cos), op.multiply(crossed, sin))

    def _kept(self, new: Node, name: str) -> Node:
        """Everything so far [B, G, s, d]: the variable's rows, then the new tokens."""
        config = self.config
        batch = op.gather(op.shape_of(self.ids), _whole([0]), _whole(0))
        shape = op.concat([batch, _whole([config.kv_heads, 0, config.head_width])], 0)
        empty = op.broadcast(_float(0.0), shape)
        size = openvino.PartialShape([-1, config.kv_heads, -1, config.head_width])
        info = openvino.op.util.VariableInfo()
        info.data_shape, info.data_type = size, openvino.Type.f32
        info.variable_id = f"past_key_values.{name}present.{name}"
        variable = openvino.op.util.Variable(info)
        past = op.gather(op.read_value(empty, variable), self.rows, _whole(0))
        whole = op.concat([past, new], 2)
        self.sinks.append(op.assign(whole, variable))
        return whole

    def _shared(self, kept: Node) -> Node:
        """Each of G heads as often as query heads share it: [B, H, s, d]."""
        heads, groups, width = self.config.heads, self.config.kv_heads, self.config.head_width
        if heads == groups:
            return kept
        each = op.broadcast(
            op.unsqueeze(kept, _whole(2)), _whole([1, 1, heads // groups, 1, 1]), broadcast_spec="BIDIRECTIONAL"
        )
        return op.reshape(each, _whole([0, heads, -1, width]), True)

    def _linear(self, layer: nn.Linear, hidden: Node) -> Node:
        if self.is_int8:
            numbers, scales = _rounded(layer.weight)
            weight = op.multiply(op.convert(op.constant(numbers), FLOAT), op.constant(scales))
        else:
            weight = _constant(layer.weight)
        found = op.matmul(hidden, weight, False, True)
        return found if layer.bias is None else op.add(found, _constant(layer.bias))

    def _looked_up(self, table: Tensor) -> Node:
        """Rows of the token embedding, [B, T, D]."""
        if not self.is_int8:
            return op.gather(_constant(table), self.ids, _whole(0))
        numbers, scales = (op.gather(op.constant(one), self.ids, _whole(0)) for one in _rounded(table))
        return op.multiply(op.convert(numbers, FLOAT), scales)


def _input(name: str, rank: int) -> Node:
    return op.parameter([-1] * rank, NUMBER, name=name)


def _causal(ids: Node, seen: Node) -> Node:
    """[B, 1, T, S] bool: position s of S is seen by token t of T where s <= S - T + t and it is no padding."""
    news = op.gather(op.shape_of(ids), _whole(1), _whole(0))
    reach = op.gather(op.shape_of(seen), _whole(1), _whole(0))
    columns = op.range(_whole(0), reach, _whole(1), "i64")
    rows = op.range(op.subtract(reach, news), reach, _whole(1), "i64")
    order = op.less_equal(op.unsqueeze(columns, _whole(0)), op.unsqueeze(rows, _whole(1)))  # [T, S]
    real = op.unsqueeze(op.convert(seen, "boolean"), _whole([1, 2]))
    return op.logical_and(order, real)


def _angles(frequency: Tensor, positions: Node) -> tuple[Node, Node]:
    """(cos, sin), [B, 1, T, d]"""
    place = op.convert(op.unsqueeze(positions, _whole(-1)), FLOAT)
    half = op.multiply(place, op.constant(_array(frequency)[None, None]))  # [B, T, d/2]
    angle = op.concat([half, half], -1)
    return op.unsqueeze(op.cos(angle), _whole(1)), op.unsqueeze(op.sin(angle), _whole(1))


def _normed(norm: Any, hidden: Node) -> Node:
    """The norms of `engine.gpt.norms`."""
    if isinstance(norm, LayerNorm):
        shifted = op.mvn(hidden, _whole([-1]), True, norm.epsilon, "INSIDE_SQRT")
        return op.add(op.multiply(shifted, _constant(norm.weight)), _constant(norm.bias))
    assert isinstance(norm, RmsNorm)
    square = op.reduce_mean(op.power(hidden, _float(2.0)), _whole([-1]), True)
    inverse = op.divide(_float(1.0), op.sqrt(op.add(square, _float(norm.epsilon))))
    return op.multiply(op.multiply(hidden, inverse), _constant(norm.weight))


def _rounded(weight: Tensor) -> tuple[Any, Any]:
    """(whole numbers [O, I], scales [O, 1]) of a matrix."""
    scales = scales_of(weight.detach())
    numbers = (weight.detach() / scales).round().clamp(-LEVELS, LEVELS)
    return numbers.numpy().astype(np.int8), scales.numpy().astype(FLOAT)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().float().contiguous().numpy()


def _constant(tensor: Tensor) -> Node:
    return op.constant(_array(tensor), shared_memory=True)


def _float(value: float) -> Node:
    return op.constant(FLOAT(value))


def _whole(value: int | list[int]) -> Node:
    return op.constant(np.array(value, dtype=NUMBER))
