"""Versions that another server answers: an address and a model there, frozen like any other version."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.accounts.services import audit
from apps.registry.models import ModelVersion, Source, Task
from apps.registry.selectors import SERVER_FILE, server_headers
from apps.registry.services.versions import register_version
from core import outbound
from core.access import Actor
from core.errors import Refused
from engine.specs.remote import DIALECTS
from words import say

LOOK_SECONDS = 10.0
LIST_BYTES = 5_000_000


@dataclass(frozen=True)
class Connection:
    """Where a model is: the server's address up to /v1, its name there, and what the server knows."""

    address: str
    model: str
    dialect: str = "openai"
    context_tokens: int | None = None


def connect_server(*, actor: Actor, name: str, connection: Connection, description: str = "") -> ModelVersion:
    """A version of the model `name` that is answered elsewhere; refused when the server does not list the model."""
    name = name.strip()
    if not name or len(name) > 80 or "\0" in name:
        raise Refused("bad_name", say("Give the model a name of at most 80 characters."), field="name")
    if connection.dialect not in DIALECTS:
        raise Refused("unknown_dialect", say("Choose one of: {names}.", names=", ".join(DIALECTS)), field="dialect")
    address = connection.address.strip().rstrip("/")
    outbound.check_url(address)
    _require_listed(address, connection.model)
    told = {
        "kind": "remote",
        "address": address,
        "model": connection.model,
        "dialect": connection.dialect,
        "context_tokens": connection.context_tokens or 0,
    }
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / SERVER_FILE).write_text(json.dumps(told, indent=1, sort_keys=True), encoding="utf-8")
        version = register_version(
            workspace=actor.workspace,
            name=name,
            folder=Path(place),
            recipe="remote",
            task=Task.GENERATION,
            source=Source.REMOTE,
            by=actor.user,
            description=description,
        )
    audit(actor=actor, action="model_version.connect", obj=version, address=address, model=connection.model)
    return version


def _require_listed(address: str, model: str) -> None:
    """Ask the server for its models: an address that does not answer, or lacks the model, is told now and not later."""
    headers = server_headers(address)
    with outbound.request(f"{address}/models", headers=headers, read_seconds=LOOK_SECONDS) as (response, _url):
        if response.status != 200:
            raise Refused(
                "server_refuses",
                say("The server answers with status {status}.", status=response.status),
                field="address",
                hint=say("Its key belongs into LINGXI_REMOTE_KEYS; the address ends before /models."),
            )
        try:
            listed: Any = json.loads(response.read(LIST_BYTES))
            names = [str(each["id"]) for each in listed["data"] if isinstance(each, Mapping)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Refused(
                "no_such_server", say("This address lists no models as OpenAI's does."), field="address"
            ) from error
    if model not in names:
        raise Refused(
            "model_not_there",
            say("The server has no model “{model}”.", model=model),
            field="model",
            hint=say("It has: {names}", names=", ".join(names[:20])),
        )
