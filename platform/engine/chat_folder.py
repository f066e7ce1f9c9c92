"""Chat models as plain Hugging Face folders: ours, with template and hash beside the weights, and those of others."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from engine.base_models import load_tokenizer, own_description, quiet_transformers, unusable
from engine.failures import RunFailed
from engine.folders import write_folder
from engine.gpt import Gpt, GptConfig
from engine.gpt.hugging_face import read_config, save_gpt
from engine.methods import Attached, plain_weights, read_adapter, write_adapter
from engine.methods.folder import FOLDER as ADAPTER_FOLDER
from engine.render import END, JINJA, PAD, AnyTemplate, ForeignTemplate, Template
from words import say

DEFAULT_CONTEXT_TOKENS = 1024
OWN_TEMPLATE = "lingxi-chat-1"
KEPT_OF_BASE = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel")


@dataclass(frozen=True)
class ChatFrame:
    """What belongs to a chat folder's network: how texts become tokens and where answers end."""

    template: AnyTemplate
    description: dict[str, Any]  # lingxi.json; of a foreign folder what stands for it
    context_tokens: int
    ends: tuple[int, ...]  # each of these tokens ends an answer
    pad: int


@dataclass(frozen=True)
class OpenedChat:
    """A chat folder in memory: the network in eval mode and its frame."""

    model: Any
    template: AnyTemplate
    description: dict[str, Any]
    context_tokens: int
    ends: tuple[int, ...]
    pad: int


def save_chat_model(
    folder: Path,
    model: Gpt,
    template: AnyTemplate,
    description: Mapping[str, Any],
    *,
    base: Path | None = None,
    attached: Attached | None = None,
) -> dict[str, Any]:
    """Write the folder whole or not at all; AutoModelForCausalLM and AutoTokenizer read it as it is.

    With a `base` whose own template is kept, its tokenizer is taken over word for word, and its configuration, too, where
    it describes this network (a student has fewer layers, or a shape of its own). What an adapter learnt is written
    beside the weights, and into them where that is possible; `model` is merged by this.
    """
    foreign = base if isinstance(template, ForeignTemplate) else None
    tokenizer = template.tokenizer if isinstance(template, ForeignTemplate) else own_tokenizer(template, description)

    def fill(beside: Path) -> None:
        if attached is not None:
            write_adapter(beside, attached, base_model=str(description.get("base_model", "")), task_type="CAUSAL_LM")
            attached.merge()
        ids = {} if isinstance(template, ForeignTemplate) else template.ids
        special = {"eos_token_id": ids.get(END), "pad_token_id": ids.get(PAD)} if ids else {}
        is_theirs = foreign is not None and describes(_config(foreign), model.config)
        if foreign is not None and not is_theirs:
            special = {name: value for name, value in _config(foreign).items() if name in SPECIAL_IDS}
        save_gpt(model, beside, special=special, weights=plain_weights(model.state_dict()))
        tokenizer.save_pretrained(beside)
        kept = [foreign / name for name in KEPT_OF_BASE] if foreign is not None else []
        for path in kept:
            if path.is_file() and (is_theirs or path.name != "config.json"):
                shutil.copyfile(path, beside / path.name)

    return write_folder(folder, fill, {**description, "template": template.description()})


def describes(found: Mapping[str, Any], config: GptConfig) -> bool:
    """Whether a config.json is that of a network of this shape."""
    try:
        shape = read_config(found)
    except RunFailed:  # another architecture
        return False
    return replace(shape, dropout=config.dropout) == config


def own_tokenizer(template: Template, description: Mapping[str, Any]) -> Any:
    """The template's tokenizer as transformers knows it."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(template.tokenizer.to_str()),
        eos_token=END,
        pad_token=PAD,
        chat_template=JINJA,
        model_max_length=description["context_tokens"],
        clean_up_tokenization_spaces=False,
    )


def holds_chat_model(folder: Path) -> bool:
    """Whether the folder's network writes texts, by its configuration."""
    config = _config(folder)
    names = config.get("architectures") or []
    return bool(names) and str(names[0]).endswith(CAUSAL_ENDINGS)


