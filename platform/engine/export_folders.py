"""Exports that stay safetensors: the whole model as a plain Hugging Face folder, or its adapter alone."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from engine.base_models import (
    load_config,
    load_network,
    load_tokenizer,
    locate,
    own_description,
    quiet_transformers,
    unusable,
)
from engine.chat_folder import holds_chat_model
from engine.decoder import DecoderClassifier, load_decoder_classifier
from engine.encoder import PackedEncoder, TextClassifier
from engine.export_parity import Run, classifier_run, decoder_run
from engine.failures import RunFailed
from engine.methods.folder import FOLDER as ADAPTER
from engine.methods.folder import PEFT_PREFIX, WEIGHTS, read_adapter
from engine.model_folder import open_classifier
from engine.specs.base_models import BaseModel
from engine.specs.methods import MERGEABLE
from words import say

HEAD = "head.safetensors"
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
NETWORK = ("config.json", "generation_config.json")


def write_merged(folder: Path, target: Path) -> tuple[str, Run, dict[str, Any]]:
    """The network with everything merged in, tokenizer and template; run by transformers alone."""
    copy_files(folder, target, [*NETWORK, *TOKENIZER])
    copy_weights(folder, target)
    return "transformers", network_run(target), {}


def write_adapter(
    folder: Path, target: Path, bases: Mapping[str, str] | None = None
) -> tuple[str, Run, dict[str, Any]]:
    """What was trained alone: `adapter/`, of a classifier also its head; run on the base model it was trained on."""
    copy_adapter(folder, target)
    base = base_of(folder, bases)
    if holds_chat_model(folder):
        return "peft", network_run(target, base=base, like=folder), {}
    model, _tokenizer, description = open_classifier(folder)
    save_head(model, target)
    if isinstance(model, DecoderClassifier):
        if (target / ADAPTER / "adapter_config.json").is_file():  # peft takes the head of a classifier from its file
            adapter = load_file(target / ADAPTER / WEIGHTS)
            head = {f"{PEFT_PREFIX}score.weight": model.head.weight.detach().contiguous()}
            save_file({**adapter, **head}, target / ADAPTER / WEIGHTS)
        return "peft", _adapted_decoder_run(target, base=base, pad=int(model.config.pad_token_id)), {}
    return "peft", _adapted_classifier_run(target, base=base, description=description), {}


def base_of(folder: Path, bases: Mapping[str, str] | None = None) -> str:
    """Folder or hub id of the base model, as the version or its adapter names it; `bases` says where versions lie."""
    said = own_description(str(folder)).get("base_model")
    if not said:
        config = folder / ADAPTER / "adapter_config.json"
        said = json.loads(config.read_text(encoding="utf-8")).get("base_model_name_or_path") if config.is_file() else ""
    if bases and said in bases:
        return bases[said]
    reference, problems = BaseModel.read("base_model", said)
    return str(said or "") if problems or reference is None else locate(reference)


def _adapted_classifier_run(target: Path, *, base: str, description: dict[str, Any]) -> Run:
    """The base model as it was before training, with head and adapter of the written folder."""

    @torch.no_grad()
    def run(sequences: Sequence[Sequence[int]]) -> Any:
        network = load_network(base, len(description["labels"]))
        model = TextClassifier(network, len(description["labels"]), pooling=description["pooling"]).eval()
        return list(adapted(model, target)(sequences).float().numpy())

    return run


def _adapted_decoder_run(target: Path, *, base: str, pad: int) -> Run:
    """The same on a decoder: a mergeable adapter by transformers and peft, another one by our own network."""

    @torch.no_grad()
    def run(sequences: Sequence[Sequence[int]]) -> Any:
        head = load_file(target / HEAD)["head.weight"]  # [K, D]
        options = json.loads((target / ADAPTER / "options.json").read_text(encoding="utf-8"))
        if options["method"] in MERGEABLE:
            from peft import PeftModel

            network = load_network(base, len(head))
            network.config.pad_token_id = pad
            return classifier_run(PeftModel.from_pretrained(network, str(target / ADAPTER)).eval(), pad)(sequences)
        model = load_decoder_classifier(Path(base), load_config(base), load_tokenizer(str(target)), len(head))
        model.head.weight.copy_(head)
        read_adapter(model.encoder, target)
        return list(model.eval()(sequences).float().numpy())

    return run


def copy_weights(folder: Path, target: Path) -> None:
    """The safetensors of a folder, in however many files."""
    for path in sorted(folder.glob("*.safetensors*")):
        shutil.copyfile(path, target / path.name)


def copy_adapter(folder: Path, target: Path) -> None:
    """`adapter/` and the tokenizer beside it; RunFailed("no_adapter") where there is none."""
    source = folder / ADAPTER
    if not source.is_dir():
        raise RunFailed(
            "no_adapter", say("This version was not trained as an adapter."), say("Export the merged model.")
        )
    (target / ADAPTER).mkdir()
    for path in sorted(source.iterdir()):
        if path.suffix in (".json", ".safetensors"):
            shutil.copyfile(path, target / ADAPTER / path.name)
    copy_files(folder, target, TOKENIZER)


def save_head(model: PackedEncoder, target: Path) -> None:
    """What a model has beside its encoder, and the encoder's pooler, which is trained with it, as `head.safetensors`."""
    inside = next(name for name, module in model.named_modules() if module is model.encoder)
    head = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith(f"{inside}.") or name.startswith(f"{inside}.pooler.")
    }
    save_file({name: tensor.contiguous() for name, tensor in head.items()}, target / HEAD)


def adapted(model: PackedEncoder, target: Path) -> PackedEncoder:
    """A model on the base network with the adapter of an exported folder, and its head where it has one; in eval mode."""
    if (target / HEAD).is_file():
        model.load_state_dict(load_file(target / HEAD), strict=False)
    options = json.loads((target / ADAPTER / "options.json").read_text(encoding="utf-8"))
    if options["method"] in MERGEABLE:
        from peft import PeftModel  # takes seconds; only adapters wait for it

        PeftModel.from_pretrained(model.encoder, str(target / ADAPTER)).merge_and_unload()
    else:
        read_adapter(model.encoder, target)
    return model.eval()


def copy_files(folder: Path, target: Path, names: Sequence[str]) -> None:
    """Those of `names` that the folder has."""
    for name in names:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)


def open_network(place: str, *, like: Path) -> Any:
    """The network as transformers alone opens it, of the kind and with the outputs of `like`; in eval mode."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    quiet_transformers()
    options: dict[str, Any] = {"trust_remote_code": False, "use_safetensors": True, "dtype": "float32"}
    kind: Any = AutoModelForCausalLM
    if not holds_chat_model(like):
        kind = AutoModelForSequenceClassification
        options["num_labels"] = AutoConfig.from_pretrained(like, trust_remote_code=False).num_labels
        options["ignore_mismatched_sizes"] = True
    try:
        return kind.from_pretrained(place, **options).eval()
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise unusable(place, "weights", error) from error


def network_run(target: Path, *, base: str = "", like: Path | None = None) -> Run:
    """Runs the written folder; with `base` the adapter in it on that base model."""
    like = like or target

    def run(sequences: Sequence[Sequence[int]]) -> Any:
        network = open_network(base or str(target), like=like)
        if base and (target / ADAPTER / "adapter_config.json").is_file():
            from peft import PeftModel

            network = PeftModel.from_pretrained(network, str(target / ADAPTER)).eval()
        elif base:
            network = read_adapter(network, target).eval()
        if holds_chat_model(like):
            return decoder_run(network)(sequences)
        return classifier_run(network, network.config.pad_token_id or 0)(sequences)

    return run
