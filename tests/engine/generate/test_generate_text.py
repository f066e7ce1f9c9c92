"""Text of an answer while it comes, and tokens drawn from logits."""

import random

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from engine.generate.sampler import Wish, draw, uniform
from engine.generate.text import TextStream
from engine.specs.sampling import Grammar, Sampling


def bytes_tokenizer() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        ["plain"], trainers.BpeTrainer(vocab_size=256, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    )
    return made


def piecewise(text: str, stops: tuple[str, ...] = ()) -> tuple[list[str], str | None]:
    tokenizer = bytes_tokenizer()
    stream, found = TextStream(tokenizer.decode, stops), []
    for token in tokenizer.encode(text).ids:
        written = stream.add(token)
        found.append(written.text)
        if written.stop:
            return found, written.stop
    last = stream.end()
    return [*found, last.text], last.stop


@pytest.mark.parametrize("text", ["plain", "银行卡 and 🦊🦊 é", "", "ends with half 🦊"])
def test_only_whole_characters_are_given_out_and_all_of_them(text: str) -> None:
    parts, _ = piecewise(text)
    assert "".join(parts) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in part for part in parts)


def test_bytes_that_never_become_a_character_do_not_hold_the_text_back() -> None:
    tokenizer = bytes_tokenizer()
    broken = tokenizer.encode("é").ids[0]
    stream = TextStream(tokenizer.decode)
    shown = [stream.add(token).text for token in [broken] * 30]
    assert "".join(shown).count("\N{REPLACEMENT CHARACTER}") >= 20


def test_what_may_become_a_stop_text_is_held_back_until_it_does_not() -> None:
    parts, stop = piecewise("one <en two", ("<end>",))
    assert ("".join(parts), stop) == ("one <en two", None)
    assert all(not part.endswith("<e") for part in parts[:-1])
    parts, stop = piecewise("one <end> two", ("<end>", " two"))
    assert ("".join(parts), stop) == ("one ", "<end>")
    assert piecewise("abab", ("aba",)) == (["", "", ""], "aba")


def wish(seed: int = 1, output: tuple[int, ...] = (), **options: object) -> Wish:
    return Wish(Sampling(**options), seed, (1, 2), output)


def test_the_distribution_is_that_of_the_logits() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0])
    counts = np.zeros(5)
    for seed in range(4000):
        counts[draw(logits[None].clone(), [wish(seed)])[0].token] += 1
    expected = torch.softmax(logits, -1).numpy() * 4000
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees, p = 0.001


def test_top_k_top_p_and_min_p_leave_out_the_unlikely() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    for options, kept in (
        ({"top_k": 2}, {0, 1}),
        ({"top_p": 0.79}, {0, 1}),
        ({"top_p": 0.81}, {0, 1, 2}),
        ({"top_p": 0.0}, {0}),
        ({"min_p": 0.5}, {0, 1}),
        ({"temperature": 0.0}, {0}),
        ({"temperature": 1e-3}, {0}),
    ):
        assert {draw(logits.clone(), [wish(seed, **options)])[0].token for seed in range(300)} == kept, options


def test_each_row_has_its_own_wish() -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))
    wishes = [wish(temperature=0), wish(7, logit_bias={9: 100.0}), wish(5, top_k=1, logprobs=2)]
    alone = [draw(logits[at : at + 1].clone(), [one])[0] for at, one in enumerate(wishes)]
    assert draw(logits.clone(), wishes) == alone
    assert alone[1].token == 9
    assert len(alone[2].top) == 2


def test_random_numbers_depend_on_seed_and_place_only_and_are_even() -> None:
    values = [uniform(seed, place) for seed in range(100) for place in range(100)]
    assert len(set(values)) == 10_000 and all(0 <= value < 1 for value in values)
    assert np.histogram(values, 10, (0, 1))[0].min() > 900
    assert uniform(-5, 3) == uniform(-5, 3)
    assert random.Random(0).random() != uniform(0, 0)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ("",)}, "stop"),
        ({"stop": ("a",) * 17}, "stop"),
        ({"logit_bias": {1: 101.0}}, "logit_bias"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"grammar": Grammar("lark", "x")}, "grammar"),
        ({"grammar": Grammar("regex", "x" * 60_000)}, "grammar"),
        ({"logprobs": 21}, "logprobs"),
    ],
)
def test_options_out_of_bounds_are_named(options: dict[str, object], field: str) -> None:
    assert [problem.field for problem in Sampling(**options).problems()] == [field]


def test_defaults_are_sound() -> None:
    assert Sampling().problems() == []
