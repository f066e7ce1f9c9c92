"""A converted GPT that reads pieces of many requests at once: OpenVINO's attention over pages under our own loop.

What the loop on torch does besides multiplying (who is read when, memory, prefixes, drawing) stays as it is; here are
the two parts below it, a store of pages for `engine.generate.memory` and a network that reads into it. A token's numbers
may differ in the last digits with the company it is read in, since OpenVINO chooses its kernels by the size of a step.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.generate.memory import UNIT, Place
from engine.generate.network import Reading
from engine.generate.openvino_convert import GRAPH, read_manifest

PAGE_TOKENS = UNIT  # of OpenVINO on a CPU as well


class PageStore:
    """Rows as lists of pages and blocks as single ones, out of a pool that is reserved once.

    Rows change places by changing lists; only blocks of prefixes are copied.
    """

    def __init__(self, shape: dict[str, int], *, capacity_tokens: int, context_tokens: int) -> None:
        # A context that is no multiple of a page leaves part of each row's last page unused.
        count = -(-capacity_tokens // PAGE_TOKENS) + capacity_tokens // context_tokens + 1
        size = (count, shape["kv_heads"], PAGE_TOKENS, shape["head_width"])
        self.tensors = [np.zeros(size, dtype=np.float32) for _ in range(2 * shape["layers"])]  # keys, values, keys ...
        self._free = list(range(count))[::-1]
        self._rows: dict[int, list[list[int]]] = {}
        self._blocks: dict[str, int] = {}

    @staticmethod
    def token_bytes(shape: dict[str, int]) -> int:
        """Memory that one position takes."""
        return 2 * shape["layers"] * shape["kv_heads"] * shape["head_width"] * 4

    @property
    def bytes(self) -> int:
        """Memory of all pages."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def pages(self, place: Place) -> list[int]:
        """The pages of a row."""
        return self._rows[place.room][place.row]

    def resize(self, room: int, rows: int) -> None:
        """More rows are added behind, fewer cut off behind."""
        here = self._rows.setdefault(room, [])
        while len(here) > rows:
            self._free += here.pop()
        while len(here) < rows:
            here.append([self._free.pop() for _ in range(-(-room // PAGE_TOKENS))])

    def copy(self, source: Place, target: Place, tokens: int) -> None:
        """The first `tokens` positions move; the source is left for good."""
        old, new = self.pages(source), self.pages(target)
        count = -(-tokens // PAGE_TOKENS)
        old[:count], new[:count] = new[:count], old[:count]

    def save(self, source: Place, start: int, block: str) -> None:
        """A copy, so that the row may change."""
        self._blocks[block] = self._free.pop()
        self._copy(self.pages(source)[start // PAGE_TOKENS], self._blocks[block])

    def load(self, block: str, target: Place, start: int) -> None:
        """Into the row."""
        self._copy(self._blocks[block], self.pages(target)[start // PAGE_TOKENS])

    def drop(self, block: str) -> None:
        """Gone."""
        self._free.append(self._blocks.pop(block))

    def _copy(self, source: int, target: int) -> None:
        for tensor in self.tensors:
            tensor[target] = tensor[source]


class OpenVinoNetwork:
    """A graph that reads pieces into a store and gives the logits behind them."""

    virtual_tokens = 0
    takes_no_positions = False

    def __init__(self, place: Path, store: PageStore, *, threads: int) -> None:
        import openvino  # not on every machine

        self.shape: dict[str, int] = read_manifest(place)["shape"]
        self.store = store
        core = openvino.Core()
        graph = _paged(core.read_model(place / GRAPH))
        properties = {
            "INFERENCE_PRECISION_HINT": "f32",
            "KV_CACHE_PRECISION": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        self._request = core.compile_model(graph, "CPU", properties).create_infer_request()
        self._tensor = openvino.Tensor
        for number, tensor in enumerate(store.tensors):
            name = f"{('key', 'value')[number % 2]}_cache.{number // 2}"
            self._request.set_tensor(name, openvino.Tensor(tensor, shared_memory=True))

    def logits(self, readings: Sequence[Reading], wanted: Sequence[int]) -> Tensor:
        """Logits [len(wanted), V] behind the tokens of these numbers, counted over all readings; float32."""
        pages, begins, ends = [], [0], [0]
        for reading in readings:
            used = -(-(reading.start + len(reading.tokens)) // PAGE_TOKENS)
            pages += self.store.pages(reading.place)[:used]
            begins.append(len(pages))
            ends.append(ends[-1] + len(reading.tokens))
        self._give("input_ids", [token for reading in readings for token in reading.tokens], np.int64)
        positions = [at for one in readings for at in range(one.start, one.start + len(one.tokens))]
        self._give("position_ids", positions, np.int64)
        self._give("past_lens", [reading.start for reading in readings])
        self._give("subsequence_begins", ends)
        self._give("block_indices", pages)
        self._give("block_indices_begins", begins)
        self._give("max_context_len", max(reading.start + len(reading.tokens) for reading in readings))
        self._give("wanted", list(wanted) or [0])  # a step may read without drawing
        self._request.infer()
        found = torch.from_numpy(self._request.get_output_tensor(0).data)[:, 0]
        return found[: len(wanted)]

    def _give(self, name: str, values: Any, kind: Any = np.int32) -> None:
        self._request.set_tensor(name, self._tensor(np.array(values, dtype=kind)))


def _paged(graph: Any) -> Any:
    """The graph with attention over pages, and a product with the vocabulary for the tokens of input `wanted` only."""
    from openvino import opset13 as op
    from openvino._offline_transformations import paged_attention_transformation

    paged_attention_transformation(graph)
    head = graph.get_results()[0].input_value(0).get_node()
    wanted = op.parameter([-1], np.int32, name="wanted")
    wanted.output(0).get_tensor().set_names({"wanted"})
    rows = op.gather(head.input_value(0), wanted, op.constant(np.int64(0)))
    head.input(0).replace_source_output(rows.output(0))
    graph.add_parameters([wanted])
    graph.validate_nodes_and_infer_types()
    return graph
