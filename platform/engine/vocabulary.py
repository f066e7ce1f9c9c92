"""Vocabularies of models trained from scratch: learnt on a stream of texts, or taken over from another model."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from engine import base_models
from engine.failures import RunFailed
from engine.render import END, PAD, SPECIAL_TOKENS
from engine.specs.base_models import BaseModel
from words import say

UNKNOWN = "<|unknown|>"
PORTION_CHARACTERS = 1_000_000


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer and the tokens that end and pad a document."""

    tokenizer: Tokenizer
    end: int
    pad: int
    unknown_token: str | None = None  # stands for what it cannot express
    is_own: bool = True  # made here, not taken over

    def __post_init__(self) -> None:
        # What a person wrote is text, also where it spells a special token.
        self.tokenizer.encode_special_tokens = True

    @property
    def size(self) -> int:
        """Rows of the embedding."""
        return int(self.tokenizer.get_vocab_size())

    @cached_property
    def hash(self) -> str:
        """sha256 of all that decides how a text becomes tokens."""
        return hashlib.sha256(self.tokenizer.to_str().encode()).hexdigest()

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """Token ids of each text, without any special token."""
        cut = [list(portions(text)) if self.is_own else [text] for text in texts]
        encoded = self.tokenizer.encode_batch_fast(
            [piece for pieces in cut for piece in pieces], add_special_tokens=False
        )
        found = iter(encoded)
        return [[token for _ in pieces for token in next(found).ids] for pieces in cut]

    def keeps(self, text: str) -> bool:
        """Whether the text comes back from its tokens as it was."""
        ids = self.encode([text])[0]
        return bool(self.tokenizer.decode(ids, skip_special_tokens=False) == text)


def own(tokenizer: Tokenizer) -> Vocabulary:
    """A vocabulary made here."""
    unknown = UNKNOWN if tokenizer.token_to_id(UNKNOWN) is not None else None
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    assert end is not None and pad is not None
    return Vocabulary(tokenizer, end, pad, unknown)


def taken_over(reference: BaseModel) -> Vocabulary:
    """The vocabulary of a base model or model version; RunFailed when it is missing, slow, or knows no end token."""
    tokenizer = base_models.load_tokenizer(base_models.locate(reference), reference.revision)
    if not getattr(tokenizer, "is_fast", False):
        raise RunFailed("base_model_unusable", say("The folder has no fast tokenizer."), say("Add tokenizer.json."))
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    if end is None:
        raise base_models.without_end()
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
    whole = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    whole.no_truncation()  # some tokenizers come with the lengths of their own use
    whole.no_padding()
    return Vocabulary(whole, int(end), int(pad), tokenizer.unk_token, is_own=False)


def byte_level_bpe(texts: Iterable[str], size: int) -> Tokenizer:
    """Byte-pair encoding over bytes (Sennrich et al. 2016; Radford et al. 2019): any text has tokens, none is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def bytes_alone() -> Tokenizer:
    """One token a byte."""
    return byte_level_bpe([], len(SPECIAL_TOKENS) + 256)


def characters(texts: Iterable[str], size: int) -> Tokenizer:
    """One token a character: the most frequent ones up to `size` entries, the others are one unknown token."""
    seen: Counter[str] = Counter()
    for text in texts:
        seen.update(text)
    first = [*SPECIAL_TOKENS, UNKNOWN]
    kept = sorted(sorted(seen), key=lambda character: -seen[character])[: size - len(first)]
    numbers = {token: at for at, token in enumerate([*first, *sorted(kept)])}
    tokenizer = Tokenizer(models.BPE(vocab=numbers, merges=[], unk_token=UNKNOWN, fuse_unk=False))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(first)
    return tokenizer


def portions(text: str, limit: int = PORTION_CHARACTERS) -> Iterator[str]:
    """A long text in pieces, so that its tokens need little memory at once.

    Cut between a letter and the space behind it, where no token of ours reaches across; a text without spaces is cut
    at `limit`.
    """
    start = 0
    while len(text) - start > limit:
        stop = start + limit
        cut = next((at for at in range(stop, start + 1, -1) if text[at].isspace() and not text[at - 1].isspace()), stop)
        yield text[start:cut]
        start = cut
    yield text[start:]
