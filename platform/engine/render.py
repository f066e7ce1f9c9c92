"""The one place where messages become token ids and loss spans."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2.exceptions import TemplateError
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
# For models that come without a template: roles by name, the answer closed by the model's own end token.
PLAIN_JINJA = (
    "{{ start }}{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
SENTINEL = "\ue000"  # private use: stands for a content while its place in a rendered text is looked for

Messages = Sequence[Mapping[str, str]]
Spans = list[tuple[int, int]]


class Unrenderable(ValueError):
    """A template cannot express these messages; the text says why."""


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


@dataclass(frozen=True)
class ForeignTemplate:
    """The Jinja template of a Hugging Face tokenizer, or PLAIN_JINJA where it has none."""

    tokenizer: Any

    @cached_property
    def jinja(self) -> str:
        """The default template."""
        if not self.tokenizer.chat_template:
            return PLAIN_JINJA
        return str(self.tokenizer.get_chat_template())

    @cached_property
    def start(self) -> str:
        """What the tokenizer itself would put before a text; only the plain template needs it."""
        bos, first = self.tokenizer.bos_token_id, self.tokenizer("")["input_ids"][:1]
        return str(self.tokenizer.bos_token) if bos is not None and first == [bos] else ""

    @cached_property
    def special(self) -> re.Pattern[str]:
        """Finds the special tokens in a text."""
        tokens = [token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        return re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)) or r"(?!)")

    def description(self) -> dict[str, Any]:
        """Name and hash over the template and the vocabulary."""
        text = json.dumps([self.jinja, json.loads(self.tokenizer.backend_tokenizer.to_str())["model"]], sort_keys=True)
        name = "plain" if self.jinja == PLAIN_JINJA else "its own"
        return {"name": name, "loss_on": "assistant", "hash": hashlib.sha256(text.encode()).hexdigest()}

    def text(self, messages: Messages, *, answer_next: bool = False) -> str:
        """The messages as one text, special tokens written out."""
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    [dict(message) for message in messages],
                    chat_template=self.jinja,
                    tokenize=False,
                    add_generation_prompt=answer_next,
                    start=self.start,
                    date_string="26 Jul 2024",  # templates that write a date write this one: runs are repeatable
                )
            )
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise Unrenderable(f"The chat template refuses these messages: {error}") from error


AnyTemplate = Template | ForeignTemplate


@dataclass(frozen=True)
class Chat:
    """A rendered chat: its ids cut to the context, which of them are learnt, and the uncut ids."""

    ids: list[int]
    learnt: list[bool]
    full: list[int]


def rendered(messages: Messages, template: AnyTemplate, limit: int) -> tuple[Chat, Spans]:
    """The chat cut to `limit` tokens, and the loss spans before the cut."""
    ids, spans = render(messages, template)
    learnt = [False] * len(ids)
    for start, end in spans:
        learnt[start:end] = [True] * (end - start)
    return Chat(ids[:limit], learnt[:limit], ids), spans


def render(messages: Messages, template: AnyTemplate, *, answer_next: bool = False) -> tuple[list[int], Spans]:
    """(token ids, loss spans): spans are [start, end) positions of tokens to be learnt, the end token included.

    With `answer_next` the ids end with the assistant's token, ready to be continued. Raises Unrenderable.
    """
    if isinstance(template, ForeignTemplate):
        return _render_foreign(messages, template, answer_next=answer_next)
    ids: list[int] = []
    spans: Spans = []
    encoded = template.tokenizer.encode_batch([message["content"] for message in messages], add_special_tokens=False)
    for message, content in zip(messages, encoded, strict=True):
        if message["role"] not in ROLE_TOKENS:
            raise Unrenderable(f"“{message['role']}” is not a role.")
        ids.append(template.ids[ROLE_TOKENS[message["role"]]])
        start = len(ids)
        ids += [*content.ids, template.ids[END]]
        if template.loss_on == "all" or message["role"] == "assistant":
            spans.append((start, len(ids)))
    if answer_next:
        ids.append(template.ids[ROLE_TOKENS["assistant"]])
    return ids, spans


def _render_foreign(messages: Messages, template: ForeignTemplate, *, answer_next: bool) -> tuple[list[int], Spans]:
    """Tokens of the template's text; they are learnt where they lie in an answer's part of it."""
    text = template.text(messages, answer_next=answer_next)
    ids: list[int] = []
    places: Spans = []
    for start, end, is_literal in _pieces(text, _literals(messages, template, text, answer_next=answer_next)):
        found = template.tokenizer(
            text[start:end],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            split_special_tokens=is_literal,
            verbose=False,
        )
        ids += found["input_ids"]
        places += [(start + first, start + last) for first, last in found["offset_mapping"]]
    spans = []
    for start, end in _answers(messages, template, text):
        inside = [at for at, (first, last) in enumerate(places) if first < end and last > start]
        if inside:
            spans.append((inside[0], inside[-1] + 1))
    return ids, spans


def _answers(messages: Messages, template: ForeignTemplate, text: str) -> Iterator[tuple[int, int]]:
    """Where each answer stands in the text: from behind the assistant's opening to its end token.

    Most templates write the messages one behind the other, so an answer is what a longer prefix adds; where a template
    looks back and writes earlier answers otherwise, the content itself is looked for.
    """
    for at, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = template.text(messages[:at], answer_next=True) if at else ""
        whole = template.text(messages[: at + 1]).rstrip()
        if at and text.startswith(before) and text.startswith(whole):
            yield len(before), len(whole)
        else:
            start = _place(messages, at, template)
            yield start, start + len(message["content"].strip())


def _literals(
    messages: Messages, template: ForeignTemplate, text: str, *, answer_next: bool
) -> Iterator[tuple[int, int]]:
    """Where people wrote the name of a special token: that is text and must not act as one."""
    for at, message in enumerate(messages):
        written = list(template.special.finditer(message["content"].strip()))
        if not written:
            continue
        start = _place(messages, at, template, answer_next=answer_next)
        if not text.startswith(message["content"].strip(), start):
            raise Unrenderable("The chat template changes a message that holds a special token.")
        yield from ((start + found.start(), start + found.end()) for found in written)


def _place(messages: Messages, at: int, template: ForeignTemplate, *, answer_next: bool = False) -> int:
    """Where the content of message `at` begins in the rendered text."""
    marked = [{**message, "content": SENTINEL} if at == here else message for here, message in enumerate(messages)]
    start = template.text(marked, answer_next=answer_next).find(SENTINEL)
    if start < 0:
        raise Unrenderable("The chat template leaves out a message.")
    content = messages[at]["content"]
    text = template.text(messages, answer_next=answer_next)
    leading = len(content) - len(content.lstrip())
    return start + leading if leading and text.startswith(content, start) else start


def _pieces(text: str, literals: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int, bool]]:
    """(start, end, is literal) pieces that make up the text."""
    done = 0
    for start, end in literals:
        if done < start:
            yield done, start, False
        yield start, end, True
        done = end
    if done < len(text):
        yield done, len(text), False
