"""What a trace shows is what the model does."""

import math

import pytest
import torch

from engine.gpt import Gpt, GptConfig
from engine.gpt.config import gpt2_shape
from engine.gpt.trace import trace

CONFIGS = [
    GptConfig(60, 48, 2, 4, 32, kv_heads=2, query_key_norm=True),
    gpt2_shape(vocabulary_size=60, context_tokens=48, layers=2, heads=4, width=32),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_trace_ends_at_the_models_logits_and_adds_up(config: GptConfig) -> None:
    torch.manual_seed(1)
    model, ids = Gpt(config).eval(), torch.randint(0, 60, (11,))

    found = trace(model, ids)

    with torch.no_grad():
        torch.testing.assert_close(found.logits, model(ids[None])[0], atol=1e-5, rtol=1e-5)
    begin = found.token_vectors if found.place_vectors is None else found.token_vectors + found.place_vectors
    for layer in found.layers:
        begin = begin + layer.attention_added + layer.feed_forward_added
        torch.testing.assert_close(layer.stream, begin, atol=1e-5, rtol=1e-5)
        assert layer.weights.shape == (4, 11, 11)
        torch.testing.assert_close(layer.weights.sum(-1), torch.ones(4, 11))
        allowed = layer.scores.masked_fill(torch.ones(11, 11).triu(1).bool(), -math.inf)
        torch.testing.assert_close(torch.softmax(allowed, -1), layer.weights, atol=1e-5, rtol=1e-5)
    assert (found.angles is None) == (config.positions != "rotary")
    wanted = torch.nn.functional.cross_entropy(found.logits[:-1], ids[1:])
    assert found.loss == pytest.approx(float(wanted), abs=1e-5)


def test_a_single_token_has_no_loss() -> None:
    assert math.isnan(trace(Gpt(CONFIGS[0]).eval(), torch.tensor([3])).loss)


def test_a_model_in_training_is_not_traced() -> None:
    with pytest.raises(ValueError, match="eval mode"):
        trace(Gpt(CONFIGS[0]).train(), torch.tensor([3]))
