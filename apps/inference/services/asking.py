"""What may be asked of a version: checks that batches and single requests share."""

from collections.abc import Mapping, Sequence

from apps.inference.tasks import USES
from apps.registry.models import ModelVersion, VersionState
from core.errors import Refused
from engine.specs.records import check_record
from words import say

ONLINE_CHANNEL = "lingxi:online"
LARGEST_ANSWER_TOKENS = 4096
ANSWER_TOKENS = 256
BATCH_PRIORITY = 10  # behind everything that somebody waits for, flex as well
PROMPT_ENDS = ("user", "tool")


def checked_messages(messages: Sequence[Mapping[str, str]], field: str) -> list[dict[str, str]]:
    """The messages of a prompt; refused with the first thing that is wrong with them."""
    found = [dict(message) for message in messages]
    problems = check_record("chat", {"messages": found})
    if problems:
        raise Refused(problems[0].code, problems[0].message, field=field, hint=problems[0].hint)
    if found[-1]["role"] not in PROMPT_ENDS:
        raise Refused(
            "nothing_asked", say("The last message must be the user's: that is what is answered."), field=field
        )
    return found


def require_usable(version: ModelVersion) -> None:
    """Refused when the version does nothing we know, or its files are damaged."""
    if version.task not in USES:
        raise Refused(
            "wrong_task", say("“{version}” neither labels texts nor answers chats.", version=version), field="model"
        )
    if version.state == VersionState.DAMAGED:
        raise Refused(
            "version_damaged",
            say("The files of “{version}” are not what was registered. Choose another version.", version=version),
        )


def answer_length(max_new_tokens: int | None) -> int:
    """The longest answer in tokens, ANSWER_TOKENS when nothing was said."""
    length = ANSWER_TOKENS if max_new_tokens is None else max_new_tokens
    if not 1 <= length <= LARGEST_ANSWER_TOKENS:
        raise Refused(
            "bad_length", say("An answer has 1 to {most} tokens.", most=LARGEST_ANSWER_TOKENS), field="max_new_tokens"
        )
    return length
