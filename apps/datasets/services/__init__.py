"""What happens to datasets, by verb; other rooms call these names."""

from apps.datasets.services.corrections import correct, forget_aspect
from apps.datasets.services.datasets import archive, create, delete, set_labels, unarchive, update
from apps.datasets.services.examples import add, bulk_change, edit, remove, restore
from apps.datasets.services.exports import expire_files, export
from apps.datasets.services.files import delete_file, expire_api_files, import_file, make_file, receive_file
from apps.datasets.services.given import import_requests
from apps.datasets.services.imports import choose, receive, receive_url, start
from apps.datasets.services.profiles import request_profile
from apps.datasets.services.splitting import request_split
from apps.datasets.services.versions import delete_version, freeze

__all__ = [
    "add",
    "archive",
    "bulk_change",
    "choose",
    "correct",
    "create",
    "delete",
    "delete_file",
    "delete_version",
    "edit",
    "expire_api_files",
    "expire_files",
    "export",
    "forget_aspect",
    "freeze",
    "import_file",
    "import_requests",
    "make_file",
    "receive",
    "receive_file",
    "receive_url",
    "remove",
    "request_profile",
    "request_split",
    "restore",
    "set_labels",
    "start",
    "unarchive",
    "update",
]
