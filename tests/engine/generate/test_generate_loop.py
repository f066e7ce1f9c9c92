"""The loop on torch: equal to reading everything at once, and alike in any company."""

import json
import re
from collections.abc import Iterator

import pytest
import torch
from tokenizers import Tokenizer

from engine.generate.cache import TensorStore
from engine.generate.grammar import BUILT, BadGrammar, Grammars
from engine.generate.loop import TorchLoop
from engine.generate.memory import Memory
from engine.generate.network import Network
from engine.generate.packed import can_pack, pack
from engine.generate.request import Finish, Request
from engine.generate.scheduler import Limits, Scheduler
from engine.gpt import Gpt, GptConfig
from engine.gpt.config import gpt2_shape
from engine.specs.sampling import Grammar, Sampling
from tests.engine.generate.asking import answers, prompt, tokens_of

END = 0
SHAPES = {
    "llama, grouped queries": GptConfig(
        vocabulary_size=400, context_tokens=384, layers=2, heads=4, kv_heads=2, width=32, query_key_norm=True
    ),
    "gpt-2": gpt2_shape(vocabulary_size=400, context_tokens=384, layers=2, heads=2, width=24),
}


@pytest.fixture(scope="module", params=SHAPES)
def network(request: pytest.FixtureRequest) -> Gpt:
    torch.manual_seed(5)
    made = Gpt(SHAPES[request.param])
    for parameter in made.parameters():  # sharper than at the start of a training, so that answers differ
        parameter.data *= 3
    return made.eval()


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def loop(
    network: Gpt, tokenizer: Tokenizer, *, capacity: int = 16 * 384, packed: bool = False, **limits: int
) -> TorchLoop:
    if packed:
        state = network.state_dict()
        network = Gpt(network.config)
        network.load_state_dict(state)
        pack(network)
    store = TensorStore(network.config)
    context = network.config.context_tokens
    scheduler = Scheduler(
        Memory(store, capacity_tokens=capacity, context_tokens=context), Limits(context_tokens=context, **limits)
    )
    grammars = Grammars(tokenizer.to_str(), vocabulary_size=network.config.vocabulary_size, ends=[END])
    return TorchLoop(Network(network, store), scheduler, decode=tokenizer.decode, ends=[END], grammars=grammars)


def plain(network: Gpt, ids: list[int], new: int) -> list[int]:
    """Greedy tokens by reading everything again for each of them."""
    ids = list(ids)
    for _ in range(new):
        with torch.no_grad():
            ids.append(int(network(torch.tensor([ids]))[0, -1].argmax()))
        if ids[-1] == END:
            break
    return ids


def test_many_at_once_write_what_each_writes_alone(network: Gpt, tokenizer: Tokenizer) -> None:
    lengths = [3, 31, 32, 33, 100, 257, 300]
    requests = [
        Request(str(at), prompt(at, length), Sampling(max_tokens=12, temperature=0))
        for at, length in enumerate(lengths)
    ]
    found = answers(loop(network, tokenizer, step_tokens=64), requests)
    for request in requests:
        expected = plain(network, list(request.prompt), 12)[len(request.prompt) :]
        assert tokens_of(found[request.key]) == expected


@pytest.mark.skipif(not can_pack(), reason="no packed product here that keeps rows equal")
def test_seeded_answers_and_their_probabilities_are_equal_bit_by_bit_in_any_company(
    network: Gpt, tokenizer: Tokenizer, threads: None
) -> None:
    """Alone, among 11 others, in small steps, with scarce memory (read again after preemption), behind a known prefix."""

    def asked(at: int) -> Request:
        sampling = Sampling(max_tokens=30, temperature=0.9, top_p=0.95, seed=at, logprobs=3, ignore_end=True)
        return Request(str(at), prompt(at % 4, 100) + prompt(at, 13 * at + 5), sampling)

    whole = {}
    for at in range(12):
        whole.update(answers(loop(network, tokenizer, packed=True), [asked(at)]))
    crowds = {
        "together": loop(network, tokenizer, packed=True),
        "small steps": loop(network, tokenizer, packed=True, step_tokens=32, running=3),
        "scarce memory": loop(network, tokenizer, packed=True, capacity=2 * 384, step_tokens=96),
    }
    for name, one in crowds.items():
        found = answers(one, [asked(at) for at in range(12)])
        for key, deltas in found.items():
            alone = [drawn for delta in whole[key] for drawn in delta.tokens]
            assert [drawn for delta in deltas for drawn in delta.tokens] == alone, f"{name}, request {key}"
            assert "".join(delta.text for delta in deltas) == "".join(delta.text for delta in whole[key])
    assert crowds["scarce memory"].load().preemptions > 0
    assert crowds["together"].load().cached_tokens > 0


