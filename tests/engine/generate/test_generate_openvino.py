"""Answers read by OpenVINO: the same tokens as torch, and what is converted and kept."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from engine.failures import RunFailed
from engine.generate.cache import TensorStore
from engine.generate.grammar import Grammars
from engine.generate.loop import TorchLoop
from engine.generate.memory import Memory
from engine.generate.network import Network
from engine.generate.opening import open_writer
from engine.generate.openvino_agreement import agreement, own_texts
from engine.generate.openvino_convert import converted, is_available, read_manifest, why_not
from engine.generate.openvino_network import OpenVinoNetwork, PageStore
from engine.generate.request import Finish, Request
from engine.generate.scheduler import Limits, Scheduler
from engine.gpt import Gpt, GptConfig
from engine.gpt.config import RopeScaling, gpt2_shape
from engine.gpt.hugging_face import load_gpt, save_gpt
from engine.specs.sampling import Grammar, Sampling
from tests.engine.generate.asking import answers, prompt, tokens_of

needs_openvino = pytest.mark.skipif(not is_available(), reason="OpenVINO is not installed")

END = 0
CONTEXT = 290  # no multiple of a page
SIZES = {"vocabulary_size": 400, "context_tokens": CONTEXT, "layers": 2}
SHAPES = {
    "llama, grouped queries": GptConfig(
        **SIZES, heads=4, kv_heads=2, width=64, tied=False, rope_scaling=RopeScaling("linear", 2.0)
    ),
    "qwen 2": GptConfig(**SIZES, heads=4, kv_heads=2, width=32, qkv_bias=True),
    "qwen 3": GptConfig(**SIZES, heads=2, kv_heads=1, width=32, head_width=24, query_key_norm=True),
    "gpt-2": gpt2_shape(**SIZES, heads=2, width=32),
}


def written(folder: Path, config: GptConfig, seed: int = 5) -> Path:
    torch.manual_seed(seed)
    made = Gpt(config)
    for parameter in made.parameters():  # sharper than at the start of a training, so that answers differ
        parameter.data *= 4
    save_gpt(made, folder)
    return folder


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module", params=SHAPES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("model"), SHAPES[request.param])


@pytest.fixture(scope="module")
def one_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("model"), SHAPES["llama, grouped queries"])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def network_of(folder: Path) -> Gpt:
    return load_gpt(folder)


def loop(folder: Path, graphs: Path | None, tokenizer: Tokenizer, *, contexts: int = 16, **limits: int) -> TorchLoop:
    """On OpenVINO, or on torch without a place for graphs."""
    store: Any
    network: Any
    if graphs is None:
        store = TensorStore(network_of(folder).config)
        network = Network(network_of(folder), store)
    else:
        place = converted(folder, graphs)
        store = PageStore(read_manifest(place)["shape"], capacity_tokens=contexts * CONTEXT, context_tokens=CONTEXT)
        network = OpenVinoNetwork(place, store, threads=1)
    memory = Memory(store, capacity_tokens=contexts * CONTEXT, context_tokens=CONTEXT)
    grammars = Grammars(tokenizer.to_str(), vocabulary_size=400, ends=[END])
    scheduler = Scheduler(memory, Limits(context_tokens=CONTEXT, **limits))
    return TorchLoop(network, scheduler, decode=tokenizer.decode, ends=[END], grammars=grammars)


@torch.no_grad()
def plain(folder: Path, ids: Sequence[int], new: int) -> list[int]:
    """Greedy tokens by torch, one after the other; ends never come."""
    network, found = network_of(folder), list(ids)
    kept, given = network.empty_cache(), torch.tensor([found])
    for _ in range(new):
        logits = network(given, kept)[0, -1]
        logits[END] = -torch.inf
        found.append(int(logits.argmax()))
        given = torch.tensor([found[-1:]])
    return found[len(ids) :]


def greedy(key: str, ids: Sequence[int], new: int = 20, **more: Any) -> Request:
    return Request(key, ids, Sampling(max_tokens=new, temperature=0, ignore_end=True), **more)


@needs_openvino
def test_many_at_once_write_what_torch_writes_for_each(folder: Path, graphs: Path, tokenizer: Tokenizer) -> None:
    prompts = {str(length): prompt(length, length) for length in (1, 3, 31, 32, 33, 100, 150, 255, 280)}
    one = loop(folder, graphs, tokenizer, step_tokens=128)

    found = answers(one, [greedy(key, ids, 10) for key, ids in prompts.items()])

    for key, ids in prompts.items():
        assert tokens_of(found[key]) == plain(folder, ids, 10), key
        assert found[key][-1].finish == Finish.LENGTH


@needs_openvino
def test_every_option_gives_what_it_gives_on_torch(one_folder: Path, graphs: Path, tokenizer: Tokenizer) -> None:
    options: dict[str, dict[str, Any]] = {
        "seed": {"temperature": 1.2, "seed": 11, "top_p": 0.9, "top_k": 50, "min_p": 0.01},
        "penalties": {"presence_penalty": 1.5, "frequency_penalty": 0.7, "repetition_penalty": 1.3},
        "bias": {"logit_bias": {7: 100.0}, "logprobs": 3, "max_tokens": 3},
        "form": {"grammar": Grammar("regex", "[0-9]{3} card"), "temperature": 1.0, "seed": 4},
        "prompt": {"prompt_logprobs": 2, "min_tokens": 5},
    }

    def requests() -> list[Request]:
        return [
            Request(name, prompt(at, 70), Sampling(**{"max_tokens": 16, "temperature": 0, **more}))
            for at, (name, more) in enumerate(options.items())
        ]

    ours, theirs = (answers(loop(one_folder, place, tokenizer), requests()) for place in (graphs, None))

    for name in options:
        assert tokens_of(ours[name]) == tokens_of(theirs[name]), name
        assert "".join(delta.text for delta in ours[name]) == "".join(delta.text for delta in theirs[name])
        assert ours[name][-1].finish == theirs[name][-1].finish
        for own, other in zip(ours[name], theirs[name], strict=True):
            for one, two in zip((*own.tokens, *own.prompt), (*other.tokens, *other.prompt), strict=True):
                assert one.logprob == pytest.approx(two.logprob, abs=1e-3)
                assert [token for token, _ in one.top] == [token for token, _ in two.top]


@needs_openvino
def test_a_small_cache_makes_answers_wait_not_fail(one_folder: Path, graphs: Path, tokenizer: Tokenizer) -> None:
    one = loop(one_folder, graphs, tokenizer, contexts=2)
    prompts = {str(at): prompt(at, 230 + at) for at in range(5)}

    found = answers(one, [greedy(key, ids, 40) for key, ids in prompts.items()])

    assert one.load().preemptions > 0
    for key, ids in prompts.items():
        assert tokens_of(found[key]) == plain(one_folder, ids, 40)


@needs_openvino
def test_a_cancelled_answer_ends_with_the_next_step_and_the_others_go_on(
    one_folder: Path, graphs: Path, tokenizer: Tokenizer
) -> None:
    one = loop(one_folder, graphs, tokenizer)
    for key, length in (("gone", 40), ("stays", 50)):
        one.add(greedy(key, prompt(length, length), 30))
    before = [delta for _ in range(3) for delta in one.step()]

    one.cancel("gone")
    told = one.step()

    assert [delta.finish for delta in told if delta.key == "gone"] == [Finish.CANCELLED]
    rest = [*before, *told]
    while one.load().running:
        rest += one.step()
    assert tokens_of([delta for delta in rest if delta.key == "stays"]) == plain(one_folder, prompt(50, 50), 30)


@needs_openvino
def test_a_known_prefix_is_not_read_again_and_changes_nothing(
    one_folder: Path, graphs: Path, tokenizer: Tokenizer
) -> None:
    one = loop(one_folder, graphs, tokenizer)
    system = prompt(1, 192)
    prompts = {str(at): [*system, *prompt(10 + at, 20 + at)] for at in range(4)}

    found = answers(one, [greedy(key, ids, 30) for key, ids in prompts.items()])

    assert one.load().cached_tokens == 3 * 192
    for key, ids in prompts.items():
        assert tokens_of(found[key]) == plain(one_folder, ids, 30)


@needs_openvino
def test_the_same_prompt_under_base_and_adapter_gets_the_answer_of_each(
    one_folder: Path, graphs: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    tuned = load_gpt(one_folder)
    torch.manual_seed(1)
    for block in tuned.blocks:  # a LoRA of rank 2, merged
        weight = block.attention.query.weight.data
        weight += torch.randn(len(weight), 2) @ torch.randn(2, weight.shape[1]) * 0.3
    save_gpt(tuned, tmp_path / "tuned")
    folders = {"base": one_folder, "lora": tmp_path / "tuned"}
    ids = prompt(7, 100)
    wanted = {name: plain(place, ids, 12) for name, place in folders.items()}
    assert wanted["base"] != wanted["lora"]
    loops = {name: loop(place, graphs, tokenizer) for name, place in folders.items()}

    for turn, name in enumerate(("base", "lora", "base", "lora", "lora", "base")):
        (found,) = answers(loops[name], [greedy(str(turn), ids, 12, root=name)]).values()
        assert tokens_of(found) == wanted[name], turn

    assert [one.load().cached_tokens for one in loops.values()] == [2 * 96, 2 * 96]


@needs_openvino
def test_pages_take_the_bytes_that_were_given_and_all_come_back(
    one_folder: Path, graphs: Path, tokenizer: Tokenizer
) -> None:
    one = loop(one_folder, graphs, tokenizer, contexts=3)
    store = one.scheduler.memory.store
    assert isinstance(store, PageStore)
    free = len(store._free)
    assert 3 * CONTEXT <= free * 32 <= 3 * (CONTEXT + 32) + 2 * 32
    assert store.bytes == free * 32 * PageStore.token_bytes({"layers": 2, "kv_heads": 2, "head_width": 16})

    answers(one, [greedy(str(at), prompt(at, 60 * at + 5), 30) for at in range(5)])
    one.scheduler.memory.forget()
    for room in one.scheduler.memory.rooms:
        store.resize(room, 0)

    assert sorted(store._free) == list(range(free))


@needs_openvino
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_chat_folder_answers_alike_by_both(tiny_chat: Callable[..., Path], graphs: Path, kind: str) -> None:
    writers = [open_writer(tiny_chat(kind), cache_bytes=10_000_000, graphs=place) for place in (graphs, None)]
    told = []
    for writer in writers:
        ids = writer.chat_tokens([{"role": "user", "content": "where is my card?"}])
        sampling = Sampling(max_tokens=12, temperature=1.0, seed=3)
        writer.backend.add(writer.request("a", ids, sampling, tenant="t"))
        told.append("")
        while writer.is_busy:
            told[-1] += "".join(delta.text for delta in writer.backend.step())

    assert told[0] == told[1] != ""
    assert [type(writer.backend.scheduler.memory.store) for writer in writers] == [PageStore, TensorStore]
    assert all(writer.memory_bytes > 9_000_000 for writer in writers)


@needs_openvino
def test_a_graph_is_made_once_and_again_when_it_is_damaged(one_folder: Path, tmp_path: Path) -> None:
    place = converted(one_folder, tmp_path)
    weights = place / "model.bin"
    first = weights.stat().st_mtime_ns
    assert converted(one_folder, tmp_path) == place
    assert weights.stat().st_mtime_ns == first

    weights.write_bytes(b"cut")

    assert converted(one_folder, tmp_path) == place
    assert weights.stat().st_size > 3
    (place / "lingxi.json").write_text("[]")
    assert converted(one_folder, tmp_path) == place
    assert converted(one_folder, tmp_path, precision="int8") != place
    assert converted(one_folder, tmp_path, content_hash="another version") != place


@needs_openvino
def test_agreement_with_torch_is_measured(folder: Path, graphs: Path, tmp_path: Path) -> None:
    prompts = [prompt(seed, 10 + seed) for seed in range(4)]

    exact = agreement(folder, converted(folder, graphs), prompts, new_tokens=12)
    rounded = agreement(folder, converted(folder, graphs, precision="int8"), prompts, new_tokens=12)

    assert (exact.prompts, exact.equal_share, exact.first_difference) == (4, 1.0, None)
    assert exact.logit_difference < 1e-3 < rounded.logit_difference, asdict(rounded)
    other = written(tmp_path / "other", SHAPES["llama, grouped queries"], seed=6)
    foreign = agreement(other, converted(folder, graphs), prompts, new_tokens=12)
    assert foreign.equal_share < 1 and foreign.first_difference == 0


@needs_openvino
def test_what_int8_changes_is_measured_once_before_it_answers(
    tiny_chat: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_chat("llama")
    first = open_writer(folder, cache_bytes=2_000_000, graphs=tmp_path, precision="int8")
    assert first.equal_share is not None and 0 <= first.equal_share <= 1
    kept = [json.loads(path.read_text())["agreement"] for path in tmp_path.glob("*/lingxi.json")]
    assert [(each["prompts"], each["equal_share"]) for each in kept] == [(16, first.equal_share)]

    monkeypatch.setattr("engine.generate.openvino_agreement.agreement", None)  # it would be an error to call it
    again = open_writer(folder, cache_bytes=2_000_000, graphs=tmp_path, precision="int8")
    exact = open_writer(folder, cache_bytes=2_000_000, graphs=tmp_path)

    assert (again.way, again.equal_share) == ("openvino int8", first.equal_share)
    assert (exact.way, exact.equal_share) == ("openvino fp32", None)
    texts = own_texts(load_gpt(folder), tokens=8)
    assert len(texts) == 16 and {len(text) for text in texts} == {8} and texts == own_texts(load_gpt(folder), tokens=8)


@needs_openvino
@pytest.mark.parametrize("method", ["prefix", "bottleneck"])
def test_what_is_not_in_the_weights_stays_with_torch(one_folder: Path, tmp_path: Path, method: str) -> None:
    folder = tmp_path / "model"
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "options.json").write_text(json.dumps({"method": method}))
    (folder / "config.json").write_text((one_folder / "config.json").read_text())

    assert method in why_not(folder)
    with pytest.raises(RunFailed, match=method):
        converted(folder, tmp_path / "graphs")
    (folder / "adapter" / "options.json").write_text(json.dumps({"method": "lora"}))
    assert why_not(folder) == ""


@needs_openvino
def test_a_foreign_architecture_stays_with_torch(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))

    assert "mamba" in why_not(tmp_path)


def test_a_machine_without_openvino_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.generate.openvino_convert.importlib.util.find_spec", lambda _: None)

    assert "openvino" in why_not(tmp_path)
