"""A trained chat model as a plain Hugging Face folder, its template and tokenizer beside the weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from engine.base_models import own_description
from engine.failures import RunFailed
from engine.folders import write_folder
from engine.render import END, JINJA, PAD, Template
from words import say


def save_chat_model(folder: Path, model: Any, template: Template, description: Mapping[str, Any]) -> dict[str, Any]:
    """Write the folder whole or not at all; AutoModelForCausalLM and AutoTokenizer read it as it is."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(template.tokenizer.to_str()),
        eos_token=END,
        pad_token=PAD,
        chat_template=JINJA,
        model_max_length=description["context_tokens"],
        clean_up_tokenization_spaces=False,
    )

    def fill(beside: Path) -> None:
        tokenizer.save_pretrained(beside)
        model.save_pretrained(beside)

    return write_folder(folder, fill, {**description, "template": template.description()})


def open_chat_model(folder: Path) -> tuple[Any, Template, dict[str, Any]]:
    """(model in eval mode, template, description); RunFailed if the template is not the one it was trained with."""
    from transformers import AutoModelForCausalLM

    description = own_description(str(folder))
    if description.get("recipe") != "chat":
        raise RunFailed(
            "model_missing", say("This folder holds no chat model of this platform."), say("Choose another version.")
        )
    wanted = description["template"]
    template = Template(Tokenizer.from_file(str(folder / "tokenizer.json")), wanted["name"], wanted["loss_on"])
    if template.description()["hash"] != wanted["hash"]:
        raise RunFailed(
            "template_mismatch",
            say("The tokenizer or template was changed after training."),
            say("Export the version again."),
        )
    model = AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, dtype="float32", attn_implementation="sdpa"
    )
    return model.eval(), template, description
