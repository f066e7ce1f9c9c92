"""What people, programs and workers do with predictions; each verb lives in the file of its subject."""

from apps.inference.services.asking import LARGEST_ANSWER_TOKENS, require_usable
from apps.inference.services.batches import (
    expire_files,
    keep_predictions,
    predict_texts,
    predict_upload,
    predict_version,
    prepared,
)
from apps.inference.services.online import (
    MAX_RANKED_TEXTS,
    MAX_SENTENCE_CHARACTERS,
    ONLINE_ATTEMPTS,
    ONLINE_CHANNEL,
    answer,
    ask,
    ask_chat,
    ask_explanation,
    ask_question,
    ask_ranking,
    claim_online,
    expire_explanations,
)

__all__ = [
    "LARGEST_ANSWER_TOKENS",
    "MAX_RANKED_TEXTS",
    "MAX_SENTENCE_CHARACTERS",
    "ONLINE_ATTEMPTS",
    "ONLINE_CHANNEL",
    "answer",
    "ask",
    "ask_chat",
    "ask_explanation",
    "ask_question",
    "ask_ranking",
    "claim_online",
    "expire_explanations",
    "expire_files",
    "keep_predictions",
    "predict_texts",
    "predict_upload",
    "predict_version",
    "prepared",
    "require_usable",
]
