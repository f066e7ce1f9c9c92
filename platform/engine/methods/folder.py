"""What a method learnt as files: `adapter/` beside the weights, in peft's format wherever peft knows the method."""

import json
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.failures import RunFailed
from engine.gpt import Gpt
from engine.gpt.hugging_face import their_name
from engine.methods.anatomy import anatomy_of
from engine.methods.attach import Attached
from engine.methods.bottleneck import insert_bottlenecks
from engine.methods.low_rank import NAME
from engine.methods.virtual import VirtualTokens, adapter_config
from engine.specs.methods import MERGEABLE, VIRTUAL, MethodOptions
from words import say

FOLDER = "adapter"
OPTIONS = "options.json"
WEIGHTS = "adapter_model.safetensors"
PEFT_PREFIX = "base_model.model."


def write_adapter(folder: Path, attached: Attached, *, base_model: str, task_type: str) -> None:
    """Write `folder`/adapter; call it before `merge`. `task_type` is peft's, such as CAUSAL_LM.

    Our GPT-2 shape keeps query, key and value apart where transformers joins them, so its LoRA has no peft form and is
    only merged.
    """
    if attached.can_merge and is_joined(attached.network):
        return
    place = folder / FOLDER
    place.mkdir(parents=True)
    kept = {item.name: getattr(attached.options, item.name) for item in fields(MethodOptions)}
    (place / OPTIONS).write_text(json.dumps(kept, indent=1), encoding="utf-8")
    config: Any = None
    if attached.can_merge:
        tensors, config = _low_rank(attached, task_type)
    elif attached.virtual is not None:
        tensors = {"prompt_embeddings": attached.virtual.vectors()}
        config = adapter_config(attached.options, attached.anatomy, task_type=task_type)
    else:
        tensors = {
            f"{outside(attached.network, name)}.{part}": tensor
            for name, module in attached.bottlenecks.items()
            for part, tensor in module.state_dict().items()
        }
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, place / WEIGHTS)
    if config is not None:
        config.base_model_name_or_path = base_model
        config.save_pretrained(place)


def read_adapter(network: nn.Module, folder: Path) -> nn.Module:
    """The network with `folder`/adapter in place, or as it is: mergeable methods are in the weights already.

    Of transformers' causal networks virtual tokens come back as peft's own wrapper, which can generate.
    """
    place = folder / FOLDER
    if not (place / OPTIONS).is_file():
        return network
    options = MethodOptions(**json.loads((place / OPTIONS).read_text(encoding="utf-8")))
    if options.method in MERGEABLE:
        return network
    if options.method in VIRTUAL and hasattr(network, "generate"):
        from peft import PeftModel  # takes seconds; only folders with virtual tokens wait for it

        wrapped: nn.Module = PeftModel.from_pretrained(network, place)
        return wrapped
    anatomy = anatomy_of(network)
    weights = load_file(place / WEIGHTS)
    if options.method in VIRTUAL:
        virtual = VirtualTokens(options.method, options.virtual_tokens, anatomy, is_trained=True)
        part = "embedding.weight" if virtual.is_prefix else "weight"
        _load(virtual.encoder, {part: weights["prompt_embeddings"]})
        network.virtual = virtual
        return network
    found = insert_bottlenecks(network, anatomy.outputs(), width=anatomy.width, inner=options.bottleneck_width)
    for name, module in found.items():
        prefix = f"{outside(network, name)}."
        _load(module, {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.startswith(prefix)})
    return network


def is_joined(network: nn.Module) -> bool:
    """Whether transformers holds this network's query, key and value in one matrix and ours does not."""
    return isinstance(network, Gpt) and network.config.positions != "rotary"


def outside(network: nn.Module, name: str) -> str:
    """A module's name as transformers calls it."""
    return their_name(network.config, name) if isinstance(network, Gpt) else name


def _low_rank(attached: Attached, task_type: str) -> tuple[dict[str, Tensor], Any]:
    """(tensors under peft's names, configuration that names every module in full)."""
    network, config = attached.network, attached.tuner.peft_config[NAME]
    tensors: dict[str, Tensor] = {}
    modules: set[str] = set()
    for name, tensor in attached.tuner.state_dict().items():
        inner = (
            name.removeprefix("model.").replace(f".{NAME}", "").replace("magnitude_vector.weight", "magnitude_vector")
        )
        marks = [inner.find(mark) for mark in (".lora_", ".ia3_") if mark in inner]
        if marks:
            module = outside(network, inner[: min(marks)])
            modules.add(module)
            tensors[f"{PEFT_PREFIX}{module}{inner[min(marks) :]}"] = tensor
    named = {"target_modules": sorted(modules), "task_type": task_type, "inference_mode": True}
    if attached.options.method == "ia3":
        ahead = [name for name, _ in network.named_modules() if re.fullmatch(attached.anatomy.feed_forward_out, name)]
        named["feedforward_modules"] = sorted(modules & {outside(network, name) for name in ahead})
    # What AdaLoRA cut is zero in its matrices; peft would cut them again by a pattern under its own names.
    dropped = {"peft_type", "auto_mapping", "peft_version", "rank_pattern"}
    kept = {name: value for name, value in asdict(config).items() if name not in dropped}
    return tensors, type(config)(**{**kept, **named})


def _load(module: nn.Module, weights: dict[str, Tensor]) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise RunFailed(
            "base_model_unusable",
            say("The adapter does not fit this model: {problem}", problem=str(error).splitlines()[0]),
            say("Take adapter and weights of the same version."),
        ) from error
