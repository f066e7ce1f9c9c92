"""Lines of the files that OpenAI's fine-tuning reads."""

import json
from typing import Any


def chats(count: int = 12) -> bytes:
    """Lines of OpenAI's chat format."""
    return jsonl(
        {
            "messages": [
                {"role": "user", "content": f"where is my card number {at}"},
                {"role": "assistant", "content": f"look at the map {at}"},
            ]
        }
        for at in range(count)
    )


def preferences(count: int = 12) -> bytes:
    """Lines of OpenAI's preference format."""
    return jsonl(
        {
            "input": {"messages": [{"role": "user", "content": f"where is card {at}"}]},
            "preferred_output": [{"role": "assistant", "content": "look at the map"}],
            "non_preferred_output": [{"role": "assistant", "content": f"no {at}"}],
        }
        for at in range(count)
    )


def jsonl(lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
