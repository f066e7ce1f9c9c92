"""The words for recipes and their options, which every model version carries."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

RECIPES: dict[str, str | Promise] = {"classify": _("Text classification"), "chat": _("Chat")}

PHASES: dict[str, str | Promise] = {"training": _("Training")}

LABELS: dict[str, str | Promise] = {
    "base_model": _("Base model"),
    "multi_label": _("Several labels per text"),
    "method": _("Method"),
    "pooling": _("Pooling"),
    "max_length_tokens": _("Longest text in tokens"),
    "epochs": _("Epochs"),
    "learning_rate": _("Learning rate"),
    "head_learning_rate": _("Learning rate of the head"),
    "layer_decay": _("Layer decay"),
    "schedule": _("Schedule"),
    "warmup_share": _("Warm-up share"),
    "weight_decay": _("Weight decay"),
    "batch_size": _("Batch size"),
    "max_batch_tokens": _("Most tokens in a batch"),
    "gradient_accumulation": _("Gradient accumulation"),
    "max_gradient_norm": _("Gradient norm limit"),
    "dropout": _("Dropout"),
    "token_dropout": _("Token dropout"),
    "label_smoothing": _("Label smoothing"),
    "head_start": _("Start of the head"),
    "consistency": _("Consistency (R-Drop)"),
    "average_decay": _("Weight averaging"),
    "best_metric": _("Metric of the best epoch"),
    "early_stopping_patience": _("Early stopping patience"),
    "decision_threshold": _("Decision threshold"),
    "train_split": _("Training split"),
    "dev_split": _("Dev split"),
    "test_split": _("Test split"),
    "holdout_share": _("Hold-out share"),
    "checkpoint_every_steps": _("Checkpoint every steps"),
    "checkpoint_every_seconds": _("Checkpoint every seconds"),
    "seed": _("Seed"),
    "layers": _("Layers"),
    "width": _("Width"),
    "heads": _("Heads"),
    "kv_heads": _("Key-value heads"),
    "feed_forward": _("Feed-forward width"),
    "context_tokens": _("Context in tokens"),
    "vocabulary_size": _("Vocabulary size"),
    "tie_embeddings": _("Tied embeddings"),
    "template": _("Template"),
    "loss_on": _("Learn from"),
    "max_steps": _("Most steps"),
    "final_learning_rate_share": _("Final learning rate share"),
    "beta2": _("AdamW beta2"),
    "packing": _("Packing"),
    "sample_count": _("Sample answers"),
    "sample_tokens": _("Longest sample answer"),
}

VALUES: dict[str, str | Promise] = {
    "full": _("Whole encoder"),
    "frozen": _("Head only"),
    "auto": _("Automatic"),
    "mean": _("Mean of the tokens"),
    "native": _("As the architecture does"),
    "linear": _("Linear"),
    "cosine": _("Cosine"),
    "constant": _("Constant"),
    "probe": _("Linear probe"),
    "random": _("At random"),
    "accuracy": _("Accuracy"),
    "macro_f1": _("Macro F1"),
    "loss": _("Loss"),
    "assistant": _("Answers of the assistant"),
    "all": _("Everything"),
    "lingxi-chat-1": _("Lingxi chat, version 1"),
}
"""Words for the choices of the options; a test compares them with the engine's."""
