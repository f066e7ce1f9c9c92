"""Answers by OpenVINO: what is converted and kept, the same tokens as torch, and nothing that belongs to somebody else."""

import json
import random
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from engine.failures import RunFailed
from engine.generate.loop import Delta
from engine.generate.openvino_agreement import agreement
from engine.generate.openvino_convert import converted, is_available, why_not
from engine.generate.openvino_loop import CAPABILITIES, PAGE_TOKENS, OpenVinoLoop, lacking, page_bytes
from engine.generate.request import Finish, Request
from engine.generate.scheduler import Limits
from engine.gpt import Gpt, GptConfig
from engine.gpt.config import RopeScaling, gpt2_shape
from engine.gpt.hugging_face import load_gpt, save_gpt
from engine.specs.sampling import Grammar, Sampling

needs_openvino = pytest.mark.skipif(not is_available(), reason="OpenVINO GenAI is not installed")

END = 0
SIZES = {"vocabulary_size": 400, "context_tokens": 256, "layers": 2}
SHAPES = {
    "llama, grouped queries": GptConfig(
        **SIZES, heads=4, kv_heads=2, width=64, tied=False, rope_scaling=RopeScaling("linear", 2.0)
    ),
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


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator(["the river bank sends a card, 银行寄来一张卡 and the balance 1234567890"] * 5, trainer)
    return made


@pytest.fixture
def one(one_folder: Path, graphs: Path, tokenizer: Tokenizer) -> OpenVinoLoop:
    return loop(one_folder, graphs, tokenizer)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def loop(
    folder: Path,
    graphs: Path,
    tokenizer: Tokenizer,
    *,
    pages: int = 64,
    running: int = 8,
    adapter: str = "",
    ends: Sequence[int] = (END,),
) -> OpenVinoLoop:
    place = converted(folder, graphs)
    shape = json.loads((place / "lingxi.json").read_text())["shape"]
    return OpenVinoLoop(
        place,
        decode=tokenizer.decode,
        ends=ends,
        cache_bytes=pages * page_bytes(shape),
        limits=Limits(step_tokens=128, running=running, context_tokens=256),
        adapter=adapter,
    )


def answers(one: OpenVinoLoop, requests: Sequence[Request]) -> dict[str, list[Delta]]:
    for request in requests:
        one.add(request)
    found: dict[str, list[Delta]] = {request.key: [] for request in requests}
    while one.load().running or one.load().waiting:
        for delta in one.step():
            found[delta.key].append(delta)
    return found


def tokens_of(deltas: Sequence[Delta]) -> list[int]:
    return [drawn.token for delta in deltas for drawn in delta.tokens]


def text_of(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def prompt(seed: int, length: int) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(1, 400) for _ in range(length)]


@cache
def network_of(folder: Path) -> Gpt:
    return load_gpt(folder)


@torch.no_grad()
def plain(folder: Path, ids: Sequence[int], new: int, *, without_end: bool = False, penalty: float = 1.0) -> list[int]:
    """Greedy tokens, one after the other, the end among them."""
    network, found = network_of(folder), list(ids)
    kept, given = network.empty_cache(), torch.tensor([found])
    for _ in range(new):
        logits = network(given, kept)[0, -1]
        if without_end:
            logits[END] = -torch.inf
        seen = torch.tensor(sorted(set(found)))
        logits[seen] = torch.where(logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty)
        found.append(int(logits.argmax()))
        given = torch.tensor([found[-1:]])
        if found[-1] == END:
            break
    return found[len(ids) :]


def greedy(key: str, ids: Sequence[int], new: int = 20, **more: object) -> Request:
    return Request(key, ids, Sampling(max_tokens=new, temperature=0, **more))


@needs_openvino
def test_many_at_once_write_what_torch_writes_for_each(folder: Path, graphs: Path, tokenizer: Tokenizer) -> None:
    prompts = {str(length): prompt(length, length) for length in (1, 3, 31, 32, 33, 100, 150, 200, 235)}

    found = answers(
        loop(folder, graphs, tokenizer), [greedy(key, ids, ignore_end=True) for key, ids in prompts.items()]
    )

    for key, ids in prompts.items():
        assert tokens_of(found[key]) == plain(folder, ids, 20, without_end=True), key
        assert found[key][-1].finish == Finish.LENGTH
        assert text_of(found[key]) == tokenizer.decode(tokens_of(found[key]))


@needs_openvino
def test_an_answer_ends_where_torch_writes_the_end_and_at_the_context(
    one_folder: Path, graphs: Path, tokenizer: Tokenizer
) -> None:
    ids = prompt(2, 9)
    tokens = plain(one_folder, ids, 20, without_end=True)
    one = loop(one_folder, graphs, tokenizer, ends=[tokens[6], 399])

    found = answers(one, [greedy("ends", ids), greedy("full", prompt(1, 250), 50, ignore_end=True)])

    assert tokens_of(found["ends"]) == tokens[: tokens.index(tokens[6]) + 1]
    assert text_of(found["ends"]) == tokenizer.decode(tokens[: tokens.index(tokens[6])])
    assert found["ends"][-1].finish == Finish.STOP and found["ends"][-1].stopped_by is None
    assert len(tokens_of(found["full"])) == 6 and found["full"][-1].finish == Finish.LENGTH


@needs_openvino
def test_stop_texts_and_stop_tokens_end_an_answer_and_are_not_shown(
    one: OpenVinoLoop, one_folder: Path, tokenizer: Tokenizer
) -> None:
    ids = prompt(3, 20)
    tokens = plain(one_folder, ids, 20, without_end=True)
    text, stop = tokenizer.decode(tokens), tokenizer.decode(tokens[5:8])

    found = answers(
        one,
        [
            greedy("text", ids, stop=(stop, "never written")),
            greedy("token", ids, stop_token_ids=(tokens[6],)),
            greedy("late", ids, ignore_end=True),
        ],
    )

    assert text_of(found["text"]) == text[: text.index(stop)]
    assert found["text"][-1].finish == Finish.STOP and found["text"][-1].stopped_by == stop
    assert tokens_of(found["token"]) == tokens[: tokens.index(tokens[6]) + 1]
    assert text_of(found["token"]) == tokenizer.decode(tokens[: tokens.index(tokens[6])])
    assert found["token"][-1].stopped_by == tokens[6]
    assert tokens_of(found["late"]) == tokens


@needs_openvino
def test_a_cancelled_answer_ends_with_the_next_step_and_the_others_go_on(one: OpenVinoLoop, one_folder: Path) -> None:
    for key, length in (("gone", 40), ("stays", 50)):
        one.add(greedy(key, prompt(length, length), 30, ignore_end=True))
    before = [delta for _ in range(3) for delta in one.step()]
    share = one.load().cache_share

    one.cancel("gone")
    one.cancel("nobody")
    told = one.step()

    assert [delta.finish for delta in told if delta.key == "gone"] == [Finish.CANCELLED]
    rest = [*before, *told, *one.step()]
    assert 0 < one.load().cache_share < share
    while one.load().running:
        rest += one.step()
    assert sum(len(delta.tokens) for delta in rest if delta.key == "gone") == 3
    assert tokens_of([delta for delta in rest if delta.key == "stays"]) == plain(
        one_folder, prompt(50, 50), 30, without_end=True
    )
    assert one.load().cache_share == 0


@needs_openvino
def test_a_request_that_waits_can_be_cancelled(one_folder: Path, graphs: Path, tokenizer: Tokenizer) -> None:
    one = loop(one_folder, graphs, tokenizer, running=1)
    for key in ("first", "second"):
        one.add(greedy(key, prompt(4, 20)))
    one.step()
    assert (one.load().running, one.load().waiting) == (1, 1)

    one.cancel("second")

    assert [delta.finish for delta in one.step() if delta.key == "second"] == [Finish.CANCELLED]
    assert one.load().waiting == 0


@needs_openvino
def test_a_small_cache_makes_answers_wait_not_fail(one_folder: Path, graphs: Path, tokenizer: Tokenizer) -> None:
    one = loop(one_folder, graphs, tokenizer, pages=256 // PAGE_TOKENS)
    prompts = {str(at): prompt(at, 40 + at) for at in range(6)}

    found = answers(one, [greedy(key, ids, 100, ignore_end=True) for key, ids in prompts.items()])

    for key, ids in prompts.items():
        assert tokens_of(found[key]) == plain(one_folder, ids, 100, without_end=True)


@needs_openvino
def test_seats_are_shared_between_workspaces_and_urgent_work_goes_first(
    one_folder: Path, graphs: Path, tokenizer: Tokenizer
) -> None:
    one = loop(one_folder, graphs, tokenizer, running=2)
    for at in range(4):
        one.add(Request(f"many {at}", prompt(at, 10), Sampling(max_tokens=5, temperature=0), tenant="many", priority=1))
    one.add(Request("few", prompt(8, 10), Sampling(max_tokens=5, temperature=0), tenant="few", priority=1))
    one.add(Request("urgent", prompt(9, 10), Sampling(max_tokens=5, temperature=0), tenant="many"))

    assert {delta.key for delta in one.step()} == {"urgent", "few"}


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
    ids = prompt(7, 100)
    wanted = {"": plain(one_folder, ids, 12), "lora": plain(tmp_path / "tuned", ids, 12)}
    assert wanted[""] != wanted["lora"]
    loops = {
        "": loop(one_folder, graphs, tokenizer),
        "lora": loop(tmp_path / "tuned", graphs, tokenizer, adapter="lora"),
    }

    for order in (("", "lora", ""), ("lora", "", "lora")):
        for turn, adapter in enumerate(order):
            request = Request(f"{order}{turn}", ids, Sampling(max_tokens=12, temperature=0), adapter=adapter)
            (found,) = answers(loops[adapter], [request]).values()
            assert tokens_of(found) == wanted[adapter]
    with pytest.raises(ValueError, match="lora"):
        loops[""].add(Request("astray", ids, Sampling(temperature=0), adapter="lora"))
    assert loops[""].load().cached_tokens == 0


@needs_openvino
def test_penalty_and_least_length_and_probabilities_are_those_of_torch(one: OpenVinoLoop, one_folder: Path) -> None:
    ids = prompt(11, 30)

    found = answers(
        one,
        [
            greedy("penalty", ids, ignore_end=True, repetition_penalty=1.7),
            greedy("least", ids, min_tokens=20, logprobs=0),
        ],
    )

    assert tokens_of(found["penalty"]) == plain(one_folder, ids, 20, without_end=True, penalty=1.7)
    tokens = tokens_of(found["least"])
    assert tokens == plain(one_folder, ids, 20, without_end=True)
    with torch.no_grad():
        logs = network_of(one_folder)(torch.tensor([ids + tokens]))[0].log_softmax(-1)
    wanted = [float(logs[len(ids) - 1 + at, token]) for at, token in enumerate(tokens)]
    assert [drawn.logprob for delta in found["least"] for drawn in delta.tokens] == pytest.approx(wanted, abs=1e-3)


@needs_openvino
@pytest.mark.parametrize(
    "options",
    [{"top_k": 3}, {"top_p": 0.4}, {"min_p": 0.3}, {"top_k": 6, "top_p": 0.7}, {"top_p": 0.0}],
    ids=str,
)
def test_what_is_drawn_are_the_tokens_torch_would_allow(
    one: OpenVinoLoop, one_folder: Path, options: dict[str, float]
) -> None:
    ids, temperature = prompt(13, 30), 1.5
    sampling = Sampling(max_tokens=1, temperature=temperature, ignore_end=True, **options)
    with torch.no_grad():
        logits = network_of(one_folder)(torch.tensor([ids]))[0, -1]
    logits[END] = -torch.inf
    values, order = (logits.double() / temperature).softmax(-1).sort(descending=True)
    values = values[: sampling.top_k or None] / values[: sampling.top_k or None].sum()
    allowed = (values.cumsum(0) - values < max(sampling.top_p, 1e-9)) & (values >= sampling.min_p * values[0])
    wanted = set(order[: len(values)][allowed].tolist())

    found = answers(one, [Request(str(at), ids, sampling) for at in range(150)])

    drawn = {tokens_of(deltas)[0] for deltas in found.values()}
    assert drawn <= wanted
    assert len(wanted) == 1 or len(drawn) > 1


def test_what_it_cannot_do_is_named() -> None:
    assert lacking(Sampling(max_tokens=5, temperature=0, top_p=0.5, seed=3, stop=("x",), logprobs=0)) == ()
    assert lacking(Sampling(seed=3, logit_bias={1: 2.0}, presence_penalty=0.5)) == (
        "logit_bias",
        "presence_penalty",
        "seed",
    )
    assert lacking(Sampling(logprobs=2, grammar=Grammar("json_object"))) == ("grammar", "top_logprobs")
    assert lacking(Sampling(prompt_logprobs=0, frequency_penalty=1)) == ("frequency_penalty", "prompt_logprobs")
    assert "seed" not in CAPABILITIES


@needs_openvino
def test_a_request_that_cannot_be_answered_is_refused_when_it_comes(one: OpenVinoLoop) -> None:
    with pytest.raises(ValueError, match="grammar"):
        one.add(Request("grammar", [1], Sampling(grammar=Grammar("json_object"))))
    for ids in ([], prompt(1, 256), [400], [-1]):
        with pytest.raises(ValueError):
            one.add(greedy("bad", ids))
    one.add(greedy("twice", [1]))
    with pytest.raises(ValueError, match="twice"):
        one.add(greedy("twice", [1]))


@needs_openvino
def test_a_cache_that_cannot_hold_one_context_is_refused(one_folder: Path, graphs: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="context"):
        loop(one_folder, graphs, tokenizer, pages=7)


@needs_openvino
def test_keys_and_values_take_the_bytes_that_were_given(one_folder: Path, graphs: Path, tokenizer: Tokenizer) -> None:
    one = loop(one_folder, graphs, tokenizer, pages=16)
    answers(one, [greedy("one", [1, 2, 3], 2)])

    assert one._pipeline.get_metrics().kv_cache_size_in_bytes == 16 * page_bytes(one.shape)


@needs_openvino
def test_a_graph_is_made_once_and_again_when_it_is_damaged(one_folder: Path, tmp_path: Path) -> None:
    place = converted(one_folder, tmp_path)
    first = (place / "openvino_model.bin").stat().st_mtime_ns
    assert converted(one_folder, tmp_path) == place
    assert (place / "openvino_model.bin").stat().st_mtime_ns == first

    (place / "openvino_model.bin").write_bytes(b"cut")

    assert converted(one_folder, tmp_path) == place
    assert (place / "openvino_model.bin").stat().st_size > 3
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
    assert exact.logit_difference < 1e-3 < rounded.logit_difference
    other = written(tmp_path / "other", SHAPES["llama, grouped queries"], seed=6)
    foreign = agreement(other, converted(folder, graphs), prompts, new_tokens=12)
    assert foreign.equal_share < 1 and foreign.first_difference == 0


@needs_openvino
@pytest.mark.parametrize("method", ["prefix", "bottleneck"])
def test_what_is_not_in_the_weights_stays_with_torch(one_folder: Path, tmp_path: Path, method: str) -> None:
    folder = tmp_path / "model"
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "options.json").write_text(json.dumps({"method": method}))
    (folder / "config.json").write_text((one_folder / "config.json").read_text())

    assert method in why_not(folder)
    with pytest.raises(RunFailed, match=method):
        converted(folder, tmp_path / "cache")
    (folder / "adapter" / "options.json").write_text(json.dumps({"method": "lora"}))
    assert why_not(folder) == ""


@needs_openvino
def test_a_foreign_architecture_stays_with_torch(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))

    assert "mamba" in why_not(tmp_path)


def test_a_machine_without_openvino_says_so(one_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.generate.openvino_convert.importlib.util.find_spec", lambda _: None)

    assert "openvino-genai" in why_not(one_folder)