def test_another_seed_gives_another_text(network: Gpt, tokenizer: Tokenizer) -> None:
    requests = [Request(str(seed), prompt(1, 20), Sampling(max_tokens=20, seed=seed)) for seed in range(4)]
    texts = {"".join(delta.text for delta in deltas) for deltas in answers(loop(network, tokenizer), requests).values()}
    assert len(texts) == 4


def test_logprobs_are_those_of_the_network(network: Gpt, tokenizer: Tokenizer) -> None:
    ids = prompt(3, 40)
    sampling = Sampling(max_tokens=5, temperature=0, logprobs=4, prompt_logprobs=2, ignore_end=True)
    deltas = answers(loop(network, tokenizer, step_tokens=32), [Request("a", ids, sampling)])["a"]
    written = [drawn for delta in deltas for drawn in delta.tokens]
    whole = ids + [drawn.token for drawn in written]
    with torch.no_grad():
        logs = network(torch.tensor([whole]))[0].log_softmax(-1)
    told = [drawn for delta in deltas for drawn in delta.prompt]
    assert [drawn.token for drawn in told] == ids[1:]
    for at, drawn in enumerate([*told, *written]):
        assert drawn.logprob == pytest.approx(float(logs[at, whole[at + 1]]), abs=1e-4)
        assert drawn.top[0][1] == pytest.approx(float(logs[at].max()), abs=1e-4)
    assert {len(drawn.top) for drawn in told} == {2} and {len(drawn.top) for drawn in written} == {4}


def test_answers_keep_to_their_grammar(network: Gpt, tokenizer: Tokenizer) -> None:
    schema = {
        "type": "object",
        "properties": {"label": {"enum": ["good", "bad", "中性"]}, "sure": {"type": "boolean"}},
        "required": ["label", "sure"],
        "additionalProperties": False,
    }
    grammars = [Grammar("json_schema", schema), Grammar("regex", "[0-9]{4}-[a-c]+!"), Grammar("choice", ["yes", "不"])]
    requests = [
        Request(f"{kind}{seed}", prompt(seed, 10), Sampling(max_tokens=60, seed=seed, grammar=grammar))
        for kind, grammar in enumerate(grammars)
        for seed in range(4)
    ]
    found = answers(loop(network, tokenizer), requests)
    for key, deltas in found.items():
        text = "".join(delta.text for delta in deltas)
        if key[0] == "0":
            assert set(json.loads(text)) == {"label", "sure"}
        elif key[0] == "1":
            assert re.fullmatch("[0-9]{4}-[a-c]+!?", text)
        else:
            assert text in {"yes", "不"}
        assert deltas[-1].finish in {Finish.STOP, Finish.LENGTH}


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        (Grammar("regex", "["), "regex"),
        (Grammar("json_schema", {"type": "nonsense"}), "nonsense"),
        (Grammar("json_schema", ["no"]), "JSON object"),
        (Grammar("json_schema", {"$ref": "http://127.0.0.1/else"}), "retriev"),
        (Grammar("json_schema", {"type": "integer", "multipleOf": 999_983}), "multiples"),
        (Grammar("json_schema", {"allOf": [{"type": "integer", "multipleOf": 997}, {"multipleOf": 101}]}), "multiples"),
        (Grammar("json_schema", {"anyOf": [{"type": "number", "multipleOf": 1e-9}]}), "multiples"),
        (Grammar("regex", "(" * 20_000 + "a" + ")" * 20_000), "regex"),
    ],
)
def test_a_grammar_that_cannot_be_read_is_refused(
    network: Gpt, tokenizer: Tokenizer, grammar: Grammar, reason: str
) -> None:
    one = loop(network, tokenizer)
    with pytest.raises(BadGrammar, match=reason):
        one.add(Request("a", [1], Sampling(grammar=grammar)))
    assert not one.load().waiting


@pytest.mark.parametrize(
    ("grammar", "is_answered"),
    [
        (Grammar("regex", "(a+)+b"), True),
        (Grammar("regex", "(a|a)*b"), True),
        (Grammar("regex", "(.*a){25}(.*b){25}"), True),
        (Grammar("regex", "(a|b)*a(a|b){30}"), True),
        (Grammar("regex", "((a{0,1000}){0,1000}){0,1000}b"), False),
        (Grammar("json_schema", {"$ref": "#"}), False),
    ],
)
def test_a_grammar_that_grows_too_large_fails_its_own_answer_alone(
    network: Gpt, tokenizer: Tokenizer, grammar: Grammar, is_answered: bool
) -> None:
    poisoned = Sampling(max_tokens=40, seed=2, grammar=grammar, logit_bias={tokenizer.token_to_id("a"): 50})
    plain = Sampling(max_tokens=40, seed=2, ignore_end=True)
    alone = answers(loop(network, tokenizer), [Request("plain", prompt(3, 10), plain)])

    found = answers(
        loop(network, tokenizer), [Request("poisoned", [1], poisoned), Request("plain", prompt(3, 10), plain)]
    )

    last = found["poisoned"][-1]
    assert (last.finish in {Finish.STOP, Finish.LENGTH}) == is_answered
    assert is_answered or (last.finish, last.code) == (Finish.ERROR, "invalid_grammar")
    assert [delta.text for delta in found["plain"]] == [delta.text for delta in alone["plain"]]


