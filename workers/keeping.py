"""The resident role's keeping: loads and tries what deployments want before its traffic begins, and says what is in memory."""

import logging
import os
import socket
import threading
import time
from typing import Any

from django.db import OperationalError, close_old_connections

from apps.inference.memory import ROLE
from apps.inference.services import (
    DEPLOYMENTS_CHANNEL,
    Wanted,
    version_is_not_ready,
    version_is_ready,
    wanted_versions,
)
from core.residents import leave, tell
from words import to_text
from workers.bell import Bell
from workers.memory import Held, Models, use_of_traffic

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
AGAIN_SECONDS = 30.0  # after which a version that could not be loaded is tried again


def keep(stop: threading.Event, models: Models) -> None:
    """Care for deployments until `stop`; Redis only wakes, they are looked at every second anyway."""
    process = f"{socket.gethostname()}:{os.getpid()}"
    failed_at: dict[tuple[int, int], float] = {}
    with Bell(DEPLOYMENTS_CHANNEL) as bell:
        while not stop.is_set():
            try:
                close_old_connections()
                attend(models, failed_at)
            except OperationalError as error:
                logger.warning("database unreachable: %s", error)
            except Exception:
                logger.exception("deployments were not cared for")  # and will be at the next look
            tell(ROLE, process, facts_of(models))
            bell.heard(IDLE_SECONDS)
    leave(ROLE, process)


def attend(models: Models, failed_at: dict[tuple[int, int], float] | None = None) -> None:
    """Pin what deployments want pinned; load, try and let traffic go to what they wait for.

    `failed_at` keeps when a version could not be loaded for a deployment, so that it is not tried again at once.
    """
    failed_at = {} if failed_at is None else failed_at
    wanted = wanted_versions()
    models.pin((one.version.content_hash, use_of_traffic(one.version)) for one in wanted if one.is_pinned)
    for one in wanted:
        held = models.state_of(one.version, use_of_traffic(one.version))
        key = one.deployment.pk, one.version.pk
        is_loaded = held is not None and held.state == "ready"
        if is_loaded and not one.waits:
            continue
        if key in failed_at and time.monotonic() - failed_at[key] < AGAIN_SECONDS:
            continue
        failed_at.pop(key, None)
        if not _is_made_ready(models, one):
            failed_at[key] = time.monotonic()


def _is_made_ready(models: Models, wanted: Wanted) -> bool:
    use = use_of_traffic(wanted.version)
    try:
        models.get(wanted.version, use, tried=True)
    except OperationalError:
        raise
    except Exception:
        # whatever is wrong with one version must not keep the others from being cared for
        logger.exception("%s could not be loaded for %s", wanted.version, wanted.deployment)
        held = models.state_of(wanted.version, use)
        version_is_not_ready(wanted=wanted, reason=held.reason if held else "")
        return False
    if wanted.waits:
        version_is_ready(wanted=wanted)
    return True


def facts_of(models: Models) -> dict[str, Any]:
    """What is in memory, as plain JSON; sentences in the form that keeps their language open."""
    found = models.all()
    return {
        "at": time.time(),
        "limit_bytes": models.limit_bytes,
        "bytes": models.bytes,
        "versions": [_told(held) for held in found],
    }


def _told(held: Held) -> dict[str, Any]:
    return {
        "version": held.version.pk,
        "workspace": held.version.workspace_id,
        "use": held.use,
        "state": held.state,
        "reason": to_text(held.reason),
        "bytes": held.bytes,
        "loaded_at": held.loaded_at,
        "last_used_at": held.last_used_at,
        "is_pinned": held.is_pinned,
        "way": getattr(held.model, "way", ""),
        "equal_share": getattr(held.model, "equal_share", None),
    }
