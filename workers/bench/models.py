"""The version that benches of serving ask: the GPT of the engine's own bench."""

from pathlib import Path

from apps.registry.models import ModelVersion
from apps.registry.services import register_version
from core.access import Actor
from engine.bench.generation import VOCABULARY, make_model


def bench_version(actor: Actor, place: Path) -> ModelVersion:
    """The GPT of the engine's bench with a word for each of its tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = make_model(place / "model")
    words = Tokenizer(models.WordLevel({f"w{at}": at for at in range(VOCABULARY)}, unk_token="w0"))  # noqa: S106
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0", eos_token="w1").save_pretrained(folder)  # noqa: S106
    return register_version(
        workspace=actor.workspace, folder=folder, name="bench", recipe="pretrain", task="generation", by=actor.user
    )
