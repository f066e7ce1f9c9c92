"""What each kind of dataset is for, with an example a person can recognise."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.datasets.models import Kind


@dataclass(frozen=True)
class KindCard:
    """One choice of the kind chooser; `record` is a canonical record as JSON would show it."""

    name: str
    title: str | Promise
    text: str | Promise
    icon: str
    record: dict[str, Any]


def kind_cards() -> list[KindCard]:
    """All kinds in the order people need them."""
    return [
        KindCard(
            "classification",
            Kind.CLASSIFICATION.label,
            _("Each text has a label, or several: intents, topics, sentiment."),
            "tags",
            {"text": "My parcel never came", "labels": ["delivery"]},
        ),
        KindCard(
            "spans",
            Kind.SPANS.label,
            _("Parts of a text are marked: names, places, amounts, slots."),
            "brackets-contain",
            {"text": "Pay 20 euros to Lena", "spans": [{"start": 4, "end": 12, "label": "amount"}]},
        ),
        KindCard(
            "pairs",
            Kind.PAIRS.label,
            _("A text and what it should become: translation, summary, rewriting."),
            "arrows-exchange",
            {"source": "How are you?", "target": "你好吗？"},
        ),
        KindCard(
            "qa",
            Kind.QA.label,
            _("A question, a passage, and where the answer stands in it."),
            "help-circle",
            {
                "question": "When do you open?",
                "context": "We open at nine.",
                "answers": [{"text": "nine", "start": 11}],
            },
        ),
        KindCard(
            "chat",
            Kind.CHAT.label,
            _("Conversations of user and assistant, to train a chat model."),
            "messages",
            {
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Hello, how can I help?"},
                ]
            },
        ),
        KindCard(
            "preference",
            Kind.PREFERENCE.label,
            _("Two answers to one prompt, of which one is better."),
            "scale",
            {"prompt": [{"role": "user", "content": "Thanks!"}], "chosen": "You are welcome.", "rejected": "ok"},
        ),
        KindCard(
            "corpus",
            Kind.CORPUS.label,
            _("Texts without labels, to pre-train or to label later."),
            "file-text",
            {"text": "The harbour froze over in February."},
        ),
    ]
