"""Each part of the GPT against its formula, and the properties the formulas promise."""

import math

import pytest
import torch
import torch.nn.functional as F

from engine.failures import RunFailed
from engine.gpt import NO_TARGET, Gpt, GptConfig, Run, next_token_targets, token_losses
from engine.gpt.attention import attend, attention_weights
from engine.gpt.config import gpt2_shape
from engine.gpt.positions import rotary_frequencies, rotate, rotation, sinusoidal
from engine.gpt.runs import positions_of, runs_of

LLAMA = GptConfig(60, 48, 2, 4, 32, kv_heads=2)
GPT2 = gpt2_shape(vocabulary_size=60, context_tokens=48, layers=2, heads=4, width=32)


def model(config: GptConfig, seed: int = 1) -> Gpt:
    torch.manual_seed(seed)
    made = Gpt(config).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def ids(*shape: int) -> torch.Tensor:
    return torch.randint(0, 60, shape, generator=torch.Generator().manual_seed(3))


def test_attention_is_the_formula() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, 7, 8), torch.randn(2, 2, 7, 8), torch.randn(2, 2, 7, 8)

    weights = attention_weights(query, key)

    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 7))
    assert (weights.triu(1) == 0).all()
    torch.testing.assert_close(weights @ value.repeat_interleave(2, 1), attend(query, key, value), atol=1e-6, rtol=0)


def test_products_keep_unit_variance_only_with_the_root_of_d() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(4000, 256), torch.randn(4000, 256)

    products = (query * key).sum(-1)

    assert products.var().item() == pytest.approx(256, rel=0.1)
    assert (products / math.sqrt(256)).var().item() == pytest.approx(1, rel=0.1)


def test_sinusoidal_places_differ_in_every_dimension_and_shift_by_a_rotation() -> None:
    table = sinusoidal(64, 16)

    assert table[3, 4].item() == pytest.approx(math.sin(3 / 10000 ** (4 / 16)), abs=1e-6)
    assert table[3, 5].item() == pytest.approx(math.cos(3 / 10000 ** (4 / 16)), abs=1e-6)
    assert len({round(float(column.std()), 6) for column in table.T}) > 8  # no two pairs share a frequency
    products = table @ table.T
    torch.testing.assert_close(products.diagonal(5)[:-1], products.diagonal(5)[1:], atol=1e-4, rtol=0)


def test_rotary_products_depend_on_the_distance_only() -> None:
    torch.manual_seed(0)
    frequency = rotary_frequencies(LLAMA)
    query, key = torch.randn(1, 1, 8), torch.randn(1, 1, 8)

    def product(at: int, other: int) -> float:
        turned = [
            rotate(vector, *rotation(frequency, torch.tensor([place]))) for vector, place in ((query, at), (key, other))
        ]
        return float((turned[0] * turned[1]).sum())

    assert product(9, 4) == pytest.approx(product(29, 24), abs=1e-4)
    assert product(9, 4) != pytest.approx(product(9, 5), abs=1e-2)


@pytest.mark.parametrize("config", [LLAMA, GPT2])
def test_no_token_sees_its_future(config: GptConfig) -> None:
    network, first = model(config), ids(1, 20)
    other = first.clone()
    other[0, 12:] = (other[0, 12:] + 7) % 60

    with torch.no_grad():
        one, two = network(first), network(other)

    torch.testing.assert_close(one[:, :12], two[:, :12], atol=0, rtol=0)
    assert (one[:, 12:] - two[:, 12:]).abs().max() > 1e-3


@pytest.mark.parametrize("config", [LLAMA, GPT2])
def test_a_change_in_one_packed_document_leaves_the_others_as_they_were(config: GptConfig) -> None:
    network, lengths = model(config), [5, 9, 9, 17]
    runs = runs_of(lengths)
    stream = ids(sum(lengths))
    changed = stream.clone()
    changed[5:14] = (changed[5:14] + 11) % 60

    with torch.no_grad():
        before, after = network.packed(stream, runs), network.packed(changed, runs)
        alone = [network.packed(part, [Run(0, 1, len(part))]) for part in stream.split(lengths)]

    assert runs == [Run(0, 1, 5), Run(5, 2, 9), Run(23, 1, 17)]
    assert positions_of(runs).tolist() == [at for length in lengths for at in range(length)]
    torch.testing.assert_close(before, torch.cat(alone), atol=1e-5, rtol=0)
    torch.testing.assert_close(before[:5], after[:5], atol=0, rtol=0)
    torch.testing.assert_close(before[14:], after[14:], atol=0, rtol=0)
    assert (before[5:14] - after[5:14]).abs().max() > 1e-3


@pytest.mark.parametrize("config", [LLAMA, GPT2])
@pytest.mark.parametrize("portions", [[1] * 12, [5, 1, 6], [12]])
def test_reading_in_portions_with_a_cache_equals_reading_at_once(config: GptConfig, portions: list[int]) -> None:
    network, sequences = model(config), ids(3, 12)
    cache = network.empty_cache(12)

    with torch.no_grad():
        found = torch.cat([network(part, cache) for part in sequences.split(portions, dim=1)], dim=1)
        torch.testing.assert_close(found, network(sequences), atol=1e-5, rtol=1e-5)

    assert cache.length == 12
    assert cache.bytes() == 2 * config.layers * 3 * config.kv_heads * 12 * config.head_width * 4
    with pytest.raises(ValueError, match="room for 12"):
        network(ids(3, 1), cache)


