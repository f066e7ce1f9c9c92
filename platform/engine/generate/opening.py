"""A model folder made ready to answer many requests: network, template, memory and loop."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tokenizers import Tokenizer

from engine.chat_folder import ChatFrame, holds_chat_model, read_frame
from engine.failures import RunFailed
from engine.generate.grammar import Grammars
from engine.generate.loop import Backend, TorchLoop
from engine.generate.memory import Memory
from engine.generate.openvino_convert import Precision
from engine.generate.readers import Opened, open_reader
from engine.generate.request import VIRTUAL, Request
from engine.generate.scheduler import Limits, Scheduler
from engine.generate.unfit import Unfit
from engine.render import Messages, Template, Unrenderable, render
from engine.specs.sampling import Sampling
from words import say

CACHE_BYTES = 1 << 30
STEP_TOKENS = 512
RUNNING = 32


@dataclass
class Writer:
    """A loaded version that writes: texts in, a back end behind it."""

    frame: ChatFrame
    backend: Backend
    context_tokens: int
    vocabulary_size: int
    root: str  # names weights, adapter and template for the prefix cache
    virtual_tokens: int = 0
    memory_bytes: int = 0  # weights and cache
    marks: frozenset[int] = field(default_factory=frozenset)  # ids of special tokens
    adapter: str = ""  # of a base that many versions share
    way: str = "torch"  # as `Opened` says it
    equal_share: float | None = None

    is_elsewhere = False

    @property
    def is_busy(self) -> bool:
        """Whether anybody waits for an answer."""
        if self.adapter:
            return self.backend.waits_for(self.adapter)
        load = self.backend.load()
        return bool(load.running or load.waiting)

    def chat_tokens(self, messages: Messages) -> list[int]:
        """The prompt of a chat, ready to be answered; Unfit when the template refuses it."""
        try:
            return render(messages, self.frame.template, answer_next=True)[0]
        except Unrenderable as error:
            raise Unfit("template_refused", str(error)) from error

    def text_tokens(self, text: str | Sequence[int]) -> tuple[list[int], int]:
        """The prompt of a text, or of its tokens, to be continued, and how many of the first are not the text's own."""
        if not isinstance(text, str):
            return list(text), 0
        template = self.frame.template
        if isinstance(template, Template):
            return [self.frame.ends[0], *template.tokenizer.encode(text, add_special_tokens=False).ids], 1
        begun = self.frame.description.get("template", {}).get("name") == "continue"
        found = template.tokenizer(text, add_special_tokens=not begun, split_special_tokens=True, verbose=False)
        ids: list[int] = [int(token) for token in found["input_ids"]]
        if begun or not ids:
            return [*self.frame.ends[:1], *ids], len(self.frame.ends[:1])
        return ids, int(bool(ids) and ids[0] == template.tokenizer.bos_token_id)

    def token_text(self, token: int) -> str:
        """One token as it is written, for lists of probabilities; special ones by their names."""
        tokenizer = self.frame.template.tokenizer
        if token in self.marks:
            name = (
                tokenizer.id_to_token(token)
                if isinstance(tokenizer, Tokenizer)
                else tokenizer.convert_ids_to_tokens(token)
            )
            return str(name)
        return str(tokenizer.decode([token]))

    def request(
        self, key: str, prompt: Sequence[int], sampling: Sampling, *, tenant: str, priority: int = 0
    ) -> Request:
        """A request for the back end, as long as the context has room; Unfit when it has none behind the prompt."""
        room = self.context_tokens - len(prompt)
        if room < 1:
            raise Unfit(
                "context_length_exceeded",
                say(
                    "The prompt has {count} tokens; the model's context has room for {most} and an answer.",
                    count=len(prompt),
                    most=self.context_tokens - 1,
                ),
            )
        if any(not 0 <= token < self.vocabulary_size for token in (*prompt, *sampling.logit_bias)):
            raise Unfit("unknown_token", say("A token id must lie below {size}.", size=self.vocabulary_size))
        tokens = [*([VIRTUAL] * self.virtual_tokens), *prompt]
        root = f"{self.root}|{tenant}"
        sampling = replace(sampling, max_tokens=min(sampling.max_tokens, room))
        return Request(key, tokens, sampling, tenant=tenant, priority=priority, adapter=self.adapter, root=root)


def open_writer(
    folder: Path,
    *,
    root: str = "",
    cache_bytes: int = CACHE_BYTES,
    running: int = RUNNING,
    step_tokens: int = STEP_TOKENS,
    graphs: Path | None = None,
    content_hash: str = "",
    precision: Precision = "fp32",
) -> Writer:
    """The writer of a folder, on the GPU if there is one; RunFailed when it holds none that can be used.

    With a place for `graphs`, OpenVINO multiplies on a CPU where the folder converts, in fp32 or int8; `content_hash` names
    its weights.
    """
    if not holds_chat_model(folder):
        raise RunFailed(
            "model_missing", say("This folder holds no model that writes answers."), say("Choose another version.")
        )
    frame = read_frame(folder)
    opened = open_reader(
        folder,
        context_tokens=frame.context_tokens,
        cache_bytes=cache_bytes,
        graphs=graphs,
        content_hash=content_hash,
        precision=precision,
    )
    return Writer(
        frame,
        loop_over(opened, frame, running=running, step_tokens=step_tokens),
        opened.context_tokens - opened.virtual_tokens,
        opened.vocabulary_size,
        root or str(folder),
        opened.virtual_tokens,
        opened.bytes,
        frozenset(fast_tokenizer(frame).get_added_tokens_decoder()),
        way=opened.way,
        equal_share=opened.equal_share,
    )


def fast_tokenizer(frame: ChatFrame) -> Tokenizer:
    """The tokenizers library's own."""
    found = frame.template.tokenizer
    return found if isinstance(found, Tokenizer) else found.backend_tokenizer


def loop_over(opened: Opened, frame: ChatFrame, *, running: int, step_tokens: int) -> TorchLoop:
    """The loop that answers many requests by a reader."""
    context, tokenizer = opened.context_tokens, frame.template.tokenizer
    memory = Memory(opened.store, capacity_tokens=opened.capacity_tokens, context_tokens=context)
    text = fast_tokenizer(frame).to_str()
    return TorchLoop(
        opened.reader,
        Scheduler(memory, Limits(step_tokens, running, context)),
        decode=lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True)),
        ends=frame.ends,
        grammars=Grammars(text, vocabulary_size=opened.vocabulary_size, ends=frame.ends),
    )
