"""The one place where messages become token ids and loss spans."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer

END = "<|end|>"
PAD = "<|pad|>"
ROLE_TOKENS = {role: f"<|{role}|>" for role in ("system", "user", "assistant", "tool")}
SPECIAL_TOKENS = (PAD, END, *ROLE_TOKENS.values())
# The same rule for readers that only know Jinja; test_render.py proves both equal.
JINJA = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class Template:
    """A rule of rendering bound to a tokenizer: role token, content, end token, message after message."""

    tokenizer: Tokenizer
    name: str = "lingxi-chat-1"
    loss_on: str = "assistant"  # or "all"

    def __post_init__(self) -> None:
        # What a person writes is text: "<|end|>" in a message must not end it.
        self.tokenizer.encode_special_tokens = True

    @cached_property
    def ids(self) -> dict[str, int]:
        """The ids of the special tokens."""
        found = {token: self.tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
        return {token: number for token, number in found.items() if number is not None}

    def description(self) -> dict[str, Any]:
        """What is saved beside the model; its hash covers the rule and the vocabulary."""
        rule = {"name": self.name, "roles": ROLE_TOKENS, "end": END, "loss_on": self.loss_on, "jinja": JINJA}
        text = json.dumps([rule, self.ids, json.loads(self.tokenizer.to_str())["model"]], sort_keys=True)
        return {**rule, "hash": hashlib.sha256(text.encode()).hexdigest()}


def render(
    messages: Sequence[Mapping[str, str]], template: Template, *, answer_next: bool = False
) -> tuple[list[int], list[tuple[int, int]]]:
    """(token ids, loss spans): spans are [start, end) positions of tokens to be learnt, the end token included.

    With `answer_next` the ids end with the assistant's token, ready to be continued. KeyError for an unknown role.
    """
    ids: list[int] = []
    spans: list[tuple[int, int]] = []
    encoded = template.tokenizer.encode_batch([message["content"] for message in messages], add_special_tokens=False)
    for message, content in zip(messages, encoded, strict=True):
        ids.append(template.ids[ROLE_TOKENS[message["role"]]])
        start = len(ids)
        ids += [*content.ids, template.ids[END]]
        if template.loss_on == "all" or message["role"] == "assistant":
            spans.append((start, len(ids)))
    if answer_next:
        ids.append(template.ids[ROLE_TOKENS["assistant"]])
    return ids, spans
