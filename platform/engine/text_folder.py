"""Folders of models that continue texts: plain Hugging Face, with what a prompt is beside the weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from engine.folders import write_folder
from engine.gpt import Gpt
from engine.gpt.hugging_face import save_gpt
from engine.render import ForeignTemplate
from engine.vocabulary import Vocabulary

CONTINUE_JINJA = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def save_text_model(folder: Path, model: Gpt, vocabulary: Vocabulary, description: Mapping[str, Any]) -> dict[str, Any]:
    """Write the folder whole or not at all; AutoModelForCausalLM and AutoTokenizer read it as it is.

    Its chat template puts the end token first, as documents are learnt, and writes what was said one behind the other.
    """
    tokenizer = transformers_tokenizer(vocabulary, model.config.context_tokens)
    template = {**ForeignTemplate(tokenizer).description(), "name": "continue", "loss_on": "all"}

    def fill(beside: Path) -> None:
        tokenizer.save_pretrained(beside)
        save_gpt(model, beside, special={"eos_token_id": vocabulary.end, "pad_token_id": vocabulary.pad})

    return write_folder(folder, fill, {**description, "template": template})


def transformers_tokenizer(vocabulary: Vocabulary, context_tokens: int) -> Any:
    """The vocabulary as transformers knows it."""
    from transformers import PreTrainedTokenizerFast

    end = str(vocabulary.tokenizer.id_to_token(vocabulary.end))
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(vocabulary.tokenizer.to_str()),
        eos_token=end,
        pad_token=vocabulary.tokenizer.id_to_token(vocabulary.pad),
        unk_token=vocabulary.unknown_token,
        chat_template=end + CONTINUE_JINJA,
        model_max_length=context_tokens,
        clean_up_tokenization_spaces=False,
    )
