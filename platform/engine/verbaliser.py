"""Labels told by words: a pattern holds the text and a place, and the word that the model puts there stands for a label.

Schick, Schütze 2021 (pattern-exploiting training); Gao et al. 2021. With w_1 ... w_m the tokens of a word,

    masked model:  s(word) = 1/m sum_i z[w_i], z the logits [V] at the place
    model that writes:  s(word) = 1/m sum_i log p(w_i | pattern, w_1 ... w_(i-1))
    s(label) = mean over its words + b        P(label | text) = softmax over labels

The mean over tokens keeps long words from losing by their length. Contextual calibration (Zhao et al. 2021) sets
b = -log of the mean P over texts that say nothing, once, before the first step; else b = 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.encoder import PackedEncoder, can_pack, set_dropout
from engine.gpt import Gpt
from engine.gpt.runs import runs_of
from engine.specs.few_shot import LABEL, TEXT
from engine.units import surroundings

CONTENT_FREE = ("N/A", "[MASK]", "")
TOKENS_AT_ONCE = 8192  # read at once where nothing is learnt
MASK = -1  # stands for the mask token in a filled pattern
Words = Mapping[str, Sequence[str]]  # the words of each label


@dataclass(frozen=True)
class Reading:
    """A pattern bound to a tokenizer: texts -> token ids, the text cut where there is no room for all of it.

    For a masked model the ids hold its mask token at the place; for a model that writes they end before the word. What a
    person wrote is text: the name of a special token in it does not act as one.
    """

    tokenizer: Any
    pattern: str
    limit: int  # tokens of a filled pattern, without the word of a model that writes
    is_masked: bool

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text in the pattern."""
        ahead, between, behind = self._frame()
        room = max(0, self.limit - len(ahead) - len(between) - len(behind))
        mask = self.tokenizer.mask_token_id
        return [
            [mask if token == MASK else token for token in (*ahead, *ids[:room], *between, *behind)]
            for ids in self._encoded(list(texts))
        ]

    def whole_lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each filled pattern if nothing were cut."""
        fixed = self.fixed_tokens
        return [fixed + len(ids) for ids in self._encoded(list(texts))]

    @property
    def fixed_tokens(self) -> int:
        """Tokens of the pattern without a text."""
        return sum(len(part) for part in self._frame())

    @property
    def ahead_tokens(self) -> int:
        """Tokens of the pattern before the text."""
        return len(self._frame()[0])

    def word_ids(self, word: str) -> list[int]:
        """The tokens of a word where the pattern has it, with the space before it if there is one."""
        before = self.pattern.partition(LABEL)[0]
        return self._encoded([f" {word}" if before.endswith(" ") else word])[0]

    def _frame(self) -> tuple[list[int], list[int], list[int]]:
        """Ids before the text, between text and end, and the special tokens behind; MASK where the word goes."""
        first, last = surroundings(self.tokenizer)
        if not self.is_masked:
            own = [self.tokenizer.bos_token_id, self.tokenizer.eos_token_id]
            first, last = first or [token for token in own if token is not None][:1], []
        before, after = self.pattern.split(TEXT)
        return [*first, *self._piece(before)], self._piece(after), last

    def _piece(self, piece: str) -> list[int]:
        """A part of the pattern; the space before the place belongs to the word."""
        if LABEL not in piece:
            return self._encoded([piece])[0]
        before, after = piece.split(LABEL)
        ids = self._encoded([before.rstrip(" "), after])
        return [*ids[0], MASK, *ids[1]] if self.is_masked else ids[0]

    def _encoded(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        found = self.tokenizer(
            texts,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            split_special_tokens=True,
            verbose=False,
        )
        return [list(ids) for ids in found["input_ids"]]


WordIds = Sequence[Sequence[Sequence[int]]]  # labels, their words, the tokens of each


class WordScorer(nn.Module):
    """Token ids of N filled patterns -> logits [N, K] of K labels; a subclass says how a word is scored."""

    bias: Tensor  # [K]
    spread: Tensor  # [K, W]

    def __init__(self, words: WordIds) -> None:
        super().__init__()
        self.words = [list(word) for found in words for word in found]
        spread = torch.zeros(len(words), len(self.words))  # a label's score is the mean over its words
        start = 0
        for at, found in enumerate(words):
            spread[at, start : start + len(found)] = 1 / len(found)
            start += len(found)
        self.register_buffer("spread", spread, persistent=False)
        self.register_buffer("bias", torch.zeros(len(words)), persistent=False)

    def word_scores(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """s(word) of every word behind every pattern, [N, W]."""
        raise NotImplementedError

    def tokens_read(self, count: int) -> int:
        """Tokens that are read for a pattern of `count` tokens."""
        raise NotImplementedError

    def forward(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Logits [N, K], in the order of the sequences."""
        if torch.is_grad_enabled():
            return self._scored(sequences)
        return torch.cat([self._scored(part) for part in self._parts(sequences)])

    @torch.no_grad()
    def calibrate(self, sequences: Sequence[Sequence[int]]) -> None:
        """Set the bias by patterns whose texts say nothing, so that their mean distribution is even."""
        self.bias.zero_()
        training = self.training
        self.eval()
        self.bias.copy_(-torch.softmax(self(sequences), -1).mean(0).log())
        self.train(training)

    def _scored(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        return self.word_scores(sequences).float() @ self.spread.T + self.bias

    def _parts(self, sequences: Sequence[Sequence[int]]) -> Iterator[Sequence[Sequence[int]]]:
        """As many at once as TOKENS_AT_ONCE allows."""
        start, filled = 0, 0
        for at, sequence in enumerate(sequences):
            wanted = self.tokens_read(len(sequence))
            if at > start and filled + wanted > TOKENS_AT_ONCE:
                yield sequences[start:at]
                start, filled = at, 0
            filled += wanted
        yield sequences[start:]


class MaskedWords(WordScorer, PackedEncoder):
    """Words at the mask of a BERT- or RoBERTa-like network with its masked-language-model head."""

    at_tokens: Tensor  # [W, U]
    wanted: Tensor  # [U]

    def __init__(self, network: Any, words: WordIds, *, mask_id: int, dropout: float = 0.0) -> None:
        super().__init__(words)
        self.network, self.config, self.mask_id = network, network.config, mask_id
        self.is_packed = can_pack(network.config)
        wanted = sorted({token for word in self.words for token in word})
        place = {token: at for at, token in enumerate(wanted)}
        at_tokens = torch.zeros(len(self.words), len(wanted))
        for row, word in zip(at_tokens, self.words, strict=True):
            for token in word:
                row[place[token]] += 1 / len(word)
        self.register_buffer("wanted", torch.tensor(wanted), persistent=False)
        self.register_buffer("at_tokens", at_tokens, persistent=False)
        set_dropout(self, dropout)

    @property
    def encoder(self) -> Any:
        """The encoder without its head."""
        return self.network.base_model

    @property
    def said(self) -> nn.Module:
        """The head: states [N, D] -> logits [N, V]."""
        return cast(nn.Module, self.network.cls if hasattr(self.network, "cls") else self.network.lm_head)

    def word_scores(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """The mean logit of each word's tokens at the mask, [N, W]."""
        states = self.token_states(sequences)  # [T, D]
        places, start = [], 0
        for sequence in sequences:
            places.append(start + list(sequence).index(self.mask_id))
            start += len(sequence)
        logits = self.said(states[places])  # [N, V]
        return cast(Tensor, logits[:, self.wanted].float() @ self.at_tokens.T)

    def tokens_read(self, count: int) -> int:
        """Each pattern is read once."""
        return count


class WrittenWords(WordScorer):
    """Words as the continuation of a pattern, by a model that writes.

    A pattern is read once for each beginning that words have: the last token of a word is said, never read. Words of one
    token share a single reading.
    """

    def __init__(self, gpt: Gpt, words: WordIds) -> None:
        super().__init__(words)
        self.gpt = gpt
        heads = sorted({tuple(word[:-1]) for word in self.words}, key=len, reverse=True)
        kept: list[tuple[int, ...]] = []
        for head in heads:
            if not any(longer[: len(head)] == head for longer in kept):
                kept.append(head)
        self.heads = kept
        self.head_of = [
            next(at for at, h in enumerate(kept) if h[: len(word) - 1] == tuple(word[:-1])) for word in self.words
        ]

    def word_scores(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """The mean log-probability of each word's tokens, [N, W]."""
        device = self.gpt.tokens.weight.device
        rows = [[*sequence, *head] for sequence in sequences for head in self.heads]
        order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
        ids = torch.tensor([token for at in order for token in rows[at]], device=device)
        hidden = self.gpt.packed(ids, runs_of([len(rows[at]) for at in order]))  # [T, D]
        starts, start = [0] * len(rows), 0
        for at in order:
            starts[at], start = start, start + len(rows[at])
        needed: dict[int, int] = {}  # place in the stream -> row of the logits
        used: list[tuple[int, int]] = []  # (row of the logits, token) of every token of every word of every text
        for number, sequence in enumerate(sequences):
            for word, head in zip(self.words, self.head_of, strict=True):
                first = starts[number * len(self.heads) + head] + len(sequence) - 1
                used += [(needed.setdefault(first + at, len(needed)), token) for at, token in enumerate(word)]
        likely = F.log_softmax(self.gpt.head(hidden[list(needed)]).float(), -1)  # [M, V]
        at, tokens = torch.tensor(used, device=device).T
        sizes = torch.tensor([len(word) for word in self.words] * len(sequences), device=device)
        owners = torch.repeat_interleave(torch.arange(len(sizes), device=device), sizes)
        sums = torch.zeros(len(sizes), device=device).index_add(0, owners, likely[at, tokens])
        return (sums / sizes).view(len(sequences), len(self.words))

    def tokens_read(self, count: int) -> int:
        """A pattern is read once for each head of words."""
        return len(self.heads) * count + sum(map(len, self.heads))
