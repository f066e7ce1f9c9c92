"""A back end that answers on another server: what it is asked, what is heard, and every way in which it fails."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from engine.failures import RunFailed
from engine.generate.loop import Delta, Usage
from engine.generate.remote import RemoteLoop, RemoteWriter, Server, open_remote
from engine.generate.request import Finish
from engine.generate.unfit import Unfit
from engine.specs.sampling import Grammar, Sampling

HELLO = [{"role": "user", "content": "hello"}]


class Reply:
    """What a server says, line by line; a line that is a function is called first."""

    def __init__(self, *lines: Any, status: int = 200, retry_after: float | None = None) -> None:
        self.status, self.retry_after = status, retry_after
        self.given, self.closed = lines, threading.Event()

    def lines(self) -> Iterator[bytes]:
        for line in self.given:
            if callable(line):
                line()
            else:
                yield line if isinstance(line, bytes) else b"data: " + json.dumps(line).encode() + b"\n"

    def close(self) -> None:
        self.closed.set()


def piece(text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish, **more}]}


def writer_of(
    *replies: Any, running: int = 4, **server: Any
) -> tuple[RemoteWriter, list[tuple[str, Mapping[str, Any]]]]:
    """A writer whose server gives these replies in turn, and what it was asked."""
    asked: list[tuple[str, Mapping[str, Any]]] = []
    left = list(replies)

    def open_(path: str, body: Mapping[str, Any]) -> Any:
        asked.append((path, body))
        reply = left.pop(0)
        if isinstance(reply, OSError):
            raise reply
        return reply

    return open_remote(Server("https://there/v1", "big", **server), open_, running=running), asked


def until_idle(loop: RemoteLoop, at: Callable[[Delta], None] = lambda _: None) -> list[Delta]:
    found: list[Delta] = []
    deadline = time.monotonic() + 20
    while (loop.load().running or loop.load().waiting) and time.monotonic() < deadline:
        for delta in loop.step():
            found.append(delta)
            at(delta)
        time.sleep(0.002)
    return found


def ask(writer: RemoteWriter, key: str = "a", **options: Any) -> None:
    prompt = writer.chat_tokens(HELLO)
    writer.backend.add(writer.request(key, prompt, Sampling(**options), tenant="t"))


def test_an_answer_comes_in_pieces_with_the_servers_own_counts() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    events = [b": a comment\n", b"\n", piece("Hel"), piece("lo"), piece("", "length"), {"choices": [], "usage": usage}]
    writer, asked = writer_of(Reply(*events, b"data: [DONE]\n"))

    ask(writer, max_tokens=3, temperature=0.5, seed=7, stop=("x",), logit_bias={5: 2.0})
    deltas = until_idle(writer.backend)

    assert [(delta.text, delta.finish) for delta in deltas] == [("Hel", None), ("lo", None), ("", Finish.LENGTH)]
    assert deltas[-1].usage == Usage(9, 4, 3)
    assert asked == [
        (
            "chat/completions",
            {
                "model": "big",
                "messages": HELLO,
                "stream": True,
                "stream_options": {"include_usage": True},
                "max_tokens": 3,
                "temperature": 0.5,
                "top_p": 1.0,
                "seed": 7,
                "stop": ["x"],
                "logit_bias": {"5": 2.0},
            },
        )
    ]
    assert (writer.backend.load().prompt_tokens, writer.backend.load().cached_tokens) == (9, 4)


def test_probabilities_of_tokens_are_told_by_their_texts() -> None:
    content = [
        {
            "token": "Hi",
            "logprob": -0.5,
            "top_logprobs": [{"token": "Hi", "logprob": -0.5}, {"token": "Yo", "logprob": -2}],
        }
    ]
    writer, _asked = writer_of(Reply(piece("Hi", "stop", logprobs={"content": content})))

    ask(writer, logprobs=2)
    deltas = until_idle(writer.backend)

    (drawn,) = deltas[0].tokens
    assert (writer.token_text(drawn.token), drawn.logprob) == ("Hi", -0.5)
    assert [(writer.token_text(token), value) for token, value in drawn.top] == [("Hi", -0.5), ("Yo", -2)]


def test_texts_and_their_probabilities_go_to_completions() -> None:
    told = {"tokens": ["a", "b"], "token_logprobs": [-1.0, -2.0], "top_logprobs": [{"a": -1.0}, None]}
    choice = {"index": 0, "text": "ab", "finish_reason": "stop", "logprobs": told}
    writer, asked = writer_of(Reply({"choices": [choice]}))
    prompt, added = writer.text_tokens([4, 5])

    writer.backend.add(writer.request("a", prompt, Sampling(logprobs=1), tenant="t"))
    deltas = until_idle(writer.backend)

    assert (added, asked[0][0], asked[0][1]["prompt"], asked[0][1]["logprobs"]) == (0, "completions", [4, 5], 1)
    assert [writer.token_text(drawn.token) for drawn in deltas[0].tokens] == ["a", "b"]


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (Reply(piece("a")), "remote_cut", "broke"),
        (Reply(piece("a"), {"error": {"message": "out of memory"}}), "remote_failed", "out of memory"),
        (
            Reply(b'{"error": {"message": "too long", "code": "context_length_exceeded"}}', status=400),
            "context_length_exceeded",
            "too long",
        ),
        (Reply(b'{"error": {"message": "no such field"}}', status=400), "remote_refused", "no such field"),
        (Reply(b"<html>who are you</html>", status=401), "remote_failed", "401"),
        (Reply(b"data: not json\n"), "remote_unreadable", "cannot be read"),
    ],
)
def test_what_goes_wrong_there_ends_the_answer_with_a_sentence(reply: Reply, code: str, words: str) -> None:
    writer, _asked = writer_of(reply)

    ask(writer)
    last = until_idle(writer.backend)[-1]

    assert (last.finish, last.code) == (Finish.ERROR, code)
    assert words in last.message
    assert reply.closed.is_set()


def test_a_server_that_is_busy_or_away_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("engine.generate.remote.time.sleep", pauses.append)
    writer, asked = writer_of(Reply(status=503, retry_after=2.0), OSError("refused"), Reply(piece("ok", "stop")))

    ask(writer)
    deadline = time.monotonic() + 20
    found: list[Delta] = []
    while not any(delta.finish for delta in found) and time.monotonic() < deadline:
        found += writer.backend.step()

    assert [delta.text for delta in found] == ["ok", ""]
    assert len(asked) == 3
    assert pauses == [2.0, 0.5]


def test_a_server_that_stays_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.generate.remote.PAUSE_SECONDS", 0.0)
    writer, _asked = writer_of(*[OSError("connection refused")] * 3)

    ask(writer)
    (last,) = until_idle(writer.backend)

    assert last.code == "remote_unreachable"
    assert "connection refused" in last.message


def test_cancelling_ends_at_once_whether_it_runs_or_waits() -> None:
    released = threading.Event()
    slow = Reply(piece("a"), lambda: released.wait(20), piece("b", "stop"))
    writer, asked = writer_of(slow, running=1)
    ask(writer, "runs")
    ask(writer, "waits")
    heard: list[Delta] = []
    deadline = time.monotonic() + 20
    while not heard and time.monotonic() < deadline:
        heard += writer.backend.step()

    writer.backend.cancel("runs")
    writer.backend.cancel("waits")
    writer.backend.cancel("unknown")
    ended = writer.backend.step()
    released.set()

    assert [(delta.key, delta.finish) for delta in ended] == [("runs", Finish.CANCELLED), ("waits", Finish.CANCELLED)]
    assert slow.closed.is_set()
    assert len(asked) == 1
    assert not writer.is_busy
    time.sleep(0.05)
    assert writer.backend.step() == []


def test_what_a_server_does_not_know_is_refused_by_name() -> None:
    plain, _asked = writer_of()
    for options, name in (
        ({"top_k": 5}, "top_k"),
        ({"min_p": 0.1, "ignore_end": True}, "min_p, ignore_end"),
        ({"grammar": Grammar("regex", "a+")}, "regex"),
        ({"prompt_logprobs": 1}, "prompt_logprobs"),
    ):
        with pytest.raises(Unfit, match=name) as caught:
            ask(plain, **options)
        assert caught.value.code == "unsupported_by_server"

    more, asked = writer_of(*[Reply(piece("", "stop"))] * 3, dialect="vllm")
    ask(more, "a", top_k=5, ignore_end=True, stop_token_ids=(3,), grammar=Grammar("regex", "a+"))
    ask(more, "b", grammar=Grammar("json_schema", {"type": "object"}))
    ask(more, "c", grammar=Grammar("json_object"))
    until_idle(more.backend)

    bodies = sorted((body for _path, body in asked), key=lambda body: str(body.get("response_format", "")))
    assert {
        "top_k": 5,
        "ignore_eos": True,
        "stop_token_ids": [3],
        "structured_outputs": {"regex": "a+"},
    }.items() <= bodies[0].items()
    assert bodies[1]["response_format"]["type"] == "json_object"
    assert bodies[2]["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(RunFailed, match="klingon"):
        open_remote(Server("https://there/v1", "big", "klingon"), lambda *_: Reply())