def test_answers_with_one_grammar_share_what_was_built(tokenizer: Tokenizer) -> None:
    grammars = Grammars(tokenizer.to_str(), vocabulary_size=400, ends=[END])
    one, other = (grammars.guide(Grammar("choice", ["yes", "no"])) for _ in range(2))
    y, n = (tokenizer.token_to_id(letter) for letter in "yn")

    one.accept(y)

    assert not one.allowed()[n] and other.allowed()[n]
    for at in range(BUILT + 5):
        grammars.guide(Grammar("choice", [str(at)]))
    assert len(grammars._built) == BUILT


def test_stop_texts_end_an_answer_and_are_not_in_it(network: Gpt, tokenizer: Tokenizer) -> None:
    sampling = Sampling(max_tokens=40, seed=1, ignore_end=True)
    free = "".join(
        delta.text for delta in answers(loop(network, tokenizer), [Request("a", prompt(7, 9), sampling)])["a"]
    )
    place = len(free) // 2
    stop = free[place : place + 3]
    cut = Sampling(max_tokens=40, seed=1, ignore_end=True, stop=(stop, "never to be seen"))
    deltas = answers(loop(network, tokenizer), [Request("a", prompt(7, 9), cut)])["a"]
    assert "".join(delta.text for delta in deltas) == free[: free.index(stop)]
    assert (deltas[-1].finish, deltas[-1].stopped_by) == (Finish.STOP, stop)


def test_lengths_end_tokens_and_minimal_lengths(network: Gpt, tokenizer: Tokenizer) -> None:
    always_end = {END: 100.0}
    requests = [
        Request("ends", prompt(1, 5), Sampling(temperature=0, logit_bias=always_end)),
        Request("not yet", prompt(1, 5), Sampling(temperature=0, logit_bias=always_end, min_tokens=3)),
        Request("never", prompt(1, 5), Sampling(temperature=0, logit_bias=always_end, max_tokens=6, ignore_end=True)),
        Request("own", prompt(1, 5), Sampling(temperature=0, logit_bias={77: 100.0}, stop_token_ids=(77,))),
        Request("full", prompt(1, 380), Sampling(temperature=0, max_tokens=100, ignore_end=True)),
    ]
    found = answers(loop(network, tokenizer), requests)
    counts = {key: (len(tokens_of(deltas)), deltas[-1].finish) for key, deltas in found.items()}
    assert counts == {
        "ends": (1, Finish.STOP),
        "not yet": (4, Finish.STOP),
        "never": (6, Finish.LENGTH),
        "own": (1, Finish.STOP),
        "full": (4, Finish.LENGTH),
    }
    assert found["own"][-1].stopped_by == 77


def test_a_cancelled_answer_ends_with_the_next_step_and_others_go_on(network: Gpt, tokenizer: Tokenizer) -> None:
    one = loop(network, tokenizer)
    for key in ("a", "b"):
        one.add(Request(key, prompt(1, 5), Sampling(max_tokens=20, temperature=0, ignore_end=True)))
    one.step()
    one.cancel("a")
    one.cancel("unknown")
    finishes = [(delta.key, delta.finish) for delta in one.step()]
    assert finishes == [("a", Finish.CANCELLED), ("b", None)]
    assert one.load().running == 1


def test_penalties_keep_tokens_from_coming_again(network: Gpt, tokenizer: Tokenizer) -> None:
    common = {"max_tokens": 30, "temperature": 0, "ignore_end": True, "logit_bias": {50: 30.0}}
    requests = [
        Request("free", prompt(1, 5), Sampling(**common)),
        Request("present", prompt(1, 5), Sampling(**common, presence_penalty=2.0, frequency_penalty=2.0)),
        Request("repeat", prompt(1, 5), Sampling(**common, repetition_penalty=10)),
    ]
    found = {key: tokens_of(deltas) for key, deltas in answers(loop(network, tokenizer), requests).items()}
    assert found["free"].count(50) == 30
    assert found["present"].count(50) < 30
    assert found["repeat"].count(50) < found["free"].count(50)
