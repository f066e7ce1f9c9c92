"""Fused layers: the function stays, adapters and int8 weights are left as they are, and company changes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import fused
from engine.embedder_folder import open_embedder
from engine.fused import FusedLinear, FusedOutput, quick
from engine.int8 import Int8Linear, serve_int8
from engine.predict import load_classifier

TEXTS = ["my card is lost", "the", "where is the rate please", "我 的 卡", "loan " * 12, "my card is lost"]

pytestmark = pytest.mark.skipif(not fused.is_right(), reason="this build of torch has no fused products")


def test_fused_vectors_and_labels_are_those_of_plain_layers(
    tiny_embedder: Callable[..., Path], tiny_classifier: Callable[..., Path]
) -> None:
    folder, labels = tiny_embedder(), tiny_classifier()
    found, made = quick(open_embedder(folder)), quick(load_classifier(labels))

    assert isinstance(found.model.encoder.encoder.layer[0].output, FusedOutput)
    assert np.allclose(found.embed(TEXTS), open_embedder(folder).embed(TEXTS), atol=1e-6)
    assert np.allclose(
        made.predict(TEXTS).probabilities, load_classifier(labels).predict(TEXTS).probabilities, atol=1e-6
    )


def test_a_vector_does_not_depend_on_its_company(tiny_embedder: Callable[..., Path]) -> None:
    found = quick(open_embedder(tiny_embedder()))

    together = found.embed(TEXTS)

    for at, text in enumerate(TEXTS):
        assert np.allclose(found.embed([text])[0], together[at], atol=1e-6)


@pytest.mark.parametrize("method", ["bottleneck", "prefix_tuning"])
def test_adapters_that_are_not_merged_still_count(tiny_embedder: Callable[..., Path], method: str) -> None:
    folder = tiny_embedder(method=method)

    found = quick(open_embedder(folder)).embed(TEXTS)

    assert np.allclose(found, open_embedder(folder).embed(TEXTS), atol=1e-6)
    assert not np.allclose(found, open_embedder(tiny_embedder()).embed(TEXTS), atol=1e-3)


def test_int8_weights_stay_int8(tiny_classifier: Callable[..., Path]) -> None:
    served = load_classifier(tiny_classifier())
    serve_int8(served.model)
    kinds = [type(part) for part in served.model.modules()]

    quick(served)

    assert [type(part) for part in served.model.modules()] == kinds
    assert Int8Linear in kinds or FusedLinear not in kinds


def test_without_the_operators_plain_layers_stay(
    tiny_embedder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_args: Any) -> Any:
        raise NotImplementedError

    fused.is_right.cache_clear()
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", missing)
    try:
        found = quick(open_embedder(tiny_embedder()))
        assert not any(isinstance(part, FusedLinear) for part in found.model.modules())
    finally:
        fused.is_right.cache_clear()