def open_chat_model(folder: Path) -> OpenedChat:
    """The model of an own folder or of any causal language model with a fast tokenizer; RunFailed if it is unusable.

    Never remote code, safetensors only. An own folder whose template is not the one it was trained with is refused.
    """
    if not holds_chat_model(folder):
        raise RunFailed(
            "model_missing", say("This folder holds no model that writes answers."), say("Choose another version.")
        )
    frame = read_frame(folder)
    model = _load_network(folder)
    if (folder / ADAPTER_FOLDER).is_dir():
        model = read_adapter(model, folder).eval()
    return OpenedChat(model, frame.template, frame.description, frame.context_tokens, frame.ends, frame.pad)


def read_frame(folder: Path) -> ChatFrame:
    """Template and tokenizer of a folder; RunFailed when they are not those it was trained with."""
    description = own_description(str(folder))
    if description.get("template", {}).get("name") == OWN_TEMPLATE:
        own = _own_template(folder, description["template"])
        return ChatFrame(own, description, int(description["context_tokens"]), (own.ids[END],), own.ids[PAD])
    tokenizer = load_tokenizer(str(folder))
    if not getattr(tokenizer, "is_fast", False):
        raise RunFailed("base_model_unusable", say("The folder has no fast tokenizer."), say("Add tokenizer.json."))
    template = ForeignTemplate(tokenizer)
    if "template" in description and template.description()["hash"] != description["template"]["hash"]:
        raise changed_template()
    ends = end_tokens(folder, tokenizer)
    context = int(description.get("context_tokens") or _context_tokens(tokenizer, _config(folder)))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (ends[0] if ends else 0)
    described = {"recipe": "sft", **description, "context_tokens": context, "template": template.description()}
    return ChatFrame(template, described, context, ends, int(pad))


def _own_template(folder: Path, wanted: Mapping[str, Any]) -> Template:
    template = Template(Tokenizer.from_file(str(folder / "tokenizer.json")), wanted["name"], wanted["loss_on"])
    if template.description()["hash"] != wanted["hash"] or not {END, PAD} <= set(template.ids):
        raise changed_template()
    return template


def changed_template() -> RunFailed:
    """The failure of a folder whose tokenizer or template is not the one it was trained with."""
    return RunFailed(
        "template_mismatch",
        say("The tokenizer or template was changed after training."),
        say("Export the version again."),
    )


def _load_network(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    quiet_transformers()
    try:
        model, notes = AutoModelForCausalLM.from_pretrained(
            folder,
            trust_remote_code=False,
            use_safetensors=True,
            dtype="float32",
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise unusable(str(folder), "weights", error) from error
    missing = sorted(notes["missing_keys"])
    if missing:
        raise RunFailed(
            "base_model_unusable",
            say(
                "The weights lack {count} tensors that the configuration asks for, such as {name}.",
                count=len(missing),
                name=missing[0],
            ),
            say("Save the model again with its configuration."),
        )
    return model.eval()


def end_tokens(folder: Path, tokenizer: Any) -> tuple[int, ...]:
    """The end tokens that folder, network and tokenizer name."""
    path, config = folder / "generation_config.json", _config(folder)
    asked = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.is_file() else None
    found = {tokenizer.eos_token_id}
    for ends in (asked, config.get("eos_token_id")):
        found |= set(ends) if isinstance(ends, list) else {ends}
    size = config.get("vocab_size", len(tokenizer))
    return tuple(sorted(token for token in found if isinstance(token, int) and 0 <= token < size))


def _context_tokens(tokenizer: Any, config: Mapping[str, Any]) -> int:
    """The longest sequence both network and tokenizer allow."""
    limits = [config.get("max_position_embeddings", config.get("n_positions")), tokenizer.model_max_length]
    known = [int(limit) for limit in limits if isinstance(limit, int) and 0 < limit < 10_000_000]
    return min(known, default=DEFAULT_CONTEXT_TOKENS)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise RunFailed(
            "model_missing", say("The model folder is missing or has no config.json."), say("Choose another version.")
        )
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}
