"""Bases that several loaded versions share: each version made from one by LoRA adds its adapter to the base's one loop."""

import json
import logging
import threading
from pathlib import Path
from typing import Any

from apps.registry.models import ModelVersion
from apps.registry.selectors import base_folder, version_folder
from core.errors import Refused

logger = logging.getLogger(__name__)


class Bases:
    """Loaded bases by what they are, with the adapters on them; safe to be used by several threads."""

    def __init__(self, cache_bytes: int) -> None:
        self._cache_bytes = cache_bytes
        self._shared: dict[str, Any] = {}  # engine.generate.sharing.SharedWriters
        self._loading = threading.Lock()  # only who loads waits for who loads

    @staticmethod
    def are_used(graphs: Path | None) -> bool:
        """Whether the engine's own loop answers: OpenVINO has a graph for each version, with its adapter in the weights."""
        import torch  # the web never comes here

        return graphs is None or torch.cuda.is_available()

    @property
    def bytes(self) -> int:
        """Weights and caches of the bases; adapters are counted with their versions."""
        return sum(shared.base_bytes for shared in list(self._shared.values()))

    def writer(self, version: ModelVersion) -> Any | None:
        """The version on its shared base; None where it must have a network of its own, which the log explains."""
        from engine.generate.adapters import may_share

        folder = version_folder(version)
        if not may_share(folder):
            return None
        found = _base_of(version)
        if found is None:
            return None
        key, base = found
        with self._loading:
            shared = self._shared.get(key) or self._opened(base)
            problem = shared.add(version.content_hash, folder, root=f"{version.content_hash}|{version.template_hash}")
            if problem:
                logger.warning("%s has a network of its own: %s", version, problem)
                return None
            self._shared[key] = shared
            return shared.writers[version.content_hash]

    def let_go(self, writer: Any) -> None:
        """Forget an adapter, and the base with its last one."""
        for key, shared in list(self._shared.items()):
            if shared.writers.get(writer.adapter) is writer:
                shared.drop(writer.adapter)
                if not shared.writers:
                    del self._shared[key]

    def _opened(self, base: Path) -> Any:
        from engine.generate.sharing import SharedWriters

        return SharedWriters(base, cache_bytes=self._cache_bytes)


def _base_of(version: ModelVersion) -> tuple[str, Path] | None:
    """(what names the base, its folder) of a version made by an adapter; None where the base is not here any more."""
    from engine.base_models import fetched
    from engine.failures import RunFailed
    from engine.specs import BaseModel

    try:
        if folders := base_folder(version):
            ((name, folder),) = folders.items()
            return name, Path(folder)
        reference = version.spec.get("base_model")
        if not isinstance(reference, dict) or reference.get("kind") == "version":
            return None
        return json.dumps(reference, sort_keys=True), fetched(BaseModel(**reference))
    except (RunFailed, Refused, TypeError) as error:
        logger.warning("the base of %s cannot be had: %s", version, error)
        return None