def test_text_beyond_the_context_is_an_error() -> None:
    with pytest.raises(ValueError, match="beyond the context of 48"):
        model(LLAMA)(ids(1, 49))


def test_targets_are_the_ids_shifted_by_one_inside_each_document() -> None:
    stream = torch.tensor([1, 2, 3, 4, 5, 6, 7])
    learnt = torch.tensor([False, True, True, False, False, True, True])

    assert next_token_targets(stream, runs_of([3, 4])).tolist() == [2, 3, NO_TARGET, 5, 6, 7, NO_TARGET]
    assert next_token_targets(stream, runs_of([3, 4]), learnt).tolist() == [2, 3, NO_TARGET, NO_TARGET, 6, 7, NO_TARGET]


@pytest.mark.parametrize("at_once", [3, 512])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(("scale", "after"), [(1.0, 0.5), (0.25, 1.0), (0.25, 2.0)])
def test_losses_and_gradients_in_portions_are_those_of_the_whole(
    at_once: int, weighted: bool, scale: float, after: float
) -> None:
    torch.manual_seed(0)
    hidden, matrix = torch.randn(11, 6, requires_grad=True), torch.randn(9, 6, requires_grad=True)
    targets, share = torch.randint(0, 9, (11,)), torch.rand(11)
    rows = F.cross_entropy(hidden @ matrix.T, targets, reduction="none")
    wanted = (rows * share).sum() if weighted else rows.sum()
    slopes = torch.autograd.grad(wanted * scale * after, (hidden, matrix))

    total, losses = token_losses(
        hidden, matrix, targets, weights=share if weighted else None, scale=scale, at_once=at_once
    )

    found = torch.autograd.grad(total * after, (hidden, matrix))
    torch.testing.assert_close(total, wanted * scale)
    torch.testing.assert_close(losses, rows)
    assert not losses.requires_grad
    for one, other in zip(found, slopes, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_a_frozen_output_matrix_gets_no_gradient() -> None:
    hidden, matrix = torch.randn(4, 6, requires_grad=True), torch.randn(9, 6)

    token_losses(hidden, matrix, torch.tensor([1, 2, 3, 4]))[0].backward()

    assert hidden.grad is not None
    assert matrix.grad is None


@pytest.mark.parametrize(
    "config",
    [
        LLAMA,
        GPT2,
        gpt2_shape(vocabulary_size=60, context_tokens=48, layers=2, heads=4, width=32, positions="sinusoidal"),
    ],
)
def test_one_batch_is_learnt_by_heart(config: GptConfig) -> None:
    torch.manual_seed(5)
    network = Gpt(config)
    stream, runs = ids(40), runs_of([20, 20])
    targets = next_token_targets(stream, runs)
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-2)
    wanted = targets != NO_TARGET

    for _ in range(80):
        total, losses = token_losses(network.packed(stream, runs)[wanted], network.head.weight, targets[wanted])
        (total / wanted.sum()).backward()
        optimiser.step()
        optimiser.zero_grad()

    assert losses.mean() < 0.1
    assert losses.mean() < math.log(60) / 20


@pytest.mark.parametrize(
    "sizes",
    [
        {"heads": 5},
        {"kv_heads": 3},
        {"layers": 0},
        {"dropout": 1.0},
        {"heads": 4, "head_width": 7},
    ],
)
def test_a_shape_that_does_not_fit_is_refused_with_a_sentence(sizes: dict[str, int]) -> None:
    with pytest.raises(RunFailed) as refused:
        GptConfig(**{"vocabulary_size": 60, "context_tokens": 48, "layers": 2, "heads": 4, "width": 32, **sizes})

    assert refused.value.code == "bad_model_shape"
    assert refused.value.hint


def test_the_gradient_of_a_turn_is_the_turn_back() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(5, 2, 6, dtype=torch.float64, requires_grad=True)
    cos, sin = (part.double() for part in rotation(torch.tensor([1.0, 0.3, 0.1]), torch.arange(5)))

    assert torch.autograd.gradcheck(lambda given: rotate(given, cos, sin), vectors)


def test_gradients_of_packed_documents_are_those_of_documents_alone() -> None:
    torch.manual_seed(0)
    network = Gpt(LLAMA)
    documents = [torch.randint(0, 60, (length,)) for length in (3, 5, 5, 9)]

    def gradients(groups: list[list[torch.Tensor]]) -> list[torch.Tensor]:
        network.zero_grad()
        for group in groups:
            network.packed(torch.cat(group), runs_of([len(ids) for ids in group])).square().sum().backward()
        return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]

    together, apart = gradients([documents]), gradients([[ids] for ids in documents])

    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
