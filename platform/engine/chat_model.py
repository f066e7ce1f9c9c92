"""A loaded chat version: how likely it finds given answers, and what it answers itself, in batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.chat_folder import open_chat_model
from engine.failures import Stopped
from engine.predict import batches_by_tokens
from engine.render import AnyTemplate, Chat, Messages, Unrenderable, render
from engine.report import Report, Silent
from words import say

MAX_NEW_TOKENS = 256
BATCH_TOKENS = 4096
LOGIT_CELLS = 32_000_000  # 128 MB of logits at once


@dataclass(frozen=True)
class Answer:
    """What the model wrote; `finish` is stop, length, time, too_long (no room behind the prompt) or unreadable."""

    text: str
    tokens: int  # written, the end token included
    finish: str


@dataclass(frozen=True)
class ChatLosses:
    """Over the learnt tokens of N chats: summed loss, tokens guessed right and tokens, [N] each."""

    sums: NDArray[np.float64]
    hits: NDArray[np.float64]
    counts: NDArray[np.float64]


class ChatModel:
    """A decoder with its template; equal prompts get equal answers in any company."""

    def __init__(
        self, model: Any, template: AnyTemplate, *, context_tokens: int, ends: Sequence[int], pad: int
    ) -> None:
        from transformers import GenerationConfig

        self.model = model.eval()
        self.template = template
        self.context_tokens = context_tokens
        self.ends = sorted(set(ends))
        self.pad = pad
        # Padding on the left would move the positions behind virtual tokens, and so the answer.
        self.has_virtual_tokens = hasattr(model, "prompt_encoder")
        # A folder may ask for sampling or penalties; what is measured and compared is the greedy answer.
        self.model.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=self.ends or None, pad_token_id=pad, use_cache=True
        )

    @torch.no_grad()
    def losses(self, chats: Sequence[Chat], *, report: Report, phase: str) -> ChatLosses:
        """Loss and hits of the learnt tokens of each chat; raises Stopped when asked."""
        found = ChatLosses(np.zeros(len(chats)), np.zeros(len(chats)), np.zeros(len(chats)))
        done = 0
        for batch in batches_by_tokens([len(chat.ids) for chat in chats], self.tokens_at_once):
            if report.should_stop():
                raise Stopped
            chosen, targets, owners = self.foretold([chats[at] for at in batch])
            losses = F.cross_entropy(chosen, targets, reduction="none")
            hits = chosen.argmax(-1) == targets
            rows = np.asarray(batch)[owners]
            np.add.at(found.sums, rows, losses.double().cpu().numpy())
            np.add.at(found.hits, rows, hits.double().cpu().numpy())
            np.add.at(found.counts, rows, 1)
            done += len(batch)
            report.progress(done, len(chats), "chats", phase)
        return found

    @property
    def tokens_at_once(self) -> int:
        """The most tokens of a batch whose logits fit into memory."""
        return max(1, min(BATCH_TOKENS, LOGIT_CELLS // int(self.model.config.get_text_config().vocab_size)))

    @torch.no_grad()
    def foretold(self, chats: Sequence[Chat]) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
        """(logits [M, V], the token itself [M], its chat's number [M]) of the learnt tokens, chat after chat."""
        ids, mask = self._padded([chat.ids for chat in chats], left=False)
        learnt = torch.zeros_like(mask, dtype=torch.bool)  # [B, T]
        for row, chat in enumerate(chats):
            learnt[row, : len(chat.ids)] = torch.tensor(chat.learnt)
        # The last token is only foretold, never read: a sequence may be one longer than the context.
        logits = self.model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1], use_cache=False).logits
        logits = logits[:, 1 - ids.shape[1] :]  # virtual tokens come first and foretell nothing that is measured
        wanted = learnt[:, 1:]
        return logits[wanted].float(), ids[:, 1:][wanted], wanted.nonzero()[:, 0].cpu().numpy()

    def answers(
        self,
        prompts: Sequence[Messages],
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        report: Report | None = None,
        phase: str = "",
    ) -> list[Answer]:
        """Greedy answers in the order of `prompts`, where a model is measured or trained; who serves asks `engine.generate`.

        Prompts of like length share a batch; rows with less room than `max_new_tokens` go with their equals, so that
        the company of a prompt never shortens its answer. Raises Stopped when the report asks for it.
        """
        report, phase = report or Silent(), phase or say("answering")
        watch = _Watch(report)
        answers = [Answer("", 0, "unreadable")] * len(prompts)
        sequences: dict[int, list[int]] = {}
        for at, prompt in enumerate(prompts):
            try:
                sequences[at] = render(prompt, self.template, answer_next=True)[0]
            except Unrenderable:
                continue
        rooms: dict[tuple[int, int], list[int]] = {}  # tokens to write, and the length where nothing may be padded
        for at, ids in sequences.items():
            room = min(max_new_tokens, self.context_tokens - len(ids))
            if room < 1:
                answers[at] = Answer("", 0, "too_long")
            else:
                rooms.setdefault((room, len(ids) if self.has_virtual_tokens else 0), []).append(at)
        done = len(prompts) - sum(len(rows) for rows in rooms.values())
        for (room, _), rows in sorted(rooms.items(), reverse=True):
            for batch in batches_by_tokens([len(sequences[at]) + room for at in rows], BATCH_TOKENS):
                places = [rows[at] for at in batch]
                written = self._generate([sequences[at] for at in places], room, watch)
                for at, ids in zip(places, written, strict=True):
                    answers[at] = self._answer(ids)
                done += len(batch)
                report.progress(done, len(prompts), "answers", phase)
        return answers

    @torch.no_grad()
    def _generate(self, prompts: Sequence[Sequence[int]], room: int, watch: "_Watch") -> list[list[int]]:
        ids, mask = self._padded(prompts, left=True)
        written = self.model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=room, stopping_criteria=[watch]
        )  # [B, T + room]
        found: list[list[int]] = written[:, ids.shape[1] :].tolist()
        return found

    def _answer(self, ids: list[int]) -> Answer:
        end = next((at for at, token in enumerate(ids) if token in self.ends), None)
        kept = ids if end is None else ids[:end]
        text = str(self.template.tokenizer.decode(kept, skip_special_tokens=True)).strip()
        if end is not None:
            return Answer(text, end + 1, "stop")
        return Answer(text, len(kept), "length")

    def _padded(self, sequences: Sequence[Sequence[int]], *, left: bool) -> tuple[Tensor, Tensor]:
        """(ids, attention mask), [B, T] each, on the model's device."""
        longest = max(len(sequence) for sequence in sequences)
        ids = torch.full((len(sequences), longest), self.pad)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            place = slice(longest - len(sequence), longest) if left else slice(0, len(sequence))
            ids[row, place] = torch.tensor(sequence)
            mask[row, place] = 1
        device = self.model.device
        return ids.to(device), mask.to(device)


class _Watch:
    """Asked after each token: raises Stopped when the report says so."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def __call__(self, input_ids: Tensor, _scores: Any, **_options: Any) -> Tensor:
        if self.report.should_stop():
            raise Stopped
        return torch.full((len(input_ids),), False, device=input_ids.device)


def load_chat_model(folder: Path) -> ChatModel:
    """The chat model of a folder, on the GPU if there is one; RunFailed if it cannot be used."""
    opened = open_chat_model(folder)
    model = opened.model.cuda() if torch.cuda.is_available() else opened.model
    return ChatModel(model, opened.template, context_tokens=opened.context_tokens, ends=opened.ends, pad=opened.pad)
