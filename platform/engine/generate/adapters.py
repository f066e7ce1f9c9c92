"""Many LoRA adapters on one base: the base's product once for all tokens of a step, each adapter's small one for its own rows.

    y = x W^T + b + s (x A^T) B^T        LoRA (Hu et al. 2021), rsLoRA (Kalajdzievski 2023) by its s
    y = g * (x W^T + s (x A^T) B^T) + b  DoRA (Liu et al. 2024), g = m / ||W + s B A|| of each row of W

A version keeps its merged weights, too. They say whether base and adapter really make what was trained: before an adapter is
taken, every matrix is compared, and one that differs leaves the version to a loop of its own.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.generate.packed import PackedLinear
from engine.gpt import Gpt
from engine.gpt.hugging_face import load_gpt, their_name
from engine.methods.folder import FOLDER, OPTIONS, PEFT_PREFIX, WEIGHTS
from engine.specs.methods import MethodOptions
from words import say

SHARED = ("lora", "rslora", "dora")
TOLERANCE = 1e-4  # of a merged weight, relative to the largest of its matrix


class Marked(Protocol):
    """Tokens of one request, and which adapter reads them."""

    @property
    def tokens(self) -> Sequence[int]:
        """Read in this step."""

    @property
    def adapter(self) -> str:
        """Its name; "" for the base alone."""


class Company:
    """Who is read in this step: for each adapter the numbers of its tokens."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, Tensor]] = []

    def take(self, readings: Sequence[Marked], device: torch.device) -> None:
        """Note the rows of each adapter; those of "" are the base's alone."""
        rows: dict[str, list[int]] = {}
        first = 0
        for reading in readings:
            if reading.adapter:
                rows.setdefault(reading.adapter, []).extend(range(first, first + len(reading.tokens)))
            first += len(reading.tokens)
        self.groups = [(name, torch.tensor(found, device=device)) for name, found in rows.items()]


@dataclass(frozen=True)
class Update:
    """What one adapter does to one matrix: A [r, in], s B [out, r], and for DoRA g [out]."""

    down: nn.Module
    up: nn.Module
    gain: Tensor | None = None

    @property
    def bytes(self) -> int:
        """Memory of both matrices."""
        parts = (cast(Tensor, self.down.weight), cast(Tensor, self.up.weight), self.gain)
        return sum(part.numel() * part.element_size() for part in parts if part is not None)


class AdaptedLinear(nn.Module):
    """A matrix of the base [N, in] -> [N, out], with the updates of whoever is in the step."""

    def __init__(self, base: nn.Module, company: Company) -> None:
        super().__init__()
        self.base, self.company = base, company
        self.out_features = base.out_features
        self.updates: dict[str, Update] = {}

    def forward(self, rows: Tensor) -> Tensor:
        """The product; a row sees its own adapter only."""
        found = cast(Tensor, self.base(rows))
        for name, numbers in self.company.groups:
            update = self.updates.get(name)
            if update is None:
                continue
            plain = found[numbers]
            changed = update.up(update.down(rows[numbers]))
            if update.gain is None:
                found[numbers] = plain + changed
                continue
            bias = cast(Tensor | None, self.base.bias)
            whole = plain + changed if bias is None else plain - bias + changed
            found[numbers] = whole * update.gain if bias is None else whole * update.gain + bias
        return found


class SharedBase:
    """A base's network whose matrices take adapters; `network` is what reads."""

    def __init__(self, folder: Path, *, place: Callable[[Gpt], Gpt], is_packed: bool) -> None:
        self.network = place(load_gpt(folder))
        self.company = Company()
        self._is_packed = is_packed
        self._linears: dict[str, AdaptedLinear] = {}
        self._plain = {name: tensor.detach() for name, tensor in self.network.state_dict().items()}
        for name, module in list(self.network.named_modules()):
            if type(module) is nn.Linear and name.startswith("blocks."):
                adapted = AdaptedLinear(self._made(module), self.company)
                parent, _, child = name.rpartition(".")
                setattr(self.network.get_submodule(parent), child, adapted)
                self._linears[name] = adapted
        if is_packed:
            setattr(self.network, "head", PackedLinear(self.network.head))  # noqa: B010 - its type says nn.Linear

    def add(self, name: str, folder: Path) -> str:
        """Take the adapter of a version's folder under a name; a sentence for why not, "" when it is taken."""
        try:
            found, problem = self._read(folder)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            return say("The adapter cannot be read: {error}", error=str(error)[:200])
        if problem:
            return problem
        for linear, update in found.items():
            self._linears[linear].updates[name] = update
        return ""

    def drop(self, name: str) -> None:
        """Forget an adapter."""
        for linear in self._linears.values():
            linear.updates.pop(name, None)

    def bytes_of(self, name: str) -> int:
        """Memory of one adapter."""
        return sum(linear.updates[name].bytes for linear in self._linears.values() if name in linear.updates)

    def _read(self, folder: Path) -> tuple[dict[str, Update], str]:
        options = MethodOptions(**json.loads((folder / FOLDER / OPTIONS).read_text(encoding="utf-8")))
        if options.method not in SHARED:
            return {}, say("{method} changes more than an update of matrices can say.", method=options.method)
        root = options.adapter_rank if options.method == "lora" else math.sqrt(options.adapter_rank)
        scale = options.adapter_alpha / (options.adapter_rank if options.method == "dora" else root)
        theirs = load_file(folder / FOLDER / WEIGHTS)
        merged = load_gpt(folder).state_dict()
        found: dict[str, Update] = {}
        for name, before in self._plain.items():
            after = merged.get(name)
            if after is None or after.shape != before.shape:
                return {}, say("Its base has other matrices.")
            linear = name.removesuffix(".weight")
            after = after.to(before.device, before.dtype)
            if linear in self._linears and (update := self._update(linear, theirs, scale)) is not None:
                found[linear], before = update
            if not _close(before, after):
                return {}, say("Base and adapter do not make the weights that were trained: {name}.", name=name)
        if len(merged) != len(self._plain):
            return {}, say("Its base has other matrices.")
        return found, ""

    def _update(self, linear: str, theirs: Mapping[str, Tensor], scale: float) -> tuple[Update, Tensor] | None:
        """(the update, the matrix it makes of the base's); None where the adapter leaves it alone."""
        prefix = f"{PEFT_PREFIX}{their_name(self.network.config, linear)}"
        if f"{prefix}.lora_A.weight" not in theirs:
            return None
        before = self._plain[f"{linear}.weight"]
        down = theirs[f"{prefix}.lora_A.weight"].to(before)
        up = theirs[f"{prefix}.lora_B.weight"].to(before) * scale
        whole = before + up @ down
        gain = None
        if (magnitude := theirs.get(f"{prefix}.lora_magnitude_vector")) is not None:
            gain = magnitude.to(before).flatten() / torch.linalg.vector_norm(whole, dim=1)
            whole = whole * gain[:, None]
        return Update(self._made(_linear(down)), self._made(_linear(up)), gain), whole

    def _made(self, linear: nn.Linear) -> nn.Module:
        return PackedLinear(linear) if self._is_packed else linear


def _linear(weight: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    made.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    return made


def _close(before: Tensor, after: Tensor) -> bool:
    return bool((before - after).abs().max() <= TOLERANCE * max(1.0, float(after.abs().max())))


def may_share(folder: Path) -> bool:
    """Whether a version's folder holds an adapter that can stand on a shared base."""
    try:
        options: Any = json.loads((folder / FOLDER / OPTIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return options.get("method") in SHARED and (folder / FOLDER / WEIGHTS).is_file()
