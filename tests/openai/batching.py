"""Batches below /v1: lines of their files, how they are started and worked on."""

import json
from typing import Any

from openai import OpenAI
from openai.types import Batch

from tests.openai.lines import jsonl
from workers.loop import run_next

CHAT = "/v1/chat/completions"


def chat_line(name: str, text: str = "where is my card?", **body: Any) -> dict[str, Any]:
    asked = {
        "model": "bot",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 4,
        "temperature": 0,
        **body,
    }
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": asked}


def start(client: OpenAI, lines: Any, endpoint: Any = CHAT, **options: Any) -> Batch:
    content = lines if isinstance(lines, bytes) else jsonl(lines)
    file = client.files.create(file=("asks.jsonl", content), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, **{"completion_window": "24h", **options})


def lines_of(client: OpenAI, file: str | None) -> list[dict[str, Any]]:
    assert file is not None
    return [json.loads(line) for line in client.files.content(file).text.splitlines()]


def work(queue: str = "io") -> None:
    while run_next(queue) is not None:
        pass
