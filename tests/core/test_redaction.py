"""Secrets never reach a log that people read."""

from typing import Any

import pytest

from core.jobs import services as jobs
from core.redaction import redacted
from words import say


@pytest.mark.parametrize(
    "text",
    [
        "GET https://user:s3cret-value@example.org/x",
        "Authorization: Bearer s3cret-value",
        "http://x/y?api_key=s3cret-value&z=1",
        "token hf_s3cretvalue0123456789 is wrong",
        "my-own-s3cret-value is wrong",
    ],
)
def test_secrets_are_hidden(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGXI_WANDB_API_KEY", "my-own-s3cret-value")

    assert "s3cret" not in redacted(text)
    assert "•••" in redacted(text)


def test_what_is_no_secret_stays() -> None:
    text = "12,345 tokens; the key is missing; see https://example.org/a:b and token count 5"

    assert redacted(text) == text


def test_a_logged_sentence_stays_a_sentence(workspace: Any, alice: Any) -> None:
    jobs.create(kind="test", workspace=workspace, queue="io", title="Job", by=alice)
    run = jobs.claim(queue="io", worker="w")
    assert run is not None

    run.log(say("Curves are lost: {said}", said="https://a:secret-word@b.org refused"))

    line = run.job.log_lines.get()
    assert line.message.template == "Curves are lost: {said}"
    assert str(line.message) == "Curves are lost: https://•••@b.org refused"
