"""What people and workers do with model versions; each verb lives in the file of its subject."""

from apps.registry.files import KeptFolder, keep_folder
from apps.registry.services.aliases import check_alias_name, move_alias, remove_alias, rollback_alias
from apps.registry.services.approvals import approve, reject, request_approval
from apps.registry.services.bases import add_base_model, delete_base_model
from apps.registry.services.cards import edit_card
from apps.registry.services.remotes import Connection, connect_server
from apps.registry.services.transfers import (
    expire_files,
    finish_check,
    finish_export,
    finish_import,
    keep_parity,
    start_check,
    start_export,
    start_import,
)
from apps.registry.services.versions import Making, delete_version, describe, register_version, users_of

__all__ = [
    "Connection",
    "KeptFolder",
    "Making",
    "add_base_model",
    "approve",
    "check_alias_name",
    "connect_server",
    "delete_base_model",
    "delete_version",
    "describe",
    "edit_card",
    "expire_files",
    "finish_check",
    "finish_export",
    "finish_import",
    "keep_folder",
    "keep_parity",
    "move_alias",
    "register_version",
    "reject",
    "remove_alias",
    "request_approval",
    "rollback_alias",
    "start_check",
    "start_export",
    "start_import",
    "users_of",
]
